// Loads the files of a bundle, in whose folder scripts/bundle.mjs puts this: with all functions that the first moments of
// the command need compiled already, which Node's own compile cache does not have (it keeps what is compiled before a file
// runs). V8 has them in a file beside; where it says that those are another V8's, Node loads the file its own way.

"use strict";

const { existsSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const Module = require("node:module");
const { join } = require("node:path");
const { Script } = require("node:vm");
const { parentPort } = require("node:worker_threads");

const keeps = process.env.PLANTAIN_KEEP_CODE === __dirname;
/** Scripts by their paths, where their compiled functions are to be kept. */
const scripts = new Map();

/** `require` for the files of this bundle. */
function load(name) {
  const path = join(__dirname, name);
  const known = require.cache[path];
  if (known !== undefined) return known.exports;
  const script = compile(path);
  if (script === undefined) return require(path);
  const module = new Module(path, null);
  module.filename = path;
  // Whoever imports it in another way gets the same one.
  require.cache[path] = module;
  const requireFrom = (id) => (id.startsWith("./") ? load(id) : require(id));
  script.runInThisContext().call(module.exports, module.exports, requireFrom, module, path, __dirname);
  module.loaded = true;
  return module.exports;
}

function compile(path) {
  const kept = `${path}.v8`;
  if (!keeps && !existsSync(kept)) return undefined;
  const code = readFileSync(path, "utf8");
  // What imports users' files has to be Node's: a script of ours cannot import.
  if (keeps && /\bimport\(/.test(code)) return undefined;
  const script = new Script(Module.wrap(code), {
    filename: path,
    cachedData: keeps ? undefined : readFileSync(kept),
  });
  if (keeps) scripts.set(kept, script);
  return script.cachedDataRejected ? undefined : script;
}

module.exports = load;

if (keeps) {
  const keep = () => {
    for (const [path, script] of scripts) {
      writeFileSync(`${path}.partial`, script.createCachedData());
      renameSync(`${path}.partial`, path);
    }
  };
  // A thread hears nothing of its end: it keeps what it has now and then.
  if (parentPort === null) process.on("exit", keep);
  else setInterval(keep, 50);
}
