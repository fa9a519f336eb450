// The line of a source file that a message is about, with a mark under the place.

import { readFileSync } from "node:fs";

/** What of a long line is shown. */
const WIDTH = 120;

/**
 * The line that a message ending with `(file:line:column)` names, as lines to print below it; none if there is no such place.
 * @example excerptOf("no luck (/tmp/a.ts:2:7)") // ["  2 | throw luck;", "    |       ^"]
 */
export function excerptOf(message: string): string[] {
  const [, file, line, column] = /\(([^()\n]+?):(\d+)(?::(\d+))?\)$/.exec(message) ?? [];
  if (file === undefined || line === undefined) return [];
  let text: string | undefined;
  try {
    text = readFileSync(file, "utf8").split(/\r?\n/)[Number(line) - 1];
  } catch {
    return [];
  }
  if (text === undefined || text.trim() === "") return [];
  const shown = text.slice(0, WIDTH).replaceAll("\t", " ");
  const lines = [`  ${line} | ${shown}`];
  const at = Number(column ?? 0) - 1;
  if (at >= 0 && at <= shown.length) lines.push(`  ${" ".repeat(line.length)} | ${" ".repeat(at)}^`);
  return lines;
}
