// The device-tree nodes that describe harts. Linux, Documentation/devicetree/bindings/riscv (cpus.yaml,
// extensions.yaml) and perf/riscv,pmu.yaml; Devicetree Specification 0.4, 3.8.

import { cells, type FdtNode } from "../fdt/fdt-node.ts";
import type { Phandles } from "../fdt/phandles.ts";
import { hartIntcKey } from "../hw/intc/hart-intc.ts";
import type { BoardHart, HartIsa } from "./board.ts";

/** Writes `/cpus`, and `/pmu` if the harts have event counters. `timebase` is in hertz. */
export function describeHarts(root: FdtNode, harts: readonly BoardHart[], timebase: number, phandles: Phandles): void {
  const cpus = root.child("cpus");
  cpus.prop("#address-cells", 1).prop("#size-cells", 0).prop("timebase-frequency", timebase);
  for (const hart of harts) describeHart(cpus.child(`cpu@${hart.mhartid.toString(16)}`), hart, phandles);
  const cluster = cpus.child("cpu-map").child("cluster0");
  for (const [i, hart] of harts.entries()) cluster.child(`core${i}`).prop("cpu", phandles.of(hart));

  const events = harts[0]?.isa.pmuEvents ?? [];
  if (events.length > 0) {
    const map = events.flatMap(({ first, last, counters }) => [first, last, counters]);
    root
      .child("pmu")
      .prop("compatible", "riscv,pmu")
      .prop("riscv,event-to-mhpmcounters", cells(...map));
  }
}

function describeHart(node: FdtNode, hart: BoardHart, phandles: Phandles): void {
  const { isa, mhartid } = hart;
  node
    .prop("phandle", phandles.of(hart))
    .prop("device_type", "cpu")
    .prop("reg", mhartid)
    .prop("status", "okay")
    .prop("compatible", "riscv")
    .prop("riscv,isa", isaString(isa))
    .prop("riscv,isa-base", isa.base)
    .prop("riscv,isa-extensions", isa.extensions)
    .prop("mmu-type", isa.mmuType);
  if (isa.cacheBlockSize !== undefined) {
    for (const extension of ["zicbom", "zicbop", "zicboz"]) {
      if (!isa.extensions.includes(extension)) continue;
      node.prop(`riscv,${extension.slice(2)}-block-size`, isa.cacheBlockSize);
    }
  }
  node
    .child("interrupt-controller")
    .prop("#interrupt-cells", 1)
    .prop("interrupt-controller", true)
    .prop("compatible", "riscv,cpu-intc")
    .prop("phandle", phandles.of(hartIntcKey(mhartid)));
}

/** The old way to say it all in one word: `rv64imafdc_zicsr_zifencei`. */
function isaString({ base, extensions }: HartIsa): string {
  const letters = extensions.filter((extension) => extension.length === 1);
  const names = extensions.filter((extension) => extension.length > 1);
  return [base.replace(/[a-z]$/, "") + letters.join(""), ...names].join("_");
}
