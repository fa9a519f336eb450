/**
 * What all floating-point functions are made of: registers and numbers, flags, the calls of the exact unit.
 *
 * Registers come and go raw: 64 bits, narrower formats NaN-boxed. In generated code an encoding of a narrower format is
 * an i64 whose upper bits are zero ("bits"), and its number is the f64 of the same value.
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
  local,
  ret,
  type Stmt,
  select,
  set,
} from "../../wasm/ir.ts";
import { S } from "../layout.ts";
import { Flag, RoundingMode } from "../softfloat/index.ts";

export { Flag, RoundingMode } from "../softfloat/index.ts";

export type Letter = "s" | "d" | "h";

/** A binary format as generated code needs it. */
export interface Format {
  readonly letter: Letter;
  /** The instruction's fmt field. */
  readonly fmt: number;
  readonly bits: number;
  /** Bits of the smallest normal number, of infinity (above are NaNs), of the canonical NaN and of the sign. */
  readonly normal: bigint;
  readonly infinity: bigint;
  readonly nan: bigint;
  readonly sign: bigint;
  /** The ones above the value in a register. */
  readonly box: bigint;
  /** Bits of what a register holds: the canonical NaN where it is not boxed. */
  unbox(register: Expr): Expr;
  /** The number of a register, an f64. A NaN stays some NaN. */
  number(register: Expr): Expr;
  /** The register for an f64 that the format represents, infinities but no NaN. */
  register(number: Expr): Expr;
}

const BOX32 = 0xffffffff_00000000n;
const BOX16 = 0xffffffff_ffff0000n;

export const S_FORMAT: Format = {
  letter: "s",
  fmt: 0,
  bits: 32,
  normal: 0x0080_0000n,
  infinity: 0x7f80_0000n,
  nan: 0x7fc0_0000n,
  sign: 0x8000_0000n,
  box: BOX32,
  unbox: (r) => i64.and(unbox32(r), 0xffffffffn),
  number: (r) => f64.promote(f32.reinterpret(i32.wrap(unbox32(r)))),
  register: (x) => box32(i32.reinterpret(f32.demote(x))),
};
export const D_FORMAT: Format = {
  letter: "d",
  fmt: 1,
  bits: 64,
  normal: 1n << 52n,
  infinity: 0x7ffn << 52n,
  nan: 0x7ff8n << 48n,
  sign: 1n << 63n,
  box: 0n,
  unbox: (r) => r,
  number: (r) => f64.reinterpret(r),
  register: (x) => i64.reinterpret(x),
};
export const H_FORMAT: Format = {
  letter: "h",
  fmt: 2,
  bits: 16,
  normal: 0x0400n,
  infinity: 0x7c00n,
  nan: 0x7e00n,
  sign: 0x8000n,
  box: BOX16,
  unbox: (r) => i64.and(unbox16(r), 0xffffn),
  number: (r) => call(F64, "fp.widen", r),
  register: (x) => call(I64, "fp.half", x),
};

/** The f register of 32 bits. */
export const box32 = (bits: Expr): Expr => i64.or(i64.extend_u(bits), BOX32);
/** Whether f32 registers are all boxed. */
export const boxed32 = (...registers: Expr[]): Expr => i64.ge_u(registers.reduce((a, b) => i64.and(a, b)), BOX32);

export const isNan = (x: Expr): Expr => f64.ne(x, x);
export const isInfinite = (x: Expr): Expr => f64.eq(f64.abs(x), f64.const(Infinity));
export const isFinite64 = (x: Expr): Expr => f64.lt(f64.abs(x), f64.const(Infinity));
export const isZero = (x: Expr): Expr => f64.eq(x, f64.const(0));
export const or = (...conditions: Expr[]): Expr => conditions.reduce((a, b) => i32.or(a, b));
export const and = (...conditions: Expr[]): Expr => conditions.reduce((a, b) => i32.and(a, b));

/** Raises exceptions. */
export const raise = (h: Expr, flags: number): Stmt[] => [
  S.fflags.set(h, i32.or(S.fflags.get(h), flags)),
  S.fsDirty.set(h, 1),
];
/** Raises NX if `inexact`; stores nothing where it is set already. */
export const raiseInexact = (h: Expr, inexact: Expr): Stmt =>
  iff(i32.gt_u(inexact, i32.and(S.fflags.get(h), Flag.NX)), raise(h, Flag.NX));
/** Rounding to nearest even with NX set: results need no test for exactness. One comparison, as RNE is 0 and NX is 1. */
export const isOrdinaryMode = (h: Expr, rm: Expr): Expr => i32.gt_u(i32.and(S.fflags.get(h), Flag.NX), rm);

/** Leaves the instruction to the exact unit: operation `op` on registers a, b and c. */
export function exact(h: Expr, op: number, { fmt }: Format, rm: Expr, a: Expr, b?: Expr, c?: Expr): Stmt[] {
  return [
    S.fa.set(h, a),
    ...(b ? [S.fb.set(h, b)] : []),
    ...(c ? [S.fc.set(h, c)] : []),
    callStmt("softfloat", h, i32.const(op | (fmt << 8)), rm),
    ret(S.result.get(h), I64),
  ];
}

/** Whether the bits are a signaling NaN's: above infinity and below the quiet ones. */
export const isSignaling = ({ infinity, nan, sign }: Format, bits: Expr): Expr =>
  i64.lt_u(i64.sub(i64.and(bits, sign - 1n), infinity + 1n), nan - infinity - 1n);

/** The NaN result of an operation on these registers: canonical, and NV if an operand signals or none is a NaN. */
export const nanResult = (h: Expr, f: Format, a: Expr, b: Expr = a, c: Expr = b): Stmt[] => [
  callStmt(`fp.nan.${f.letter}`, h, f.unbox(a), f.unbox(b), f.unbox(c)),
  ret(f.nan | f.box, I64),
];

/** Flags of an operation whose result is a NaN. */
const nanFunction = (f: Format): Func =>
  fn(`fp.nan.${f.letter}`, { h: I32, a: I64, b: I64, c: I64 }, [], ({ h, a, b, c }) => {
    const isNumber = (x: Expr): Expr => i64.le_u(i64.and(x, f.sign - 1n), f.infinity);
    return [
      iff(
        or(and(isNumber(a), isNumber(b), isNumber(c)), isSignaling(f, a), isSignaling(f, b), isSignaling(f, c)),
        raise(h, Flag.NV),
      ),
    ];
  });

/** x rounded to an integer; modes above RUP are RMM. */
const integral = fn("fp.integral", { x: F64, rm: I32 }, [F64], ({ x, rm }) => {
  const t = local(F64, "t");
  return [
    iff(i32.eqz(rm), [ret(f64.nearest(x), F64)]),
    iff(i32.eq(rm, RoundingMode.RDN), [ret(f64.floor(x), F64)]),
    iff(i32.eq(rm, RoundingMode.RUP), [ret(f64.ceil(x), F64)]),
    set(t, f64.trunc(x)),
    // Away from zero when half or more was cut off. NaN and infinities stay what they are.
    iff(i32.and(i32.ne(rm, RoundingMode.RTZ), f64.ge(f64.abs(f64.sub(x, t)), f64.const(0.5))), [
      set(t, f64.add(t, f64.copysign(f64.const(1), x))),
    ]),
    ret(t, F64),
  ];
});

/** The error of s = a + b to nearest, exactly: Fast2Sum behind a selection by magnitude. */
export function sumError(a: Expr, b: Expr, s: Expr, to: Local): Stmt[] {
  const big = local(F64, "big");
  const small = local(F64, "small");
  return [
    set(to, f64.ge(f64.abs(a), f64.abs(b))),
    set(big, select(to, a, b)),
    set(small, select(to, b, a)),
  ];
}
