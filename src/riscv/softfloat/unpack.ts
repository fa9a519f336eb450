/** Taking encodings apart: every operation starts here (IEEE 754-2019 section 3.4). */
import type { FloatFormat } from "./format.ts";
import { Flag, type FloatContext } from "./rounding.ts";

/** A finite number: (-1)^negative * magnitude * 2^exponent, exactly. Zero has magnitude 0. */
export interface Finite {
  readonly negative: boolean;
  readonly magnitude: bigint;
  readonly exponent: number;
}

/** An operand. `magnitude` and `exponent` say something only when `kind` is "finite". */
export interface Unpacked extends Finite {
  readonly kind: "finite" | "infinite" | "quiet" | "signaling";
}

export function unpack(format: FloatFormat, bits: bigint): Unpacked {
  const negative = (bits & format.signBit) !== 0n;
  const field = Number(bits >> format.fractionBits) & format.exponentMax;
  const fraction = bits & format.fractionMask;
  const subnormalExponent = format.emin - format.precision + 1;
  if (field === format.exponentMax) {
    const kind = fraction === 0n ? "infinite" : (fraction & format.quietBit) === 0n ? "signaling" : "quiet";
    return { kind, negative, magnitude: 0n, exponent: 0 };
  }
  if (field === 0) return { kind: "finite", negative, magnitude: fraction, exponent: subnormalExponent };
  return { kind: "finite", negative, magnitude: fraction | format.hiddenBit, exponent: subnormalExponent + field - 1 };
}

export function isNan(x: Unpacked): boolean {
  return x.kind === "quiet" || x.kind === "signaling";
}

/** Raises NV if an operand is a signaling NaN, and tells whether one is a NaN of either kind. */
export function takesNan(context: FloatContext, ...operands: Unpacked[]): boolean {
  let found = false;
  for (const x of operands) {
    if (x.kind === "signaling") context.flags |= Flag.NV;
    if (isNan(x)) found = true;
  }
  return found;
}

/** The result of an invalid operation: NV and the canonical NaN. */
export function invalid(context: FloatContext, format: FloatFormat): bigint {
  context.flags |= Flag.NV;
  return format.canonicalNan;
}
