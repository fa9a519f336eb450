// Accesses to device registers per second, by the host's clock: the way from a guest's load or store to a device and back.

import { type Benchmark, inTurn } from "../benchmark.ts";
import { bareOptions, KERNEL_TIMEOUT } from "../kernels.ts";

/** Long enough for what happens once, like the translation of the loop, to be little of it. */
const ACCESSES = 20_000_000;

/** TARGET of mmio.c. */
const TARGETS = { banana: 1, virtio: 2, plic: 3, uart: 4, "uart-write": 5 } as const;

const BANANA_NOTE =
  "QEMU reads the magic value of a virtio transport here, a small region with a 32-bit read callback like the banana ROM, " +
  "which it does not have; with the article's device added, QEMU 7.2 did 2.7 M/s on another machine";

export const mmio: Benchmark = {
  name: "mmio",
  title: "Accesses to one device register in a loop",
  unit: "M/s",
  better: "higher",
  cases: [
    { name: "banana", title: "read of the banana ROM, 32-bit", goal: { ratio: 6 } },
    { name: "virtio", title: "read of a virtio transport, magic value, 32-bit" },
    { name: "plic", title: "read of a PLIC priority, 32-bit" },
    { name: "uart", title: "read of the UART's line status, 8-bit" },
    { name: "uart-write", title: "write to the UART's scratch register, 8-bit" },
  ],
  async run(bench, cases) {
    const build = (name: keyof typeof TARGETS): string =>
      bench.compiler.build("bare", `mmio-${name}`, ["start.S", "mmio.c"], {
        defines: { TARGET: TARGETS[name], N: ACCESSES },
      });
    let done = 0;
    for (const name of ["banana", "virtio", "plic", "uart", "uart-write"] as const) {
      if (!cases.has(name)) continue;
      const share = { from: done / cases.size, to: ++done / cases.size };
      const rates = await inTurn(
        bench,
        name,
        async (emulator) => {
          const target = name === "banana" && emulator.kind === "qemu" ? "virtio" : name;
          await using machine = emulator.start(bareOptions(build(target)));
          await machine.end(KERNEL_TIMEOUT);
          const begin = await machine.until(/^go\r?\n/m, 0);
          const end = await machine.until(/^end\r?\n/m, 0, begin.end);
          return ACCESSES / (end.at - begin.at) / 1e6;
        },
        share,
      );
      bench.record(name, { ...rates, ...(name === "banana" && rates.qemu.length > 0 && { note: BANANA_NOTE }) });
    }
  },
};
