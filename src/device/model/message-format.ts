// How messages of the device kit write values.

/** `COPY=0, FILL=1`. */
export function members(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
}

export function hex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A value as a message shows it. */
export function show(value: unknown): string {
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) > 9 ? hex(value) : String(value);
  if (typeof value === "bigint") return hex(value);
  if (typeof value === "string") return JSON.stringify(value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
