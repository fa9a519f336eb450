// Values of up to eight bytes as numbers: a low and, for eight bytes, a high 32-bit word, both unsigned.

/** The low `size` (1, 2 or 4) bytes of a word. */
export function truncate(word: number, size: number): number {
  return size === 1 ? word & 0xff : size === 2 ? word & 0xffff : word >>> 0;
}

/** The low `size` (1, 2 or 4) bytes of a word in reverse order. */
export function swapBytes(word: number, size: number): number {
  const reversed = (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
  return reversed >>> (32 - 8 * size);
}

/** The word that begins `shift` (below 32) bits up in the two words `low` and `high`. */
export function funnel(low: number, high: number, shift: number): number {
  return shift === 0 ? low : ((low >>> shift) | (high << (32 - shift))) >>> 0;
}

/** The little-endian value of `size` (up to 4) bytes. */
export function bytesToWord(bytes: Uint8Array, offset: number, size: number): number {
  let word = 0;
  for (let i = size - 1; i >= 0; i--) word = (word << 8) | bytes[offset + i]!;
  return word >>> 0;
}

/** Writes `size` (up to 8) bytes of a value, little endian. */
export function wordsToBytes(bytes: Uint8Array, offset: number, size: number, low: number, high: number): void {
  for (let i = 0; i < size; i++) bytes[offset + i] = i < 4 ? low >>> (8 * i) : high >>> (8 * (i - 4));
}
