import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { encodeCpio } from "./cpio.ts";
import type { TreeEntry } from "./tree.ts";

const hasCpio = spawnSync("cpio", ["--version"]).status === 0;

const TREE: readonly TreeEntry[] = [
  { kind: "directory", path: "bin" },
  { kind: "character", path: "console", major: 5, minor: 1 },
  { kind: "file", path: "bin/tool", data: new Uint8Array([1, 2, 3, 4, 5]), mode: 0o755 },
  { kind: "symlink", path: "bin/sh", target: "tool" },
  { kind: "file", path: "empty", data: "" },
];

test("an archive is aligned as the kernel expects and ends with the trailer", () => {
  const archive = encodeCpio(TREE);
  const text = Buffer.from(archive).toString("latin1");
  const headers = [...text.matchAll(/070701[0-9a-f]{104}/g)];
  expect(archive.length % 512).toBe(0);
  expect(headers.map(({ index }) => index % 4)).toEqual(Array(TREE.length + 1).fill(0));
  const namesAt = headers.map(({ index }) => text.slice(index + 110, text.indexOf("\0", index + 110)));
  expect(namesAt).toEqual([...TREE.map(({ path }) => path), "TRAILER!!!"]);
  expect(encodeCpio(TREE)).toEqual(archive);
});

test.skipIf(!hasCpio)("cpio lists what was put in (needs cpio)", () => {
  const { stdout, status } = spawnSync("cpio", ["--list", "--verbose", "--numeric-uid-gid", "--quiet"], {
    input: encodeCpio(TREE),
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
    encoding: "utf8",
  });
  expect(status).toBe(0);
  expect(stdout.replaceAll(/ +/g, " ")).toBe(
    [
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 bin",
      "crw------- 1 0 0 5, 1 Jan 1 1970 console",
      "-rwxr-xr-x 1 0 0 5 Jan 1 1970 bin/tool",
      "lrwxrwxrwx 1 0 0 4 Jan 1 1970 bin/sh -> tool",
      "-rw-r--r-- 1 0 0 0 Jan 1 1970 empty",
      "",
    ].join("\n"),
  );
});
