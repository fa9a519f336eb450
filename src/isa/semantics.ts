/**
 * The words in which an instruction's meaning is written: its operands, and its effects on the hart.
 *
 * A definition says once what an instruction does; the interpreter and the translator give the operands and effects
 * their code. Effects happen in order. One that may trap (a load, a store, a CSR access) comes before any register is
 * written, so that a trapping instruction leaves no trace.
 */
import { type Expr, effect, I32, I64, i32, i64, type Local, local, operand, type Stmt, select } from "../wasm/ir.ts";

/** Operands. Registers are 64-bit; `frs*` are raw register contents; `imm` is sign extended. */
export const rs1 = operand(I64, "rs1");
export const rs2 = operand(I64, "rs2");
export const frs1 = operand(I64, "frs1");
export const frs2 = operand(I64, "frs2");
export const frs3 = operand(I64, "frs3");
export const imm = operand(I64, "imm");
/** The immediate as a 32-bit value: CSR numbers, shift amounts, raw words of illegal instructions. */
export const imm32 = operand(I32, "imm32");
/** Address of this instruction and of the one after it. */
export const pc = operand(I64, "pc");
export const next = operand(I64, "next");
/** The base of the hart's state. */
export const hart = operand(I32, "hart");
/** The rounding mode, with DYN resolved. */
export const rm = operand(I32, "rm");

/** Writes the integer destination; writes to x0 go nowhere. */
export const rd = (e: Expr): Stmt => effect("rd", [e]);
/** Writes the destination and sign-extends from 32 bits, as the *W instructions do. */
export const rdw = (e: Expr): Stmt => rd(i64.extend_s(e));
/** Writes the floating-point destination (raw 64 bits) and marks the state dirty. */
export const frd = (e: Expr): Stmt => effect("frd", [e]);
/** Traps with an illegal instruction where floating point is off or, for `rounding`, where the dynamic mode is reserved. */
export const fp = (rounding = false): Stmt => effect("fp", [], { rounding });

export interface LoadInfo {
  readonly size: 1 | 2 | 4 | 8;
  readonly signed: boolean;
  readonly to: Local;
}
/** Loads from guest memory into `to`; may trap. */
export const load = (to: Local, size: 1 | 2 | 4 | 8, signed: boolean, addr: Expr): Stmt =>
  effect("load", [addr], { size, signed, to } satisfies LoadInfo);
/** Stores the low bytes of `value`; may trap. */
export const store = (size: 1 | 2 | 4 | 8, addr: Expr, value: Expr): Stmt => effect("store", [addr, value], { size });

export interface AmoInfo {
  readonly size: 4 | 8;
  readonly to: Local;
  /** The value to store, from the old one. */
  readonly next: (old: Expr) => Expr;
}
/** Atomic read-modify-write: `to` gets the old value, sign extended. */
export const amo = (to: Local, size: 4 | 8, addr: Expr, next: (old: Expr) => Expr): Stmt =>
  effect("amo", [addr], { size, to, next } satisfies AmoInfo);
export const loadReserved = (to: Local, size: 4 | 8, addr: Expr): Stmt => effect("lr", [addr], { size, to });
/** `to` becomes 0 where the store was done, else 1. */
export const storeConditional = (to: Local, size: 4 | 8, addr: Expr, value: Expr): Stmt =>
  effect("sc", [addr, value], { size, to });

/** Jumps to pc + imm if the condition holds. */
export const branch = (c: Expr): Stmt => effect("branch", [c]);
/** Jumps to pc + imm; to a computed address. */
export const jumpImm = (): Stmt => effect("jump-imm");
export const jump = (target: Expr): Stmt => effect("jump", [target]);
/** Raises a synchronous exception. */
export const trap = (cause: Expr | number, tval: Expr): Stmt =>
  effect("trap", [typeof cause === "number" ? i64.const(cause) : cause, tval]);
/** Anything that the hart does outside the common path: CSR accesses, returns from traps, fences, WFI. */
export const system = (what: string, args: readonly Expr[] = [], data?: unknown): Stmt => effect(what, args, data);

export const temp = (name = "t"): Local => local(I64, name);

/** The low word of an integer operand. */
export const w1 = i32.wrap(rs1);
export const w2 = i32.wrap(rs2);

/** A NaN-boxed value in a wider register: the number where the upper bits are all ones, else the canonical NaN (F 2.2). */
export const unbox32 = (f: Expr): Expr => select(i64.eq(i64.shr_u(f, 32), 0xffffffff), f, i64.const(0x7fc00000));
export const unbox16 = (f: Expr): Expr => select(i64.eq(i64.shr_u(f, 16), 0xffffffffffffn), f, i64.const(0x7e00));
export const box32 = (v: Expr): Expr => i64.or(v, 0xffffffff00000000n);
export const box16 = (v: Expr): Expr => i64.or(v, 0xffffffffffff0000n);
