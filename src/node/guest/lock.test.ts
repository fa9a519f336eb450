import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { withLock } from "./lock.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true }));

const nothing = async (): Promise<void> => undefined;
const leaveBehind = (pid: number, host: string): void => writeFileSync(path, JSON.stringify({ pid, host }));

test("one at a time, and nothing is left", async () => {
  let inside = 0;
  const order: number[] = [];
  const work = (n: number) => async (): Promise<number> => {
    expect(++inside).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push(n);
    inside--;
    return n;
  };
  const onWait = vi.fn();
  const results = await Promise.all([1, 2, 3].map((n) => withLock(path, onWait, work(n))));
  expect(results).toEqual([1, 2, 3]);
  expect(order.toSorted()).toEqual([1, 2, 3]);
  expect(onWait).toHaveBeenCalledTimes(2);
  expect(onWait).toHaveBeenCalledWith({ pid: process.pid, host: hostname() });
  expect(readdirSync(folder)).toEqual([]);
});

test("what the holder throws passes through, and frees the lock", async () => {
  const failing = withLock(path, nothing, () => Promise.reject(new Error("no room")));
  await expect(failing).rejects.toThrow("no room");
  expect(readdirSync(folder)).toEqual([]);
});

test("a dead process's lock is taken over at once", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", "0"]);
  leaveBehind(pid, hostname());
  const onWait = vi.fn();
  expect(await withLock(path, onWait, async () => "mine")).toBe("mine");
  expect(onWait).not.toHaveBeenCalled();
  expect(readdirSync(folder)).toEqual([]);
});

test("a lock of another machine is respected while it is touched, and taken over when it is old", async () => {
  leaveBehind(1, "elsewhere");
  const old = new Date(Date.now() - 120_000);
  const onWait = vi.fn(() => utimesSync(path, old, old));
  expect(await withLock(path, onWait, async () => "mine")).toBe("mine");
  expect(onWait).toHaveBeenCalledWith({ pid: 1, host: "elsewhere" });
});

test("a lock file of nobody's goes when it is old", async () => {
  writeFileSync(path, "");
  const old = new Date(Date.now() - 120_000);
  utimesSync(path, old, old);
  expect(await withLock(path, nothing, async () => "mine")).toBe("mine");
});
