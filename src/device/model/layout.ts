// How a register map lies in storage: 32-bit words, and for each word masks of the bits that an access changes in one
// way or another. Made once per definition; every device of the type shares it.

import { ACCESSES, type Access } from "./fields.ts";
import { expandRegisters, type FieldInfo, isFlag, type PlacedRegister, type RegisterMap } from "./register-map.ts";

/** A word's number where the region has no register. */
export const NOBODY = -1;

/** Words of the region that are looked up in an array; beyond, a Map is as good. 256 KiB of region. */
const TABLE_LIMIT = 65_536;

/** What guests cannot change by writing. */
const NOT_WRITABLE: ReadonlySet<Access> = new Set(["ro", "rc", "rs", "constant", "reserved"]);
/** What guests cannot see by reading. */
const NOT_READABLE: ReadonlySet<Access> = new Set(["wo", "pulse"]);
/** What the model can hold no value in. */
const NOT_HELD: ReadonlySet<Access> = new Set(["constant", "reserved", "pulse"]);

/** A field of a cell. */
export interface CellField {
  readonly info: FieldInfo;
  /** Its lowest bit, counted from the lowest bit of the cell's first word. */
  readonly at: number;
  /** In bits. */
  readonly size: number;
  /** Its bits in the cell's first and second word. */
  readonly low: number;
  readonly high: number;
  readonly flag: boolean;
  /** The names of an enum's values. */
  readonly names: ReadonlyMap<number, string> | undefined;
  /** Whether every value of its bits is a member, or it is no enum. */
  readonly total: boolean;
}

/** A single register in storage. */
export interface Cell extends PlacedRegister {
  /** Position among the cells. */
  readonly index: number;
  readonly width: number;
  /** The number of its word; of the low one if it has 64 bits, and the high one follows. */
  readonly word: number;
  /** Its lowest bit in the word. */
  readonly shift: number;
  /** Its bits in the words. */
  readonly low: number;
  readonly high: number;
  readonly fields: readonly CellField[];
  /** Whether no bit of it can be written, or read, by the guest. */
  readonly readOnly: boolean;
  readonly writeOnly: boolean;
  /** Enums that do not name all values of their bits. */
  readonly enums: readonly CellField[];
  /** Whether a write of the guest may be wrong. */
  readonly checked: boolean;
  /** Of a register without fields. */
  readonly access: Access | undefined;
}

/** Masks by word. */
type Masks = { readonly [A in Access]: Uint32Array };

export interface Layout {
  readonly map: RegisterMap;
  readonly bigEndian: boolean;
  /** Sorted by offset. */
  readonly cells: readonly Cell[];
  /** By name with indices. */
  readonly byName: ReadonlyMap<string, Cell>;
  /** By name without indices: all elements of an array or bank. */
  readonly byPath: ReadonlyMap<string, readonly Cell[]>;
  /** Number of words. */
  readonly words: number;
  /** Word numbers by the words of the region, NOBODY where there is no register. */
  readonly table: Int32Array;
  /** The same for what is beyond the table. */
  readonly far: ReadonlyMap<number, number>;
  /** The cells of each word in the order of their offsets. */
  readonly cellsOf: readonly (readonly Cell[])[];
  readonly masks: Masks;
  /** Bits that belong to registers. */
  readonly covered: Uint32Array;
  /** Bits that guests read as 0. */
  readonly hidden: Uint32Array;
  /** Bits that the model can assign. */
  readonly held: Uint32Array;
  readonly sticky: Uint32Array;
  readonly reset: Uint32Array;
  /** 1 where a read is nothing but the word. */
  readonly plain: Uint8Array;
  readonly has64: boolean;
}

/** Lays a register map out. */
export function layOut(map: RegisterMap): Layout {
  const bigEndian = map.endianness === "big";
  const placed = expandRegisters(map);
  const numbers = numberWords(placed, bigEndian);
  const words = numbers.size;
  const cells = placed.map((register, index) => cellOf(register, index, numbers, bigEndian));
  let last = -1;
  for (const word of numbers.keys()) if (word < TABLE_LIMIT && word > last) last = word;
  const table = new Int32Array(last + 1).fill(NOBODY);
  const far = new Map<number, number>();
  for (const [word, number] of numbers) {
    if (word < TABLE_LIMIT) table[word] = number;
    else far.set(word, number);
  }
  const array = () => new Uint32Array(words);
  const layout = {
    map,
    bigEndian,
    cells,
    byName: new Map(cells.map((cell) => [cell.name, cell])),
    byPath: Map.groupBy(cells, (cell) => cell.path),
    words,
    table,
    far,
    cellsOf: Array.from({ length: words }, (): Cell[] => []),
    masks: Object.fromEntries(ACCESSES.map((access) => [access, array()])) as Masks,
    covered: array(),
    hidden: array(),
    held: array(),
    sticky: array(),
    reset: array(),
    plain: new Uint8Array(words),
    has64: cells.some((cell) => cell.width === 64),
  };
  for (const cell of cells) addCell(layout, cell);
  for (let word = 0; word < words; word++) {
    const { masks, covered, hidden, plain } = layout;
    const special = masks.rc[word]! | masks.rs[word]! | hidden[word]! | ~covered[word]!;
    plain[word] = special === 0 ? 1 : 0;
  }
  return layout;
}

/** Numbers for the words of the region that have registers: the two of 64 bits in the order of their significance. */
function numberWords(placed: readonly PlacedRegister[], bigEndian: boolean): Map<number, number> {
  const numbers = new Map<number, number>();
  for (const { offset, info } of placed) {
    const word = Math.floor(offset / 4);
    if (info.width === 64) {
      const first = numbers.size;
      numbers.set(word, bigEndian ? first + 1 : first);
      numbers.set(word + 1, bigEndian ? first : first + 1);
    } else if (!numbers.has(word)) {
      numbers.set(word, numbers.size);
    }
  }
  return numbers;
}

function cellOf(
  register: PlacedRegister,
  index: number,
  numbers: ReadonlyMap<number, number>,
  bigEndian: boolean,
): Cell {
  const { info, offset } = register;
  const { width } = info;
  const region = Math.floor(offset / 4);
  const word = numbers.get(width === 64 && bigEndian ? region + 1 : region)!;
  const within = (offset % 4) * 8;
  const shift = width >= 32 ? 0 : bigEndian ? 32 - width - within : within;
  const fields = info.fields.map((field) => fieldOf(field, shift));
  // Without fields, all of it is one access.
  const access = info.fields.length === 0 ? (info.access as Access) : undefined;
  const accesses = access === undefined ? info.fields.map((field) => field.access) : [access];
  const used = accesses.some((kind) => kind !== "reserved");
  const only = (kinds: ReadonlySet<Access>) => accesses.every((kind) => kinds.has(kind) || kind === "reserved");
  return {
    ...register,
    index,
    width,
    word,
    shift,
    low: lowMask(shift, width),
    high: width === 64 ? 0xffff_ffff : 0,
    fields,
    readOnly: used && only(NOT_WRITABLE),
    writeOnly: used && only(NOT_READABLE),
    enums: fields.filter((field) => !field.total),
    checked:
      access === "reserved" || access === "unimplemented" || fields.some(isChecked) || (used && only(NOT_WRITABLE)),
    access,
  };
}

function isChecked({ info, total }: CellField): boolean {
  return !total || info.access === "reserved" || info.access === "unimplemented";
}

function fieldOf(info: FieldInfo, shift: number): CellField {
  const at = shift + info.lsb;
  const size = info.msb - info.lsb + 1;
  const names = info.values && new Map(Object.entries(info.values).map(([name, value]) => [value, name]));
  return {
    info,
    at,
    size,
    low: lowMask(at, size),
    high: highMask(at, size),
    flag: isFlag(info),
    names,
    total: names === undefined || names.size === 2 ** size,
  };
}

/** Bits `at` to `at + size - 1`, as far as they are in the first word. */
function lowMask(at: number, size: number): number {
  if (at >= 32) return 0;
  const end = Math.min(32, at + size);
  return Number(((1n << BigInt(end)) - 1n) & ~((1n << BigInt(at)) - 1n));
}

/** The same for the second word. */
function highMask(at: number, size: number): number {
  return at + size <= 32 ? 0 : lowMask(Math.max(0, at - 32), at + size - Math.max(32, at));
}

function addCell(layout: Layout & { readonly cellsOf: Cell[][] }, cell: Cell): void {
  const { masks, covered, hidden, held, sticky, reset } = layout;
  const parts = cell.width === 64 ? [0, 1] : [0];
  const value = BigInt(cell.info.reset);
  for (const part of parts) {
    const word = cell.word + part;
    layout.cellsOf[word]!.push(cell);
    covered[word]! |= part === 0 ? cell.low : cell.high;
    reset[word]! |= Number(((value << BigInt(cell.shift)) >> BigInt(32 * part)) & 0xffff_ffffn);
    const add = (access: Access, bits: number, isSticky: boolean) => {
      masks[access][word]! |= bits;
      if (access === "unimplemented") masks.rw[word]! |= bits;
      if (NOT_READABLE.has(access)) hidden[word]! |= bits;
      if (!NOT_HELD.has(access)) held[word]! |= bits;
      if (isSticky) sticky[word]! |= bits;
    };
    if (cell.access !== undefined) add(cell.access, part === 0 ? cell.low : cell.high, cell.info.sticky);
    for (const field of cell.fields) {
      add(field.info.access, part === 0 ? field.low : field.high, field.info.sticky);
    }
  }
}
