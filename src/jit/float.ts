/**
 * Double-precision operations inline, for the case that NX is set and the mode is nearest even: the host's arithmetic
 * and a range check. docs/design/floating-point.md has the conditions.
 */
import { type Expr, F64, f64, i32, i64, type Local, local, type Stmt, set } from "../wasm/ir.ts";

export interface InlineFloat {
  readonly before: readonly Stmt[];
  readonly value: Expr;
  /** Whether the value is right and raises nothing (but NX). */
  readonly valid: Expr;
}

/** What says that the case is easy: the least exponent that no result may have. */
export const EASY = 0x7ff;

/** The exponent's field, looked at as a number: two comparisons of doubles would take twice as long. */
const exponent = (r: Expr): Expr => i32.wrap(i64.shr_u(i64.reinterpret(r), 52));
const finite = (r: Expr, easy: Expr): Expr => i32.lt_u(i32.and(exponent(r), EASY), easy);
/** Not the smallest normal numbers: what is just below them may round to one, with underflow. */
const normal = (r: Expr, easy: Expr): Expr => {
  const above = i32.and(i32.sub(exponent(r), 2), EASY);
  return easy.k === "const" ? i32.lt_u(above, EASY - 2) : i32.lt_u(i32.add(above, 2), easy);
};

/**
 * The operation of the engine's function `name` on registers, or undefined where it stays a call.
 * @param easy EASY where NX is set and the mode is nearest even, else 0
 */
export function inlineFloat(
  name: string,
  [a, b, c]: readonly (Local | undefined)[],
  fused: boolean,
  easy: Expr,
): InlineFloat | undefined {
  const r = local(F64, "r");
  const rounded = (e: Expr, valid: (r: Expr, easy: Expr) => Expr): InlineFloat => ({
    before: [set(r, e)],
    value: r,
    valid: valid(r, easy),
  });
  // Rounding does not matter here, nor whether NX is set.
  const compared = (e: Expr): InlineFloat => ({
    before: [],
    value: { k: "un", t: 0x7e, op: 0xad, a: e },
    valid: i32.and(f64.eq(a!, a!), f64.eq(b!, b!)),
  });
  switch (name) {
    case "fadd.d":
      return rounded(f64.add(a!, b!), finite);
    case "fsub.d":
      return rounded(f64.sub(a!, b!), finite);
    case "fmul.d":
      return rounded(f64.mul(a!, b!), normal);
    case "fdiv.d":
      return rounded(f64.div(a!, b!), normal);
    case "fsqrt.d":
      return rounded(f64.sqrt(a!), normal);
    case "fmadd.d":
      return fused ? rounded(f64.relaxed_madd(a!, b!, c!), normal) : undefined;
    case "fmsub.d":
      return fused ? rounded(f64.relaxed_madd(a!, b!, f64.neg(c!)), normal) : undefined;
    case "fnmsub.d":
      return fused ? rounded(f64.relaxed_madd(f64.neg(a!), b!, c!), normal) : undefined;
    case "fnmadd.d":
      return fused ? rounded(f64.relaxed_madd(f64.neg(a!), b!, f64.neg(c!)), normal) : undefined;
    case "feq.d":
      return compared(f64.eq(a!, b!));
    case "flt.d":
      return compared(f64.lt(a!, b!));
    case "fle.d":
      return compared(f64.le(a!, b!));
    default:
      return undefined;
  }
}
