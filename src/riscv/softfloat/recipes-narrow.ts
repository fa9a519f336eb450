/**
 * Fast paths for f32 and f16, computed in f64, and for all conversions; see recipes.ts for the conventions and
 * docs/design/floating-point.md for the proofs. A value of f32 or f16 is the f64 of the same value
 * (f64.promote_f32; {@link widenHalf}).
 */
import { add64, addToOdd, exponentField, fromBits, type Rounded, toBits, zeroSum } from "./recipes.ts";
import { Flag, RoundingMode } from "./rounding.ts";

/** A format narrower than f64. */
export interface Narrow {
  readonly precision: number;
  readonly emin: number;
  /** The largest finite value. */
  readonly largest: number;
}

export const single: Narrow = { precision: 24, emin: -126, largest: 2 ** 128 - 2 ** 104 };
export const half: Narrow = { precision: 11, emin: -14, largest: 65504 };

/** 2^n for -1022 <= n <= 1023: f64.reinterpret_i64(i64.shl(n + 1023, 52)). */
function powerOfTwo(n: number): number {
  return fromBits(BigInt(n + 1023) << 52n);
}

/** f64.nearest, which JavaScript lacks. */
function nearest(x: number): number {
  if (!(Math.abs(x) < 2 ** 52)) return x;
  const magnitude = Math.abs(x) + 2 ** 52 - 2 ** 52;
  return toBits(x) < 0n ? -magnitude : magnitude;
}

/** x rounded to an integer in mode `rm`: f64.nearest, trunc, floor, ceil, and trunc with a correction for RMM. */
function roundToIntegral(x: number, rm: number): number {
  switch (rm) {
    case RoundingMode.RNE:
      return nearest(x);
    case RoundingMode.RTZ:
      return Math.trunc(x);
    case RoundingMode.RDN:
      return Math.floor(x);
    case RoundingMode.RUP:
      return Math.ceil(x);
    default: {
      const t = Math.trunc(x);
      return Math.abs(x - t) >= 0.5 ? t + (x < 0 ? -1 : 1) : t;
    }
  }
}

/**
 * Rounds v to the narrow format in mode `rm`, with all flags: scale the last place to 1, round to an integer, scale
 * back. v is exact, or rounded to odd, or a quotient or root of narrow operands to nearest. Falls back for infinities
 * and NaN; f32.demote_f64 or {@link narrowHalf} then makes the encoding, exactly.
 */
export function roundNarrow(v: number, { precision, emin, largest }: Narrow, rm: number): Rounded | undefined {
  if (!(Math.abs(v) < Infinity)) return undefined;
  const e = Math.max(exponentField(toBits(v)) - 1023, emin);
  const scaled = v * powerOfTwo(precision - 1 - e);
  const integral = roundToIntegral(scaled, rm);
  const value = integral * powerOfTwo(e - precision + 1);
  if (Math.abs(value) > largest) return overflow(v, largest, rm);
  if (integral === scaled) return { value, flags: 0 };
  const underflows = Math.abs(v) < powerOfTwo(emin) && isTiny(v, precision, emin, rm);
  return { value, flags: underflows ? Flag.NX | Flag.UF : Flag.NX };
}

function roundsOutwards(v: number, rm: number): boolean {
  return rm === (v < 0 ? RoundingMode.RDN : RoundingMode.RUP);
}

function overflow(v: number, largest: number, rm: number): Rounded {
  const toInfinity = rm === RoundingMode.RNE || rm === RoundingMode.RMM || roundsOutwards(v, rm);
  const magnitude = toInfinity ? Infinity : largest;
  return { value: v < 0 ? -magnitude : magnitude, flags: Flag.OF | Flag.NX };
}

/** Whether an inexact v below 2^emin stays below it when rounded with an unbounded exponent. */
function isTiny(v: number, precision: number, emin: number, rm: number): boolean {
  const magnitude = Math.abs(v);
  if (rm === RoundingMode.RNE || rm === RoundingMode.RMM) {
    return magnitude < powerOfTwo(emin) - powerOfTwo(emin - precision - 1);
  }
  if (roundsOutwards(v, rm)) return magnitude <= powerOfTwo(emin) - powerOfTwo(emin - precision);
  return true;
}

/** a + b; also a fused multiply-add, with the product for a: products of narrow numbers are exact in f64. */
export function addNarrow(a: number, b: number, format: Narrow, rm: number): Rounded | undefined {
  const v = addToOdd(a, b);
  if (v === 0) return { value: zeroSum(a, b, v, rm), flags: 0 };
  return roundNarrow(v, format, rm);
}

export function mulNarrow(a: number, b: number, format: Narrow, rm: number): Rounded | undefined {
  return roundNarrow(a * b, format, rm);
}

export function divNarrow(a: number, b: number, format: Narrow, rm: number): Rounded | undefined {
  return roundNarrow(a / b, format, rm);
}

export function sqrtNarrow(a: number, format: Narrow, rm: number): Rounded | undefined {
  return roundNarrow(Math.sqrt(a), format, rm);
}

/**
 * The cheapest f32 paths, to nearest only: NX of r = RN32(v), v as for {@link roundNarrow} and r finite, is
 * f64.promote_f32(r) != v. UF can only be where |v| < 2^-126, OF where r is infinite.
 */
export function isInexactSingle(v: number): boolean {
  return Math.fround(v) !== v;
}

// --- Integers -------------------------------------------------------------------------------------------------------

/** A 64-bit integer as the exact sum of two f64 numbers: f64.convert_i32_s or _u of the high half, _u of the low one. */
function halves(x: bigint, signed: boolean): [high: number, low: number] {
  const high = Number(signed ? BigInt.asIntN(32, x >> 32n) : BigInt.asUintN(32, x >> 32n));
  return [high * 2 ** 32, Number(BigInt.asUintN(32, x))];
}

/** fcvt.d.l and fcvt.d.lu; narrower integers are always exact. */
export function integerTo64(x: bigint, signed: boolean, rm: number): Rounded | undefined {
  const [high, low] = halves(x, signed);
  return add64(high, low, rm);
}

/** fcvt.s and fcvt.h of any integer; a 32-bit one is extended first. */
export function integerToNarrow(x: bigint, signed: boolean, format: Narrow, rm: number): Rounded | undefined {
  const [high, low] = halves(x, signed);
  return roundNarrow(addToOdd(high, low), format, rm);
}

/** Whether an integer, |x| < 2^64, has at most `precision` significant bits: i64.clz(|x|) + i64.ctz(|x|) >= 64 - precision. */
export function isExactInteger(magnitude: bigint, precision: number): boolean {
  const high = Number(magnitude >> 32n);
  const low = Number(magnitude & 0xffff_ffffn);
  const clz = high === 0 ? 32 + Math.clz32(low) : Math.clz32(high);
  const ctz = low === 0 ? 63 - Math.clz32(high & -high) : 31 - Math.clz32(low & -low);
  return magnitude === 0n || clz + ctz >= 64 - precision;
}

/**
 * fcvt to a 32-bit or 64-bit integer in every mode, all cases: saturation is that of i32/i64.trunc_sat_f64_s/u, except
 * for NaN.
 */
export function toInteger(x: number, width: 32 | 64, signed: boolean, rm: number): { value: bigint; flags: number } {
  const r = roundToIntegral(x, rm);
  const low = signed ? -(2 ** (width - 1)) : 0;
  const limit = 2 ** (signed ? width - 1 : width);
  const highest = (1n << BigInt(signed ? width - 1 : width)) - 1n;
  if (r >= low && r < limit) return { value: BigInt(r), flags: r === x ? 0 : Flag.NX };
  return { value: r < low ? BigInt(low) : highest, flags: Flag.NV };
}

// --- Half precision encodings ---------------------------------------------------------------------------------------

/** The f64 of a finite f16: an i32 to i64 shuffle of the fields, or a converted and scaled integer when subnormal. */
export function widenHalf(bits: number): number {
  const field = (bits >> 10) & 0x1f;
  const magnitude =
    field === 0 ? (bits & 0x3ff) * 2 ** -24 : fromBits(BigInt((bits & 0x7fff) + ((1023 - 15) << 10)) << 42n);
  return (bits & 0x8000) === 0 ? magnitude : -magnitude;
}

/** The encoding of a value that f16 represents, infinities too. */
export function narrowHalf(value: number): number {
  const bits = toBits(value);
  const sign = bits < 0n ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24); // i32.trunc_f64_u
  if (magnitude === Infinity) return sign | 0x7c00;
  return sign | ((Number(BigInt.asUintN(63, bits) >> 42n) - ((1023 - 15) << 10)) & 0x7fff);
}
