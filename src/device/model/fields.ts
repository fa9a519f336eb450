// The fields of registers: what a guest's reads and writes do to some bits. docs/design/device-kit.md has the table.

import { markSite } from "./source-line.ts";

/**
 * What an access of the guest does to bits.
 *
 * `rw` read and write; `ro` read only; `wo` write only, reads as 0; `w1c`, `w1s`, `w1t` a written 1 clears, sets, toggles;
 * `w0c`, `w0s` a written 0 clears, sets; `rc`, `rs` a read clears, sets; `wc`, `ws` any write clears, sets; `pulse` a
 * written value is an event and reads as 0; `constant` nobody changes it; `reserved` nobody uses it; `unimplemented`
 * kept like `rw`, but a change is logged because the model does nothing with it.
 * @example ID: reg32(0x00, { access: "ro", reset: 0xba000001 })
 */
export type Access =
  | "rw"
  | "ro"
  | "wo"
  | "w1c"
  | "w1s"
  | "w1t"
  | "w0c"
  | "w0s"
  | "rc"
  | "rs"
  | "wc"
  | "ws"
  | "pulse"
  | "constant"
  | "reserved"
  | "unimplemented";

/** Every kind of access, for checks and tests. */
export const ACCESSES: readonly Access[] = [
  "rw",
  "ro",
  "wo",
  "w1c",
  "w1s",
  "w1t",
  "w0c",
  "w0s",
  "rc",
  "rs",
  "wc",
  "ws",
  "pulse",
  "constant",
  "reserved",
  "unimplemented",
];

/**
 * Where a field is: one bit, or the highest and the lowest of several. Bit 0 is the least significant.
 * @example
 * rw(3); // one bit
 * rw([7, 4]); // bits 7 to 4
 */
export type Bits = number | readonly [msb: number, lsb: number];

/**
 * The names of a field's values: `{ COPY: 0, FILL: 1 }`.
 * @example rw([3, 2], { COPY: 0, FILL: 1 })
 */
export type EnumValues = Readonly<Record<string, number>>;

declare const fieldValue: unique symbol;

/**
 * A field of a register, whose value is a `V` to the model.
 * @example const done: Field<boolean, "w1c"> = w1c(1);
 */
export interface Field<V = unknown, A extends Access = Access> {
  readonly kind: "field";
  readonly access: A;
  readonly msb: number;
  readonly lsb: number;
  /** The names of its values, if it is an enum. */
  readonly values?: EnumValues;
  /** What a constant is. */
  readonly value?: number;
  /** Whether it was given as one bit: then its value is a boolean unless it is an enum. */
  readonly flag: boolean;
  readonly sticky?: boolean;
  readonly doc?: string;
  /** Only there for the compiler. */
  readonly [fieldValue]?: V;
}

/**
 * Makes a field: a bit is a boolean, several bits are a number, and with names for the values it is one of the names.
 * @example const BITS: FieldMaker<"rw"> = rw;
 */
export interface FieldMaker<A extends Access> {
  (bit: number, doc?: string): Field<boolean, A>;
  (bits: readonly [msb: number, lsb: number], doc?: string): Field<number, A>;
  <const E extends EnumValues>(bits: Bits, values: E, doc?: string): Field<keyof E & string, A>;
}

function maker<A extends Access>(access: A): FieldMaker<A> {
  return ((bits: Bits, second?: EnumValues | string, third?: string) => {
    const values = typeof second === "object" ? second : undefined;
    const doc = typeof second === "string" ? second : third;
    return makeField(access, bits, { ...(values && { values }), ...(doc !== undefined && { doc }) });
  }) as FieldMaker<A>;
}

function makeField<A extends Access>(access: A, bits: Bits, more: Partial<Field>): Field<never, A> {
  const [msb, lsb] = typeof bits === "object" ? bits : [bits, bits];
  return markSite({ kind: "field", access, msb, lsb, flag: typeof bits !== "object", ...more } as Field<never, A>);
}

/**
 * The guest reads and writes the field.
 * @example MODE: rw([3, 2], { COPY: 0, FILL: 1 }, "what a transfer does")
 */
export const rw: FieldMaker<"rw"> = maker("rw");

/**
 * The guest only reads the field; its writes are ignored. The model assigns it.
 * @example BUSY: ro(0, "a transfer is running")
 */
export const ro: FieldMaker<"ro"> = maker("ro");

/**
 * The guest only writes the field; it reads as 0. The model sees what was written.
 * @example KEY: wo([31, 16])
 */
export const wo: FieldMaker<"wo"> = maker("wo");

/**
 * The guest clears the bits to which it writes a 1: the usual way to acknowledge an interrupt.
 * @example DONE: w1c(1, "a transfer has ended")
 */
export const w1c: FieldMaker<"w1c"> = maker("w1c");

/**
 * The guest sets the bits to which it writes a 1.
 * @example ENABLE_SET: w1s([15, 0])
 */
export const w1s: FieldMaker<"w1s"> = maker("w1s");

/**
 * The guest toggles the bits to which it writes a 1.
 * @example LEDS: w1t([3, 0])
 */
export const w1t: FieldMaker<"w1t"> = maker("w1t");

/**
 * The guest clears the bits to which it writes a 0.
 * @example PENDING: w0c([7, 0])
 */
export const w0c: FieldMaker<"w0c"> = maker("w0c");

/**
 * The guest sets the bits to which it writes a 0.
 * @example MASK: w0s([7, 0])
 */
export const w0s: FieldMaker<"w0s"> = maker("w0s");

/**
 * The guest's read clears the bits that it reads.
 * @example ERRORS: rc([7, 0], "since the last look")
 */
export const rc: FieldMaker<"rc"> = maker("rc");

/**
 * The guest's read sets the bits that it reads: a semaphore.
 * @example LOCK: rs(0, "reads as 0 to the one who gets it")
 */
export const rs: FieldMaker<"rs"> = maker("rs");

/**
 * The guest's write, of any value, clears the bits that it covers.
 * @example COUNT: wc([15, 0])
 */
export const wc: FieldMaker<"wc"> = maker("wc");

/**
 * The guest's write, of any value, sets the bits that it covers.
 * @example ARMED: ws(0)
 */
export const ws: FieldMaker<"ws"> = maker("ws");

/**
 * A written value is an event (`on.write`) and is not kept: the field reads as 0.
 * @example START: pulse(0, "begins a transfer")
 */
export const pulse: FieldMaker<"pulse"> = maker("pulse");

/**
 * Bits that are wired to a value: neither guest nor model changes them.
 * @example VERSION: constant([7, 0], 0x21)
 */
export const constant: {
  (bit: number, value: boolean, doc?: string): Field<boolean, "constant">;
  (bits: readonly [msb: number, lsb: number], value: number, doc?: string): Field<number, "constant">;
} = ((bits: Bits, value: number | boolean, doc?: string) =>
  makeField("constant", bits, { value: Number(value), ...(doc !== undefined && { doc }) })) as never;

/**
 * Bits that the data sheet says to leave alone: to write another value than they reset to is a guest error.
 * @example RESERVED: reserved([31, 8])
 */
export const reserved: FieldMaker<"reserved"> = maker("reserved");

/**
 * Bits that the hardware has and the model does nothing with: kept like `rw`, a change is logged (`-d unimp`).
 * @example LOW_POWER: unimplemented(7)
 */
export const unimplemented: FieldMaker<"unimplemented"> = maker("unimplemented");

/**
 * A field whose value survives a reset of the running machine: made of another field, or like `rw`.
 * @example CAUSE: sticky(w1c([3, 0], "why the last reset was"))
 */
export const sticky: FieldMaker<"rw"> & (<V, A extends Access>(field: Field<V, A>) => Field<V, A>) = ((
  first: Bits | Field,
  ...more: []
) => {
  const field = typeof first === "object" && "kind" in first ? first : rw(first as number, ...more);
  return markSite({ ...field, sticky: true });
}) as never;
