/**
 * What all floating-point functions are made of: formats, flags, the call of the exact unit.
 *
 * Registers come and go raw: 64 bits, narrower formats NaN-boxed. The bits of a narrower format are an i64 whose upper
 * bits are zero; its number is the f64 of the same value.
 */
import { unbox16, unbox32 } from "../../isa/semantics.ts";
import {
  call,
  callStmt,
  type Expr,
  F64,
  type Func,
  f32,
  f64,
  fn,
  I32,
  I64,
  i32,
  i64,
  iff,
  type Local,
  ret,
  type Stmt,
} from "../../wasm/ir.ts";
import { S } from "../layout.ts";
import { Flag } from "../softfloat/index.ts";

/** A binary format as generated code needs it. */
export interface Format {
  readonly letter: "s" | "d" | "h";
  /** The instruction's fmt field. */
  readonly fmt: number;
  /** Bits of the smallest normal number, of infinity (above are NaNs), of the canonical NaN, of the sign. */
  readonly normal: bigint;
  readonly infinity: bigint;
  readonly nan: bigint;
  readonly sign: bigint;
  /** The ones above the value in a register. */
  readonly box: bigint;
  /** The bits in a register: the canonical NaN's where it is not boxed. */
  bits(register: Expr): Expr;
  /** The number in a register. A NaN stays some NaN. */
  number(register: Expr): Expr;
  /** The register for a number that the format represents, infinities too, but no NaN. */
  register(number: Expr): Expr;
}

const BOX32 = 0xffffffff_00000000n;

export const single: Format = {
  letter: "s",
  fmt: 0,
  normal: 0x0080_0000n,
  infinity: 0x7f80_0000n,
  nan: 0x7fc0_0000n,
  sign: 0x8000_0000n,
  box: BOX32,
  bits: (r) => i64.and(unbox32(r), 0xffff_ffff),
  number: (r) => f64.promote(f32.reinterpret(i32.wrap(unbox32(r)))),
  register: (x) => box32(f32.demote(x)),
};

export const double: Format = {
  letter: "d",
  fmt: 1,
  normal: 1n << 52n,
  infinity: 0x7ffn << 52n,
  nan: 0xfffn << 51n,
  sign: 1n << 63n,
  box: 0n,
  bits: (r) => r,
  number: (r) => f64.reinterpret(r),
  register: (x) => i64.reinterpret(x),
};

export const half: Format = {
  letter: "h",
  fmt: 2,
  normal: 0x0400n,
  infinity: 0x7c00n,
  nan: 0x7e00n,
  sign: 0x8000n,
  box: 0xffffffff_ffff0000n,
  bits: (r) => i64.and(unbox16(r), 0xffff),
  number: (r) => call(F64, "fp.widen", half.bits(r)),
  register: (x) => call(I64, "fp.narrow", x),
};

/** The register for an f32 value. */
export const box32 = (x: Expr): Expr => i64.or(i64.extend_u(i32.reinterpret(x)), BOX32);
/** The f32 value in a register that is known to be boxed, and whether registers are. */
export const unboxed32 = (register: Expr): Expr => f32.reinterpret(i32.wrap(register));
export const areBoxed32 = (...registers: readonly Expr[]): Expr => i64.ge_u(registers.reduce(i64.and), BOX32);

/** Conditions, all evaluated. */
export const every = (...conditions: readonly Expr[]): Expr => conditions.reduce(i32.and);
export const some = (...conditions: readonly Expr[]): Expr => conditions.reduce(i32.or);
export const isNan = (x: Expr): Expr => f64.ne(x, x);
export const isZero = (x: Expr): Expr => f64.eq(x, f64.const(0));
export const isInfinite = (x: Expr): Expr => f64.eq(f64.abs(x), f64.const(Infinity));

/** Raises exceptions. */
export const raise = (h: Expr, flags: number): Stmt[] => [
  S.fflags.set(h, i32.or(S.fflags.get(h), flags)),
  S.fsDirty.set(h, 1),
];
const inexactSeen = (h: Expr): Expr => i32.and(S.fflags.get(h), Flag.NX);
/** Raises NX where `inexact` is 1; stores nothing where it is set already. */
export const raiseInexact = (h: Expr, inexact: Expr): Stmt => iff(i32.gt_u(inexact, inexactSeen(h)), raise(h, Flag.NX));
/** To nearest even with NX set, where nothing needs a test for exactness. One comparison: RNE is 0 and NX is 1. */
export const isCommonMode = (h: Expr, rm: Expr): Expr => i32.gt_u(inexactSeen(h), rm);

/** Leaves the instruction to the exact unit: operation `op` (of SoftFloatOp) on these registers. */
export function exactly(h: Expr, op: number, { fmt }: Format, rm: Expr, a: Expr, b?: Expr, c?: Expr): Stmt[] {
  return [
    S.fa.set(h, a),
    ...(b ? [S.fb.set(h, b)] : []),
    ...(c ? [S.fc.set(h, c)] : []),
    callStmt("softfloat", h, i32.const(op | (fmt << 8)), rm),
    ret(S.result.get(h), I64),
  ];
}

/** Whether the bits are those of a signaling NaN: above infinity and below the quiet ones. */
export const isSignaling = ({ infinity, nan, sign }: Format, bits: Expr): Expr =>
  i64.lt_u(i64.sub(i64.and(bits, sign - 1n), infinity + 1n), nan - infinity - 1n);

/** Raises NV for an operation on these registers that gives a NaN: if one signals, or none is a NaN. */
export const raiseInvalid = (h: Expr, f: Format, a: Expr, b: Expr = a, c: Expr = b): Stmt =>
  callStmt(`fp.invalid.${f.letter}`, h, f.bits(a), f.bits(b), f.bits(c));

/** Returns the canonical NaN as a register. */
export const returnNan = (f: Format): Stmt => ret(f.nan | f.box, I64);

export const invalidFunction = (f: Format): Func =>
  fn(`fp.invalid.${f.letter}`, { h: I32, a: I64, b: I64, c: I64 }, [], ({ h, a, b, c }) => {
    const isNumber = (x: Local): Expr => i64.le_u(i64.and(x, f.sign - 1n), f.infinity);
    const isSet = some(every(...[a, b, c].map(isNumber)), ...[a, b, c].map((x) => isSignaling(f, x)));
    return [iff(isSet, raise(h, Flag.NV))];
  });
