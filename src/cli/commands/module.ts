// `plantain module FOLDER`: kernel modules for the guest.

import { join } from "node:path";
import { makeModules } from "../../node/guest/build-module.ts";
import { obtainGuest } from "../../node/guest/guest.ts";
import { obtainKernelBuild } from "../../node/guest/kernel-build.ts";
import { toldProgress } from "../config-guest.ts";
import { positional, writeMade } from "./arguments.ts";
import type { CommandOutput } from "./table.ts";

/** @throws UserError where headers or compiler cannot be had, or with the compiler's first error */
export async function module(words: readonly string[], { writeOutput }: CommandOutput): Promise<void> {
  const [folder] = positional("module", words, "FOLDER", 1) as [string];
  const guest = await obtainGuest(process.env, toldProgress);
  const build = await obtainKernelBuild(process.env, guest, toldProgress);
  for (const [name, bytes] of await makeModules(folder, build)) {
    const path = join(folder, name);
    writeMade("module", path, bytes);
    writeOutput(`${path} for Linux ${guest.kernelRelease}\n`);
  }
}
