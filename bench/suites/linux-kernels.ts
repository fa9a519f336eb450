// The same kernels as static Linux processes under Sv39: page tables, page faults and timer interrupts included. The time of
// each is from before its fork to after its end, by the host's clock.

import { type Bench, BenchError, type Benchmark, inTurn } from "../benchmark.ts";
import type { Emulator } from "../emulators.ts";
import { checkSums, KERNEL_TIMEOUT, KERNELS, kernelInitramfs } from "../kernels.ts";
import { geometricMean, median } from "../statistics.ts";

const MEAN = "mean";
const BOOT_TIMEOUT = 300;

interface KernelRun {
  readonly seconds: number;
  readonly sum: string;
}

export const linuxKernels: Benchmark = {
  name: "linux",
  title: "Kernels as static Linux processes under Sv39",
  unit: "s",
  better: "lower",
  cases: [
    ...KERNELS.map(({ name, title }) => ({ name, title })),
    { name: MEAN, title: "geometric mean of the ratios", goal: { ratio: 1.7 } },
  ],
  bootsLinux: true,
  quick: true,
  async run(bench, cases) {
    const names = KERNELS.map(({ name }) => name).filter((name) => cases.has(name) || cases.has(MEAN));
    const initramfs = kernelInitramfs(bench, names);
    const options = bench.guest.initramfsOptions(initramfs, "512M");
    const { ours, qemu } = await inTurn(bench, "Linux", (emulator) => runAll(emulator, options, names));
    const ratios: number[] = [];
    for (const name of names) {
      const of = (rounds: typeof ours): KernelRun[] => rounds.map((round) => round.get(name)!);
      const sums = (rounds: typeof ours): string[] => of(rounds).map(({ sum }) => sum);
      const seconds = (rounds: typeof ours): number[] => of(rounds).map(({ seconds }) => seconds);
      checkSums(name, { ours: sums(ours), qemu: sums(qemu) });
      if (cases.has(name)) bench.record(name, { ours: seconds(ours), qemu: seconds(qemu) });
      ratios.push(median(seconds(qemu)) / median(seconds(ours)));
    }
    if (cases.has(MEAN)) recordMean(bench, ratios);
  },
};

function recordMean(bench: Bench, ratios: readonly number[]): void {
  const hasQemu = bench.emulators.some(({ kind }) => kind === "qemu");
  bench.record(MEAN, { ours: [], qemu: [], ratio: hasQemu ? geometricMean(ratios) : "none" });
}

async function runAll(
  emulator: Emulator,
  options: readonly string[],
  names: readonly string[],
): Promise<Map<string, KernelRun>> {
  await using machine = emulator.start(options);
  const { match } = await machine.until(/^mmu\s*: (\S+)\r?\n/m, BOOT_TIMEOUT);
  if (match[1] !== "sv39") throw new BenchError(`${emulator.name}: Linux chose ${match[1]} instead of sv39`);
  const runs = new Map<string, KernelRun>();
  for (const name of names) {
    const begin = await machine.until(new RegExp(`^begin ${name}\r?\n`, "m"), KERNEL_TIMEOUT);
    const end = await machine.until(new RegExp(`^(end|failed) ${name}\r?\n`, "m"), KERNEL_TIMEOUT, begin.end);
    const sum = machine.transcript.find(/^sum ([0-9a-f]{16})/m, begin.end)?.match[1];
    if (end.match[1] !== "end" || sum === undefined)
      throw new BenchError(`${emulator.name}: ${name} fails under Linux`);
    runs.set(name, { seconds: end.at - begin.at, sum });
  }
  return runs;
}
