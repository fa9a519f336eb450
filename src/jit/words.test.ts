// Registers that hold words, in translated code: what is a word on one way and not on another, and what only exits need.

import { describe, expect, test } from "vitest";
import { compare, END, PROLOGUE } from "./compare-for-tests.ts";

/** a loop of 6000 rounds in s1 with a pseudo-random number in s2. */
const loop = (body: string, before = ""): string => `${PROLOGUE}
  li s1, 6000
  li s2, 0x123456789
  li s3, 0x5851f42d4c957f2d
  ${before}
1: mul s2, s2, s3
  addi s2, s2, 99
  ${body}
  addi s1, s1, -1
  bnez s1, 1b
  ${END}`;

describe("words in translated code", () => {
  test("rotations, and what is not quite one", () => {
    compare(
      loop(`
        srliw t0, s2, 7
        slliw t1, s2, 25
        or t2, t0, t1
        xor t3, t0, t1
        addw t4, t0, t1
        slliw t1, s2, 24
        or t5, t0, t1
        not t6, t2
        and a0, t6, t5
        xor a1, a0, s2
        or a2, a1, t2
        andi a3, t2, -256
        xori a4, t2, 0x7f`),
    );
  });

  test("a word on one way to a place and not on the other", () => {
    compare(
      loop(`
        mv t0, s2
        andi t1, s2, 1
        beqz t1, 2f
        sext.w t0, t0
      2: xor t2, t0, s1
        or t3, t0, t1
        sext.w t4, t0
        bltu t0, t4, 3f
        add s4, s4, t2
      3: add s4, s4, t3
        sext.w t0, s2
        andi t1, s2, 2
        beqz t1, 4f
        mv t0, s2
      4: xor t2, t0, t1
        add s4, s4, t2
        sd t0, 0(sp)
        lwu t5, 0(sp)
        lw t6, 4(sp)
        and s5, t5, t6
        add s4, s4, s5`),
    );
  });

  test("comparisons of words, signed and not, around zero and the ends", () => {
    compare(
      loop(
        `
        sraiw t0, s2, 0
        srliw t1, s2, 31
        sraiw t2, s2, 31
        bltu t0, t1, 2f
        addi s4, s4, 1
      2: blt t0, t2, 3f
        addi s4, s4, 2
      3: bgeu t2, t0, 4f
        addi s4, s4, 4
      4: beq t1, t2, 5f
        addi s4, s4, 8
      5: bne t0, a0, 6f
        addi s4, s4, 16
      6: bgeu t0, a1, 7f
        addi s4, s4, 32
      7: slt t3, t0, t1
        sltu t4, t2, t0
        xor s4, s4, t3
        or s5, t3, t4`,
        "lui a0, 0x80000\n lui a1, 0x7ffff",
      ),
    );
  });

  test("words go through calls, swaps of CSRs and atomics", () => {
    compare(
      loop(
        `
        addiw a0, s2, 5
        csrrw a0, mscratch, a0
        csrrs a1, mscratch, x0
        xor a2, a0, a1
        call half
        add s4, s4, a0
        addiw t0, s2, 7
        call long
        xor t1, t0, a0
        add s4, s4, t1
        addiw t0, s2, 3
        amoadd.w t0, t0, (sp)
        xor t1, t0, a0
        amoswap.d t2, t0, (sp)
        xor s5, t1, t2
        lr.w t3, (sp)
        sc.w t4, s2, (sp)
        or s6, t3, t4`,
        `j 1f
      half:
        sraiw a0, a0, 1
        or a0, a0, s1
        ret
      long:
        ${"addi t0, t0, 1\n".repeat(40)}
        mv t0, s2
        ret`,
      ),
    );
  });

  test("constants and copies, overwritten before and after accesses that leave", () => {
    const { regions } = compare(
      loop(
        `
        li t0, 5
        mv t1, t0
        li t2, -1
        lui t3, 0x12345
        lw t4, 0(s6)
        addw t0, t0, t4
        mv t2, t0
        li t3, 7
        sw t2, 8(sp)
        mv t1, t2
        xor t0, t0, t3
        sd t1, 16(sp)
        add s4, s4, t0
        add s4, s4, t2`,
        "li s6, 0x10000000",
      ),
    );
    expect(regions).toBeGreaterThan(0);
  });
});
