/**
 * Functions that round for the floating-point instructions: docs/design/floating-point.md, "Sums", "From nearest to every
 * mode" and "f32 and f16 in f64". They know all five modes and raise what rounding raises.
 */
import {
  call,
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
import { Flag, RoundingMode } from "../softfloat/index.ts";
import { box32, double, every, type Format, half, isInfinite, raise, raiseInexact, single } from "./parts.ts";

/** 2^(n - 1023), for an i64 n of 1 to 2046. */
const powerOfTwo = (n: Expr): Expr => f64.reinterpret(i64.shl(n, 52));
/** The biased exponent of an f64's bits, an i64. */
export const exponentField = (bits: Expr): Expr => i64.and(i64.shr_u(bits, 52), 0x7ff);

/** Whether an f32's bits, an i32, are between the smallest normal number and infinity in magnitude, without these two. */
export const isOrdinary32 = (bits: Expr): Expr => i32.lt_u(i32.sub(i32.shl(bits, 1), 0x0100_0002), 0xfdff_fffe);

/** x rounded to an integer. */
const integral = fn("fp.integral", { x: F64, rm: I32 }, [F64], ({ x, rm }) => {
  const t = local(F64, "t");
  return [
    iff(i32.eqz(rm), [ret(f64.nearest(x), F64)]),
    iff(i32.eq(rm, RoundingMode.RDN), [ret(f64.floor(x), F64)]),
    iff(i32.eq(rm, RoundingMode.RUP), [ret(f64.ceil(x), F64)]),
    set(t, f64.trunc(x)),
    // What trunc cuts off is exact.
    iff(every(i32.ne(rm, RoundingMode.RTZ), f64.ge(f64.abs(f64.sub(x, t)), f64.const(0.5))), [
      set(t, f64.add(t, f64.copysign(f64.const(1), x))),
    ]),
    ret(t, F64),
  ];
});

/** `error` = a + b - s for a finite s = RN(a + b). Of an infinity or a NaN it is a NaN. */
export function sumError(error: Local, a: Expr, b: Expr, s: Expr): Stmt[] {
  const first = local(I32, "first");
  return [
    set(first, f64.ge(f64.abs(a), f64.abs(b))),
    set(error, f64.sub(select(first, b, a), f64.sub(s, select(first, a, b)))),
  ];
}

/** a + b rounded to odd: to round it again to a narrower format, in any mode, is to round a + b. */
const toOdd = fn("fp.odd", { a: F64, b: F64 }, [F64], ({ a, b }) => {
  const s = local(F64, "s");
  const error = local(F64, "error");
  const bits = local(I64, "bits");
  const isUp = i32.eq(f64.gt(error, f64.const(0)), f64.gt(s, f64.const(0)));
  return [
    set(s, f64.add(a, b)),
    ...sumError(error, a, b, s),
    set(bits, i64.reinterpret(s)),
    iff(i32.gt_u(i32.or(f64.lt(error, f64.const(0)), f64.gt(error, f64.const(0))), i32.wrap(i64.and(bits, 1))), [
      set(s, f64.reinterpret(i64.add(bits, select(isUp, i64.const(1), i64.const(-1))))),
    ]),
    ret(s, F64),
  ];
});

/**
 * The inexact f64 result whose bits to nearest are `r`, in mode `rm`. `grows`: the exact value has the larger magnitude.
 * `tie`: and it is half-way to the next one.
 */
const inMode = fn("fp.mode", { h: I32, r: I64, grows: I32, tie: I32, rm: I32 }, [I64], ({ h, r, grows, tie, rm }) => {
  const negative = local(I32, "negative");
  const step = local(I32, "step");
  return [
    ...raise(h, Flag.NX),
    set(negative, i64.lt_s(r, 0)),
    set(step, 0),
    iff(
      grows,
      [
        // Away from zero: RUP for positive numbers, RDN for negative ones.
        set(step, i32.eq(i32.add(rm, negative), RoundingMode.RUP)),
        iff(i32.eq(rm, RoundingMode.RMM), [set(step, tie)]),
      ],
      [iff(i32.or(i32.eq(rm, RoundingMode.RTZ), i32.eq(i32.sub(rm, negative), RoundingMode.RDN)), [set(step, -1)])],
    ),
    ret(i64.add(r, i64.extend_s(step)), I64),
  ];
});

/** A format narrower than f64, by its precision, its smallest normal exponent and its largest number. */
interface Shape {
  readonly format: Format;
  readonly precision: number;
  readonly emin: number;
  readonly largest: number;
}

/**
 * Rounds v, no NaN, to a narrow format and returns the register. v is exact, or rounded to odd, or a quotient or root of
 * narrow numbers. An infinity is exact.
 */
function roundFunction({ format, precision, emin, largest }: Shape): Func {
  return fn(`fp.round.${format.letter}`, { h: I32, v: F64, rm: I32 }, [I64], ({ h, v, rm }) => {
    const e = local(I64, "e");
    const away = local(I32, "away");
    const scaled = local(F64, "scaled");
    const rounded = local(F64, "rounded");
    const value = local(F64, "value");
    const narrow = local(I32, "narrow");
    const magnitude = f64.abs(v);
    const toNearest = i32.eqz(i32.and(rm, 3));
    const floor = i64.const(1023 + emin);
    const tinyToNearest = f64.lt(magnitude, f64.const(2 ** emin - 2 ** (emin - precision - 1)));
    const tinyOutwards = f64.le(magnitude, f64.const(2 ** emin - 2 ** (emin - precision)));
    return [
      // f32 to nearest, in the middle of the range: one instruction.
      ...(format === single
        ? [
            set(narrow, i32.reinterpret(f32.demote(v))),
            iff(i32.gt_u(isOrdinary32(narrow), rm), [
              raiseInexact(h, f64.ne(f64.promote(f32.reinterpret(narrow)), v)),
              ret(box32(f32.reinterpret(narrow)), I64),
            ]),
          ]
        : []),
      iff(isInfinite(v), [ret(format.register(v), I64)]),
      set(e, exponentField(i64.reinterpret(v))),
      iff(i64.lt_u(e, floor), [set(e, floor)]),
      // The last place becomes 1, and again what it was; exact, being powers of two.
      set(scaled, f64.mul(v, powerOfTwo(i64.sub(2045 + precision, e)))),
      set(rounded, call(F64, "fp.integral", scaled, rm)),
      set(value, f64.mul(rounded, powerOfTwo(i64.sub(e, precision - 1)))),
      set(away, i32.eq(rm, select(f64.lt(v, f64.const(0)), i32.const(RoundingMode.RDN), i32.const(RoundingMode.RUP)))),
      iff(f64.gt(f64.abs(value), f64.const(largest)), [
        ...raise(h, Flag.OF | Flag.NX),
        set(value, select(i32.or(toNearest, away), f64.const(Infinity), f64.const(largest))),
        ret(format.register(f64.copysign(value, v)), I64),
      ]),
      iff(f64.ne(rounded, scaled), [
        raiseInexact(h, i32.const(1)),
        iff(f64.lt(magnitude, f64.const(2 ** emin)), [
          iff(select(toNearest, tinyToNearest, select(away, tinyOutwards, i32.const(1))), raise(h, Flag.UF)),
        ]),
      ]),
      ret(format.register(value), I64),
    ];
  });
}

const REBIAS = (1023 - 15) << 10;

/** The number of f16 bits; NaNs become NaNs. */
const widen = fn("fp.widen", { bits: I64 }, [F64], ({ bits }) => {
  const magnitude = local(I64, "magnitude");
  const x = local(F64, "x");
  return [
    set(magnitude, i64.and(bits, half.sign - 1n)),
    set(x, f64.reinterpret(i64.shl(i64.add(magnitude, REBIAS), 42))),
    iff(i64.lt_u(magnitude, half.normal), [set(x, f64.mul(f64.convert_i64_s(magnitude), f64.const(2 ** -24)))]),
    iff(i64.ge_u(magnitude, half.infinity), [set(x, f64.reinterpret(i64.or(double.infinity, i64.shl(magnitude, 42))))]),
    ret(f64.copysign(x, f64.reinterpret(i64.shl(bits, 48))), F64),
  ];
});

/** The register for a number that f16 represents. */
const narrow = fn("fp.narrow", { x: F64 }, [I64], ({ x }) => {
  const bits = local(I64, "bits");
  const magnitude = local(F64, "magnitude");
  return [
    set(magnitude, f64.abs(x)),
    set(bits, i64.sub(i64.shr_u(i64.reinterpret(magnitude), 42), REBIAS)),
    iff(f64.lt(magnitude, f64.const(2 ** -14)), [set(bits, i64.trunc_f64_s(f64.mul(magnitude, f64.const(2 ** 24))))]),
    iff(f64.eq(magnitude, f64.const(Infinity)), [set(bits, half.infinity)]),
    set(bits, i64.or(bits, i64.and(i64.shr_u(i64.reinterpret(x), 48), half.sign))),
    ret(i64.or(bits, half.box), I64),
  ];
});

export const roundingFunctions: readonly Func[] = [
  integral,
  toOdd,
  inMode,
  roundFunction({ format: single, precision: 24, emin: -126, largest: 2 ** 128 - 2 ** 104 }),
  roundFunction({ format: half, precision: 11, emin: -14, largest: 65504 }),
  widen,
  narrow,
];
