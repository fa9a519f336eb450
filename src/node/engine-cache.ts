// Keeps the code that engines generate beside the bundle that generates it: generating takes as long as all the rest of a
// machine. Sources change, so where they run nothing is kept: there is no folder for it.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { EngineModules } from "../riscv/engine.ts";

const FOLDER = new URL("./engines/", import.meta.url);
/** So many files at most: machines of other sizes take each other's place. */
const FILES = 32;

/** The engines of earlier processes. */
export function keptEngines(): EngineModules {
  return {
    get(key) {
      try {
        const bytes = readFileSync(fileOf(key));
        const end = bytes.indexOf(0x0a);
        const [itsKey, signatures] = JSON.parse(bytes.toString("utf8", 0, end));
        if (itsKey !== key) return undefined;
        return { module: new WebAssembly.Module(bytes.subarray(end + 1)), signatures: new Map(signatures) };
      } catch {
        return undefined; // none there, or none that is whole
      }
    },
    set(key, { signatures }, bytes) {
      const file = fileOf(key);
      const partial = new URL(`${file.href}.${process.pid}`);
      try {
        const head = `${JSON.stringify([key, [...signatures]])}\n`;
        writeFileSync(partial, Buffer.concat([Buffer.from(head), bytes]));
        renameSync(partial, file);
      } catch {
        // Nobody may write there, or there is no folder: then nothing is kept.
      }
    },
  };
}

function fileOf(key: string): URL {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) >>> 0;
  return new URL(`${hash % FILES}.wasm`, FOLDER);
}
