// The second part of `npm test`, run by the project's own Node: obtains the guest for the whole-machine tests, runs Vitest
// with the arguments given, and tells at the end which tests were skipped and how many of each kind there were.

import { writeFileSync } from "node:fs";
import { parseCLI, startVitest } from "vitest/node";
import { NotObtained } from "../src/node/guest/cache.ts";
import { obtainGuest } from "../src/node/guest/guest.ts";
import { CountReporter } from "./count-reporter.ts";
import { terminalProgress } from "./progress.mjs";

try {
  await obtainGuest(process.env, terminalProgress(process.stderr, process.env));
} catch (error) {
  if (!(error instanceof NotObtained)) throw error;
  // The tests that need the guest say this when they skip.
  process.env["PLANTAIN_NO_GUEST"] = error.message;
  process.stderr.write(`No Linux guest here: ${error.message}. The tests that need one are skipped.\n`);
}

const { filter, options } = parseCLI(["vitest", "run", ...process.argv.slice(2)]);
const reporter = new CountReporter();
const vitest = await startVitest("test", filter, { ...options, reporters: ["default", reporter] });
await vitest.close();
process.stdout.write(`${reporter.report()}\n`);
const target = process.env["PLANTAIN_TEST_COUNTS"];
if (target !== undefined) writeFileSync(target, `${reporter.counts()}\n`);
