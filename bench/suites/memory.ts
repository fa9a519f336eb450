// Resident memory beyond guest RAM. How much of its RAM the guest has touched is not to be seen from outside, so the guest of
// the second measurement touches all of it at the end.

import { type Bench, type Benchmark, inTurn, Skipped } from "../benchmark.ts";
import type { EmulatorProcess } from "../emulator-process.ts";
import { KERNEL_TIMEOUT, KERNELS, kernelInitramfs } from "../kernels.ts";
import { BOOT_TIMEOUT, LOGIN } from "./boot.ts";

/** Memory does not vary as times do. */
const ONCE = { runs: 1 };
const MB = 1e6;
const MIB = 2 ** 20;
/** The board's RAM unless `-m` says otherwise. */
const DEFAULT_RAM = 128 * MIB;
const KERNELS_RAM = 512 * MIB;

export const memory: Benchmark = {
  name: "memory",
  title: "Resident memory",
  unit: "MB",
  better: "lower",
  cases: [
    { name: "login", title: "at the login prompt, guest RAM included" },
    { name: "login-beyond", title: "at the login prompt, beyond guest RAM", goal: { value: 300 } },
    { name: "kernels-beyond", title: "after all kernels under Linux, beyond guest RAM", goal: { value: 300 } },
  ],
  bootsLinux: true,
  async run(bench, cases) {
    if (cases.has("login") || cases.has("login-beyond")) await measureLogin(bench, cases);
    if (cases.has("kernels-beyond")) await measureKernels(bench);
  },
};

async function measureLogin(bench: Bench, cases: ReadonlySet<string>): Promise<void> {
  const options = bench.guest.articleOptions();
  const { ours, qemu } = await inTurn(
    bench,
    "login",
    async (emulator) => {
      await using machine = emulator.start(options);
      await machine.until(LOGIN, BOOT_TIMEOUT);
      return resident(machine);
    },
    ONCE,
  );
  const beyond = (bytes: readonly number[]): number[] => bytes.map((value) => (value - DEFAULT_RAM) / MB);
  const all = (bytes: readonly number[]): number[] => bytes.map((value) => value / MB);
  if (cases.has("login")) bench.record("login", { ours: all(ours), qemu: all(qemu), ratio: "none" });
  if (!cases.has("login-beyond")) return;
  const note = "lower bound: as if the guest had touched all of its 128 MiB; the upper bound is the row above";
  bench.record("login-beyond", { ours: beyond(ours), qemu: beyond(qemu), ratio: "none", note });
}

async function measureKernels(bench: Bench): Promise<void> {
  const initramfs = kernelInitramfs(
    bench,
    KERNELS.map(({ name }) => name),
  );
  const options = bench.guest.initramfsOptions(initramfs, "512M");
  const { ours, qemu } = await inTurn(
    bench,
    "kernels",
    async (emulator) => {
      await using machine = emulator.start(options);
      await machine.until(/^memory touched\r?\n/m, KERNELS.length * KERNEL_TIMEOUT);
      return (resident(machine) - KERNELS_RAM) / MB;
    },
    ONCE,
  );
  const note = "the guest has touched all but some 12 MiB of its 512 MiB";
  bench.record("kernels-beyond", { ours, qemu, ratio: "none", note });
}

function resident(machine: EmulatorProcess): number {
  const bytes = machine.usage().resident;
  if (bytes === undefined) throw new Skipped("this system has no /proc to tell a process's memory");
  return bytes;
}
