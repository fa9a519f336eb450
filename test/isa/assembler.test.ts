// The assembler and the disassembler against the GNU tools: every instruction of the table, pseudo-instructions,
// expressions and directives; and the meaning of every 16-bit encoding.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assemble } from "../../src/isa/assembler.ts";
import { csrNumbers } from "../../src/isa/csr-names.ts";
import { disassemble } from "../../src/isa/disassembler.ts";
import { hasRoundingMode } from "../../src/isa/encode-operands.ts";
import type { Insn } from "../../src/isa/insn.ts";
import { insns } from "../../src/isa/table.ts";
import { UserError } from "../../src/util/user-error.ts";
import { gnuAssemble, hasBinutils } from "./binutils.ts";
import { Random } from "./random.ts";

const BASE = 0x80000000n;
const why = hasBinutils ? "" : " (skipped: riscv64-linux-gnu binutils are not installed)";

/** Zicond came after binutils 2.40: its encodings are checked against the specification's own numbers. */
const UNKNOWN_TO_GNU: Readonly<Record<string, number>> = { "czero.eqz": 0x0e005033, "czero.nez": 0x0e007033 };
/** CSRs whose names binutils 2.40 lacks. */
const UNKNOWN_CSRS = new Set(["menvcfg", "senvcfg", "mconfigptr", "mseccfg"]);
const CSRS = [...csrNumbers.keys()].filter((name) => !UNKNOWN_CSRS.has(name));

/** A line of assembly for an instruction with random operands. */
function line(insn: Insn, random: Random): string {
  const big = (bits: number): number => random.below(2 ** bits);
  const operand = (syntax: string): string =>
    syntax.replaceAll(/\w+/g, (name) => {
      switch (name) {
        case "imm":
          return insn.format === "U" ? `${big(20)}` : `${big(12) - 2048}`;
        case "shamt":
          return `${big(insn.format === "SH5" ? 5 : 6)}`;
        case "zimm":
          return `${big(5)}`;
        case "csr":
          return random.chance(0.8) ? random.pick(CSRS) : `0x${(0x800 + big(6)).toString(16)}`;
        case "target":
          return `.+${(big(insn.format === "J" ? 20 : 12) - 2 ** (insn.format === "J" ? 19 : 11)) * 2}`.replace(
            "+-",
            "-",
          );
        default:
          return `${name.startsWith("f") ? "f" : "x"}${big(5)}`;
      }
    });
  const operands = insn.operands.map(operand);
  if (hasRoundingMode(insn) && random.chance(0.5) && !/^fcvt\.(d\.(s|wu?|h)|s\.h)$/.test(insn.name))
    operands.push(random.pick(["rne", "rtz", "rdn", "rup", "rmm", "dyn"]));
  if (insn.name === "fence") operands.push(random.pick(["iorw", "rw", "w", "io"]), random.pick(["iorw", "r", "ow"]));
  const ordering = insn.format === "AMO" || insn.format === "LR" ? random.pick(["", ".aq", ".rl", ".aqrl"]) : "";
  return `${insn.name}${ordering} ${operands.join(", ")}`;
}

describe("against the GNU assembler", () => {
  test.skipIf(!hasBinutils)(
    `every instruction assembles to the same bytes and reads back as objdump writes it${why}`,
    () => {
      const random = new Random(1);
      const known = insns.filter((insn) => !(insn.name in UNKNOWN_TO_GNU));
      const lines = known.flatMap((insn) => Array.from({ length: 12 }, () => line(insn, random)));
      const source = `.option norvc\n${lines.join("\n")}\n`;
      const gnu = gnuAssemble(source, BASE);
      const { bytes } = assemble(source, { base: BASE });
      const ours = new DataView(bytes.buffer);
      const theirs = new DataView(gnu.bytes.buffer);
      expect(bytes.length).toBe(lines.length * 4);
      const differences: string[] = [];
      for (const [n, text] of lines.entries()) {
        const word = ours.getUint32(n * 4, true);
        if (word !== theirs.getUint32(n * 4, true))
          differences.push(`${text}: ${word.toString(16)} instead of ${theirs.getUint32(n * 4, true).toString(16)}`);
        const read = disassemble(word, BASE + BigInt(n * 4), { numeric: true });
        // objdump has no names for what binutils 2.40 does not know, and writes prefetches where ori has x0.
        if (read !== gnu.text[n] && !/prefetch|0x[13]0a|0xf15|0x747/.test(gnu.text[n]!))
          differences.push(`${read} instead of ${gnu.text[n]}`);
      }
      expect(differences).toEqual([]);
    },
  );

  test("Zicond, which binutils 2.40 does not know", () => {
    for (const [name, match] of Object.entries(UNKNOWN_TO_GNU)) {
      const { bytes } = assemble(`${name} x1, x2, x3`);
      const word = new DataView(bytes.buffer).getUint32(0, true);
      expect(word).toBe((match | (1 << 7) | (2 << 15) | (3 << 20)) >>> 0);
      expect(disassemble(word, 0n)).toBe(`${name}\tra,sp,gp`);
    }
  });

  test.skipIf(!hasBinutils)(
    `pseudo-instructions, labels, expressions and directives assemble to the same bytes${why}`,
    () => {
      const random = new Random(2);
      const constants = [
        0n,
        -1n,
        2047n,
        2048n,
        -2048n,
        -2049n,
        0x7ffff7ffn,
        0x7ffff800n,
        0x7fffffffn,
        0x80000000n,
        -0x80000000n,
        0xffffffffn,
        1n << 63n,
        -(1n << 62n) + 1n,
      ];
      for (let n = 0; n < 300; n++)
        constants.push(
          BigInt.asIntN(64, random.bits64() >> BigInt(random.below(64))) & ~((1n << BigInt(random.below(20))) - 1n),
        );
      const source = `
      .option norvc
      .globl start
      .equ UART, 0x10000000
      .set SIZE, (1 << 4) + 3*2 | 8   # | binds tighter than +
      OTHER = ~5 & 0xff
start:nop; mv a0, a1; not t0, t1 ; neg s0, s1 # comment
      negw a0, a1 ; sext.w a0, a0 /* block
      comment */; seqz a0, a1
      snez a0, a1; sltz a2, a3; sgtz a4, a5; sgt a0, a1, a2; sgtu a0, a1, a2
1:    beqz a0, 1b; bnez a1, 1f; blez a2, 1b; bgez a3, 2f; bltz a4, 1b; bgtz a5, 1f
1:    bgt a0, a1, 1b; ble a0, a1, 2f; bgtu a0, a1, 2f ; bleu a0, a1, 1b
2:    j start ; jal 1b; jal t0, 2b; jr t0; jalr t1; jalr t0, t1; jalr t0, 8(t1); jalr t0, t1, 12; jr 16(a0); ret
      call far; tail start; call t0, far; la a0, far; lla a1, start
      csrr a0, mstatus; csrw mtvec, a1; csrs mie, a2; csrc mip, a3; csrwi satp, 3; csrsi sstatus, 2; csrci sie, 1; csrw sepc, 5
      rdtime a0; rdcycle a1; rdinstret a2; frcsr a0; fscsr a1; frrm a2; fsrm a3; frflags a4; fsflags a5; fscsr a0, a1
      fmv.s f0, f1; fmv.d f2, f3; fabs.s f0, f1; fabs.d f0, f1; fneg.s f0, f1; fneg.d f0, f1; fgt.d a0, f0, f1; fge.s a0, f1, f2
      fmv.x.s a0, f0; fmv.s.x f0, a0
      fence; fence.tso; fence.i; pause; sfence.vma; sfence.vma a0; unimp; wfi; ecall; ebreak; mret; sret
      lui a0, %hi(UART); addi a0, a0, %lo(UART); lw a1, %lo(UART + 8)(a0); sw a1, %lo(UART+4)(a0)
4:    auipc a0, %pcrel_hi(far); addi a0, a0, %pcrel_lo(4b); ld a1, %pcrel_lo(4b)(a0)
      add a0, a1, 7; and a0, a1, -1; sll a0, a1, 3; addw a0, a1, 5; sllw a0, a1, 3; sltu a0, a1, 9; csrrw a0, mscratch, 4
      ld a0, far; sd a0, far, t0; flw f0, far, t1; lw a0, (a1); sw a1, (sp); lr.w a0, 0(a1); amoadd.d.aq a0, a1, 0(a2)
      addi a0, a0, SIZE; addi a1, a1, OTHER; addi a2, a2, 'A'; addi a3, a3, '\\n'; addi a4, a4, 0b101 + 017; addi a5, a5, -(3 - 10) * 2 % 5
      addi a6, a6, 'x'; addi a7, a7, '#'; addi a7, a7, ';'
      zext.b a0, a1; zext.w a0, a1; ror a0, a1, 5
      .byte 1, -1, 255, 'a'; .align 2
      .half 0xffff, -2; .balign 8; .word start, far - start, . ; .p2align 4
      .dword far, -1, 0x123456789abcdef0; .quad 1b
      .ascii "no end", "x\\ty\\\\\\"\\101\\x41" ; .asciz "caf\u00e9 # no comment; // nor this"; .string "s"
      .space 3; .zero 2, 0; .space 4, 0xaa; .byte 7
      .p2align 3, 0x55
far:  .word 1
${constants.map((c) => `      li a0, ${c}`).join("\n")}
      .balign 16
`;
      const gnu = gnuAssemble(source, BASE);
      const { bytes, symbols } = assemble(source, { base: BASE });
      const words = (code: Uint8Array): string[] =>
        [...code]
          .map((byte) => byte.toString(16).padStart(2, "0"))
          .join("")
          .match(/.{1,8}/g)!;
      const theirs = words(gnu.bytes);
      expect(
        words(bytes)
          .flatMap((word, n) =>
            word === theirs[n] ? [] : [`+${(n * 4).toString(16)}: ${word} instead of ${theirs[n]}`],
          )
          .slice(0, 10),
      ).toEqual([]);
      expect(bytes.length).toBe(gnu.bytes.length);
      expect(symbols.get("start")).toBe(BASE);
    },
  );

  test.skipIf(!hasBinutils)(`the guest's monitor assembles to the same bytes${why}`, () => {
    const source = readFileSync(new URL("../../guest/monitor.s", import.meta.url), "utf8");
    const gnu = gnuAssemble(`.option norvc\n${source}`, BASE);
    const { bytes } = assemble(source, { base: BASE });
    expect(Buffer.from(bytes).equals(gnu.bytes)).toBe(true);
  });
});

/** What a compressed instruction of objdump's stands for, in the same style. */
function expanded(text: string): string {
  const [op, rest = ""] = text.split("\t") as [string, string?];
  const o = rest === "" ? [] : rest.split(",");
  const name = op.slice(2);
  switch (op) {
    case "c.addi4spn":
      return `addi\t${o}`;
    case "c.lwsp":
    case "c.ldsp":
    case "c.fldsp":
    case "c.swsp":
    case "c.sdsp":
    case "c.fsdsp":
      return `${name.slice(0, -2)}\t${o}`;
    case "c.lw":
    case "c.ld":
    case "c.fld":
    case "c.sw":
    case "c.sd":
    case "c.fsd":
    case "c.lui":
      return `${name}\t${o}`;
    case "c.nop":
      return `addi\tx0,x0,${o[0] ?? 0}`;
    case "c.li":
      return `addi\t${o[0]},x0,${o[1]}`;
    case "c.addi16sp":
      return `addi\tx2,x2,${o[1]}`;
    case "c.slli64":
    case "c.srli64":
    case "c.srai64":
      return `${name.slice(0, -2)}\t${o[0]},${o[0]},0x0`;
    case "c.mv":
      return `add\t${o[0]},x0,${o[1]}`;
    case "c.j":
      return `jal\tx0,${o[0]}`;
    case "c.beqz":
    case "c.bnez":
      return `${name.slice(0, -1)}\t${o[0]},x0,${o[1]}`;
    case "c.jr":
      return `jalr\tx0,0(${o[0]})`;
    case "c.jalr":
      return `jalr\tx1,0(${o[0]})`;
    case "c.ebreak":
      return "ebreak";
    case "c.unimp":
      return "illegal";
    default:
      return op.startsWith("c.") ? `${name}\t${o[0]},${o[0]},${o[1]}` : "illegal";
  }
}

test.skipIf(!hasBinutils)(`all 16-bit encodings mean what objdump reads${why}`, () => {
  const halves = Array.from({ length: 65536 }, (_, h) => h).filter((h) => (h & 3) !== 3);
  const gnu = gnuAssemble(halves.map((h) => `.insn 2, ${h}\n`).join(""), BASE);
  expect(gnu.text.length).toBe(halves.length);
  const differences: string[] = [];
  for (const [n, half] of halves.entries()) {
    const ours = disassemble(half, BASE + BigInt(2 * n), { numeric: true }).replace(/^\.2byte.*/, "illegal");
    const theirs = expanded(gnu.text[n]!);
    // C.ADDI16SP with 0 is reserved (table 27.5); objdump reads it all the same.
    if (half === 0x6101 ? ours !== "illegal" : ours !== theirs)
      differences.push(`${half.toString(16)}: ${ours} instead of ${theirs} (${gnu.text[n]})`);
  }
  expect(differences.slice(0, 20)).toEqual([]);
});

describe("mistakes are told with their line and what was expected", () => {
  test.each([
    ["nop\n adi a0, a0, 1", "source:2: instruction adi is not known, did you mean add?"],
    ["addi a0, a0, 2048", "source:1: immediate 2048 is out of range, expected -2048 to 2047"],
    ["lw a0, 4[a1]", 'cannot read the expression "4[a1]"'],
    ["lw a0, 4(a8)", 'source:1: "a8" is no integer register'],
    ["fadd.s f0, f1, x2", 'source:1: "x2" is no floating-point register'],
    ["slliw a0, a0, 32", "source:1: shift amount 32 is out of range"],
    ["j nowhere", "source:1: symbol nowhere is not defined"],
    ["loop: j lop", "source:1: symbol lop is not defined, did you mean loop?"],
    ["a: nop\na: nop", "source:2: a is defined twice"],
    ["beq a0, a1, 1f", "there is no label 1 after this"],
    ["beq a0, a1, 1b", "there is no label 1 before this"],
    ["beq a0, a1, 2f\n.space 4096\n2:", "source:1: beq cannot reach"],
    [".word 1 +", 'cannot read the expression "1 +"'],
    [".word (1", "cannot read the expression"],
    [".word 1 / 0", "division by zero"],
    [".byte 256", "256 does not fit into .byte"],
    [".asciz hello", "hello is no string"],
    ['.asciz "hello', "a string has no end"],
    ["/* open", "a comment has no end"],
    [".wrod 5", "directive .wrod is not known, did you mean .word?"],
    [".data", "one section"],
    ["li a0, later\n.equ later, 5", '"later" must be known at this point'],
    [".space 1 << 40", "more than a program may have"],
    [".align 60", "expected 0 to 20"],
    ["fadd.s f0, f1, f2, rxx", '"rxx" is no rounding mode'],
    ["fence wr, w", '"wr" is no set of a fence'],
    ["add a0, a1", "add takes rd, rs1, rs2"],
    ["csrr a0, mstatsu", "symbol mstatsu is not defined"],
  ])("%j", (source, message) => {
    expect(() => assemble(source)).toThrow(message);
  });

  test("parentheses without end do not exhaust the stack", () => {
    expect(() => assemble(`.word ${"(".repeat(100_000)}`)).toThrow(UserError);
  });
});

test("aliases", () => {
  const { bytes } = assemble(
    "nop; li a0, 1; mv a0, a1; not a0, a0; neg a0, a1; j .; ret; jr a0; beqz a0, .; csrr a0, satp; csrw satp, a0; csrwi satp, 1; seqz a0, a1; addi a0, a0, 5",
  );
  const view = new DataView(bytes.buffer);
  const text = Array.from({ length: bytes.length / 4 }, (_, n) =>
    disassemble(view.getUint32(n * 4, true), BigInt(n * 4), { aliases: true }).replace("\t", " "),
  );
  expect(text).toEqual([
    "nop",
    "li a0,1",
    "mv a0,a1",
    "not a0,a0",
    "neg a0,a1",
    "j 14",
    "ret",
    "jr a0",
    "beqz a0,20",
    "csrr a0,satp",
    "csrw satp,a0",
    "csrwi satp,1",
    "seqz a0,a1",
    "addi a0,a0,5",
  ]);
});
