// Registers as data: single ones, arrays of one kind, and banks (a group repeated).

import type { Access, Field } from "./fields.ts";
import { markSite } from "./source-line.ts";

/**
 * Fields by name.
 * @example const fields = { BUSY: ro(0), DONE: w1c(1) } satisfies FieldSpecs;
 */
export type FieldSpecs = Readonly<Record<string, Field>>;

/**
 * The value of a field, as the model sees it.
 * @example type Mode = FieldValue<typeof fields.MODE>; // "COPY" | "FILL"
 */
export type FieldValue<F> = F extends Field<infer V> ? V : never;

/**
 * Width of a register in bits.
 * @example const bytes = (width: Width) => width / 8;
 */
export type Width = 8 | 16 | 32 | 64;

/**
 * The value of a register of a width.
 * @example const value: Word<64> = 5n;
 */
export type Word<W> = W extends 64 ? bigint : number;

/**
 * A register: see `reg32`.
 * @example const STATUS: Register = reg32(0x04);
 */
export interface Register<F extends FieldSpecs = FieldSpecs, W extends Width = Width> {
  readonly kind: "register";
  /** In bytes from the start of the region, or of the bank that it is in. */
  readonly offset: number;
  readonly width: W;
  readonly fields: F;
  readonly access?: Access;
  readonly reset?: Word<W> | { readonly [name: string]: unknown };
  readonly sticky?: boolean;
  readonly doc?: string;
}

/**
 * What a register is, beside its place and width.
 * @example reg32(0x04, { reset: { MODE: "FILL" }, fields: { MODE: rw([3, 2], { COPY: 0, FILL: 1 }) }, doc: "what to do" })
 */
export interface RegisterOptions<F extends FieldSpecs, V> {
  /** Its fields by name. Bits in no field read as in `reset` and ignore writes. */
  readonly fields?: F;
  /** What accesses do to the register as a whole, if it has no fields; `rw` unless given. */
  readonly access?: Access;
  /** The value after a reset: of the register, or of some fields by name. 0 unless given. */
  readonly reset?: V | (object & { readonly [K in keyof NoInfer<F>]?: FieldValue<NoInfer<F>[K]> });
  /** Whether the value survives a reset of the running machine. */
  readonly sticky?: boolean;
  /** What it is for, in a few words: for documents and headers. */
  readonly doc?: string;
}

function register(offset: number, width: Width, options: RegisterOptions<FieldSpecs, unknown> = {}): Register {
  return markSite({ fields: {}, ...options, kind: "register", offset, width } as Register);
}

/**
 * A register of 8 bits.
 *
 * @param offset in bytes from the start of the region
 * @example DATA: reg8(0x00)
 */
export function reg8<const F extends FieldSpecs = {}>(
  offset: number,
  options?: RegisterOptions<F, number>,
): Register<F, 8> {
  return register(offset, 8, options) as Register<F, 8>;
}

/**
 * A register of 16 bits.
 *
 * @param offset in bytes from the start of the region, a multiple of 2
 * @example DIVISOR: reg16(0x02, { reset: 12 })
 */
export function reg16<const F extends FieldSpecs = {}>(
  offset: number,
  options?: RegisterOptions<F, number>,
): Register<F, 16> {
  return register(offset, 16, options) as Register<F, 16>;
}

/**
 * A register of 32 bits.
 *
 * @param offset in bytes from the start of the region, a multiple of 4
 * @example STATUS: reg32(0x04, { fields: { BUSY: ro(0), DONE: w1c(1) } })
 */
export function reg32<const F extends FieldSpecs = {}>(
  offset: number,
  options?: RegisterOptions<F, number>,
): Register<F, 32> {
  return register(offset, 32, options) as Register<F, 32>;
}

/**
 * A register of 64 bits; its value is a bigint.
 *
 * @param offset in bytes from the start of the region, a multiple of 8
 * @example SRC: reg64(0x08, { doc: "physical address to read from" })
 */
export function reg64<const F extends FieldSpecs = {}>(
  offset: number,
  options?: RegisterOptions<F, bigint>,
): Register<F, 64> {
  return register(offset, 64, options) as Register<F, 64>;
}

/**
 * Registers of one kind at equal distances: see `regs`.
 * @example const DATA: RegisterArray = regs(8, 4, reg32(0x40));
 */
export interface RegisterArray<G extends Register = Register> {
  readonly kind: "array";
  readonly count: number;
  /** The distance from one to the next in bytes. */
  readonly stride: number;
  /** The first one. */
  readonly register: G;
}

/**
 * An array of registers.
 *
 * @param count how many
 * @param stride the distance from one to the next in bytes
 * @param register the first one
 * @example DATA: regs(8, 4, reg32(0x40)) // regs.DATA[3].value, on.write("DATA", (value, index) => ...)
 */
export function regs<const G extends Register>(count: number, stride: number, register: G): RegisterArray<G> {
  return markSite({ kind: "array", count, stride, register });
}

/**
 * A group of registers, repeated: see `bank`.
 * @example const CH: Bank = bank(4, 0x20, 0x100, { CTRL: reg32(0x0) });
 */
export interface Bank<B extends BankSpecs = BankSpecs> {
  readonly kind: "bank";
  readonly count: number;
  /** The distance from one group to the next in bytes. */
  readonly stride: number;
  /** Where the first group begins, in bytes from the start of the region. */
  readonly offset: number;
  readonly registers: B;
}

/**
 * The registers of a bank by name.
 * @example const channel = { CTRL: reg32(0x0), SRC: reg64(0x8) } satisfies BankSpecs;
 */
export type BankSpecs = Readonly<Record<string, Register | RegisterArray>>;

/**
 * A bank: a group of registers, repeated, as a DMA controller has one for each channel.
 *
 * @param count how many groups
 * @param stride the distance from one group to the next in bytes
 * @param offset where the first one begins, in bytes from the start of the region
 * @param registers the group; their offsets count from its beginning
 * @example CH: bank(4, 0x20, 0x100, { CTRL: reg32(0x0), SRC: reg64(0x8) }) // regs.CH[2].CTRL.value
 */
export function bank<const B extends BankSpecs>(count: number, stride: number, offset: number, registers: B): Bank<B> {
  return markSite({ kind: "bank", count, stride, offset, registers });
}

/**
 * Registers, arrays and banks by name.
 * @example const registers = { ID: reg32(0x0), DATA: regs(8, 4, reg32(0x40)) } satisfies RegisterSpecs;
 */
export type RegisterSpecs = Readonly<Record<string, Register | RegisterArray | Bank>>;
