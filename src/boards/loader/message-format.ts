// How addresses and sizes are written in messages.

/** An address or size in hexadecimal, as messages and data sheets write it. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** A number of bytes for a message: `128 MiB`, `1000 bytes`. */
export function formatSize(bytes: number): string {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= size) return `${Math.round((bytes / size) * 10) / 10} ${unit}`;
  }
  return `${bytes} bytes`;
}
