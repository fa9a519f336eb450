/**
 * Addition, multiplication, division, square root and fused multiply-add (IEEE 754-2019 section 5.4.1, RISC-V F chapter
 * "Single-Precision Floating-Point Computational Instructions"). Operands and results are bits of `format`, unboxed;
 * `rm` is 0 to 4; exceptions go to `context`.
 */
import type { FloatFormat } from "./format.ts";
import { bitLength, Flag, type FloatContext, RoundingMode, roundPack } from "./rounding.ts";
import { type Finite, invalid, takesNan, type Unpacked, unpack } from "./unpack.ts";

function infinity(format: FloatFormat, negative: boolean): bigint {
  return negative ? format.signBit | format.infinity : format.infinity;
}

function zero(format: FloatFormat, negative: boolean): bigint {
  return negative ? format.signBit : 0n;
}

/** x + y with one rounding. The magnitudes may be wider than the format's. */
function roundSum(context: FloatContext, format: FloatFormat, rm: number, x: Finite, y: Finite): bigint {
  if (x.magnitude === 0n && y.magnitude === 0n) {
    return zero(format, x.negative === y.negative ? x.negative : rm === RoundingMode.RDN);
  }
  if (x.magnitude === 0n) return roundPack(context, format, rm, y.negative, y.magnitude, y.exponent);
  if (y.magnitude === 0n) return roundPack(context, format, rm, x.negative, x.magnitude, x.exponent);
  const xTop = x.exponent + bitLength(x.magnitude);
  const yTop = y.exponent + bitLength(y.magnitude);
  const big = xTop >= yTop ? x : y;
  let small = xTop >= yTop ? y : x;
  // `big` and every number at which the rounding of the sum can change are multiples of 2^floor. A smaller term below
  // 2^floor therefore only counts by its sign, and stands for any other: this bounds the alignment.
  const floor = Math.min(big.exponent, Math.max(xTop, yTop) - format.precision - 3);
  if (Math.min(xTop, yTop) <= floor) small = { negative: small.negative, magnitude: 1n, exponent: floor - 1 };
  const exponent = Math.min(big.exponent, small.exponent);
  const sum = aligned(big, exponent) + aligned(small, exponent);
  if (sum === 0n) return zero(format, rm === RoundingMode.RDN);
  return roundPack(context, format, rm, sum < 0n, sum < 0n ? -sum : sum, exponent);
}

/** x as a signed multiple of 2^exponent, which is not above x's own. */
function aligned(x: Finite, exponent: number): bigint {
  const shifted = x.magnitude << BigInt(x.exponent - exponent);
  return x.negative ? -shifted : shifted;
}

function sum(context: FloatContext, format: FloatFormat, rm: number, x: Unpacked, y: Unpacked): bigint {
  if (takesNan(context, x, y)) return format.canonicalNan;
  if (x.kind === "infinite") {
    if (y.kind === "infinite" && x.negative !== y.negative) return invalid(context, format);
    return infinity(format, x.negative);
  }
  if (y.kind === "infinite") return infinity(format, y.negative);
  return roundSum(context, format, rm, x, y);
}

export function add(context: FloatContext, format: FloatFormat, a: bigint, b: bigint, rm: number): bigint {
  return sum(context, format, rm, unpack(format, a), unpack(format, b));
}

export function sub(context: FloatContext, format: FloatFormat, a: bigint, b: bigint, rm: number): bigint {
  return sum(context, format, rm, unpack(format, a), unpack(format, b ^ format.signBit));
}

function exactProduct(x: Finite, y: Finite): Finite {
  return {
    negative: x.negative !== y.negative,
    magnitude: x.magnitude * y.magnitude,
    exponent: x.exponent + y.exponent,
  };
}

/** Whether x * y is infinity times zero. */
function isInfinityTimesZero(x: Unpacked, y: Unpacked): boolean {
  return (
    (x.kind === "infinite" && y.kind === "finite" && y.magnitude === 0n) ||
    (y.kind === "infinite" && x.kind === "finite" && x.magnitude === 0n)
  );
}

export function mul(context: FloatContext, format: FloatFormat, a: bigint, b: bigint, rm: number): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  if (takesNan(context, x, y)) return format.canonicalNan;
  if (isInfinityTimesZero(x, y)) return invalid(context, format);
  const { negative, magnitude, exponent } = exactProduct(x, y);
  if (x.kind === "infinite" || y.kind === "infinite") return infinity(format, negative);
  if (magnitude === 0n) return zero(format, negative);
  return roundPack(context, format, rm, negative, magnitude, exponent);
}

/**
 * a * b + c with one rounding. `negateProduct` and `negateAddend` make the family: fmadd (false, false), fmsub (false,
 * true), fnmsub (true, false), fnmadd (true, true).
 */
export function fusedMultiplyAdd(
  context: FloatContext,
  format: FloatFormat,
  a: bigint,
  b: bigint,
  c: bigint,
  rm: number,
  negateProduct: boolean,
  negateAddend: boolean,
): bigint {
  const x = unpack(format, negateProduct ? a ^ format.signBit : a);
  const y = unpack(format, b);
  const z = unpack(format, negateAddend ? c ^ format.signBit : c);
  // Unlike IEEE 754, RISC-V leaves no choice: infinity times zero is invalid even when the addend is a quiet NaN.
  if (isInfinityTimesZero(x, y)) return invalid(context, format);
  if (takesNan(context, x, y, z)) return format.canonicalNan;
  const product = exactProduct(x, y);
  if (x.kind === "infinite" || y.kind === "infinite") {
    if (z.kind === "infinite" && z.negative !== product.negative) return invalid(context, format);
    return infinity(format, product.negative);
  }
  if (z.kind === "infinite") return infinity(format, z.negative);
  return roundSum(context, format, rm, product, z);
}

export function div(context: FloatContext, format: FloatFormat, a: bigint, b: bigint, rm: number): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  if (takesNan(context, x, y)) return format.canonicalNan;
  const negative = x.negative !== y.negative;
  if (x.kind === "infinite") return y.kind === "infinite" ? invalid(context, format) : infinity(format, negative);
  if (y.kind === "infinite") return zero(format, negative);
  if (y.magnitude === 0n) {
    if (x.magnitude === 0n) return invalid(context, format);
    context.flags |= Flag.DZ;
    return infinity(format, negative);
  }
  if (x.magnitude === 0n) return zero(format, negative);
  // Enough bits for precision + 2 in the quotient, even of 1 by the widest significand.
  const scale = 2 * format.precision + 2;
  const dividend = x.magnitude << BigInt(scale);
  const quotient = dividend / y.magnitude;
  const sticky = quotient * y.magnitude === dividend ? 0n : 1n;
  return roundPack(context, format, rm, negative, (quotient << 1n) | sticky, x.exponent - y.exponent - scale - 1);
}

/** The integer square root, rounded down, of a number below 2^200. */
function integerSqrt(n: bigint): bigint {
  // The double is right to about 2^-52 of itself, one Newton step makes that 2^-100; what is left is one unit.
  let root = BigInt(Math.floor(Math.sqrt(Number(n))));
  root = (root + n / root) >> 1n;
  while (root * root > n) root--;
  while ((root + 1n) * (root + 1n) <= n) root++;
  return root;
}

export function sqrt(context: FloatContext, format: FloatFormat, a: bigint, rm: number): bigint {
  const x = unpack(format, a);
  if (takesNan(context, x)) return format.canonicalNan;
  if (x.kind === "finite" && x.magnitude === 0n) return a;
  if (x.negative) return invalid(context, format);
  if (x.kind === "infinite") return a;
  // An even exponent, and enough bits for precision + 2 in the root.
  const scale = 2 * format.precision + 4 + (x.exponent & 1);
  const radicand = x.magnitude << BigInt(scale);
  const root = integerSqrt(radicand);
  const sticky = root * root === radicand ? 0n : 1n;
  return roundPack(context, format, rm, false, (root << 1n) | sticky, (x.exponent - scale) / 2 - 1);
}
