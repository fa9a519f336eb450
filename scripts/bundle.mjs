// Makes the bundle with which bin/launch.cjs starts the command: `node scripts/bundle.mjs` the checkout's, in .cache,
// `node scripts/bundle.mjs dist` the published package's. Plain JavaScript for any Node from 20 on: npm runs it when it has
// installed the packages (`prepare`). docs/design/set-up.md.

import { spawn, spawnSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { findBundle, stampOf } from "../bin/bundle.cjs";

/** Bundles stay for a day after they were the current one: a machine that runs may want another of its files. */
const KEPT_MS = 24 * 60 * 60 * 1000;

/** What a bundle depends on beside the sources. */
const MAKERS = ["package.json", "scripts/bundle.mjs", "scripts/bundle-loader.cjs"];

/** Files that run as threads, beside the command. Each is a bundle of its own: threads share nothing. */
const THREADS = ["src/node/jit-worker.ts", "src/node/loop-watch-thread.ts"];

/** @param {string} root */
const folderOf = (root) => join(root, ".cache", "bundle");

/**
 * Makes the bundle of a checkout in a process of its own, which nobody waits for, unless it is there and fresh.
 *
 * @param {string} root
 */
export function makeBundleMeanwhile(root) {
  if (findBundle(root, folderOf(root)) !== undefined) return;
  const script = fileURLToPath(import.meta.url);
  // Without the program there is no bundle either.
  spawn(process.execPath, [script], { detached: true, stdio: "ignore" })
    .on("error", () => undefined)
    .unref();
}

/**
 * Makes the bundle of a checkout, unless it is there and fresh. Any number of processes may do so at once. Where it cannot
 * be made, one line says so: nothing but time depends on it.
 *
 * @param {string} root
 * @returns {Promise<void>}
 */
export async function makeBundle(root) {
  const folder = folderOf(root);
  try {
    if (findBundle(root, folder) === undefined) await make(root, folder);
  } catch (error) {
    const [reason] = /** @type {Error} */ (error).message.split("\n");
    process.stderr.write(`No bundle of Plantain here, so that each start takes longer: ${reason}\n`);
  }
}

/**
 * @param {string} root
 * @param {string} folder
 */
async function make(root, folder) {
  // Before they are read: what changes meanwhile makes a bundle that is never used.
  const stamps = new Map(sourcesOf(root).map((path) => [path, stampOf(join(root, path))]));
  const { name, modules } = await bundle(root, folder, "hidden");
  const sources = Object.fromEntries(
    [...MAKERS, ...modules].sort().map((path) => [path, /** @type {string} */ (stamps.get(path))]),
  );
  const before = currentIn(folder);
  publish(folder, { name, sources });
  const now = Date.now();
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    if (entry === before) utimesSync(path, now / 1000, now / 1000);
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: now };
    if (entry !== name && mtimeMs < now - KEPT_MS) rmSync(path, { recursive: true, force: true });
  }
}

/**
 * The name of the bundle that is the current one, fresh or not.
 *
 * @param {string} folder
 */
function currentIn(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, "current.json"), "utf8")).name;
  } catch {
    return undefined;
  }
}

/** @param {string} root */
function sourcesOf(root) {
  const paths = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  return [...MAKERS, ...paths.filter((path) => path.endsWith(".ts")).map((path) => slashes(join("src", path)))];
}

/**
 * Writes a bundle into a folder of its own in `folder`. Returns the folder's name, which stands for what is in it, and the
 * sources that it was made of.
 *
 * @param {string} root
 * @param {string} folder
 * @param {"hidden" | false} sourcemap
 */
async function bundle(root, folder, sourcemap) {
  const { rolldown } = await import("rolldown");
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  /** @type {Record<string, string>} */
  const main = { main: "src/cli/main.ts" };
  /** @type {Record<string, string>} */
  const exports = { "./package.json": "./package.json" };
  for (const [path, target] of Object.entries(manifest.exports)) {
    const source = typeof target === "string" ? target : target.default;
    if (path === "./package.json") continue;
    const name = path.slice("./".length).replaceAll("/", "-");
    main[name] = source;
    exports[path] = `./${name}.mjs`;
  }
  /** Files that something other than the bundle itself starts. */
  const loaded = new Set(["main", ...THREADS.map((path) => basename(path, ".ts"))]);
  mkdirSync(folder, { recursive: true });
  const partial = mkdtempSync(join(folder, "partial-"));
  const hash = createHash("sha256");
  const modules = new Set();
  for (const input of [main, ...THREADS.map((path) => ({ [basename(path, ".ts")]: path }))]) {
    const build = await rolldown({
      cwd: root,
      input,
      platform: "node",
      external: ["vitest"],
      tsconfig: false,
      onLog: (level, log) => {
        if (level === "warn" && log.code !== "INEFFECTIVE_DYNAMIC_IMPORT") throw new Error(log.message);
      },
    });
    const { output } = await build.write({
      dir: partial,
      // Node loads CommonJS faster, and V8 keeps functions of such files only (bundle-loader.cjs).
      format: "cjs",
      comments: false,
      sourcemap,
      sourcemapExcludeSources: true,
      entryFileNames: ({ name }) => (loaded.has(name) ? "[name].code.cjs" : "[name].cjs"),
      chunkFileNames: "[name]-[hash].cjs",
      codeSplitting: {
        groups: [
          // The thread begins before the rest of the command is there.
          { name: "threads", test: /[/\\](?:thread-compiler|worker-thread)\.ts$/, priority: 1 },
          // What every start needs is one file.
          { name: "command", test: /[/\\]cli[/\\]process\.ts$/ },
        ],
      },
    });
    await build.close();
    for (const file of output) {
      hash.update(`${file.fileName}\n${file.type === "chunk" ? file.code : file.source}\n`);
      if (file.type !== "chunk") continue;
      for (const id of file.moduleIds) modules.add(slashes(relative(root, id)));
      // For users' files an ES module as the sources are: what it does not export Node says in the same words.
      if (file.isEntry && !loaded.has(file.name)) {
        const text = `import own from "./${file.fileName}";\nexport const { ${file.exports.join(", ")} } = own;\n`;
        writeFileSync(join(partial, `${file.name}.mjs`), text);
      }
    }
  }
  // What a user's file imports as "plantain/device" is a part of this bundle: a package names itself.
  const own = JSON.stringify({ name: manifest.name, version: manifest.version, exports });
  const loader = readFileSync(join(root, "scripts", "bundle-loader.cjs"), "utf8");
  writeFileSync(join(partial, "package.json"), own);
  writeFileSync(join(partial, "load.cjs"), loader);
  for (const file of loaded)
    writeFileSync(join(partial, `${file}.cjs`), `require("./load.cjs")("./${file}.code.cjs");\n`);
  const name = hash.update(own).update(loader).digest("hex").slice(0, 16);
  // For what src/node/engine-cache.ts keeps.
  mkdirSync(join(partial, "engines"));
  keepCode(root, partial);
  try {
    renameSync(partial, join(folder, name));
  } catch (error) {
    rmSync(partial, { recursive: true });
    // The same one is there already.
    if (!["ENOTEMPTY", "EEXIST", "EPERM"].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? ""))
      throw error;
  }
  return { name, modules: [...modules].filter((path) => path.startsWith("src/")) };
}

/** A guest for -kernel that counts for a moment, so that it is worth translating, and switches the machine off. */
const WARM_UP = [
  0x001002b7, // lui t0, 0x100
  0x00005337, // lui t1, 0x5
  0x55530313, // addi t1, t1, 0x555
  0x100003b7, // lui t2, 0x10000
  0xfff38393, // addi t2, t2, -1
  0xfe039ee3, // bnez t2, -4
  0x0062a023, // sw t1, 0(t0)
  0x0000006f, // j .
];

/**
 * Runs a machine for V8 to have the functions that a start needs. Where that fails the bundle does without.
 *
 * @param {string} root
 * @param {string} folder
 */
function keepCode(root, folder) {
  const guest = join(folder, "warm-up.bin");
  const own = join(root, "node_modules", "node", "bin", "node");
  writeFileSync(guest, new Uint32Array(WARM_UP));
  spawnSync(
    existsSync(own) ? own : process.execPath,
    [join(folder, "main.cjs"), "-bios", "none", "-kernel", guest, "-nic", "user", "-nographic"],
    { stdio: "ignore", timeout: 10_000, env: { ...process.env, PLANTAIN_KEEP_CODE: folder } },
  );
}

/**
 * @param {string} folder
 * @param {object} current
 */
function publish(folder, current) {
  const partial = join(folder, `partial-${randomUUID()}.json`);
  writeFileSync(partial, JSON.stringify(current));
  renameSync(partial, join(folder, "current.json"));
}

/** @param {string} path */
const slashes = (path) => path.replaceAll("\\", "/");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  if (process.argv[2] === "dist") {
    const folder = join(root, "dist", "bundle");
    rmSync(folder, { recursive: true, force: true });
    const { name } = await bundle(root, folder, false);
    publish(folder, { name });
  } else if (!/^(pack|publish)$/.test(process.env["npm_command"] ?? "")) {
    // While npm packs, package.json is the package's.
    await makeBundle(root);
  }
}
