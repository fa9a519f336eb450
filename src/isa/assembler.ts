/**
 * A two-pass assembler for bare-metal programs, from the instruction table; it reads the GNU assembler's language
 * (one section, no macros, no linker) and writes the bytes that `as` and `ld --no-relax` would. Compressed encodings
 * are read by the harts but not chosen here.
 */
import { nearest } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { encodeFence, encodeOperands, type OperandScope } from "./encode-operands.ts";
import { evaluate, type Scope } from "./expression.ts";
import type { Insn } from "./insn.ts";
import { loadImmediate, pseudoNames, pseudoOf } from "./pseudo.ts";
import { xNumbers } from "./register-names.ts";
import { type Statement, splitOperands, statements, unquote } from "./statements.ts";
import { insns } from "./table.ts";

export interface AssembleOptions {
  /** The address of the first byte; 0 by default. */
  readonly base?: bigint;
  /** What the program may be told from outside: symbols with their values. */
  readonly symbols?: Readonly<Record<string, bigint>>;
  /** The source's name in messages. */
  readonly file?: string;
}

export interface Assembly {
  readonly base: bigint;
  readonly bytes: Uint8Array;
  /** Labels and `.equ` symbols. */
  readonly symbols: ReadonlyMap<string, bigint>;
}

/** More output than this is a mistake in the source. */
const MAX_BYTES = 1 << 28;

const byName: ReadonlyMap<string, Insn> = new Map(insns.map((insn) => [insn.name, insn]));
const ORDERINGS: readonly (readonly [string, number])[] = [
  [".aqrl", 3 << 25],
  [".aq", 1 << 26],
  [".rl", 1 << 25],
];
const FENCE_TSO = 0x8330000f;
const NOP = 0x13;
const COMPRESSED_NOP = 0x0001;

const IGNORED = new Set([
  ".text",
  ".globl",
  ".global",
  ".local",
  ".option",
  ".type",
  ".size",
  ".attribute",
  ".file",
  ".ident",
]);
const DATA: Readonly<Record<string, number>> = {
  ".byte": 1,
  ".half": 2,
  ".short": 2,
  ".hword": 2,
  ".2byte": 2,
  ".word": 4,
  ".long": 4,
  ".int": 4,
  ".4byte": 4,
  ".dword": 8,
  ".quad": 8,
  ".8byte": 8,
};
const OTHER = [
  ".align",
  ".p2align",
  ".balign",
  ".ascii",
  ".asciz",
  ".string",
  ".space",
  ".zero",
  ".skip",
  ".equ",
  ".set",
];

class Assembler {
  private readonly base: bigint;
  private readonly file: string;
  private readonly source: readonly Statement[];
  private readonly symbols: Map<string, bigint>;
  /** Names that are labels: defined once. */
  private readonly labels = new Set<string>();
  /** Addresses of the numeric labels in order of definition, and how many of each were passed. */
  private readonly numeric = new Map<string, bigint[]>();
  private readonly passed = new Map<string, number>();
  /** What each `auipc` with %pcrel_hi aimed at, by its address. */
  private readonly aims = new Map<bigint, bigint>();
  private final = false;
  private offset = 0;
  private bytes = new Uint8Array(4096);
  private readonly scope: Scope = {
    symbol: (name) => this.symbol(name),
    relocation: (name, argument) => this.relocation(name, argument),
  };

  constructor(source: string, options: AssembleOptions) {
    this.base = options.base ?? 0n;
    this.file = options.file ?? "source";
    this.source = statements(source, this.file);
    this.symbols = new Map(Object.entries(options.symbols ?? {}));
  }

  run(): Assembly {
    for (const final of [false, true]) {
      this.final = final;
      this.offset = 0;
      this.passed.clear();
      for (const statement of this.source) {
        try {
          this.statement(statement);
        } catch (e) {
          if (e instanceof UserError) throw new UserError(`${this.file}:${statement.line}: ${e.message}`);
          throw e;
        }
      }
    }
    return { base: this.base, bytes: this.bytes.slice(0, this.offset), symbols: this.symbols };
  }

  private get pc(): bigint {
    return this.base + BigInt(this.offset);
  }

  private symbol(name: string): bigint | undefined {
    if (name === ".") return this.pc;
    const reference = /^(\d+)([bf])$/.exec(name);
    if (reference) {
      const [, label, way] = reference as unknown as [string, string, string];
      const passed = this.passed.get(label) ?? 0;
      if (way === "b" && passed === 0) throw new UserError(`there is no label ${label} before this`);
      const address = this.numeric.get(label)?.[way === "b" ? passed - 1 : passed];
      if (address === undefined && this.final) throw new UserError(`there is no label ${label} after this`);
      return address;
    }
    const value = this.symbols.get(name);
    if (value === undefined && this.final) {
      const near = nearest(name, this.symbols.keys());
      throw new UserError(`symbol ${name} is not defined${near === undefined ? "" : `, did you mean ${near}?`}`);
    }
    return value;
  }

  private relocation(name: string, argument: string): bigint | undefined {
    const value = evaluate(argument, this.scope);
    const high = (v: bigint): bigint => BigInt.asUintN(20, (v + 0x800n) >> 12n);
    if (value === undefined) return undefined;
    const near = (distance: bigint): bigint => {
      if (this.final && BigInt.asIntN(32, distance + 0x800n) !== distance + 0x800n)
        throw new UserError(`%${name}(${argument}) is out of reach: ${distance}`);
      return distance;
    };
    switch (name) {
      case "hi":
        return high(near(value));
      case "lo":
        return BigInt.asIntN(12, value);
      case "pcrel_hi":
        this.aims.set(this.pc, value);
        return high(near(value - this.pc));
      case "pcrel_lo": {
        const aim = this.aims.get(value);
        if (aim === undefined && this.final)
          throw new UserError(`%pcrel_lo(${argument}): there is no auipc with %pcrel_hi at that address`);
        return aim === undefined ? undefined : BigInt.asIntN(12, aim - value);
      }
      default:
        throw new UserError(`%${name} is not known, expected %hi, %lo, %pcrel_hi or %pcrel_lo`);
    }
  }

  /** A value that must be known where it is used, for sizes depend on it. */
  private known(text: string): bigint {
    const value = evaluate(text, this.scope);
    if (value === undefined) throw new UserError(`"${text}" must be known at this point: define its symbols before`);
    return value;
  }

  private statement({ label, op, operands }: Statement): void {
    if (label !== undefined) this.define(label);
    if (op === undefined) return;
    if (op.startsWith(".")) this.directive(op, operands);
    else if (operands.startsWith("=")) this.assign(op, operands.slice(1));
    else this.instruction(op.toLowerCase(), splitOperands(operands));
  }

  private define(label: string): void {
    if (/^\d/.test(label)) {
      this.passed.set(label, (this.passed.get(label) ?? 0) + 1);
      if (this.final) return;
      const addresses = this.numeric.get(label) ?? [];
      addresses.push(this.pc);
      this.numeric.set(label, addresses);
      return;
    }
    if (!this.final && (this.labels.has(label) || this.symbols.has(label)))
      throw new UserError(`${label} is defined twice`);
    this.labels.add(label);
    this.symbols.set(label, this.pc);
  }

  private assign(name: string, text: string): void {
    if (this.labels.has(name)) throw new UserError(`${name} is defined twice`);
    this.symbols.set(name, this.known(text));
  }

  private emit(value: bigint, size: number): void {
    this.reserve(size);
    for (let i = 0; i < size; i++) this.bytes[this.offset++] = Number((value >> BigInt(8 * i)) & 0xffn);
  }

  private word(value: number): void {
    this.emit(BigInt(value >>> 0), 4);
  }

  private reserve(size: number): void {
    const needed = this.offset + size;
    if (needed > MAX_BYTES) throw new UserError(`the program is larger than ${MAX_BYTES >> 20} MiB`);
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes);
    this.bytes = larger;
  }

  private fill(count: bigint, value: bigint): void {
    if (count < 0n || count > BigInt(MAX_BYTES)) throw new UserError(`${count} bytes are more than a program may have`);
    this.reserve(Number(count));
    this.bytes.fill(Number(value & 0xffn), this.offset, this.offset + Number(count));
    this.offset += Number(count);
  }

  private align(alignment: bigint, fill: string | undefined): void {
    if (alignment <= 0n || alignment & (alignment - 1n) || alignment > 1n << 20n)
      throw new UserError(`alignment ${alignment} is no power of two up to 1 MiB`);
    let count = Number(-this.pc & (alignment - 1n));
    if (fill !== undefined) {
      this.fill(BigInt(count), this.known(fill));
      return;
    }
    // As `as` pads code: a zero byte, a compressed nop, then nops.
    if (count & 1) this.emit(0n, 1);
    if (count & 2) this.emit(BigInt(COMPRESSED_NOP), 2);
    for (count &= ~3; count > 0; count -= 4) this.word(NOP);
  }

  private directive(op: string, text: string): void {
    if (IGNORED.has(op)) return;
    const operands = splitOperands(text);
    const size = DATA[op];
    if (size !== undefined) {
      const bits = BigInt(size * 8);
      for (const operand of operands) {
        const value = evaluate(operand, this.scope) ?? 0n;
        if (this.final && size < 8 && (value < -(1n << (bits - 1n)) || value >= 1n << bits))
          throw new UserError(`${value} does not fit into ${op}`);
        this.emit(value, size);
      }
      return;
    }
    switch (op) {
      case ".align":
      case ".p2align": {
        const n = this.known(operands[0] ?? "0");
        if (n < 0n || n > 20n) throw new UserError(`${op} ${n}: expected 0 to 20, the power of two`);
        this.align(1n << n, operands[1]);
        return;
      }
      case ".balign":
        this.align(this.known(operands[0] ?? "1"), operands[1]);
        return;
      case ".ascii":
      case ".asciz":
      case ".string":
        for (const operand of operands) {
          for (const byte of unquote(operand)) this.emit(BigInt(byte), 1);
          if (op !== ".ascii") this.emit(0n, 1);
        }
        return;
      case ".space":
      case ".zero":
      case ".skip":
        this.fill(this.known(operands[0] ?? ""), operands[1] === undefined ? 0n : this.known(operands[1]));
        return;
      case ".equ":
      case ".set":
        if (operands.length !== 2) throw new UserError(`${op} takes a name and a value`);
        this.assign(operands[0]!, operands[1]!);
        return;
      case ".section":
        if (/^\.text\b/.test(operands[0] ?? "")) return;
    }
    if (/^\.(section|data|bss|rodata)/.test(op))
      throw new UserError(`${op}: a program has one section here, .text; put data into it`);
    const near = nearest(op, [...IGNORED, ...Object.keys(DATA), ...OTHER]);
    throw new UserError(`directive ${op} is not known${near === undefined ? "" : `, did you mean ${near}?`}`);
  }

  private instruction(op: string, operands: readonly string[]): void {
    if (op === "li") {
      if (operands.length !== 2) throw new UserError("li takes a register and a value");
      for (const [name, ...rest] of loadImmediate(operands[0]!, this.known(operands[1]!))) this.real(name, rest);
      return;
    }
    const lines = pseudoOf(op)?.(operands) ?? memorySymbol(op, operands);
    if (lines) for (const [name, ...rest] of lines) this.real(name, rest);
    else this.real(op, operands);
  }

  /** One instruction of the table. */
  private real(op: string, operands: readonly string[]): void {
    const scope: OperandScope = { pc: this.pc, final: this.final, value: (text) => evaluate(text, this.scope) ?? 0n };
    if (op === "fence" || op === "fence.i") {
      this.word(encodeFence(byName.get(op)!.match, operands));
      return;
    }
    if (op === "fence.tso" && operands.length === 0) {
      this.word(FENCE_TSO);
      return;
    }
    let insn = byName.get(op);
    let bits = 0;
    for (const [suffix, mask] of ORDERINGS)
      if (!insn && op.endsWith(suffix)) {
        const base = byName.get(op.slice(0, -suffix.length));
        if (base?.format === "AMO" || base?.format === "LR") [insn, bits] = [base, mask];
      }
    if (!insn) {
      const near = nearest(op, [...byName.keys(), ...pseudoNames()]);
      throw new UserError(`instruction ${op} is not known${near === undefined ? "" : `, did you mean ${near}?`}`);
    }
    // A constant in place of the last register means the form with an immediate.
    const withConstant =
      byName.get(`${op}i`) ??
      (op === "sltu" ? byName.get("sltiu") : op.endsWith("w") ? byName.get(`${op.slice(0, -1)}iw`) : undefined);
    if (withConstant && operands.length === 3 && !xNumbers.has(operands[2]!)) insn = withConstant;
    this.word((encodeOperands(insn, insn.name === "jalr" ? jalrOperands(operands) : operands, scope) | bits) >>> 0);
  }
}

/** The short forms of jalr: `rs1`, `offset(rs1)`, `rd, rs1`, `rd, rs1, offset`. */
function jalrOperands(operands: readonly string[]): readonly string[] {
  const [rd, base, offset] = operands.length === 1 ? ["ra", operands[0]!] : (operands as [string, string, string?]);
  if (offset !== undefined) return [rd, `${offset}(${base})`];
  return base === undefined ? operands : [rd, xNumbers.has(base) ? `0(${base})` : base];
}

/** `ld rd, symbol` and `sd rs, symbol, temporary`: an auipc and the access. */
function memorySymbol(
  op: string,
  operands: readonly string[],
): readonly (readonly [string, ...string[]])[] | undefined {
  const insn = byName.get(op);
  const where = operands[1];
  if (!insn?.operands[1]?.startsWith("imm(") || op === "jalr" || where === undefined || /\)\s*$/.test(where))
    return undefined;
  const through = operands[2] ?? (insn.operands[0] === "rd" ? operands[0] : undefined);
  if (through === undefined)
    throw new UserError(`${op} to a symbol needs a register for its address: ${op} ${operands.join(", ")}, t0`);
  return [
    ["auipc", through, `%pcrel_hi(${where})`],
    [op, operands[0]!, `%pcrel_lo(.-4)(${through})`],
  ];
}

/**
 * Assembles a program.
 *
 * @throws UserError with file and line for the first mistake.
 * @example
 * const { bytes } = assemble("loop: addi a0, a0, -1\n bnez a0, loop\n ret", { base: 0x80000000n });
 */
export const assemble = (source: string, options: AssembleOptions = {}): Assembly =>
  new Assembler(source, options).run();
