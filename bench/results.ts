// From measurements to rows: medians, ratios, whether the goal is reached, how it stands beside the baseline.

import type { Benchmark, Case, Goal, Measurement } from "./benchmark.ts";
import { rowName } from "./options.ts";
import { median } from "./statistics.ts";

/** Ratios to compare with, as bench/baseline.json has them. */
export interface Baseline {
  /** Where the ratios come from, for the reader. */
  readonly measured: { readonly date: string; readonly cpu: string; readonly qemu: string };
  readonly ratios: Readonly<Record<string, number>>;
}

/** A ratio that is worse than the baseline's by more than this part of it is a regression. */
const REGRESSION = 0.15;

export interface Series {
  readonly median: number;
  readonly samples: readonly number[];
  /** CPU seconds of the whole process. */
  readonly cpu?: number;
}

/** A row of the table, and an entry of the JSON file. */
export interface Result {
  readonly name: string;
  readonly title: string;
  readonly unit: Benchmark["unit"];
  readonly better: Benchmark["better"];
  readonly state: "measured" | "skipped" | "failed";
  /** Why it was skipped or failed. */
  readonly reason?: string;
  readonly ours?: Series;
  readonly qemu?: Series;
  /** How much better ours is than QEMU: above 1 is better, whatever the unit. */
  readonly ratio?: number;
  /** The same from CPU seconds, which a busy machine disturbs less. */
  readonly cpuRatio?: number;
  readonly baseline?: number;
  readonly regression?: boolean;
  readonly goal?: Goal;
  readonly reached?: boolean;
  readonly note?: string;
}

/** The row of a case that was measured. */
export function measured(
  benchmark: Benchmark,
  { name, title, goal }: Case,
  measurement: Measurement,
  baseline?: Baseline,
): Result {
  const row = rowName(benchmark, name);
  const { unit, better } = benchmark;
  const ours = series(measurement.ours, measurement.oursCpu);
  const qemu = series(measurement.qemu, measurement.qemuCpu);
  const ratio = ratioOf(better, measurement, ours, qemu);
  const cpuRatio = ours?.cpu === undefined || qemu?.cpu === undefined ? undefined : qemu.cpu / ours.cpu;
  const before = baseline?.ratios[row];
  const reached = goal === undefined ? undefined : isReached(goal, better, ratio, ours?.median);
  return {
    ...{ name: row, title, unit, better, state: "measured" },
    ...(ours && { ours }),
    ...(qemu && { qemu }),
    ...(ratio !== undefined && { ratio }),
    ...(cpuRatio !== undefined && { cpuRatio }),
    ...(before !== undefined &&
      ratio !== undefined && { baseline: before, regression: ratio < before * (1 - REGRESSION) }),
    ...(goal && { goal }),
    ...(reached !== undefined && { reached }),
    ...(measurement.note !== undefined && { note: measurement.note }),
  };
}

/** The row of a case that has no measurement. */
export function unmeasured(
  benchmark: Benchmark,
  { name, title }: Case,
  state: "skipped" | "failed",
  reason: string,
): Result {
  const { unit, better } = benchmark;
  return { name: rowName(benchmark, name), title, unit, better, state, reason };
}

function series(samples: readonly number[], cpu?: readonly number[]): Series | undefined {
  if (samples.length === 0) return undefined;
  return { median: median(samples), samples, ...(cpu !== undefined && cpu.length > 0 && { cpu: median(cpu) }) };
}

function ratioOf(
  better: Benchmark["better"],
  { ratio }: Measurement,
  ours?: Series,
  qemu?: Series,
): number | undefined {
  if (ratio === "none") return undefined;
  if (ratio !== undefined) return ratio;
  if (ours === undefined || qemu === undefined) return undefined;
  return better === "lower" ? qemu.median / ours.median : ours.median / qemu.median;
}

function isReached(goal: Goal, better: Benchmark["better"], ratio?: number, value?: number): boolean | undefined {
  if ("ratio" in goal) return ratio === undefined ? undefined : ratio >= goal.ratio;
  if (value === undefined) return undefined;
  return better === "lower" ? value <= goal.value : value >= goal.value;
}

/** The baseline with the ratios of these results; those that were not measured stay as they are. */
export function updateBaseline(
  old: Baseline | undefined,
  results: readonly Result[],
  measured: Baseline["measured"],
): Baseline {
  const ratios: Record<string, number> = { ...old?.ratios };
  for (const { name, ratio } of results) {
    if (ratio !== undefined) ratios[name] = Number(ratio.toPrecision(3));
  }
  return { measured, ratios };
}
