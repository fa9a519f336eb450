// The interpreter alone, on the integer mix. The guest counts its own instructions, the host's clock tells the time.

import { type Benchmark, inTurn } from "../benchmark.ts";
import { bareKernel, bareOptions, KERNEL_TIMEOUT } from "../kernels.ts";

export const interpreter: Benchmark = {
  name: "interpreter",
  title: "Interpreter (-accel interp) on K0",
  unit: "MIPS",
  better: "higher",
  cases: [{ name: "", title: "million instructions per second", goal: { value: 100 } }],
  async run(bench) {
    const options = [...bareOptions(bareKernel(bench.compiler, "k0")), "-accel", "interp"];
    const emulators = bench.emulators.filter(({ kind }) => kind === "ours");
    const { ours } = await inTurn(
      bench,
      "K0",
      async (emulator) => {
        await using machine = emulator.start(options);
        await machine.end(KERNEL_TIMEOUT);
        const begin = await machine.until(/^go\r?\n/m, 0);
        const end = await machine.until(/instructions (\d+)/, 0, begin.end);
        return Number(end.match[1]) / (end.at - begin.at) / 1e6;
      },
      { emulators },
    );
    bench.record("", { ours, qemu: [] });
  },
};
