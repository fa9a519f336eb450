// Finds the bundle: the command in a few files, which Node loads faster than the sources' two hundred. scripts/bundle.mjs
// makes it; whoever finds none runs the sources. docs/design/set-up.md.

"use strict";

const { readFileSync, statSync } = require("node:fs");
const { join } = require("node:path");

/** What a file is known by: any write, and anything that takes its place, changes it. */
function stampOf(path) {
  const { size, mtimeMs, ctimeMs } = statSync(path);
  return `${size} ${mtimeMs} ${ctimeMs}`;
}

/**
 * The folder of a bundle that is whole and says what the sources say, if there is one.
 *
 * @param {string} root of the checkout or package
 * @param {string} folder where bundles are
 * @returns {string | undefined}
 */
function findBundle(root, folder) {
  try {
    // Written when all else is there, and replaced as a whole.
    const { name, sources } = JSON.parse(readFileSync(join(folder, "current.json"), "utf8"));
    // A package has no sources: nothing to compare.
    for (const path in sources) if (stampOf(`${root}/${path}`) !== sources[path]) return undefined;
    const found = join(folder, name);
    return statSync(join(found, "main.cjs")).isFile() ? found : undefined;
  } catch {
    return undefined; // not there, or not all of the sources
  }
}

module.exports = { findBundle, stampOf };
