import { describe, expect, test } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { described, TestBoard, treeOf } from "../board-for-tests.ts";
import { plicType, type SifivePlic } from "./sifive-plic.ts";

const BASE = 0xc00_0000;
const PENDING = BASE + 0x1000;
const ENABLE = BASE + 0x2000;
const THRESHOLD = BASE + 0x20_0000;
const CLAIM = THRESHOLD + 4;

interface Bench {
  readonly board: TestBoard;
  readonly plic: SifivePlic;
  /** The levels of the outputs, context by context. */
  readonly outputs: boolean[];
  /** Lets a source interrupt with a priority, in the given contexts. */
  enable(source: number, priority: number, ...contexts: number[]): void;
  claim(context: number): number | "fault";
  complete(context: number, source: number): void;
}

function bench(properties: Record<string, string | number> = {}): Bench {
  const board = new TestBoard();
  const plic = board.add(createObject(plicType, properties), BASE);
  const outputs = plic.irqNames.map(() => false);
  for (const context of outputs.keys()) {
    plic.connectIrq(context, (level) => {
      outputs[context] = level;
    });
  }
  board.reset();
  return {
    board,
    plic,
    outputs,
    enable(source, priority, ...contexts) {
      board.write(BASE + 4 * source, 4, priority);
      for (const context of contexts) {
        const word = ENABLE + 0x80 * context + 4 * (source >>> 5);
        board.write(word, 4, Number(board.read(word, 4)) | (1 << (source & 31)));
      }
    },
    claim: (context) => board.read(CLAIM + 0x1000 * context, 4),
    complete: (context, source) => void board.write(CLAIM + 0x1000 * context, 4, source),
  };
}

const M = 0;
const S = 1;

describe("registers", () => {
  test("read back what they can hold", () => {
    const { board } = bench();
    for (const [address, written, read] of [
      [BASE, 5, 0],
      [BASE + 4, 5, 5],
      [BASE + 4, 0xff, 7],
      [BASE + 4, 8, 0],
      [BASE + 4 * 96, 5, 5],
      [BASE + 4 * 97, 5, 0],
      [PENDING, 0xffff_ffff, 0],
      [ENABLE, 0xffff_ffff, 0xffff_fffe],
      [ENABLE + 8, 0xffff_ffff, 0xffff_ffff],
      [ENABLE + 0xc, 0xffff_ffff, 1],
      [ENABLE + 0x10, 0xffff_ffff, 0],
      [ENABLE + 0x80, 0xffff_ffff, 0xffff_fffe],
      [ENABLE + 0x100, 0xffff_ffff, 0],
      [THRESHOLD, 0xff, 7],
      [THRESHOLD + 0x1000, 5, 5],
      [THRESHOLD + 0x2000, 5, 0],
      [THRESHOLD + 8, 5, 0],
      [BASE + 0x5f_fffc, 5, 0],
    ] as const) {
      expect(board.write(address, 4, written)).toBeUndefined();
      expect([address.toString(16), board.read(address, 4)]).toEqual([address.toString(16), read]);
    }
  });

  test("take 4 bytes at a time", () => {
    const { board } = bench();
    for (const size of [1, 2, 8] as const) {
      expect(board.read(BASE + 8, size)).toBe("fault");
      expect(board.write(BASE + 8, size, 5)).toBe("fault");
    }
    expect(board.read(BASE + 0x60_0000, 4)).toBe("fault");
  });

  test("that are reserved or read-only are guest errors", () => {
    const { board } = bench();
    board.read(BASE + 0x1010, 4);
    board.read(THRESHOLD + 0x2000, 4);
    board.write(PENDING, 4, 1);
    board.write(BASE, 4, 1);
    expect(board.guestErrors).toEqual([
      "riscv.sifive.plic: read at reserved offset 0x1010",
      "riscv.sifive.plic: read at reserved offset 0x202000",
      "riscv.sifive.plic: write at reserved or read-only offset 0x1000",
      "riscv.sifive.plic: write at reserved or read-only offset 0x0",
    ]);
  });
});

describe("priorities", () => {
  test("a source interrupts where it is enabled, has a priority and passes the threshold", () => {
    const { board, plic, outputs, enable } = bench();
    plic.sourceLine(10)(true);
    expect(board.read(PENDING, 4)).toBe(1 << 10);
    expect(outputs).toEqual([false, false]);
    enable(10, 0, M, S);
    expect(outputs).toEqual([false, false]);
    enable(10, 1);
    expect(outputs).toEqual([true, true]);
    board.write(THRESHOLD, 4, 1);
    expect(outputs).toEqual([false, true]);
    enable(10, 2);
    expect(outputs).toEqual([true, true]);
    board.write(ENABLE + 0x80, 4, 0);
    expect(outputs).toEqual([true, false]);
  });

  test("the highest priority is claimed first, the lowest number among equals", () => {
    const { plic, enable, claim } = bench();
    for (const [source, priority] of [
      [96, 3],
      [64, 7],
      [63, 7],
      [31, 3],
      [32, 3],
      [1, 2],
      [2, 2],
      [40, 0],
    ] as const) {
      enable(source, priority, M);
      plic.sourceLine(source)(true);
    }
    expect(Array.from({ length: 9 }, () => claim(M))).toEqual([63, 64, 31, 32, 96, 1, 2, 0, 0]);
  });

  test("a claim does not ask for the threshold", () => {
    const { board, plic, outputs, enable, claim } = bench();
    enable(10, 1, M);
    board.write(THRESHOLD, 4, 7);
    plic.sourceLine(10)(true);
    expect(outputs[M]).toBe(false);
    expect(claim(M)).toBe(10);
  });
});

describe("claim and complete", () => {
  test("who claims first gets it, in all contexts the output falls", () => {
    const { board, plic, outputs, enable, claim } = bench();
    enable(10, 1, M, S);
    plic.sourceLine(10)(true);
    expect(claim(S)).toBe(10);
    expect(outputs).toEqual([false, false]);
    expect(claim(M)).toBe(0);
    expect(board.read(PENDING, 4)).toBe(0);
  });

  test("a level that is still high at completion asks again", () => {
    const { plic, outputs, enable, claim, complete } = bench();
    enable(10, 1, M);
    plic.sourceLine(10)(true);
    expect(claim(M)).toBe(10);
    complete(M, 10);
    expect(outputs[M]).toBe(true);
    expect(claim(M)).toBe(10);
    plic.sourceLine(10)(false);
    complete(M, 10);
    expect(outputs[M]).toBe(false);
    expect(claim(M)).toBe(0);
  });

  test("a level that falls and rises while in service asks at completion, not before", () => {
    const { board, plic, enable, claim, complete } = bench();
    const line = plic.sourceLine(10);
    enable(10, 1, M);
    line(true);
    claim(M);
    line(false);
    line(true);
    expect(board.read(PENDING, 4)).toBe(0);
    complete(M, 10);
    expect(board.read(PENDING, 4)).toBe(1 << 10);
  });

  test("a request stays pending when its line falls", () => {
    const { plic, outputs, enable, claim } = bench();
    enable(10, 1, M);
    plic.sourceLine(10)(true);
    plic.sourceLine(10)(false);
    expect(outputs[M]).toBe(true);
    expect(claim(M)).toBe(10);
  });

  test("completion is ignored where the source is not enabled, not claimed or not there", () => {
    const { board, plic, outputs, enable, claim, complete } = bench();
    enable(10, 1, M);
    enable(11, 1, S);
    plic.sourceLine(10)(true);
    expect(claim(M)).toBe(10);
    complete(S, 10);
    complete(M, 11);
    complete(M, 0);
    complete(M, 97);
    complete(M, 0xffff_ffff);
    expect(outputs[M]).toBe(false);
    expect(board.guestErrors).toHaveLength(5);
    complete(M, 10);
    expect(outputs[M]).toBe(true);
    board.guestErrors.length = 0;
    complete(M, 10);
    expect(board.guestErrors).toEqual([]);
    expect(claim(M)).toBe(10);
  });

  test("lines call their output for changes only", () => {
    const { board, plic, enable } = bench();
    let calls = 0;
    plic.connectIrq(M, () => {
      calls++;
    });
    enable(10, 1, M);
    enable(11, 1, M);
    plic.sourceLine(10)(true);
    plic.sourceLine(11)(true);
    board.write(THRESHOLD, 4, 0);
    expect(calls).toBe(1);
  });
});

describe("configuration", () => {
  test("has contexts for up to 8 harts, M before S", () => {
    const { board, plic, outputs, enable, claim } = bench({ "hart-config": Array(8).fill("MS").join(",") });
    expect(plic.irqNames).toEqual([0, 1, 2, 3, 4, 5, 6, 7].flatMap((hart) => [`M${hart}`, `S${hart}`]));
    enable(5, 3, 15);
    board.write(THRESHOLD + 15 * 0x1000, 4, 2);
    plic.sourceLine(5)(true);
    expect(outputs.indexOf(true)).toBe(15);
    expect(claim(14)).toBe(0);
    expect(claim(15)).toBe(5);
  });

  test("refuses what it cannot be", () => {
    const { plic } = bench();
    expect(() => plic.sourceLine(0)).toThrow("riscv.sifive.plic has no interrupt source 0: expected 1 to 96");
    expect(() => plic.sourceLine(97)).toThrow("no interrupt source 97");
    expect(() => bench({ "hart-config": "MS,X" })).toThrow('hart-config: "MS,X" is not a list');
    expect(() => bench({ "num-sources": 1024 })).toThrow("num-sources: 1024 is not between 1 and 1023");
    expect(() => bench({ "num-priorities": 6 })).toThrow("num-priorities: 6 is not a power of two less 1");
    expect(() => bench({ "aperture-size": 0x20_1000 })).toThrow("do not hold 2 contexts");
  });

  test("describes itself as QEMU does", () => {
    const { plic } = bench({ "hart-config": "MS,MS" });
    expect(treeOf(described(plic, BASE))["/soc/plic@c000000"]).toEqual({
      compatible: "sifive,plic-1.0.0 riscv,plic0",
      reg: [0, BASE, 0, 0x60_0000],
      "#interrupt-cells": [1],
      "#address-cells": [0],
      "interrupt-controller": [],
      "interrupts-extended": [2, 11, 2, 9, 3, 11, 3, 9],
      "riscv,ndev": [96],
      phandle: [4],
    });
  });
});

describe("reset and snapshot", () => {
  test("a reset forgets everything but the lines", () => {
    const { board, plic, outputs, enable, claim } = bench();
    enable(10, 1, M);
    enable(11, 1, M);
    enable(12, 1, M);
    board.write(THRESHOLD + 0x1000, 4, 3);
    plic.sourceLine(10)(true);
    plic.sourceLine(11)(true);
    plic.sourceLine(11)(false);
    plic.sourceLine(12)(true);
    expect(claim(M)).toBe(10);
    board.reset();
    expect(outputs[M]).toBe(false);
    expect([BASE + 40, ENABLE, THRESHOLD + 0x1000].map((address) => board.read(address, 4))).toEqual([0, 0, 0]);
    // Source 11 asked before the reset and does no more; 10 and 12 still do.
    expect(board.read(PENDING, 4)).toBe((1 << 10) | (1 << 12));
  });

  test("a snapshot keeps levels, requests and interrupts in service", () => {
    const from = bench();
    from.enable(10, 2, M);
    from.enable(90, 1, M, S);
    from.plic.sourceLine(10)(true);
    from.plic.sourceLine(90)(true);
    from.board.write(THRESHOLD + 0x1000, 4, 1);
    expect(from.claim(M)).toBe(10);

    const to = bench();
    from.board.copyTo(to.board);
    expect(to.plic.save()).toEqual(from.plic.save());
    expect(to.outputs).toEqual([true, false]);
    to.complete(M, 10);
    expect(to.claim(M)).toBe(10);
    expect(to.claim(M)).toBe(90);
  });

  test("a snapshot of another board is refused", () => {
    const small = bench();
    const large = bench({ "hart-config": "MS,MS" });
    expect(() => small.board.copyTo(large.board)).toThrow("its enables should be Uint32Array of length 16");
  });
});
