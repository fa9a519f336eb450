/**
 * Double-precision operations inline, for the case that NX is set and the mode is nearest even: the host's arithmetic
 * and a range check. docs/design/floating-point.md has the conditions.
 */
import { type Expr, F64, f64, i32, type Local, local, type Stmt, set } from "../wasm/ir.ts";

export interface InlineFloat {
  readonly before: readonly Stmt[];
  readonly value: Expr;
  /** Whether the value is right and raises nothing (but NX). */
  readonly valid: Expr;
  /** True where rounding does not matter, nor whether NX is set. */
  readonly anyMode: boolean;
}

const finite = (r: Expr): Expr => f64.le(f64.abs(r), f64.const(Number.MAX_VALUE));
const normal = (r: Expr): Expr => i32.and(f64.gt(f64.abs(r), f64.const(2 ** -1022)), finite(r));

/** The operation of the engine's function `name` on registers, or undefined where it stays a call. */
export function inlineFloat(
  name: string,
  [a, b, c]: readonly (Local | undefined)[],
  fused: boolean,
): InlineFloat | undefined {
  const r = local(F64, "r");
  const rounded = (e: Expr, valid: (r: Expr) => Expr): InlineFloat => ({
    before: [set(r, e)],
    value: r,
    valid: valid(r),
    anyMode: false,
  });
  const compared = (e: Expr): InlineFloat => ({
    before: [],
    value: { k: "un", t: 0x7e, op: 0xad, a: e },
    valid: i32.and(f64.eq(a!, a!), f64.eq(b!, b!)),
    anyMode: true,
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
