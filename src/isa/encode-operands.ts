/** From an instruction's operands as text to its encoding. */
import { nearest } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { csrNumbers } from "./csr-names.ts";
import { encodeImmediate, type Insn } from "./insn.ts";
import { fNumbers, roundingModes, xNumbers } from "./register-names.ts";

/** What operands are evaluated by. */
export interface OperandScope {
  /** Address of the instruction. */
  readonly pc: bigint;
  /** The value of an expression; 0 while it may still be unknown. */
  value(text: string): bigint;
  /** Whether values are final: only then are their ranges checked. */
  readonly final: boolean;
}

/** Conversions that are always exact: without a mode they name RNE, where the others take the dynamic one. */
const EXACT = new Set(["fcvt.d.s", "fcvt.d.w", "fcvt.d.wu", "fcvt.s.h", "fcvt.d.h"]);
export const hasRoundingMode = (insn: Insn): boolean =>
  insn.format === "FR" || insn.format === "FR1" || insn.format === "R4";
/** The rounding mode that an instruction has when none is written. */
export const defaultRoundingMode = (insn: Insn): number => (EXACT.has(insn.name) ? 0 : 7);

const SHIFTS: Readonly<Record<string, number>> = { rd: 7, rs1: 15, rs2: 20, rs3: 27 };
const FENCE_SETS = "iorw";

function register(text: string, names: ReadonlyMap<string, number>, kind: string): number {
  const n = names.get(text.trim());
  if (n !== undefined) return n;
  const near = nearest(text.trim(), names.keys());
  throw new UserError(`"${text.trim()}" is no ${kind} register${near === undefined ? "" : `, did you mean ${near}?`}`);
}
const xRegister = (text: string): number => register(text, xNumbers, "integer");

/** The set of a fence, as its four bits: `iorw`, `rw`, `0`. */
function fenceSet(text: string): number {
  if (text === "0") return 0;
  let bits = 0;
  let last = -1;
  for (const letter of text) {
    const n = FENCE_SETS.indexOf(letter);
    if (n <= last)
      throw new UserError(`"${text}" is no set of a fence, expected letters of ${FENCE_SETS} in that order`);
    bits |= 8 >> n;
    last = n;
  }
  return bits;
}

/** Encodes the fence instructions, whose operands are no registers. */
export function encodeFence(match: number, operands: readonly string[]): number {
  if (operands.length === 0) return match;
  if (operands.length !== 2) throw new UserError("fence takes two sets, such as rw, w");
  return match | (fenceSet(operands[0]!.trim()) << 24) | (fenceSet(operands[1]!.trim()) << 20);
}

/** Encodes an operand list for an instruction. Throws UserError for operands that do not fit. */
export function encodeOperands(insn: Insn, operands: readonly string[], scope: OperandScope): number {
  const { format } = insn;
  const modes = hasRoundingMode(insn);
  const expected = insn.operands.length;
  if (operands.length !== expected && !(modes && operands.length === expected + 1))
    throw new UserError(`${insn.name} takes ${expected === 0 ? "no operands" : insn.operands.join(", ")}`);
  let word = insn.match;
  const number = (text: string, low: bigint, high: bigint, what: string): number => {
    const v = scope.value(text);
    if (scope.final && (v < low || v > high))
      throw new UserError(`${what} ${v} is out of range, expected ${low} to ${high}`);
    return Number(BigInt.asIntN(32, v));
  };
  const immediate = (text: string): void => {
    if (format === "U") word |= number(text, 0n, 0xfffffn, "immediate") << 12;
    else word |= encodeImmediate(format, number(text, -2048n, 2047n, "immediate"));
  };
  for (const [i, syntax] of insn.operands.entries()) {
    const text = operands[i]!;
    const base = /^(imm)?\((rs1)\)$/.exec(syntax);
    if (base) {
      const [, offset, name] = /^(.*)\(\s*([\w.]+)\s*\)$/s.exec(text) ?? [];
      if (name === undefined)
        throw new UserError(`"${text}" is no memory operand, expected ${base[1] ? "offset(register)" : "(register)"}`);
      word |= xRegister(name) << SHIFTS.rs1!;
      if (base[1]) immediate(offset!.trim() === "" ? "0" : offset!);
      else if (offset!.trim() !== "") number(offset!, 0n, 0n, "offset");
    } else if (syntax === "imm") immediate(text);
    else if (syntax === "shamt")
      word |= encodeImmediate(format, number(text, 0n, format === "SH5" ? 31n : 63n, "shift amount"));
    else if (syntax === "zimm") word |= number(text, 0n, 31n, "immediate") << SHIFTS.rs1!;
    else if (syntax === "csr") word |= (csrNumbers.get(text) ?? number(text, 0n, 4095n, "CSR")) << 20;
    else if (syntax === "target") {
      const distance = scope.value(text) - scope.pc;
      const reach = format === "J" ? 1n << 20n : 1n << 12n;
      if (scope.final && (distance < -reach || distance >= reach || distance & 1n))
        throw new UserError(
          `${insn.name} cannot reach "${text}": ${distance} bytes away, expected an even number from ${-reach} to ${reach - 2n}`,
        );
      word |= encodeImmediate(format, Number(BigInt.asIntN(32, distance)));
    } else if (syntax.startsWith("f")) word |= register(text, fNumbers, "floating-point") << SHIFTS[syntax.slice(1)]!;
    else word |= xRegister(text) << SHIFTS[syntax]!;
  }
  if (modes) {
    const text = operands[expected];
    const mode = text === undefined ? defaultRoundingMode(insn) : roundingModes.indexOf(text.trim());
    if (mode < 0)
      throw new UserError(
        `"${text}" is no rounding mode, expected one of ${roundingModes.filter((m) => m !== undefined).join(", ")}`,
      );
    word |= mode << 12;
  }
  return word >>> 0;
}
