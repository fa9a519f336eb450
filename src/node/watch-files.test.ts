// Files that are watched, saved in the ways of editors.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileWatch } from "./watch-files.ts";

let folder: string;
let file: string;
let watch: FileWatch | undefined;
let changes = 0;
let heard = () => {};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-watch-files-"));
  file = join(folder, "a.ts");
  writeFileSync(file, "1");
  changes = 0;
});
afterEach(() => {
  watch?.close();
  rmSync(folder, { recursive: true, force: true });
});

function start(...files: readonly string[]): void {
  watch = new FileWatch(files, () => {
    changes++;
    heard();
  });
}

/** Waits for one more change than there were. */
async function next(): Promise<void> {
  const before = changes;
  while (changes === before) {
    await new Promise<void>((resolve) => {
      heard = resolve;
    });
  }
}

test("a file written in place, renamed over, removed and written again", async () => {
  start(file);
  for (const save of [
    () => writeFileSync(file, "2"),
    () => {
      writeFileSync(join(folder, "b"), "3");
      renameSync(join(folder, "b"), file);
    },
    () => rmSync(file),
    () => writeFileSync(file, "4"),
  ]) {
    const told = next();
    save();
    await told;
  }
});

test("several saves in a row are one change", async () => {
  start(file);
  const told = next();
  for (let n = 0; n < 50; n++) writeFileSync(file, String(n));
  await told;
  expect(changes).toBe(1);
});

test("files of other folders that come later, and are not there yet", async () => {
  start(file);
  const other = join(folder, "deep", "b.ts");
  watch!.add([other]);
  const told = next();
  mkdirSync(join(folder, "deep"));
  writeFileSync(other, "1");
  await told;
});

test("a folder that is another one, and what a link leads to, where nobody tells", async () => {
  const inner = join(folder, "inner");
  mkdirSync(inner);
  writeFileSync(join(inner, "b.ts"), "1");
  symlinkSync(join(inner, "b.ts"), join(folder, "link.ts"));
  start(join(folder, "link.ts"));
  let told = next();
  writeFileSync(join(inner, "b.ts"), "22");
  await told;
  told = next();
  renameSync(inner, join(folder, "gone"));
  mkdirSync(inner);
  writeFileSync(join(inner, "b.ts"), "333");
  await told;
});

test("other files, and files that are closed, are nobody's concern", async () => {
  start(file);
  writeFileSync(join(folder, "other.ts"), "1");
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(changes).toBe(0);
  watch!.close();
  writeFileSync(file, "2");
  utimesSync(file, 1, 1);
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(changes).toBe(0);
});
