/**
 * Conversions between formats and to and from integers: docs/design/floating-point.md, "Integers". Complete here: the
 * exact unit is not needed.
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
import {
  box32,
  double,
  every,
  type Format,
  half,
  isCommonMode,
  raise,
  raiseInexact,
  raiseInvalid,
  returnNan,
  single,
} from "./parts.ts";
import { isOrdinary32 } from "./rounding.ts";

const unary = { h: I32, a: I64, rm: I32 } as const;

/** An integer type of the conversions, by its letters in instruction names. */
interface Integer {
  readonly name: "w" | "wu" | "l" | "lu";
  readonly signed: boolean;
  readonly lowest: bigint;
  readonly highest: bigint;
  /** The 64-bit integer that an x register holds. */
  extend(register: Expr): Expr;
}

const integers: readonly Integer[] = [
  { name: "w", signed: true, lowest: -(1n << 31n), highest: (1n << 31n) - 1n, extend: i64.extend32_s },
  { name: "wu", signed: false, lowest: 0n, highest: (1n << 32n) - 1n, extend: (r) => i64.and(r, 0xffff_ffff) },
  { name: "l", signed: true, lowest: -(1n << 63n), highest: (1n << 63n) - 1n, extend: (r) => r },
  { name: "lu", signed: false, lowest: 0n, highest: (1n << 64n) - 1n, extend: (r) => r },
];

/** Float to integer. What does not fit raises NV alone and gives the nearest end of the range; NaN the upper end. */
const toInteger = (f: Format, { name, lowest, highest }: Integer): Func =>
  fn(`fcvt.${name}.${f.letter}`, unary, [I64], ({ h, a, rm }) => {
    const x = local(F64, "x");
    const t = local(F64, "t");
    const below = f64.const(Number(highest + 1n));
    const converted = name === "lu" ? i64.trunc_sat_f64_u(t) : i64.trunc_sat_f64_s(t);
    // 32-bit results are sign-extended, unsigned ones too.
    const ofUpperEnd = name === "wu" || name === "lu" ? -1n : highest;
    return [
      set(x, f.number(a)),
      iff(i32.eq(rm, RoundingMode.RTZ), [set(t, f64.trunc(x))], [set(t, call(F64, "fp.integral", x, rm))]),
      iff(every(f64.ge(t, f64.const(Number(lowest))), f64.lt(t, below)), [
        raiseInexact(h, f64.ne(t, x)),
        ret(name === "wu" ? i64.extend32_s(converted) : converted, I64),
      ]),
      ...raise(h, Flag.NV),
      ret(select(f64.lt(t, f64.const(0)), i64.const(lowest), i64.const(ofUpperEnd)), I64),
    ];
  });

/** The numbers of an integer's halves: their sum is the integer. */
const highHalf = (v: Expr, signed: boolean): Expr => {
  const high = i32.wrap(i64.shr_u(v, 32));
  return f64.mul(signed ? f64.convert_i32_s(high) : f64.convert_i32_u(high), f64.const(2 ** 32));
};
const lowHalf = (v: Expr): Expr => f64.convert_i32_u(i32.wrap(v));

/** Whether a 64-bit integer is certainly an f64: its magnitude is 2^53 at most. */
const isSmall = (v: Expr, signed: boolean): Expr =>
  signed ? i64.le_u(i64.add(v, 1n << 53n), 1n << 54n) : i64.le_u(v, 1n << 53n);

const toDouble = ({ name, signed, extend }: Integer): Func[] => {
  const instruction = `fcvt.d.${name}`;
  if (name === "w" || name === "wu") {
    return [fn(instruction, unary, [I64], ({ a }) => [ret(double.register(f64.convert_i64_s(extend(a))), I64)])];
  }
  const slow = `slow.${instruction}`;
  return [
    fn(instruction, unary, [I64], ({ h, a, rm }) => [
      iff(isSmall(a, signed), [ret(double.register(f64.convert_i64_s(a)), I64)]),
      ret(call(I64, slow, h, a, rm), I64),
    ]),
    // The sum of the halves, an f64 addition.
    fn(slow, unary, [I64], ({ h, a, rm }) => [
      ret(call(I64, "fadd.d", h, double.register(highHalf(a, signed)), double.register(lowHalf(a)), rm), I64),
    ]),
  ];
};

const toSingle = ({ name, signed, extend }: Integer): Func[] => {
  const instruction = `fcvt.s.${name}`;
  const slow = `slow.${instruction}`;
  const wide = name === "l" || name === "lu";
  return [
    fn(instruction, unary, [I64], ({ h, a, rm }) => {
      const x = local(F64, "x");
      const r = f32.demote(x);
      const otherwise = wide ? call(I64, slow, h, a, rm) : call(I64, "fp.round.s", h, x, rm);
      const small = wide ? isSmall(a, signed) : i32.const(1);
      return [
        set(x, f64.convert_i64_s(extend(a))),
        iff(every(small, i32.or(isCommonMode(h, rm), f64.eq(f64.promote(r), x))), [ret(box32(r), I64)]),
        ret(otherwise, I64),
      ];
    }),
    ...(wide ? [fn(slow, unary, [I64], ({ h, a, rm }) => roundedHalves("s", signed, h, a, rm))] : []),
  ];
};

const roundedHalves = (letter: string, signed: boolean, h: Local, v: Expr, rm: Local): Stmt[] => [
  ret(call(I64, `fp.round.${letter}`, h, call(F64, "fp.odd", highHalf(v, signed), lowHalf(v)), rm), I64),
];

const toHalf = ({ name, signed, extend }: Integer): Func =>
  fn(`fcvt.h.${name}`, unary, [I64], ({ h, a, rm }) => roundedHalves("h", signed, h, extend(a), rm));

/** To a format that has every value of the other. */
const widen = (to: Format, from: Format): Func =>
  fn(`fcvt.${to.letter}.${from.letter}`, unary, [I64], ({ h, a }) => {
    const x = local(F64, "x");
    return [
      set(x, from.number(a)),
      iff(f64.eq(x, x), [ret(to.register(x), I64)]),
      raiseInvalid(h, from, a),
      returnNan(to),
    ];
  });

/** To a narrower format. */
const narrow = (to: Format, from: Format, name = `fcvt.${to.letter}.${from.letter}`): Func =>
  fn(name, unary, [I64], ({ h, a, rm }) => {
    const x = local(F64, "x");
    return [
      set(x, from.number(a)),
      iff(f64.eq(x, x), [ret(call(I64, `fp.round.${to.letter}`, h, x, rm), I64)]),
      raiseInvalid(h, from, a),
      returnNan(to),
    ];
  });

const doubleToSingle = fn("fcvt.s.d", unary, [I64], ({ h, a, rm }) => {
  const r = local(I32, "r");
  return [
    set(r, i32.reinterpret(f32.demote(double.number(a)))),
    iff(every(isCommonMode(h, rm), isOrdinary32(r)), [ret(box32(f32.reinterpret(r)), I64)]),
    ret(call(I64, "slow.fcvt.s.d", h, a, rm), I64),
  ];
});

export const convertFunctions: readonly Func[] = [
  ...[single, double, half].flatMap((f) => integers.map((i) => toInteger(f, i))),
  ...integers.flatMap((i) => [...toDouble(i), ...toSingle(i), toHalf(i)]),
  widen(double, single),
  widen(double, half),
  widen(single, half),
  doubleToSingle,
  narrow(single, double, "slow.fcvt.s.d"),
  narrow(half, single),
  narrow(half, double),
];
