// What tests of mistakes in device files share: the lines of the test's own file that a message names.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Finds lines by comments at their ends. @param url the test's `import.meta.url` */
export function markedLines(url: string): { readonly file: string; readonly at: (marker: string) => string } {
  const file = fileURLToPath(url);
  const lines = readFileSync(file, "utf8").split("\n");
  return {
    file,
    /** ` (file:line)` of the line that ends with the comment `// @marker`. */
    at(marker) {
      const line = lines.findIndex((text) => text.endsWith(`// @${marker}`));
      if (line < 0) throw new Error(`no line ends with // @${marker}`);
      return ` (${file}:${line + 1})`;
    },
  };
}

/** The error that `run` throws. Its column is left out: the marked line is what a test is about. */
export function thrownBy(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) {
      error.message = error.message.replace(/(:\d+):\d+\)$/, "$1)");
      return error;
    }
  }
  throw new Error("nothing was thrown");
}

/** For what only untyped code can write. */
// biome-ignore lint/suspicious/noExplicitAny: that is its purpose
export const any = (value: unknown): any => value;
