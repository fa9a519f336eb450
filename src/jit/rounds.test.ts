// Unchecked rounds of inner loops: what a loop may look like to get them, and that nobody can tell.

import { describe, expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { Decoder } from "../riscv/decoder.ts";
import { allExtensions } from "../riscv/extensions.ts";
import { compare, END, PROLOGUE, RAM, type Run, random } from "./compare-for-tests.ts";
import { findRegion } from "./region.ts";
import { type Rounds, withUncheckedRounds } from "./rounds.ts";

/** The unchecked rounds of a piece of code that is entered at its start. */
function roundsOf(source: string): Rounds[] {
  const { bytes } = assemble(`${source}\n ret`, { base: 0n });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const decoder = new Decoder(new SharedArrayBuffer(0), allExtensions);
  const region = findRegion(0, {
    half: (rel) => (rel >= 0 && rel + 2 <= bytes.length ? view.getUint16(rel, true) : undefined),
    find: (word) => decoder.find(word),
    stops: () => false,
    device: () => false,
    lastTarget: () => undefined,
  })!;
  const found: Rounds[] = [];
  for (const { end } of withUncheckedRounds(region).blocks.values()) if (end.k === "rounds") found.push(end.rounds);
  return found;
}

const A0 = 10;
const A1 = 11;

describe("the rounds of a loop", () => {
  test("reach memory through registers that move by constants, or not at all", () => {
    const [rounds, ...others] = roundsOf(`
      1: lh a4, 2(a0)
         lw a5, -4(a0)
         mv t0, a1
         addi a1, a1, -16
         sd a4, 8(t0)
         ld a6, 0(sp)
         addi a0, a0, 80
         bne a0, a2, 1b`);
    expect(others).toEqual([]);
    expect(rounds).toMatchObject({
      length: 8,
      streams: [
        { base: A0, store: false, low: -4, high: 4, step: 80 },
        { base: A1, store: true, low: 8, high: 16, step: -16 },
        { base: 2, store: false, low: 0, high: 8, step: 0 },
      ],
    });
  });

  test("may take different ways, and leave in the middle", () => {
    const [rounds] = roundsOf(`
      1: lbu a4, 0(a0)
         beqz a4, 3f
         bltu a4, a5, 2f
         addi a3, a3, 1
      2: addi a0, a0, 1
         j 1b
      3: nop`);
    expect(rounds).toMatchObject({ length: 6, streams: [{ base: A0, low: 0, high: 1, step: 1 }] });
  });

  test.each([
    ["a register that moves further on one way than on the other", "beqz a4, 2f\n addi a0, a0, 8\n 2: addi a0, a0, 8"],
    ["an address that was loaded", "ld a0, 0(a0)"],
    ["a step that is wider than what is worth a look", "addi a0, a0, 1024"],
    ["an AMO", "amoadd.w a4, a5, (a0)"],
    ["a CSR", "csrr a4, fcsr"],
  ])("are none with %s", (_name, code) => {
    expect(roundsOf(`1: ld a3, 0(a0)\n ${code}\n bne a0, a2, 1b`)).toEqual([]);
  });

  test("take for words what stays one", () => {
    const [rounds] = roundsOf(`
      1: addw a3, a3, a4
         xor a4, a4, a3
         addi a5, a5, 1
         sext.w t0, a5
         addi a0, a0, 4
         bne a0, a2, 1b`);
    // a3 and a4, not the pointer, nor the 64-bit sum, nor t0, which a round does not read before it writes it.
    expect(rounds!.words).toBe((1 << 13) | (1 << 14));
  });

  test("of a loop around another stay as they are", () => {
    const source = `
      1: li a3, 9
      2: lw a4, 0(a0)
         addi a0, a0, 4
         addi a3, a3, -1
         bnez a3, 2b
         addi a2, a2, -1
         bnez a2, 1b`;
    expect(roundsOf(source).map(({ length }) => length)).toEqual([4]);
    // The same when the region begins with the inner loop.
    expect(roundsOf(source.replace("1: li a3, 9", "j 2f\n1: li a3, 9")).map(({ length }) => length)).toEqual([4]);
  });
});

/** Data in the middle of RAM, with no zero byte. */
const fill = ({ ram }: Run) => {
  const next = random(7);
  for (let i = 0x10000; i < 0xe0000; i++) ram[i] = 1 + next(255);
};

describe("loops with unchecked rounds", () => {
  test.each([1, 2, 8, -8, 24, 80, -80, 508, 512])("go through pages in steps of %i", (step) => {
    for (const first of [0x80040000, 0x80040001, 0x80040ffd])
      compare(
        `${PROLOGUE}
        li s1, 5
      1: li a0, ${first}
        li a1, ${first - 0x18000 + 3}
        li a2, ${Math.min(1500, Math.floor(0x18000 / Math.abs(step)))}
      2: ld a3, 0(a0)
        lhu a4, 9(a0)
        xor a5, a3, a4
        sd a5, -8(a1)
        sb a4, 1(a1)
        addw s4, s4, a5
        add s5, s5, a3
        addi a0, a0, ${step}
        addi a1, a1, ${step}
        addi a2, a2, -1
        bnez a2, 2b
        addi s1, s1, -1
        bnez s1, 1b
        ${END}`,
        { prepare: fill, seed: step },
      );
  });

  test("end where a branch leaves them, with the registers of that very instruction", () => {
    compare(
      `${PROLOGUE}
      li s1, 300
      li s2, 0x80040000
    1: mv a0, s2
      li a3, 0
    2: lbu a4, 0(a0)
      srliw t1, a4, 3
      slliw t2, a4, 5
      beqz a4, 3f
      li t3, 200
      bltu a4, t3, 4f
      add a3, a3, a4
    4: addi a0, a0, 1
      xor a5, t1, t2
      j 2b
    3: add s3, s3, a3
      add s4, s4, a5
      add s5, s5, t1
      addi s2, s2, 77
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      {
        prepare(run) {
          fill(run);
          for (let i = 0; i < 40; i++) run.ram[0x40000 + 1000 * (i + 1) + 13 * i] = 0;
        },
        slices: 3000,
      },
    );
  });

  test("stop with the exact trap at an address that is not there", () => {
    compare(
      `${PROLOGUE}
      la t0, 9f
      csrw mtvec, t0
      li s1, 20
    1: li a0, 0x800fe000
      li a1, 0
    2: ld a3, 0(a0)
      addi a1, a1, 1
      addi a0, a0, 24
      add s4, s4, a3
      bnez a0, 2b
    9: csrr t1, mcause
      csrr t2, mtval
      csrr t3, mepc
      xor s5, s5, t2
      add s6, s6, t3
      add s7, s7, a1
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      { prepare: fill },
    );
  });

  test("see to stores into code", () => {
    // The loop writes over a function that is called behind it, page after page, back and forth.
    compare(
      `${PROLOGUE}
      li s1, 60
    1: li a0, 0x80040000
      li a1, 0x80043000
      li a3, 0x00150513        # addi a0, a0, 1
      andi t0, s1, 1
      beqz t0, 2f
      li a3, 0x00250513        # addi a0, a0, 2
    2: sw a3, 0(a0)
      addi a0, a0, 4
      bne a0, a1, 2b
      li t0, 0x00008067        # ret
      sw t0, -4(a1)
      fence.i
      li a0, 0
      li t0, 0x80042000
      jalr t0
      add s4, s4, a0
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      { slices: 1500 },
    );
  });

  test("take registers for words only when they are", () => {
    compare(
      `${PROLOGUE}
      li s1, 400
      li s2, 0x123456789
      li s3, 0x5851f42d4c957f2d
    1: mul s2, s2, s3
      addi s2, s2, 99
      mv a3, s2
      andi t0, s1, 3
      bnez t0, 2f
      sext.w a3, a3
    2: li a2, 7
    3: xor a5, a3, a2
      bltu a3, a2, 4f
      add s5, s5, a5
    4: addw a3, a3, a5
      srliw t1, a3, 9
      addi a2, a2, -1
      bnez a2, 3b
      add s4, s4, a3
      add s6, s6, t1
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
    );
  });

  test("with functions that are called by a pointer, which changes", () => {
    compare(
      `${PROLOGUE}
      li s1, 200
    1: la s2, 7f
      andi t0, s1, 4
      beqz t0, 2f
      la s2, 8f
    2: li s3, 0x80040ff0
      li s5, 40
    3: mv a0, s3
      jalr s2
      add s4, s4, a0
      addi s3, s3, 4
      andi t0, s5, 31
      bnez t0, 4f
      la s2, 8f
    4: addi s5, s5, -1
      bnez s5, 3b
      addi s1, s1, -1
      bnez s1, 1b
      ${END}
    7: lw a0, 0(a0)
      ret
    8: lwu a0, 4(a0)
      addi a0, a0, 1
      ret`,
      { prepare: fill, slices: 1000 },
    );
  });

  test.each([
    ["exact flags", "csrw fcsr, zero"],
    ["another rounding mode", "csrwi frm, 1"],
    ["a reserved rounding mode", "csrwi frm, 5"],
    ["floating point off", "li t0, 0x6000\n csrc mstatus, t0"],
  ])("in floating point, with %s now and then", (_name, change) => {
    compare(
      `${PROLOGUE}
      la t0, 9f
      csrw mtvec, t0
      li t1, 3
      fcvt.d.l fa1, t1
      li s1, 120
    1: li t0, 0x6000
      csrs mstatus, t0
      csrwi frm, 0
      andi t0, s1, 7
      bnez t0, 2f
      ${change}
    2: li a0, 0x80040f00
      li a2, 100
    3: fld fa2, 0(a0)
      fdiv.d fa3, fa2, fa1
      fmadd.d fa4, fa3, fa1, fa4
      fsd fa3, 0(a0)
      addi a0, a0, 8
      addi a2, a2, -1
      bnez a2, 3b
      j 4f
    9: addi s7, s7, 1
    4: addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      {
        prepare({ engine, ram }) {
          for (let i = 0; i < 200; i++) engine.view.setFloat64(ram.byteOffset + 0x40f00 + i * 8, i * 1.1 + 1, true);
        },
        slices: 1000,
      },
    );
  });

  test("mark floating point dirty", () => {
    compare(
      `${PROLOGUE}
      csrwi fcsr, 1
      li s1, 200
    1: li t0, 0x2000             # FS: clean
      csrc mstatus, t0
      li a0, 0x80040000
      li a2, 20
    2: fld fa2, 0(a0)
      addi a0, a0, 8
      addi a2, a2, -1
      bnez a2, 2b
      csrr t1, mstatus
      add s4, s4, t1
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      { prepare: fill },
    );
  });

  test("in floating point, with results at both ends of the range", () => {
    const ends = [
      [1 - 2 ** -53, 2 ** -1022], // rounds to the smallest normal number: underflow
      [1, 2 ** -1022],
      [1 + 2 ** -52, 2 ** -1022],
      [2, 2 ** -1022],
      [0.75, 2 ** -1021],
      [Number.MAX_VALUE, 1 + 2 ** -52],
      [Number.MAX_VALUE, 1],
      [Number.MAX_VALUE, -Number.MAX_VALUE],
      [-0, 3],
      [Number.NaN, 1],
      [Number.POSITIVE_INFINITY, 0.1],
      [2 ** -1074, 2 ** -1074],
    ];
    compare(
      `${PROLOGUE}
      li s1, 300
      li s2, 0x80040000
      li s3, 0x80050000
      li s6, ${0x80050000 + ends.length * 16}
    1: csrwi fcsr, 1
      mv a0, s2
      li a2, 3
      fmv.d.x fa0, zero
    2: fld fa1, 0(s3)
      fld fa2, 8(s3)
      fmul.d fa3, fa1, fa2
      fadd.d fa4, fa1, fa2
      fsub.d fa5, fa1, fa2
      fdiv.d fa6, fa1, fa2
      fsqrt.d fa7, fa2
      fmadd.d ft0, fa1, fa2, fa2
      fnmsub.d ft1, fa1, fa2, fa4
      flt.d t1, fa1, fa2
      add s4, s4, t1
      fsd fa3, 0(a0)
      addi a0, a0, 8
      addi a2, a2, -1
      bnez a2, 2b
      csrr t2, fflags
      slli s5, s5, 1
      add s5, s5, t2
      addi s3, s3, 16
      blt s3, s6, 3f
      li s3, 0x80050000
    3: addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      {
        prepare({ engine, ram }) {
          for (const [i, pair] of ends.entries())
            for (const [j, value] of pair.entries())
              engine.view.setFloat64(ram.byteOffset + 0x50000 + i * 16 + j * 8, value, true);
        },
        slices: 1500,
      },
    );
  });

  test("in pages that are mapped here and there, or not at all", () => {
    // Sv39: the first gigapages as they are; from 0xc000_0000 on 64 pages in another order, one of them missing.
    const pte = (pa: number, bits: number) => (BigInt(pa >>> 12) << 10n) | BigInt(bits);
    compare(
      `${PROLOGUE}
      la t0, 9f
      csrw mtvec, t0
      li t0, 0x80000000000800d0
      csrw satp, t0
      li t0, -1
      csrw pmpaddr0, t0
      li t0, 0x1f
      csrw pmpcfg0, t0
      li s1, 30
    1: li t0, 0x1800
      csrc mstatus, t0
      li t0, 0x20800            # MPRV, MPP = S: data through the tables
      csrs mstatus, t0
      li a0, 0xc0000004
      li a1, 0xc0021000
    2: ld a3, 0(a0)
      sw s1, 4(a1)
      add s4, s4, a3
      addi a0, a0, 40
      addi a1, a1, 32
      j 2b
    9: csrr t1, mtval
      csrr t2, mepc
      li t0, 0x20000
      csrc mstatus, t0
      add s5, s5, t1
      xor s6, s6, t2
      andi t0, s1, 1
      beqz t0, 3f
      sfence.vma
    3: addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      {
        prepare(run) {
          fill(run);
          const { view } = run.engine;
          const set = (at: number, value: bigint) => view.setBigUint64(run.ram.byteOffset + at, value, true);
          for (let i = 0; i < 3; i++) set(0xd0000 + i * 8, pte(i * 2 ** 30, 0xcf));
          set(0xd0000 + 3 * 8, pte(RAM + 0xd1000, 1));
          set(0xd1000, pte(RAM + 0xd2000, 1));
          for (let i = 0; i < 64; i++)
            if (i !== 60) set(0xd2000 + i * 8, pte(RAM + 0x20000 + ((i * 37) % 64) * 4096, 0xc7));
        },
        slices: 2000,
      },
    );
  });

  test.each(Array.from({ length: 24 }, (_, seed) => seed))("of any kind (%i)", (seed) => {
    compare(anyLoop(seed), { prepare: fill, seed, slices: 3000 });
  });
});

/** Two loops in a loop, of random instructions: accesses through three pointers, words, branches ahead and out. */
function anyLoop(seed: number): string {
  const next = random(seed + 100);
  const pick = <T>(list: readonly T[]): T => list[next(list.length)]!;
  const temps = ["a3", "a4", "a5", "a6", "a7", "t3", "t4", "t5"];
  const pointers = ["s2", "s3", "s4"];
  const line = (label: number): string => {
    const [d, a, b] = [pick(temps), pick(temps), pick(temps)];
    const offset = next(64) - 32;
    switch (next(9)) {
      case 0:
      case 1:
        return `${pick(["lb", "lbu", "lh", "lhu", "lw", "lwu", "ld"])} ${d}, ${offset}(${pick(pointers)})`;
      case 2:
        return `${pick(["sb", "sh", "sw", "sd"])} ${a}, ${offset}(${pick(pointers)})`;
      case 3:
        return `${pick(["addw", "subw", "sllw", "srlw", "sraw", "mulw"])} ${d}, ${a}, ${b}`;
      case 4:
        return `${pick(["add", "sub", "xor", "or", "and", "sltu", "slt", "mul"])} ${d}, ${a}, ${b}`;
      case 5:
        return `${pick(["srliw", "slliw", "sraiw", "srli", "slli"])} ${d}, ${a}, ${1 + next(30)}`;
      case 6:
        return `${pick(["addi", "andi", "xori", "addiw"])} ${d}, ${a}, ${offset}`;
      case 7:
        return `${pick(["bltu", "bge", "beq", "bne"])} ${a}, ${b}, ${label}${next(5) === 0 ? "9" : "1"}f`;
      default:
        return `mv ${d}, ${a}`;
    }
  };
  const inner = (label: number): string => {
    const body = Array.from({ length: 4 + next(14) }, () => line(label));
    const steps = pointers.map((p) => `addi ${p}, ${p}, ${pick([0, 0, 1, 4, 8, -8, 16, 40, -24, 200])}`);
    return `${pointers.map((p, i) => `li ${p}, ${0x80040000 + i * 0x10000 + next(4096)}`).join("\n")}
      li a2, ${2 + next(200)}
    ${label}: ${body.join("\n")}
    ${label}1: ${steps.filter(() => next(4) > 0).join("\n")}
      addi a2, a2, -1
      bnez a2, ${label}b
    ${label}9: add s5, s5, a3`;
  };
  return `${PROLOGUE}
    li s1, ${40 + next(60)}
    1: ${inner(2)}
    ${inner(3)}
    addi s1, s1, -1
    bnez s1, 1b
    ${END}`;
}
