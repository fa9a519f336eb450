import { expect, test } from "vitest";
import { createObject, TypeRegistry } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { bananaRomType, createBananaRom } from "./banana-rom.ts";

const BASE = 0x400_0000;

function boardWithRom(): TestBoard {
  const board = new TestBoard();
  board.machine.addChild("banana-rom", createBananaRom(board, board.system, BigInt(BASE)));
  board.reset();
  return board;
}

// What Linux's devmem reads on QEMU 7.2 with the article's device in it.
test.each<[offset: number, size: 1 | 2 | 4 | 8, value: number | bigint]>([
  [0x00, 4, 0xba00_0001],
  [0x04, 4, 0xdead_beef],
  [0xfc, 4, 0xdead_beef],
  [0x00, 8, 0xdead_beef_ba00_0001n],
  [0x04, 8, 0xdead_beef_dead_beefn],
  [0x08, 8, 0xdead_beef_dead_beefn],
  [0xf8, 8, 0xdead_beef_dead_beefn],
  [0x00, 2, 0x0001],
  [0x00, 1, 0x01],
  [0x01, 1, 0xef],
  [0x02, 2, 0xbeef],
  [0x02, 4, 0xbeef_ba00],
  [0x03, 4, 0xadbe_efba],
  [0x01, 2, 0xef00],
  [0x01, 8, 0xefde_adbe_efba_0000n],
])("reads at 0x%x with %i bytes as in the article", (offset, size, value) => {
  expect(boardWithRom().read(BASE + offset, size)).toBe(value);
});

test("an access past the region faults", () => {
  const board = boardWithRom();
  expect(board.read(BASE + 0x100, 4)).toBe("fault");
  expect(board.read(BASE - 4, 4)).toBe("fault");
});

test("a write is a guest error and changes nothing", () => {
  const board = boardWithRom();
  expect(board.write(BASE, 4, 1)).toBeUndefined();
  expect(board.guestErrors).toEqual([expect.stringContaining("banana-rom+0x0 (0x4000000)")]);
  expect(board.read(BASE, 4)).toBe(0xba00_0001);
});

test("is made by its name", () => {
  const types = new TypeRegistry();
  types.register(bananaRomType);
  expect(types.create("banana-rom").typeInfo).toBe(bananaRomType);
  expect(() => types.get("banana_ron")).toThrow('did you mean "banana-rom"?');
});

test("has no node in the device tree", () => {
  expect(treeOf(described(createObject(bananaRomType), BASE))).toEqual({});
});

test("has no state: a snapshot is empty, and its copy reads the same", () => {
  const board = boardWithRom();
  const copy = boardWithRom();
  board.copyTo(copy);
  expect(copy.read(BASE, 4)).toBe(0xba00_0001);
});
