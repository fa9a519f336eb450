// The first part of set-up: the npm packages, and with them the Node that runs everything else. Plain JavaScript for any
// Node from 20 on, with nothing installed.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { terminalProgress } from "./progress.mjs";

/** The checkout. */
export const root = fileURLToPath(new URL("..", import.meta.url));

const LOCK_POLL_MS = 200;
const NODE_VERSION = 24;

/**
 * Sets up, then ends as a script beside this file ends when the project's own Node runs it.
 *
 * @param {string} script
 * @returns {Promise<void>}
 */
export async function runScript(script) {
  try {
    const node = await ensurePackages(terminalProgress(process.stderr, process.env));
    await become(node, [join(root, "scripts", script), ...process.argv.slice(2)]);
  } catch (error) {
    process.stderr.write(`plantain: ${/** @type {Error} */ (error).message}\n`);
    process.exitCode = 1;
  }
}

/**
 * Installs the npm packages if node_modules is not what the lock file says, and returns the Node to run the project with.
 *
 * @param {import("../src/node/guest/progress.ts").Progress} progress
 * @returns {Promise<string>}
 */
export async function ensurePackages(progress) {
  const node = join(root, "node_modules", "node", "bin", "node");
  if (isInstalled(root) && existsSync(node)) return node;
  const unlock = await lock(progress);
  try {
    if (isInstalled(root) && existsSync(node)) return node;
    const step = progress.step("Installing the npm packages");
    const complaint = await install(step);
    if (complaint === undefined && existsSync(node)) {
      step.done();
      return node;
    }
    step.fail(complaint ?? "the package node has brought no program (are install scripts switched off?)");
    // The packages are tools; a Node that is new enough can do without them.
    if (Number.parseInt(process.versions.node, 10) >= NODE_VERSION) return process.execPath;
    throw new Error(
      `this machine's Node is ${process.versions.node}, and Plantain needs ${NODE_VERSION}, which npm would have installed`,
    );
  } finally {
    unlock();
  }
}

/**
 * Whether node_modules holds what package-lock.json lists. npm keeps a lock file of what it has installed; optional packages
 * (those of other platforms) may be missing from it.
 *
 * @param {string} folder
 */
export function isInstalled(folder) {
  try {
    const wanted = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")).packages;
    const present = JSON.parse(readFileSync(join(folder, "node_modules", ".package-lock.json"), "utf8")).packages;
    return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
      if (path === "") return true;
      const found = present[path];
      if (found === undefined) return optional === true;
      return found.version === version && found.integrity === integrity;
    });
  } catch {
    return false;
  }
}

/**
 * Runs `npm ci`; returns what it complained of, or undefined.
 *
 * @param {import("../src/node/guest/progress.ts").Step} step
 * @returns {Promise<string | undefined>}
 */
async function install(step) {
  const lockFile = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  // Optional packages are those of other platforms, but for a few.
  const expected = Object.values(lockFile.packages).filter(({ optional }) => optional !== true).length;
  // npm tells its scripts where it is itself; started without it, it is on the PATH.
  const self = process.env["npm_execpath"];
  const [command, ...first] = self === undefined ? ["npm"] : [process.execPath, self];
  const args = [...first, "ci", "--include=dev", "--no-audit", "--no-fund", "--no-progress", "--loglevel=http"];
  const child = spawn(/** @type {string} */ (command), args, { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  let fetched = 0;
  let complaint = "";
  createInterface({ input: child.stderr }).on("line", (line) => {
    // One line for each answer of the registry: package records first, then the packages themselves.
    if (/^npm http .*\.tgz/.test(line)) step.update(Math.min(++fetched / expected, 0.99), `${fetched} packages`);
    const error = /^npm (?:error|ERR!) (?!code |errno |A complete log)(.+)/.exec(line)?.[1];
    if (error !== undefined && complaint === "") complaint = error;
  });
  return await new Promise((resolve) => {
    child.on("error", (error) => resolve(`npm does not start: ${error.message}`));
    child.on("close", (status) =>
      resolve(status === 0 ? undefined : complaint || `npm ci ended with status ${status}`),
    );
  });
}

/**
 * Keeps two set-ups of one checkout from installing at once. The file names the process that has it; a dead one's is removed.
 *
 * @param {import("../src/node/guest/progress.ts").Progress} progress
 * @returns {Promise<() => void>}
 */
async function lock(progress) {
  const folder = join(root, ".cache");
  const path = join(folder, "npm-ci.lock");
  mkdirSync(folder, { recursive: true });
  let waiting;
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      waiting?.done();
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    const holder = Number(existsSync(path) ? readFileSync(path, "utf8") : 0);
    if (holder > 0 && !isRunning(holder)) rmSync(path, { force: true });
    else waiting ??= progress.step(`Waiting for another set-up of this checkout (process ${holder})`);
    await sleep(LOCK_POLL_MS);
  }
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Runs a program on this terminal and ends as it ends, with its status or by its signal. The terminal sends Ctrl-C to both:
 * the program decides what it means.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<void>}
 */
export async function become(command, args) {
  const ignored = /** @type {const} */ (["SIGINT", "SIGQUIT"]);
  const forwarded = /** @type {const} */ (["SIGTERM", "SIGHUP"]);
  // The sources' types are stripped once, not at every start.
  const env = { NODE_COMPILE_CACHE: join(root, ".cache", "compile"), ...process.env };
  const child = spawn(command, args, { stdio: "inherit", env });
  for (const signal of ignored) process.on(signal, () => undefined);
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  const [status, signal] = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...end) => resolve(end));
  });
  if (signal === null) {
    process.exitCode = status;
    return;
  }
  for (const name of [...ignored, ...forwarded]) process.removeAllListeners(name);
  process.kill(process.pid, signal);
}
