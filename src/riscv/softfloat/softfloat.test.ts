/** The exact floating-point unit against the host's own arithmetic, and its rules one by one. */
import { describe, expect, test } from "vitest";
import { f16, f32, f64, nanBox, nanUnbox } from "./format.ts";
import { Flag, RoundingMode, SoftFloat, SoftFloatOp } from "./index.ts";
import { bitLength } from "./rounding.ts";
import { bitsOf, hardBits, numberOf, Random, specialBits } from "./vectors.ts";

const S = 0;
const D = 1;
const H = 2;

function f32BitsOf(value: number): bigint {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return Number.isNaN(value) ? f32.canonicalNan : BigInt(view.getUint32(0));
}

function f32NumberOf(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, Number(bits));
  return view.getFloat32(0);
}

const binary = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
  sqrt: (a: number) => Math.sqrt(a),
} as const;

describe("round to nearest, ties to even, is what the host computes", () => {
  for (const [name, host] of Object.entries(binary)) {
    test(`f64 ${name}`, () => {
      const random = new Random(1);
      const specials = specialBits(f64);
      const unit = new SoftFloat();
      for (let i = 0; i < 20_000; i++) {
        const a = hardBits(random, f64, specials);
        const b = hardBits(random, f64, specials);
        const result = unit.softfloat(SoftFloatOp[name as keyof typeof binary], D, a, b, 0n, RoundingMode.RNE);
        if (result !== bitsOf(host(numberOf(a), numberOf(b)))) expect.unreachable(`${name} ${a} ${b}: ${result}`);
      }
    });

    test(`f32 ${name}`, () => {
      const random = new Random(2);
      const specials = specialBits(f32);
      const unit = new SoftFloat();
      for (let i = 0; i < 20_000; i++) {
        const a = hardBits(random, f32, specials);
        const b = hardBits(random, f32, specials);
        const op = SoftFloatOp[name as keyof typeof binary];
        const result = unit.softfloat(op, S, nanBox(f32, a), nanBox(f32, b), 0n, RoundingMode.RNE);
        // One operation of f32 in f64, rounded again, is the same as rounded once: 53 >= 2 * 24 + 2.
        const expected = f32BitsOf(Math.fround(host(f32NumberOf(a), f32NumberOf(b))));
        if (result !== nanBox(f32, expected)) expect.unreachable(`${name} ${a} ${b}: ${result}`);
      }
    });
  }

  test("f64 to f32, and integers", () => {
    const random = new Random(3);
    const specials = specialBits(f64);
    const unit = new SoftFloat();
    for (let i = 0; i < 20_000; i++) {
      const a = hardBits(random, f64, specials);
      const narrowed = unit.softfloat(SoftFloatOp.toS, D, a, 0n, 0n, 0);
      if (narrowed !== nanBox(f32, f32BitsOf(Math.fround(numberOf(a))))) expect.unreachable(`${a}: ${narrowed}`);
      const n = random.u64();
      const converted = unit.softfloat(SoftFloatOp.fromLu, D, n, 0n, 0n, 0);
      if (converted !== bitsOf(Number(n))) expect.unreachable(`${n}: ${converted}`);
    }
  });

  test("f32 to f64 and back keeps every number", () => {
    const random = new Random(4);
    const specials = specialBits(f32);
    const unit = new SoftFloat();
    for (let i = 0; i < 20_000; i++) {
      const bits = hardBits(random, f32, specials);
      if (Number.isNaN(f32NumberOf(bits))) continue;
      const wide = unit.softfloat(SoftFloatOp.toD, S, nanBox(f32, bits), 0n, 0n, 0);
      const back = unit.softfloat(SoftFloatOp.toS, D, wide, 0n, 0n, 0);
      if (wide !== bitsOf(f32NumberOf(bits)) || back !== nanBox(f32, bits)) expect.unreachable(`${bits}: ${wide}`);
    }
    expect(unit.flags).toBe(0);
  });
});

describe("rules", () => {
  const one = bitsOf(1);
  const infinity = f64.infinity;
  const quiet = f64.infinity | f64.quietBit | 7n;
  const signaling = f64.infinity | 7n;
  const nan = f64.canonicalNan;

  /** Result and flags of one f64 operation. */
  function d(op: keyof typeof SoftFloatOp, a: bigint, b = 0n, c = 0n, rm = 0): [bigint, number] {
    const unit = new SoftFloat();
    return [unit.softfloat(SoftFloatOp[op], D, a, b, c, rm), unit.flags];
  }

  test("canonical NaNs", () => {
    expect([f16.canonicalNan, f32.canonicalNan, f64.canonicalNan]).toEqual([0x7e00n, 0x7fc00000n, 0x7ff8n << 48n]);
    expect(d("add", quiet, one)).toEqual([nan, 0]);
    expect(d("add", one, signaling)).toEqual([nan, Flag.NV]);
  });

  test("invalid operations", () => {
    expect(d("sub", infinity, infinity)).toEqual([nan, Flag.NV]);
    expect(d("mul", infinity, 0n)).toEqual([nan, Flag.NV]);
    expect(d("div", 0n, 0n)).toEqual([nan, Flag.NV]);
    expect(d("div", infinity, infinity)).toEqual([nan, Flag.NV]);
    expect(d("sqrt", bitsOf(-1))).toEqual([nan, Flag.NV]);
    expect(d("sqrt", bitsOf(-0))).toEqual([bitsOf(-0), 0]);
    expect(d("fmadd", infinity, 0n, quiet)).toEqual([nan, Flag.NV]);
    expect(d("fmsub", infinity, one, infinity)).toEqual([nan, Flag.NV]);
    expect(d("div", one, bitsOf(-0))).toEqual([infinity | f64.signBit, Flag.DZ]);
  });

  test("the sign of an exact zero sum depends on the mode", () => {
    expect(d("sub", one, one)).toEqual([0n, 0]);
    expect(d("sub", one, one, 0n, RoundingMode.RDN)).toEqual([f64.signBit, 0]);
    expect(d("add", 0n, 0n, 0n, RoundingMode.RDN)).toEqual([0n, 0]);
    expect(d("fmadd", one, one, bitsOf(-1), RoundingMode.RDN)).toEqual([f64.signBit, 0]);
  });

  test("the fused family", () => {
    const [a, b, c] = [bitsOf(2), bitsOf(3), bitsOf(10)];
    expect(d("fmadd", a, b, c)).toEqual([bitsOf(16), 0]);
    expect(d("fmsub", a, b, c)).toEqual([bitsOf(-4), 0]);
    expect(d("fnmsub", a, b, c)).toEqual([bitsOf(4), 0]);
    expect(d("fnmadd", a, b, c)).toEqual([bitsOf(-16), 0]);
    // (1 + 2^-52)^2 - (1 + 2^-51) = 2^-104: nothing of it would survive two roundings.
    const x = one + 1n;
    expect(d("fmsub", x, x, one + 2n)).toEqual([bitsOf(2 ** -104), 0]);
  });

  test("overflow by mode", () => {
    const largest = infinity - 1n;
    const results = [0, 1, 2, 3, 4].map((rm) => d("add", largest, largest, 0n, rm));
    const flags = Flag.OF | Flag.NX;
    expect(results).toEqual([infinity, largest, largest, infinity, infinity].map((bits) => [bits, flags]));
  });

  test("tininess is detected after rounding", () => {
    const smallestNormal = f64.hiddenBit;
    // (1 - 2^-54) * 2^-1022 rounds to 2^-1022 even with an unbounded exponent, (1 - 2^-53) * 2^-1022 does not.
    expect(d("fmadd", smallestNormal, bitsOf(-(2 ** -54)), smallestNormal)).toEqual([smallestNormal, Flag.NX]);
    expect(d("fmadd", smallestNormal, bitsOf(-(2 ** -53)), smallestNormal)).toEqual([
      smallestNormal,
      Flag.NX | Flag.UF,
    ]);
    // An exact subnormal result is no underflow.
    expect(d("mul", smallestNormal, bitsOf(0.5))).toEqual([smallestNormal / 2n, 0]);
  });

  test("comparisons, minimum and maximum", () => {
    expect(d("feq", 0n, f64.signBit)).toEqual([1n, 0]);
    expect(d("feq", quiet, quiet)).toEqual([0n, 0]);
    expect(d("feq", signaling, one)).toEqual([0n, Flag.NV]);
    expect(d("flt", quiet, one)).toEqual([0n, Flag.NV]);
    expect(d("fle", bitsOf(-1), bitsOf(-1))).toEqual([1n, 0]);
    expect(d("min", 0n, f64.signBit)).toEqual([f64.signBit, 0]);
    expect(d("max", f64.signBit, 0n)).toEqual([0n, 0]);
    expect(d("min", quiet, one)).toEqual([one, 0]);
    expect(d("max", one, signaling)).toEqual([one, Flag.NV]);
    expect(d("max", quiet, quiet)).toEqual([nan, 0]);
  });

  test("classes", () => {
    const positive = [0n, 1n, one, infinity];
    const masks = [...positive.map((x) => x | f64.signBit).reverse(), ...positive, signaling, quiet];
    expect(masks.map((bits) => d("classify", bits)[0])).toEqual(masks.map((_, i) => 1n << BigInt(i)));
  });

  test("conversions to integers saturate, and a NaN is the largest", () => {
    const top = 0xffff_ffff_ffff_ffffn;
    const min32 = 0xffff_ffff_8000_0000n;
    expect(d("toW", quiet)).toEqual([0x7fff_ffffn, Flag.NV]);
    expect(d("toW", bitsOf(-3e9))).toEqual([min32, Flag.NV]);
    expect(d("toWu", bitsOf(5e9))).toEqual([top, Flag.NV]);
    expect(d("toWu", bitsOf(-1))).toEqual([0n, Flag.NV]);
    expect(d("toWu", bitsOf(-0.5), 0n, 0n, RoundingMode.RTZ)).toEqual([0n, Flag.NX]);
    expect(d("toWu", bitsOf(3e9))).toEqual([0xffff_ffff_b2d0_5e00n, 0]);
    expect(d("toL", infinity | f64.signBit)).toEqual([1n << 63n, Flag.NV]);
    expect(d("toLu", signaling)).toEqual([top, Flag.NV]);
    const halves = [0, 1, 2, 3, 4].map((rm) => d("toL", bitsOf(2.5), 0n, 0n, rm)[0]);
    expect(halves).toEqual([2n, 2n, 2n, 3n, 3n]);
  });

  test("flags accumulate until they are cleared", () => {
    const unit = new SoftFloat();
    unit.softfloat(SoftFloatOp.div, D, one, 0n, 0n, 0);
    unit.softfloat(SoftFloatOp.div, D, one, bitsOf(3), 0n, 0);
    expect(unit.flags).toBe(Flag.DZ | Flag.NX);
  });

  test("operands may be signed, as WebAssembly passes them", () => {
    const unit = new SoftFloat();
    const boxed = BigInt.asIntN(64, nanBox(f32, f32BitsOf(-1.5)));
    expect(unit.softfloat(SoftFloatOp.add, S, boxed, boxed, 0n, 0)).toBe(nanBox(f32, f32BitsOf(-3)));
    expect(unit.softfloat(SoftFloatOp.fromW, H, -3n, 0n, 0n, 0)).toBe(0xffff_ffff_ffff_c200n);
  });

  test("boxing", () => {
    expect(nanBox(f16, 0x3c00n)).toBe(0xffff_ffff_ffff_3c00n);
    expect(nanUnbox(f16, 0xffff_ffff_ffff_3c00n)).toBe(0x3c00n);
    expect(nanUnbox(f16, 0xffff_ffff_fffe_3c00n)).toBe(f16.canonicalNan);
    expect(nanUnbox(f32, 0x3f80_0000n)).toBe(f32.canonicalNan);
    expect(nanUnbox(f64, -1n)).toBe(0xffff_ffff_ffff_ffffn);
  });

  test("a caller's mistake is an error", () => {
    const { softfloat } = new SoftFloat();
    expect(() => softfloat(99, D, 0n, 0n, 0n, 0)).toThrow(RangeError);
    expect(() => softfloat(SoftFloatOp.add, 3, 0n, 0n, 0n, 0)).toThrow(RangeError);
    expect(() => softfloat(SoftFloatOp.add, D, 0n, 0n, 0n, 7)).toThrow(RangeError);
  });

  test("bitLength is exact around every power of two", () => {
    for (let n = 1; n < 200; n++) {
      const power = 1n << BigInt(n);
      expect([power - 1n, power, power + 1n].map(bitLength)).toEqual([n, n + 1, n + 1]);
    }
  });
});
