import { expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { assertNoOverlap } from "./overlap.ts";
import { MemoryRegion } from "./region.ts";

const io = (name: string, size: number) => MemoryRegion.io(name, size, {});

function board(): MemoryRegion {
  const root = MemoryRegion.container("system", 1n << 64n);
  root.addSubregion(0x1000_0000n, io("serial", 8));
  root.addSubregion(0x400_0000n, MemoryRegion.container("platform bus", 0x200_0000));
  root.addSubregion(0x8000_0000n, MemoryRegion.ram("ram", new Uint8Array(0x1000)));
  return root;
}

test.each([
  [0x1000_0000n, "banana-rom at 0x10000000-0x100000ff overlaps serial at 0x10000000-0x10000007"],
  [0x0fff_ff01n, "banana-rom at 0xfffff01-0x10000000 overlaps serial at 0x10000000-0x10000007"],
  [0x1000_0007n, "banana-rom at 0x10000007-0x10000106 overlaps serial at 0x10000000-0x10000007"],
  [0x8000_0f01n, "banana-rom at 0x80000f01-0x80001000 overlaps ram at 0x80000000-0x80000fff"],
])("at %s", (offset, message) => {
  expect(() => assertNoOverlap(board(), offset, io("banana-rom", 0x100))).toThrow(
    new UserError(`${message}: give one of them another address`),
  );
});

test("next to others, in an empty container, over a disabled region or at another priority is fine", () => {
  const root = board();
  assertNoOverlap(root, 0x1000_0008n, io("banana-rom", 0x100));
  assertNoOverlap(root, 0x0fff_ff00n, io("banana-rom", 0x100));
  assertNoOverlap(root, 0x400_0000n, io("banana-rom", 0x100));
  assertNoOverlap(root, 0x1000_0000n, io("banana-rom", 0x100), 1);
  root.subregions.find((region) => region.name === "serial")!.enabled = false;
  assertNoOverlap(root, 0x1000_0000n, io("banana-rom", 0x100));
});

test("what is in containers and behind aliases counts", () => {
  const root = board();
  const bus = MemoryRegion.container("bus", 0x1000);
  bus.addSubregion(0x100n, io("timer", 0x10));
  root.addSubregion(0x5000_0000n, bus);
  root.addSubregion(0x6000_0000n, MemoryRegion.alias("window", bus, 0n, 0x1000n));
  expect(() => assertNoOverlap(root, 0x5000_0100n, io("x", 1))).toThrow(/overlaps timer at 0x50000100/);
  expect(() => assertNoOverlap(root, 0x6000_0100n, io("x", 1))).toThrow(/overlaps timer at 0x60000100/);
  assertNoOverlap(root, 0x6000_0200n, io("x", 1));
  const bundle = MemoryRegion.container("bundle", 0x1000);
  bundle.addSubregion(0x800n, io("part", 8));
  expect(() => assertNoOverlap(root, 0x0fff_f800n, bundle)).toThrow(/^part at 0x10000000-0x10000007 overlaps serial/);
});
