// The command `plantain`. bin/launch.cjs starts it with a Node that can.

import { readFileSync, writeFileSync } from "node:fs";
import { isatty } from "node:tty";
import { virtBoard } from "../boards/virt.ts";
import { cpuModels } from "../machine/cpu.ts";
import { writeText } from "../node/output-buffer.ts";
import { Terminal } from "../node/tty.ts";
import { readConfig } from "./config-file.ts";
import { runCommand } from "./run-command.ts";
import { startMachine } from "./start-machine.ts";

const boards = [virtBoard];

const status = await runCommand(process.argv.slice(2), {
  catalog: { boards, cpus: cpuModels },
  createMachine: (config, host) => startMachine(config, host, boards),
  readConfig: (words) => readConfig(words, process.cwd()),
  terminal: new Terminal(() => process.stdin),
  version: () => JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version,
  writeOutput: (text) => writeText(1, text),
  writeError: (text) => writeText(2, text),
  writeFile: writeFileSync,
  colour: { output: colourful(1), error: colourful(2) },
});
process.exit(status);

/** Colours only where a person sees them and has not asked for none (no-color.org). */
function colourful(fd: number): boolean {
  const { NO_COLOR, TERM } = process.env;
  return isatty(fd) && (NO_COLOR ?? "") === "" && TERM !== "dumb";
}
