import { expect, test } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { sifiveTestType } from "./sifive-test.ts";

const BASE = 0x10_0000;

function boardWithFinisher(): TestBoard {
  const board = new TestBoard();
  board.add(createObject(sifiveTestType), BASE);
  board.reset();
  return board;
}

// The exit statuses are those that QEMU 7.2 was seen to end with.
test.each<[value: number, size: 2 | 4, kind: "poweroff" | "reset", status: number]>([
  [0x5555, 4, "poweroff", 0],
  [0x5555, 2, "poweroff", 0],
  [0x1234_5555, 4, "poweroff", 0],
  [0x3333, 4, "poweroff", 0],
  [0x3333, 2, "poweroff", 0],
  [0x0003_3333, 4, "poweroff", 3],
  [0x00ff_3333, 4, "poweroff", 255],
  [0x7777, 4, "reset", 0],
  [0x1234_7777, 4, "reset", 0],
])("a write of 0x%x with %i bytes ends in %s %i", (value, size, kind, status) => {
  const board = boardWithFinisher();
  expect(board.write(BASE, size, value)).toBeUndefined();
  expect(board.shutdowns).toEqual([{ kind, status }]);
});

test("an exit status keeps its 16 bits: the host's process cuts it off", () => {
  const board = boardWithFinisher();
  board.write(BASE, 4, 0x0100_3333);
  expect(board.shutdowns).toEqual([{ kind: "poweroff", status: 0x100 }]);
});

test("other values and offsets are guest errors", () => {
  const board = boardWithFinisher();
  board.write(BASE, 4, 0);
  board.write(BASE, 4, 0x1234);
  board.write(BASE + 4, 4, 0x5555);
  expect(board.shutdowns).toEqual([]);
  expect(board.guestErrors).toEqual([
    "riscv.sifive.test: write of 0x0 at offset 0x0 asks for nothing known",
    "riscv.sifive.test: write of 0x1234 at offset 0x0 asks for nothing known",
    "riscv.sifive.test: write of 0x5555 at offset 0x4 asks for nothing known",
  ]);
});

test("reads as 0, in 2 or 4 bytes", () => {
  const board = boardWithFinisher();
  expect([1, 2, 4, 8].map((size) => board.read(BASE, size as 1 | 2 | 4 | 8))).toEqual(["fault", 0, 0, "fault"]);
  expect([1, 8].map((size) => board.write(BASE, size as 1 | 8, 0x5555))).toEqual(["fault", "fault"]);
  expect(board.read(BASE + 0xffc, 4)).toBe(0);
});

test("describes itself and the ways to power off and reboot as QEMU does", () => {
  const device = createObject(sifiveTestType);
  expect(treeOf(described(device, BASE))).toEqual({
    "/soc/test@100000": {
      compatible: "sifive,test1 sifive,test0 syscon",
      reg: [0, BASE, 0, 0x1000],
      phandle: [2],
    },
    "/reboot": { compatible: "syscon-reboot", regmap: [2], offset: [0], value: [0x7777] },
    "/poweroff": { compatible: "syscon-poweroff", regmap: [2], offset: [0], value: [0x5555] },
  });
});

test("has no state for a snapshot", () => {
  expect(createObject(sifiveTestType).save()).toBeUndefined();
});
