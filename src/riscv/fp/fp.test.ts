/**
 * The generated floating-point functions against the exact unit: every instruction in every mode, with NX clear and set,
 * result and flags. PLANTAIN_LONG=N runs N times as many vectors.
 */
import { describe, expect, test } from "vitest";
import { encodeModule, type Import, SignatureTable } from "../../wasm/encoder.ts";
import { F64, type Func, f64, fn, I32, ret } from "../../wasm/ir.ts";
import { lowerFunc } from "../../wasm/lower.ts";
import { fpFunctions } from "../fp.ts";
import { S } from "../layout.ts";
import { formatByFmt, nanBox } from "../softfloat/format.ts";
import { Flag, SoftFloat } from "../softfloat/index.ts";
import { Random } from "../softfloat/vectors.ts";
import { hardOperands, type Instruction, instructions, ordinaryOperands, type Triple } from "./operands-for-tests.ts";

const rounds = Number(process.env["PLANTAIN_LONG"] ?? 1);
const modes = [0, 1, 2, 3, 4];
const HART = 4096;

/** The functions in a module of their own, and a hart's state for them. */
class Machine {
  readonly view: DataView;
  /** Calls of the exact unit. */
  exactCalls = 0;
  private readonly unit = new SoftFloat();
  private readonly functions: Record<string, (...args: (number | bigint)[]) => bigint>;

  constructor(functions: readonly Func[]) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    this.view = new DataView(memory.buffer);
    const imports: Import[] = [
      { kind: "memory", module: "env", name: "memory", initial: 1, maximum: 1, shared: true },
      { kind: "func", module: "env", name: "softfloat", sig: { params: [I32, I32, I32], results: [] } },
    ];
    const index = new Map(["softfloat", ...functions.map((f) => f.name)].map((name, i) => [name, i]));
    const signatures = new SignatureTable();
    const compiled = functions.map((f) => lowerFunc(f, index, signatures, true));
    const module = new WebAssembly.Module(encodeModule(imports, signatures, compiled));
    const env = { memory, softfloat: (h: number, code: number, rm: number) => this.softfloat(h, code, rm) };
    this.functions = new WebAssembly.Instance(module, { env }).exports as typeof this.functions;
  }

  private get(offset: number): bigint {
    return this.view.getBigUint64(HART + offset, true);
  }

  private softfloat(h: number, code: number, rm: number): void {
    expect(h).toBe(HART);
    this.exactCalls++;
    this.unit.flags = 0;
    const [a, b, c] = [S.fa, S.fb, S.fc].map((field) => this.get(field.offset)) as [bigint, bigint, bigint];
    const result = this.unit.softfloat(code & 0xff, code >> 8, a, b, c, rm);
    this.view.setBigUint64(HART + S.result.offset, result, true);
    if (this.unit.flags === 0) return;
    this.fflags |= this.unit.flags;
    this.view.setInt32(HART + S.fsDirty.offset, 1, true);
  }

  get fflags(): number {
    return this.view.getInt32(HART + S.fflags.offset, true);
  }

  set fflags(value: number) {
    this.view.setInt32(HART + S.fflags.offset, value, true);
  }

  /** Executes; the destination register, unsigned. */
  run({ name, operands }: Instruction, registers: Triple, rm: number, fflags: number): bigint {
    this.fflags = fflags;
    this.view.setInt32(HART + S.fsDirty.offset, 0, true);
    return BigInt.asUintN(64, this.functions[name]!(HART, ...registers.slice(0, operands), rm));
  }

  get dirty(): boolean {
    return this.view.getInt32(HART + S.fsDirty.offset, true) === 1;
  }
}

/** Whether this host's relaxed_madd rounds once. */
function hostFuses(): boolean {
  const signatures = new SignatureTable();
  const madd = fn("madd", { a: F64, b: F64, c: F64 }, [F64], ({ a, b, c }) => [ret(f64.relaxed_madd(a, b, c), F64)]);
  const module = new WebAssembly.Module(encodeModule([], signatures, [lowerFunc(madd, new Map(), signatures, true)]));
  const run = new WebAssembly.Instance(module).exports["madd"] as (a: number, b: number, c: number) => number;
  const x = 1 + 2 ** -30;
  return run(x, x, -(x * x)) === 2 ** -60;
}

const fuses = hostFuses();
const variants = [false, true].filter((fused) => !fused || fuses);
const machines = variants.map((fused) => new Machine(fpFunctions(fused)));
const exact = new SoftFloat();

/** Runs one vector on all machines with NX clear and set, and with other flags. */
function check(instruction: Instruction, registers: Triple, rm: number, more: number): void {
  exact.flags = 0;
  const expected = exact.softfloat(instruction.op, instruction.fmt, ...registers, rm);
  for (const [i, machine] of machines.entries()) {
    for (const before of [0, Flag.NX, more]) {
      const result = machine.run(instruction, registers, rm, before);
      const after = before | exact.flags;
      // Dirty if a flag changed, clean if nothing was raised; between these either is right.
      const dirty = machine.dirty ? exact.flags !== 0 : after === before;
      if (result === expected && machine.fflags === after && dirty) continue;
      const hex = registers.map((r) => r.toString(16));
      expect.unreachable(
        `${instruction.name} ${hex} rm=${rm} fflags=${before} fused=${variants[i]}: ${result.toString(16)} flags ` +
          `${machine.fflags}, expected ${expected.toString(16)} flags ${after}; dirty ${machine.dirty}`,
      );
    }
  }
}

/** Double-precision arithmetic alone may ask the exact unit. */
const mayAsk = ({ name }: Instruction): boolean => /^f(add|sub|mul|div|sqrt|n?madd|n?msub)\.d$/.test(name);

describe(`against the exact unit, ${fuses ? "fused and not" : "not fused (this host does not fuse)"}`, () => {
  test.each(instructions)("$name", (instruction) => {
    const random = new Random(instruction.op * 4 + instruction.fmt);
    for (const machine of machines) machine.exactCalls = 0;
    const heavy = instruction.operands > 1 || instruction.op < 9;
    for (let i = 0; i < (heavy ? 700 : 350) * rounds; i++) {
      const registers = hardOperands(random, instruction);
      for (const rm of modes) check(instruction, registers, rm, random.below(32));
    }
    if (!mayAsk(instruction)) expect(machines.map((m) => m.exactCalls)).toEqual(machines.map(() => 0));
  });

  test.each(instructions.filter((i) => !i.fromInteger))("$name of zeros, infinities, NaNs, ends", (instruction) => {
    const format = formatByFmt[instruction.fmt]!;
    const { infinity, hiddenBit, canonicalNan, signBit, quietBit } = format;
    const one = hiddenBit * (1n - BigInt(format.emin));
    const values = [0n, 1n, hiddenBit, one, infinity - 1n, infinity, infinity | 1n, canonicalNan, canonicalNan | 1n];
    const registers = [...values, ...values.map((v) => v | signBit), quietBit].map((bits) => nanBox(format, bits));
    const [seconds, thirds] = [2, 3].map((n) => (instruction.operands < n ? [0n] : registers)) as [bigint[], bigint[]];
    let n = 0;
    for (const a of registers)
      for (const b of seconds) for (const c of thirds) check(instruction, [a, b, c], n++ % 5, 0);
  });
});

describe("the exact unit is not called", () => {
  const hot = (instruction: Instruction, registers: Triple, rm: number): void => {
    for (const machine of machines) {
      machine.exactCalls = 0;
      for (const fflags of [0, Flag.NX]) machine.run(instruction, registers, rm, fflags);
      expect(machine.exactCalls, `${instruction.name} ${registers} rm=${rm}`).toBe(0);
    }
  };

  test.each(instructions.filter(mayAsk))("for ordinary operands of $name, zeros, infinities, quiet NaNs", (f) => {
    const random = new Random(7);
    const others = [0n, 1n << 63n, 0x7ff0n << 48n, 0xfff0n << 48n, 0x7ff8n << 48n];
    for (let i = 0; i < 100; i++) {
      const registers = [...ordinaryOperands(random, f)] as [bigint, bigint, bigint];
      for (const rm of modes) hot(f, registers, rm);
      registers[random.below(f.operands)] = random.pick(others);
      // Only invalid operations, inf - inf of a fused addition, may go there.
      const isNan = registers.some((r) => r === 0x7ff8n << 48n);
      const infinities = registers.slice(0, f.operands).filter((r) => (r << 1n) >> 53n === 0x7ffn);
      const zeros = registers.slice(0, f.operands).filter((r) => r << 1n === 1n << 64n || r === 0n);
      if (isNan || infinities.length === 0 || zeros.length === 0) for (const rm of modes) hot(f, registers, rm);
    }
  });
});

describe("small functions answer alone with NX set, to nearest", () => {
  // A function that only others call must not be reached: it traps here.
  const only = (fused: boolean): Machine =>
    new Machine(
      fpFunctions(fused).map((f) =>
        /^(slow|fp)\./.test(f.name) ? { ...f, body: [{ k: "unreachable" as const }] } : f,
      ),
    );
  const machine = only(fuses);
  const isOwn = ({ name, fmt }: Instruction): boolean =>
    fmt !== 2 && !name.includes("h") && (fuses || !/^fn?m(add|sub)\.d/.test(name));

  test.each(instructions.filter(isOwn))("$name", (instruction) => {
    const random = new Random(11);
    const toInteger = /^fcvt\.[wl]/.test(instruction.name);
    for (let i = 0; i < 100; i++) {
      machine.run(instruction, ordinaryOperands(random, instruction), toInteger ? 1 : 0, Flag.NX);
    }
    expect(machine.exactCalls).toBe(0);
  });
});
