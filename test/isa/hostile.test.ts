// Guests that do to their own code whatever they can: both tiers agree to the instruction, and with QEMU where the answer
// is not left open; in all of it interrupts are taken and slices end.

import { describe, expect, test } from "vitest";
import { assemble } from "../../src/isa/assembler.ts";
import { compare, RAM, type Run, random } from "../../src/jit/compare-for-tests.ts";
import { MemoryRegion } from "../../src/memory/region.ts";
import { hasQemu, needsQemu, runOnQemu } from "./qemu.ts";

/** Where programs leave their registers at the end. */
const RESULT = 0xff400;
const RESULT_BYTES = 32 * 8;

/** Stores all registers, then ends here and on QEMU's board. */
const END = `end: sd t0, ${RESULT + 5 * 8 - 0xff000}(gp)
${Array.from({ length: 32 }, (_, n) => (n === 0 || n === 3 || n === 5 ? "" : `sd x${n}, ${RESULT + n * 8 - 0xff000}(gp)`)).join("; ")}
      li t1, 1; sw t1, 0(gp); li t0, 0x100000; li t1, 0x5555; sw t1, 0(t0); 1: j 1b;`;
// QEMU's boot ROM leaves something in registers.
const BEGIN = `${["t0", "a0", "a1", "a2"].map((name) => `li ${name}, 0`).join("; ")}; li sp, 0x800f0000; li gp, 0x800ff000;`;

/**
 * Sv39 for S-mode: RAM and devices where they are, and a table at s7 for pages from s8 = 0x40000000 on; a page's entry
 * is (place >> 2) | 0xcf. Everything else traps to \`handler\`, in M-mode.
 */
const SUPERVISOR = `
      la t0, handler; csrw mtvec, t0
      li t0, 0x80090000
      li t1, 0xcf; sd t1, 0(t0)
      li t1, (0x80000000 >> 2) | 0xcf; sd t1, 16(t0)
      li t1, (0x80091000 >> 2) | 1; sd t1, 8(t0)
      li t0, 0x80091000
      li t1, (0x80092000 >> 2) | 1; sd t1, 0(t0)
      li t0, -1; csrw pmpaddr0, t0
      li t0, 0x1f; csrw pmpcfg0, t0
      li t0, (8 << 60) | (0x80090000 >> 12); csrw satp, t0
      sfence.vma
      la t0, supervisor; csrw mepc, t0
      li t0, 0x1800; csrc mstatus, t0
      li t0, 0x0800; csrs mstatus, t0
      mret
      .balign 4
      # Anything unexpected ends the program, with the cause in s11.
handler: csrr s11, mcause; csrr s10, mepc; csrr s9, mtval; li t0, 0x1800; csrs mstatus, t0; j end
supervisor: li s7, 0x80092000; li s8, 0x40000000; li s11, 0;
`;
const pte = (offset: number): string => `(${RAM + offset} >> 2) | 0xcf`;
const put =
  (...pieces: readonly (readonly [offset: number, source: string])[]) =>
  ({ ram }: Pick<Run, "ram">): void => {
    for (const [offset, source] of pieces) ram.set(assemble(source).bytes, offset);
  };

interface Program {
  readonly title: string;
  readonly source: string;
  readonly prepare?: (run: Pick<Run, "ram">) => void;
  readonly slices?: number;
  /** a0 at the end. */
  readonly a0?: bigint;
}

const LONG = 20_000;
const programs: readonly Program[] = [
  {
    title: "the running page is mapped elsewhere under its own code",
    source: `${SUPERVISOR}
      li s5, ${pte(0x20000)}; li s6, ${pte(0x21000)}; sd s5, 0(s7); sfence.vma
      li s1, 300; li a0, 0
    1: jalr s8; addi s1, s1, -1; bnez s1, 1b; ${END}`,
    // Both swap the mapping and go on in the other page.
    prepare: put(
      [0x20000, "sd s6, 0(s7); sfence.vma; addi a0, a0, 1; ret"],
      [0x21000, "sd s5, 0(s7); sfence.vma; addi a0, a0, 16; ret"],
    ),
    a0: 150n * 17n,
  },
  {
    title: "the next page is mapped elsewhere just before control falls into it",
    source: `${SUPERVISOR}
      li t0, ${pte(0x20000)}; sd t0, 0(s7); li s5, ${pte(0x21000)}; li s6, ${pte(0x22000)}; li t0, 0xfe8; add s9, s8, t0
      li s1, 400; li a0, 0
    1: jalr s9; addi s1, s1, -1; bnez s1, 1b; ${END}`,
    prepare: put(
      [0x20fe8, "sd s5, 8(s7); sfence.vma; mv t1, s5; mv s5, s6; mv s6, t1; addi a0, a0, 1"],
      [0x21000, "addi a0, a0, 100; ret"],
      [0x22000, "addi a0, a0, 3; ret"],
    ),
    a0: 200n * 105n,
  },
  {
    title: "address spaces by ASID, each with another page there, and one taken from under its ASID",
    source: `${SUPERVISOR}
      # A second tree that differs in the page at s8 only.
      li t0, 0x80094000; li t1, 0xcf; sd t1, 0(t0); li t1, (0x80000000 >> 2) | 0xcf; sd t1, 16(t0); li t1, (0x80095000 >> 2) | 1; sd t1, 8(t0)
      li t0, 0x80095000; li t1, (0x80096000 >> 2) | 1; sd t1, 0(t0)
      li s6, 0x80096000; li t0, ${pte(0x20000)}; sd t0, 0(s7); li t0, ${pte(0x21000)}; sd t0, 0(s6)
      li s2, (8 << 60) | (1 << 44) | (0x80090000 >> 12); li s3, (8 << 60) | (2 << 44) | (0x80094000 >> 12)
      li s1, 400; li a0, 0
    1: csrw satp, s2; jalr s8; jalr s8; csrw satp, s3; jalr s8; andi t0, s1, 63; bnez t0, 2f
      li t0, ${pte(0x22000)}; sd t0, 0(s6); li t0, 2; sfence.vma zero, t0; jalr s8
      li t0, ${pte(0x21000)}; sd t0, 0(s6); li t0, 2; sfence.vma s8, t0
    2: addi s1, s1, -1; bnez s1, 1b; ${END}`,
    prepare: put([0x20000, "addi a0, a0, 1; ret"], [0x21000, "addi a0, a0, 16; ret"], [0x22000, "slli a0, a0, 1; ret"]),
  },
  {
    title: "a page that is mapped, not, and again, under a loop that calls it",
    source: `${SUPERVISOR}
      la t0, gone; csrw stvec, t0; li s1, 600; li a0, 0; li s6, ${pte(0x20000)}; sd s6, 0(s7); sfence.vma
    1: jalr s8; andi t0, s1, 7; bnez t0, 2f; sd zero, 0(s7); sfence.vma s8; jalr s8
      sd s6, 0(s7); sfence.vma s8
    2: addi s1, s1, -1; bnez s1, 1b; ${END}`
      .replace("la t0, supervisor", "li t0, 1 << 12; csrw medeleg, t0; la t0, supervisor")
      .replace(
        "supervisor: li s7",
        "gone: csrr t1, stval; add a1, a1, t1; addi a2, a2, 1; csrw sepc, ra; sret; supervisor: li s7",
      )
      .replace("handler: csrr", ".balign 4; handler: csrr"),
    prepare: put([0x20000, "addi a0, a0, 1; ret"]),
    a0: 600n,
  },
  {
    title: "an instruction in two pages whose second half is stored to, and mapped elsewhere",
    source: `${SUPERVISOR}
      li t0, ${pte(0x20000)}; sd t0, 0(s7); li s5, ${pte(0x21000)}; li s6, ${pte(0x22000)}; sd s5, 8(s7); sfence.vma; li t0, 0xff8; add s9, s8, t0
      li s1, 400; li a0, 0; li s4, 0x80021000
    1: jalr s9; andi t0, s1, 15; bnez t0, 2f
      # The upper half of addi a0, a0, N has N << 4.
      lhu t1, 0(s4); addi t1, t1, 16; sh t1, 0(s4); fence.i; jalr s9
      sd s6, 8(s7); sfence.vma; jalr s9; sd s5, 8(s7); sfence.vma
    2: addi s1, s1, -1; bnez s1, 1b; ${END}`,
    prepare: put(
      [0x20ff8, "addi a0, a0, 1; nop"],
      [0x20ffc, ".half 1; .word 0x00150513; .half 1; ret"],
      [0x21ffe, ".half 1; .half 0x0305; .half 1"],
      [0x22000, ".half 0x0705; ret"],
    ),
  },
  {
    title: "code that is generated in hundreds of pages, twice",
    source: `${BEGIN} li s1, 0; li a0, 0; li s3, 2
    0: li s2, 0x80020000; li s4, 0x800c0000
    1: addi s1, s1, 1; andi t1, s1, 1023; slli t1, t1, 20; li t2, 0x00050513; or t1, t1, t2; sw t1, 0(s2); li t1, 0x8067; sw t1, 4(s2); fence.i
      jalr s2; jalr s2; jalr s2; li t1, 4096; add s2, s2, t1; bltu s2, s4, 1b
      li s2, 0x80020000
    2: jalr s2; li t1, 4096; add s2, s2, t1; bltu s2, s4, 2b
      addi s3, s3, -1; bnez s3, 0b; ${END}`,
    a0: 4n * ((320n * 321n) / 2n),
  },
  {
    title: "code without a jump, longer than any region",
    source: `${BEGIN} li s1, 12; li a0, 0; 1: ${Array.from({ length: LONG }, (_, n) => (n % 50 ? `addi a${n % 6}, a${(n + 1) % 6}, ${n % 7}` : "add a0, a0, s1")).join("; ")}
      addi s1, s1, -1; beqz s1, 2f; j 1b; 2: ${END}`,
  },
  {
    title: "jumps to odd addresses and into the middle of instructions",
    source: `${BEGIN} li s1, 400; li a0, 0; la s2, odd; addi s3, s2, 3; addi s4, s2, 1
    1: jalr s3; jalr s4; jalr s2; j 2f + 2
    2: .word 0x05050513       # addi a0, a0, 80; from the middle: c.addi a0, 1
      addi s1, s1, -1; beqz s1, 3f; bnez s1, 1b; 3: ${END}
    odd: .word 0x05050537; .word 0x8082; .half 0x8082`,
  },
  {
    title: "misaligned accesses of all kinds, across pages, and atomic ones that trap",
    source: `${BEGIN} la t0, skip; csrw mtvec, t0; li s1, 200; li a0, 0; li s2, 0x80040ff0; j 1f
      .balign 4
    skip: csrr t0, mepc; addi t0, t0, 4; csrw mepc, t0; csrr t0, mtval; add a1, a1, t0; addi a2, a2, 1; mret
    1: li s3, 16
    2: add s4, s2, s3; sd s1, 0(s4); lw t1, 1(s4); add a0, a0, t1; lhu t1, 3(s4); add a0, a0, t1; sh a0, 5(s4); ld t1, -3(s4); add a0, a0, t1
      sw t1, -5(s4); lwu t1, 2(s4); xor a0, a0, t1; amoadd.w t1, a0, (s4); add a0, a0, t1; addi s3, s3, -1; bnez s3, 2b
      addi s5, s2, 4; amoswap.d t1, a0, (s5); addi s1, s1, -1; bnez s1, 1b; ${END}`,
  },
  {
    title: "a loop that writes the instruction after the store, each time another one",
    source: `${BEGIN} la s3, patch; li s5, 1 << 20; lw s4, 0(s3); li s1, 3000; li a0, 0
    1: add s4, s4, s5; sw s4, 0(s3); fence.i; patch: addi a0, a0, 0; addi s1, s1, -1; bnez s1, 1b; ${END}`,
    slices: 2000,
  },
];

describe("to its own code", () => {
  test.each(programs)("$title", ({ source, prepare, a0, slices = 1000 }) => {
    const text = source.includes("supervisor:") ? `${BEGIN} ${source}` : source;
    const { interp } = compare(text, { slices, ...(prepare && { prepare }) });
    const hart = interp.engine.harts[0]!;
    if (source.includes("supervisor:")) expect([hart.x(27), hart.x(26)], "no trap").toEqual([0n, 0n]);
    if (a0 !== undefined) expect(hart.x(10)).toBe(a0);
  });

  test.skipIf(!hasQemu).each(programs)(`$title: as QEMU has it${needsQemu}`, ({ source, prepare, slices = 1000 }) => {
    const text = source.includes("supervisor:") ? `${BEGIN} ${source}` : source;
    const image = new Uint8Array(16 << 20);
    image.set(assemble(text, { base: BigInt(RAM) }).bytes);
    prepare?.({ ram: image });
    const theirs = runOnQemu(image).subarray(RESULT, RESULT + RESULT_BYTES);
    const ours = compare(text, { slices, ...(prepare && { prepare }) }).jit.ram.subarray(RESULT, RESULT + RESULT_BYTES);
    const words = (bytes: Uint8Array) =>
      Array.from(new BigUint64Array(bytes.slice().buffer), (word) => word.toString(16));
    expect(words(ours)).toEqual(words(theirs));
  });
});

describe("without a fence, which leaves the answer open: the tiers agree on one", () => {
  test.each(["nop", "csrw satp, s9"])("a page mapped elsewhere under hot code, with %s", (instead) => {
    compare(
      `${BEGIN} ${SUPERVISOR} csrr s9, satp; li s5, ${pte(0x20000)}; li s6, ${pte(0x21000)}; sd s5, 0(s7); li s1, 500
    1: jalr s8; andi t0, s1, 31; bnez t0, 2f; sd s6, 0(s7); ${instead}; mv t1, s5; mv s5, s6; mv s6, t1
    2: addi s1, s1, -1; bnez s1, 1b; ${END}`,
      { prepare: put([0x20000, "addi a0, a0, 1; ret"], [0x21000, "addi a0, a0, 100; ret"]) },
    );
  });
});

describe("noise", () => {
  /** Jumps to place after place in random bytes; the handler gives each 24 tries, so that loops in it get hot. */
  const source = `${BEGIN} la t0, again; csrw mtvec, t0; li t0, 0x80; csrw mie, t0; li t0, 0x6000; csrs mstatus, t0; j again
      .balign 4
    again: li gp, 0x800ff000; ld t0, 0x100(gp); addi t0, t0, 1; sd t0, 0x100(gp); li t1, 24; remu t1, t0, t1; bnez t1, 1f
      ld t1, 0x108(gp); li t2, 6364136223846793005; mul t1, t1, t2; li t2, 1442695040888963407; add t1, t1, t2; sd t1, 0x108(gp)
    1: ld t1, 0x108(gp); srli t1, t1, 40; li t2, 0xfffe; and t1, t1, t2; li t2, 0x80040000; add t1, t1, t2; csrw mepc, t1
      li sp, 0x80050000; li s0, 0x80048000; li a0, 0x80060000; li a1, 5; li a2, -1; li t0, 0x6000; csrs mstatus, t0; mret`;
  test.each(Array.from({ length: 12 }, (_, n) => n + 1))("seed %d", (seed) => {
    const { interp } = compare(source, {
      endless: true,
      slices: 150,
      seed,
      prepare({ ram }) {
        const next = random(seed * 77);
        for (let at = 0x40000; at < 0x70000; at += 2) {
          // More compressed instructions than chance gives, and jumps backwards: something must run.
          const kind = next(4);
          const half =
            kind === 0
              ? 0xb001 | (next(0x800) << 1)
              : kind === 1
                ? 0x0001 | (next(32) << 7) | (next(8) << 2)
                : next(0x10000);
          new DataView(ram.buffer, ram.byteOffset + at).setUint16(0, half, true);
        }
      },
    });
    expect(interp.engine.harts[0]!.instret).toBeGreaterThan(10_000n);
  });
});

describe("interrupts come through, and slices end, in", () => {
  /** The external interrupt is M's; its handler counts in s11 and stops after the third. */
  const interrupted = (
    program: string,
    user = "li t0, 0x800; csrs mstatus, t0; la t0, user; csrw mepc, t0; mret; user:",
  ) =>
    `${BEGIN} la t0, handler; csrw mtvec, t0; li t0, 0x800; csrw mie, t0; li t0, 0xb3ff; csrw medeleg, t0; li t0, -1; csrw pmpaddr0, t0; li t0, 0x1f; csrw pmpcfg0, t0; li t0, 0x1880; csrc mstatus, t0; ${user} ${program}
      .balign 4
    handler: csrr s10, mcause; bgez s10, 1f; addi s11, s11, 1; li s9, 0x10000000; sw zero, 4(s9); mret
    1: addi s8, s8, 1; csrr s9, mepc; addi s9, s9, 4; csrw mepc, s9; mret`;
  const cases: readonly (readonly [string, string])[] = [
    ["an S-mode trap handler that cannot be fetched", "li t0, 0x40000000; csrw stvec, t0; .word 0"],
    ["an S-mode trap handler in a device", "li t0, 0x10000000; csrw stvec, t0; .word 0"],
    ["an S-mode trap handler that traps itself", "la t0, 1f; csrw stvec, t0; .balign 4; 1: .word 0"],
    ["stvec at an odd place, and vectored", "la t0, 1f; ori t0, t0, 3; csrw stvec, t0; 1: ebreak; j 1b"],
    ["page tables in a device", "li t0, (8 << 60) | (0x10000000 >> 12); csrw satp, t0; 1: j 1b"],
    [
      "page tables that lead into themselves",
      "li t0, 0x80090000; li t1, (0x80090000 >> 2) | 1; sd t1, 16(t0); li t0, (8 << 60) | (0x80090000 >> 12); csrw satp, t0; sfence.vma; 1: j 1b",
    ],
    ["page tables outside of memory", "li t0, (8 << 60) | 0xfffffffff; csrw satp, t0; sfence.vma; 1: j 1b"],
    ["sret to itself", "la t0, 1f; csrw sepc, t0; li t1, 0x100; .balign 4; 1: csrs sstatus, t1; sret"],
    ["a loop of jumps to a device", "la t0, 1f; csrw stvec, t0; li t1, 0x10000000; .balign 4; 1: jalr t1; j 1b"],
    ["a store that changes itself", "la t0, 1f; lw t1, 0(t0); 1: sw t1, 0(t0); j 1b"],
    ["a loop that is translated", "1: addi a0, a0, 1; xor a1, a1, a0; bnez a0, 1b"],
    ["WFI", "1: wfi; addi a0, a0, 1; j 1b"],
    ["fences", "1: sfence.vma; fence.i; j 1b"],
  ];
  test.each(cases)("%s", (_title, program) => {
    const { interp, jit } = compare(interrupted(program), {
      endless: true,
      slices: 120,
      // The device keeps its line up until the handler answers; a hart that waits runs on when it rises.
      between: (run, slice) => {
        if (slice % 40 === 30) run.engine.harts[0]!.irqLine(11)(true);
      },
    });
    for (const run of [interp, jit]) expect(run.engine.harts[0]!.x(27)).toBe(3n);
  });

  test("an M-mode trap handler that traps itself: nothing can be taken, but slices end", () => {
    const { interp } = compare(
      `${BEGIN} 2: addi s0, s0, 1; andi t0, s0, 63; bnez t0, 2b; la t0, 1f; csrw mtvec, t0; .balign 4; 1: .word 0`,
      { endless: true, slices: 50 },
    );
    // What traps does not retire.
    expect(interp.engine.harts[0]!.instret).toBeLessThan(250n);
  });

  test("page tables whose entries a device makes up as they are read", () => {
    const source = interrupted(
      "li t0, (8 << 60) | (0x20000000 >> 12); csrw satp, t0; sfence.vma; 1: addi a0, a0, 1; sfence.vma; ld a1, 0(sp); j 1b",
    );
    const { interp } = compare(source, {
      endless: true,
      slices: 60,
      prepare({ root }) {
        // The third entry maps RAM, and every other read says something else.
        let reads = 0;
        const read = (offset: number): number => (offset === 16 ? 0x200000cf : offset === 20 ? 0 : reads++ * 0x1234567);
        root.addSubregion(0x2000_0000n, MemoryRegion.io("tables", 0x1000, { read, write: () => {} }));
      },
      between: (run, slice) => {
        if (slice === 30) run.engine.harts[0]!.irqLine(11)(true);
      },
    });
    expect(interp.engine.harts[0]!.x(27)).toBe(1n);
    expect(interp.engine.harts[0]!.x(10)).toBeGreaterThan(1000n);
  });
});
