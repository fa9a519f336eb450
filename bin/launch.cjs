#!/usr/bin/env node
// Starts the command in a Node that can run it. Runs on any Node from 20 on, so it is plain JavaScript.
//
// In a checkout the npm package `node` brings that Node along (node_modules/.bin/node) and the sources run as they
// are, or the bundle of them while it is fresh; an installed package runs its bundle on the Node that it was started with.

"use strict";

const { existsSync } = require("node:fs");
const { enableCompileCache } = require("node:module");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");
const { findBundle } = require("./bundle.cjs");

const NEEDED = 24;
const root = join(__dirname, "..");

if (Number.parseInt(process.versions.node, 10) >= NEEDED) start();
else hand();

/** Runs the command in this process. */
function start() {
  const source = join(root, "src", "cli", "main.ts");
  const isCheckout = existsSync(source);
  const bundle = findBundle(root, join(root, isCheckout ? ".cache" : "dist", "bundle"));
  const main = bundle === undefined ? (isCheckout ? source : join(root, "dist", "cli", "main.js")) : join(bundle, "main.cjs");
  // The second start and later ones find everything compiled, and sources stripped of their types. What belongs to a
  // bundle goes when it goes.
  enableCompileCache(join(bundle ?? join(root, ".cache"), "compile"));
  import(pathToFileURL(main).href);
}

/** Hands over to the checkout's own Node. */
function hand() {
  const node = join(root, "node_modules", ".bin", "node");
  // A launcher's child that is too old itself must not start a third one.
  if (!existsSync(node) || process.env.PLANTAIN_LAUNCHER !== undefined) {
    process.stderr.write(
      `plantain: this is Node ${process.versions.node}: expected Node ${NEEDED} or later (in a checkout, npm ci brings it)\n`,
    );
    process.exit(1);
  }
  const { spawn } = require("node:child_process");
  const child = spawn(node, [__filename, ...process.argv.slice(2)], {
    stdio: "inherit",
    env: { ...process.env, PLANTAIN_LAUNCHER: String(process.pid) },
  });
  child.on("error", (error) => {
    process.stderr.write(`plantain: ${node} does not start: ${error.message}\n`);
    process.exit(1);
  });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGCONT", "SIGUSR1", "SIGUSR2"];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on("exit", (status, signal) => {
    if (signal === null) process.exit(status);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}
