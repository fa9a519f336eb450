/**
 * The fast-path recipes against the exact unit: result and flags, in all five rounding modes. PLANTAIN_LONG=N runs N
 * times as many vectors.
 */
import { describe, expect, test } from "vitest";
import { type FloatFormat, f16, f32, f64, nanBox, nanUnbox } from "./format.ts";
import { Flag, SoftFloat, SoftFloatOp } from "./index.ts";
import * as recipes from "./recipes.ts";
import * as narrow from "./recipes-narrow.ts";
import { bitsOf, compose, exponentOf, hardBits, hardBitsAt, numberOf, Random, specialBits } from "./vectors.ts";

const rounds = Number(process.env["PLANTAIN_LONG"] ?? 1);
const modes = [0, 1, 2, 3, 4];
const modeNames = ["RNE", "RTZ", "RDN", "RUP", "RMM"];
const fmtOf = { f32: 0, f64: 1, f16: 2 } as const;

type OpName = keyof typeof SoftFloatOp;
type Triple = readonly [number, number, number];
type Recipe = (a: number, b: number, c: number, rm: number) => recipes.Rounded | undefined;

const unit = new SoftFloat();

/** The exact unit on numbers of a format: the f64 or narrower encoding as unsigned bits, and the flags. */
function exact(op: OpName, format: FloatFormat, operands: Triple, rm: number): { bits: bigint; flags: number } {
  const [a, b, c] = operands.map((x) => nanBox(format, encode(format, x))) as [bigint, bigint, bigint];
  unit.flags = 0;
  const register = unit.softfloat(SoftFloatOp[op], fmtOf[format.name], a, b, c, rm);
  return { bits: register, flags: unit.flags };
}

/** An assertion for inner loops, where expect would take most of the time. */
function check(holds: boolean, where: () => unknown): void {
  const text = (_: string, x: unknown) => (typeof x === "bigint" ? x.toString(16) : typeof x === "number" ? `${x}` : x);
  if (!holds) expect.unreachable(JSON.stringify(where(), text));
}

/** Whether a recipe's answer is the exact unit's. */
function agrees(format: FloatFormat, result: recipes.Rounded, expected: { bits: bigint; flags: number }): boolean {
  return nanBox(format, encode(format, result.value)) === expected.bits && result.flags === expected.flags;
}

/** Unboxed bits of a number that the format represents. */
function encode(format: FloatFormat, value: number): bigint {
  if (format === f64) return bitsOf(value);
  if (format === f16) return BigInt(narrow.narrowHalf(value));
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return BigInt(view.getUint32(0));
}

function decode(format: FloatFormat, bits: bigint): number {
  if (format === f64) return numberOf(bits);
  const field = Number(bits >> format.fractionBits) & format.exponentMax;
  if (format === f16 && field !== format.exponentMax) return narrow.widenHalf(Number(bits));
  if (format === f16) return bits === f16.infinity ? Infinity : bits === 0xfc00n ? -Infinity : Number.NaN;
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, Number(bits));
  return view.getFloat32(0);
}

/** A value whose significand has at most `length` bits: short ones make exact results and ties. */
function short(random: Random, format: FloatFormat, length: number, exponent: number): bigint {
  return compose(
    format,
    random.below(2) === 1,
    exponent,
    random.u64() << BigInt(Math.max(0, format.precision - length)),
  );
}

/** Operands for `op`: any, with related exponents, short ones, exact quotients and squares, cancelling sums. */
function operands(random: Random, op: OpName, format: FloatFormat, specials: readonly bigint[]): Triple {
  const { emin, precision } = format;
  const value = (bits: bigint) => decode(format, bits);
  const any = () => hardBits(random, format, specials);
  // One in eight starts at the upper end of the range.
  const a = random.below(8) === 0 ? hardBitsAt(random, format, -emin - random.below(30)) : any();
  const e = exponentOf(format, a);
  const spread = random.pick([2, precision + 2]);
  const one = (name: OpName, x: number, y: number) =>
    value(nanUnbox(format, exact(name, format, [x, y, 0], random.below(5)).bits));
  switch (random.below(6)) {
    case 0:
      return [value(a), value(any()), value(any())];
    case 1: {
      // Two short factors, exact, a tie or nearly so, and what makes a of them.
      const length = random.between(1, precision);
      const [u, v] = [random.between(-20, 20), random.between(-20, 20)].map((exponent, i) =>
        value(short(random, format, i === 0 ? length : precision + random.between(0, 2) - length, exponent)),
      ) as [number, number];
      const product = value(nanUnbox(format, exact("mul", format, [u, v, 0], 1).bits));
      if (op === "sqrt") return [value(nanUnbox(format, exact("mul", format, [u, u, 0], 1).bits)), 0, 0];
      return op === "div" ? [product, v, 0] : [u, v, random.pick([-product, u])];
    }
    case 2: {
      // A product or quotient that is next to the largest or the smallest normal number.
      const border = value(random.pick([format.infinity - 1n, format.hiddenBit]));
      if (op === "mul") return [value(a), one("div", border, value(a)), 0];
      if (op === "div") return [one("mul", border, value(a)), value(a), 0];
      return [value(a), value(any()), value(any())];
    }
    case 3: {
      const b = hardBitsAt(random, format, random.pick([0, emin, -emin]) - e + random.between(-spread, spread));
      const c = hardBitsAt(random, format, e + exponentOf(format, b) + random.between(-2 * precision, 2 * precision));
      return [value(a), value(b), value(c)];
    }
    default: {
      const b = any();
      if (op === "fmadd") {
        const addend = one("mul", one("mul", value(a), value(b)), random.pick([-1, -1, -2, 0.5, 1, 4]));
        return [value(a), value(b), addend];
      }
      return [value(a), value(hardBitsAt(random, format, e + random.between(-spread, spread))), 0];
    }
  }
}

/** Of operands like these no recipe may fall back. */
function isTame(operands: Triple, format: FloatFormat): boolean {
  const limit = 2 ** Math.floor(-format.emin / 5);
  return operands.every((x) => Math.abs(x) < limit && Math.abs(x) > 1 / limit);
}

/** Runs a recipe and the exact unit on many operands; a difference, or a needless fallback, fails. */
function compare(op: OpName, format: FloatFormat, seed: number, count: number, recipe: Recipe): void {
  const random = new Random(seed);
  const specials = specialBits(format);
  let answered = 0;
  for (let i = 0; i < count * rounds; i++) {
    const triple = operands(random, op, format, specials);
    for (const rm of modes) {
      const result = recipe(...triple, rm);
      if (result === undefined) {
        const tame = op === "sqrt" ? triple[0] > 0 && isTame([triple[0], 1, 1], format) : isTame(triple, format);
        check(!tame, () => ["needless fallback", op, modeNames[rm], triple]);
        continue;
      }
      answered++;
      const expected = exact(op, format, triple, rm);
      check(agrees(format, result, expected), () => [op, modeNames[rm], triple, result, expected]);
    }
  }
  expect(answered).toBeGreaterThan(count);
}

describe("f64", () => {
  test("add64", () => compare("add", f64, 1, 5000, (a, b, _, rm) => recipes.add64(a, b, rm)));
  test("mul64", () => compare("mul", f64, 2, 5000, (a, b, _, rm) => recipes.mul64(a, b, rm)));
  test("div64", () => compare("div", f64, 3, 5000, (a, b, _, rm) => recipes.div64(a, b, rm)));
  test("sqrt64", () => compare("sqrt", f64, 4, 5000, (a, _b, _c, rm) => recipes.sqrt64(a, rm)));
  test("fma64", () => compare("fmadd", f64, 5, 6000, recipes.fma64));

  /** Calls `check` with operands and the exact unit's answer to nearest. */
  function each(op: OpName, format: FloatFormat, seed: number, check: (t: Triple, r: number, flags: number) => void) {
    const random = new Random(seed);
    const specials = specialBits(format);
    for (let i = 0; i < 5000 * rounds; i++) {
      const triple = operands(random, op, format, specials);
      const { bits, flags } = exact(op, format, triple, 0);
      check(triple, decode(format, nanUnbox(format, bits)), flags);
    }
  }

  test("isExactSum", () => {
    each("add", f64, 6, ([a, b], s, flags) => {
      if (Math.abs(s) < Infinity) check(recipes.isExactSum(a, b, s) === ((flags & Flag.NX) === 0), () => [a, b]);
    });
  });

  test("isSurelyExactProduct, and what productError and productResidual say", () => {
    let recognized = 0;
    each("mul", f64, 7, ([a, b], p, flags) => {
      const normal = [a, b].every((x) => Math.abs(x) >= recipes.smallestNormal);
      if (!normal || !(Math.abs(p) > 2 ** -968 && Math.abs(p) < 2 ** 1021)) return;
      const isExact = (flags & Flag.NX) === 0;
      const { residual } = recipes.productResidual(a, b, p);
      check((residual === 0n) === isExact, () => [a, b, residual]);
      if (recipes.isSurelyExactProduct(a, b)) {
        recognized++;
        check(isExact, () => [a, b]);
      }
      if (Math.abs(a) >= 2 ** 995 || Math.abs(b) >= 2 ** 995) return;
      const error = recipes.productError(a, b, p);
      // The residual is the error in units of the product's last place.
      const [aBits, bBits] = [bitsOf(a), bitsOf(b)];
      const unitExponent = exponentOf(f64, aBits) + exponentOf(f64, bBits) - 104;
      const inUnits = Math.abs(error) * 2 ** -unitExponent;
      check(inUnits === Math.abs(Number(residual)) || unitExponent < -1022, () => [a, b, error, residual]);
      check((error > 0 === p > 0 || error === 0) === residual >= 0n, () => [a, b, error, residual]);
      check(bitsOf(error + 0) === exact("fmadd", f64, [a, b, -p], 0).bits, () => [a, b, error]);
    });
    expect(recognized).toBeGreaterThan(100);
  });

  /** What a fused multiply-add instruction computes. */
  const madd = (a: number, b: number, c: number) => numberOf(exact("fmadd", f64, [a, b, c], 0).bits);

  test("one fused madd gives the residual of a product, a quotient and a root", () => {
    const floor = 2 ** -967;
    each("mul", f64, 13, ([a, b], p, flags) => {
      if (!(Math.abs(p) >= floor && Math.abs(p) < Infinity)) return;
      check((madd(a, b, -p) === 0) === ((flags & Flag.NX) === 0), () => [a, b, p]);
    });
    each("div", f64, 14, ([a, b], q, flags) => {
      if (!(Math.abs(a) >= floor && recipes.isOrdinary(q, recipes.smallestNormal))) return;
      check((madd(-q, b, a) === 0) === ((flags & Flag.NX) === 0), () => [a, b, q]);
    });
    each("sqrt", f64, 15, ([a], r, flags) => {
      if (!(a >= floor && a < Infinity)) return;
      check((madd(-r, r, a) === 0) === ((flags & Flag.NX) === 0), () => [a, r]);
    });
  });

  test("isExactFma with a fused madd", () => {
    let answered = 0;
    each("fmadd", f64, 8, ([a, b, c], r, flags) => {
      const isExact = recipes.isExactFma(a, b, c, r, madd);
      if (isExact === undefined) return;
      answered++;
      check(isExact === ((flags & Flag.NX) === 0), () => [a, b, c]);
    });
    expect(answered).toBeGreaterThan(1000);
  });

  for (const [format, exponent] of [
    [f64, -1022],
    [f32, -126],
  ] as const) {
    test(`a result of ${format.name} that an underflow rounds up to the smallest normal number is not ordinary`, () => {
      const floor = 2 ** exponent;
      const almostOne = 1 - 2 ** -format.precision;
      for (const [op, recipe, a, b] of [
        ["mul", recipes.mul64, almostOne, floor],
        ["div", recipes.div64, 2 * almostOne * floor, 2],
      ] as const) {
        const { bits, flags } = exact(op, format, [a, b, 0], 0);
        expect([decode(format, nanUnbox(format, bits)), flags]).toEqual([floor, Flag.NX | Flag.UF]);
        expect(recipes.isOrdinary(floor, floor)).toBe(false);
        if (format === f64) expect(recipe(a, b, 0)).toBe(undefined);
      }
    });

    test(`isOrdinary results of ${format.name} raise at most NX, and are the host's`, () => {
      const floor = 2 ** format.emin;
      const round = format === f64 ? (x: number) => x : Math.fround;
      const same = (host: number, r: number, flags: number, triple: Triple) =>
        check(Object.is(host, r) && flags <= Flag.NX, () => [triple, host, r, flags]);
      each("mul", format, 9, (triple, r, flags) => {
        const host = round(triple[0] * triple[1]);
        if (recipes.isOrdinary(host, floor)) same(host, r, flags, triple);
      });
      each("div", format, 10, (triple, r, flags) => {
        const host = round(triple[0] / triple[1]);
        if (recipes.isOrdinary(host, floor)) same(host, r, flags, triple);
      });
      each("add", format, 11, (triple, r, flags) => {
        const host = round(triple[0] + triple[1]);
        if (Math.abs(host) < Infinity) same(host, r, flags, triple);
      });
      each("sqrt", format, 12, (triple, r, flags) => {
        if (triple[0] >= 0) same(round(Math.sqrt(triple[0])), r, flags, triple);
      });
    });
  }
});

for (const [format, shape] of [[f32, narrow.single] as const, [f16, narrow.half] as const]) {
  describe(`${format.name} in f64`, () => {
    test("addNarrow", () => compare("add", format, 21, 4000, (a, b, _, rm) => narrow.addNarrow(a, b, shape, rm)));
    test("mulNarrow", () => compare("mul", format, 22, 4000, (a, b, _, rm) => narrow.mulNarrow(a, b, shape, rm)));
    test("divNarrow", () => compare("div", format, 23, 4000, (a, b, _, rm) => narrow.divNarrow(a, b, shape, rm)));
    test("sqrtNarrow", () => compare("sqrt", format, 24, 4000, (a, _b, _c, rm) => narrow.sqrtNarrow(a, shape, rm)));
    test("fused", () => compare("fmadd", format, 25, 5000, (a, b, c, rm) => narrow.addNarrow(a * b, c, shape, rm)));

    test("conversion from f64", () => {
      const random = new Random(26);
      const specials = specialBits(f64);
      const op = format === f32 ? "toS" : "toH";
      for (let i = 0; i < 5000 * rounds; i++) {
        const e =
          random.pick([format.emin, format.emin - format.precision, 0, 1 - format.emin]) + random.between(-3, 3);
        const x = numberOf(random.below(4) === 0 ? hardBits(random, f64, specials) : hardBitsAt(random, f64, e));
        for (const rm of modes) {
          const result = narrow.roundNarrow(x, shape, rm);
          const expected = exact(op, f64, [x, 0, 0], rm);
          if (result === undefined) check(!Number.isFinite(x), () => x);
          else check(agrees(format, result, expected), () => [x, modeNames[rm], result, expected]);
          if (rm === 0 && format === f32 && (expected.flags & Flag.OF) === 0 && Number.isFinite(x)) {
            check(narrow.isInexactSingle(x) === ((expected.flags & Flag.NX) !== 0), () => x);
          }
        }
      }
    });
  });
}

describe("integers", () => {
  const random = new Random(31);
  const integers: bigint[] = [0n, 1n, -1n, (1n << 63n) - 1n, -(1n << 63n)];
  for (let i = 0; i < 1500 * rounds; i++) {
    const top = random.below(64);
    const gap = random.pick([10, 11, 12, 23, 24, 25, 52, 53, 54]);
    const ends = (1n << BigInt(top)) | ((1n << BigInt(top)) >> BigInt(gap)) | BigInt(random.below(2));
    integers.push(BigInt.asIntN(64, random.pick([random.u64() >> BigInt(random.below(64)), ends, -ends, ends - 1n])));
  }
  const targets = [
    [f64, (x: bigint, signed: boolean, rm: number) => narrow.integerTo64(x, signed, rm)],
    [f32, (x: bigint, signed: boolean, rm: number) => narrow.integerToNarrow(x, signed, narrow.single, rm)],
    [f16, (x: bigint, signed: boolean, rm: number) => narrow.integerToNarrow(x, signed, narrow.half, rm)],
  ] as const;

  for (const [format, convert] of targets) {
    test(`to ${format.name}`, () => {
      for (const x of integers) {
        for (const signed of [true, false]) {
          const op = SoftFloatOp[signed ? "fromL" : "fromLu"];
          for (const rm of modes) {
            unit.flags = 0;
            const bits = unit.softfloat(op, fmtOf[format.name], x, 0n, 0n, rm);
            const result = convert(x, signed, rm)!;
            const { flags } = unit;
            check(agrees(format, result, { bits, flags }), () => [x, signed, modeNames[rm], result, bits, flags]);
            if (format === f16) continue;
            const value = signed ? x : BigInt.asUintN(64, x);
            const magnitude = value < 0n ? -value : value;
            check(narrow.isExactInteger(magnitude, format.precision) === (flags === 0), () => x);
          }
        }
      }
    });
  }

  test("from f64", () => {
    const random = new Random(32);
    const specials = specialBits(f64);
    for (let i = 0; i < 2000 * rounds; i++) {
      const e = random.pick([0, 31, 32, 52, 63, 64]) + random.between(-2, 2);
      const x = numberOf(random.below(4) === 0 ? hardBits(random, f64, specials) : hardBitsAt(random, f64, e));
      for (const rm of modes) {
        for (const [op, width, signed] of [
          ["toW", 32, true],
          ["toWu", 32, false],
          ["toL", 64, true],
          ["toLu", 64, false],
        ] as const) {
          const result = narrow.toInteger(x, width, signed, rm);
          const register = BigInt.asUintN(64, width === 32 ? BigInt.asIntN(32, result.value) : result.value);
          const expected = exact(op, f64, [x, 0, 0], rm);
          const holds = register === expected.bits && result.flags === expected.flags;
          check(holds, () => [op, x, modeNames[rm], result, expected]);
        }
      }
    }
  });
});

test("half-precision encodings", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    if ((bits & 0x7c00) === 0x7c00) continue;
    const wide = unit.softfloat(SoftFloatOp.toD, 2, nanBox(f16, BigInt(bits)), 0n, 0n, 0);
    check(bitsOf(narrow.widenHalf(bits)) === wide && narrow.narrowHalf(narrow.widenHalf(bits)) === bits, () => bits);
  }
});
