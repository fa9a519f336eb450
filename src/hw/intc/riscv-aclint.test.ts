import { describe, expect, test } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { aclintMtimerType, aclintSwiType } from "./riscv-aclint.ts";

const BASE = 0x200_0000;
const MTIMECMP = BASE + 0x4000;
const MTIME = BASE + 0xbff8;
const FOREVER = 0xffff_ffff_ffff_ffffn;

function bench(harts = 2) {
  const board = new TestBoard();
  const swi = board.add(createObject(aclintSwiType, { "num-harts": harts }), BASE);
  const mtimer = board.add(createObject(aclintMtimerType, { "num-harts": harts }), MTIMECMP);
  const msip = Array<boolean>(harts).fill(false);
  const mtip = Array<boolean>(harts).fill(false);
  for (let hart = 0; hart < harts; hart++) {
    swi.connectIrq(hart, (level) => {
      msip[hart] = level;
    });
    mtimer.connectIrq(hart, (level) => {
      mtip[hart] = level;
    });
  }
  board.reset();
  return { board, swi, mtimer, msip, mtip };
}

describe("software interrupts", () => {
  test("bit 0 of msip is the hart's line, the rest is not there", () => {
    const { board, msip } = bench();
    board.write(BASE + 4, 4, 3);
    expect(msip).toEqual([false, true]);
    expect([board.read(BASE, 4), board.read(BASE + 4, 4)]).toEqual([0, 1]);
    board.write(BASE + 4, 4, 0xffff_fffe);
    expect(msip).toEqual([false, false]);
    expect(board.read(BASE + 4, 4)).toBe(0);
  });

  test("registers of harts that are not there are guest errors", () => {
    const { board } = bench();
    board.write(BASE + 8, 4, 1);
    expect(board.read(BASE + 0x3ffc, 4)).toBe(0);
    expect(board.guestErrors).toEqual([
      "riscv.aclint.swi: write to msip of hart 2, which is not there",
      "riscv.aclint.swi: read of msip of hart 4095, which is not there",
    ]);
  });

  test("take 4 bytes at a time", () => {
    const { board } = bench();
    for (const size of [1, 2, 8] as const) {
      expect(board.read(BASE, size)).toBe("fault");
      expect(board.write(BASE, size, 1)).toBe("fault");
    }
  });
});

describe("time", () => {
  test("mtime counts at 10 MHz from the reset on", () => {
    const { board, mtimer } = bench();
    expect(board.read(MTIME, 8)).toBe(0n);
    board.clock.advance(99);
    expect(board.read(MTIME, 8)).toBe(0n);
    board.clock.advance(1);
    expect(board.read(MTIME, 8)).toBe(1n);
    board.clock.advance(1e9);
    expect([board.read(MTIME, 4), board.read(MTIME + 4, 4)]).toEqual([10_000_001, 0]);
    board.reset();
    expect(board.read(MTIME, 8)).toBe(0n);
    board.clock.advance(250);
    expect(mtimer.time).toBe(2n);
  });

  test("mtime can be set, whole or by halves, and goes on from there", () => {
    const { board, mtimer } = bench();
    let told = 0;
    mtimer.onTimeSet = () => {
      told++;
    };
    board.write(MTIME, 8, 0x1234_5678_9abc_def0n);
    expect(board.read(MTIME, 8)).toBe(0x1234_5678_9abc_def0n);
    board.clock.advance(1000);
    expect(board.read(MTIME, 8)).toBe(0x1234_5678_9abc_defan);
    board.write(MTIME, 4, 0x11);
    expect(board.read(MTIME, 8)).toBe(0x1234_5678_0000_0011n);
    board.write(MTIME + 4, 4, 0xffff_ffff);
    expect(board.read(MTIME + 4, 4)).toBe(0xffff_ffff);
    expect(told).toBe(3);
    board.write(MTIME, 8, FOREVER);
    board.clock.advance(100);
    expect(board.read(MTIME, 8)).toBe(0n);
  });

  test("timeOffset leads from the clock's ticks to mtime", () => {
    const { board, mtimer } = bench();
    board.clock.advance(12_345);
    board.write(MTIME, 8, 5n);
    expect(BigInt.asUintN(64, BigInt(Math.floor(board.clock.now / 100)) + mtimer.timeOffset)).toBe(5n);
  });

  test("another frequency is possible if a tick is a whole number of nanoseconds", () => {
    const board = new TestBoard();
    const mtimer = board.add(createObject(aclintMtimerType, { "timebase-freq": 1_000_000 }));
    board.clock.advance(2_999);
    expect(mtimer.time).toBe(2n);
    for (const frequency of [0, 3, 0xffff_ffff]) {
      const other = createObject(aclintMtimerType, { "timebase-freq": frequency });
      expect(() => other.realize(board)).toThrow(`timebase-freq: ${frequency} does not divide 1000000000`);
    }
  });
});

describe("timer interrupts", () => {
  test("the line is high from mtimecmp on", () => {
    const { board, mtip } = bench();
    // mtimecmp is 0 at first, so the time has come: QEMU 7.2 shows MTIP set at reset too.
    expect(mtip).toEqual([true, true]);
    board.write(MTIMECMP, 8, 50n);
    board.write(MTIMECMP + 8, 8, FOREVER);
    expect(mtip).toEqual([false, false]);
    expect(board.clock.nextDeadline).toBe(5_000);
    board.clock.advance(4_999);
    expect(mtip).toEqual([false, false]);
    board.clock.advance(1);
    expect(mtip).toEqual([true, false]);
    expect(board.clock.nextDeadline).toBe(Infinity);
    board.write(MTIMECMP, 8, 51n);
    expect(mtip).toEqual([false, false]);
  });

  test("a deadline counts whole ticks even when it is set between two", () => {
    const { board, mtip } = bench();
    board.clock.advance(150);
    board.write(MTIMECMP, 8, 3n);
    expect(board.clock.nextDeadline).toBe(300);
    board.clock.advance(150);
    expect(mtip[0]).toBe(true);
  });

  test("mtimecmp can be written by halves", () => {
    const { board, mtip } = bench();
    board.write(MTIMECMP, 8, 0x1122_3344_5566_7788n);
    expect([board.read(MTIMECMP, 4), board.read(MTIMECMP + 4, 4)]).toEqual([0x5566_7788, 0x1122_3344]);
    board.write(MTIMECMP, 4, 1);
    expect(board.read(MTIMECMP, 8)).toBe(0x1122_3344_0000_0001n);
    board.write(MTIMECMP + 4, 4, 0);
    expect(mtip[0]).toBe(false);
    board.clock.advance(100);
    expect(mtip[0]).toBe(true);
  });

  test("the sequence for 32-bit harts makes no false interrupt", () => {
    const { board, mtimer } = bench(1);
    board.clock.advance(1_000);
    board.write(MTIMECMP, 8, FOREVER);
    const levels: boolean[] = [];
    mtimer.connectIrq(0, (level) => levels.push(level));
    board.write(MTIMECMP, 4, 0xffff_ffff);
    board.write(MTIMECMP + 4, 4, 0);
    board.write(MTIMECMP, 4, 20);
    expect(levels).toEqual([false, false, false]);
    expect(board.clock.nextDeadline).toBe(2_000);
  });

  test("setting mtime moves the deadlines", () => {
    const { board, mtip } = bench();
    board.write(MTIMECMP, 8, 1_000n);
    board.write(MTIME, 8, 999n);
    expect(mtip[0]).toBe(false);
    expect(board.clock.nextDeadline).toBe(100);
    board.write(MTIME, 8, 1_000n);
    expect(mtip[0]).toBe(true);
    board.write(MTIME, 8, 0n);
    expect(mtip[0]).toBe(false);
    expect(board.clock.nextDeadline).toBe(100_000);
  });

  test("the highest value is no deadline, one of years is", () => {
    const { board } = bench();
    board.write(MTIMECMP + 8, 8, FOREVER);
    board.write(MTIMECMP, 8, FOREVER);
    expect(board.clock.nextDeadline).toBe(Infinity);
    const tenYears = 10n * 365n * 86_400n * 10_000_000n;
    board.write(MTIMECMP, 8, tenYears);
    expect(board.clock.nextDeadline).toBe(Number(tenYears) * 100);
  });

  test("registers of harts that are not there are guest errors, 1 and 2 bytes a fault", () => {
    const { board } = bench();
    board.write(MTIMECMP + 16, 8, 5n);
    expect(board.read(MTIMECMP + 16, 8)).toBe(0n);
    board.write(BASE + 0x8000, 4, 1);
    expect(board.read(BASE + 0x8000, 4)).toBe(0);
    expect(board.guestErrors).toEqual([
      "riscv.aclint.mtimer: write at reserved offset 0x10",
      "riscv.aclint.mtimer: read at reserved offset 0x10",
      "riscv.aclint.mtimer: write at reserved offset 0x4000",
      "riscv.aclint.mtimer: read at reserved offset 0x4000",
    ]);
    expect([1, 2].map((size) => board.read(MTIME, size as 1 | 2))).toEqual(["fault", "fault"]);
    expect([1, 2].map((size) => board.write(MTIMECMP, size as 1 | 2, 0))).toEqual(["fault", "fault"]);
  });
});

describe("harts", () => {
  test("up to 8 and more", () => {
    const { board, msip, mtip } = bench(8);
    board.write(BASE + 4 * 7, 4, 1);
    expect(msip).toEqual([...Array(7).fill(false), true]);
    board.write(MTIMECMP + 8 * 7, 8, 5n);
    expect(mtip).toEqual([...Array(7).fill(true), false]);
  });

  test.each([aclintSwiType, aclintMtimerType])("$name refuses 0 and 4096", (type) => {
    for (const harts of [0, 4096]) {
      const device = createObject(type, { "num-harts": harts });
      expect(() => device.realize(new TestBoard())).toThrow(`num-harts: ${harts} is not between 1 and 4095`);
    }
  });

  test("one node describes both as QEMU does", () => {
    const { swi, mtimer } = bench(2);
    expect(treeOf(described(swi, BASE))).toEqual({
      "/soc/clint@2000000": {
        compatible: "sifive,clint0 riscv,clint0",
        reg: [0, BASE, 0, 0x1_0000],
        "interrupts-extended": [2, 3, 2, 7, 3, 3, 3, 7],
      },
    });
    expect(treeOf(described(mtimer, MTIMECMP))).toEqual({});
  });
});

describe("reset and snapshot", () => {
  test("a reset clears msip and mtime, and keeps mtimecmp", () => {
    const { board, msip, mtip } = bench();
    board.write(BASE, 4, 1);
    board.write(MTIMECMP, 8, 0x55n);
    board.write(MTIME, 8, 0x1_0000n);
    expect([msip[0], mtip[0]]).toEqual([true, true]);
    board.reset();
    expect([msip[0], mtip[0]]).toEqual([false, false]);
    expect([board.read(BASE, 4), board.read(MTIMECMP, 8), board.read(MTIME, 8)]).toEqual([0, 0x55n, 0n]);
  });

  test("a snapshot goes on where it was", () => {
    const from = bench();
    from.board.clock.advance(1_000);
    from.board.write(BASE + 4, 4, 1);
    from.board.write(MTIME, 8, 100n);
    from.board.write(MTIMECMP, 8, 200n);
    const to = bench();
    from.board.copyTo(to.board);
    expect(to.msip).toEqual([false, true]);
    expect(to.mtip).toEqual([false, true]);
    expect(to.board.read(MTIME, 8)).toBe(100n);
    to.board.clock.advance(10_000);
    expect(to.mtip).toEqual([true, true]);
    expect(() => bench(1).board.copyTo(to.board)).toThrow("its msip should be Uint8Array of length 2");
  });
});
