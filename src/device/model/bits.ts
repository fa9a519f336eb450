// Bits of a cell, which is one 32-bit word or two (the less significant first).

import { didYouMean } from "../../util/nearest.ts";
import type { Cell, CellField } from "./layout.ts";
import { members, plural, show } from "./message-format.ts";
import type { DecodedValue } from "./register-map.ts";

const TWO_32 = 2 ** 32;

/** `size` (up to 53) bits from bit `at` of the two words. Unsigned. */
function extract(low: number, high: number, at: number, size: number): number {
  if (at >= 32) return cut(high >>> (at - 32), size);
  if (at + size <= 32) return cut(low >>> at, size);
  return (low >>> at) + cut(high, at + size - 32) * 2 ** (32 - at);
}

/** The low `size` bits of a word, all of it for 32 and more. */
function cut(word: number, size: number): number {
  return size >= 32 ? word >>> 0 : word & ((1 << size) - 1);
}

/** The part of a field's bits that goes into the cell's first word, at its place there. */
export function lowPart({ at, low }: CellField, bits: number): number {
  return at >= 32 ? 0 : (((bits % TWO_32) << at) & low) >>> 0;
}

/** The same for the second word. */
export function highPart({ at, high }: CellField, bits: number): number {
  const shifted = at >= 32 ? (bits % TWO_32) << (at - 32) : Math.floor(bits / 2 ** (32 - at));
  return (shifted & high) >>> 0;
}

/** A field's bits, from the words of its cell. */
export function fieldBits(field: CellField, low: number, high: number): number {
  return extract(low, high, field.at, field.size);
}

/** A field's bits as its author sees them. */
export function decode(field: CellField, bits: number): DecodedValue {
  if (field.names !== undefined) return field.names.get(bits) ?? bits;
  return field.flag ? bits !== 0 : bits;
}

/** The value of a register, from the words of its cell. */
export function cellValue(cell: Cell, low: number, high: number): number | bigint {
  if (cell.width === 64) return (BigInt(high) << 32n) | BigInt(low);
  return cut(low >>> cell.shift, cell.width);
}

/**
 * A field's bits for a value of its author's.
 * @throws RangeError if it is none of the field's
 */
export function encode(cell: Cell, { info, names, flag, size }: CellField, value: unknown): number {
  const name = `${cell.name}.${info.name}`;
  if (names !== undefined) {
    const { values } = info;
    if (typeof value === "string" && Object.hasOwn(values!, value)) return values![value]!;
    throw new RangeError(
      `${name} = ${show(value)} is none of ${members(values!)}${didYouMean(String(value), Object.keys(values!))}`,
    );
  }
  const bits = flag && typeof value === "boolean" ? Number(value) : value;
  if (typeof bits !== "number" || !Number.isInteger(bits)) {
    throw new RangeError(`${name} = ${show(value)}: expected ${flag ? "true or false" : "a whole number"}`);
  }
  if (bits < 0 || bits >= 2 ** size) {
    throw new RangeError(`${name} = ${show(value)} does not fit in ${plural(size, "bit")}`);
  }
  return bits;
}
