// From the registers as their author wrote them to the register map, with everything that types cannot refuse refused.

import { didYouMean } from "../../util/nearest.ts";
import { DefinitionError } from "./device-error.ts";
import { ACCESSES, type Field } from "./fields.ts";
import { hex, members, plural } from "./message-format.ts";
import {
  type BankInfo,
  expandRegisters,
  type FieldInfo,
  type PlacedRegister,
  type RegisterInfo,
  type RegisterMap,
} from "./register-map.ts";
import type { Bank, BankSpecs, Register, RegisterArray, RegisterSpecs } from "./registers.ts";
import { siteOf } from "./source-line.ts";

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** The most registers of a device, arrays and banks counted out. */
const MAX_REGISTERS = 65_536;
/** The widest field: its value is a number. */
const MAX_FIELD_BITS = 53;
const REGISTER_KEYS = ["kind", "offset", "width", "fields", "access", "reset", "sticky", "doc"];

/** Where a complaint is about: `banana-dma.CTRL.START`, and the object that knows its line. */
interface Place {
  readonly name: string;
  readonly made: unknown;
  /** The definition, for the line of what did not come from one of our functions. */
  readonly spec: unknown;
}

function complain({ name, made, spec }: Place, message: string): never {
  throw new DefinitionError(`${name}: ${message}${siteOf(made) || siteOf(spec)}`);
}

/** What of a device's spec is looked at here. */
interface Registers {
  readonly type: string;
  readonly mmio: { readonly size: number };
  readonly registers?: RegisterSpecs;
}

/**
 * The registers of a device, checked.
 * @throws DefinitionError naming device, register and field
 */
export function checkRegisters(device: Registers): Pick<RegisterMap, "registers" | "banks"> {
  const { type } = device;
  const made = new Map<RegisterInfo, unknown>();
  const registers: RegisterInfo[] = [];
  const banks: BankInfo[] = [];
  for (const [name, spec] of Object.entries(device.registers ?? {})) {
    const place = { name: `${type}.${name}`, made: spec, spec: device };
    if (spec?.kind === "bank") banks.push(checkBank(place, name, spec, made));
    else registers.push(checkElement(place, name, spec, made));
  }
  const map = {
    registers: registers.sort((a, b) => a.offset - b.offset),
    banks: banks.sort((a, b) => a.offset - b.offset),
  };
  checkPlaces(device, map, made);
  return map;
}

function checkBank(place: Place, name: string, bank: Bank<BankSpecs>, made: Map<RegisterInfo, unknown>): BankInfo {
  checkIdentifier(place, name);
  checkCount(place, bank.count);
  checkOffset(place, "the bank's offset", bank.offset);
  checkOffset(place, "the bank's stride", bank.stride);
  const registers = Object.entries(bank.registers).map(([inner, spec]) =>
    checkElement({ ...place, name: `${place.name}.${inner}`, made: spec }, inner, spec, made),
  );
  if (registers.length === 0) complain(place, "the bank has no registers");
  registers.sort((a, b) => a.offset - b.offset);
  return { name, offset: bank.offset, count: bank.count, stride: bank.stride, registers };
}

function checkElement(
  place: Place,
  name: string,
  spec: Register | RegisterArray,
  made: Map<RegisterInfo, unknown>,
): RegisterInfo {
  checkIdentifier(place, name);
  if (spec?.kind === "array") {
    checkCount(place, spec.count);
    if (spec.register?.kind !== "register") complain(place, "regs() takes a register: regs(8, 4, reg32(0x40))");
    const { count, stride } = spec;
    checkOffset(place, "the array's stride", stride);
    const info = { ...checkRegister({ ...place, made: spec.register }, name, spec.register), array: { count, stride } };
    made.set(info, spec);
    return info;
  }
  if (spec?.kind !== "register") complain(place, "is no register: make it with reg32(...), regs(...) or bank(...)");
  const info = checkRegister(place, name, spec);
  made.set(info, spec);
  return info;
}

function checkRegister(place: Place, name: string, spec: Register): RegisterInfo {
  const { width, offset, access, doc } = spec;
  checkKeys(place, "option", Object.keys(spec), REGISTER_KEYS);
  checkOffset(place, "the offset", offset);
  if (access !== undefined && !ACCESSES.includes(access)) {
    complain(place, `there is no access "${access}"${didYouMean(String(access), ACCESSES)}`);
  }
  const entries = Object.entries(spec.fields);
  if (access !== undefined && entries.length > 0) {
    complain(place, "give an access to the register or to its fields, not to both");
  }
  const bits = resetBits(place, spec);
  const fields = entries.map(([field, made]) => checkField(place, spec, field, made, bits));
  fields.sort((a, b) => a.lsb - b.lsb);
  for (const [i, field] of fields.entries()) {
    const below = fields[i - 1];
    if (below !== undefined && below.msb >= field.lsb) {
      const at = { ...place, name: `${place.name}.${field.name}`, made: spec.fields[field.name] };
      complain(
        at,
        `${bitsOf(field)} ${field.msb === field.lsb ? "overlaps" : "overlap"} ${below.name} (${bitsOf(below)})`,
      );
    }
  }
  const kinds = new Set(fields.map((field) => field.access));
  const uniform = kinds.size === 1 ? [...kinds][0]! : "mixed";
  return {
    name,
    offset,
    width,
    access: fields.length === 0 ? (access ?? "rw") : uniform,
    reset: hex(joinReset(bits, fields)),
    sticky: spec.sticky === true,
    fields,
    ...(doc !== undefined && { doc }),
  };
}

/** The register's reset value as far as its `reset` says it; named fields are looked at with the fields. */
function resetBits(place: Place, { reset, width, fields, access }: Register): bigint {
  if (reset === undefined) {
    if (access === "constant") complain(place, "a constant register needs its value: reset: 0x1234");
    return 0n;
  }
  if (typeof reset === "object" && reset !== null) {
    for (const name of Object.keys(reset)) {
      if (!Object.hasOwn(fields, name)) {
        complain(place, `reset: there is no field "${name}"${didYouMean(name, Object.keys(fields))}`);
      }
    }
    return 0n;
  }
  const value = wholeNumber(reset);
  if (value === undefined) complain(place, `reset: ${String(reset)} is not a whole number`);
  if (value < 0n || value >> BigInt(width) !== 0n)
    complain(place, `reset: ${hex(value)} does not fit in ${width} bits`);
  return value;
}

function checkField(register: Place, spec: Register, name: string, field: Field, bits: bigint): FieldInfo {
  const place = { ...register, name: `${register.name}.${name}`, made: field };
  checkIdentifier(place, name);
  if (name === "value") complain(place, '"value" is the register\'s own value: give the field another name');
  if (field?.kind !== "field")
    complain({ ...place, made: spec }, "is no field: make it with rw(...), ro(...) and so on");
  const { msb, lsb, access, doc } = field;
  if (![msb, lsb].every((bit) => Number.isInteger(bit) && bit >= 0)) {
    complain(place, `[${msb}, ${lsb}] are not bits: write 3, or [7, 4] for several`);
  }
  if (msb < lsb) complain(place, `[${msb}, ${lsb}]: the highest bit comes first: [${lsb}, ${msb}]`);
  if (msb >= spec.width)
    complain(place, `${bitsOf(field)} ${msb === lsb ? "is" : "are"} outside a register of ${spec.width} bits`);
  const size = msb - lsb + 1;
  if (size === 1 && !field.flag && field.values === undefined) {
    complain(place, `[${msb}, ${lsb}] is one bit: write ${lsb}, and it is a boolean`);
  }
  if (size > MAX_FIELD_BITS) complain(place, `${size} bits are too many for a field: at most ${MAX_FIELD_BITS}`);
  if (field.values !== undefined) checkEnum(place, field.values, size);
  const reset = fieldReset(place, spec, name, field, size, bits);
  return {
    name,
    msb,
    lsb,
    access,
    reset,
    sticky: field.sticky === true || spec.sticky === true,
    ...(field.values !== undefined && { values: { ...field.values } }),
    ...(doc !== undefined && { doc }),
  };
}

function checkEnum(place: Place, values: Readonly<Record<string, number>>, size: number): void {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** size) {
      complain(place, `${name} = ${String(value)} does not fit in ${plural(size, "bit")}`);
    }
    const other = names.get(value);
    if (other !== undefined) complain(place, `${other} and ${name} are both ${value}`);
    names.set(value, name);
  }
  if (names.size === 0) complain(place, "the enum has no values");
}

function fieldReset(place: Place, spec: Register, name: string, field: Field, size: number, bits: bigint): number {
  const { reset } = spec;
  const { values, access } = field;
  let value = Number((bits >> BigInt(field.lsb)) & ((1n << BigInt(size)) - 1n));
  if (typeof reset === "object" && Object.hasOwn(reset, name)) value = namedReset(place, field, reset[name], size);
  if (access === "constant") {
    const wired = field.value ?? 0;
    if (!Number.isInteger(wired) || wired < 0 || wired >= 2 ** size) {
      complain(place, `the constant ${wired} does not fit in ${plural(size, "bit")}`);
    }
    if (value !== 0 && value !== wired) complain(place, `reset: ${hex(value)} is not the constant ${hex(wired)}`);
    return wired;
  }
  if (access === "pulse") {
    if (value !== 0) complain(place, `reset: ${hex(value)}: a pulse holds no value`);
    return 0;
  }
  if (values !== undefined && !Object.values(values).includes(value)) {
    complain(place, `reset: ${value} is none of ${members(values)}`);
  }
  return value;
}

/** A field's value in `reset: { NAME: value }`. */
function namedReset(place: Place, { values }: Field, value: unknown, size: number): number {
  if (values !== undefined) {
    if (typeof value === "string" && Object.hasOwn(values, value)) return values[value]!;
    complain(
      place,
      `reset: ${JSON.stringify(value)} is none of ${members(values)}${didYouMean(String(value), Object.keys(values))}`,
    );
  }
  const number = typeof value === "boolean" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isInteger(number) || number < 0) {
    complain(place, `reset: ${JSON.stringify(value) ?? String(value)} is not a whole number`);
  }
  if (number >= 2 ** size) complain(place, `reset: ${hex(number)} does not fit in ${plural(size, "bit")}`);
  return number;
}

function joinReset(bits: bigint, fields: readonly FieldInfo[]): bigint {
  let value = bits;
  for (const { msb, lsb, reset } of fields) {
    const mask = ((1n << BigInt(msb - lsb + 1)) - 1n) << BigInt(lsb);
    value = (value & ~mask) | (BigInt(reset) << BigInt(lsb));
  }
  return value;
}

// --- places in the region

function checkPlaces(
  device: Registers,
  map: Pick<RegisterMap, "registers" | "banks">,
  made: ReadonlyMap<RegisterInfo, unknown>,
): void {
  const { type, mmio } = device;
  let count = 0;
  for (const { array } of map.registers) count += array?.count ?? 1;
  for (const bank of map.banks) {
    for (const { array } of bank.registers) count += bank.count * (array?.count ?? 1);
  }
  if (count > MAX_REGISTERS) {
    throw new DefinitionError(`${type}: ${count} registers are too many: at most ${MAX_REGISTERS}${siteOf(device)}`);
  }
  let below: PlacedRegister | undefined;
  for (const register of expandRegisters(map)) {
    const place = { name: `${type}.${register.name}`, made: made.get(register.info), spec: device };
    const bytes = register.info.width / 8;
    if (register.offset % bytes !== 0) {
      complain(place, `the offset ${hex(register.offset)} is misaligned: expected a multiple of ${bytes}`);
    }
    if (register.offset + bytes > mmio.size) {
      complain(place, `${span(register)} ${bytes === 1 ? "is" : "are"} outside the region of ${hex(mmio.size)} bytes`);
    }
    if (below !== undefined && below.offset + below.info.width / 8 > register.offset) {
      complain(place, `${span(register)} ${bytes === 1 ? "overlaps" : "overlap"} ${below.name} (${span(below)})`);
    }
    below = register;
  }
}

function span({ offset, info }: PlacedRegister): string {
  return info.width === 8 ? `byte ${hex(offset)}` : `bytes ${hex(offset)} to ${hex(offset + info.width / 8 - 1)}`;
}

// --- what many need

/** Refuses a key that nobody knows: a misspelled option would do nothing. */
function checkKeys(place: Place, what: string, keys: readonly string[], known: readonly string[]): void {
  for (const key of keys) {
    if (!known.includes(key)) complain(place, `there is no ${what} "${key}"${didYouMean(key, known)}`);
  }
}

function checkIdentifier(place: Place, name: string): void {
  if (!IDENTIFIER.test(name)) {
    complain(place, `"${name}" is no name: expected letters, digits and _, the first one no digit`);
  }
}

function checkCount(place: Place, count: number): void {
  if (!Number.isInteger(count) || count < 1) complain(place, `a count of ${String(count)}: expected 1 or more`);
  if (count > MAX_REGISTERS) complain(place, `a count of ${count} is too large: at most ${MAX_REGISTERS}`);
}

function checkOffset(place: Place, what: string, offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0)
    complain(place, `${what} is ${String(offset)}: expected a number of bytes`);
}

function wholeNumber(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : undefined;
}

/** `bit 3`, `bits 7..4`. */
function bitsOf({ msb, lsb }: { readonly msb: number; readonly lsb: number }): string {
  return msb === lsb ? `bit ${lsb}` : `bits ${msb}..${lsb}`;
}
