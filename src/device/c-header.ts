// A C header of a device's registers, for drivers: offsets, fields and values as the macros that Linux's regmap and
// FIELD_GET/FIELD_PREP work with, and that bare-metal code can use as well.

import {
  type BankInfo,
  expandRegisters,
  type FieldInfo,
  type RegisterInfo,
  type RegisterMap,
} from "./model/register-map.ts";

/**
 * The C header of a register map.
 *
 * @returns the text of a file; names begin with the device's type in capitals
 * @example writeFileSync("banana-dma-regs.h", cHeader(bananaDma.registerMap));
 */
export function cHeader(map: RegisterMap): string {
  const prefix = map.type.replace(/[^A-Za-z0-9]+/g, "_").toUpperCase();
  const guard = `${prefix}_REGS_H`;
  const lines: string[] = [
    `/* Registers of ${comment(map.type)}. Made by Plantain from the device's definition: edit that, not this. */`,
    `#ifndef ${guard}`,
    `#define ${guard}`,
    "",
    "#ifdef __KERNEL__",
    "#include <linux/bits.h>",
    "#else",
    "#ifndef BIT",
    "#define BIT(n) (1UL << (n))",
    "#define BIT_ULL(n) (1ULL << (n))",
    "#define GENMASK(h, l) ((~0UL << (l)) & (~0UL >> (sizeof(long) * 8 - 1 - (h))))",
    "#define GENMASK_ULL(h, l) ((~0ULL << (l)) & (~0ULL >> (63 - (h))))",
    "#endif",
    "#endif",
    "",
    ...define(`${prefix}_SIZE`, hex(map.size), "bytes of the region"),
    ...define(`${prefix}_MAX_REGISTER`, hex(expandRegisters(map).at(-1)?.offset ?? 0), "for regmap"),
  ];
  for (const register of map.registers) lines.push("", ...registerLines(prefix, register, undefined));
  for (const bank of map.banks) lines.push("", ...bankLines(prefix, bank));
  lines.push("", `#endif /* ${guard} */`, "");
  return lines.join("\n");
}

function bankLines(prefix: string, bank: BankInfo): string[] {
  const name = `${prefix}_${bank.name}`;
  const lines = define(`${name}_COUNT`, String(bank.count), undefined);
  for (const register of bank.registers) lines.push("", ...registerLines(name, register, bank));
  return lines;
}

function registerLines(prefix: string, register: RegisterInfo, bank: BankInfo | undefined): string[] {
  const name = `${prefix}_${register.name}`;
  const { array, width, doc } = register;
  const parameters = [...(bank ? ["b"] : []), ...(array ? ["n"] : [])];
  const terms = [
    hex((bank?.offset ?? 0) + register.offset),
    ...(bank ? [`(b) * ${hex(bank.stride)}`] : []),
    ...(array ? [`(n) * ${hex(array.stride)}`] : []),
  ];
  const value = terms.length === 1 ? terms[0]! : `(${terms.join(" + ")})`;
  const notes = [width === 32 ? undefined : `${width} bits`, doc].filter((note) => note !== undefined);
  const lines = define(parameters.length === 0 ? name : `${name}(${parameters.join(", ")})`, value, notes.join(": "));
  if (array) lines.push(...define(`${name}_COUNT`, String(array.count), undefined));
  for (const field of register.fields) lines.push(...fieldLines(name, field, width));
  return lines;
}

function fieldLines(prefix: string, field: FieldInfo, width: number): string[] {
  if (field.access === "reserved") return [];
  const { msb, lsb, access, doc } = field;
  const name = `${prefix}_${field.name}`;
  const long = width === 64 ? "_ULL" : "";
  const mask = msb === lsb ? `BIT${long}(${lsb})` : `GENMASK${long}(${msb}, ${lsb})`;
  const lines = define(name, mask, [access, doc].filter((note) => note !== undefined).join(": "));
  for (const [member, value] of Object.entries(field.values ?? {})) {
    lines.push(...define(`${name}_${member.replace(/[^A-Za-z0-9]+/g, "_").toUpperCase()}`, String(value), undefined));
  }
  return lines;
}

/** A `#define` with the value in a column of its own. */
function define(name: string, value: string, note: string | undefined): string[] {
  const line = `#define ${name.padEnd(40)} ${value}`;
  return [note ? `${line} /* ${comment(note)} */` : line];
}

/** Text that cannot end a comment. */
function comment(text: string): string {
  return text.replaceAll("*/", "* /").replaceAll(/\s+/g, " ");
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
