import { describe, expect, test } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { fwCfgType } from "./fw-cfg.ts";

const BASE = 0x1010_0000;
const DATA = BASE;
const SELECTOR = BASE + 8;
const DMA = BASE + 0x10;
const RAM = 0x8000_0000;
const RAM_SIZE = 0x1_0000;
const DESCRIPTOR = RAM + 0x1000;
const BUFFER = RAM + 0x2000;

const ERROR = 1;
const READ = 2;
const SKIP = 4;
const SELECT = 8;
const WRITE = 16;

function bench(properties: Record<string, number> = {}) {
  const board = new TestBoard();
  const ram = board.addRam(RAM, RAM_SIZE);
  const fwCfg = board.add(createObject(fwCfgType, properties), BASE, SELECTOR, DMA);
  board.reset();
  const select = (key: number) => void board.write(SELECTOR, 2, swap(key, 2));
  const text = (length: number) => String.fromCharCode(...Array.from({ length }, () => Number(board.read(DATA, 1))));
  /** Writes a descriptor, starts it, and returns its control word afterwards. */
  const transfer = (control: number, length: number, address: number | bigint, descriptor = DESCRIPTOR) => {
    const view = new DataView(ram.buffer, descriptor - RAM, 16);
    view.setUint32(0, control);
    view.setUint32(4, length);
    view.setBigUint64(8, BigInt(address));
    start(BigInt(descriptor));
    return view.getUint32(0);
  };
  const start = (descriptor: bigint) => {
    board.write(DMA, 4, swap(Number(descriptor >> 32n), 4));
    board.write(DMA + 4, 4, swap(Number(descriptor & 0xffff_ffffn), 4));
  };
  const buffer = (length: number) => String.fromCharCode(...ram.subarray(BUFFER - RAM, BUFFER - RAM + length));
  return { board, ram, fwCfg, select, text, transfer, start, buffer };
}

function swap(value: number, size: 2 | 4): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value);
  return size === 2 ? view.getUint16(2, true) : view.getUint32(0, true);
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("selector and data", () => {
  test("the signature and what the device can", () => {
    const { select, text } = bench();
    expect(text(8)).toBe("QEMU\0\0\0\0");
    select(1);
    expect(text(8)).toBe("\x03\0\0\0\0\0\0\0");
    select(0x1234);
    expect(text(2)).toBe("\0\0");
    select(0xffff);
    expect(text(2)).toBe("\0\0");
    // The bit that once selected an item for writing.
    select(0x4000);
    expect(text(4)).toBe("QEMU");
  });

  // Answers of QEMU 7.2 to a little-endian hart.
  test("data comes in memory order at any width", () => {
    const { board, select } = bench();
    const from = (size: 1 | 2 | 4 | 8) => {
      select(0);
      return board.read(DATA, size);
    };
    expect([from(1), from(2), from(4), from(8)]).toEqual([0x51, 0x4551, 0x554d_4551, 0x554d_4551n]);
    select(0);
    expect([board.read(DATA, 2), board.read(DATA, 2), board.read(DATA, 2)]).toEqual([0x4551, 0x554d, 0]);
  });

  test("8 bytes hold 8 bytes", () => {
    const { board, fwCfg, select } = bench();
    fwCfg.addItem(5, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 0xff, 9]));
    select(5);
    expect([board.read(DATA, 8), board.read(DATA, 8)]).toEqual([0xff07_0605_0403_0201n, 9n]);
  });

  test("accesses the device does not take are faults", () => {
    const { board } = bench();
    expect(board.read(SELECTOR, 2)).toBe("fault");
    expect(board.write(SELECTOR, 1, 0)).toBe("fault");
    expect(board.read(DATA + 1, 1)).toBe("fault");
    expect(board.read(DATA + 4, 4)).toBe("fault");
    expect(board.read(BASE + 0xa, 1)).toBe("fault");
    expect(board.read(BASE + 0x18, 1)).toBe("fault");
    expect(board.write(DMA, 1, 0)).toBe("fault");
    expect(board.write(DMA + 4, 2, 0)).toBe("fault");
  });

  test("a write of data is ignored", () => {
    const { board, text } = bench();
    board.write(DATA, 1, 0x41);
    expect(text(4)).toBe("QEMU");
    expect(board.guestErrors).toHaveLength(1);
  });
});

describe("files", () => {
  test("stand in the directory by name, each with its key", () => {
    const { fwCfg, select, text, ram, transfer } = bench();
    fwCfg.addFile("opt/b", bytes("second"));
    fwCfg.addFile("etc/a", bytes("first"));
    fwCfg.addFile("opt/c", bytes(""));
    expect(transfer(SELECT | READ | (0x19 << 16), 4 + 3 * 64, BUFFER)).toBe(0);
    const directory = new DataView(ram.buffer, BUFFER - RAM);
    expect(directory.getUint32(0)).toBe(3);
    const entries = [0, 1, 2].map((index) => {
      const at = 4 + 64 * index;
      const name = new TextDecoder().decode(ram.subarray(BUFFER - RAM + at + 8, BUFFER - RAM + at + 64));
      return [directory.getUint32(at), directory.getUint16(at + 4), name.replace(/\0+$/, "")];
    });
    expect(entries).toEqual([
      [5, 0x20, "etc/a"],
      [6, 0x21, "opt/b"],
      [0, 0x22, "opt/c"],
    ]);
    select(0x21);
    expect(text(8)).toBe("second\0\0");
  });

  test("with a wrong name, twice or too many are refused", () => {
    const { fwCfg } = bench({ "x-file-slots": 2 });
    const longest = "x".repeat(55);
    fwCfg.addFile(longest, bytes(""));
    expect(() => fwCfg.addFile(longest, bytes(""))).toThrow(`fw_cfg file "${longest}" is there already`);
    expect(() => fwCfg.addFile(`${longest}x`, bytes(""))).toThrow("expected a name of 1 to 55 ASCII characters");
    expect(() => fwCfg.addFile("", bytes(""))).toThrow("expected a name of 1 to 55 ASCII characters");
    expect(() => fwCfg.addFile("opt/\0", bytes(""))).toThrow("expected a name of 1 to 55 ASCII characters");
    fwCfg.addFile("b", bytes(""));
    expect(() => fwCfg.addFile("c", bytes(""))).toThrow("all 2 slots are taken, see fw-cfg-mem.x-file-slots");
    for (const key of [-1, 0x19, 0x20, 1.5]) expect(() => fwCfg.addItem(key, bytes(""))).toThrow("is not for an item");
  });
});

describe("DMA", () => {
  test("the register shows that it is there", () => {
    const { board } = bench();
    expect(board.read(DMA, 8)).toBe(0x4746_4320_554d_4551n);
    expect([board.read(DMA, 4), board.read(DMA + 4, 4), board.read(DMA, 1)]).toEqual([0x554d_4551, 0x4746_4320, 0x51]);
    expect([board.read(DMA + 2, 2), board.read(DMA + 7, 1)]).toEqual([0x554d, 0x47]);
  });

  test("reads on from where it was, with zeros after the end", () => {
    const { transfer, buffer, ram } = bench();
    ram.fill(0xee, BUFFER - RAM, BUFFER - RAM + 16);
    expect(transfer(SELECT | READ, 2, BUFFER)).toBe(0);
    expect(buffer(4)).toBe("QE\xee\xee");
    expect(transfer(READ, 8, BUFFER)).toBe(0);
    expect(buffer(9)).toBe("MU\0\0\0\0\0\0\xee");
    expect(transfer(READ, 2, BUFFER)).toBe(0);
    expect(buffer(3)).toBe("\0\0\0");
    expect(transfer(SELECT | READ | (0x1234 << 16), 2, BUFFER)).toBe(0);
  });

  test("skips, however far", () => {
    const { transfer, buffer } = bench();
    expect(transfer(SELECT | SKIP, 1, 0)).toBe(0);
    transfer(READ, 2, BUFFER);
    expect(buffer(2)).toBe("EM");
    for (let i = 0; i < 3; i++) expect(transfer(SKIP, 0xffff_ffff, 0)).toBe(0);
    transfer(READ, 2, BUFFER);
    expect(buffer(2)).toBe("\0\0");
  });

  test("reading goes before skipping and writing; other bits do nothing", () => {
    const { transfer, buffer } = bench();
    expect(transfer(SELECT | READ | SKIP | WRITE, 2, BUFFER)).toBe(0);
    expect(buffer(2)).toBe("QE");
    expect(transfer(0x20, 2, BUFFER)).toBe(0);
    expect(transfer(0, 2, BUFFER)).toBe(0);
    expect(transfer(READ, 0, 0)).toBe(0);
  });

  test("starts with one write of 8 bytes too, and with a low half alone", () => {
    const { board, ram } = bench();
    const view = new DataView(ram.buffer, DESCRIPTOR - RAM, 16);
    const bigEndian = new DataView(new ArrayBuffer(8));
    bigEndian.setBigUint64(0, BigInt(DESCRIPTOR));
    for (const begin of [
      () => board.write(DMA, 8, bigEndian.getBigUint64(0, true)),
      () => board.write(DMA + 4, 4, swap(DESCRIPTOR, 4)),
    ]) {
      view.setUint32(0, SELECT);
      begin();
      expect(view.getUint32(0)).toBe(0);
    }
  });

  test("says what it wrote, so that translated code notices", () => {
    const { board, transfer } = bench();
    const written: number[][] = [];
    board.memory.onRamWrite((_region, offset, length) => written.push([offset, length]));
    transfer(SELECT | READ, 4, BUFFER);
    expect(written).toEqual([
      [BUFFER - RAM, 4],
      [DESCRIPTOR - RAM, 4],
    ]);
  });
});

describe("a hostile guest", () => {
  test("cannot make it write anywhere but RAM, or in part", () => {
    const { board, transfer, ram, text, select } = bench();
    const before = ram.slice();
    for (const [length, address] of [
      [4, 0x300],
      [4, 0xffff_ffff_ffff_ff00n],
      [4, 0xffff_ffff_ffff_ffffn],
      [0x100, RAM + RAM_SIZE - 0x80],
      [0xffff_ffff, RAM],
      [4, DMA],
      [2, SELECTOR],
      [4, RAM - 2],
    ] as const) {
      expect(transfer(SELECT | READ, length, address)).toBe(ERROR);
    }
    ram.fill(0, DESCRIPTOR - RAM, DESCRIPTOR - RAM + 16);
    expect(Buffer.compare(ram, before)).toBe(0);
    expect(board.guestErrors).toHaveLength(8);
    select(0);
    expect(text(4)).toBe("QEMU");
  });

  test("with a descriptor outside RAM gets a guest error", () => {
    const { board, start } = bench();
    for (const address of [0x300n, BigInt(RAM + RAM_SIZE - 8), BigInt(DMA), 0xffff_ffff_ffff_fff8n]) start(address);
    expect(board.guestErrors).toHaveLength(4);
    expect(board.guestErrors[0]).toBe("fw-cfg-mem: DMA descriptor at 0x300 is not in RAM");
  });

  test("cannot write items", () => {
    const { board, transfer, text, select } = bench();
    expect(transfer(SELECT | WRITE, 4, BUFFER)).toBe(ERROR);
    expect(board.guestErrors).toEqual(["fw-cfg-mem: DMA write to item 0x0, which is read-only"]);
    select(0);
    expect(text(4)).toBe("QEMU");
  });

  test("may read over its own descriptor: the status comes last", () => {
    const { transfer, ram } = bench();
    expect(transfer(SELECT | READ, 16, DESCRIPTOR)).toBe(0);
    expect(ram.subarray(DESCRIPTOR - RAM + 4, DESCRIPTOR - RAM + 16).every((byte) => byte === 0)).toBe(true);
  });
});

test("describes itself as QEMU does", () => {
  expect(treeOf(described(createObject(fwCfgType), BASE))).toEqual({
    "/fw-cfg@10100000": { compatible: "qemu,fw-cfg-mmio", reg: [0, BASE, 0, 0x18], "dma-coherent": [] },
  });
});

describe("reset and snapshot", () => {
  test("a reset selects the signature", () => {
    const { board, select, text, start, ram } = bench();
    select(1);
    text(1);
    board.write(DMA, 4, 1);
    board.reset();
    expect(text(4)).toBe("QEMU");
    new DataView(ram.buffer, DESCRIPTOR - RAM, 16).setUint32(0, SELECT);
    board.write(DMA + 4, 4, swap(DESCRIPTOR, 4));
    expect(new DataView(ram.buffer, DESCRIPTOR - RAM, 16).getUint32(0)).toBe(0);
    start(0x300n);
  });

  test("a snapshot goes on in the middle of an item", () => {
    const from = bench();
    from.fwCfg.addFile("etc/a", bytes("abcdef"));
    from.select(0x20);
    from.text(2);
    from.board.write(DMA, 4, swap(7, 4));
    const to = bench();
    to.fwCfg.addFile("etc/a", bytes("abcdef"));
    from.board.copyTo(to.board);
    expect(to.fwCfg.save()).toEqual(from.fwCfg.save());
    expect(to.text(4)).toBe("cdef");
    to.board.write(DMA + 4, 4, swap(DESCRIPTOR, 4));
    expect(to.board.guestErrors).toEqual(["fw-cfg-mem: DMA descriptor at 0x780001000 is not in RAM"]);
  });

  test("an offset beyond the item is cut to its end", () => {
    const { fwCfg, text } = bench();
    fwCfg.load({ version: 1, key: 0, offset: 2 ** 31, dmaHigh: 0 });
    expect(text(1)).toBe("\0");
  });
});
