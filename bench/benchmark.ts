// What a benchmark is. Each is one file in suites/; suites/all.ts lists them. docs/benchmarks.md tells what they measure.

import type { Compiler } from "./compiler.ts";
import type { Emulator } from "./emulators.ts";
import type { BenchGuest } from "./guest.ts";

/** What the project wants to reach: at least a ratio, or a value on the good side of a bound. */
export type Goal = { readonly ratio: number } | { readonly value: number };

/** One row of the table. */
export interface Case {
  /** Unique in its benchmark; the row's name is `benchmark/case`, or `benchmark` for the case "". */
  readonly name: string;
  readonly title: string;
  readonly goal?: Goal;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  readonly unit: "s" | "ms" | "M/s" | "MIPS" | "MB" | "% of a core" | "lines";
  readonly better: "lower" | "higher";
  readonly cases: readonly Case[];
  /** It boots Linux: the guest is obtained before. */
  readonly bootsLinux?: boolean;
  /** Part of `--quick`. */
  readonly quick?: boolean;
  /**
   * Measures the chosen cases and records each with `bench.record`. What it throws (`Skipped`, or a failure) is told for the
   * cases that are not recorded.
   */
  run(bench: Bench, cases: ReadonlySet<string>): Promise<void>;
}

/** What one case came to. */
export interface Measurement {
  /** A value for each round. */
  readonly ours: readonly number[];
  /** Empty where there is nothing to compare with. */
  readonly qemu: readonly number[];
  /** CPU seconds of the whole process, where the value is its wall time. */
  readonly oursCpu?: readonly number[];
  readonly qemuCpu?: readonly number[];
  /** A ratio that does not come from the values; `none` where a ratio would say nothing. */
  readonly ratio?: number | "none";
  /** What a reader has to know of this row. */
  readonly note?: string;
}

/** What a benchmark works with. */
export interface Bench {
  readonly runs: number;
  /** Ours first; QEMU where it is installed. */
  readonly emulators: readonly Emulator[];
  /** Throws `Skipped` where there is none. */
  readonly compiler: Compiler;
  /** Throws `Skipped` where there is none. */
  readonly guest: BenchGuest;
  /** For files that can be made again. */
  readonly cache: string;
  record(caseName: string, measurement: Measurement): void;
  /** How far the benchmark is, 0 to 1. */
  update(fraction: number, detail: string): void;
}

/** A benchmark cannot run here; the message is the reason. */
export class Skipped extends Error {}

/** A measurement went wrong: a wrong answer, an emulator that ended too early or not at all. */
export class BenchError extends Error {
  /** All that the emulator printed. */
  readonly console: string | undefined;

  constructor(message: string, options: { readonly console?: string; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.console = options.console;
  }
}

/** What each emulator gave, round by round. */
export interface Rounds<T> {
  readonly ours: T[];
  readonly qemu: T[];
}

/** Deviations of one measurement from the usual. */
interface TurnOptions {
  /** The part of the benchmark's progress that this is. */
  readonly from?: number;
  readonly to?: number;
  readonly runs?: number;
  readonly emulators?: readonly Emulator[];
}

/** Runs the emulators in turn, as often as wanted, so that a busy minute of the machine hits all of them. */
export async function inTurn<T>(
  bench: Bench,
  label: string,
  run: (emulator: Emulator) => Promise<T>,
  { from = 0, to = 1, runs = bench.runs, emulators = bench.emulators }: TurnOptions = {},
): Promise<Rounds<T>> {
  const rounds: Rounds<T> = { ours: [], qemu: [] };
  const total = runs * emulators.length;
  let done = 0;
  for (let round = 0; round < runs; round++) {
    for (const emulator of emulators) {
      bench.update(from + ((to - from) * done++) / total, `${label} ${emulator.name} ${round + 1}/${runs}`);
      rounds[emulator.kind].push(await run(emulator));
    }
  }
  return rounds;
}
