// Sizes as people write them: 512, 0x200, 64K, 1.5G.

const UNITS = "BKMGTPE";

/**
 * Reads a size in bytes: a decimal number with an optional fraction and unit (B, K, M, G, T, P, E: powers of 1024),
 * or a hexadecimal number with neither. Undefined if `text` is none.
 *
 * @param unit what a number without a unit counts (`-m 512` means mebibytes)
 * @example parseSize("1.5K") // 1536n
 */
export function parseSize(text: string, unit: "B" | "K" | "M" | "G" = "B"): bigint | undefined {
  if (/^0x[0-9a-f]+$/i.test(text)) return BigInt(text) << shiftOf(unit);
  const match = /^(\d+)(?:\.(\d+))?([bkmgtpe])?$/i.exec(text);
  if (match === null) return undefined;
  const [, whole, fraction = "", suffix = unit] = match;
  const shift = shiftOf(suffix);
  if (fraction !== "" && shift === 0n) return undefined;
  const scale = 10n ** BigInt(fraction.length);
  return (BigInt(`${whole}${fraction}`) << shift) / scale;
}

function shiftOf(unit: string): bigint {
  return BigInt(10 * UNITS.indexOf(unit.toUpperCase()));
}
