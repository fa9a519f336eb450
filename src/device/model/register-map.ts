// The register map of a device: plain data, for everything that reads registers and does not run them (traces, headers,
// documents, register views).

import type { PropertyInfo } from "../../qom/property.ts";
import type { Access, EnumValues } from "./fields.ts";
import type { Width } from "./registers.ts";

/**
 * A field.
 * @example const mask = ({ msb, lsb }: FieldInfo) => 2 ** (msb + 1) - 2 ** lsb;
 */
export interface FieldInfo {
  readonly name: string;
  readonly msb: number;
  readonly lsb: number;
  readonly access: Access;
  /** The value after a reset. */
  readonly reset: number;
  /** Whether the value survives a reset of the running machine. */
  readonly sticky: boolean;
  /** The names of its values, if it is an enum. */
  readonly values?: EnumValues;
  readonly doc?: string;
}

/**
 * A register, or an array of them.
 * @example bananaDma.registerMap.registers.map(({ name, offset }: RegisterInfo) => `${offset}: ${name}`)
 */
export interface RegisterInfo {
  readonly name: string;
  /** Of the first one, in bytes from the start of the region, or of its bank. */
  readonly offset: number;
  /** In bits. */
  readonly width: Width;
  /** Of the whole register; mixed if its fields differ. */
  readonly access: Access | "mixed";
  /** The value after a reset, in hexadecimal: `0xba000001`. */
  readonly reset: string;
  readonly sticky: boolean;
  /** By position, the lowest first; none if the register is one value. */
  readonly fields: readonly FieldInfo[];
  /** There if it is an array. */
  readonly array?: { readonly count: number; readonly stride: number };
  readonly doc?: string;
}

/**
 * A group of registers, repeated.
 * @example bananaDma.registerMap.banks.map(({ name, count }: BankInfo) => `${count} × ${name}`)
 */
export interface BankInfo {
  readonly name: string;
  readonly offset: number;
  readonly count: number;
  readonly stride: number;
  readonly registers: readonly RegisterInfo[];
}

/**
 * An interrupt output.
 * @example bananaDma.registerMap.irqs // [{ name: "done", trigger: "level" }]
 */
export interface IrqInfo {
  readonly name: string;
  readonly trigger: "level" | "edge";
}

/**
 * All that a device's definition says about its surface. JSON and structuredClone leave it as it is.
 * @example writeFileSync("banana-dma.json", JSON.stringify(bananaDma.registerMap));
 */
export interface RegisterMap {
  readonly type: string;
  readonly description?: string;
  /** Device-tree names, the most specific first. */
  readonly compatible: readonly string[];
  /** Of the region, in bytes. */
  readonly size: number;
  readonly endianness: "little" | "big";
  /** Sorted by offset. */
  readonly registers: readonly RegisterInfo[];
  readonly banks: readonly BankInfo[];
  readonly irqs: readonly IrqInfo[];
  /** Defaults of 64 bits are text. */
  readonly properties: readonly (Omit<PropertyInfo, "default"> & {
    readonly name: string;
    readonly default?: boolean | number | string;
  })[];
}

/**
 * A single register at its place.
 * @example expandRegisters(map).find(({ name }) => name === "CH[2].CTRL")?.offset
 */
export interface PlacedRegister {
  /** With indices: `CH[2].DATA[0]`. */
  readonly name: string;
  /** Without: `CH.DATA`. */
  readonly path: string;
  /** Which of the bank, which of the array. */
  readonly indices: readonly number[];
  /** In bytes from the start of the region. */
  readonly offset: number;
  readonly info: RegisterInfo;
}

/**
 * All single registers of a map, those of arrays and banks one by one, sorted by offset.
 * @example for (const { name, offset } of expandRegisters(bananaDma.registerMap)) console.log(offset, name);
 */
export function expandRegisters(map: Pick<RegisterMap, "registers" | "banks">): PlacedRegister[] {
  const placed: PlacedRegister[] = [];
  const place = (info: RegisterInfo, prefix: string, path: string, indices: readonly number[], base: number) => {
    const { count, stride } = info.array ?? { count: 1, stride: 0 };
    for (let i = 0; i < count; i++) {
      placed.push({
        name: prefix + info.name + (info.array === undefined ? "" : `[${i}]`),
        path: path + info.name,
        indices: info.array === undefined ? indices : [...indices, i],
        offset: base + info.offset + i * stride,
        info,
      });
    }
  };
  for (const info of map.registers) place(info, "", "", [], 0);
  for (const bank of map.banks) {
    for (let i = 0; i < bank.count; i++) {
      const base = bank.offset + i * bank.stride;
      for (const info of bank.registers) place(info, `${bank.name}[${i}].`, `${bank.name}.`, [i], base);
    }
  }
  return placed.sort((a, b) => a.offset - b.offset);
}

/**
 * The value of a field as its author sees it: a bit is a boolean, an enum's value a name.
 * @example decodeRegister(info, 0b110).DONE // true: DecodedValue
 */
export type DecodedValue = boolean | number | string;

/**
 * A register's value, taken apart into its fields. Reserved bits and pulses are left out.
 * @example decodeRegister(info, 0b110) // { BUSY: false, DONE: true, ERROR: true }
 */
export function decodeRegister(info: RegisterInfo, value: number | bigint): Record<string, DecodedValue> {
  const fields: Record<string, DecodedValue> = {};
  const bits = BigInt(value);
  for (const field of info.fields) {
    if (field.access === "reserved" || field.access === "pulse") continue;
    const size = field.msb - field.lsb + 1;
    fields[field.name] = decodeField(field, Number((bits >> BigInt(field.lsb)) & ((1n << BigInt(size)) - 1n)));
  }
  return fields;
}

/** A field's bits as its author sees them; a number where an enum has no name for it. */
export function decodeField(field: FieldInfo, bits: number): DecodedValue {
  if (field.values !== undefined) {
    return Object.entries(field.values).find(([, value]) => value === bits)?.[0] ?? bits;
  }
  return isFlag(field) ? bits !== 0 : bits;
}

/** Whether a field was made of one bit: a boolean. */
export function isFlag(field: FieldInfo): boolean {
  return field.msb === field.lsb && field.values === undefined;
}
