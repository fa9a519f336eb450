/**
 * The exact floating-point unit of a hart: the routine behind every F, D and Zfh instruction that the fast paths of the
 * generated code do not take. docs/design/floating-point.md tells which those are.
 */
import { add, div, fusedMultiplyAdd, mul, sqrt, sub } from "./arithmetic.ts";
import { classify, feq, fle, flt, minMax } from "./compare.ts";
import { convertFormat, fromInteger, toInteger } from "./convert.ts";
import { f16, f32, f64, formatByFmt, nanBox, nanUnbox } from "./format.ts";
import type { FloatContext } from "./rounding.ts";

export { Flag, RoundingMode } from "./rounding.ts";

/**
 * Operation numbers of {@link SoftFloat.softfloat}. Those with a letter of an instruction's suffix are conversions: `toS`
 * is fcvt.s.`fmt`, `toWu` is fcvt.wu.`fmt`, `fromL` is fcvt.`fmt`.l.
 */
export const SoftFloatOp = {
  add: 0,
  sub: 1,
  mul: 2,
  div: 3,
  sqrt: 4,
  fmadd: 5,
  fmsub: 6,
  fnmsub: 7,
  fnmadd: 8,
  min: 9,
  max: 10,
  feq: 11,
  flt: 12,
  fle: 13,
  classify: 14,
  toS: 15,
  toD: 16,
  toH: 17,
  toW: 18,
  toWu: 19,
  toL: 20,
  toLu: 21,
  fromW: 22,
  fromWu: 23,
  fromL: 24,
  fromLu: 25,
} as const;

/**
 * One hart's exact floating-point unit.
 *
 * @example
 * const unit = new SoftFloat();
 * unit.softfloat(SoftFloatOp.div, 1, 0x3ff0000000000000n, 0n, 0n, 0); // 1.0 / 0.0: 0x7ff0000000000000n
 * unit.flags; // 8, DZ
 */
export class SoftFloat implements FloatContext {
  /** Exceptions since the owner last set this to 0: NV 16, DZ 8, OF 4, UF 2, NX 1. */
  flags = 0;

  /**
   * Executes one instruction. It is a bound function, so that it can be a WebAssembly import as it is.
   *
   * @param op number from {@link SoftFloatOp}
   * @param fmt the instruction's format: 0 S, 1 D, 2 H; of a conversion between formats, the source's
   * @param a first operand: the 64-bit f register, NaN-boxed when `fmt` is narrower, or the x register of a conversion
   *   from an integer; signed and unsigned bigints mean the same. `b` and `c` are ignored where the instruction has none
   * @param rm rounding mode 0 to 4 (the caller has resolved the dynamic mode and trapped on a reserved one); ignored by
   *   min, max, comparisons and classify
   * @returns the 64-bit destination register as an unsigned bigint: an f register with its value NaN-boxed, or an x
   *   register, a 32-bit integer sign-extended
   * @throws RangeError for an unknown `op`, `fmt` or `rm`: a mistake of the caller, never of the guest
   */
  readonly softfloat = (op: number, fmt: number, a: bigint, b: bigint, c: bigint, rm: number): bigint => {
    const format = formatByFmt[fmt];
    if (format === undefined) throw new RangeError(`soft-float format ${fmt}: expected 0 (S), 1 (D) or 2 (H)`);
    if (!(rm >= 0 && rm <= 4)) throw new RangeError(`soft-float rounding mode ${rm}: expected 0 to 4`);
    switch (op) {
      case SoftFloatOp.fromW:
        return nanBox(format, fromInteger(this, format, BigInt.asIntN(32, a), rm));
      case SoftFloatOp.fromWu:
        return nanBox(format, fromInteger(this, format, BigInt.asUintN(32, a), rm));
      case SoftFloatOp.fromL:
        return nanBox(format, fromInteger(this, format, BigInt.asIntN(64, a), rm));
      case SoftFloatOp.fromLu:
        return nanBox(format, fromInteger(this, format, BigInt.asUintN(64, a), rm));
    }
    const x = nanUnbox(format, a);
    switch (op) {
      case SoftFloatOp.sqrt:
        return nanBox(format, sqrt(this, format, x, rm));
      case SoftFloatOp.classify:
        return BigInt(classify(format, x));
      case SoftFloatOp.toS:
        return nanBox(f32, convertFormat(this, format, f32, x, rm));
      case SoftFloatOp.toD:
        return convertFormat(this, format, f64, x, rm);
      case SoftFloatOp.toH:
        return nanBox(f16, convertFormat(this, format, f16, x, rm));
      case SoftFloatOp.toW:
        return register(toInteger(this, format, x, 32, true, rm));
      case SoftFloatOp.toWu:
        return register(BigInt.asIntN(32, toInteger(this, format, x, 32, false, rm)));
      case SoftFloatOp.toL:
        return register(toInteger(this, format, x, 64, true, rm));
      case SoftFloatOp.toLu:
        return toInteger(this, format, x, 64, false, rm);
    }
    const y = nanUnbox(format, b);
    switch (op) {
      case SoftFloatOp.add:
        return nanBox(format, add(this, format, x, y, rm));
      case SoftFloatOp.sub:
        return nanBox(format, sub(this, format, x, y, rm));
      case SoftFloatOp.mul:
        return nanBox(format, mul(this, format, x, y, rm));
      case SoftFloatOp.div:
        return nanBox(format, div(this, format, x, y, rm));
      case SoftFloatOp.min:
        return nanBox(format, minMax(this, format, x, y, false));
      case SoftFloatOp.max:
        return nanBox(format, minMax(this, format, x, y, true));
      case SoftFloatOp.feq:
        return feq(this, format, x, y) ? 1n : 0n;
      case SoftFloatOp.flt:
        return flt(this, format, x, y) ? 1n : 0n;
      case SoftFloatOp.fle:
        return fle(this, format, x, y) ? 1n : 0n;
    }
    const z = nanUnbox(format, c);
    switch (op) {
      case SoftFloatOp.fmadd:
        return nanBox(format, fusedMultiplyAdd(this, format, x, y, z, rm, false, false));
      case SoftFloatOp.fmsub:
        return nanBox(format, fusedMultiplyAdd(this, format, x, y, z, rm, false, true));
      case SoftFloatOp.fnmsub:
        return nanBox(format, fusedMultiplyAdd(this, format, x, y, z, rm, true, false));
      case SoftFloatOp.fnmadd:
        return nanBox(format, fusedMultiplyAdd(this, format, x, y, z, rm, true, true));
    }
    throw new RangeError(`soft-float operation ${op} does not exist`);
  };
}

function register(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
