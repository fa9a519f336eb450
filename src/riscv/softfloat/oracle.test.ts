/**
 * Every operation, format and rounding mode against the instructions of QEMU's user-mode emulator, result and flags.
 * PLANTAIN_LONG=N runs N times as many random vectors.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fusedMultiplyAdd, mul } from "./arithmetic.ts";
import { type FloatFormat, f16, formatByFmt, nanBox } from "./format.ts";
import { SoftFloat, SoftFloatOp } from "./index.ts";
import { exponentOf, hardBits, hardBitsAt, Random, specialBits } from "./vectors.ts";

const compiler = "riscv64-linux-gnu-gcc";
const emulator = "qemu-riscv64-static";
const hasTools = [compiler, emulator].every((tool) => spawnSync(tool, ["--version"]).status === 0);
const rounds = Number(process.env["PLANTAIN_LONG"] ?? 1);

type OpName = keyof typeof SoftFloatOp;
type Triple = readonly [bigint, bigint, bigint];

/** How an operation is encoded and what its operands are. */
interface Instruction {
  /** The instruction word without rounding mode: OP-FP, or one of the four fused opcodes. */
  readonly word: (fmt: number) => number;
  /** The rm field: 7 takes the mode from frm, another is part of the operation. */
  readonly funct3: number;
  readonly operands: "one" | "two" | "three" | "integer";
  readonly toInteger?: boolean;
}

// Registers: rd 10, rs1 10, rs2 11 or the operation's own number, rs3 12.
const opFp = (funct5: number, rs2: number) => (fmt: number) =>
  ((funct5 << 27) | (fmt << 25) | (rs2 << 20) | (10 << 15) | (10 << 7) | 0x53) >>> 0;
const fused = (opcode: number) => (fmt: number) =>
  ((12 << 27) | (fmt << 25) | (11 << 20) | (10 << 15) | (10 << 7) | opcode) >>> 0;
const two = (funct5: number, funct3 = 7): Instruction => ({ word: opFp(funct5, 11), funct3, operands: "two" });
const comparison = (funct3: number): Instruction => ({ ...two(0x14, funct3), toInteger: true });
const toFormat = (to: number): Instruction => ({
  word: (from) => opFp(0x08, from)(to),
  funct3: 7,
  operands: "one",
});
const toInteger = (rs2: number): Instruction => ({
  word: opFp(0x18, rs2),
  funct3: 7,
  operands: "one",
  toInteger: true,
});
const fromInteger = (rs2: number): Instruction => ({ word: opFp(0x1a, rs2), funct3: 7, operands: "integer" });

const instructions: Record<OpName, Instruction> = {
  add: two(0x00),
  sub: two(0x01),
  mul: two(0x02),
  div: two(0x03),
  sqrt: { word: opFp(0x0b, 0), funct3: 7, operands: "one" },
  fmadd: { word: fused(0x43), funct3: 7, operands: "three" },
  fmsub: { word: fused(0x47), funct3: 7, operands: "three" },
  fnmsub: { word: fused(0x4b), funct3: 7, operands: "three" },
  fnmadd: { word: fused(0x4f), funct3: 7, operands: "three" },
  min: two(0x05, 0),
  max: two(0x05, 1),
  feq: comparison(2),
  flt: comparison(1),
  fle: comparison(0),
  classify: { word: opFp(0x1c, 0), funct3: 1, operands: "one", toInteger: true },
  toS: toFormat(0),
  toD: toFormat(1),
  toH: toFormat(2),
  toW: toInteger(0),
  toWu: toInteger(1),
  toL: toInteger(2),
  toLu: toInteger(3),
  fromW: fromInteger(0),
  fromWu: fromInteger(1),
  fromL: fromInteger(2),
  fromLu: fromInteger(3),
};

/** Words for oracle.c: one batch. */
function encodeBatch(op: OpName, fmt: number, rm: number, triples: readonly Triple[]): BigUint64Array {
  const { word, funct3, toInteger } = instructions[op];
  const batch = new BigUint64Array(2 + 3 * triples.length);
  batch[0] = BigInt(word(fmt) + funct3 * 2 ** 12 + rm * 2 ** 32 + (toInteger ? 2 ** 40 : 0));
  batch[1] = BigInt(triples.length);
  for (const [i, triple] of triples.entries()) batch.set(triple, 2 + 3 * i);
  return batch;
}

/** Random operands of a kind that is hard for `op`. Unboxed. */
function hardTriple(random: Random, op: OpName, format: FloatFormat, specials: readonly bigint[]): Triple {
  const { emin, precision } = format;
  const a = hardBits(random, format, specials);
  if (random.below(3) === 0) return [a, hardBits(random, format, specials), hardBits(random, format, specials)];
  const e = exponentOf(format, a);
  const near = (exponent: number, spread: number) =>
    hardBitsAt(random, format, exponent + random.between(-spread, spread));
  // The ends of the range, which a product or quotient meets with the right second factor.
  const edge = random.below(2) === 0 ? emin - random.between(0, precision) : 1 - emin;
  switch (op) {
    case "mul":
      return [a, near(edge - e, 2), 0n];
    case "div":
      return [a, near(e - edge, 2), 0n];
    case "sqrt": {
      // A square, or next to one.
      const root = hardBitsAt(random, format, random.between(emin / 2, -emin / 2));
      const square = mul({ flags: 0 }, format, root, root, 1);
      return [square + BigInt(random.between(-1, 1)), 0n, 0n];
    }
    case "fmadd":
    case "fmsub":
    case "fnmsub":
    case "fnmadd": {
      const b = random.below(2) === 0 ? near(0, precision) : near(edge - e, 3);
      if (random.below(2) === 0) return [a, b, near(e + exponentOf(format, b), 2 * precision + 3)];
      // Cancellation: the addend is the product, rounded, or a few units next to it.
      const product = fusedMultiplyAdd({ flags: 0 }, format, a, b, 0n, random.below(5), random.below(4) !== 0, false);
      return [a, b, product ^ BigInt(random.pick([0, 0, 0, 1, 2, 3]))];
    }
    case "toW":
    case "toWu":
    case "toL":
    case "toLu":
      return [near(random.pick([0, 15, 31, 32, 63, 64]), 2), 0n, 0n];
    case "toS":
    case "toH":
    case "toD": {
      const to = op === "toS" ? formatByFmt[0]! : op === "toD" ? formatByFmt[1]! : f16;
      return [near(random.pick([to.emin, to.emin - to.precision, 1 - to.emin, 0]), 3), 0n, 0n];
    }
    default:
      return [a, near(e, random.pick([1, precision + 3])), 0n];
  }
}

/** A 64-bit integer of any length, often with its bits at the ends only. */
function hardInteger(random: Random): bigint {
  const power = 1n << BigInt(random.below(64));
  const value = random.pick([
    random.u64() >> BigInt(random.below(64)),
    power + BigInt(random.between(-3, 3)),
    power | (power >> BigInt(random.pick([11, 12, 24, 25, 53, 54]))) | BigInt(random.below(2)),
    BigInt(random.between(-3, 3)),
  ]);
  return BigInt.asUintN(64, random.below(2) === 0 ? value : -value);
}

function triplesFor(op: OpName, format: FloatFormat, seed: number): Triple[] {
  const random = new Random(seed);
  const specials = specialBits(format);
  const signed = specials.flatMap((bits) => [bits, bits | format.signBit]);
  // One value of each kind, for all combinations of kinds.
  const { infinity, quietBit, signBit } = format;
  const kinds = [0n, 1n, infinity - 1n, infinity, infinity | 1n, infinity | quietBit].flatMap((x) => [x, x | signBit]);
  const box = (bits: bigint) => nanBox(format, bits);
  const triples: Triple[] = [];
  const count = 500 * rounds;
  switch (instructions[op].operands) {
    case "integer":
      for (let i = 0; i < count; i++) triples.push([hardInteger(random), 0n, 0n]);
      return triples;
    case "one":
      for (const a of signed) triples.push([box(a), 0n, 0n]);
      break;
    case "two":
      for (const a of signed) for (let i = 0; i < 24; i++) triples.push([box(a), box(random.pick(signed)), 0n]);
      for (const a of kinds) for (const b of kinds) triples.push([box(a), box(b), 0n]);
      break;
    case "three":
      for (let i = 0; i < 1500; i++) {
        triples.push([box(random.pick(signed)), box(random.pick(signed)), box(random.pick(signed))]);
      }
      for (const a of kinds) {
        for (const b of kinds) for (const c of kinds) triples.push([box(a), box(b), box(c)]);
      }
  }
  for (let i = 0; i < count; i++) {
    const [a, b, c] = hardTriple(random, op, format, specials);
    // A few operands are not boxed and must read as NaN.
    triples.push([i % 64 === 63 ? random.u64() : box(a), box(b), i % 64 === 62 ? c : box(c)]);
  }
  return triples;
}

const formatNames = ["S", "D", "H"];
const opNames = Object.keys(SoftFloatOp) as OpName[];

describe.skipIf(!hasTools)(`against ${emulator} (needs it and ${compiler})`, () => {
  const folder = mkdtempSync(join(tmpdir(), "plantain-softfloat-"));
  const program = join(folder, "oracle");
  let cpu = "rv64";
  let hasHalf = false;

  const run = (model: string, input: Uint8Array) =>
    spawnSync(emulator, ["-cpu", model, program], { cwd: folder, input, maxBuffer: 2 ** 31 });

  beforeAll(() => {
    const source = join(import.meta.dirname, "oracle.c");
    const build = spawnSync(compiler, ["-static", "-O1", "-o", program, source], { encoding: "utf8" });
    expect(build.stderr).toBe("");
    // Half precision has had several names on the command line.
    const probe = new Uint8Array(encodeBatch("add", 2, 0, [[0n, 0n, 0n]]).buffer);
    for (const model of ["max", "rv64,zfh=true", "rv64,Zfh=true"]) {
      if (run(model, probe).status !== 0) continue;
      cpu = model;
      hasHalf = true;
      break;
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  for (const [fmt, format] of formatByFmt.entries()) {
    test(`format ${formatNames[fmt]}: every operation in every rounding mode`, (context) => {
      // A conversion between formats names the other format too: Zfh has toH from S and D, and toS and toD from H.
      const ops = opNames.filter((op) => hasHalf || op !== "toH").filter((op) => op !== `to${formatNames[fmt]}`);
      context.skip(format === f16 && !hasHalf, `${emulator} has no Zfh`);
      const jobs = ops.flatMap((op, i) => {
        const triples = triplesFor(op, format, 1000 * fmt + i);
        const modes = instructions[op].funct3 === 7 ? [0, 1, 2, 3, 4] : [0];
        return modes.map((rm) => ({ op, rm, triples, batch: encodeBatch(op, fmt, rm, triples) }));
      });
      const answer = run(cpu, Buffer.concat(jobs.map(({ batch }) => new Uint8Array(batch.buffer))));
      expect(answer.status).toBe(0);
      const bytes = new Uint8Array(answer.stdout);
      const expected = new BigUint64Array(bytes.buffer, 0, bytes.length / 8);
      expect(expected.length).toBe(jobs.reduce((sum, { triples }) => sum + 2 * triples.length, 0));

      const unit = new SoftFloat();
      const wrong: string[] = [];
      let at = 0;
      for (const { op, rm, triples } of jobs) {
        for (const [a, b, c] of triples) {
          unit.flags = 0;
          const result = unit.softfloat(SoftFloatOp[op], fmt, a, b, c, rm);
          const oracle = expected[at]!;
          const oracleFlags = Number(expected[at + 1]);
          at += 2;
          if (result === oracle && unit.flags === oracleFlags) continue;
          const hex = [a, b, c, result, oracle].map((bits) => bits.toString(16));
          wrong.push(`${op} rm ${rm} (${hex.slice(0, 3)}): ${hex[3]}/${unit.flags}, oracle ${hex[4]}/${oracleFlags}`);
        }
      }
      expect(wrong.slice(0, 20), `${wrong.length} of ${at / 2} differ`).toEqual([]);
    });
  }
});
