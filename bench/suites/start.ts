// Start of the command to the first guest instruction. The guest ends the machine with its third instruction, so the time of
// the whole process, its end included, is an upper bound.

import { type Benchmark, inTurn } from "../benchmark.ts";
import { bareOptions } from "../kernels.ts";

const TIMEOUT = 60;

export const start: Benchmark = {
  name: "start",
  title: "Start of the command to the first guest instruction",
  unit: "ms",
  better: "lower",
  cases: [{ name: "", title: "whole process of a guest that ends at once", goal: { value: 400 } }],
  async run(bench) {
    const options = bareOptions(bench.compiler.build("bare", "finish", ["finish.S"]));
    const { ours, qemu } = await inTurn(bench, "start", async (emulator) => {
      await using machine = emulator.start(options);
      return (await machine.end(TIMEOUT)).wall * 1000;
    });
    bench.record("", { ours, qemu, note: "upper bound: wall time of the whole process, its end included" });
  },
};
