// The benchmark's main program: measures what the options choose, prints the table, writes bench/results/latest.json and
// compares with bench/baseline.json. docs/benchmarks.md

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { terminalProgress } from "../scripts/progress.mjs";
import { NotObtained } from "../src/node/guest/cache.ts";
import { UserError } from "../src/util/user-error.ts";
import { findCompiler, NO_COMPILER } from "./compiler.ts";
import { findEmulators } from "./emulators.ts";
import { type BenchGuest, findBenchGuest } from "./guest.ts";
import { describeHost, watchHost } from "./host.ts";
import { type Choice, choose, HELP, type Options, parseOptions, rowName } from "./options.ts";
import { type Baseline, updateBaseline } from "./results.ts";
import { runChoice, type Tools } from "./run.ts";
import { benchmarks } from "./suites/all.ts";
import { formatTable } from "./table.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const BASELINE = path("baseline.json");
const RESULTS = path("results/latest.json");
const CACHE = path("../.cache/bench");

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const choices = choose(benchmarks, options);
  if (options.list) {
    process.stdout.write(`${formatList(choices)}\n`);
    return;
  }
  await measure(options, choices);
}

function formatList(choices: readonly Choice[]): string {
  const lines = choices.flatMap(({ benchmark, cases }) => [
    `${benchmark.title} (${benchmark.unit}, ${benchmark.better} is better)`,
    ...benchmark.cases
      .filter(({ name }) => cases.has(name))
      .map(({ name, title }) => `  ${rowName(benchmark, name).padEnd(22)}${title}`),
  ]);
  return lines.join("\n");
}

async function measure(options: Options, choices: readonly Choice[]): Promise<void> {
  const progress = terminalProgress(process.stderr, process.env);
  const emulators = findEmulators(process.env);
  const compiler = findCompiler(process.env, CACHE);
  const wantsGuest = choices.some(({ benchmark }) => benchmark.bootsLinux === true);
  const guest = wantsGuest ? await guestOrReason(options, progress) : "not asked for";
  const tools: Tools = { emulators, compiler: compiler ?? NO_COMPILER, guest, cache: CACHE };
  const baseline = readBaseline();
  const howQuiet = watchHost();

  const results = [];
  for (const choice of choices) results.push(...(await runChoice(choice, tools, options.runs, baseline, progress)));

  const quietness = howQuiet();
  const host = describeHost();
  const versions = {
    plantain: `${emulators[0]!.version}, commit ${commit()}`,
    qemu: emulators.find(({ kind }) => kind === "qemu")?.version ?? "not installed, so there are no ratios",
    compiler: compiler?.version ?? "none",
    linux: typeof guest === "string" ? "none" : guest.title,
  };
  const date = new Date().toISOString();
  const heading = [
    `${date}  ${host.cpu}, ${host.processors} processors, ${host.memoryGiB} GiB, ${host.system}, Node ${host.node}`,
    `Plantain: ${versions.plantain}`,
    `QEMU:     ${versions.qemu}`,
    `Compiler: ${versions.compiler}`,
    `Linux:    ${versions.linux}`,
    `Medians of ${options.runs} run${options.runs === 1 ? "" : "s"}. Ratios: how many times better than QEMU, above 1 is faster.`,
    ...(quietness.warning === undefined ? [] : [`Warning: ${quietness.warning}`]),
  ];
  process.stdout.write(`\n${heading.join("\n")}\n\n${formatTable(results)}\n`);
  mkdirSync(path("results"), { recursive: true });
  const { runs } = options;
  writeFileSync(RESULTS, `${JSON.stringify({ date, host, versions, quietness, runs, results }, undefined, 2)}\n`);
  if (options.updateBaseline) {
    const next = updateBaseline(baseline, results, { date, cpu: host.cpu, qemu: versions.qemu });
    writeFileSync(BASELINE, `${JSON.stringify(next, undefined, 2)}\n`);
    process.stdout.write("\nThese ratios are now the baseline: bench/baseline.json\n");
  }
  if (results.some(({ state }) => state === "failed")) process.exitCode = 1;
}

async function guestOrReason(
  options: Options,
  progress: ReturnType<typeof terminalProgress>,
): Promise<BenchGuest | string> {
  try {
    return await findBenchGuest(options.guest, process.env, progress);
  } catch (error) {
    if (!(error instanceof NotObtained)) throw error;
    return `no Linux guest here: ${error.message}`;
  }
}

function readBaseline(): Baseline | undefined {
  return existsSync(BASELINE) ? (JSON.parse(readFileSync(BASELINE, "utf8")) as Baseline) : undefined;
}

/** The commit that was measured; `+` stands for changes that are in none. */
function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync("git", args, { cwd: path(".."), encoding: "utf8" }).trim();
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain", "-uno") === "" ? "" : "+"}`;
  } catch {
    return "unknown";
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}
