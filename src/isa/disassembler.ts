/** From an encoded instruction to text in objdump's style, from the instruction table. */
import { expandCompressed } from "./compressed.ts";
import { csrName } from "./csr-names.ts";
import { defaultRoundingMode, hasRoundingMode } from "./encode-operands.ts";
import { type Insn, immediateOf } from "./insn.ts";
import { fNames, roundingModes, xNames } from "./register-names.ts";
import { findInsn, insns } from "./table.ts";

export interface DisassembleOptions {
  /** Registers as x1 and f1 instead of ra and ft1. */
  readonly numeric?: boolean;
  /** Write common pseudo-instructions (`ret`, `li a0,1`) instead of what they stand for. */
  readonly aliases?: boolean;
}

const FENCE_TSO = 0x8330000f;
const PAUSE = 0x0100000f;
const UNIMP = 0xc0001073;

const hex = (v: number | bigint): string => v.toString(16);
const fenceSet = (bits: number): string => [..."iorw"].filter((_, n) => bits & (8 >> n)).join("") || "unknown";

/** The operands of a word, as text by their name in the table. */
function operandText(
  insn: Insn,
  word: number,
  pc: bigint,
  x: (n: number) => string,
  f: (n: number) => string,
): (syntax: string) => string {
  const { format } = insn;
  const at: Readonly<Record<string, number>> = { rd: 7, rs1: 15, rs2: 20, rs3: 27 };
  const value = immediateOf(format, word);
  const one = (name: string): string => {
    switch (name) {
      case "imm":
        return format === "U" ? `0x${hex(value >>> 12)}` : `${value}`;
      case "shamt":
        return `0x${hex(value)}`;
      case "zimm":
        return `${(word >>> 15) & 31}`;
      case "csr":
        return csrName(value);
      case "target":
        return hex(BigInt.asUintN(64, pc + BigInt(value)));
      default:
        return name.startsWith("f") ? f((word >>> at[name.slice(1)]!) & 31) : x((word >>> at[name]!) & 31);
    }
  };
  return (syntax) => syntax.replaceAll(/\w+/g, one);
}

/** Names for words that a real instruction also stands for: the first that fits is written. */
function alias(insn: Insn, word: number, o: (syntax: string) => string): string | undefined {
  const rd = (word >>> 7) & 31;
  const rs1 = (word >>> 15) & 31;
  const rs2 = (word >>> 20) & 31;
  const imm = immediateOf(insn.format, word);
  const short = (name: string, ...operands: string[]): string =>
    operands.length ? `${name}\t${operands.map(o).join(",")}` : name;
  switch (insn.name) {
    case "addi":
      if (rd === 0 && rs1 === 0 && imm === 0) return "nop";
      if (rs1 === 0) return short("li", "rd", "imm");
      return imm === 0 ? short("mv", "rd", "rs1") : undefined;
    case "add":
      return rs1 === 0 ? short("mv", "rd", "rs2") : undefined;
    case "addiw":
      return imm === 0 ? short("sext.w", "rd", "rs1") : undefined;
    case "xori":
      return imm === -1 ? short("not", "rd", "rs1") : undefined;
    case "sub":
      return rs1 === 0 ? short("neg", "rd", "rs2") : undefined;
    case "sltiu":
      return imm === 1 ? short("seqz", "rd", "rs1") : undefined;
    case "sltu":
      return rs1 === 0 ? short("snez", "rd", "rs2") : undefined;
    case "jal":
      return rd === 0 ? short("j", "target") : rd === 1 ? short("jal", "target") : undefined;
    case "jalr":
      if (imm !== 0 || rd > 1) return undefined;
      return rd === 1 ? short("jalr", "rs1") : rs1 === 1 ? "ret" : short("jr", "rs1");
    case "beq":
    case "bne":
    case "blt":
    case "bge":
      return rs2 === 0 ? short(`${insn.name}z`, "rs1", "target") : undefined;
    case "csrrs":
      return rs1 === 0 ? short("csrr", "rd", "csr") : undefined;
    case "csrrw":
    case "csrrwi":
      return rd === 0 ? short(insn.name.replace("rr", "r"), "csr", insn.name === "csrrw" ? "rs1" : "zimm") : undefined;
    default:
      return undefined;
  }
}

/**
 * The text of an instruction: mnemonic, tab, operands, as `objdump -M no-aliases` writes them. A compressed one is
 * written as the instruction that it stands for; what is no instruction becomes `.2byte` or `.4byte`.
 *
 * @param code the encoding: 16 bits if compressed (its two low bits are not both set), else 32.
 * @param pc the instruction's address, for the targets of branches.
 * @example
 * disassemble(0x00008067, 0n, { aliases: true }); // "ret"
 */
export function disassemble(code: number, pc: bigint, options: DisassembleOptions = {}): string {
  const compressed = (code & 3) !== 3;
  const word = compressed ? expandCompressed(code & 0xffff) : code >>> 0;
  const n = findInsn(word);
  const insn = insns[n];
  const mode = roundingModes[(word >>> 12) & 7];
  if (!insn || (hasRoundingMode(insn) && mode === undefined))
    return compressed ? `.2byte\t0x${hex(code & 0xffff)}` : `.4byte\t0x${hex(word)}`;
  if (word === PAUSE) return "pause";
  if (word === FENCE_TSO) return "fence.tso";
  if (word === UNIMP) return "unimp";
  if (insn.name === "fence") return `fence\t${fenceSet((word >>> 24) & 15)},${fenceSet((word >>> 20) & 15)}`;
  const x = (r: number): string => (options.numeric ? `x${r}` : xNames[r]!);
  const f = (r: number): string => (options.numeric ? `f${r}` : fNames[r]!);
  const text = operandText(insn, word, pc, x, f);
  const short = options.aliases ? alias(insn, word, text) : undefined;
  if (short !== undefined) return short;
  const ordering = insn.format === "AMO" || insn.format === "LR" ? ["", ".rl", ".aq", ".aqrl"][(word >>> 25) & 3]! : "";
  const operands = insn.operands.map(text);
  if (hasRoundingMode(insn) && ((word >>> 12) & 7) !== defaultRoundingMode(insn)) operands.push(mode!);
  return operands.length ? `${insn.name}${ordering}\t${operands.join(",")}` : `${insn.name}${ordering}`;
}
