import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { packFiles } from "./files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-files-"));
  mkdirSync(join(folder, "driver", "inner"), { recursive: true });
  writeFileSync(join(folder, "driver", "a.c"), "one");
  writeFileSync(join(folder, "driver", "inner", "b.c"), "three");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What is in an archive: mode in octal and contents by path. */
function contents(archive: Uint8Array): Record<string, string> {
  const text = Buffer.from(archive).toString("latin1");
  const found: Record<string, string> = {};
  for (let at = 0; ; ) {
    const field = (n: number): number => Number.parseInt(text.slice(at + 6 + 8 * n, at + 14 + 8 * n), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = text.slice(at + 110, at + 110 + nameSize - 1);
    if (name === "TRAILER!!!") return found;
    const data = (at + 110 + nameSize + 3) & ~3;
    found[name] = `${mode.toString(8)} ${text.slice(data, data + size)}`;
    at = (data + size + 3) & ~3;
  }
}

test("files, folders and bytes, at their places and executable", () => {
  symlinkSync("a.c", join(folder, "driver", "link.c"));
  symlinkSync("nowhere", join(folder, "driver", "broken.c"));
  symlinkSync(".", join(folder, "driver", "circle"));
  const files = { "/root/driver": "driver", "/etc//one": "driver/a.c", "/lib/x.ko": Uint8Array.of(65, 66) };
  expect(contents(packFiles(files, folder, "test"))).toEqual({
    "root/driver/a.c": "100755 one",
    "root/driver/inner/b.c": "100755 three",
    "root/driver/link.c": "100755 one",
    "etc/one": "100755 one",
    "lib/x.ko": "100755 AB",
  });
});

test("nothing, and an empty folder, are archives too", () => {
  mkdirSync(join(folder, "empty"));
  expect(contents(packFiles({}, folder, "test"))).toEqual({});
  expect(contents(packFiles({ "/root": "empty" }, folder, "test"))).toEqual({});
});

describe("refused in one line", () => {
  test.each([
    [
      "a relative path",
      { "root/x": "driver" },
      'test: "root/x" is no path of a file in the guest: expected one such as',
    ],
    ["a folder's path", { "/root/": "driver" }, 'test: "/root/" is no path of a file'],
    ["the root", { "/../..": "driver" }, 'test: "/../.." is no path of a file'],
    ["what is not there", { "/x": "gone" }, "test: FOLDER/gone cannot be read (ENOENT)"],
    ["what is too much", { "/x": "huge" }, "test: with FOLDER/huge it is more than 256 MiB of files"],
  ])("%s", (_what, files, message) => {
    writeFileSync(join(folder, "huge"), "");
    truncateSync(join(folder, "huge"), 2 ** 32); // takes no space
    let said = "";
    try {
      packFiles(files as unknown as Record<string, string>, folder, "test");
    } catch (error) {
      said = (error as Error).message.replaceAll(folder, "FOLDER");
    }
    expect(said.startsWith(message), said).toBe(true);
    expect(said).not.toContain("\n");
  });
});
