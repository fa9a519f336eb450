import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bytes, RecordingFrontend, until } from "./chardev-for-tests.ts";
import { openPipeChardev } from "./pipe-chardev.ts";

const hasMkfifo = spawnSync("mkfifo", ["--version"]).status === 0;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-pipe-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe.skipIf(!hasMkfifo)("named pipes (needs mkfifo)", () => {
  test("PATH.in leads to the guest, PATH.out from it", async () => {
    const path = join(folder, "p");
    spawnSync("mkfifo", [`${path}.in`, `${path}.out`]);
    const chardev = openPipeChardev("c", path, "-serial x");
    const frontend = new RecordingFrontend();
    chardev.attach(frontend);
    // Who writes may come and go.
    for (const word of ["one ", "two"]) {
      const input = openSync(`${path}.in`, "w");
      writeSync(input, word);
      closeSync(input);
    }
    await until(() => frontend.received === "one two");
    const output = openSync(`${path}.out`, constants.O_RDONLY | constants.O_NONBLOCK);
    chardev.write(bytes("answer"));
    const buffer = Buffer.alloc(64);
    let length = 0;
    await until(() => {
      try {
        length = readSync(output, buffer);
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe("EAGAIN");
      }
      return length > 0;
    });
    expect(buffer.toString("latin1", 0, length)).toBe("answer");
    closeSync(output);
    chardev.close();
  });
});

test("mistakes are one line", () => {
  const path = join(folder, "file");
  expect(() => openPipeChardev("c", path, "-serial x")).toThrow(`-serial x: there is no ${path}: mkfifo makes a pipe`);
  writeFileSync(path, "");
  expect(() => openPipeChardev("c", path, "-serial x")).toThrow(`-serial x: ${path} is no pipe: mkfifo makes one`);
});
