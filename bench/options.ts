// The options of `npm run bench`, and which benchmarks they choose.

import { parseArgs } from "node:util";
import { didYouMean } from "../src/util/nearest.ts";
import { UserError } from "../src/util/user-error.ts";
import type { Benchmark } from "./benchmark.ts";
import type { GuestOptions } from "./guest.ts";

export const HELP = `npm run bench -- [OPTION...]

  --runs N            rounds of each measurement (3)
  --quick             one round of the kernels only
  --only NAME,...     these benchmarks (bare) or rows (bare/k1) only
  --list              name the benchmarks and their rows
  --update-baseline   keep the measured ratios as the ones to compare with
  --kernel FILE       boot this kernel instead of the cached guest's,
  --bios FILE           with this firmware,
  --initrd FILE         this initramfs,
  --rootfs FILE         this raw disk image
  --append TEXT         and this kernel command line
`;

export interface Options {
  readonly runs: number;
  readonly quick: boolean;
  readonly list: boolean;
  readonly help: boolean;
  readonly updateBaseline: boolean;
  readonly only: readonly string[];
  readonly guest: GuestOptions;
}

/** @throws UserError that names the wrong option */
export function parseOptions(args: readonly string[]): Options {
  const flag = { type: "boolean", default: false } as const;
  const text = { type: "string" } as const;
  const { values } = parse(() =>
    parseArgs({
      args: [...args],
      options: {
        ...{ runs: text, only: text, kernel: text, bios: text, initrd: text, rootfs: text, append: text },
        ...{ quick: flag, list: flag, help: flag, "update-baseline": flag },
      },
    }),
  );
  const runs = values.runs ?? (values.quick ? "1" : "3");
  if (!/^[1-9]\d{0,2}$/.test(runs)) throw new UserError(`--runs ${runs}: expected a number from 1 to 999`);
  const { quick, list, help, kernel, bios, initrd, rootfs, append } = values;
  return {
    runs: Number(runs),
    quick,
    list,
    help,
    updateBaseline: values["update-baseline"],
    only: (values.only ?? "").split(",").filter((name) => name !== ""),
    guest: { kernel, bios, initrd, rootfs, append },
  };
}

function parse<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new UserError(`${(error as Error).message.split(". ", 1)[0]} (--help lists the options)`, { cause: error });
  }
}

/** The name of a row. */
export function rowName(benchmark: Benchmark, caseName: string): string {
  return caseName === "" ? benchmark.name : `${benchmark.name}/${caseName}`;
}

/** A benchmark and the names of the cases to measure. */
export interface Choice {
  readonly benchmark: Benchmark;
  readonly cases: ReadonlySet<string>;
}

/**
 * The benchmarks and cases that the options ask for, in the order of the table.
 * @throws UserError for a name that does not exist
 */
export function choose(benchmarks: readonly Benchmark[], { only, quick }: Options): Choice[] {
  const rows = benchmarks.flatMap((benchmark) => benchmark.cases.map(({ name }) => rowName(benchmark, name)));
  const known = new Set([...benchmarks.map(({ name }) => name), ...rows]);
  for (const name of only) {
    if (!known.has(name)) throw new UserError(`--only ${name}: there is no such benchmark${didYouMean(name, known)}`);
  }
  const isChosen = (benchmark: Benchmark, caseName: string): boolean => {
    if (only.length === 0) return !quick || benchmark.quick === true;
    return only.includes(benchmark.name) || only.includes(rowName(benchmark, caseName));
  };
  return benchmarks
    .map((benchmark) => ({
      benchmark,
      cases: new Set(benchmark.cases.map(({ name }) => name).filter((name) => isChosen(benchmark, name))),
    }))
    .filter(({ cases }) => cases.size > 0);
}
