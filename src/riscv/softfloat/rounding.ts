/**
 * Rounding and packing: the last step of every operation that yields a floating-point number. It takes the exact value
 * as an integer times a power of two, so that there is one rounding and one place that raises OF, UF and NX
 * (IEEE 754-2019 sections 4.3 and 7.4 to 7.6; tininess is detected after rounding, as the RISC-V F chapter requires).
 */
import type { FloatFormat } from "./format.ts";

/** Values of the `rm` field and of `frm`. */
export const RoundingMode = {
  /** To nearest, ties to even. */
  RNE: 0,
  /** Towards zero. */
  RTZ: 1,
  /** Down, towards minus infinity. */
  RDN: 2,
  /** Up, towards plus infinity. */
  RUP: 3,
  /** To nearest, ties to the larger magnitude. */
  RMM: 4,
} as const;

/** Bits of `fflags`. */
export const Flag = {
  NX: 1,
  UF: 2,
  OF: 4,
  DZ: 8,
  NV: 16,
} as const;

/** Where operations leave their exceptions: `flags` only ever gains bits of {@link Flag}; the owner clears it. */
export interface FloatContext {
  flags: number;
}

/** Number of bits of a positive integer below 2^1023. */
export function bitLength(value: bigint): number {
  // The logarithm of the nearest double is at most one off.
  const guess = Math.floor(Math.log2(Number(value)));
  const top = value >> BigInt(guess);
  return top === 0n ? guess : top === 1n ? guess + 1 : guess + 2;
}

/**
 * `magnitude` / 2^`shift`, rounded to an integer. `negative` is the sign of the number whose magnitude this is: the
 * directed modes depend on it.
 */
export function roundShift(magnitude: bigint, shift: number, negative: boolean, rm: number): bigint {
  if (shift <= 0) return magnitude << BigInt(-shift);
  const kept = magnitude >> BigInt(shift);
  const rest = magnitude - (kept << BigInt(shift));
  if (rest === 0n) return kept;
  return roundsAway(kept, rest, shift, negative, rm) ? kept + 1n : kept;
}

/** Whether `kept` with a discarded part `rest` / 2^`shift`, which is not 0, goes to the next larger magnitude. */
function roundsAway(kept: bigint, rest: bigint, shift: number, negative: boolean, rm: number): boolean {
  switch (rm) {
    case RoundingMode.RTZ:
      return false;
    case RoundingMode.RDN:
      return negative;
    case RoundingMode.RUP:
      return !negative;
    default: {
      const half = 1n << BigInt(shift - 1);
      if (rest !== half) return rest > half;
      return rm === RoundingMode.RMM || (kept & 1n) === 1n;
    }
  }
}

/**
 * Rounds the exact value (-1)^`negative` * `magnitude` * 2^`exponent` to `format` and returns its bits. `magnitude` is
 * not 0. A value that is not known to its end may be given by its leading precision + 2 bits or more and a lowest bit
 * that is 1 for all that follows.
 */
export function roundPack(
  context: FloatContext,
  format: FloatFormat,
  rm: number,
  negative: boolean,
  magnitude: bigint,
  exponent: number,
): bigint {
  const { emin, precision } = format;
  // |value| is in [2^e, 2^(e+1)); the result is a multiple of 2^quantum.
  const e = exponent + bitLength(magnitude) - 1;
  const quantum = Math.max(e, emin) - precision + 1;
  const shift = quantum - exponent;
  const kept = roundShift(magnitude, shift, negative, rm);
  if (shift > 0 && kept << BigInt(shift) !== magnitude) {
    context.flags |= Flag.NX;
    // With an unbounded exponent, a value just below 2^emin is rounded one bit further down and may still reach 2^emin.
    if (e < emin - 1 || (e === emin - 1 && roundShift(magnitude, shift - 1, negative, rm) < format.significandLimit)) {
      context.flags |= Flag.UF;
    }
  }
  // The hidden bit of `kept` (none in a subnormal number), and a carry out of it, count the exponent field up.
  const bits = (BigInt(quantum + precision - 1 - emin) << format.fractionBits) + kept;
  const sign = negative ? format.signBit : 0n;
  if (bits < format.infinity) return sign | bits;
  context.flags |= Flag.OF | Flag.NX;
  const toInfinity =
    rm === RoundingMode.RNE || rm === RoundingMode.RMM || rm === (negative ? RoundingMode.RDN : RoundingMode.RUP);
  return sign | (toInfinity ? format.infinity : format.infinity - 1n);
}
