// What npm runs around `npm pack` and `npm publish`: a checkout's exports are sources, a package's are what `npm run build`
// made of them. `manifest.mjs pack` rewrites package.json, `manifest.mjs restore` puts it back as it was.

import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./setup.mjs";

const manifest = join(root, "package.json");
const kept = join(root, ".cache", "package.json");

if (process.argv[2] === "pack") {
  mkdirSync(join(root, ".cache"), { recursive: true });
  copyFileSync(manifest, kept);
  const content = JSON.parse(readFileSync(manifest, "utf8"));
  for (const [path, target] of Object.entries(content.exports)) content.exports[path] = published(target);
  writeFileSync(manifest, `${JSON.stringify(content, null, 2)}\n`);
} else {
  renameSync(kept, manifest);
}

/**
 * @param {string | Record<string, string>} target a path, or paths by condition
 * @returns {unknown}
 */
function published(target) {
  if (typeof target === "object") {
    return Object.fromEntries(Object.entries(target).map(([condition, path]) => [condition, published(path)]));
  }
  const module = /^\.\/src\/(.*)\.ts$/.exec(target)?.[1];
  return module === undefined ? target : { types: `./dist/${module}.d.ts`, default: `./dist/${module}.js` };
}
