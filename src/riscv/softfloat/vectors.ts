/**
 * Operands for the floating-point tests: a seeded generator and the values that break floating-point code. Everything
 * is bits of a format, unboxed.
 */
import { type FloatFormat, f64 } from "./format.ts";

/** A reproducible stream of random numbers (xoshiro128**, Blackman and Vigna 2018). */
export class Random {
  private readonly state: Uint32Array;

  constructor(seed: number) {
    // Any state but all zeros will do; a few rounds spread the seed.
    this.state = Uint32Array.of(seed, 0x9e3779b9, 0x243f6a88, 0xb7e15162);
    for (let i = 0; i < 16; i++) this.u32();
  }

  u32(): number {
    const s = this.state;
    const x = Math.imul(s[1]!, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

/** Bits of +-1.fraction * 2^exponent; an exponent outside the normal range becomes a subnormal or an infinity. */
export function compose(format: FloatFormat, negative: boolean, exponent: number, fraction: bigint): bigint {
  const field = Math.min(Math.max(exponent - format.emin + 1, 0), format.exponentMax);
  const kept = field === format.exponentMax ? 0n : fraction & format.fractionMask;
  return (negative ? format.signBit : 0n) | (BigInt(field) << format.fractionBits) | kept;
}

/** The unbiased exponent field of a normal number. */
export function exponentOf(format: FloatFormat, bits: bigint): number {
  return (Number(bits >> format.fractionBits) & format.exponentMax) + format.emin - 1;
}

/** The positive values where a format's rules change, and both neighbours of each. */
export function specialBits(format: FloatFormat): bigint[] {
  const { infinity, hiddenBit, quietBit, precision, emin } = format;
  const one = compose(format, false, 0, 0n);
  const centres = [
    one,
    one + quietBit, // 1.5
    one - hiddenBit, // 0.5
    one + hiddenBit, // 2
    hiddenBit, // smallest normal
    infinity,
    compose(format, false, precision - 1, 0n), // from here on only integers
    compose(format, false, emin + precision, 0n),
    ...[7, 11, 15, 24, 31, 32, 53, 63, 64].map((exponent) => compose(format, false, exponent, 0n)),
  ];
  const values = new Set<bigint>([
    0n,
    1n,
    2n,
    infinity | quietBit,
    infinity | quietBit | 5n,
    infinity | (quietBit - 1n),
  ]);
  for (const centre of centres) {
    for (const bits of [centre - 1n, centre, centre + 1n]) values.add(bits);
  }
  return [...values];
}

/** A fraction that is uniform, or has its bits only at the ends, or is a run of ones: where ties and carries come from. */
function hardFraction(random: Random, format: FloatFormat): bigint {
  const width = format.precision - 1;
  const ones = (1n << BigInt(random.below(width + 1))) - 1n;
  switch (random.below(6)) {
    case 0:
      return random.u64();
    case 1:
      return random.u64() << BigInt(random.below(width));
    case 2:
      return ones;
    case 3:
      return ~ones;
    case 4:
      return (1n << BigInt(random.below(width))) | (1n << BigInt(random.below(width)));
    default:
      return ones ^ (random.u64() & 3n) ^ (1n << BigInt(random.below(width)));
  }
}

/** A value with the given exponent, either sign and a hard fraction. */
export function hardBitsAt(random: Random, format: FloatFormat, exponent: number): bigint {
  return compose(format, random.below(2) === 1, exponent, hardFraction(random, format));
}

/** A value of any kind: special, uniform, or with an exponent near the middle or an end of the range. */
export function hardBits(random: Random, format: FloatFormat, specials: readonly bigint[]): bigint {
  const { emin, precision } = format;
  switch (random.below(8)) {
    case 0:
      return random.pick(specials) | (random.below(2) === 1 ? format.signBit : 0n);
    case 1:
      return BigInt.asUintN(format.width, random.u64());
    case 2:
      return hardBitsAt(random, format, random.between(emin - 1, emin + precision + 2));
    case 3:
      return hardBitsAt(random, format, random.between(-emin - precision, 1 - emin));
    case 4:
      return hardBitsAt(random, format, random.between(emin - 1, 1 - emin));
    default:
      return hardBitsAt(random, format, random.between(-precision, precision));
  }
}

/** The f64 of these bits as a number, and back. NaNs lose their payload. */
export function numberOf(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

export function bitsOf(value: number): bigint {
  if (Number.isNaN(value)) return f64.canonicalNan;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}
