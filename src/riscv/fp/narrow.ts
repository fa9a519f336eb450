/**
 * Arithmetic of single and half precision, computed in f64 and rounded again: docs/design/floating-point.md, "f32 and f16
 * in f64". That settles every case, so the exact unit is not needed.
 *
 * Single precision has a small function in front, as double precision has (double.ts).
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
  set,
} from "../../wasm/ir.ts";
import { Flag, RoundingMode } from "../softfloat/index.ts";
import {
  areBoxed32,
  box32,
  every,
  type Format,
  half,
  isCommonMode,
  isInfinite,
  isNan,
  isZero,
  raise,
  raiseInvalid,
  returnNan,
  single,
  unboxed32,
} from "./parts.ts";
import { isOrdinary32 } from "./rounding.ts";

const unary = { h: I32, a: I64, rm: I32 } as const;
const binary = { h: I32, a: I64, b: I64, rm: I32 } as const;
const ternary = { h: I32, a: I64, b: I64, c: I64, rm: I32 } as const;

/** Returns v rounded, or the NaN that it is. */
const rounded = (h: Local, f: Format, v: Local, rm: Local, ...registers: readonly Expr[]): Stmt[] => [
  iff(f64.eq(v, v), [ret(call(I64, `fp.round.${f.letter}`, h, v, rm), I64)]),
  raiseInvalid(h, f, ...(registers as [Expr])),
  returnNan(f),
];

/** The register with its sign changed; what is not boxed stays so. */
const negative = (f: Format, register: Expr): Expr => i64.xor(register, f.sign);

/** `v` = x + y for rounding: odd if inexact, and the right zero. */
const sum = (v: Local, x: Local, y: Local, rm: Local): Stmt[] => [
  set(v, call(F64, "fp.odd", x, y)),
  iff(every(isZero(v), i32.eq(rm, RoundingMode.RDN)), [
    iff(i64.lt_s(i64.or(i64.reinterpret(x), i64.reinterpret(y)), 0), [set(v, f64.const(-0))]),
  ]),
];

/** The functions that hold in every case. `prefix` is "slow." where a small function is in front. */
function complete(f: Format, prefix: string): Func[] {
  const [x, y, v] = ["x", "y", "v"].map((n) => local(F64, n)) as [Local, Local, Local];
  const name = (operation: string): string => `${prefix}${operation}.${f.letter}`;
  const operands = (a: Expr, b: Expr): Stmt[] => [set(x, f.number(a)), set(y, f.number(b))];
  return [
    fn(name("fadd"), binary, [I64], ({ h, a, b, rm }) => [
      ...operands(a, b),
      ...sum(v, x, y, rm),
      ...rounded(h, f, v, rm, a, b),
    ]),
    fn(name("fmul"), binary, [I64], ({ h, a, b, rm }) => [
      ...operands(a, b),
      set(v, f64.mul(x, y)),
      ...rounded(h, f, v, rm, a, b),
    ]),
    fn(name("fdiv"), binary, [I64], ({ h, a, b, rm }) => [
      ...operands(a, b),
      set(v, f64.div(x, y)),
      iff(i32.gt_u(isInfinite(v), isInfinite(x)), raise(h, Flag.DZ)),
      ...rounded(h, f, v, rm, a, b),
    ]),
    fn(name("fsqrt"), unary, [I64], ({ h, a, rm }) => [set(v, f64.sqrt(f.number(a))), ...rounded(h, f, v, rm, a)]),
    fn(name("fmadd"), ternary, [I64], ({ h, a, b, c, rm }) => [
      ...operands(a, b),
      set(v, f64.mul(x, y)),
      // Infinity times zero is invalid, whatever is added.
      iff(every(isNan(v), f64.eq(x, x), f64.eq(y, y)), raise(h, Flag.NV)),
      // The product is exact, so that the sum is the only rounding.
      set(x, v),
      set(y, f.number(c)),
      ...sum(v, x, y, rm),
      ...rounded(h, f, v, rm, a, b, c),
    ]),
  ];
}

/** The fused instructions by the signs that they change: of the product, of the addend. */
const FUSED = [
  ["fmadd", false, false],
  ["fmsub", false, true],
  ["fnmsub", true, false],
  ["fnmadd", true, true],
] as const;

const halfFunctions: readonly Func[] = [
  ...complete(half, ""),
  fn("fsub.h", binary, [I64], ({ h, a, b, rm }) => [ret(call(I64, "fadd.h", h, a, negative(half, b), rm), I64)]),
  ...FUSED.slice(1).map(([name, product, addend]) =>
    fn(`${name}.h`, ternary, [I64], ({ h, a, b, c, rm }) => [
      ret(call(I64, "fmadd.h", h, product ? negative(half, a) : a, b, addend ? negative(half, c) : c, rm), I64),
    ]),
  ),
];

/** Returns the f32 result whose bits are `r`, if `holds` and nothing needs the function for any case. */
const common = (h: Local, rm: Local, r: Local, holds: Expr, ...registers: readonly Local[]): Stmt =>
  iff(every(areBoxed32(...registers), isCommonMode(h, rm), holds), [ret(box32(f32.reinterpret(r)), I64)]);

function commonSingle(name: string, compute: (x: Expr, y: Expr) => Expr, holds: (r: Expr) => Expr, slow: string): Func {
  return fn(name, binary, [I64], ({ h, a, b, rm }) => {
    const r = local(I32, "r");
    return [
      set(r, i32.reinterpret(compute(unboxed32(a), unboxed32(b)))),
      common(h, rm, r, holds(r), a, b),
      ret(call(I64, slow, h, a, name === "fsub.s" ? negative(single, b) : b, rm), I64),
    ];
  });
}

const isFinite32 = (bits: Expr): Expr => i32.lt_u(i32.shl(bits, 1), 0xff00_0000);

const singleFunctions: readonly Func[] = [
  ...complete(single, "slow."),
  commonSingle("fadd.s", f32.add, isFinite32, "slow.fadd.s"),
  commonSingle("fsub.s", f32.sub, isFinite32, "slow.fadd.s"),
  commonSingle("fmul.s", f32.mul, isOrdinary32, "slow.fmul.s"),
  commonSingle("fdiv.s", f32.div, isOrdinary32, "slow.fdiv.s"),
  fn("fsqrt.s", unary, [I64], ({ h, a, rm }) => [
    // Boxed, and from +0 to infinity.
    iff(every(isCommonMode(h, rm), i64.le_u(i64.sub(a, single.box), single.infinity)), [
      ret(box32(f32.sqrt(unboxed32(a))), I64),
    ]),
    ret(call(I64, "slow.fsqrt.s", h, a, rm), I64),
  ]),
  ...FUSED.map(([name, product, addend]) =>
    fn(`${name}.s`, ternary, [I64], ({ h, a, b, c, rm }) => {
      const v = local(F64, "v");
      const r = local(I32, "r");
      const [x, y, z] = [a, b, c].map((register) => f64.promote(unboxed32(register))) as [Expr, Expr, Expr];
      const p = f64.mul(x, y);
      // The sum was rounded once before: that matters only in the middle between two f32.
      const middle = i32.eq(i32.and(i32.wrap(i64.reinterpret(v)), 0x1fff_ffff), 0x1000_0000);
      return [
        set(v, f64.add(product ? f64.neg(p) : p, addend ? f64.neg(z) : z)),
        set(r, i32.reinterpret(f32.demote(v))),
        common(h, rm, r, i32.gt_u(isOrdinary32(r), middle), a, b, c),
        ret(
          call(I64, "slow.fmadd.s", h, product ? negative(single, a) : a, b, addend ? negative(single, c) : c, rm),
          I64,
        ),
      ];
    }),
  ),
];

/** Addition to fused multiply-add. */
export const narrowFunctions: readonly Func[] = [...singleFunctions, ...halfFunctions];
