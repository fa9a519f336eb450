/** What an instruction is: its encoding, its syntax and its meaning. Unprivileged specification chapter 2.2 for formats. */
import type { Stmt } from "../wasm/ir.ts";

/** Encoding formats, by the fields that an instruction leaves free. */
export type Format =
  | "R"
  | "R1"
  | "R4"
  | "FR"
  | "FR1"
  | "I"
  | "SH6"
  | "SH5"
  | "S"
  | "B"
  | "U"
  | "J"
  | "AMO"
  | "LR"
  | "CSR"
  | "CSRI"
  | "CBO"
  | "FENCE"
  | "SFENCE"
  | "SYS";

/** Bits that each format fixes. */
const MASKS: Record<Format, number> = {
  R: 0xfe00707f,
  R1: 0xfff0707f,
  R4: 0x0600007f,
  FR: 0xfe00007f,
  FR1: 0xfff0007f,
  I: 0x0000707f,
  SH6: 0xfc00707f,
  SH5: 0xfe00707f,
  S: 0x0000707f,
  B: 0x0000707f,
  U: 0x0000007f,
  J: 0x0000007f,
  AMO: 0xf800707f,
  LR: 0xf9f0707f,
  CSR: 0x0000707f,
  CSRI: 0x0000707f,
  CBO: 0xfff07fff,
  FENCE: 0x0000707f,
  SFENCE: 0xfe007fff,
  SYS: 0xffffffff,
};

export interface Insn {
  readonly name: string;
  /** Operands in assembler order, e.g. `["rd", "rs1", "imm"]` or `["rd", "imm(rs1)"]`. */
  readonly operands: readonly string[];
  readonly format: Format;
  readonly match: number;
  readonly mask: number;
  /** The extension that has it, as in the ISA string: "i", "m", "zba"...; `alsoIn` is another one that has it. */
  readonly extension: string;
  readonly alsoIn?: string;
  readonly body: readonly Stmt[];
}

/** Starts a list of definitions of one extension: `const def = definer("m"); def("mul rd, rs1, rs2", "R", 0x02000033, [...])`. */
export function definer(
  extension: string,
  alsoIn?: string,
): { readonly list: Insn[]; def(syntax: string, format: Format, match: number, body: readonly Stmt[]): void } {
  const list: Insn[] = [];
  return {
    list,
    def(syntax, format, match, body) {
      const space = syntax.indexOf(" ");
      const name = space < 0 ? syntax : syntax.slice(0, space);
      const operands = space < 0 ? [] : syntax.slice(space + 1).split(", ");
      const mask = MASKS[format] >>> 0;
      if ((match & ~mask) !== 0) throw new Error(`${name}: match has bits that ${format} leaves free`);
      list.push({
        name,
        operands,
        format,
        match: match >>> 0,
        mask,
        extension,
        ...(alsoIn === undefined ? {} : { alsoIn }),
        body,
      });
    },
  };
}

/** The immediate of an encoded word in a format, sign extended to 32 bits; CSR formats give the CSR number. */
export function immediateOf(format: Format, w: number): number {
  switch (format) {
    case "I":
      return w >> 20;
    case "S":
      return ((w >> 20) & ~31) | ((w >>> 7) & 31);
    case "B":
      return ((w >> 31) << 12) | ((w & 0x80) << 4) | ((w >>> 20) & 0x7e0) | ((w >>> 7) & 0x1e);
    case "U":
      return w & ~0xfff;
    case "J":
      return ((w >> 31) << 20) | (w & 0xff000) | ((w >>> 9) & 0x800) | ((w >>> 20) & 0x7fe);
    case "SH6":
      return (w >>> 20) & 63;
    case "SH5":
      return (w >>> 20) & 31;
    case "CSR":
    case "CSRI":
      return w >>> 20;
    default:
      return 0;
  }
}

/** Puts an immediate into a word: the inverse of `immediateOf`. The caller checks the range. */
export function encodeImmediate(format: Format, v: number): number {
  switch (format) {
    case "I":
    case "CSR":
    case "CSRI":
      return v << 20;
    case "S":
      return ((v & ~31) << 20) | ((v & 31) << 7);
    case "B":
      return ((v & 0x1000) << 19) | ((v & 0x7e0) << 20) | ((v & 0x1e) << 7) | ((v & 0x800) >>> 4);
    case "U":
      return v & ~0xfff;
    case "J":
      return ((v & 0x100000) << 11) | (v & 0xff000) | ((v & 0x800) << 9) | ((v & 0x7fe) << 20);
    case "SH6":
    case "SH5":
      return v << 20;
    default:
      return 0;
  }
}
