/**
 * Which registers hold 32-bit values, sign-extended as RV64's W instructions leave them (unprivileged specification
 * 4.2). On two of those AND, OR and XOR can work with 32 bits as well, and then the host's compiler sees what the
 * guest's had to take apart: a rotation is one instruction again, and sign extensions that nobody needs go.
 *
 * A set of registers is a mask with a bit for each; x0 is always in it.
 */
import type { AmoInfo, LoadInfo } from "../isa/semantics.ts";
import { insns } from "../isa/table.ts";
import { type Expr, I32, i32, type Local } from "../wasm/ir.ts";
import { type Block, type RegionInsn, successors } from "./region.ts";

/** No register but x0. */
const NONE = 1;
const ALL = -1;

const AND = 0x83;
const XOR = 0x85;
/** From an operation on 64 bits to the one on 32: both instruction sets have the same order. */
const TO_32 = 0x71 - AND;
const ADD = 0x7c;
const EXTEND_S = 0xac;
const EXTEND_U = 0xad;
const EXTEND8_S = 0xc2;
const EXTEND32_S = 0xc4;

const isLogic = (op: number): boolean => op >= AND && op <= XOR;
/** i32 operations that give 0 or 1: comparisons. */
const isTruth = (e: Expr): boolean => (e.k === "un" || e.k === "bin") && e.t === I32 && e.op >= 0x45 && e.op <= 0x66;

/** An instruction with what is known of its operands. */
export interface WordContext {
  readonly insn: RegionInsn;
  readonly words: number;
  /** What the instruction has loaded from memory, where that is a word. */
  readonly loaded: Local | undefined;
}

const has = (words: number, register: number): boolean => ((words >>> register) & 1) === 1;

/** Whether a 64-bit expression's value is a sign-extended word. */
export function isWord(e: Expr, c: WordContext): boolean {
  switch (e.k) {
    case "const":
      return Number(e.v) === (Number(e.v) | 0);
    case "local":
      return e === c.loaded;
    case "operand":
      if (e.name === "rs1") return has(c.words, c.insn.rs1);
      if (e.name === "rs2") return has(c.words, c.insn.rs2);
      return e.name === "imm";
    case "un":
      return e.op === EXTEND_S || (e.op === EXTEND_U && isTruth(e.a)) || (e.op >= EXTEND8_S && e.op <= EXTEND32_S);
    case "select":
      return isWord(e.a, c) && isWord(e.b, c);
    case "bin":
      return (isLogic(e.op) && isWord(e.a, c) && isWord(e.b, c)) || isCopy(e, c);
    default:
      return false;
  }
}

/** `mv` and `li`: an addition of 0 or to x0. */
const isCopy = (e: Extract<Expr, { k: "bin" }>, c: WordContext): boolean =>
  e.op === ADD && ((isZero(e.b, c) && isWord(e.a, c)) || (isZero(e.a, c) && isWord(e.b, c)));

const isZero = (e: Expr, { insn }: WordContext): boolean =>
  e.k === "operand" &&
  (e.name === "rs1" ? insn.rs1 : e.name === "rs2" ? insn.rs2 : e.name === "imm" ? insn.imm : 1) === 0;

/** The low 32 bits of a word. */
export function low(e: Expr): Expr {
  switch (e.k) {
    case "const":
      return i32.const(Number(e.v) | 0);
    case "operand":
      return e.name === "imm" ? { ...e, t: I32, name: "imm32" } : i32.wrap(e);
    case "un":
      if (e.op === EXTEND_S || e.op === EXTEND_U) return e.a;
      return i32.wrap(e.op === EXTEND32_S ? e.a : e);
    case "select":
      return { ...e, t: I32, a: low(e.a), b: low(e.b) };
    case "bin":
      if (isLogic(e.op)) return { ...e, t: I32, op: e.op + TO_32, a: low(e.a), b: low(e.b) };
      return e.op === ADD ? i32.add(low(e.a), low(e.b)) : i32.wrap(e);
    default:
      return i32.wrap(e);
  }
}

/** A branch's condition: words compare as 32 bits do, signed or not, for sign extension keeps the order. */
export function compareWords(e: Expr, c: WordContext): Expr {
  if (e.k !== "bin" || e.op < 0x51 || e.op > 0x5a || !isWord(e.a, c) || !isWord(e.b, c)) return e;
  return { ...e, op: e.op - 0x51 + 0x46, a: low(e.a), b: low(e.b) };
}

const loadedWord = (data: unknown): Local | undefined => {
  const { size, signed, to } = data as LoadInfo;
  return size < 4 || (size === 4 && signed) ? to : undefined;
};

/** The local of an instruction that gets a word from memory. */
export const loadedBy: readonly (Local | undefined)[] = insns.map(({ body }) => {
  for (const s of body) {
    if (s.k !== "effect") continue;
    if (s.name === "load") return loadedWord(s.data);
    // Both sign-extend words.
    if ((s.name === "amo" || s.name === "lr") && (s.data as AmoInfo).size === 4) return (s.data as AmoInfo).to;
  }
  return undefined;
});

/** What an instruction writes to rd, where that is an expression. */
const results: readonly (Expr | undefined)[] = insns.map(({ body }) => {
  for (const s of body) if (s.k === "effect" && s.name === "rd") return s.args[0];
  return undefined;
});
const writesRd = insns.map(({ operands }) => /\brd\b/.test(operands.join(" ")));

/** The registers that hold words after an instruction. */
export function wordsAfter(insn: RegionInsn, words: number): number {
  if (!writesRd[insn.n] || insn.rd === 0) return words;
  const result = results[insn.n];
  const bit = 1 << insn.rd;
  const known = result !== undefined && isWord(result, { insn, words, loaded: loadedBy[insn.n] });
  return known ? words | bit : words & ~bit;
}

/** For each block of a region the registers that hold words whenever it begins. */
export function wordsOf(entry: number, blocks: ReadonlyMap<number, Block>): ReadonlyMap<number, number> {
  const before = new Map<number, number>([[entry, NONE]]);
  const work = [entry];
  for (let id = work.pop(); id !== undefined; id = work.pop()) {
    const block = blocks.get(id)!;
    let words = before.get(id)!;
    for (const insn of block.insns) words = wordsAfter(insn, words);
    for (const to of successors(block, blocks)) {
      // What a function leaves in the registers is not known.
      const called = block.end.k === "call" || (block.end.k === "inline" && to === block.end.ret);
      const old = before.get(to) ?? ALL;
      // Unchecked rounds have looked.
      const seen = block.end.k === "rounds" && to === block.end.unchecked ? block.end.rounds.words : NONE;
      const now = old & (called ? NONE : words | seen);
      if (now === old && before.has(to)) continue;
      before.set(to, now);
      work.push(to);
    }
  }
  return before;
}
