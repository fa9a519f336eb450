// Properties: their types, the values they take, and how values are read from and written as text.

import { didYouMean } from "../util/nearest.ts";
import { parseSize } from "../util/size.ts";
import { UserError } from "../util/user-error.ts";

/** What a property can hold. `link` refers to another object, the last three to a backend, all given by id or path. */
export type PropertyType =
  | "bool"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "int32"
  | "int64"
  | "size"
  | "str"
  | "enum"
  | ReferenceKind;

/** The kinds of property whose text names something that exists elsewhere. */
export type ReferenceKind = "link" | "chardev" | "drive" | "netdev";

/**
 * A property's value: boolean for bool; number up to 32 bits; bigint for uint64, int64 and size; string for str and
 * enum; the object itself for a reference, undefined while it refers to nothing.
 */
export type PropertyValue = boolean | number | bigint | string | object | undefined;

export interface PropertyInfo {
  readonly type: PropertyType;
  /** What it is until it is set; without one: false, 0, the empty string, the first of `values`, nothing. */
  readonly default?: boolean | number | bigint | string;
  readonly description?: string;
  /** The members of an enum. */
  readonly values?: readonly string[];
}

/** Finds what a reference's text names: `drive=hd0`. Throws UserError if there is none. */
export type ReferenceResolver = (kind: ReferenceKind, id: string) => object;

interface IntegerRange {
  readonly min: bigint;
  readonly max: bigint;
  /** Whether the value is a bigint. */
  readonly big: boolean;
}

const INTEGERS: Partial<Record<PropertyType, IntegerRange>> = {
  uint8: { min: 0n, max: 0xffn, big: false },
  uint16: { min: 0n, max: 0xffffn, big: false },
  uint32: { min: 0n, max: 0xffff_ffffn, big: false },
  int32: { min: -(2n ** 31n), max: 2n ** 31n - 1n, big: false },
  uint64: { min: 0n, max: 2n ** 64n - 1n, big: true },
  int64: { min: -(2n ** 63n), max: 2n ** 63n - 1n, big: true },
  size: { min: 0n, max: 2n ** 64n - 1n, big: true },
};

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["on", true],
  ["yes", true],
  ["true", true],
  ["y", true],
  ["off", false],
  ["no", false],
  ["false", false],
  ["n", false],
]);

/** Whether a property refers to something that exists elsewhere. */
export function isReference(type: PropertyType): type is ReferenceKind {
  return type === "link" || type === "chardev" || type === "drive" || type === "netdev";
}

/** The value of a property that nobody has set. */
export function defaultValue(info: PropertyInfo): PropertyValue {
  if (info.default !== undefined) return checkValue("default", info, info.default);
  const integer = INTEGERS[info.type];
  if (integer !== undefined) return integer.big ? 0n : 0;
  if (info.type === "bool") return false;
  if (info.type === "str") return "";
  if (info.type === "enum") return info.values?.[0] ?? "";
  return undefined;
}

/**
 * Checks a value given for the property `label`, reading it if it is text.
 * References are not looked up here: they must be given as objects.
 * @throws UserError that names `label` and what was expected
 */
export function checkValue(label: string, info: PropertyInfo, value: PropertyValue): PropertyValue {
  const integer = INTEGERS[info.type];
  if (integer !== undefined) return checkInteger(label, info, integer, value);
  switch (info.type) {
    case "bool": {
      const bool = typeof value === "string" ? BOOLEANS.get(value) : value;
      return typeof bool === "boolean" ? bool : reject(label, value, "on or off");
    }
    case "str":
      return typeof value === "string" ? value : reject(label, value, "a string");
    case "enum": {
      const values = info.values ?? [];
      if (typeof value === "string" && values.includes(value)) return value;
      return reject(label, value, `one of ${values.join(", ")}`, didYouMean(String(value), values));
    }
    default:
      return value === undefined || typeof value === "object" ? value : reject(label, value, expectation(info));
  }
}

/** What to write for a property of this type, for error messages and help. */
function expectation(info: PropertyInfo): string {
  const integer = INTEGERS[info.type];
  if (info.type === "size") return "a size such as 4096, 0x1000, 64K or 1.5G";
  if (integer !== undefined) return `a whole number from ${integer.min} to ${integer.max}`;
  return info.type === "link" ? "an object's path or id" : `the id of a ${info.type}`;
}

function checkInteger(label: string, info: PropertyInfo, range: IntegerRange, value: PropertyValue): PropertyValue {
  const integer = toInteger(info.type, value);
  if (integer === undefined || integer < range.min || integer > range.max) {
    const inexact = Number.isInteger(value) && !Number.isSafeInteger(value);
    return reject(label, value, expectation(info), inexact ? " (from 2^53 on, give a bigint)" : "");
  }
  return range.big ? integer : Number(integer);
}

function toInteger(type: PropertyType, value: PropertyValue): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  if (typeof value !== "string") return undefined;
  if (type === "size") return parseSize(value);
  // A leading zero is octal to C and decimal to people: refused, so that nobody gets the other one.
  const match = /^(-?)(0x[0-9a-f]+|0|[1-9][0-9]*)$/i.exec(value);
  if (match === null) return undefined;
  const magnitude = BigInt(match[2]!);
  return match[1] === "-" ? -magnitude : magnitude;
}

function reject(label: string, value: PropertyValue, expected: string, hint = ""): never {
  throw new UserError(`${label}: ${describe(value)} is not ${expected}${hint}`);
}

function describe(value: PropertyValue): string {
  return typeof value === "string" ? `"${value}"` : typeof value === "object" ? "an object" : String(value);
}
