/**
 * The binary interchange formats of the F, D and Zfh extensions (IEEE 754-2019 section 3.6) as data, and NaN boxing
 * (RISC-V unprivileged ISA, section "NaN Boxing of Narrower Values" of the D chapter).
 */

/** One binary format. Widths and exponents are numbers; masks and patterns are bigints, like the bits they apply to. */
export interface FloatFormat {
  readonly name: "f16" | "f32" | "f64";
  /** Width of the encoding in bits. */
  readonly width: number;
  /** Bits of the significand, the hidden one included. */
  readonly precision: number;
  /** Exponent of the smallest normal number, 2^emin. The bias is 1 - emin, the largest exponent too. */
  readonly emin: number;
  readonly fractionBits: bigint;
  readonly fractionMask: bigint;
  readonly hiddenBit: bigint;
  /** Significands of this value and above do not fit: 2^precision. */
  readonly significandLimit: bigint;
  /** Exponent field of infinities and NaNs, not shifted. */
  readonly exponentMax: number;
  readonly signBit: bigint;
  /** Bits of +infinity; the pattern below it is the largest finite number. */
  readonly infinity: bigint;
  readonly quietBit: bigint;
  /** The only NaN that operations produce: positive, quiet, no payload. */
  readonly canonicalNan: bigint;
}

function format(name: FloatFormat["name"], width: number, precision: number): FloatFormat {
  const exponentMax = 2 ** (width - precision) - 1;
  const fractionBits = BigInt(precision - 1);
  const hiddenBit = 1n << fractionBits;
  const infinity = BigInt(exponentMax) << fractionBits;
  const quietBit = hiddenBit >> 1n;
  return {
    name,
    width,
    precision,
    emin: 1 - (exponentMax >> 1),
    fractionBits,
    fractionMask: hiddenBit - 1n,
    hiddenBit,
    significandLimit: hiddenBit << 1n,
    exponentMax,
    signBit: 1n << BigInt(width - 1),
    infinity,
    quietBit,
    canonicalNan: infinity | quietBit,
  };
}

export const f16: FloatFormat = format("f16", 16, 11);
export const f32: FloatFormat = format("f32", 32, 24);
export const f64: FloatFormat = format("f64", 64, 53);

/** Formats by the `fmt` field of an instruction: 0 S, 1 D, 2 H. */
export const formatByFmt: readonly FloatFormat[] = [f32, f64, f16];

/** Puts a value of `format` (its bits, nothing above them) into a 64-bit f register: all higher bits are ones. */
export function nanBox(format: FloatFormat, bits: bigint): bigint {
  return bits | ((0xffff_ffff_ffff_ffffn << BigInt(format.width)) & 0xffff_ffff_ffff_ffffn);
}

/**
 * Reads a value of `format` from a 64-bit f register (signed or unsigned bigint). What is not correctly boxed reads as
 * the canonical NaN.
 */
export function nanUnbox(format: FloatFormat, register: bigint): bigint {
  const bits = BigInt.asUintN(format.width, register);
  // The boxed bits above the value are all ones: as a signed number the rest is -1.
  if (format.width < 64 && BigInt.asIntN(64, register) >> BigInt(format.width) !== -1n) return format.canonicalNan;
  return bits;
}
