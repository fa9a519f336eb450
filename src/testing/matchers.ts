// Vitest matchers for devices. Importing this file registers them: import "plantain/testing/matchers".

import { expect } from "vitest";
import type {
  ElementFieldName,
  ElementName,
  ElementOrField,
  RegisterAt,
  ValueAt,
  WithoutIndex,
  WriteValue,
} from "../device/model/paths.ts";
import { decodeRegister, type PlacedRegister } from "../device/model/register-map.ts";
import type { IrqNames, IrqSpecs } from "../device/model/spec.ts";
import { didYouMean } from "../util/nearest.ts";
import { type BenchAccess, type DeviceRecords, describeAccess, describeValue, RegisterIndex } from "./records.ts";
import type { Testbench } from "./testbench.ts";

/** A write to expect, with the value of the register that it is to. */
type ExpectedWrite<R, N extends string> = N extends unknown
  ? { readonly write: N; readonly value?: WriteValue<RegisterAt<R, WithoutIndex<N>>> }
  : never;

/** A read to expect. */
type ExpectedRead<R, N extends string> = N extends unknown
  ? { readonly read: N; readonly value?: WriteValue<RegisterAt<R, WithoutIndex<N>>> }
  : never;

/** An access to expect, of a register by name or of an offset. A value may be some of the fields by name. */
export type ExpectedAccess<R> =
  | ExpectedWrite<R, ElementName<R>>
  | ExpectedRead<R, ElementName<R>>
  | { readonly write: number; readonly value?: number | bigint }
  | { readonly read: number; readonly value?: number | bigint };

/** The value of a register or of some of its fields, or of one field. */
type Expectation<R, N> =
  N extends ElementFieldName<R> ? ValueAt<R, WithoutIndex<N>> : WriteValue<RegisterAt<R, WithoutIndex<N>>>;

/** Matchers for a device whose registers are `R` and whose interrupts are named `I`. */
interface DeviceMatchers<Result, R, I extends string> {
  /**
   * A register holds a value, or some fields hold theirs, or a single field does.
   * @example expect(d).toHaveRegister("STATUS", { DONE: true, BUSY: false })
   */
  toHaveRegister<const N extends ElementOrField<R>>(name: N, value: Expectation<R, N>): Result;
  /**
   * An interrupt output rose: at least once, or exactly so many times.
   * @example expect(d).toHaveRaisedIrq("done", { times: 1 })
   */
  toHaveRaisedIrq(irq: I, options?: { readonly times?: number }): Result;
  /**
   * These accesses were made in this order. Others may have been between them, unless `exactly` is true.
   * @example expect(d).toHaveAccessed([{ write: "LEN", value: 4 }, { write: "CTRL", value: { START: true } }])
   */
  toHaveAccessed(accesses: readonly ExpectedAccess<R>[], options?: { readonly exactly?: boolean }): Result;
  /**
   * The device complained of the guest: with exactly these messages in this order (a text is a part of the message), or
   * with any if none are given.
   * @example expect(d).not.toHaveGuestErrors()
   */
  toHaveGuestErrors(messages?: readonly (string | RegExp)[]): Result;
}

/** The same for whatever else keeps records of a device: names are only checked when the test runs. */
interface UntypedMatchers<Result> {
  toHaveRegister(name: string, value: unknown): Result;
  toHaveRaisedIrq(irq: string, options?: { readonly times?: number }): Result;
  toHaveAccessed(accesses: readonly AnyExpected[], options?: { readonly exactly?: boolean }): Result;
  toHaveGuestErrors(messages?: readonly (string | RegExp)[]): Result;
}

type MatchersOf<Result, T> =
  T extends Testbench<infer R, infer _P, infer I, infer _S>
    ? DeviceMatchers<Result, R, I extends IrqSpecs ? IrqNames<I> : string>
    : UntypedMatchers<Result>;

declare module "vitest" {
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown>
    extends Pick<MatchersOf<R, T>, keyof DeviceMatchers<R, never, never>> {}
}

interface MatcherUtils {
  readonly isNot: boolean;
  equals(a: unknown, b: unknown): boolean;
  readonly utils: { diff(expected: unknown, received: unknown): string | null | undefined };
}

interface Verdict {
  readonly pass: boolean;
  message(): string;
}

expect.extend({ toHaveRegister, toHaveRaisedIrq, toHaveAccessed, toHaveGuestErrors });

function toHaveRegister(this: MatcherUtils, received: unknown, name: string, expected: unknown): Verdict {
  const { registers, registerMap } = records("toHaveRegister", received);
  const index = new RegisterIndex(registerMap);
  const found = lookUp(registers, name);
  if (found === undefined) {
    const names = [...index.byName].flatMap(([register, { info }]) => [
      register,
      ...info.fields.map((field) => `${register}.${field.name}`),
    ]);
    throw new Error(`toHaveRegister: ${registerMap.type} has no register or field "${name}"${didYouMean(name, names)}`);
  }
  const place = index.byName.get(name);
  const isRegister = place !== undefined;
  const actual = isRegister ? (found as { value: number | bigint }).value : found;
  if (!isRegister || typeof expected !== "object" || expected === null) {
    const pass = isRegister ? sameNumber(actual, expected) : actual === expected;
    return verdict(pass, () => {
      const is = `${name} ${this.isNot ? "not " : ""}to be ${valueText(place, expected)}`;
      return `expected ${is}, but it is ${valueText(place, actual)}`;
    });
  }
  const fields = decodeRegister(place.info, actual as number | bigint);
  for (const field of Object.keys(expected)) {
    if (!Object.hasOwn(fields, field)) {
      throw new Error(`toHaveRegister: ${name} has no field "${field}"${didYouMean(field, Object.keys(fields))}`);
    }
  }
  const seen = Object.fromEntries(Object.keys(expected).map((field) => [field, fields[field]]));
  return verdict(
    this.equals(seen, expected),
    () => `expected ${name} ${this.isNot ? "not " : ""}to have\n\n${this.utils.diff(expected, seen) ?? ""}`,
  );
}

function toHaveRaisedIrq(
  this: MatcherUtils,
  received: unknown,
  irq: string,
  { times }: { readonly times?: number } = {},
): Verdict {
  const { edges, registerMap } = records("toHaveRaisedIrq", received);
  const names = registerMap.irqs.map(({ name }) => name);
  if (!names.includes(irq)) {
    throw new Error(`toHaveRaisedIrq: ${registerMap.type} has no irq "${irq}"${didYouMean(irq, names)}`);
  }
  const rises = edges.filter((edge) => edge.irq === irq && edge.level).length;
  const count = (n: number) => (n === 1 ? "once" : `${n} times`);
  return verdict(times === undefined ? rises > 0 : rises === times, () => {
    const wanted = times === undefined ? "" : ` ${count(times)}`;
    const others = edges.map((edge) => `  ${edge.time} ns: ${edge.irq} ${edge.level ? "rises" : "falls"}`);
    const list = others.length === 0 ? "" : `\n\nall edges:\n${others.join("\n")}`;
    return `expected irq ${irq} ${this.isNot ? "not " : ""}to have risen${wanted}, but it rose ${rises === 0 ? "never" : count(rises)}${list}`;
  });
}

function toHaveAccessed(
  this: MatcherUtils,
  received: unknown,
  expected: readonly AnyExpected[],
  { exactly = false }: { readonly exactly?: boolean } = {},
): Verdict {
  const { accesses, registerMap } = records("toHaveAccessed", received);
  const index = new RegisterIndex(registerMap);
  for (const access of expected) checkExpected(access, index, registerMap.type);
  // The position of each expected access among those made, as far as they go.
  const places: number[] = [];
  for (let at = 0; at < accesses.length && places.length < expected.length; at++) {
    if (matches(accesses[at]!, expected[places.length]!, index)) places.push(at);
    else if (exactly) break;
  }
  const complete = places.length === expected.length;
  const pass = complete && (!exactly || accesses.length === expected.length);
  return verdict(pass, () => {
    const made = accesses.map((access, at) => {
      const mark = places.includes(at) ? "  ✓ " : "    ";
      return mark + describeAccess(access, index);
    });
    const list = made.length === 0 ? "    none" : made.join("\n");
    const wanted = expected.map((access, n) => (n < places.length ? "  ✓ " : "  ✗ ") + describeExpected(access, index));
    const how = exactly ? "exactly these accesses" : "these accesses in this order";
    return `expected ${this.isNot ? "not " : ""}${how}:\n${wanted.join("\n")}\n\nmade:\n${list}`;
  });
}

function toHaveGuestErrors(this: MatcherUtils, received: unknown, expected?: readonly (string | RegExp)[]): Verdict {
  const { guestErrors } = records("toHaveGuestErrors", received);
  const lines = guestErrors.map((line) => `  ${line}`).join("\n") || "  none";
  if (expected === undefined) {
    return verdict(
      guestErrors.length > 0,
      () => `expected ${this.isNot ? "no " : ""}guest errors, there are:\n${lines}`,
    );
  }
  const fits = (message: string, pattern: string | RegExp) =>
    typeof pattern === "string" ? message.includes(pattern) : pattern.test(message);
  const pass = guestErrors.length === expected.length && guestErrors.every((message, n) => fits(message, expected[n]!));
  return verdict(pass, () => {
    const wanted = expected.map((pattern) => `  ${String(pattern)}`).join("\n") || "  none";
    return `expected ${this.isNot ? "not " : ""}these guest errors:\n${wanted}\n\nthere are:\n${lines}`;
  });
}

// --- what they have in common

/** An expected access as it comes here. */
type AnyExpected = ({ readonly read: string | number } | { readonly write: string | number }) & {
  readonly value?: unknown;
};

function verdict(pass: boolean, message: () => string): Verdict {
  return { pass, message };
}

function records(matcher: string, received: unknown): DeviceRecords {
  const value = received as Partial<DeviceRecords> | undefined;
  if (value?.registerMap === undefined || value.accesses === undefined) {
    throw new TypeError(`${matcher} takes a testbench(...), or what else keeps records of a device`);
  }
  return value as DeviceRecords;
}

/** What is at `CH[2].CTRL.START` below a device's registers. */
function lookUp(registers: object, name: string): unknown {
  let at: unknown = registers;
  for (const key of name.split(/[.[\]]+/)) {
    if (key === "") continue;
    if (typeof at !== "object" || at === null || !(key in at)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

function sameNumber(actual: unknown, expected: unknown): boolean {
  const isWhole = typeof expected === "bigint" || Number.isInteger(expected);
  return isWhole && BigInt(actual as number | bigint) === BigInt(expected as number | bigint);
}

function valueText(place: PlacedRegister | undefined, value: unknown): string {
  return typeof value === "number" || typeof value === "bigint" ? describeValue(place, value) : JSON.stringify(value);
}

function checkExpected(expected: AnyExpected, index: RegisterIndex, type: string): void {
  const name = "write" in expected ? expected.write : expected.read;
  if (typeof name === "string" && !index.byName.has(name)) {
    throw new Error(`toHaveAccessed: ${type} has no register "${name}"${didYouMean(name, index.byName.keys())}`);
  }
}

function matches(access: BenchAccess, expected: AnyExpected, index: RegisterIndex): boolean {
  const write = "write" in expected;
  const name = write ? expected.write : expected.read;
  if (access.write !== write || (typeof name === "string" ? access.register : access.offset) !== name) return false;
  const { value } = expected;
  if (value === undefined) return true;
  if (typeof value !== "object" || value === null) return sameNumber(access.value, value);
  const fields = allFields(index.byName.get(name as string)!, access.value);
  return Object.entries(value).every(([field, wanted]) => fields[field] === wanted);
}

/** The fields of a value on the bus: pulses too. */
function allFields(place: PlacedRegister, value: number | bigint): Record<string, unknown> {
  const visible = place.info.fields.map((field) =>
    field.access === "pulse" ? { ...field, access: "rw" as const } : field,
  );
  return decodeRegister({ ...place.info, fields: visible }, value);
}

function describeExpected(expected: AnyExpected, index: RegisterIndex): string {
  const write = "write" in expected;
  const name = write ? expected.write : expected.read;
  const place = typeof name === "string" ? index.byName.get(name) : undefined;
  const where = typeof name === "string" ? name : `0x${name.toString(16)}`;
  const { value } = expected;
  const text =
    value === undefined
      ? ""
      : typeof value === "object" && value !== null
        ? ` with ${Object.entries(value)
            .map(([field, wanted]) => `${field}=${String(wanted)}`)
            .join(", ")}`
        : ` = ${valueText(place, value)}`;
  return `${write ? "write" : "read"} ${where}${text}`;
}
