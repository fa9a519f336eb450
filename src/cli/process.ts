// The command in a process of its own: its words, terminal, output and files are the process's.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isatty } from "node:tty";
import { virtBoard } from "../boards/virt.ts";
import { cpuModels } from "../machine/cpu.ts";
import { keptEngines } from "../node/engine-cache.ts";
import type { LoopWatch } from "../node/loop-watch.ts";
import { writeText } from "../node/output-buffer.ts";
import { rootFolder } from "../node/root-folder.ts";
import { SlowOutput } from "../node/slow-output.ts";
import type { TranslatorThreads } from "../node/thread-compiler.ts";
import { Terminal } from "../node/tty.ts";
import { readConfig } from "./config-file.ts";
import { runCommand } from "./run-command.ts";
import { startMachine } from "./start-machine.ts";

const boards = [virtBoard];

/** How long readers of standard error have for what they did not take yet, at the end. */
const LAST_WORDS_MS = 20;

/** Runs a command line. Returns the exit status. */
export async function runProcess(words: readonly string[], translators: TranslatorThreads): Promise<number> {
  const errors = new SlowOutput(2);
  const encoder = new TextEncoder();
  let loops: LoopWatch | undefined;
  // Only where there is code of the user's: it costs a thread.
  const watchLoops = async () => {
    const { LoopWatch } = await import("../node/loop-watch.ts");
    loops ??= new LoopWatch(process.env);
    return loops;
  };
  const status = await runCommand(words, {
    catalog: { boards, cpus: cpuModels },
    createMachine: (config, host, tell, endless) =>
      startMachine(config, { ...host, modules: keptEngines() }, boards, tell, endless, watchLoops),
    readConfig: (words) => readConfig(words, process.cwd(), watchLoops),
    terminal: new Terminal(() => process.stdin),
    translators,
    version: () => JSON.parse(readFileSync(join(rootFolder(), "package.json"), "utf8")).version,
    writeOutput: (text) => writeText(1, text),
    writeError: (text) => errors.write(encoder.encode(text)),
    writeFile: writeFileSync,
    colour: { output: colourful(1), error: colourful(2) },
  });
  await Promise.race([errors.drained(), new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS))]);
  return status;
}

/** Colours only where a person sees them and has not asked for none (no-color.org). */
function colourful(fd: number): boolean {
  const { NO_COLOR, TERM } = process.env;
  return isatty(fd) && (NO_COLOR ?? "") === "" && TERM !== "dumb";
}
