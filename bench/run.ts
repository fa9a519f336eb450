// Runs one benchmark and turns what it recorded into rows: what it did not record is told as skipped or failed.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Progress } from "../src/node/guest/progress.ts";
import { type Bench, BenchError, type Measurement, Skipped } from "./benchmark.ts";
import type { Compiler } from "./compiler.ts";
import type { Emulator } from "./emulators.ts";
import type { BenchGuest } from "./guest.ts";
import type { Choice } from "./options.ts";
import { type Baseline, measured, type Result, unmeasured } from "./results.ts";

/** What this machine offers; a string says why it does not. */
export interface Tools {
  readonly emulators: readonly Emulator[];
  readonly compiler: Compiler | string;
  readonly guest: BenchGuest | string;
  readonly cache: string;
}

export async function runChoice(
  { benchmark, cases }: Choice,
  tools: Tools,
  runs: number,
  baseline: Baseline | undefined,
  progress: Progress,
): Promise<Result[]> {
  const step = progress.step(benchmark.title);
  const found = new Map<string, Measurement>();
  let state: "skipped" | "failed" = "failed";
  let reason = "it did not measure this";
  try {
    await benchmark.run(
      {
        runs,
        emulators: tools.emulators,
        get compiler() {
          return orSkip(tools.compiler);
        },
        get guest() {
          return orSkip(tools.guest);
        },
        cache: tools.cache,
        record: (name, measurement) => found.set(name, measurement),
        update: (fraction, detail) => step.update(fraction, detail),
      } satisfies Bench,
      cases,
    );
    step.done();
  } catch (error) {
    if (!(error instanceof Skipped || error instanceof BenchError)) throw error;
    reason = error.message;
    if (error instanceof Skipped) {
      state = "skipped";
      step.done(`skipped, ${reason}`);
    } else {
      step.fail();
      if (error.console !== undefined)
        reason += `; its console: ${keepConsole(tools.cache, benchmark.name, error.console)}`;
    }
  }
  return benchmark.cases
    .filter(({ name }) => cases.has(name))
    .map((item) => {
      const measurement = found.get(item.name);
      if (measurement === undefined) return unmeasured(benchmark, item, state, reason);
      return measured(benchmark, item, measurement, baseline);
    });
}

function keepConsole(folder: string, name: string, text: string): string {
  const path = join(folder, `failed-${name}.txt`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, text);
  return path;
}

function orSkip<T>(tool: T | string): T {
  if (typeof tool === "string") throw new Skipped(tool);
  return tool;
}
