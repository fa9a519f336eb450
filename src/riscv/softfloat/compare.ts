/**
 * Comparisons, minimum, maximum and classification (IEEE 754-2019 sections 5.11 and 9.6, RISC-V F chapter
 * "Single-Precision Floating-Point Compare Instructions" and "... Classify Instruction"). Nothing here rounds.
 */
import type { FloatFormat } from "./format.ts";
import { Flag, type FloatContext } from "./rounding.ts";
import { isNan, takesNan, unpack } from "./unpack.ts";

/** A number that orders like the value: the encoding is sign and magnitude. Both zeros give 0. */
function orderKey(format: FloatFormat, bits: bigint): bigint {
  return (bits & format.signBit) === 0n ? bits : format.signBit - bits;
}

/** a == b; quiet: only a signaling NaN raises NV. */
export function feq(context: FloatContext, format: FloatFormat, a: bigint, b: bigint): boolean {
  if (takesNan(context, unpack(format, a), unpack(format, b))) return false;
  return orderKey(format, a) === orderKey(format, b);
}

/** Whether a or b is a NaN, which a signaling comparison answers with NV. */
function unordered(context: FloatContext, format: FloatFormat, a: bigint, b: bigint): boolean {
  if (!takesNan(context, unpack(format, a), unpack(format, b))) return false;
  context.flags |= Flag.NV;
  return true;
}

/** a < b; any NaN raises NV. */
export function flt(context: FloatContext, format: FloatFormat, a: bigint, b: bigint): boolean {
  return !unordered(context, format, a, b) && orderKey(format, a) < orderKey(format, b);
}

/** a <= b; any NaN raises NV. */
export function fle(context: FloatContext, format: FloatFormat, a: bigint, b: bigint): boolean {
  return !unordered(context, format, a, b) && orderKey(format, a) <= orderKey(format, b);
}

/**
 * fmin (`larger` false) and fmax (`larger` true): minimumNumber and maximumNumber of IEEE 754-2019, as the F extension
 * has them since version 2.2. One NaN gives the other operand; -0 is below +0.
 */
export function minMax(context: FloatContext, format: FloatFormat, a: bigint, b: bigint, larger: boolean): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  if (takesNan(context, x, y)) {
    if (!isNan(x)) return a;
    return isNan(y) ? format.canonicalNan : b;
  }
  const difference = orderKey(format, a) - orderKey(format, b);
  const aIsLess = difference < 0n || (difference === 0n && x.negative);
  return aIsLess === larger ? b : a;
}

/** The mask of fclass: one bit of ten, from bit 0 for -infinity to bit 9 for a quiet NaN. */
export function classify(format: FloatFormat, bits: bigint): number {
  const x = unpack(format, bits);
  if (x.kind === "signaling") return 1 << 8;
  if (x.kind === "quiet") return 1 << 9;
  // The classes of numbers are symmetric about the two zeros, 3 and 4.
  let distance = 3;
  if (x.kind === "finite") distance = x.magnitude === 0n ? 0 : x.magnitude < format.hiddenBit ? 1 : 2;
  return 1 << (x.negative ? 3 - distance : 4 + distance);
}
