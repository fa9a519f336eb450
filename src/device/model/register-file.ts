// The registers of one device: their storage, and what the guest's accesses do to it. docs/design/device-kit.md has the
// rules; the invariant is that an access acts on exactly the bits that it covers.

import { cellValue, decode, encode, fieldBits, highPart, lowPart } from "./bits.ts";
import { CellWrite, checkWrite, type WriteComplaints } from "./cell-write.ts";
import { type Cell, type CellField, type Layout, NOBODY } from "./layout.ts";
import { members, show } from "./message-format.ts";
import type { DecodedValue } from "./register-map.ts";

/** A callback of the author's. It is always called with four arguments, of which those it has no use for are undefined. */
export type Callback = (a?: unknown, b?: unknown, c?: unknown, d?: unknown) => unknown;

/** What runs for a register, or a field of it. */
interface Hook {
  /** As the author wrote it: `on.write("CTRL.START")`. */
  readonly label: string;
  readonly field: CellField | undefined;
  readonly run: Callback;
}

/** Runs after a write, or only after one that changes the value. */
export interface WriteHook extends Hook {
  readonly change: boolean;
}

/** Gives a value before a read; a derived one is computed whenever somebody looks. */
export interface ReadHook extends Hook {
  readonly derived: boolean;
}

/** What runs for a cell. */
interface CellHooks {
  readonly write: WriteHook[];
  readonly read: ReadHook[];
}

/** A register that an access reached: before, and with what the access itself changed. */
export interface TouchedCell {
  readonly cell: Cell;
  readonly old: number | bigint;
  readonly new: number | bigint;
}

/** The device around the registers. */
export interface RegisterOwner extends WriteComplaints {
  /** Runs a callback of the author's. */
  call(label: string, run: Callback, a?: unknown, b?: unknown, c?: unknown, d?: unknown): unknown;
  /** An error with the callback that it came from. */
  explain(label: string, error: unknown): unknown;
  /** An access to where no register is. */
  readNothing(offset: number, size: 1 | 2 | 4): number;
  writeNothing(offset: number, value: number, size: 1 | 2 | 4): void;
  /** Whether `accessed` is to be called. */
  readonly listening: boolean;
  accessed(write: boolean, offset: number, size: number, value: number | bigint, touched: readonly TouchedCell[]): void;
}

export class RegisterFile {
  readonly layout: Layout;
  readonly words: Uint32Array;
  /** Bits that have been another value than after the last reset: what a new definition does not begin anew. */
  readonly moved: Uint32Array;
  /** Whether any cell has a derived value. */
  hasDerived = false;
  /** The high word of the last read of 8 bytes. */
  high = 0;

  readonly #owner: RegisterOwner;
  /** By cell; undefined if nothing runs for it. */
  readonly #hooks: (CellHooks | undefined)[];
  /** What undeclared bytes beside declared ones read as. */
  readonly #unmapped: number;
  /** Cells whose derived values are being computed: their own look at themselves sees what is stored. */
  readonly #computing = new Set<Cell>();

  constructor(layout: Layout, unmapped: number, owner: RegisterOwner) {
    this.layout = layout;
    this.words = layout.reset.slice();
    this.moved = new Uint32Array(layout.words);
    this.#unmapped = unmapped;
    this.#owner = owner;
    this.#hooks = new Array<CellHooks | undefined>(layout.cells.length).fill(undefined);
  }

  /** Gives all registers their reset values; sticky ones keep theirs unless it is power-on. */
  reset(powerOn: boolean): void {
    const { reset, sticky } = this.layout;
    for (let word = 0; word < this.words.length; word++) {
      const kept = powerOn ? 0 : sticky[word]!;
      this.words[word] = (reset[word]! & ~kept) | (this.words[word]! & kept);
      this.moved[word]! &= kept;
    }
  }

  // --- the guest's accesses. Offsets are aligned to the size, or are taken apart by who calls.

  /** Reads up to 4 bytes. */
  read(offset: number, size: 1 | 2 | 4): number {
    const word = this.#wordAt(offset);
    const shift = this.#shift(offset, size);
    const lanes = lanesOf(size, shift);
    const owner = this.#owner;
    if (word === NOBODY || (this.layout.covered[word]! & lanes) === 0) {
      const value = cut(owner.readNothing(offset, size), size);
      if (owner.listening) owner.accessed(false, offset, size, value, []);
      return value;
    }
    const cells = this.#touched(word, lanes);
    const before = owner.listening ? this.#values(cells) : undefined;
    this.#beforeRead(cells, word, lanes);
    const value = cut(this.#load(word, lanes) >>> shift, size);
    if (before !== undefined) owner.accessed(false, offset, size, value, this.#changes(cells, before));
    return value;
  }

  /** Reads 8 bytes: returns the low word, the high one is in `high`. */
  read64(offset: number): number {
    const cell = this.#cell64(offset);
    if (cell === undefined) {
      const first = this.read(offset, 4);
      const second = this.read(offset + 4, 4);
      this.high = this.layout.bigEndian ? first : second;
      return this.layout.bigEndian ? second : first;
    }
    const cells = [cell];
    const owner = this.#owner;
    const before = owner.listening ? this.#values(cells) : undefined;
    this.#beforeRead(cells, NOBODY, -1);
    const low = this.#load(cell.word, -1);
    const high = this.#load(cell.word + 1, -1);
    if (before !== undefined) owner.accessed(false, offset, 8, join(low, high), this.#changes(cells, before));
    this.high = high;
    return low;
  }

  /** Writes up to 4 bytes. */
  write(offset: number, value: number, size: 1 | 2 | 4): void {
    const word = this.#wordAt(offset);
    const shift = this.#shift(offset, size);
    const lanes = lanesOf(size, shift);
    const owner = this.#owner;
    if (word === NOBODY || (this.layout.covered[word]! & lanes) === 0) {
      if (owner.listening) owner.accessed(true, offset, size, value, []);
      owner.writeNothing(offset, value, size);
      return;
    }
    const written = value << shift;
    const old = this.words[word]!;
    this.#put(word, this.#applied(word, written, lanes));
    const cells = this.#touched(word, lanes);
    if (!owner.listening && this.#areQuiet(cells)) return;
    const writes = cells.map((cell) =>
      word === cell.word
        ? new CellWrite(cell, written, 0, lanes, 0, old, this.#second(cell))
        : new CellWrite(cell, 0, written, 0, lanes, this.words[cell.word]!, old),
    );
    this.#written(offset, size, value, writes);
  }

  /** Writes 8 bytes. */
  write64(offset: number, low: number, high: number): void {
    const cell = this.#cell64(offset);
    if (cell === undefined) {
      this.write(offset, this.layout.bigEndian ? high : low, 4);
      this.write(offset + 4, this.layout.bigEndian ? low : high, 4);
      return;
    }
    const { word } = cell;
    const write = new CellWrite(cell, low, high, -1, -1, this.words[word]!, this.words[word + 1]!);
    this.#put(word, this.#applied(word, low, -1));
    this.#put(word + 1, this.#applied(word + 1, high, -1));
    this.#written(offset, 8, this.#owner.listening ? join(low, high) : 0, [write]);
  }

  /** The number of the word that an offset is in, NOBODY if it has no register. */
  #wordAt(offset: number): number {
    const word = offset >>> 2;
    const { table, far } = this.layout;
    if (word < table.length) return table[word]!;
    return far.size === 0 ? NOBODY : (far.get(word) ?? NOBODY);
  }

  /** The 64-bit register at an offset, if there is one. */
  #cell64(offset: number): Cell | undefined {
    const word = this.#wordAt(offset);
    const cell = word === NOBODY ? undefined : this.layout.cellsOf[word]![0];
    return cell?.width === 64 ? cell : undefined;
  }

  /** How far up in its word an access is. */
  #shift(offset: number, size: number): number {
    const within = offset & 3;
    return (this.layout.bigEndian ? 4 - size - within : within) * 8;
  }

  /** The cells that lanes of a word reach. */
  #touched(word: number, lanes: number): readonly Cell[] {
    const cells = this.layout.cellsOf[word]!;
    if (cells.length === 1) return cells;
    return cells.filter((cell) => (cell.low & lanes) !== 0);
  }

  /** The second word of a cell, 0 if it has none. */
  #second(cell: Cell): number {
    return cell.width === 64 ? this.words[cell.word + 1]! : 0;
  }

  /** What a word is after a write of `value` to its `lanes`. */
  #applied(word: number, value: number, lanes: number): number {
    const { masks } = this.layout;
    const old = this.words[word]!;
    const replaced = (masks.rw[word]! | masks.wo[word]! | masks.unimplemented[word]!) & lanes;
    const set = (masks.w1s[word]! & value) | (masks.w0s[word]! & ~value) | masks.ws[word]!;
    const cleared = (masks.w1c[word]! & value) | (masks.w0c[word]! & ~value) | masks.wc[word]!;
    const toggled = masks.w1t[word]! & value;
    const others = (old | (set & lanes)) & ~(cleared & lanes);
    return ((others ^ (toggled & lanes)) & ~replaced) | (value & replaced);
  }

  /** What a word reads as; the lanes have the effects of the read. */
  #load(word: number, lanes: number): number {
    const { masks, covered, hidden } = this.layout;
    const stored = this.words[word]!;
    this.#put(word, (stored & ~(masks.rc[word]! & lanes)) | (masks.rs[word]! & lanes));
    return ((stored & ~hidden[word]!) | (this.#unmapped & ~covered[word]!)) >>> 0;
  }

  // --- around accesses

  /** @param word the one that is read, NOBODY for both words of the cell */
  #beforeRead(cells: readonly Cell[], word: number, lanes: number): void {
    for (const cell of cells) {
      const hooks = this.#hooks[cell.index];
      if (hooks !== undefined) {
        for (const hook of hooks.read) if (isRead(hook.field, cell, word, lanes)) this.#compute(cell, hook);
      }
      if (cell.writeOnly) this.#owner.guestError(`read of write-only ${cell.name}`);
    }
  }

  /** Whether nobody has anything to say about a write to the cells. */
  #areQuiet(cells: readonly Cell[]): boolean {
    for (const cell of cells) if (cell.checked || this.#hooks[cell.index]?.write.length) return false;
    return true;
  }

  #written(offset: number, size: number, value: number | bigint, writes: readonly CellWrite[]): void {
    for (const write of writes) {
      const { cell } = write;
      if (!cell.checked) continue;
      const wrong = checkWrite(write, this.layout, this.words[cell.word]!, this.#second(cell), this.#owner);
      for (const field of wrong) {
        this.#store(cell.word, write.oldLow, field.low);
        if (field.high !== 0) this.#store(cell.word + 1, write.oldHigh, field.high);
      }
    }
    if (this.#owner.listening) {
      const touched = writes.map(({ cell, old }) => ({ cell, old, new: this.valueOf(cell) }));
      this.#owner.accessed(true, offset, size, value, touched);
    }
    for (const write of writes) this.#afterWrite(write);
  }

  #afterWrite(write: CellWrite): void {
    const { cell } = write;
    const hooks = this.#hooks[cell.index];
    if (hooks === undefined) return;
    // What a handler is told does not depend on what another one has assigned meanwhile.
    const low = this.words[cell.word]!;
    const high = this.#second(cell);
    for (const hook of hooks.write) {
      if (hook.field === undefined) this.#afterRegister(write, hook, low, high);
      else if (write.covers(hook.field)) this.#afterField(write, hook, hook.field, low, high);
    }
  }

  #afterRegister(write: CellWrite, { label, run, change }: WriteHook, low: number, high: number): void {
    const { cell, old } = write;
    const [i, j] = cell.indices;
    if (change) {
      const value = cellValue(cell, low, high);
      if (value !== old) this.#owner.call(label, run, value, old, i, j);
      return;
    }
    // Pulses are not kept, but whoever looks at the whole register sees them.
    const { pulse } = this.layout.masks;
    const lowPulses = write.low & pulse[cell.word]!;
    const highPulses = cell.width === 64 ? write.high & pulse[cell.word + 1]! : 0;
    this.#owner.call(label, run, cellValue(cell, (low | lowPulses) >>> 0, (high | highPulses) >>> 0), i, j);
  }

  #afterField(write: CellWrite, hook: WriteHook, field: CellField, low: number, high: number): void {
    const { label, run, change } = hook;
    const [i, j] = write.cell.indices;
    if (field.info.access === "pulse") {
      const value = write.pulse(field);
      if (value !== undefined) this.#owner.call(label, run, value, i, j);
      return;
    }
    const bits = fieldBits(field, low, high);
    if (!change) {
      this.#owner.call(label, run, decode(field, bits), i, j);
      return;
    }
    const old = fieldBits(field, write.oldLow, write.oldHigh);
    if (bits !== old) this.#owner.call(label, run, decode(field, bits), decode(field, old), i, j);
  }

  // --- what the author wants to happen

  addWriteHook(cell: Cell, hook: WriteHook): void {
    this.#hooksOf(cell).write.push(hook);
  }

  addReadHook(cell: Cell, hook: ReadHook): void {
    this.#hooksOf(cell).read.push(hook);
    if (hook.derived) this.hasDerived = true;
  }

  #hooksOf(cell: Cell): CellHooks {
    this.#hooks[cell.index] ??= { write: [], read: [] };
    return this.#hooks[cell.index]!;
  }

  /** What gives a register, or a field of it, its value before a read. */
  readHookOf(cell: Cell, field: CellField | undefined): ReadHook | undefined {
    return this.#hooks[cell.index]?.read.find((hook) => !hook.field || !field || hook.field === field);
  }

  /** Whether the word's reads are nothing but the word. */
  isPlain(word: number): boolean {
    return (
      this.layout.plain[word] === 1 && this.layout.cellsOf[word]!.every((cell) => !this.#hooks[cell.index]?.read.length)
    );
  }

  /** Computes what is derived in a cell. */
  refresh(cell: Cell): void {
    const hooks = this.#hooks[cell.index];
    if (hooks === undefined || this.#computing.has(cell)) return;
    this.#computing.add(cell);
    try {
      for (const hook of hooks.read) if (hook.derived) this.#compute(cell, hook);
    } finally {
      this.#computing.delete(cell);
    }
  }

  /** Lets a callback say what a register or field is now. */
  #compute(cell: Cell, { field, label, run, derived }: ReadHook): void {
    const [i, j] = cell.indices;
    const value = this.#owner.call(label, run, i, j);
    if (value === undefined && !derived) return;
    try {
      if (field === undefined) this.setValue(cell, value);
      else this.setField(cell, field, value);
    } catch (error) {
      throw this.#owner.explain(label, error);
    }
  }

  // --- the model's side: no effects

  /** A register's value as stored. */
  valueOf(cell: Cell): number | bigint {
    return cellValue(cell, this.words[cell.word]!, this.#second(cell));
  }

  /** A field's value as stored. */
  fieldOf(cell: Cell, field: CellField): DecodedValue {
    return decode(field, fieldBits(field, this.words[cell.word]!, this.#second(cell)));
  }

  /** Assigns a register. @throws RangeError if the value does not fit */
  setValue(cell: Cell, value: unknown): void {
    const { width, shift, word } = cell;
    let low: number;
    let high = 0;
    if (width === 64) {
      if (typeof value !== "bigint") throw new RangeError(`${cell.name} = ${show(value)}: expected a bigint`);
      if (value < 0n || value >> 64n !== 0n)
        throw new RangeError(`${cell.name} = ${show(value)} does not fit in 64 bits`);
      low = Number(value & 0xffff_ffffn);
      high = Number(value >> 32n);
    } else {
      if (typeof value !== "number" || !Number.isInteger(value)) {
        throw new RangeError(`${cell.name} = ${show(value)}: expected a whole number`);
      }
      if (value < 0 || value >= 2 ** width) {
        throw new RangeError(`${cell.name} = ${show(value)} does not fit in ${width} bits`);
      }
      low = (value << shift) >>> 0;
    }
    for (const field of cell.enums) {
      const held = fieldBits(field, low, high);
      if (field.info.access === "pulse" || field.names!.has(held)) continue;
      const { name, values } = field.info;
      throw new RangeError(`${cell.name} = ${show(value)}: ${name} would be ${held}, none of ${members(values!)}`);
    }
    this.#assign(word, low, cell.low);
    if (width === 64) this.#assign(word + 1, high, cell.high);
  }

  /** Assigns a field. @throws RangeError if the value does not fit */
  setField(cell: Cell, field: CellField, value: unknown): void {
    const bits = encode(cell, field, value);
    this.#assign(cell.word, lowPart(field, bits), field.low);
    if (field.high !== 0) this.#assign(cell.word + 1, highPart(field, bits), field.high);
  }

  #assign(word: number, value: number, mask: number): void {
    this.#store(word, value, mask & this.layout.held[word]!);
  }

  #store(word: number, value: number, mask: number): void {
    this.#put(word, (this.words[word]! & ~mask) | (value & mask));
  }

  #put(word: number, value: number): void {
    this.moved[word]! |= this.words[word]! ^ value;
    this.words[word] = value;
  }

  // --- for those who listen

  #values(cells: readonly Cell[]): (number | bigint)[] {
    return cells.map((cell) => this.valueOf(cell));
  }

  #changes(cells: readonly Cell[], before: readonly (number | bigint)[]): TouchedCell[] {
    return cells.map((cell, i) => ({ cell, old: before[i]!, new: this.valueOf(cell) }));
  }
}

/** The bits of a word that an access of `size` bytes, `shift` bits up, covers. */
function lanesOf(size: number, shift: number): number {
  return (size === 4 ? 0xffff_ffff : ((1 << (size * 8)) - 1) << shift) >>> 0;
}

function cut(value: number, size: number): number {
  return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
}

function join(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** Whether a read of lanes of a word reaches a field, or its register if there is none. */
function isRead(field: CellField | undefined, cell: Cell, word: number, lanes: number): boolean {
  if (field === undefined || word === NOBODY) return true;
  return ((word === cell.word ? field.low : field.high) & lanes) !== 0;
}
