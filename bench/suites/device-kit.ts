// What a device of the kit costs: reads of a declared register by a guest, a test on a bench, and lines to write.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bananaDma } from "../../examples/banana-dma/banana-dma.ts";
import { testbench } from "../../src/testing/testbench.ts";
import { type Benchmark, inTurn } from "../benchmark.ts";
import { bareOptions, KERNEL_TIMEOUT } from "../kernels.ts";

const READS = 5_000_000;
const BENCHES = 500;
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** The banana ROM with its register declared: what a read through the register model costs. */
const DEVICE = `import { defineDevice, reg32 } from "plantain/device";

export const chipId = defineDevice({
  type: "chip-id",
  mmio: { size: 0x100, unmapped: 0xdeadbeef },
  registers: { CHIP_ID: reg32(0x00, { access: "ro", reset: 0xba000001 }) },
});
`;

export const modelReads: Benchmark = {
  name: "model-reads",
  title: "Reads of a register of a device made by defineDevice, by a guest",
  unit: "M/s",
  better: "higher",
  cases: [{ name: "", title: "declared register, 32-bit", goal: { value: 5 } }],
  async run(bench) {
    const program = bench.compiler.build("bare", "mmio-banana", ["start.S", "mmio.c"], {
      defines: { TARGET: 1, N: READS },
    });
    const options = bareOptions(program).map((word) => (word === "virt" ? "virt,banana-rom=off" : word));
    mkdirSync(bench.cache, { recursive: true });
    const file = join(bench.cache, "chip-id.ts");
    writeFileSync(file, DEVICE);
    const device = ["-device", `${file.replaceAll(",", ",,")},addr=0x4000000`];
    const emulators = bench.emulators.filter(({ kind }) => kind === "ours");
    const { ours } = await inTurn(
      bench,
      "model-reads",
      async (emulator) => {
        await using machine = emulator.start([...options, ...device]);
        await machine.end(KERNEL_TIMEOUT);
        const begin = await machine.until(/^go\r?\n/m, 0);
        const end = await machine.until(/^end\r?\n/m, 0, begin.end);
        return READS / (end.at - begin.at) / 1e6;
      },
      { emulators },
    );
    bench.record("", {
      ours,
      qemu: [],
      note: "a device written by hand in C in QEMU 7.2 did 2.7 M/s on another machine",
    });
  },
};

export const benchTest: Benchmark = {
  name: "bench-test",
  title: "A test of a device on a test bench",
  unit: "ms",
  better: "lower",
  cases: [{ name: "", title: "made, a transfer started, DMA and interrupt seen", goal: { value: 1 } }],
  async run(bench) {
    const ours: number[] = [];
    for (let round = 0; round < bench.runs; round++) {
      bench.update(round / bench.runs, `bench ${round + 1}/${bench.runs}`);
      const begin = performance.now();
      for (let n = 0; n < BENCHES; n++) testTransfer();
      ours.push((performance.now() - begin) / BENCHES);
    }
    bench.record("", { ours, qemu: [], note: "without Vitest itself, and without loading the device's file" });
  },
};

function testTransfer(): void {
  const d = testbench(bananaDma);
  d.write("SRC", 0x5an);
  d.write("DST", d.ram.base);
  d.write("LEN", 16);
  d.write("CTRL", { START: true, IRQ_EN: true, MODE: "FILL" });
  d.run(1000);
  if (!d.irq.done || !d.read("STATUS.DONE") || d.ram.bytes[15] !== 0x5a) throw new Error("the transfer went wrong");
  d.write("STATUS", { DONE: true });
}

export const deviceLines: Benchmark = {
  name: "device-lines",
  title: "The banana ROM as a device file",
  unit: "lines",
  better: "lower",
  cases: [{ name: "", title: "lines of the file", goal: { value: 12 } }],
  async run(bench) {
    const text = readFileSync(path("../../examples/banana-rom/banana-rom.ts"), "utf8");
    const lines = text.trimEnd().split("\n").length;
    bench.record("", {
      ours: [lines],
      qemu: [],
      note: "comments and empty lines counted; the article changes seven files",
    });
  },
};
