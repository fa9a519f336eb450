import { expect, test } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { goldfishRtcType } from "./goldfish-rtc.ts";

const BASE = 0x10_1000;
const TIME_LOW = BASE;
const TIME_HIGH = BASE + 0x04;
const ALARM_LOW = BASE + 0x08;
const ALARM_HIGH = BASE + 0x0c;
const IRQ_ENABLED = BASE + 0x10;
const CLEAR_ALARM = BASE + 0x14;
const ALARM_STATUS = BASE + 0x18;
const CLEAR_INTERRUPT = BASE + 0x1c;

function bench() {
  const board = new TestBoard();
  const rtc = board.add(createObject(goldfishRtcType), BASE);
  const irq = { level: false };
  rtc.connectIrq(0, (level) => {
    irq.level = level;
  });
  board.reset();
  const setTime = (time: bigint) => {
    board.write(TIME_HIGH, 4, time >> 32n);
    board.write(TIME_LOW, 4, time & 0xffff_ffffn);
  };
  const setAlarm = (time: bigint) => {
    board.write(ALARM_HIGH, 4, time >> 32n);
    board.write(ALARM_LOW, 4, time & 0xffff_ffffn);
  };
  return { board, rtc, irq, setTime, setAlarm };
}

test("shows the host's time of day, going on with the machine's clock", () => {
  const { board } = bench();
  const start = board.wallClock();
  expect(board.read(TIME_LOW, 8)).toBe(start);
  board.clock.advance(1_234_567_890);
  expect(board.read(TIME_LOW, 8)).toBe(start + 1_234_567_890n);
});

test("a read of TIME_LOW holds TIME_HIGH still", () => {
  const { board, setTime } = bench();
  expect(board.read(TIME_HIGH, 4)).toBe(0);
  setTime(0x1_ffff_ffffn);
  expect(board.read(TIME_HIGH, 4)).toBe(0);
  expect(board.read(TIME_LOW, 4)).toBe(0xffff_ffff);
  board.clock.advance(1);
  expect(board.read(TIME_HIGH, 4)).toBe(1);
  expect(board.read(TIME_LOW, 4)).toBe(0);
  expect(board.read(TIME_HIGH, 4)).toBe(2);
});

test("can be set, each half at once", () => {
  const { board } = bench();
  board.write(TIME_HIGH, 4, 0x100);
  board.write(TIME_LOW, 4, 5);
  board.clock.advance(7);
  expect(board.read(TIME_LOW, 8)).toBe(0x100_0000_000cn);
  board.write(TIME_HIGH, 4, 0x200);
  expect(board.read(TIME_LOW, 8)).toBe(0x200_0000_000cn);
});

test("the alarm is set by its low half and rings at its time", () => {
  const { board, irq, setTime } = bench();
  setTime(1_000n);
  board.write(IRQ_ENABLED, 4, 0xff);
  expect(board.read(IRQ_ENABLED, 4)).toBe(1);
  board.write(ALARM_HIGH, 4, 0);
  expect(board.read(ALARM_STATUS, 4)).toBe(0);
  board.write(ALARM_LOW, 4, 1_500);
  expect([board.read(ALARM_LOW, 4), board.read(ALARM_HIGH, 4), board.read(ALARM_STATUS, 4)]).toEqual([1_500, 0, 1]);
  expect(board.clock.nextDeadline).toBe(500);
  board.clock.advance(499);
  expect(irq.level).toBe(false);
  board.clock.advance(1);
  expect(irq.level).toBe(true);
  expect(board.read(ALARM_STATUS, 4)).toBe(0);
  board.write(CLEAR_INTERRUPT, 4, 1);
  expect(irq.level).toBe(false);
});

test("an alarm in the past rings at once, and waits for its interrupt to be enabled", () => {
  const { board, irq, setTime, setAlarm } = bench();
  setTime(0x200_0000_0055n);
  setAlarm(0x200_0000_0000n);
  expect(board.read(ALARM_STATUS, 4)).toBe(0);
  expect(irq.level).toBe(false);
  board.write(IRQ_ENABLED, 4, 1);
  expect(irq.level).toBe(true);
  board.write(IRQ_ENABLED, 4, 0);
  expect(irq.level).toBe(false);
});

test("an alarm can be cleared", () => {
  const { board, irq, setTime, setAlarm } = bench();
  setTime(0n);
  board.write(IRQ_ENABLED, 4, 1);
  setAlarm(100n);
  board.write(CLEAR_ALARM, 4, 1);
  expect(board.read(ALARM_STATUS, 4)).toBe(0);
  expect(board.clock.nextDeadline).toBe(Infinity);
  board.clock.advance(1_000);
  expect(irq.level).toBe(false);
});

test("setting the time moves a waiting alarm", () => {
  const { board, irq, setTime, setAlarm } = bench();
  board.write(IRQ_ENABLED, 4, 1);
  setTime(0n);
  setAlarm(1_000n);
  setTime(0x1_0000_0000n - 100n);
  expect(irq.level).toBe(true);
  board.write(CLEAR_INTERRUPT, 4, 1);
  setAlarm(0x1_0000_0000n);
  setTime(0n);
  expect(board.clock.nextDeadline).toBe(0x1_0000_0000);
});

test("takes 4 or 8 bytes, and only at registers", () => {
  const { board } = bench();
  for (const size of [1, 2] as const) {
    expect(board.read(TIME_LOW, size)).toBe("fault");
    expect(board.write(TIME_HIGH, size, 0)).toBe("fault");
  }
  expect(board.write(ALARM_LOW, 8, 5n)).toBeUndefined();
  expect(board.read(BASE + 0x24, 4)).toBe("fault");
  board.guestErrors.length = 0;
  expect(board.read(BASE + 0x20, 4)).toBe(0);
  board.write(BASE + 0x20, 4, 1);
  board.write(ALARM_STATUS, 4, 1);
  expect([board.read(CLEAR_ALARM, 4), board.read(CLEAR_INTERRUPT, 4)]).toEqual([0, 0]);
  expect(board.guestErrors).toEqual([
    "goldfish-rtc: read at reserved offset 0x20",
    "goldfish-rtc: write of 0x1 at reserved or read-only offset 0x20",
    "goldfish-rtc: write of 0x1 at reserved or read-only offset 0x18",
  ]);
});

test("describes itself as QEMU does", () => {
  expect(treeOf(described(createObject(goldfishRtcType), BASE, [11], 0x1000))).toEqual({
    "/soc/rtc@101000": {
      compatible: "google,goldfish-rtc",
      reg: [0, BASE, 0, 0x1000],
      "interrupt-parent": [1],
      interrupts: [11],
    },
  });
});

test("a reset clears the alarm and leaves the time that was set", () => {
  const { board, irq, setTime, setAlarm } = bench();
  setTime(0x500n);
  board.write(IRQ_ENABLED, 4, 1);
  setAlarm(0x100n);
  expect(irq.level).toBe(true);
  setAlarm(0x10_0000n);
  board.reset();
  expect(irq.level).toBe(false);
  expect(board.clock.nextDeadline).toBe(Infinity);
  expect([ALARM_LOW, ALARM_HIGH, IRQ_ENABLED, ALARM_STATUS].map((address) => board.read(address, 4))).toEqual([
    0, 0, 0, 0,
  ]);
  expect(board.read(TIME_LOW, 8)).toBe(0x500n);
});

test("a snapshot keeps time, alarm and interrupt", () => {
  const from = bench();
  from.board.clock.advance(300);
  from.setTime(0x1_0000_0000n);
  from.board.read(TIME_LOW, 4);
  from.board.write(IRQ_ENABLED, 4, 1);
  from.setAlarm(0x1_0000_0064n);

  const waiting = bench();
  from.board.copyTo(waiting.board);
  expect(waiting.board.read(TIME_HIGH, 4)).toBe(1);
  expect(waiting.board.read(TIME_LOW, 8)).toBe(0x1_0000_0000n);
  expect(waiting.rtc.save()).toEqual(from.rtc.save());
  waiting.board.clock.advance(100);
  expect(waiting.irq.level).toBe(true);

  const ringing = bench();
  waiting.board.copyTo(ringing.board);
  expect(ringing.irq.level).toBe(true);
});
