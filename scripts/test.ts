// The second part of `npm test`, run by the project's own Node: obtains what the whole-machine tests need, runs Vitest
// with the arguments given, and tells at the end which tests were skipped and how many of each kind there were. With `--long`
// (`npm run test:long`) tests that have more to try do so: far more random programs, an hour of code that comes and goes.

import { writeFileSync } from "node:fs";
import { parseCLI, startVitest } from "vitest/node";
import { NotObtained } from "../src/node/guest/cache.ts";
import { obtainGuest } from "../src/node/guest/guest.ts";
import { obtainKernelBuild } from "../src/node/guest/kernel-build.ts";
import { makeBundle } from "./bundle.mjs";
import { CountReporter } from "./count-reporter.ts";
import { terminalProgress } from "./progress.mjs";
import { root } from "./setup.mjs";

const progress = terminalProgress(process.stderr, process.env);
const guest = await attempt("PLANTAIN_NO_GUEST", "Linux guest", () => obtainGuest(process.env, progress));
if (guest !== undefined) {
  await attempt("PLANTAIN_NO_KERNEL_BUILD", "kernel headers", () => obtainKernelBuild(process.env, guest, progress));
}

// The tests start the command as users do.
await makeBundle(root);

/** Obtains what some tests need; what cannot be had is told to them by a variable, and their titles tell it when they skip. */
async function attempt<T>(variable: string, what: string, obtain: () => Promise<T>): Promise<T | undefined> {
  try {
    return await obtain();
  } catch (error) {
    if (!(error instanceof NotObtained)) throw error;
    process.env[variable] = error.message;
    process.stderr.write(`No ${what} here: ${error.message}. The tests that need it are skipped.\n`);
    return undefined;
  }
}

const words = process.argv.slice(2);
if (words.includes("--long")) process.env["PLANTAIN_LONG_TESTS"] = "1";
const { filter, options } = parseCLI(["vitest", "run", ...words.filter((word) => word !== "--long")]);
const reporter = new CountReporter();
const vitest = await startVitest("test", filter, { ...options, reporters: ["default", reporter] });
await vitest.close();
process.stdout.write(`${reporter.report()}\n`);
const target = process.env["PLANTAIN_TEST_COUNTS"];
if (target !== undefined) writeFileSync(target, `${reporter.counts()}\n`);
