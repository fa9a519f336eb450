// What a guest's accesses do to registers, against a model that is slow and obvious: bit by bit.

import { describe, expect, test } from "vitest";
import { testbench } from "../../testing/testbench.ts";
import { defineDevice } from "./define-device.ts";
import { ACCESSES, type Access } from "./fields.ts";
import { type Register, type RegisterSpecs, reg8, reg16, reg32, reg64 } from "./registers.ts";

const REGION = 0x40;
const UNMAPPED = 0xdead_beef;

type Endianness = "little" | "big";
type Size = 1 | 2 | 4 | 8;

/** A bit of a register: what kind it is, and what it holds. */
interface Bit {
  readonly access: Access | "none";
  value: number;
}

interface ReferenceRegister {
  readonly offset: number;
  readonly bits: Bit[];
}

/** Registers as arrays of bits; an access is a walk over its bits. */
class Reference {
  readonly #registers: readonly ReferenceRegister[];
  readonly #endianness: Endianness;

  constructor(registers: readonly ReferenceRegister[], endianness: Endianness) {
    this.#registers = registers;
    this.#endianness = endianness;
  }

  /** The bit of a register that is bit `bit` of the byte at `offset`. */
  #bitAt(offset: number, bit: number): Bit | undefined {
    for (const register of this.#registers) {
      const bytes = register.bits.length / 8;
      const byte = offset - register.offset;
      if (byte < 0 || byte >= bytes) continue;
      return register.bits[(this.#endianness === "little" ? byte : bytes - 1 - byte) * 8 + bit];
    }
    return undefined;
  }

  /** Which bit of a value of `size` bytes is bit `bit` of its byte `byte`. */
  #place(byte: number, bit: number, size: number): bigint {
    return BigInt((this.#endianness === "little" ? byte : size - 1 - byte) * 8 + bit);
  }

  read(offset: number, size: Size): bigint {
    if (size === 8) {
      const first = this.read(offset, 4);
      const second = this.read(offset + 4, 4);
      return this.#endianness === "little" ? (second << 32n) | first : (first << 32n) | second;
    }
    const bytes = Array.from({ length: size }, (_, byte) => byte);
    if (bytes.every((byte) => this.#bitAt(offset + byte, 0) === undefined)) {
      return BigInt.asUintN(8 * size, BigInt(UNMAPPED));
    }
    let value = 0n;
    for (const byte of bytes) {
      for (let bit = 0; bit < 8; bit++) {
        const found = this.#bitAt(offset + byte, bit);
        const nothing = (BigInt(UNMAPPED) >> this.#place((offset + byte) % 4, bit, 4)) & 1n;
        value |= (found === undefined ? nothing : BigInt(readBit(found))) << this.#place(byte, bit, size);
      }
    }
    return value;
  }

  write(offset: number, size: Size, value: bigint): void {
    for (let byte = 0; byte < size; byte++) {
      for (let bit = 0; bit < 8; bit++) {
        const found = this.#bitAt(offset + byte, bit);
        if (found !== undefined) writeBit(found, Number((value >> this.#place(byte, bit, size)) & 1n));
      }
    }
  }

  values(): bigint[] {
    return this.#registers.map(({ bits }) => bits.reduceRight((value, bit) => (value << 1n) | BigInt(bit.value), 0n));
  }
}

function readBit(bit: Bit): number {
  const { value, access } = bit;
  if (access === "rc") bit.value = 0;
  if (access === "rs") bit.value = 1;
  return access === "wo" || access === "pulse" ? 0 : value;
}

function writeBit(bit: Bit, written: number): void {
  switch (bit.access) {
    case "rw":
    case "wo":
    case "unimplemented":
      bit.value = written;
      break;
    case "w1c":
      if (written === 1) bit.value = 0;
      break;
    case "w1s":
      if (written === 1) bit.value = 1;
      break;
    case "w1t":
      if (written === 1) bit.value = 1 - bit.value;
      break;
    case "w0c":
      if (written === 0) bit.value = 0;
      break;
    case "w0s":
      if (written === 0) bit.value = 1;
      break;
    case "wc":
      bit.value = 0;
      break;
    case "ws":
      bit.value = 1;
      break;
    case "ro":
    case "rc":
    case "rs":
    case "pulse":
    case "constant":
    case "reserved":
    case "none":
      break;
  }
}

/** Numbers that look random and are the same every time: a 32-bit xorshift generator. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

const MAKERS = { 8: reg8, 16: reg16, 32: reg32, 64: reg64 } as const;
type AnyMaker = (offset: number, options: object) => Register;

/** The same registers as a spec and as a reference. */
interface Layout {
  readonly specs: RegisterSpecs;
  readonly registers: ReferenceRegister[];
}

function registerOf(width: 8 | 16 | 32 | 64, offset: number, accesses: readonly (Access | "none")[], reset: bigint) {
  // Runs of equal bits are fields; a register of one kind has none, so that both ways are tested.
  const fields: Record<string, object> = {};
  const uniform = accesses.every((access) => access === accesses[0]) && accesses[0] !== "none";
  const bits: Bit[] = accesses.map((access, n) => ({ access, value: Number((reset >> BigInt(n)) & 1n) }));
  for (let lsb = 0; lsb < width && !uniform; ) {
    const access = accesses[lsb]!;
    let msb = lsb;
    while (msb + 1 < width && accesses[msb + 1] === access && msb - lsb < 40) msb++;
    if (access !== "none") {
      const mask = (1n << BigInt(msb - lsb + 1)) - 1n;
      const value = Number((reset >> BigInt(lsb)) & mask);
      const wired = access === "constant" ? { value } : {};
      fields[`F${lsb}`] = { kind: "field", access, msb, lsb, flag: msb === lsb, ...wired };
    }
    lsb = msb + 1;
  }
  for (const bit of bits) if (bit.access === "pulse") bit.value = 0;
  const value = bits.reduceRight((sum, bit) => (sum << 1n) | BigInt(bit.value), 0n);
  const options = { reset: width === 64 ? value : Number(value), ...(uniform ? { access: accesses[0] } : { fields }) };
  return { spec: (MAKERS[width] as AnyMaker)(offset, options), reference: { offset, bits } };
}

function deviceOf(layout: Layout, endianness: Endianness) {
  return defineDevice({
    type: "random",
    mmio: { size: REGION, unmapped: UNMAPPED, endianness },
    registers: layout.specs,
  });
}

/** Registers of all widths at random places, with random kinds of bits. */
function randomLayout(roll: (sides: number) => number): Layout {
  const specs: Record<string, Register> = {};
  const registers: ReferenceRegister[] = [];
  const kinds: readonly (Access | "none")[] = [...ACCESSES, "none"];
  for (let offset = 0; offset < REGION; ) {
    const width = ([8, 16, 32, 64] as const)[roll(4)]!;
    const bytes = width / 8;
    offset = Math.ceil(offset / bytes) * bytes;
    if (offset + bytes > REGION) break;
    if (roll(4) !== 0) {
      const accesses: (Access | "none")[] = [];
      while (accesses.length < width) {
        const kind = kinds[roll(kinds.length)]!;
        for (let n = 1 + roll(roll(3) === 0 ? width : 6); n > 0 && accesses.length < width; n--) accesses.push(kind);
      }
      const reset = (BigInt(roll(2 ** 32)) << 32n) | BigInt(roll(2 ** 32));
      const { spec, reference } = registerOf(width, offset, accesses, BigInt.asUintN(width, reset));
      specs[`R${offset}`] = spec;
      registers.push(reference);
    }
    offset += bytes;
  }
  return { specs, registers };
}

/** Makes random accesses to device and reference, and compares everything after each. */
function compare(layout: Layout, endianness: Endianness, roll: (sides: number) => number, steps: number): void {
  const definition = deviceOf(layout, endianness);
  const d = testbench(definition);
  // The same again with somebody listening: then nothing goes the short way.
  const observed = testbench(definition);
  observed.device.observe({ access: () => {} });
  const reference = new Reference(layout.registers, endianness);
  const views = d.device.registers as Record<string, { value: number | bigint }>;
  const names = layout.registers.map(({ offset }) => `R${offset}`);
  for (let step = 0; step < steps; step++) {
    const size = ([1, 2, 4, 8] as const)[roll(4)]!;
    const offset = roll(REGION / size) * size;
    const bits = BigInt.asUintN(8 * size, (BigInt(roll(2 ** 32)) << 32n) | BigInt(roll(2 ** 32)));
    const value = ([0n, BigInt.asUintN(8 * size, -1n), bits] as const)[roll(3)]!;
    if (roll(2) === 0) {
      const expected = reference.read(offset, size);
      for (const bench of [d, observed]) {
        const seen = BigInt({ 1: bench.read8, 2: bench.read16, 4: bench.read32, 8: bench.read64 }[size](offset));
        if (seen !== expected)
          expect([`read ${size} at ${offset}`, seen]).toEqual([`read ${size} at ${offset}`, expected]);
      }
    } else {
      reference.write(offset, size, value);
      for (const bench of [d, observed]) {
        if (size === 8) bench.write64(offset, value);
        else ({ 1: bench.write8, 2: bench.write16, 4: bench.write32 })[size](offset, Number(value));
      }
    }
    const held = reference.values();
    if (!names.every((name, n) => BigInt(views[name]!.value) === held[n])) {
      expect([step, ...names.map((name) => BigInt(views[name]!.value))]).toEqual([step, ...held]);
    }
  }
  expect(observed.device.save().registers).toEqual(d.device.save().registers);
  expect(names.map((name) => BigInt(views[name]!.value))).toEqual(reference.values());
}

describe.each(["little", "big"] as const)("%s endian", (endianness) => {
  describe.each(ACCESSES)("%s", (access) => {
    test.each([8, 16, 32, 64] as const)("alone in a register of %i bits", (width) => {
      const accesses = Array.from({ length: width }, () => access);
      const { spec, reference } = registerOf(width, 0x8, accesses, BigInt.asUintN(width, 0xa5a5_5a5a_c3c3_3c3cn));
      const layout = { specs: { R8: spec }, registers: [reference] };
      compare(layout, endianness, dice(width), 100);
    });
  });

  test.each(Array.from({ length: 25 }, (_, seed) => seed + 1))("random registers %i", (seed) => {
    const roll = dice(seed * 0x9e37_79b1);
    compare(randomLayout(roll), endianness, roll, 120);
  });
});

describe("valid and impl", () => {
  const registers = { A: reg32(0x0), B: reg32(0x4), C: reg64(0x8) };

  test("the bus refuses what valid excludes, and nothing changes", () => {
    const d = testbench(defineDevice({ type: "d", mmio: { size: 0x10, valid: { min: 4, max: 4 } }, registers }));
    expect(() => d.write8(0, 1)).toThrow("access fault");
    expect(() => d.read16(0)).toThrow("access fault");
    expect(d.registers.A.value).toBe(0);
    // A wider register goes in pieces, as a driver would do it.
    d.write("C", 0x1122_3344_5566_7788n);
    expect(d.read("C")).toBe(0x1122_3344_5566_7788n);
    expect(d.accesses.map(({ offset, size }) => [offset, size])).toEqual([
      [0x8, 4],
      [0xc, 4],
      [0x8, 4],
      [0xc, 4],
    ]);
  });

  test("impl widens a smaller write with zeros and a smaller read", () => {
    const d = testbench(defineDevice({ type: "d", mmio: { size: 0x10, impl: { min: 4, max: 4 } }, registers }));
    d.registers.A.value = 0x1234_5678;
    expect(d.read8(0)).toBe(0x78);
    d.write8(0, 0xff);
    expect(d.registers.A.value).toBe(0xff);
  });

  test("impl splits what is larger", () => {
    const seen: unknown[] = [];
    const definition = defineDevice({
      type: "d",
      mmio: { size: 0x10, impl: { max: 4 } },
      registers,
      setup: ({ on }) => on.write("C", (value) => seen.push(value)),
    });
    testbench(definition).write64(0x8, 0x1_0000_0002n);
    expect(seen).toEqual([2n, 0x1_0000_0002n]);
  });

  test("without them 64 bits are one access to a 64-bit register", () => {
    const seen: unknown[] = [];
    const definition = defineDevice({
      type: "d",
      mmio: { size: 0x10 },
      registers,
      setup({ on }) {
        on.write("A", (value) => seen.push("A", value));
        on.write("B", (value) => seen.push("B", value));
        on.write("C", (value) => seen.push("C", value));
      },
    });
    const d = testbench(definition);
    d.write64(0x8, 0x1_0000_0002n);
    d.write64(0x0, 0x3_0000_0004n);
    expect(seen).toEqual(["C", 0x1_0000_0002n, "A", 4, "B", 3]);
  });
});

test("registers far from each other, in a region of 4 GiB", () => {
  const d = testbench(
    defineDevice({
      type: "far",
      mmio: { size: 2 ** 32 },
      registers: { FIRST: reg32(0), FAR: reg32(0x8000_0000, { reset: 7 }), LAST: reg64(0xffff_fff8) },
    }),
  );
  d.write("LAST", 0x1234_5678_9abc_def0n);
  expect(d.read("FAR")).toBe(7);
  expect(d.read32(0xffff_fffc)).toBe(0x1234_5678);
  expect(d.read32(0x4000_0000)).toBe(0);
  expect(d.guestErrors).toEqual(["read of 4 bytes at 0x40000000: no register is there"]);
});
