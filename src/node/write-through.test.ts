import { expect, test } from "vitest";
import type { BlockBackend } from "../backend/block.ts";
import { writeThrough } from "./write-through.ts";

/** A disk that notes what is done to it, at once or later. */
function recorder(synchronous: boolean): { disk: BlockBackend; calls: string[] } {
  const calls: string[] = [];
  const note = (call: string): void | Promise<void> => {
    if (synchronous) calls.push(call);
    else return Promise.resolve().then(() => void calls.push(call));
  };
  const disk: BlockBackend = {
    size: 512,
    readOnly: false,
    synchronous,
    read: () => note("read"),
    write: () => note("write"),
    writev: () => note("writev"),
    writeZeroes: () => note("zeroes"),
    flush: () => note("flush"),
    close: () => calls.push("close"),
  };
  return { disk, calls };
}

test.each([true, false])("every write is flushed before it is done (synchronous: %s)", async (synchronous) => {
  const { disk, calls } = recorder(synchronous);
  const safe = writeThrough(disk);
  const bytes = new Uint8Array(512);
  for (const operation of [
    () => safe.write(0, bytes),
    () => safe.writev?.(0, [bytes]),
    () => safe.writeZeroes?.(0, 512),
    () => safe.read(0, bytes),
    () => safe.flush(),
  ]) {
    const done = operation();
    expect(done === undefined).toBe(synchronous);
    await done;
  }
  expect(calls).toEqual(["write", "flush", "writev", "flush", "zeroes", "flush", "read", "flush"]);
  expect([safe.size, safe.readOnly, safe.synchronous]).toEqual([512, false, synchronous]);
  expect([safe.discard, safe.readv]).toEqual([undefined, undefined]);
  safe.close();
  expect(calls.at(-1)).toBe("close");
});
