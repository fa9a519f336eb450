import { describe, expect, test } from "vitest";
import type { Chardev, ChardevFrontend } from "../../backend/chardev.ts";
import { createObject } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { serialType } from "./serial-16550a.ts";

const BASE = 0x1000_0000;
const RBR = 0;
const THR = 0;
const DLL = 0;
const IER = 1;
const DLM = 1;
const IIR = 2;
const FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

/** The time of a character at reset: 7 bits of 16 * 12 clocks of 3.6864 MHz, in nanoseconds, rounded up. */
const RESET_CHARACTER = Math.ceil((7 * 16 * 12 * 1e9) / 3_686_400);

/** A host's side that keeps input until the UART takes it. */
class FakeChardev implements Chardev {
  readonly id = "serial0";
  output = "";
  #frontend: ChardevFrontend | undefined;
  #input: number[] = [];

  attach(frontend: ChardevFrontend): void {
    this.#frontend = frontend;
  }

  write(bytes: Uint8Array): void {
    this.output += String.fromCharCode(...bytes);
  }

  type(text: string): void {
    this.#input.push(...new TextEncoder().encode(text));
    this.acceptInput();
  }

  break(): void {
    this.#frontend?.event?.("break");
  }

  /** Hands over bytes without asking whether there is room. */
  force(text: string): void {
    this.#frontend?.receive(new TextEncoder().encode(text));
  }

  acceptInput(): void {
    const bytes = this.#input.splice(0, this.#frontend?.canReceive() ?? 0);
    if (bytes.length > 0) this.#frontend?.receive(new Uint8Array(bytes));
  }

  get waiting(): number {
    return this.#input.length;
  }

  close(): void {}
}

function bench(properties: Record<string, number> = {}) {
  const board = new TestBoard();
  const chardev = new FakeChardev();
  const uart = board.add(createObject(serialType, { chardev, ...properties }), BASE);
  const irq = { level: false };
  uart.connectIrq(0, (level) => {
    irq.level = level;
  });
  board.reset();
  const read = (register: number) => board.read(BASE + register, 1);
  const write = (register: number, value: number) => board.write(BASE + register, 1, value);
  const receiveAll = () => {
    let text = "";
    while ((Number(read(LSR)) & 1) !== 0) text += String.fromCharCode(Number(read(RBR)));
    return text;
  };
  return { board, chardev, uart, irq, read, write, receiveAll };
}

describe("registers", () => {
  test("have their reset values", () => {
    const { read } = bench();
    expect([RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR].map(read)).toEqual([0, 0, 1, 0, 8, 0x60, 0xb0, 0]);
  });

  test("keep the bits they have", () => {
    const { board, read, write } = bench();
    for (const [register, value] of [
      [IER, 0x0f],
      [LCR, 0x7f],
      [MCR, 0x1f],
      [SCR, 0xff],
    ] as const) {
      write(register, value === 0x7f ? 0x7f : 0xff);
      expect(read(register)).toBe(value);
    }
    write(MCR, 0);
    write(LSR, 0);
    write(MSR, 0xff);
    expect(read(LSR)).toBe(0x60);
    expect(board.guestErrors).toEqual([
      "serial-mm: write of 0x0 to the read-only LSR",
      "serial-mm: write of 0xff to the read-only MSR",
    ]);
  });

  test("LCR bit 7 puts the divisor in the place of data and IER", () => {
    const { read, write, chardev } = bench();
    write(IER, 5);
    write(LCR, 0x83);
    expect([read(DLL), read(DLM)]).toEqual([12, 0]);
    write(DLL, 0x34);
    write(DLM, 0x12);
    expect([read(DLL), read(DLM)]).toEqual([0x34, 0x12]);
    write(LCR, 0x03);
    expect([read(RBR), read(IER)]).toEqual([0, 5]);
    expect(chardev.output).toBe("");
  });

  test("an access of any size reaches one register", () => {
    const { board, chardev, read, write } = bench();
    write(SCR, 0x5a);
    expect(board.read(BASE + MCR, 4)).toBe(8);
    expect(board.read(BASE + MSR, 2)).toBe(0xb0);
    expect(board.read(BASE, 8)).toBe(0n);
    board.write(BASE + MCR, 4, 0x3344_5506);
    expect([read(MCR), read(SCR)]).toEqual([6, 0x5a]);
    board.write(BASE, 8, 0x4342_41n);
    expect(chardev.output).toBe("A");
    expect(board.read(BASE + 8, 1)).toBe("fault");
    expect(board.read(BASE + SCR, 2)).toBe("fault");
  });

  test("regshift spreads them", () => {
    const { board } = bench({ regshift: 2 });
    board.write(BASE + 4 * SCR, 4, 0x12);
    expect(board.read(BASE + 4 * SCR, 1)).toBe(0x12);
    expect(board.read(BASE + 4 * MSR, 4)).toBe(0xb0);
    expect(board.read(BASE + 0x20, 1)).toBe("fault");
    expect(() => bench({ regshift: 4 })).toThrow("serial-mm.regshift: 4 is not between 0 and 3");
    expect(() => bench({ "clock-frequency": 0 })).toThrow("serial-mm.clock-frequency: expected a frequency");
  });
});

describe("transmitter", () => {
  test("bytes leave at once, so it is always empty", () => {
    const { chardev, read, write } = bench();
    for (const byte of [0x48, 0x69, 0xff]) {
      write(THR, byte);
      expect(read(LSR)).toBe(0x60);
    }
    expect(chardev.output).toBe("Hi\xff");
  });

  test("without a chardev they are gone", () => {
    const board = new TestBoard();
    board.add(createObject(serialType), BASE);
    board.reset();
    expect(board.write(BASE, 1, 0x41)).toBeUndefined();
    expect(board.read(BASE + RBR, 1)).toBe(0);
    expect(board.read(BASE + LSR, 1)).toBe(0x60);
  });

  test("THR empty interrupts when enabled and after each byte, until IIR tells it", () => {
    const { irq, read, write } = bench();
    write(IER, 0x02);
    expect(irq.level).toBe(true);
    expect([read(IIR), read(IIR)]).toEqual([0x02, 0x01]);
    expect(irq.level).toBe(false);
    write(IER, 0x02);
    expect(irq.level).toBe(false);
    write(THR, 0x41);
    expect(irq.level).toBe(true);
    write(IER, 0);
    expect(irq.level).toBe(false);
    write(IER, 0x02);
    expect(irq.level).toBe(true);
  });

  // As QEMU 7.2 was seen to answer, write by write.
  test("switching or clearing the FIFOs empties THR anew", () => {
    const { read, write } = bench();
    write(IER, 0x02);
    read(IIR);
    const answers = [0x00, 0x01, 0x07, 0x41, 0x81, 0xc1, 0xff, 0x06, 0x30, 0xc0].map((value) => {
      write(FCR, value);
      return read(IIR);
    });
    expect(answers).toEqual([0x01, 0xc2, 0xc2, 0xc1, 0xc1, 0xc1, 0xc2, 0x02, 0x01, 0x01]);
  });
});

describe("receiver without FIFOs", () => {
  test("takes one byte at a time and leaves the rest to the host", () => {
    const { chardev, irq, read, write } = bench();
    write(IER, 0x01);
    chardev.type("abc");
    for (const letter of "abc") {
      expect([irq.level, read(LSR), read(IIR), read(RBR)]).toEqual([true, 0x61, 0x04, letter.charCodeAt(0)]);
    }
    expect([irq.level, read(LSR), read(IIR)]).toEqual([false, 0x60, 0x01]);
    // QEMU shows the last byte again.
    expect(read(RBR)).toBe(0x63);
  });

  test("a byte too many replaces the other and is an overrun", () => {
    const { chardev, irq, read, write } = bench();
    write(IER, 0x05);
    chardev.force("ab");
    expect([irq.level, read(IIR), read(LSR)]).toEqual([true, 0x06, 0x63]);
    expect([read(IIR), read(LSR), read(RBR)]).toEqual([0x04, 0x61, 0x62]);
  });
});

describe("receiver with FIFOs", () => {
  test("interrupts at the trigger level and below it no more", () => {
    const { chardev, irq, read, write } = bench();
    write(IER, 0x01);
    for (const [fcr, level] of [
      [0x01, 1],
      [0x41, 4],
      [0x81, 8],
      [0xc1, 14],
    ] as const) {
      write(FCR, fcr | 2);
      chardev.type("x".repeat(level - 1));
      expect([irq.level, read(IIR)]).toEqual([false, 0xc1]);
      chardev.type("y");
      expect([irq.level, read(IIR)]).toEqual([true, 0xc4]);
      read(RBR);
      expect([irq.level, read(IIR)]).toEqual([false, 0xc1]);
    }
  });

  test("takes 16 bytes, in order, and more when they are read", () => {
    const { chardev, write, receiveAll, read } = bench();
    write(FCR, 0x01);
    chardev.type("0123456789abcdefghijklmnopqrstuv");
    expect(chardev.waiting).toBe(16);
    read(RBR);
    expect(chardev.waiting).toBe(15);
    expect(receiveAll()).toBe("123456789abcdefghijklmnopqrstuv");
    expect(read(RBR)).toBe(0);
  });

  test("bytes below the trigger level time out after four characters", () => {
    const { board, chardev, irq, read, write } = bench();
    write(IER, 0x01);
    write(FCR, 0x81);
    chardev.type("ab");
    board.clock.advance(4 * RESET_CHARACTER - 1);
    chardev.type("c");
    board.clock.advance(4 * RESET_CHARACTER - 1);
    expect(irq.level).toBe(false);
    board.clock.advance(1);
    expect([irq.level, read(IIR)]).toEqual([true, 0xcc]);
    expect(read(RBR)).toBe(0x61);
    expect([irq.level, read(IIR)]).toEqual([false, 0xc1]);
    board.clock.advance(4 * RESET_CHARACTER);
    expect(read(IIR)).toBe(0xcc);
    read(RBR);
    read(RBR);
    expect(board.clock.nextDeadline).toBe(Infinity);
    expect(irq.level).toBe(false);
  });

  test("the line's settings give the time of a character", () => {
    const { board, chardev, write } = bench();
    write(LCR, 0x80);
    write(DLL, 2);
    // 8 bits, even parity, 2 stop bits.
    write(LCR, 0x1f);
    write(FCR, 0x81);
    chardev.type("a");
    expect(board.clock.nextDeadline).toBe(4 * Math.ceil((12 * 16 * 2 * 1e9) / 3_686_400));
    write(LCR, 0x80);
    write(DLL, 0);
    write(LCR, 0x03);
    chardev.type("b");
    expect(board.clock.nextDeadline).toBeLessThan(1e6);
  });

  test("the trigger level goes before the timeout", () => {
    const { board, chardev, read, write } = bench();
    write(IER, 0x01);
    write(FCR, 0x41);
    chardev.type("abcd");
    board.clock.advance(1e9);
    expect(read(IIR)).toBe(0xc4);
  });

  test("a byte too many is lost and an overrun", () => {
    const { chardev, read, write, receiveAll } = bench();
    write(FCR, 0x01);
    chardev.force("0123456789abcdefX");
    expect(read(LSR)).toBe(0x63);
    expect(receiveAll()).toBe("0123456789abcdef");
  });

  test("can be cleared, which lets more input in", () => {
    const { board, chardev, irq, read, write } = bench();
    write(IER, 0x01);
    write(FCR, 0x01);
    chardev.type("0123456789abcdefX");
    write(FCR, 0x03);
    expect([irq.level, read(RBR), read(LSR)]).toEqual([true, 0x58, 0x60]);
    expect(board.clock.nextDeadline).toBe(Infinity);
  });

  test("switching them off empties them", () => {
    const { chardev, read, write } = bench();
    write(FCR, 0x01);
    chardev.type("abc");
    write(FCR, 0x00);
    expect(read(LSR)).toBe(0x60);
    expect(read(IIR)).toBe(0x01);
  });
});

describe("break", () => {
  test("is a zero with its mark, told once", () => {
    const { chardev, irq, read, write } = bench();
    write(IER, 0x05);
    chardev.break();
    expect([irq.level, read(IIR)]).toEqual([true, 0x06]);
    expect([read(LSR), read(LSR)]).toEqual([0x71, 0x61]);
    expect([read(IIR), read(RBR), irq.level]).toEqual([0x04, 0, false]);
  });

  test("is told when its zero comes to the top of the FIFO", () => {
    const { chardev, irq, read, write } = bench();
    write(IER, 0x04);
    write(FCR, 0x01);
    chardev.type("a");
    chardev.break();
    chardev.type("b");
    expect([irq.level, read(LSR)]).toEqual([false, 0xe1]);
    expect(read(RBR)).toBe(0x61);
    expect([irq.level, read(IIR), read(LSR), read(LSR)]).toEqual([true, 0xc6, 0xf1, 0x61]);
    expect([read(RBR), read(RBR)]).toEqual([0, 0x62]);
  });
});

describe("loopback", () => {
  test("sends to itself, and the line waits", () => {
    const { chardev, irq, read, write, receiveAll } = bench();
    write(IER, 0x01);
    write(MCR, 0x18);
    chardev.type("in");
    chardev.break();
    expect(read(LSR)).toBe(0x60);
    write(THR, 0x55);
    expect([irq.level, read(LSR), read(RBR)]).toEqual([true, 0x61, 0x55]);
    expect(chardev.output).toBe("");
    write(MCR, 0x08);
    expect(receiveAll()).toBe("in");
  });

  test("a FIFO that is full overruns", () => {
    const { read, write, receiveAll } = bench();
    write(FCR, 0x01);
    write(MCR, 0x10);
    for (let i = 0; i < 17; i++) write(THR, 0x41 + i);
    expect(read(LSR)).toBe(0x63);
    expect(receiveAll()).toBe("ABCDEFGHIJKLMNOP");
  });

  // The levels are those QEMU 7.2 shows; it has no deltas in loopback, a 16550A has.
  test("MCR drives MSR", () => {
    const { read, write } = bench();
    const levels = Array.from({ length: 16 }, (_, i) => {
      write(MCR, 0x10 | i);
      return Number(read(MSR)) & 0xf0;
    });
    expect(levels).toEqual([
      0x00, 0x20, 0x10, 0x30, 0x40, 0x60, 0x50, 0x70, 0x80, 0xa0, 0x90, 0xb0, 0xc0, 0xe0, 0xd0, 0xf0,
    ]);
  });

  test("changes of MSR interrupt until it is read, of RI only the trailing edge", () => {
    const { irq, read, write } = bench();
    write(MCR, 0x1b);
    expect(read(MSR)).toBe(0xb0);
    write(IER, 0x08);
    write(MCR, 0x1a);
    expect([irq.level, read(IIR), read(MSR)]).toEqual([true, 0x00, 0x92]);
    expect([irq.level, read(IIR), read(MSR)]).toEqual([false, 0x01, 0x90]);
    write(MCR, 0x1e);
    expect([irq.level, read(MSR)]).toEqual([false, 0xd0]);
    write(MCR, 0x18);
    expect([irq.level, read(MSR)]).toEqual([true, 0x85]);
    write(MCR, 0x10);
    write(MCR, 0x18);
    expect(read(MSR)).toBe(0x88);
  });
});

test("interrupts come by priority: line status, data, THR, modem", () => {
  const { chardev, irq, read, write } = bench();
  write(MCR, 0x10);
  write(MCR, 0x00);
  write(IER, 0x0f);
  chardev.force("ab");
  expect(read(IIR)).toBe(0x06);
  read(LSR);
  expect(read(IIR)).toBe(0x04);
  read(RBR);
  expect(read(IIR)).toBe(0x02);
  expect(read(IIR)).toBe(0x00);
  read(MSR);
  expect([read(IIR), irq.level]).toEqual([0x01, false]);
});

test("describes itself as QEMU does", () => {
  const { uart } = bench();
  expect(treeOf(described(uart, BASE, [10], 0x100))).toEqual({
    "/soc/serial@10000000": {
      compatible: "ns16550a",
      reg: [0, BASE, 0, 0x100],
      "clock-frequency": [3_686_400],
      "interrupt-parent": [1],
      interrupts: [10],
    },
  });
});

describe("reset and snapshot", () => {
  test("a reset brings everything back and takes the line down", () => {
    const { board, chardev, irq, read, write } = bench();
    write(LCR, 0x83);
    write(DLL, 1);
    write(LCR, 0x03);
    write(SCR, 1);
    write(FCR, 0xc1);
    write(IER, 0x0f);
    write(MCR, 0x1f);
    chardev.force("x");
    expect(irq.level).toBe(true);
    board.reset();
    expect(irq.level).toBe(false);
    expect(board.clock.nextDeadline).toBe(Infinity);
    expect([RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR].map(read)).toEqual([0, 0, 1, 0, 8, 0x60, 0xb0, 0]);
    write(LCR, 0x80);
    expect(read(DLL)).toBe(12);
  });

  test("a snapshot keeps registers, received bytes and the timeout", () => {
    const from = bench();
    from.write(LCR, 0x80);
    from.write(DLL, 3);
    from.write(LCR, 0x1b);
    from.write(SCR, 0x77);
    from.write(FCR, 0x81);
    from.write(IER, 0x05);
    from.chardev.type("ab");
    from.chardev.break();
    from.chardev.type("c");
    from.read(RBR);

    const to = bench();
    from.board.copyTo(to.board);
    expect(to.uart.save()).toEqual(from.uart.save());
    expect(to.board.clock.nextDeadline).toBeLessThanOrEqual(from.board.clock.nextDeadline);
    to.board.clock.advance(1e9);
    expect([to.irq.level, to.read(IIR), to.read(LSR)]).toEqual([true, 0xcc, 0xe1]);
    expect([to.read(RBR), to.read(IIR), to.read(LSR), to.read(RBR), to.read(RBR)]).toEqual([0x62, 0xc6, 0xf1, 0, 0x63]);
    expect([to.read(SCR), to.read(LCR)]).toEqual([0x77, 0x1b]);
  });

  test("input that waited for room comes in after a snapshot was loaded", () => {
    const from = bench();
    from.write(FCR, 0x01);
    const to = bench();
    to.chardev.type("abc");
    from.board.copyTo(to.board);
    to.board.clock.advance(0);
    expect(to.receiveAll()).toBe("bc");
  });

  test("a state of another version is refused", () => {
    const { uart } = bench();
    expect(() => uart.load({ version: 2 })).toThrow("its state has version 2, expected 1");
  });
});
