// States of an overlay: what forks of a machine share of their disks.

import { expect, test } from "vitest";
import { MemoryStore } from "./block-memory.ts";
import { OverlayBlock } from "./block-overlay.ts";
import { RawBlock } from "./block-raw.ts";

const SIZE = 64 << 10;

function text(disk: OverlayBlock, offset: number): string {
  const bytes = new Uint8Array(4);
  void disk.read(offset, bytes);
  return new TextDecoder().decode(bytes);
}

const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

test("overlays that share a state change alone, whoever writes first", () => {
  const image = new Uint8Array(SIZE);
  image.set(bytes("base"), 8192);
  const base = (): RawBlock => new RawBlock(new MemoryStore(image, true));
  const parent = new OverlayBlock(base());
  void parent.write(0, bytes("one."));
  void parent.writeZeroes(4096, 4096);
  const state = parent.save();
  const child = new OverlayBlock(base());
  void child.write(12288, bytes("gone"));
  child.load(state);

  void parent.write(0, bytes("par."));
  void child.write(2, bytes("!!"));
  void child.write(4096, bytes("zero"));
  void child.write(8192, bytes("mine"));
  expect([0, 4096, 8192, 12288].map((at) => text(parent, at))).toEqual(["par.", "\0\0\0\0", "base", "\0\0\0\0"]);
  expect([0, 4096, 8192, 12288].map((at) => text(child, at))).toEqual(["on!!", "zero", "mine", "\0\0\0\0"]);

  child.load(state);
  expect([0, 4096, 8192].map((at) => text(child, at))).toEqual(["one.", "\0\0\0\0", "base"]);
  expect(new TextDecoder().decode(image.subarray(8192, 8196))).toBe("base");
});

test("what is written again and again after a state is copied once", () => {
  const disk = new OverlayBlock(new RawBlock(new MemoryStore(new Uint8Array(SIZE))));
  void disk.write(0, bytes("a"));
  disk.save();
  for (let n = 0; n < 10; n++) void disk.write(n, bytes("b"));
  expect(disk.used).toBe(4096);
});
