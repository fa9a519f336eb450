// `node scripts/guest.mjs`: obtains the Linux guest and prints, as JSON, where its files are.

import { obtainGuest } from "../src/node/guest/guest.ts";
import { UserError } from "../src/util/user-error.ts";
import { terminalProgress } from "./progress.mjs";

try {
  const guest = await obtainGuest(process.env, terminalProgress(process.stderr, process.env));
  process.stdout.write(`${JSON.stringify(guest, undefined, 2)}\n`);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}
