// Stack traces in terms of the sources where a bundle runs: the source maps beside its files are read when there is a
// stack to print, so that they cost nothing at the start.

import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const OWN = dirname(fileURLToPath(import.meta.url));

/** A stack trace with the sources' lines for those of bundled files. */
export function sourceStack(stack: string): string {
  const maps = new Map<string, SourceMap | undefined>();
  return stack.replaceAll(/([^\s(]+\.cjs):(\d+):(\d+)/g, (frame, file: string, line: string, column: string) => {
    const path = file.startsWith("file:") ? fileURLToPath(file) : file;
    if (dirname(path) !== OWN) return frame;
    if (!maps.has(path)) maps.set(path, mapOf(path));
    const origin = maps.get(path)?.findOrigin(Number(line), Number(column));
    if (origin === undefined || !("fileName" in origin)) return frame;
    return `${resolve(OWN, origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`;
  });
}

function mapOf(path: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${path}.map`, "utf8")));
  } catch {
    return undefined; // a published package has none
  }
}
