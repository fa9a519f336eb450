/**
 * Conversions between formats and to and from integers (IEEE 754-2019 sections 5.4 and 5.8; the results for what does
 * not fit are the RISC-V F chapter's table "Domains of float-to-integer conversions").
 */
import type { FloatFormat } from "./format.ts";
import { Flag, type FloatContext, roundPack, roundShift } from "./rounding.ts";
import { isNan, takesNan, unpack } from "./unpack.ts";

/** The bits of `from`'s value in format `to`. A NaN becomes the canonical one. */
export function convertFormat(
  context: FloatContext,
  from: FloatFormat,
  to: FloatFormat,
  bits: bigint,
  rm: number,
): bigint {
  const x = unpack(from, bits);
  if (takesNan(context, x)) return to.canonicalNan;
  const sign = x.negative ? to.signBit : 0n;
  if (x.kind === "infinite") return sign | to.infinity;
  if (x.magnitude === 0n) return sign;
  return roundPack(context, to, rm, x.negative, x.magnitude, x.exponent);
}

/** An integer of up to 64 bits, given as its value, rounded to `format`. */
export function fromInteger(context: FloatContext, format: FloatFormat, value: bigint, rm: number): bigint {
  if (value === 0n) return 0n;
  return roundPack(context, format, rm, value < 0n, value < 0n ? -value : value, 0);
}

/**
 * The integer of `width` bits (32 or 64) nearest by `rm`, as its value. What does not fit raises NV alone and gives the
 * nearest end of the range; NaN gives the upper end.
 */
export function toInteger(
  context: FloatContext,
  format: FloatFormat,
  bits: bigint,
  width: number,
  signed: boolean,
  rm: number,
): bigint {
  const lowest = signed ? -(1n << BigInt(width - 1)) : 0n;
  const highest = (1n << BigInt(signed ? width - 1 : width)) - 1n;
  const x = unpack(format, bits);
  if (x.kind !== "finite") {
    context.flags |= Flag.NV;
    return x.negative && !isNan(x) ? lowest : highest;
  }
  const rounded = roundShift(x.magnitude, -x.exponent, x.negative, rm);
  const value = x.negative ? -rounded : rounded;
  if (value < lowest || value > highest) {
    context.flags |= Flag.NV;
    return value < lowest ? lowest : highest;
  }
  if (x.exponent < 0 && rounded << BigInt(-x.exponent) !== x.magnitude) context.flags |= Flag.NX;
  return value;
}
