// Forks of a booted Linux: how long until the first command has answered, and whether many leave anything behind.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { boot } from "../../src/node/boot.ts";
import type { Vm } from "../../src/testing/vm.ts";
import type { Bench, Benchmark } from "../benchmark.ts";

/** Forks of one round. */
const FORKS = 100;
/** By then what the guest does has been translated. */
const WARM_UP = 300;
const LEAK_FORKS = 1000;
const MB = 1e6;

export const forks: Benchmark = {
  name: "forks",
  title: "fork() of a booted Linux and its first command answered",
  unit: "ms",
  better: "lower",
  cases: [
    { name: "first", title: "the very first one", goal: { value: 50 } },
    { name: "median", title: `median of ${FORKS}`, goal: { value: 50 } },
    { name: "p95", title: `what 95 of ${FORKS} do not exceed`, goal: { value: 50 } },
  ],
  bootsLinux: true,
  async run(bench) {
    const rounds = { first: [] as number[], median: [] as number[], p95: [] as number[] };
    for (let round = 0; round < bench.runs; round++) {
      await using vm = await boot({ images: bench.guest.bootImages() });
      const times: number[] = [];
      for (let n = 0; n < FORKS; n++) {
        bench.update((round + n / FORKS) / bench.runs, `round ${round + 1}/${bench.runs}`);
        const begin = performance.now();
        const fork = await vm.fork();
        await fork.console.run("true");
        times.push(performance.now() - begin);
        await fork.dispose();
      }
      const sorted = times.toSorted((a, b) => a - b);
      rounds.first.push(times[0]!);
      rounds.median.push(sorted[FORKS / 2]!);
      rounds.p95.push(sorted[Math.floor(FORKS * 0.95)]!);
    }
    for (const [name, ours] of Object.entries(rounds)) bench.record(name, { ours, qemu: [] });
  },
};

export const forkMemory: Benchmark = {
  name: "fork-memory",
  title: `Memory that ${LEAK_FORKS} forks, one after the other, leave behind`,
  unit: "MB",
  better: "lower",
  cases: [{ name: "", title: `resident, beyond what it is after the first ${WARM_UP}`, goal: { value: 20 } }],
  bootsLinux: true,
  async run(bench) {
    await using vm = await boot({ images: bench.guest.bootImages() });
    await many(bench, vm, WARM_UP, 0, 0.1);
    const before = resident();
    await many(bench, vm, LEAK_FORKS, 0.1, 1);
    const left = (resident() - before) / MB;
    bench.record("", {
      ours: [left],
      qemu: [],
      note: "after a full collection of garbage, code for what became hot meanwhile included; it may be negative",
    });
  },
};

async function many(bench: Bench, vm: Vm, count: number, from: number, to: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    bench.update(from + ((to - from) * n) / count, `fork ${n + 1}/${count}`);
    await using fork = await vm.fork();
    await fork.console.run("echo on > /tmp/own");
  }
}

function resident(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let n = 0; n < 3; n++) collect();
  return process.memoryUsage.rss();
}
