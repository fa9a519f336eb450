// `plantain program FILE.c [OUTPUT]`: a small program for the guest.

import { chmodSync } from "node:fs";
import { makeProgram } from "../../node/guest/build-module.ts";
import { obtainGuest } from "../../node/guest/guest.ts";
import { obtainKernelBuild } from "../../node/guest/kernel-build.ts";
import { toldProgress } from "../config-guest.ts";
import { inputAndOutput, writeMade } from "./arguments.ts";
import type { CommandOutput } from "./table.ts";

/** @throws UserError where the compiler cannot be had, or with its first error */
export async function program(words: readonly string[], { writeOutput }: CommandOutput): Promise<void> {
  const { input, output } = inputAndOutput("program", words, ".c", "");
  const guest = await obtainGuest(process.env, toldProgress);
  const build = await obtainKernelBuild(process.env, guest, toldProgress);
  writeMade("program", output, await makeProgram(input, build));
  chmodSync(output, 0o755);
  writeOutput(`${output} for Linux on riscv64\n`);
}
