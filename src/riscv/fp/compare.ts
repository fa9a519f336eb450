/**
 * Comparisons, minimum, maximum and classification: integer results or one of the operands, never rounded, and complete
 * here. The F chapter's "Single-Precision Floating-Point Compare Instructions" and "... Classify Instruction".
 */

import { unbox32 } from "../../isa/semantics.ts";
import {
  type Expr,
  F32,
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
import { Flag } from "../softfloat/index.ts";
import { double, type Format, half, isSignaling, raise, single, some } from "./parts.ts";

const binary = { h: I32, a: I64, b: I64, rm: I32 } as const;

/** How a format's registers compare: f16 as f64. */
interface Comparable {
  readonly format: Format;
  readonly type: typeof F32 | typeof F64;
  readonly ops: Pick<typeof f64, "eq" | "lt" | "le">;
  value(register: Expr): Expr;
}

const comparable: readonly Comparable[] = [
  { format: single, type: F32, ops: f32, value: (r) => f32.reinterpret(i32.wrap(unbox32(r))) },
  { format: double, type: F64, ops: f64, value: double.number },
  { format: half, type: F64, ops: f64, value: half.number },
];

const signals = (f: Format, a: Expr, b: Expr): Expr => some(isSignaling(f, f.bits(a)), isSignaling(f, f.bits(b)));

function comparisons({ format, type, ops, value }: Comparable): Func[] {
  const x = local(type, "x");
  const y = local(type, "y");
  const operands = (a: Local, b: Local): Stmt[] => [set(x, value(a)), set(y, value(b))];
  const less = ops.lt(x, y);
  const greater = ops.lt(y, x);
  const equal = ops.eq(x, y);

  /** `holds` or `fails` is true, or an operand is a NaN. */
  const compare = (name: string, holds: Expr, fails: Expr, quiet: boolean): Func =>
    fn(`${name}.${format.letter}`, binary, [I64], ({ h, a, b }) => {
      const result = local(I32, "result");
      return [
        ...operands(a, b),
        set(result, holds),
        iff(i32.or(result, fails), [ret(i64.extend_u(result), I64)]),
        quiet ? iff(signals(format, a, b), raise(h, Flag.NV)) : [...raise(h, Flag.NV)],
        ret(0, I64),
      ].flat();
    });

  const extreme = (name: string, first: Expr, ofEqual: (a: Local, b: Local) => Expr): Func =>
    fn(`${name}.${format.letter}`, binary, [I64], ({ h, a, b }) => [
      ...operands(a, b),
      // Registers that are not boxed hold a NaN: here both are boxed.
      iff(i32.or(less, greater), [ret(select(first, a, b), I64)]),
      // Equal operands differ at most in the sign of zero.
      iff(equal, [ret(ofEqual(a, b), I64)]),
      iff(signals(format, a, b), raise(h, Flag.NV)),
      iff(ops.eq(x, x), [ret(a, I64)]),
      iff(ops.eq(y, y), [ret(b, I64)]),
      ret(format.nan | format.box, I64),
    ]);

  return [
    compare("feq", equal, i32.or(less, greater), true),
    compare("flt", less, ops.le(y, x), false),
    compare("fle", ops.le(x, y), greater, false),
    extreme("fmin", less, i64.or),
    extreme("fmax", greater, i64.and),
  ];
}

/** fclass: one of ten bits, from 0 for -infinity to 7 for +infinity; 8 and 9 for NaNs. */
const classify = (f: Format): Func =>
  fn(`fclass.${f.letter}`, { h: I32, a: I64, rm: I32 }, [I64], ({ a }) => {
    const bits = local(I64, "bits");
    const magnitude = local(I64, "magnitude");
    const rank = local(I64, "rank");
    const atLeast = (limit: bigint): Expr => i64.extend_u(i64.ge_u(magnitude, limit));
    return [
      set(bits, f.bits(a)),
      set(magnitude, i64.and(bits, f.sign - 1n)),
      iff(i64.gt_u(magnitude, f.infinity), [
        ret(select(i64.lt_u(magnitude, f.nan), i64.const(1 << 8), i64.const(1 << 9)), I64),
      ]),
      // Zero, subnormal, normal, infinite.
      set(rank, i64.add(atLeast(1n), i64.add(atLeast(f.normal), atLeast(f.infinity)))),
      ret(i64.shl(1, select(i64.eqz(i64.and(bits, f.sign)), i64.add(rank, 4), i64.sub(3, rank))), I64),
    ];
  });

export const compareFunctions: readonly Func[] = [
  ...comparable.flatMap(comparisons),
  ...[single, double, half].map(classify),
];
