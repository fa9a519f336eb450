/**
 * Fast paths for f64, written in JavaScript exactly as the generated WebAssembly has to compute them: results in all
 * five rounding modes and the NX flag from round-to-nearest hardware arithmetic. docs/design/floating-point.md proves
 * each one. recipes.test.ts compares them with the exact unit. Nothing at run time imports this file.
 *
 * A number is an f64 value, a bigint an i64 value (wrapping), and the operators + - * / on numbers are the f64
 * instructions. A recipe that returns `undefined` has met a case outside its validity conditions: the generated code
 * then calls the exact unit. It never returns anything else that is wrong.
 */
import { Flag, RoundingMode } from "./rounding.ts";

/** A result and the exceptions that it raised. */
export interface Rounded {
  readonly value: number;
  readonly flags: number;
}

export const smallestNormal = 2 ** -1022;
const largest = Number.MAX_VALUE;

const view = new DataView(new ArrayBuffer(8));

/** i64.reinterpret_f64 */
export function toBits(value: number): bigint {
  view.setFloat64(0, value);
  return view.getBigInt64(0);
}

/** f64.reinterpret_i64 */
export function fromBits(bits: bigint): number {
  view.setBigInt64(0, BigInt.asIntN(64, bits));
  return view.getFloat64(0);
}

/** i64 wrap-around */
function i64(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

/** Biased exponent field: i32.wrap(i64.shr_u(bits, 52)) & 0x7ff. 0 for subnormals and zero. */
export function exponentField(bits: bigint): number {
  return Number(bits >> 52n) & 0x7ff;
}

/** Significand of a normal number with its hidden bit, an i64 in [2^52, 2^53). */
function significand(bits: bigint): bigint {
  return (bits & 0xf_ffff_ffff_ffffn) | 0x10_0000_0000_0000n;
}

// --- Sums -----------------------------------------------------------------------------------------------------------

/** Whether the finite `s` = RN(a + b) is a + b. Valid always: no condition on ranges. 2 subtractions, 2 comparisons. */
export function isExactSum(a: number, b: number, s: number): boolean {
  return s - a === b && s - b === a;
}

/** a + b - s, exactly, for a finite `s` = RN(a + b): Fast2Sum behind a selection by magnitude (f64.abs, select). */
function sumError(a: number, b: number, s: number): number {
  const aIsBig = Math.abs(a) >= Math.abs(b);
  const big = aIsBig ? a : b;
  const small = aIsBig ? b : a;
  return small - (s - big);
}

/**
 * a + b rounded to odd: when inexact, the neighbour with an odd last bit. Rounding the result again, in any mode and to
 * at least two bits less, is the same as rounding a + b.
 */
export function addToOdd(a: number, b: number): number {
  const s = a + b;
  const error = sumError(a, b, s);
  const bits = toBits(s);
  // An infinity or NaN has a NaN for its error, and stays as it is.
  if (!(error < 0 || error > 0) || (bits & 1n) === 1n) return s;
  return fromBits(error > 0 === s > 0 ? bits + 1n : bits - 1n);
}

/**
 * The zero that a + b = 0 gives in mode `rm`, `s` being the one to nearest: only two zeros or an exact cancellation give 0,
 * and rounding down makes it negative where one of the operands is.
 */
export function zeroSum(a: number, b: number, s: number, rm: number): number {
  return rm === RoundingMode.RDN && (toBits(a) | toBits(b)) < 0n ? -0 : s;
}

// --- From nearest to the other modes ------------------------------------------------------------------------------------

/**
 * The result in mode `rm` of an operation whose result to nearest is `r`, finite and not 0 unless exact. `growth` is the
 * sign of |exact| - |r|; `tie` tells that |exact| lies in the middle between |r| and the next larger magnitude.
 */
function inMode(r: number, growth: number, tie: boolean, rm: number): Rounded {
  if (growth === 0) return { value: r, flags: 0 };
  const bits = toBits(r);
  const negative = bits < 0n;
  let step = 0n;
  if (rm === RoundingMode.RTZ || rm === (negative ? RoundingMode.RUP : RoundingMode.RDN)) {
    if (growth < 0) step = -1n;
  } else if (rm !== RoundingMode.RNE && rm !== RoundingMode.RMM) {
    if (growth > 0) step = 1n;
  } else if (rm === RoundingMode.RMM && tie && growth > 0) {
    step = 1n;
  }
  return { value: fromBits(bits + step), flags: Flag.NX };
}

/**
 * The test for regions that run to nearest with NX already set: a product or quotient `r` that passes raises nothing else
 * and needs nothing more. `floor` is the smallest normal number of the format, 2^-1022 or 2^-126. (2^-1022 itself may be
 * the result of an underflow.) For sums |r| < Infinity is enough, for square roots a >= 0.
 */
export function isOrdinary(r: number, floor: number): boolean {
  return Math.abs(r) > floor && Math.abs(r) < Infinity;
}

// --- The operations -------------------------------------------------------------------------------------------------

/** a + b in every mode. Falls back when the sum is not below the largest number (overflow, infinities, NaN). */
export function add64(a: number, b: number, rm: number): Rounded | undefined {
  const s = a + b;
  if (!(Math.abs(s) < largest)) return undefined;
  if (s === 0) return { value: zeroSum(a, b, s, rm), flags: 0 };
  const error = sumError(a, b, s);
  const growth = s > 0 ? error : -error;
  const nextLarger = fromBits(toBits(s) + 1n);
  return inMode(s, growth, nextLarger - s === 2 * error, rm);
}

/**
 * (a * b - p) in units of the last place of the exact product, for p = RN(a * b) with a, b and p normal. The true value
 * is within 2^52, so the wrapping 64-bit arithmetic gives it exactly. The unit has the sign of p: positive means
 * |a * b| > |p|. `half` is half a unit in the last place of p.
 */
export function productResidual(a: number, b: number, p: number): { residual: bigint; half: bigint } {
  const [aBits, bBits, pBits] = [toBits(a), toBits(b), toBits(p)];
  const shift = BigInt(exponentField(pBits) - exponentField(aBits) - exponentField(bBits) + 1023 + 52);
  const residual = i64(significand(aBits) * significand(bBits) - (significand(pBits) << shift));
  return { residual, half: 1n << (shift - 1n) };
}

/** a * b in every mode. Falls back for subnormals (operands or results up to 2^-1022), overflow, infinities and NaN. */
export function mul64(a: number, b: number, rm: number): Rounded | undefined {
  const p = a * b;
  if (p === 0 && (a === 0 || b === 0)) return { value: p, flags: 0 };
  if (!(Math.abs(p) > smallestNormal && Math.abs(p) < largest)) return undefined;
  if (Math.abs(a) < smallestNormal || Math.abs(b) < smallestNormal) return undefined;
  const { residual, half } = productResidual(a, b, p);
  return inMode(p, Number(residual), residual === half, rm);
}

/**
 * Sufficient for an exact product (a, b and p normal), by counting trailing zeros: the odd parts of the significands have
 * 53 bits together. What it does not recognize may still be exact.
 */
export function isSurelyExactProduct(a: number, b: number): boolean {
  return trailingZeros(toBits(a)) + trailingZeros(toBits(b)) >= 53;
}

/** i64.ctz of the significand; 52 for a power of two. */
function trailingZeros(bits: bigint): number {
  const low = Number((bits | (1n << 52n)) & 0xffff_ffffn);
  if (low !== 0) return 31 - Math.clz32(low & -low);
  const high = Number(((bits | (1n << 52n)) >> 32n) & 0xffff_ffffn);
  return 63 - Math.clz32(high & -high);
}

/** The remainder a - q * b in units of the last place of q * b, for q = RN(a / b) with a, b and q normal; sign of a. */
function quotientResidual(a: number, b: number, q: number): bigint {
  const [aBits, bBits, qBits] = [toBits(a), toBits(b), toBits(q)];
  const shift = BigInt(exponentField(aBits) - exponentField(qBits) - exponentField(bBits) + 1023 + 52);
  return i64((significand(aBits) << shift) - significand(qBits) * significand(bBits));
}

/** a / b in every mode. Falls back for subnormals, overflow, infinities, NaN and division by zero. */
export function div64(a: number, b: number, rm: number): Rounded | undefined {
  const q = a / b;
  if (q === 0 && a === 0) return { value: q, flags: 0 };
  if (!(Math.abs(q) > smallestNormal && Math.abs(q) < largest)) return undefined;
  if (Math.abs(a) < smallestNormal || Math.abs(b) < smallestNormal) return undefined;
  return inMode(q, Number(quotientResidual(a, b, q)), false, rm);
}

/** The remainder a - r^2 in units of the last place of r^2, for r = RN(sqrt(a)) and a normal. */
function rootResidual(a: number, r: number): bigint {
  const [aBits, rBits] = [toBits(a), toBits(r)];
  const shift = BigInt(exponentField(aBits) - 2 * exponentField(rBits) + 1023 + 52);
  return i64((significand(aBits) << shift) - significand(rBits) * significand(rBits));
}

/** The square root in every mode. Falls back for negative and subnormal operands, infinity and NaN. */
export function sqrt64(a: number, rm: number): Rounded | undefined {
  const r = Math.sqrt(a);
  if (a === 0) return { value: r, flags: 0 };
  if (!(a >= smallestNormal && a < Infinity)) return undefined;
  return inMode(r, Number(rootResidual(a, r)), false, rm);
}

// --- Fused multiply-add without the hardware's ----------------------------------------------------------------------

/** The two halves of a, 26 bits each, by Veltkamp's splitting. NaN when it overflows, for |a| > 2^996. */
function split(a: number): [high: number, low: number] {
  const scaled = 134217729 * a; // 2^27 + 1
  const high = scaled - (scaled - a);
  return [high, a - high];
}

/** Products from here on have an exact error in f64. */
const productFloor = 2 ** -968;

/**
 * a * b - p, exactly, by Dekker's product, for p = RN(a * b) with |p| >= 2^-968. What overflows on the way makes the
 * result infinite or NaN.
 */
export function productError(a: number, b: number, p: number): number {
  const [aHigh, aLow] = split(a);
  const [bHigh, bLow] = split(b);
  return aLow * bLow - (p - aHigh * bHigh - aLow * bHigh - aHigh * bLow);
}

/**
 * a * b + c with one rounding, in every mode. Falls back for small products, near overflow, for infinities and NaN: any
 * infinity or NaN on the way reaches the last sum.
 */
export function fma64(a: number, b: number, c: number, rm: number): Rounded | undefined {
  const p = a * b;
  // A zero product is an ordinary addition.
  if (p === 0 && (a === 0 || b === 0)) return add64(p, c, rm);
  if (!(Math.abs(p) >= productFloor)) return undefined;
  const s = p + c;
  const rest = addToOdd(sumError(p, c, s), productError(a, b, p));
  // Exact cancellation: its sign is not that of the two parts.
  if (s + rest === 0) return { value: rm === RoundingMode.RDN ? -0 : 0, flags: 0 };
  return add64(s, rest, rm);
}

/**
 * Whether r, a fused a * b + c to nearest, is exact, where the host has a fused `madd` (a probed f64x2.relaxed_madd).
 * Unknown for small products and near overflow.
 */
export function isExactFma(
  a: number,
  b: number,
  c: number,
  r: number,
  madd: (a: number, b: number, c: number) => number,
): boolean | undefined {
  const p = a * b;
  const s = p + c;
  if (!(Math.abs(p) >= productFloor && Math.abs(s) < Infinity)) return undefined;
  const x = sumError(p, c, s);
  const y = madd(a, b, -p);
  return isExactSum(x, y, x + y) && isExactSum(s, x + y, r);
}
