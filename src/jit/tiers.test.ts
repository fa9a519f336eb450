// One suite of programs for both tiers: after every slice, registers, memory and counters must be the same.

import { describe, expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { insns } from "../isa/table.ts";
import { compare, END, machine, PROLOGUE, RAM, type Run, random } from "./compare-for-tests.ts";

describe("both tiers agree", () => {
  test("calls, recursion, calls by pointer, tail calls", () => {
    const { regions } = compare(`${PROLOGUE}
      li s1, 0
    outer:
      li a0, 11
      call fib
      add s2, s2, a0
      la t3, twice
      mv a0, s1
      jalr t3
      la t3, thrice
      andi t4, s1, 7
      bnez t4, 2f
      la t3, twice
    2: jalr t3
      add s2, s2, a0
      addi s1, s1, 1
      li t0, 60
      bne s1, t0, outer
      ${END}
    fib:
      li t0, 2
      blt a0, t0, 1f
      addi sp, sp, -32
      sd ra, 0(sp)
      sd a0, 8(sp)
      addi a0, a0, -1
      call fib
      sd a0, 16(sp)
      ld a0, 8(sp)
      addi a0, a0, -2
      call fib
      ld t1, 16(sp)
      add a0, a0, t1
      ld ra, 0(sp)
      addi sp, sp, 32
    1: ret
    twice:
      slli a0, a0, 1
      ret
    thrice:
      slli t0, a0, 1
      add a0, a0, t0
      j twice
    `);
    expect(regions).toBeGreaterThan(2);
  });

  test("recursion deeper than the host's stack may grow", () => {
    compare(`${PROLOGUE}
      li s1, 40
    1: li a0, 1500
      call down
      addi s1, s1, -1
      bnez s1, 1b
      ${END}
    down:
      beqz a0, 2f
      addi sp, sp, -16
      sd ra, 0(sp)
      addi a0, a0, -1
      call down
      addi s3, s3, 1
      ld ra, 0(sp)
      addi sp, sp, 16
    2: ret
    `);
  });

  test("loops in loops, with branches into and out of them", () => {
    compare(`${PROLOGUE}
      li s1, 300
    a: li s2, 9
    b: add s3, s3, s2
      andi t0, s3, 3
      beqz t0, d
      addi s2, s2, -1
      bgtz s2, b
      addi s1, s1, -1
      bgtz s1, a
      j z
    c: xori s3, s3, 5
      bnez s2, b
      j a
    d: addi s2, s2, -2
      addi s4, s4, 1
      andi t0, s4, 1
      bnez t0, c
      bgtz s2, b
      addi s1, s1, -1
      bgtz s1, a
    z: ${END}`);
  });

  test("accesses that cross pages, miss, and go to devices", () => {
    compare(`${PROLOGUE}
      li s1, 700
      li s2, 0x80040ff0
      li s3, 0x10000000
    1: sd s1, 0(s2)
      ld t0, 0(s2)
      lw t1, 3(s2)
      sh t1, 14(s2)
      lbu t2, 15(s2)
      add s4, s4, t0
      add s4, s4, t2
      addi s2, s2, 1
      andi t3, s1, 63
      bnez t3, 2f
      lw t4, 0(s3)
      add s4, s4, t4
      sw s1, 0(s3)
      li t4, 4096
      add s2, s2, t4
    2: addi s1, s1, -1
      bnez s1, 1b
      ${END}`);
  });

  test("a hot loop that faults: exact pc, cause and value, and nothing half done", () => {
    const { interp } = compare(`${PROLOGUE}
      la t0, handler
      csrw mtvec, t0
      li s1, 500
      li s2, 0x80010000
    1: andi t1, s1, 15
      bnez t1, 2f
      li s2, 0x40000008
    2: addi s5, s5, 1
      ld s6, 8(s2)
      sd s5, 16(s2)
      addi s5, s5, 1
      li s2, 0x80010000
      addi s1, s1, -1
      bnez s1, 1b
      ${END}
    handler:
      csrr t2, mepc
      addi t2, t2, 4
      csrw mepc, t2
      csrr t3, mtval
      add s7, s7, t3
      csrr t3, minstret
      add s8, s8, t3
      addi s9, s9, 1
      mret
    `);
    expect(interp.engine.harts[0]!.x(25)).toBe(62n);
  });

  test("an interrupt raised by a store is taken before the next instruction", () => {
    compare(`${PROLOGUE}
      la t0, handler
      csrw mtvec, t0
      li t0, 0x800
      csrw mie, t0
      csrsi mstatus, 8
      li s1, 600
      li s3, 0x10000000
      li s5, 1
    1: addi s2, s2, 1
      andi t0, s1, 31
      bnez t0, 2f
      sw s5, 4(s3)
    2: addi s2, s2, 3
      addi s1, s1, -1
      bnez s1, 1b
      ${END}
    handler:
      sw zero, 4(s3)
      slli s6, s6, 1
      add s6, s6, s2
      mret
    `);
  });

  test("code that writes code: seen at the next fetch, with and without fence.i", () => {
    const { interp } = compare(`${PROLOGUE}
      li s1, 400
      la s3, patch
      lw s4, 0(s3)
    1: call patched
      add s2, s2, a0
      andi t0, s1, 63
      bnez t0, 2f
      # The immediate of addi a0, a0, N grows by one.
      li t1, 0x100000
      add s4, s4, t1
      sw s4, 0(s3)
      andi t0, s1, 64
      bnez t0, 2f
      fence.i
    2: addi s1, s1, -1
      bnez s1, 1b
      ${END}
    patched:
      li a0, 0
    patch: addi a0, a0, 1
      ret
    `);
    expect(interp.engine.harts[0]!.x(18)).not.toBe(400n);
  });

  test("a loop that changes its own body", () => {
    compare(`${PROLOGUE}
      li s1, 9000
      la s3, body
      lw s4, 0(s3)
      li s5, 0x100000
    1: add s4, s4, s5
      sw s4, 0(s3)
    body: addi s2, s2, 0
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`);
  });

  test("a device that writes code by DMA", () => {
    const { interp } = compare(
      `${PROLOGUE}
      li s1, 300
      li s3, 0x10000000
      li s6, 0x80002000
    1: jalr s6
      addi s1, s1, -1
      li t0, 100
      bne s1, t0, 2f
      sw s1, 8(s3)
    2: bnez s1, 1b
      ${END}`,
      {
        prepare({ ram }) {
          ram.set(assemble("addi a0, a0, 1\nret", {}).bytes, 0x2000);
        },
      },
    );
    expect(interp.engine.harts[0]!.x(10)).toBe(BigInt(200 + 3 * 100));
  });

  /** Sv39 with 4 KiB pages: identity for the program, and `va` to `pa` at 0x4000_0000 and up. */
  const paging = `
      # root at 0x80090000: [2] -> identity gigapage; [1] -> table at 0x80091000 -> table at 0x80092000
      li t0, 0x80090000
      li t1, (0x80000000 >> 2) | 0xcf
      sd t1, 16(t0)
      li t1, (0x80091000 >> 2) | 1
      sd t1, 8(t0)
      li t0, 0x80091000
      li t1, (0x80092000 >> 2) | 1
      sd t1, 0(t0)
      li t0, -1
      csrw pmpaddr0, t0
      li t0, 0x1f
      csrw pmpcfg0, t0
      li t0, (8 << 60) | (0x80090000 >> 12)
      csrw satp, t0
      sfence.vma
      la t0, supervisor
      csrw mepc, t0
      li t0, 0x1800
      csrc mstatus, t0
      li t0, 0x0800
      csrs mstatus, t0
      mret
    supervisor:
      li s7, 0x80092000
      li s8, 0x40000000
  `;
  const functions = {
    prepare({ ram }: Run) {
      // Two functions at the same place of different pages, and one that spans both.
      ram.set(assemble("addi a0, a0, 1\nret", {}).bytes, 0x20000);
      ram.set(assemble("addi a0, a0, 100\nret", {}).bytes, 0x21000);
      ram.set(assemble("addi a0, a0, 1\naddi a0, a0, 2", {}).bytes, 0x20ff8);
      ram.set(assemble("addi a0, a0, 7\nret", {}).bytes, 0x21800);
    },
  };

  test("a page remapped under hot code: sfence.vma in every form", () => {
    for (const fence of ["sfence.vma", "sfence.vma s8, zero", "sfence.vma zero, zero", "sfence.vma s8, s9"]) {
      const { interp } = compare(
        `${PROLOGUE}${paging}
        li s5, (0x80020000 >> 2) | 0xcf
        li s6, (0x80021000 >> 2) | 0xcf
        sd s5, 0(s7)
        ${fence}
        li s1, 400
      1: jalr s8
        andi t0, s1, 31
        bnez t0, 2f
        sd s6, 0(s7)
        ${fence}
        mv t1, s5
        mv s5, s6
        mv s6, t1
      2: addi s1, s1, -1
        bnez s1, 1b
        ${END}`,
        functions,
      );
      expect(interp.engine.harts[0]!.x(10)).toBeGreaterThan(10_000n);
    }
  });

  test("one code page at two addresses; a store through the one changes what the other runs", () => {
    compare(
      `${PROLOGUE}${paging}
      li s5, (0x80020000 >> 2) | 0xcf
      sd s5, 0(s7)
      sd s5, 8(s7)
      sfence.vma
      li t0, 4096
      add s9, s8, t0
      li s1, 300
      lw s4, 0(s9)
    1: jalr s8
      jalr s9
      andi t0, s1, 63
      bnez t0, 2f
      li t1, 0x100000
      add s4, s4, t1
      sw s4, 0(s9)
    2: addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      functions,
    );
  });

  test("code across a page end whose second page is remapped", () => {
    compare(
      `${PROLOGUE}${paging}
      li s5, (0x80020000 >> 2) | 0xcf
      sd s5, 0(s7)
      li s5, (0x80020000 >> 2) | 0xcf
      li s6, (0x80021000 >> 2) | 0xcf
      sd s5, 8(s7)
      sfence.vma
      li t0, 0xff8
      add s9, s8, t0
      li s1, 300
    1: jalr s9
      andi t0, s1, 15
      bnez t0, 2f
      sd s6, 8(s7)
      sfence.vma
      mv t1, s5
      mv s5, s6
      mv s6, t1
    2: addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      functions,
    );
  });

  test.each([
    ["taken in", "addi a1, a1, 1\nret"],
    ["called", "addi a1, a1, 1\nmv a2, ra\njal other\njr a2\nother: addi a1, a1, 1\nret"],
  ])("a call at a page end that returns to a page remapped under it, its function %s", (_how, callee) => {
    const { interp } = compare(
      `${PROLOGUE}${paging}
      li t0, (0x80030000 >> 2) | 0xcf
      sd t0, 0(s7)
      li s5, (0x80031000 >> 2) | 0xcf
      li s6, (0x80032000 >> 2) | 0xcf
      sd s5, 8(s7)
      sfence.vma
      li t0, 0xff0
      add s9, s8, t0
      li t0, 0xf00
      add s11, s8, t0
      li s1, 800
    1: li s3, 8
    2: jalr s9
      addi s3, s3, -1
      bnez s3, 2b
      sd s6, 8(s7)
      sfence.vma
      mv t1, s5
      mv s5, s6
      mv s6, t1
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`,
      {
        prepare({ ram }) {
          ram.set(assemble(callee).bytes, 0x30f00);
          ram.set(assemble("addi s10, ra, 0\naddi a1, a1, 3\naddi a1, a1, 4\njalr ra, 0(s11)").bytes, 0x30ff0);
          ram.set(assemble("addi a0, a0, 7\njr s10").bytes, 0x31000);
          ram.set(assemble("addi a0, a0, 9\njr s10").bytes, 0x32000);
        },
      },
    );
    expect(interp.engine.harts[0]!.x(10)).toBe(BigInt(800 * 8 * 8));
  });

  test("what was looked up before a CSR access is not used after it: SUM", () => {
    const { interp } = compare(
      `${PROLOGUE}
      la t0, handler
      csrw mtvec, t0
      ${paging}
      li t0, (0x80020000 >> 2) | 0xdf
      sd t0, 0(s7)
      sfence.vma
      li s1, 300
      li s3, 1 << 18
    1: csrs sstatus, s3
      ld a1, 0(s8)
      sd s1, 32(s8)
      csrc sstatus, s3
      ld a2, 8(s8)
      sd s1, 40(s8)
      csrs sstatus, s3
      ld a3, 16(s8)
      sd s1, 48(s8)
      addi s1, s1, -1
      bnez s1, 1b
      ${END}
    handler:
      csrr t2, mepc
      addi t2, t2, 4
      csrw mepc, t2
      csrr t2, mtval
      add s4, s4, t2
      addi s5, s5, 1
      mret`,
    );
    // S-mode reached the user's page twice in each round without leave to.
    expect(interp.engine.harts[0]!.x(21)).toBe(600n);
    expect(interp.engine.harts[0]!.x(20)).toBe(300n * (0x4000_0008n + 0x4000_0028n));
  });

  test("floating point: flags, rounding modes, and switching it off in a hot loop", () => {
    compare(`${PROLOGUE}
      la t0, handler
      csrw mtvec, t0
      li s1, 900
      li t0, 3
      fcvt.d.l fa0, t0
      li t0, 7
      fcvt.d.l fa1, t0
    1: fdiv.d fa2, fa0, fa1
      fadd.d fa3, fa3, fa2
      fmadd.d fa4, fa2, fa3, fa4
      fsub.d fa5, fa4, fa3
      fmul.d fa6, fa5, fa2
      flt.d t1, fa6, fa4
      add s2, s2, t1
      fcvt.s.d ft0, fa6
      fadd.s ft1, ft1, ft0
      fsd fa4, 8(s0)
      fld ft2, 8(s0)
      andi t0, s1, 127
      bnez t0, 2f
      csrw fflags, zero
      andi t1, s1, 128
      srli t1, t1, 6
      csrw frm, t1
    2: andi t0, s1, 255
      bnez t0, 3f
      li t0, 0x6000
      csrc mstatus, t0
    3: addi s1, s1, -1
      bnez s1, 1b
      ${END}
    handler:
      li t2, 0x6000
      csrs mstatus, t2
      addi s6, s6, 1
      mret
    `);
  });

  test("atomics and reservations", () => {
    compare(`${PROLOGUE}
      li s1, 600
    1: amoadd.d t0, s1, (s0)
      amoswap.w t1, s1, (s0)
      amomaxu.d t2, t0, (s0)
    2: lr.d t3, (s0)
      addi t3, t3, 5
      sc.d t4, t3, (s0)
      bnez t4, 2b
      sc.w t5, t3, (s0)
      add s2, s2, t5
      addi s1, s1, -1
      bnez s1, 1b
      ${END}`);
  });

  test("a store that no instruction may make is not made by a region that ran on", () => {
    // Jumps into the middle of an instruction: its last halfword is another one.
    compare(`${PROLOGUE}
      li s1, 300
      la s3, odd
      addi s3, s3, 2
    1: jalr s3
      jalr s3
      addi s1, s1, -1
      bnez s1, 1b
      ${END}
    odd: .word 0x05050537   # lui a0, 0x5050; from the middle: c.addi a0, 1
      ret`);
  });
});

test("the log shows a region with its guest code, size and hotness", () => {
  const lines: string[] = [];
  const run = machine("jit", { enabled: (item) => item === "jit", write: (_item, line) => lines.push(line) });
  run.ram.set(assemble("li a0, 90\nloop: addi a1, a1, 3\naddi a0, a0, -1\nbnez a0, loop\n1: j 1b").bytes);
  const hart = run.engine.harts[0]!;
  hart.reset(BigInt(RAM));
  hart.run(100);
  run.cache!.poll();
  expect(lines[0]).toMatch(/^region \d+ at 0x80000004: 4 instructions in 2 blocks, \d+ bytes of wasm, after 33 jumps$/);
  expect(lines.slice(1, 4)).toEqual([
    "  0x80000004:  addi\ta1,a1,3",
    "  0x80000008:  addi\ta0,a0,-1",
    "  0x8000000c:  bne\ta0,zero,80000004",
  ]);
  run.cache!.close();
  expect(lines.at(-1)).toMatch(
    /^1 regions were translated, 1 are in use: \d+ bytes of wasm in 1 modules; the machine waited [\d.]+ ms for it, [\d.]+ ms at most at once$/,
  );
});

describe("random programs", () => {
  const pool = insns.filter(
    (i) =>
      (i.format === "R" || i.format === "I" || i.format === "SH6" || i.format === "SH5" || i.format === "R1") &&
      /^rd, rs1/.test(i.operands.join(", ")) &&
      i.name !== "jalr" &&
      !i.operands.some((o) => /\(|fr/.test(o)),
  );
  const registers = ["t0", "t1", "t2", "a0", "a1", "a2", "a3", "a4", "a5", "s2", "s3", "zero"];
  const floats = ["fa0", "fa1", "fa2", "fa3", "ft0", "ft1"];
  const memory = ["lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", "sb", "sh", "sw", "sd"];

  function body(next: (below: number) => number, length: number): string {
    const reg = () => registers[next(registers.length)]!;
    const freg = () => floats[next(floats.length)]!;
    const lines: string[] = [];
    for (let i = 0; i < length; i++) {
      const kind = next(12);
      if (kind < 3) lines.push(`${memory[next(memory.length)]} ${reg()}, ${next(1024) - 512}(s0)`);
      else if (kind === 3)
        lines.push(
          `${["beq", "bne", "blt", "bgeu"][next(4)]} ${reg()}, ${reg()}, skip${i}\n addi a0, a0, ${next(64)}\n xor a1, a1, a0\nskip${i}:`,
        );
      else if (kind === 4)
        lines.push(
          `${["fadd", "fsub", "fmul", "fdiv", "fmin", "fsgnj"][next(6)]}.${"ds"[next(2)]} ${freg()}, ${freg()}, ${freg()}`,
        );
      else if (kind === 5)
        lines.push(
          [
            `fmadd.d ${freg()}, ${freg()}, ${freg()}, ${freg()}`,
            `fcvt.d.l ${freg()}, ${reg()}`,
            `fcvt.w.d ${reg()}, ${freg()}`,
            `fld ${freg()}, ${next(64) * 8}(s0)`,
            `fsd ${freg()}, ${next(64) * 8}(s0)`,
            `feq.d ${reg()}, ${freg()}, ${freg()}`,
          ][next(6)]!,
        );
      else if (kind === 6) lines.push(`amoadd.d ${reg()}, ${reg()}, (s0)`);
      else if (kind === 7 && next(3) === 0) lines.push("call helper");
      else {
        const insn = pool[next(pool.length)]!;
        const operands = insn.operands.map((o) =>
          o === "imm" ? next(4096) - 2048 : o === "shamt" ? next(insn.format === "SH5" ? 32 : 64) : reg(),
        );
        lines.push(`${insn.name} ${operands.join(", ")}`);
      }
    }
    return lines.join("\n");
  }

  for (let seed = 1; seed <= 30; seed++) {
    test(`seed ${seed}`, () => {
      const next = random(seed);
      compare(
        `${PROLOGUE}
        li s1, ${400 + next(600)}
      loop:
        ${body(next, 10 + next(70))}
        addi s1, s1, -1
        bnez s1, loop
        ${END}
      helper:
        xor a5, a5, t2
        add t2, t2, a5
        ret`,
        { seed },
      );
    });
  }
});
