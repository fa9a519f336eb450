// What a machine costs that waits at the login prompt.

import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, inTurn, Skipped } from "../benchmark.ts";
import type { EmulatorProcess } from "../emulator-process.ts";
import { BOOT_TIMEOUT, LOGIN } from "./boot.ts";

/** Boot's last work is over. */
const SETTLE_MS = 3_000;
const WINDOW_MS = 10_000;

export const idle: Benchmark = {
  name: "idle",
  title: "CPU time at the login prompt, over 10 seconds",
  unit: "% of a core",
  better: "lower",
  cases: [{ name: "", title: "CPU time of the whole process", goal: { value: 5 } }],
  bootsLinux: true,
  async run(bench) {
    const options = bench.guest.articleOptions();
    const percent = await inTurn(
      bench,
      "idle",
      async (emulator) => {
        await using machine = emulator.start(options);
        await machine.until(LOGIN, BOOT_TIMEOUT);
        await sleep(SETTLE_MS);
        const before = cpuOf(machine);
        const started = performance.now();
        await sleep(WINDOW_MS);
        return ((cpuOf(machine) - before) / (performance.now() - started)) * 100_000;
      },
      { runs: 1 },
    );
    bench.record("", { ...percent, ratio: "none" });
  },
};

function cpuOf(machine: EmulatorProcess): number {
  const { cpu } = machine.usage();
  if (cpu === undefined) throw new Skipped("this system has no /proc to tell a process's CPU time");
  return cpu;
}
