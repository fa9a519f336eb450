/** Operands of floating-point instructions that are hard for the way the generated code computes: as raw registers. */
import { type FloatFormat, f16, f32, f64, formatByFmt, nanBox, nanUnbox } from "../softfloat/format.ts";
import { SoftFloat, SoftFloatOp } from "../softfloat/index.ts";
import { compose, exponentOf, hardBits, hardBitsAt, type Random, specialBits } from "../softfloat/vectors.ts";

export type Triple = readonly [bigint, bigint, bigint];

/** An instruction: the function's name, what the exact unit calls it, and its number of operands. */
export interface Instruction {
  readonly name: string;
  readonly op: number;
  readonly fmt: number;
  readonly operands: number;
  /** The operand is an x register. */
  readonly fromInteger: boolean;
}

const LETTERS = ["s", "d", "h"];

function instructionsOf(fmt: number): Instruction[] {
  const letter = LETTERS[fmt]!;
  const all = (operands: number, names: Record<string, number>): Instruction[] =>
    Object.entries(names).map(([name, op]) => ({
      name: name.replace("*", letter),
      op,
      fmt,
      operands,
      fromInteger: /^fcvt\.\*\.[wl]/.test(name),
    }));
  const { add, sub, mul, div, sqrt, fmadd, fmsub, fnmsub, fnmadd, min, max, feq, flt, fle, classify } = SoftFloatOp;
  const { toS, toD, toH, toW, toWu, toL, toLu, fromW, fromWu, fromL, fromLu } = SoftFloatOp;
  return [
    ...all(2, { "fadd.*": add, "fsub.*": sub, "fmul.*": mul, "fdiv.*": div }),
    ...all(3, { "fmadd.*": fmadd, "fmsub.*": fmsub, "fnmsub.*": fnmsub, "fnmadd.*": fnmadd }),
    ...all(2, { "fmin.*": min, "fmax.*": max, "feq.*": feq, "flt.*": flt, "fle.*": fle }),
    ...all(1, { "fsqrt.*": sqrt, "fclass.*": classify, "fcvt.s.*": toS, "fcvt.d.*": toD, "fcvt.h.*": toH }),
    ...all(1, { "fcvt.w.*": toW, "fcvt.wu.*": toWu, "fcvt.l.*": toL, "fcvt.lu.*": toLu }),
    ...all(1, { "fcvt.*.w": fromW, "fcvt.*.wu": fromWu, "fcvt.*.l": fromL, "fcvt.*.lu": fromLu }),
  ].filter(({ name }) => name !== `fcvt.${letter}.${letter}`);
}

/** Every instruction that has a function. */
export const instructions: readonly Instruction[] = [0, 1, 2].flatMap(instructionsOf);

const unit = new SoftFloat();
const specials = new Map([f16, f32, f64].map((f) => [f, specialBits(f)]));

/** The exact unit on unboxed bits. */
function compute(op: number, format: FloatFormat, rm: number, a: bigint, b = 0n, c = 0n): bigint {
  const [x, y, z] = [a, b, c].map((bits) => nanBox(format, bits)) as [bigint, bigint, bigint];
  return nanUnbox(format, unit.softfloat(op, formatByFmt.indexOf(format), x, y, z, rm));
}

/** A value with at most `length` significant bits: two such make exact products, ties, and what is next to them. */
function short(random: Random, format: FloatFormat, length: number): bigint {
  const spread = Math.min(20, -format.emin >> 1);
  const fraction = random.u64() << BigInt(Math.max(0, format.precision - length));
  return compose(format, random.below(2) === 1, random.between(-spread, spread), fraction);
}

/** The value or one of its neighbours. */
const near = (random: Random, format: FloatFormat, bits: bigint): bigint =>
  BigInt.asUintN(format.width, bits + BigInt(random.between(-1, 1)));

function arithmeticOperands(random: Random, op: number, format: FloatFormat): Triple {
  const { add, sub, mul, div, sqrt } = SoftFloatOp;
  const { emin, precision, signBit } = format;
  const any = (): bigint => hardBits(random, format, specials.get(format)!);
  const a = random.below(8) === 0 ? hardBitsAt(random, format, -emin - random.below(30)) : any();
  const e = exponentOf(format, a);
  const spread = random.pick([2, precision + 2]);
  const isFused = op >= SoftFloatOp.fmadd && op <= SoftFloatOp.fnmadd;
  const sign = (bits: bigint): bigint => (random.below(2) === 0 ? bits : bits ^ signBit);
  switch (random.below(7)) {
    case 0:
      return [a, any(), any()];
    case 1: {
      const length = random.between(1, precision);
      const u = short(random, format, length);
      const v = short(random, format, precision + random.between(0, 2) - length);
      if (op === sqrt) return [near(random, format, compute(mul, format, 1, u, u)), 0n, 0n];
      const product = near(random, format, compute(mul, format, 1, u, v));
      return op === div ? [product, v, 0n] : [u, v, random.pick([product ^ signBit, product, u])];
    }
    case 2: {
      // A result next to the largest or the smallest normal number.
      const border = near(random, format, random.pick([format.infinity - 1n, format.hiddenBit]));
      if (op === mul || isFused) return [a, compute(div, format, 0, border, a), sign(hardBitsAt(random, format, emin))];
      if (op === div) return [compute(mul, format, 0, border, a), a, 0n];
      return [a, sign(compute(sub, format, random.below(5), border, a)), 0n];
    }
    case 3: {
      const ofResult = random.pick([0, emin, -emin]) + random.between(-spread, spread);
      const b = hardBitsAt(random, format, ofResult - e);
      const ofProduct = e + exponentOf(format, b) + random.between(-2 * precision, 2 * precision);
      return [a, b, hardBitsAt(random, format, ofProduct)];
    }
    case 4: {
      // Equal or opposite, or zero.
      const b = random.pick([a, a ^ signBit, 0n, signBit]);
      return [a, b, sign(random.pick([0n, compute(mul, format, 0, a, b)]))];
    }
    default: {
      // About emin + precision products begin to have errors that are numbers.
      const other = isFused ? emin + precision - e : e;
      const b =
        isFused && random.below(2) === 0 ? any() : hardBitsAt(random, format, other + random.between(-spread, spread));
      const product = compute(mul, format, random.below(5), a, b);
      const c = random.below(2) === 0 ? near(random, format, product) : compute(add, format, 0, product, product);
      return [a, b, sign(c)];
    }
  }
}

function conversionOperand(random: Random, format: FloatFormat): bigint {
  if (random.below(4) === 0) return hardBits(random, format, specials.get(format)!);
  const target = random.pick([f16, f32]);
  if (random.below(4) === 0 && target.precision < format.precision) {
    // About as many ones as the target has, at the lower end of its range or above.
    const zeros = format.precision - target.precision + random.between(-2, 2);
    const exponent = random.pick([target.emin - 1, target.emin, 0, -target.emin]);
    return compose(format, random.below(2) === 1, exponent, -1n << BigInt(Math.max(0, zeros)));
  }
  const ends = [f16, f32].flatMap(({ emin, precision }) => [emin, emin - precision, 1 - emin]);
  return hardBitsAt(random, format, random.pick([0, 10, 31, 32, 52, 63, 64, ...ends]) + random.between(-3, 3));
}

function integer(random: Random): bigint {
  const top = random.below(64);
  const gap = BigInt(random.pick([10, 11, 12, 23, 24, 25, 52, 53, 54]));
  const ends = (1n << BigInt(top)) | ((1n << BigInt(top)) >> gap) | BigInt(random.below(2));
  const value = random.pick([random.u64() >> BigInt(random.below(64)), ends, -ends, ends - 1n, 1n - ends, 0n, -1n]);
  return BigInt.asUintN(64, value);
}

/** Registers for one execution of `instruction`. */
export function hardOperands(random: Random, { op, fmt, fromInteger }: Instruction): Triple {
  if (fromInteger) return [integer(random), 0n, 0n];
  const format = formatByFmt[fmt]!;
  const isConversion = op >= SoftFloatOp.toS;
  const bits: Triple = isConversion
    ? [conversionOperand(random, format), 0n, 0n]
    : arithmeticOperands(random, op, format);
  const registers = bits.map((b) => nanBox(format, b)) as [bigint, bigint, bigint];
  // Now and then something that is not boxed.
  if (random.below(64) === 0) registers[random.below(3)] = random.u64() >> BigInt(random.below(2) * 32);
  return registers;
}

/** Registers of the kind that programs have: exponents far from the ends. */
export function ordinaryOperands(random: Random, { fmt, fromInteger }: Instruction): Triple {
  // Below 2^53: an f64 holds it.
  if (fromInteger) return [random.u64() >> BigInt(random.between(12, 60)), 0n, 0n];
  const format = formatByFmt[fmt]!;
  const limit = Math.min(30, -format.emin >> 2);
  const one = (): bigint => nanBox(format, compose(format, false, random.between(-limit, limit), random.u64()));
  return [one(), one(), one()];
}
