import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { encodeExt2 } from "./ext2.ts";
import type { TreeEntry } from "./tree.ts";

const MiB = 1024 * 1024;
// Debian keeps these where an ordinary user's PATH does not look.
const env = { ...process.env, PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter) };
const hasE2fsprogs = ["e2fsck", "debugfs"].every((tool) => spawnSync(tool, ["-V"], { env }).status === 0);

/** Past the twelve direct blocks, past the 1024 of the first pointer block, and into the doubly indirect ones. */
const large = Uint8Array.from({ length: 5 * MiB + 123 }, (_, i) => (i * 2654435761) >>> 24);
const longTarget = "a/".repeat(40);
const many: TreeEntry[] = Array.from({ length: 500 }, (_, i) => {
  return { kind: "file", path: `many/${"n".repeat(i % 60)}${i}`, data: String(i) };
});
const TREE: readonly TreeEntry[] = [
  { kind: "directory", path: "etc" },
  { kind: "directory", path: "etc/deep", mode: 0o700 },
  { kind: "file", path: "etc/deep/large", data: large, mode: 0o600 },
  { kind: "file", path: "etc/empty", data: "" },
  { kind: "symlink", path: "short", target: "etc/deep" },
  { kind: "symlink", path: "long", target: longTarget },
  { kind: "character", path: "console", major: 5, minor: 1 },
  { kind: "directory", path: "many" },
  ...many,
];

function withImage(body: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "plantain-ext2-"));
  try {
    const path = join(folder, "image");
    writeFileSync(path, encodeExt2(TREE, 16 * MiB));
    truncateSync(path, 16 * MiB);
    body(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const debugfs = (path: string, request: string): Buffer =>
  spawnSync("debugfs", ["-R", request, path], { env, maxBuffer: 16 * MiB }).stdout;

test.skipIf(!hasE2fsprogs)("a checker finds nothing to mend (needs e2fsck)", () => {
  withImage((path) => {
    const { status, stdout } = spawnSync("e2fsck", ["-f", "-n", path], { env, encoding: "utf8" });
    expect(stdout).toMatch(/519\/\d+ files/);
    expect(stdout).not.toMatch(/\?/);
    expect(status).toBe(0);
  });
});

test.skipIf(!hasE2fsprogs)("everything reads back, through every kind of block pointer (needs debugfs)", () => {
  withImage((path) => {
    expect(debugfs(path, "cat /etc/deep/large").equals(large)).toBe(true);
    expect(debugfs(path, "cat /etc/empty")).toHaveLength(0);
    expect(debugfs(path, `cat /${many.at(-1)!.path}`).toString()).toBe("499");
    expect(debugfs(path, "stat /short").toString()).toContain('Fast link dest: "etc/deep"');
    expect(debugfs(path, "cat /long").toString()).toBe(longTarget);
    expect(debugfs(path, "stat /console").toString()).toMatch(
      /Type: character special.*Device major\/minor number: 05:01/s,
    );
    expect(debugfs(path, "stat /etc/deep").toString()).toMatch(/Mode:\s+0700.*User:\s+0\s+Group:\s+0/s);
  });
});

test("the same tree gives the same bytes, and the disk's tail is not part of them", () => {
  const image = encodeExt2(TREE, 64 * MiB);
  expect(image.length).toBeLessThan(10 * MiB);
  expect(Buffer.compare(encodeExt2(TREE, 64 * MiB), image)).toBe(0);
});

test.each([
  ["a tree that does not fit", TREE, 4 * MiB, /does not fit/],
  ["a disk of more than one group", [], 129 * MiB, /no single ext2 group/],
  ["a file before its folder", [{ kind: "file", path: "a/b", data: "" }], MiB, /a\/b: its folder/],
  ["a file in a file", [...TREE, { kind: "file", path: "short/b", data: "" }], 16 * MiB, /short\/b: its folder/],
  ["a name twice", [...TREE, { kind: "file", path: "short", data: "" }], 16 * MiB, /short: twice/],
] as const)("%s is refused", (_, tree, size, message) => {
  expect(() => encodeExt2(tree as readonly TreeEntry[], size)).toThrow(message);
});
