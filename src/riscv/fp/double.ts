/**
 * Arithmetic of double precision: docs/design/floating-point.md, "Fast paths".
 *
 * An instruction is two functions. The one that has its name is small, so that V8 inlines it, and answers where nothing
 * can go wrong: to nearest, with NX set, well inside the range. All else goes to `slow.*`: tests for exactness, the other
 * modes, infinities, NaNs; and from there to the exact unit what hardware arithmetic does not settle: underflow,
 * overflow, and most that has to do with subnormal operands.
 */
import {
  call,
  type Expr,
  F64,
  type Func,
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
  set,
} from "../../wasm/ir.ts";
import { Flag, RoundingMode, SoftFloatOp } from "../softfloat/index.ts";
import {
  double,
  every,
  exactly,
  isCommonMode,
  isInfinite,
  isNan,
  isZero,
  raise,
  raiseInexact,
  raiseInvalid,
  returnNan,
  some,
} from "./parts.ts";
import { exponentField, sumError } from "./rounding.ts";

const MIN = f64.const(2 ** -1022);
const MAX = f64.const(Number.MAX_VALUE);
/** Below this a product's error is not always a number. */
const PRODUCT_FLOOR = f64.const(2 ** -967);
const binary = { h: I32, a: I64, b: I64, rm: I32 } as const;
const ternary = { h: I32, a: I64, b: I64, c: I64, rm: I32 } as const;

const bitsOf = (x: Expr): Expr => i64.reinterpret(x);
const numberOf = (register: Expr): Expr => f64.reinterpret(register);
const negative = (register: Expr): Expr => i64.xor(register, double.sign);
const returns = (x: Expr): Stmt => ret(bitsOf(x), I64);

/** Whether bits are below infinity; whether they are above the smallest normal number too. */
const isFinite64 = (bits: Expr): Expr => i64.lt_u(i64.shl(bits, 1), double.infinity << 1n);
const isOrdinary = (bits: Expr): Expr => {
  const lowest = (double.normal + 1n) << 1n;
  return i64.lt_u(i64.sub(i64.shl(bits, 1), lowest), (double.infinity << 1n) - lowest);
};
/** The same of a number, and below the largest. */
const isInside = (x: Expr): Expr => every(f64.gt(f64.abs(x), MIN), f64.lt(f64.abs(x), MAX));
const isNormal = (x: Expr): Expr => f64.ge(f64.abs(x), MIN);

/** The small function: `compute`, if `test` of the result's bits holds in the common mode. */
const common = (h: Local, rm: Local, compute: Expr, test: (bits: Expr) => Expr, otherwise: Expr): Stmt[] => {
  const r = local(I64, "r");
  return [set(r, bitsOf(compute)), iff(every(isCommonMode(h, rm), test(r)), [ret(r, I64)]), ret(otherwise, I64)];
};

/** Returns the result whose value to nearest is r: inexact, and not to nearest even. */
const inexact = (h: Local, r: Local, grows: Expr, tie: Expr, rm: Local): Stmt =>
  ret(call(I64, "fp.mode", h, bitsOf(r), grows, tie, rm), I64);

/** To nearest even, returns r and raises NX unless `isExact`. */
const nearest = (h: Local, r: Local, isExact: Expr, rm: Local): Stmt =>
  iff(i32.eqz(rm), [raiseInexact(h, i32.eqz(isExact)), returns(r)]);

/** Returns a + b in mode `rm`, if it is below the largest number. `signs`, negative: a sum of 0 may be -0. */
function sum(h: Local, a: Expr, b: Expr, signs: Expr, rm: Local): Stmt[] {
  const s = local(F64, "s");
  const error = local(F64, "error");
  const next = f64.reinterpret(i64.add(bitsOf(s), 1));
  const grows = i32.eq(f64.gt(error, f64.const(0)), f64.gt(s, f64.const(0)));
  return [
    set(s, f64.add(a, b)),
    iff(f64.lt(f64.abs(s), MAX), [
      nearest(h, s, every(f64.eq(f64.sub(s, a), b), f64.eq(f64.sub(s, b), a)), rm),
      iff(every(isZero(s), i32.eq(rm, RoundingMode.RDN), i64.lt_s(signs, 0)), [ret(double.sign, I64)]),
      ...sumError(error, a, b, s),
      iff(isZero(error), [returns(s)]),
      inexact(h, s, grows, f64.eq(f64.sub(next, s), f64.add(error, error)), rm),
    ]),
  ];
}

/** Returns r, the result to nearest, if it is a NaN or if an operand is infinite and makes it infinite. */
const special = (h: Local, r: Expr, registers: readonly Local[], operands: readonly Expr[]): Stmt[] => [
  iff(isNan(r), [raiseInvalid(h, double, ...(registers as [Local])), returnNan(double)]),
  iff(every(isInfinite(r), some(...operands.map(isInfinite))), [returns(r)]),
];

/** An i64 with the significand of a normal number. */
const significand = (x: Expr): Expr => i64.or(i64.and(bitsOf(x), double.normal - 1n), double.normal);

const add: readonly Func[] = [
  fn("fadd.d", binary, [I64], ({ h, a, b, rm }) =>
    common(h, rm, f64.add(numberOf(a), numberOf(b)), isFinite64, call(I64, "slow.fadd.d", h, a, b, rm)),
  ),
  fn("fsub.d", binary, [I64], ({ h, a, b, rm }) =>
    common(h, rm, f64.sub(numberOf(a), numberOf(b)), isFinite64, call(I64, "slow.fadd.d", h, a, negative(b), rm)),
  ),
  fn("slow.fadd.d", binary, [I64], ({ h, a, b, rm }) => {
    const [x, y] = [numberOf(a), numberOf(b)];
    return [
      ...sum(h, x, y, i64.or(a, b), rm),
      ...special(h, f64.add(x, y), [a, b], [x, y]),
      ...exactly(h, SoftFloatOp.add, double, rm, a, b),
    ];
  }),
];

const mul: readonly Func[] = [
  fn("fmul.d", binary, [I64], ({ h, a, b, rm }) =>
    common(h, rm, f64.mul(numberOf(a), numberOf(b)), isOrdinary, call(I64, "slow.fmul.d", h, a, b, rm)),
  ),
  fn("slow.fmul.d", binary, [I64], ({ h, a, b, rm }) => {
    const p = local(F64, "p");
    const shift = local(I64, "shift");
    const residual = local(I64, "residual");
    const [x, y] = [numberOf(a), numberOf(b)];
    const exponents = i64.add(exponentField(a), exponentField(b));
    return [
      set(p, f64.mul(x, y)),
      iff(every(isInside(p), isNormal(x), isNormal(y)), [
        // The exact product less the rounded one, modulo 2^64, in units of the exact product's last place.
        set(shift, i64.sub(i64.add(exponentField(bitsOf(p)), 1023 + 52), exponents)),
        set(residual, i64.sub(i64.mul(significand(x), significand(y)), i64.shl(significand(p), shift))),
        nearest(h, p, i64.eqz(residual), rm),
        iff(i64.eqz(residual), [returns(p)]),
        inexact(h, p, i64.gt_s(residual, 0), i64.eq(residual, i64.shl(1, i64.sub(shift, 1))), rm),
      ]),
      iff(every(isZero(p), some(isZero(x), isZero(y))), [returns(p)]),
      ...special(h, p, [a, b], [x, y]),
      ...exactly(h, SoftFloatOp.mul, double, rm, a, b),
    ];
  }),
];

const div: readonly Func[] = [
  fn("fdiv.d", binary, [I64], ({ h, a, b, rm }) =>
    common(h, rm, f64.div(numberOf(a), numberOf(b)), isOrdinary, call(I64, "slow.fdiv.d", h, a, b, rm)),
  ),
  fn("slow.fdiv.d", binary, [I64], ({ h, a, b, rm }) => {
    const q = local(F64, "q");
    const residual = local(I64, "residual");
    const [x, y] = [numberOf(a), numberOf(b)];
    const exponents = i64.add(exponentField(bitsOf(q)), exponentField(b));
    const shift = i64.sub(i64.add(exponentField(a), 1023 + 52), exponents);
    return [
      set(q, f64.div(x, y)),
      iff(every(isInside(q), isNormal(x), isNormal(y)), [
        // The remainder, in units of the last place of quotient times divisor. Quotients are never ties.
        set(residual, i64.sub(i64.shl(significand(x), shift), i64.mul(significand(q), significand(y)))),
        nearest(h, q, i64.eqz(residual), rm),
        iff(i64.eqz(residual), [returns(q)]),
        inexact(h, q, i64.gt_s(residual, 0), i32.const(0), rm),
      ]),
      iff(every(isZero(q), some(isZero(x), isInfinite(y))), [returns(q)]),
      ...special(h, q, [a, b], [x]),
      iff(isZero(y), [...raise(h, Flag.DZ), returns(q)]),
      ...exactly(h, SoftFloatOp.div, double, rm, a, b),
    ];
  }),
];

const sqrt: readonly Func[] = [
  fn("fsqrt.d", { h: I32, a: I64, rm: I32 }, [I64], ({ h, a, rm }) => [
    iff(every(isCommonMode(h, rm), f64.ge(numberOf(a), f64.const(0))), [returns(f64.sqrt(numberOf(a)))]),
    ret(call(I64, "slow.fsqrt.d", h, a, rm), I64),
  ]),
  fn("slow.fsqrt.d", { h: I32, a: I64, rm: I32 }, [I64], ({ h, a, rm }) => {
    const r = local(F64, "r");
    const root = local(I64, "root");
    const residual = local(I64, "residual");
    const x = numberOf(a);
    const shift = i64.sub(i64.add(exponentField(a), 1023 + 52), i64.shl(exponentField(bitsOf(r)), 1));
    return [
      set(r, f64.sqrt(x)),
      iff(every(f64.ge(x, MIN), f64.le(x, MAX)), [
        set(root, significand(r)),
        set(residual, i64.sub(i64.shl(significand(x), shift), i64.mul(root, root))),
        nearest(h, r, i64.eqz(residual), rm),
        iff(i64.eqz(residual), [returns(r)]),
        inexact(h, r, i64.gt_s(residual, 0), i32.const(0), rm),
      ]),
      iff(some(isZero(x), f64.eq(x, f64.const(Infinity))), [returns(r)]),
      iff(isNan(r), [raiseInvalid(h, double, a), returnNan(double)]),
      ...exactly(h, SoftFloatOp.sqrt, double, rm, a),
    ];
  }),
];

/** The halves of x, 26 bits each (Veltkamp); NaN where that overflows. */
function split(x: Expr, high: Local, low: Local): Stmt[] {
  return [
    set(high, f64.mul(x, f64.const(2 ** 27 + 1))),
    set(high, f64.sub(high, f64.sub(high, x))),
    set(low, f64.sub(x, high)),
  ];
}

/** `error` = xy - p for p = RN(xy) above PRODUCT_FLOOR: Dekker's product, or one instruction. */
function productError(error: Local, x: Expr, y: Expr, p: Expr, fused: boolean): Stmt[] {
  if (fused) return [set(error, f64.relaxed_madd(x, y, f64.neg(p)))];
  const [xHigh, xLow, yHigh, yLow] = ["xh", "xl", "yh", "yl"].map((n) => local(F64, n)) as [Local, Local, Local, Local];
  const large = f64.sub(f64.sub(p, f64.mul(xHigh, yHigh)), f64.mul(xLow, yHigh));
  return [
    ...split(x, xHigh, xLow),
    ...split(y, yHigh, yLow),
    set(error, f64.sub(f64.mul(xLow, yLow), f64.sub(large, f64.mul(xHigh, yLow)))),
  ];
}

/** Fused multiply-add; the four instructions differ in the signs of the product and of the addend. */
function fma(fused: boolean): Func[] {
  const variant = (name: string, product: (r: Expr) => Expr, addend: (r: Expr) => Expr): Func =>
    fn(name, ternary, [I64], ({ h, a, b, c, rm }) => {
      const otherwise = call(I64, "slow.fmadd.d", h, product(a), b, addend(c), rm);
      if (!fused) return [ret(otherwise, I64)];
      const r = f64.relaxed_madd(numberOf(product(a)), numberOf(b), numberOf(addend(c)));
      return common(h, rm, r, isOrdinary, otherwise);
    });
  const same = (r: Expr): Expr => r;
  return [
    variant("fmadd.d", same, same),
    variant("fmsub.d", same, negative),
    variant("fnmsub.d", negative, same),
    variant("fnmadd.d", negative, negative),
    fn("slow.fmadd.d", ternary, [I64], ({ h, a, b, c, rm }) => {
      const [p, s, t, error] = ["p", "s", "t", "error"].map((n) => local(F64, n)) as [Local, Local, Local, Local];
      const [x, y, z] = [numberOf(a), numberOf(b), numberOf(c)];
      return [
        set(p, f64.mul(x, y)),
        set(s, f64.add(p, z)),
        iff(every(isZero(p), some(isZero(x), isZero(y))), sum(h, p, z, i64.or(bitsOf(p), c), rm)),
        iff(f64.ge(f64.abs(p), PRODUCT_FLOOR), [
          // Boldo and Melquiond: xy + z = s + (error of s) + (error of p); the last two become one number, odd if inexact.
          ...sumError(t, p, z, s),
          ...productError(error, x, y, p, fused),
          // Programs that work with small numbers are exact for long, and NX stays clear.
          iff(every(f64.eq(t, f64.const(0)), f64.eq(error, f64.const(0)), f64.ne(s, f64.const(0))), [returns(s)]),
          set(t, call(F64, "fp.odd", t, error)),
          // A sum of 0 is a cancellation: negative when rounding down.
          ...sum(h, s, t, i64.const(-1), rm),
        ]),
        // Infinity times zero is invalid, whatever is added.
        iff(every(isNan(p), f64.eq(x, x), f64.eq(y, y)), raise(h, Flag.NV)),
        iff(some(isNan(x), isNan(y), isNan(z)), [raiseInvalid(h, double, a, b, c), returnNan(double)]),
        iff(every(isInfinite(s), some(isInfinite(x), isInfinite(y), isInfinite(z))), [returns(s)]),
        ...exactly(h, SoftFloatOp.fmadd, double, rm, a, b, c),
      ];
    }),
  ];
}

/** Addition to fused multiply-add; `fused`: the host's relaxed_madd rounds once. */
export const doubleFunctions = (fused: boolean): Func[] => [...add, ...mul, ...div, ...sqrt, ...fma(fused)];
