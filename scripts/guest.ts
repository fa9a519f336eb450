// `node scripts/guest.mjs`: obtains the Linux guest and prints, as JSON, where its files are. `--with headers` also obtains
// what it takes to build kernel modules for it, and prints the `make` command.

import { parseArgs } from "node:util";
import { obtainGuest } from "../src/node/guest/guest.ts";
import { obtainKernelBuild } from "../src/node/guest/kernel-build.ts";
import { UserError } from "../src/util/user-error.ts";
import { terminalProgress } from "./progress.mjs";

try {
  const { values } = parseArgs({ options: { with: { type: "string" } } });
  if (values.with !== undefined && values.with !== "headers") {
    throw new UserError(`--with ${values.with}: only headers can be had with the guest`);
  }
  const progress = terminalProgress(process.stderr, process.env);
  const guest = await obtainGuest(process.env, progress);
  const build = values.with === undefined ? undefined : await obtainKernelBuild(process.env, guest, progress);
  const make = build?.make("<folder of the module>");
  process.stdout.write(`${JSON.stringify({ ...guest, make }, undefined, 2)}\n`);
} catch (error) {
  if (!(error instanceof UserError) && !isArgumentError(error)) throw error;
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}

function isArgumentError(error: unknown): error is Error {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}
