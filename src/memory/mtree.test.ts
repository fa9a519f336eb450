import { expect, test } from "vitest";
import { AddressSpace } from "./address-space.ts";
import { renderFlatViews, renderMemoryTree } from "./mtree.ts";
import { MemoryRegion } from "./region.ts";

function spaces(): AddressSpace[] {
  const root = MemoryRegion.container("system", 1n << 64n);
  const window = MemoryRegion.container("window", 1n << 64n);
  window.addSubregion(0x4000_0000n, MemoryRegion.io("bar", 0x1000, {}));
  const off = MemoryRegion.io("switched off", 0x1000, {});
  off.enabled = false;
  root.addSubregion(0x8000_0000n, MemoryRegion.ram("board.ram", new Uint8Array(0x10_0000)));
  root.addSubregion(0x400_0000n, MemoryRegion.container("bus", 0x200_0000));
  root.addSubregion(0x400_0000n, MemoryRegion.io("banana_rom", 0x100, {}));
  root.addSubregion(0x1000n, MemoryRegion.rom("board.mrom", new Uint8Array(0xf000)), -1);
  root.addSubregion(0x4000_0000n, MemoryRegion.alias("mmio", window, 0x4000_0000n, 0x4000_0000n));
  root.addSubregion(0x4000_0800n, MemoryRegion.io("over", 0x400, {}), 3);
  root.addSubregion(0x5000n, off);
  return [
    new AddressSpace(root, "memory"),
    new AddressSpace(root, "cpu-memory-0"),
    new AddressSpace(MemoryRegion.container("io", 0x1_0000), "I/O"),
  ];
}

test("info mtree: each tree with the spaces that show it, then what aliases show", () => {
  expect(renderMemoryTree(spaces()).split("\n")).toEqual([
    "address-space: cpu-memory-0",
    "address-space: memory",
    "  0000000000000000-ffffffffffffffff (prio 0, i/o): system",
    "    0000000000001000-000000000000ffff (prio -1, rom): board.mrom",
    "    0000000004000000-00000000040000ff (prio 0, i/o): banana_rom",
    "    0000000004000000-0000000005ffffff (prio 0, i/o): bus",
    "    0000000040000000-000000007fffffff (prio 0, i/o): alias mmio @window 0000000040000000-000000007fffffff",
    "    0000000040000800-0000000040000bff (prio 3, i/o): over",
    "    0000000080000000-00000000800fffff (prio 0, ram): board.ram",
    "",
    "address-space: I/O",
    "  0000000000000000-000000000000ffff (prio 0, i/o): io",
    "",
    "memory-region: window",
    "  0000000000000000-ffffffffffffffff (prio 0, i/o): window",
    "    0000000040000000-0000000040000fff (prio 0, i/o): bar",
    "",
  ]);
});

test("info mtree -f: what shows where", () => {
  expect(renderFlatViews(spaces()).split("\n")).toEqual([
    "FlatView #0",
    ' AS "memory", root: system',
    ' AS "cpu-memory-0", root: system',
    " Root memory region: system",
    "  0000000000001000-000000000000ffff (prio -1, rom): board.mrom",
    "  0000000004000000-00000000040000ff (prio 0, i/o): banana_rom",
    "  0000000040000000-00000000400007ff (prio 0, i/o): bar",
    "  0000000040000800-0000000040000bff (prio 3, i/o): over",
    "  0000000040000c00-0000000040000fff (prio 0, i/o): bar @0000000000000c00",
    "  0000000080000000-00000000800fffff (prio 0, ram): board.ram",
    "",
    "FlatView #1",
    ' AS "I/O", root: io',
    " Root memory region: io",
    "  No rendered FlatView",
    "",
  ]);
});
