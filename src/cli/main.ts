// The command `plantain`. bin/launch.cjs starts it with a Node that can.

import { readFileSync, writeFileSync } from "node:fs";
import { isatty } from "node:tty";
import { virtBoard } from "../boards/virt.ts";
import { cpuModels } from "../machine/cpu.ts";
import { writeText } from "../node/output-buffer.ts";
import { SlowOutput } from "../node/slow-output.ts";
import { Terminal } from "../node/tty.ts";
import { readConfig } from "./config-file.ts";
import { runCommand } from "./run-command.ts";
import { startMachine } from "./start-machine.ts";

const boards = [virtBoard];

/** How long readers of standard error have for what they did not take yet, at the end. */
const LAST_WORDS_MS = 20;
const errors = new SlowOutput(2);
const encoder = new TextEncoder();

const status = await runCommand(process.argv.slice(2), {
  catalog: { boards, cpus: cpuModels },
  createMachine: (config, host, tell) => startMachine(config, host, boards, tell),
  readConfig: (words) => readConfig(words, process.cwd()),
  terminal: new Terminal(() => process.stdin),
  version: () => JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version,
  writeOutput: (text) => writeText(1, text),
  writeError: (text) => errors.write(encoder.encode(text)),
  writeFile: writeFileSync,
  colour: { output: colourful(1), error: colourful(2) },
});
await Promise.race([errors.drained(), new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS))]);
process.exit(status);

/** Colours only where a person sees them and has not asked for none (no-color.org). */
function colourful(fd: number): boolean {
  const { NO_COLOR, TERM } = process.env;
  return isatty(fd) && (NO_COLOR ?? "") === "" && TERM !== "dumb";
}
