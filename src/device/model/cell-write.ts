// A guest's write as one register sees it, and what the guest did wrong by it.

import { cellValue, decode, fieldBits } from "./bits.ts";
import type { Cell, CellField, Layout } from "./layout.ts";
import { hex, members } from "./message-format.ts";
import type { DecodedValue } from "./register-map.ts";

/** The words of a write: what was written, to which bits (lanes), and what the register was before. */
export class CellWrite {
  readonly cell: Cell;
  readonly low: number;
  readonly high: number;
  readonly oldLow: number;
  readonly oldHigh: number;
  readonly #lowLanes: number;
  readonly #highLanes: number;

  constructor(
    cell: Cell,
    low: number,
    high: number,
    lowLanes: number,
    highLanes: number,
    oldLow: number,
    oldHigh: number,
  ) {
    this.cell = cell;
    this.low = low & lowLanes;
    this.high = high & highLanes;
    this.#lowLanes = lowLanes;
    this.#highLanes = highLanes;
    this.oldLow = oldLow;
    this.oldHigh = oldHigh;
  }

  /** Whether the write reaches any bit of the field. */
  covers({ low, high }: CellField): boolean {
    return ((low & this.#lowLanes) | (high & this.#highLanes)) !== 0;
  }

  /** What was written to a field; 0 where the write does not reach. */
  bits(field: CellField): number {
    return fieldBits(field, this.low, this.high);
  }

  /** The value of the register before. */
  get old(): number | bigint {
    return cellValue(this.cell, this.oldLow, this.oldHigh);
  }

  /** The value that a pulse brings, undefined if it is none: nothing was written, or no member of its enum. */
  pulse(field: CellField): DecodedValue | undefined {
    const bits = this.bits(field);
    if (bits === 0 || (field.names !== undefined && !field.names.has(bits))) return undefined;
    return decode(field, bits);
  }

  /** Whether the write is something else than what reserved bits reset to. */
  disturbs({ reset }: Layout, low: number, high: number): boolean {
    const { word } = this.cell;
    const wrongLow = (this.low ^ reset[word]!) & this.#lowLanes & low;
    const wrongHigh = high === 0 ? 0 : (this.high ^ reset[word + 1]!) & this.#highLanes & high;
    return (wrongLow | wrongHigh) !== 0;
  }
}

/** The guest's mistakes in a write; `unimplemented` is a shortcoming of the model instead. */
export interface WriteComplaints {
  guestError(message: string): void;
  unimplemented(message: string): void;
}

/**
 * Complains about a write that has been applied: `low` and `high` are the words of the cell now.
 * @returns the enum fields that must get their old values back
 */
export function checkWrite(
  write: CellWrite,
  layout: Layout,
  low: number,
  high: number,
  complaints: WriteComplaints,
): CellField[] {
  const { cell } = write;
  if (cell.readOnly) {
    complaints.guestError(`write to read-only ${cell.name}`);
    return [];
  }
  if (cell.access === "reserved" && write.disturbs(layout, cell.low, cell.high)) {
    complaints.guestError(`${cell.name} is reserved: written as ${hex(cellValue(cell, write.low, write.high))}`);
  }
  if (cell.access === "unimplemented" && cellValue(cell, low, high) !== write.old) {
    complaints.unimplemented(`${cell.name} is not implemented: written as ${hex(cellValue(cell, low, high))}`);
  }
  const wrong: CellField[] = [];
  for (const field of cell.fields) {
    if (!write.covers(field)) continue;
    const { info } = field;
    const name = `${cell.name}.${info.name}`;
    if (info.access === "reserved" && write.disturbs(layout, field.low, field.high)) {
      complaints.guestError(`${name} is reserved: written as ${hex(write.bits(field))}`);
    }
    const bits = fieldBits(field, low, high);
    if (info.access === "unimplemented" && bits !== fieldBits(field, write.oldLow, write.oldHigh)) {
      complaints.unimplemented(`${name} is not implemented: written as ${hex(bits)}`);
    }
    if (field.total) continue;
    const isPulse = info.access === "pulse";
    const value = isPulse ? write.bits(field) : bits;
    if (field.names!.has(value) || (isPulse && value === 0)) continue;
    complaints.guestError(`${name}: ${value} is none of ${members(info.values!)}`);
    if (!isPulse) wrong.push(field);
  }
  return wrong;
}
