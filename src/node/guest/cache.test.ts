import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cacheFolder, findEntry, makeEntry, NotObtained } from "./cache.ts";
import { run } from "./command.ts";
import type { Progress } from "./progress.ts";

let cache = "";
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "plantain-cache-"));
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));

const steps: string[] = [];
const progress: Progress = {
  step(title) {
    steps.push(title);
    return { update: () => undefined, done: () => undefined, fail: () => undefined };
  },
};
const maker = () =>
  vi.fn(async (entry: string, scratch: string) => {
    await mkdir(scratch);
    await writeFile(join(scratch, "download"), "parts");
    await writeFile(join(entry, "data"), "whole");
    return { files: ["data"], facts: { version: "1" } };
  });

test("an entry is made once, and holds nothing but itself", async () => {
  const make = maker();
  const made = await makeEntry(cache, "thing", progress, make);
  expect(made).toEqual({ folder: join(cache, "thing"), facts: { version: "1" } });
  expect(readFileSync(join(made.folder, "data"), "utf8")).toBe("whole");
  expect(readdirSync(cache)).toEqual(["thing"]);
  expect(findEntry(cache, "thing")).toEqual(made);
  expect(await makeEntry(cache, "thing", progress, make)).toEqual(made);
  expect(make).toHaveBeenCalledTimes(1);
});

test("two at once: the second waits and finds what the first has made", async () => {
  const make = maker();
  await Promise.all([makeEntry(cache, "thing", progress, make), makeEntry(cache, "thing", progress, make)]);
  expect(make).toHaveBeenCalledTimes(1);
  expect(steps.at(-1)).toMatch(/^Waiting for another set-up \(process \d+/);
});

test("a damaged entry is made anew", async () => {
  const make = maker();
  await makeEntry(cache, "thing", progress, make);
  writeFileSync(join(cache, "thing", "data"), "who");
  expect(findEntry(cache, "thing")).toBeUndefined();
  await makeEntry(cache, "thing", progress, make);
  expect(readFileSync(join(cache, "thing", "data"), "utf8")).toBe("whole");
});

test("a set-up that is killed leaves no entry, and the next one starts over in a clean folder", async () => {
  const script = `
    import { writeFile, mkdir } from "node:fs/promises";
    import { makeEntry } from ${JSON.stringify(new URL("cache.ts", import.meta.url).href)};
    const step = () => ({ update() {}, done() {}, fail() {} });
    await makeEntry(${JSON.stringify(cache)}, "thing", { step }, async (entry, scratch) => {
      await mkdir(scratch);
      await writeFile(scratch + "/download", "half of i");
      await writeFile(entry + "/data", "hal");
      console.log("downloading");
      await new Promise((resolve) => setTimeout(resolve, 1e6));
    });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "close");
  expect(findEntry(cache, "thing")).toBeUndefined();
  expect(readdirSync(cache)).toHaveLength(2); // its lock and its folder
  await makeEntry(cache, "thing", progress, maker());
  expect(readdirSync(cache)).toEqual(["thing"]);
});

test("what goes wrong outside is NotObtained in one line, and leaves nothing behind", async () => {
  const failing = makeEntry(cache, "thing", progress, async () => {
    await run("false", []);
    throw new Error("unreachable");
  });
  await expect(failing).rejects.toThrow(new NotObtained("false failed: exit status 1"));
  expect(readdirSync(cache)).toEqual([]);
  writeFileSync(join(cache, "file"), "");
  const misplaced = makeEntry(join(cache, "file"), "thing", progress, maker());
  await expect(misplaced).rejects.toBeInstanceOf(NotObtained);
});

test("a mistake of the program's own stays what it is", async () => {
  const failing = makeEntry(cache, "thing", progress, () => Promise.reject(new TypeError("oops")));
  await expect(failing).rejects.toBeInstanceOf(TypeError);
});

test("where the cache is", () => {
  expect(cacheFolder({ PLANTAIN_CACHE: "/a/b", XDG_CACHE_HOME: "/c" })).toBe("/a/b");
  expect(cacheFolder({ PLANTAIN_CACHE: "", XDG_CACHE_HOME: "/c" })).toBe("/c/plantain");
  expect(cacheFolder({ XDG_CACHE_HOME: "relative" })).toBe(join(homedir(), ".cache", "plantain"));
  expect(cacheFolder({})).toBe(join(homedir(), ".cache", "plantain"));
  expect(() => cacheFolder({ PLANTAIN_CACHE: "here" })).toThrow("PLANTAIN_CACHE=here is not an absolute path");
  expect(existsSync("here")).toBe(false);
});
