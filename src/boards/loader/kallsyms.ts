// The symbols that a Linux kernel carries in its own image for its own messages (CONFIG_KALLSYMS): found by their shape,
// since nothing says where they are. Linux, scripts/kallsyms.c, describes what it writes. Damage never stops anything:
// what cannot be read is not there.

import type { KernelSymbols } from "./kernel-symbols.ts";

const TOKENS = 256;
const SYMBOLS_PER_MARKER = 256;
const DIGITS = "0123456789";
/** Names may overlap nothing, but a damaged table may say anything. */
const MAX_SYMBOLS = 2_000_000;
const MAX_NAME = 1024;
/** The longest that a compressed name may be: more than a byte can say, since Linux 6.1. */
const MAX_COMPRESSED = 0x3fff;

/** Finds the symbols of an image; undefined if it has none. */
export function readKallsyms(image: Uint8Array): KernelSymbols | undefined {
  const digits = Uint8Array.from([...DIGITS].flatMap((digit) => [digit.charCodeAt(0), 0]));
  for (let at = indexOf(image, digits, 0); at >= 0; at = indexOf(image, digits, at + 1)) {
    const tokens = readTokens(image, at);
    const found = tokens && readTables(image, tokens);
    if (found !== undefined) return found;
  }
  return undefined;
}

interface Tokens {
  readonly texts: readonly string[];
  readonly begin: number;
  /** The first byte behind the index of the tokens. */
  readonly end: number;
}

/** The table of tokens, if its entry for the digit 0 is at `zero`: characters that names have stand for themselves. */
function readTokens(image: Uint8Array, zero: number): Tokens | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  let at = zero;
  for (let token = DIGITS.charCodeAt(0); token < TOKENS; token++) {
    const end = image.indexOf(0, at);
    if (end < 0 || end - at > MAX_NAME) return undefined;
    at = end + 1;
  }
  const index = alignUp(at, 8);
  if (index + 2 * TOKENS > image.length) return undefined;
  const begin = zero - view.getUint16(index + 2 * DIGITS.charCodeAt(0), true);
  if (begin < 0 || view.getUint16(index, true) !== 0) return undefined;
  const texts: string[] = [];
  at = begin;
  for (let token = 0; token < TOKENS; token++) {
    if (begin + view.getUint16(index + 2 * token, true) !== at) return undefined;
    const end = image.indexOf(0, at);
    if (end < 0 || end > index) return undefined;
    texts.push(String.fromCharCode(...image.subarray(at, end)));
    at = end + 1;
  }
  return { texts, begin, end: index + 2 * TOKENS };
}

function readTables(image: Uint8Array, tokens: Tokens): KernelSymbols | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const markers = findMarkers(view, tokens.begin);
  const list = markers && findNames(image, view, markers);
  if (list === undefined) return undefined;
  const { begin, count } = list;
  const spelled = spell(image, tokens.texts, begin, count);
  if (spelled === undefined) return undefined;
  // Behind the tokens since Linux 6.4, before the count and the names until then; the base follows the offsets.
  const behind = alignUp(tokens.end, 8);
  const before = list.countAt - 8;
  const places = [
    { offsets: behind, base: alignUp(behind + 4 * count, 8) },
    { offsets: before - alignUp(4 * count, 8), base: before },
  ];
  for (const { offsets: at, base: baseAt } of places) {
    const offsets = readOffsets(view, at, count);
    if (offsets === undefined || baseAt < 0 || baseAt + 8 > image.length) continue;
    const start = spelled.indexOf("_start");
    const text = start >= 0 ? start : spelled.indexOf("_text");
    if (text < 0) continue;
    const base = 0 - offsets[text]!;
    const linked = view.getBigUint64(baseAt, true) - BigInt(base);
    return { names: spelled, offsets: offsets.map((offset) => offset + base), linked, baseAt, base };
  }
  return undefined;
}

/** The places of every 256th name: rising 32-bit numbers from 0 on, right before the tokens. */
function findMarkers(
  view: DataView,
  end: number,
): { readonly begin: number; readonly values: readonly number[] } | undefined {
  let at = (end & ~3) - 4;
  // Padding.
  for (let words = 0; words < 2 && at > 0 && view.getUint32(at, true) === 0; words++) at -= 4;
  const values: number[] = [];
  for (; at >= 0 && values.length <= MAX_SYMBOLS / SYMBOLS_PER_MARKER; at -= 4) {
    const value = view.getUint32(at, true);
    if (values.length > 0 && value >= values.at(-1)!) return undefined;
    values.push(value);
    if (value === 0) return { begin: at, values: values.reverse() };
  }
  return undefined;
}

/** The compressed names: they begin where walking over 256 of them leads to each marker, and their number is before them. */
function findNames(
  image: Uint8Array,
  view: DataView,
  { begin: end, values }: { readonly begin: number; readonly values: readonly number[] },
): { readonly begin: number; readonly count: number; readonly countAt: number } | undefined {
  const most = SYMBOLS_PER_MARKER * values.length;
  const earliest = Math.max(8, end - values.at(-1)! - SYMBOLS_PER_MARKER * MAX_NAME);
  for (let begin = (end - values.at(-1)!) & ~3; begin >= earliest; begin -= 4) {
    for (const countAt of [begin - 8, begin - 4]) {
      const count = view.getUint32(countAt, true);
      if (count > most || count <= most - SYMBOLS_PER_MARKER || count > MAX_SYMBOLS) continue;
      if (countAt === begin - 8 && view.getUint32(begin - 4, true) !== 0) continue;
      if (leads(image, begin, end, values, count)) return { begin, count, countAt };
    }
  }
  return undefined;
}

function leads(image: Uint8Array, begin: number, end: number, values: readonly number[], count: number): boolean {
  let at = begin;
  for (let n = 0; n < count; n++) {
    if (n % SYMBOLS_PER_MARKER === 0 && at - begin !== values[n / SYMBOLS_PER_MARKER]) return false;
    const { length, size } = lengthAt(image, at);
    at += size + length;
    if (length === 0 || at > end) return false;
  }
  // What is left is padding.
  return end - at < 8;
}

function lengthAt(image: Uint8Array, at: number): { readonly length: number; readonly size: number } {
  const first = image[at] ?? 0;
  if ((first & 0x80) === 0) return { length: first, size: 1 };
  return { length: (((image[at + 1] ?? 0) << 7) | (first & 0x7f)) & MAX_COMPRESSED, size: 2 };
}

/** The names, without the letter of their kind. */
function spell(image: Uint8Array, tokens: readonly string[], begin: number, count: number): string[] | undefined {
  const names: string[] = [];
  let at = begin;
  for (let n = 0; n < count; n++) {
    const { length, size } = lengthAt(image, at);
    at += size;
    let name = "";
    for (let i = 0; i < length; i++) name += tokens[image[at + i]!];
    if (name.length > MAX_NAME) return undefined;
    names.push(name.slice(1));
    at += length;
  }
  return names;
}

/** Offsets of the symbols from the base: 32 bits each, rising. */
function readOffsets(view: DataView, at: number, count: number): Float64Array | undefined {
  if (at < 0 || at + 4 * count > view.byteLength) return undefined;
  const offsets = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    offsets[n] = view.getUint32(at + 4 * n, true);
    if (n > 0 && offsets[n]! < offsets[n - 1]!) return undefined;
  }
  return offsets;
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(wanted[0]!, from); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
    if (same === wanted.length) return at;
  }
  return -1;
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
