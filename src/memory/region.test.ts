import { expect, test } from "vitest";
import { MemoryRegion } from "./region.ts";

test("a region knows its kind, size and place", () => {
  const root = MemoryRegion.container("system", 1n << 64n);
  const ram = MemoryRegion.ram("ram", new Uint8Array(0x1000));
  root.addSubregion(0x8000_0000n, ram, 2);
  expect([root.kind, root.size]).toEqual(["container", 1n << 64n]);
  expect([ram.kind, ram.size, ram.offset, ram.priority, ram.container]).toEqual([
    "ram",
    0x1000n,
    0x8000_0000n,
    2,
    root,
  ]);
  root.removeSubregion(ram);
  expect([ram.container, ram.offset, ram.priority, root.subregions.length]).toEqual([undefined, 0n, 0, 0]);
  root.addSubregion(0n, ram);
  expect(root.subregions).toEqual([ram]);
});

test.each([0, -1, (1n << 64n) + 1n])("a size of %s bytes is refused", (size) => {
  expect(() => MemoryRegion.io("odd", size, {})).toThrow(
    new RangeError(`memory region odd: a size of ${size} bytes is not between 1 and 2^64`),
  );
});

test("a region has one container and is not in itself, not even through an alias", () => {
  const root = MemoryRegion.container("root", 0x1000);
  const inner = MemoryRegion.container("inner", 0x1000);
  root.addSubregion(0n, inner);
  expect(() => MemoryRegion.container("other", 0x1000).addSubregion(0n, inner)).toThrow(
    "memory region inner is already in root",
  );
  expect(() => inner.addSubregion(0n, root)).toThrow("memory region root would contain itself");
  const window = MemoryRegion.alias("window", root, 0n, 0x100n);
  expect(() => inner.addSubregion(0n, window)).toThrow("memory region window would contain itself");
  expect(() => root.removeSubregion(window)).toThrow("memory region window is not in root");
});

test("a change is seen from every container, alias and observer above it", () => {
  const leaf = MemoryRegion.container("leaf", 0x100);
  const middle = MemoryRegion.container("middle", 0x100);
  const aliasing = MemoryRegion.container("aliasing", 0x100);
  const seen: string[] = [];
  middle.observe(() => seen.push("middle"));
  aliasing.observe(() => seen.push("aliasing"));
  middle.addSubregion(0n, leaf);
  aliasing.addSubregion(0n, MemoryRegion.alias("alias", middle, 0n, 0x100n));
  seen.length = 0;
  const device = MemoryRegion.io("device", 4, {});
  leaf.addSubregion(0n, device);
  expect(seen.sort()).toEqual(["aliasing", "middle"]);
  seen.length = 0;
  device.enabled = false;
  device.enabled = false;
  expect(seen.sort()).toEqual(["aliasing", "middle"]);
  seen.length = 0;
  middle.removeSubregion(leaf);
  leaf.enabled = false;
  expect(seen.sort()).toEqual(["aliasing", "middle"]);
});

test("in the composition tree, a region is an object of type memory-region", () => {
  expect(MemoryRegion.container("system", 1).isA("memory-region")).toBe(true);
});
