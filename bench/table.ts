// The table on the terminal.

import type { Goal } from "./benchmark.ts";
import type { Result, Series } from "./results.ts";
import { spread } from "./statistics.ts";

const HEADINGS = ["", "Plantain", "QEMU", "ratio", "CPU ratio", "baseline", "goal"];
const LEFT = [0, 6];

/** A row for each result, then what has to be said of some of them. */
export function formatTable(results: readonly Result[]): string {
  const rows = results.filter(({ state }) => state === "measured");
  const cells = [HEADINGS, ...rows.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const pad = (text: string, column: number): string =>
    LEFT.includes(column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  const lines = rows.length === 0 ? [] : cells.map((row) => row.map(pad).join("  ").trimEnd());
  const notes = rows.filter(({ note }) => note !== undefined).map(({ name, note }) => `${name}: ${note}`);
  const missing = results.filter(({ state }) => state !== "measured");
  const reasons = Map.groupBy(missing, ({ state, reason }) => `${state}: ${reason}`);
  const left = [...reasons].map(([reason, group]) => `${group.map(({ name }) => name).join(", ")} ${reason}`);
  return [lines, notes, left]
    .filter((part) => part.length > 0)
    .map((part) => part.join("\n"))
    .join("\n\n");
}

function cellsOf({
  name,
  unit,
  better,
  ours,
  qemu,
  ratio,
  cpuRatio,
  baseline,
  regression,
  goal,
  reached,
}: Result): string[] {
  return [
    name,
    ours === undefined ? "" : formatSeries(ours, unit),
    qemu === undefined ? "" : formatSeries(qemu, unit),
    ratio === undefined ? "" : `${ratio.toFixed(2)}x`,
    cpuRatio === undefined ? "" : `${cpuRatio.toFixed(2)}x`,
    baseline === undefined || ratio === undefined ? "" : formatChange(ratio, baseline, regression === true),
    goal === undefined
      ? ""
      : `${formatGoal(goal, unit, better)}${{ true: " ok", false: " MISSED" }[String(reached)] ?? ""}`,
  ];
}

function formatSeries(series: Series, unit: string): string {
  const apart = series.samples.length > 1 ? ` ±${(spread(series.samples) * 100).toFixed(0)}%` : "";
  return `${formatValue(series.median)} ${unit}${apart}`;
}

/** Three digits are more than these measurements are good for. */
function formatValue(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function formatGoal(goal: Goal, unit: string, better: Result["better"]): string {
  if ("ratio" in goal) return `≥ ${formatValue(goal.ratio)}x`;
  return `${better === "lower" ? "≤" : "≥"} ${goal.value} ${unit}`;
}

function formatChange(ratio: number, baseline: number, regression: boolean): string {
  const change = Math.round((ratio / baseline - 1) * 100);
  return `${baseline.toFixed(2)}x ${change < 0 ? "" : "+"}${change}%${regression ? " REGRESSION" : ""}`;
}
