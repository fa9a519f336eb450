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
import { type AnyExpected, checkExpected, compareAll, describeComparison, findInOrder } from "./access-pattern.ts";
import { type AnyCondition, touches, unacknowledged, writesWhile } from "./conduct.ts";
import type { DeviceTrace } from "./device-trace.ts";
import { type MisuseKind, misuses } from "./misuse.ts";
import { type DeviceRecords, describeValue, RegisterIndex } from "./records.ts";
import type { Testbench } from "./testbench.ts";

/** What decides about a value itself: a function, or Vitest's `expect.any(Number)` and its like. */
type Decides<V> = ((value: Exclude<V, undefined>) => boolean) | { asymmetricMatch(value: unknown): boolean };

/** For a whole value: a number or bigint, which of them only the name says. */
// biome-ignore lint/suspicious/noExplicitAny: with a type for each name the compiler would find none for the function
type DecidesWhole = Decides<any>;

/** A value to expect, or some fields by name. */
type Pattern<V> = V extends number | bigint ? V | DecidesWhole : { readonly [K in keyof V]: V[K] | Decides<V[K]> };

/** `repeat`: the same access once or more, as when a driver polls. */
interface Repeat {
  readonly repeat?: boolean;
}

/** A write to expect, with the value of the register that it is to. */
type ExpectedWrite<R, N extends string> = N extends unknown
  ? { readonly write: N; readonly value?: Pattern<WriteValue<RegisterAt<R, WithoutIndex<N>>>> } & Repeat
  : never;

/** A read to expect. */
type ExpectedRead<R, N extends string> = N extends unknown
  ? { readonly read: N; readonly value?: Pattern<WriteValue<RegisterAt<R, WithoutIndex<N>>>> } & Repeat
  : never;

/** A name with `*` for anything: `*`, `CH[*].CTRL`. */
type Wildcard = `${string}*${string}`;

type AnyValue = number | bigint | DecidesWhole | Readonly<Record<string, unknown>>;

/**
 * An access to expect, of a register by name or of an offset; `*` in a name stands for anything. A value may be some of
 * the fields by name. `"..."` between two stands for any accesses.
 */
export type ExpectedAccess<R> =
  | "..."
  | ExpectedWrite<R, ElementName<R>>
  | ExpectedRead<R, ElementName<R>>
  | ({ readonly write: number | Wildcard; readonly value?: AnyValue } & Repeat)
  | ({ readonly read: number | Wildcard; readonly value?: AnyValue } & Repeat);

/** When something holds: registers with their value or some of their fields, or a function of all registers' fields. */
type Condition<R> =
  | { readonly [N in ElementName<R>]?: WriteValue<RegisterAt<R, WithoutIndex<N>>> }
  // biome-ignore lint/suspicious/noExplicitAny: fields by name, which only the test knows
  | ((registers: Readonly<Record<string, any>>) => boolean);

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
   * These accesses were made in this order. Others may have been between them, unless `exactly` is true: then `"..."`
   * says where.
   * @example
   * expect(d).toHaveAccessed([{ write: "LEN", value: 4 }, { write: "CTRL", value: { START: true } }]);
   * expect(d).toHaveAccessed(["...", { write: "CTRL" }, { read: "STATUS", repeat: true }], { exactly: true });
   */
  toHaveAccessed(accesses: readonly ExpectedAccess<R>[], options?: { readonly exactly?: boolean }): Result;
  /**
   * The device complained of the guest: with exactly these messages in this order (a text is a part of the message), or
   * with any if none are given.
   * @example expect(d).not.toHaveGuestErrors()
   */
  toHaveGuestErrors(messages?: readonly (string | RegExp)[]): Result;
  /**
   * A register or field was read or written, or one of several; `*` in a name stands for anything. A field is written by a
   * write that changes it, or that makes a pulse of it.
   * @example expect(trace).not.toHaveTouched(["KEY", "CH[*].TEST"])
   */
  toHaveTouched(names: Touched<R> | readonly Touched<R>[], options?: { readonly by?: "read" | "write" }): Result;
  /**
   * Registers or fields were written while a condition held, as registers were before the write.
   * @example expect(trace).not.toHaveWrittenWhile(["SRC", "DST", "LEN"], { STATUS: { BUSY: true } })
   */
  toHaveWrittenWhile(names: Touched<R> | readonly Touched<R>[], condition: Condition<R>): Result;
  /**
   * Every interrupt that was raised was lowered again: before the end, and within some nanoseconds of virtual time.
   * @example expect(trace).toHaveAcknowledgedIrqs({ irq: "done", within: 1e6 })
   */
  toHaveAcknowledgedIrqs(options?: { readonly irq?: I; readonly within?: number }): Result;
  /**
   * Registers were used as they should not be: write-only ones read, read-only ones written, places where none is, wrong
   * widths, reserved bits changed, accesses that the bus refused. Of any kind, or of one.
   * @example expect(trace).not.toHaveMisuse()
   */
  toHaveMisuse(kind?: MisuseKind): Result;
}

/** Registers and fields by name. */
type Touched<R> = ElementOrField<R> | Wildcard;

/** The same for whatever else keeps records of a device: names are only checked when the test runs. */
interface UntypedMatchers<Result> {
  toHaveRegister(name: string, value: unknown): Result;
  toHaveRaisedIrq(irq: string, options?: { readonly times?: number }): Result;
  toHaveAccessed(accesses: readonly AnyExpected[], options?: { readonly exactly?: boolean }): Result;
  toHaveGuestErrors(messages?: readonly (string | RegExp)[]): Result;
  toHaveTouched(names: string | readonly string[], options?: { readonly by?: "read" | "write" }): Result;
  toHaveWrittenWhile(names: string | readonly string[], condition: AnyCondition): Result;
  toHaveAcknowledgedIrqs(options?: { readonly irq?: string; readonly within?: number }): Result;
  toHaveMisuse(kind?: MisuseKind): Result;
}

type MatchersOf<Result, T> =
  T extends Testbench<infer R, infer _P, infer I, infer _S>
    ? DeviceMatchers<Result, R, I extends IrqSpecs ? IrqNames<I> : string>
    : T extends DeviceTrace<infer R, infer I>
      ? string extends keyof R
        ? UntypedMatchers<Result>
        : DeviceMatchers<Result, R, I>
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

expect.extend({
  ...{ toHaveRegister, toHaveRaisedIrq, toHaveAccessed, toHaveGuestErrors },
  ...{ toHaveTouched, toHaveWrittenWhile, toHaveAcknowledgedIrqs, toHaveMisuse },
});

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
  checkExpected(expected, index, registerMap.type);
  const compare = exactly ? compareAll : findInOrder;
  const found = compare(accesses, expected, index);
  return verdict(found.pass, () => {
    const how = exactly ? "exactly these accesses" : "these accesses in this order";
    return `expected ${this.isNot ? "not " : ""}${how}:\n${describeComparison(found, accesses, expected, index, exactly)}`;
  });
}

function toHaveTouched(
  this: MatcherUtils,
  received: unknown,
  names: string | readonly string[],
  { by }: { readonly by?: "read" | "write" } = {},
): Verdict {
  const found = touches(records("toHaveTouched", received), [names].flat(), by);
  const how = by === undefined ? "touched" : by === "read" ? "read" : "written";
  return verdict(found.length > 0, () => {
    const what = [names].flat().join(", ");
    const list = listed(found);
    return `expected ${what} ${this.isNot ? "never " : ""}to be ${how}${found.length === 0 ? ", but nobody did" : `, but there is:\n${list}`}`;
  });
}

function toHaveWrittenWhile(
  this: MatcherUtils,
  received: unknown,
  names: string | readonly string[],
  condition: AnyCondition,
): Verdict {
  const found = writesWhile(records("toHaveWrittenWhile", received), [names].flat(), condition);
  return verdict(found.length > 0, () => {
    const what = `${[names].flat().join(", ")} ${this.isNot ? "never " : ""}to be written while ${conditionText(condition)}`;
    return `expected ${what}${found.length === 0 ? ", but nobody did" : `, but there is:\n${listed(found)}`}`;
  });
}

function toHaveAcknowledgedIrqs(
  this: MatcherUtils,
  received: unknown,
  options: { readonly irq?: string; readonly within?: number } = {},
): Verdict {
  const { raised, left } = unacknowledged(records("toHaveAcknowledgedIrqs", received), options);
  return verdict(left.length === 0, () => {
    const which = options.irq === undefined ? "all interrupts" : `irq ${options.irq}`;
    const within = options.within === undefined ? "" : ` within ${options.within} ns`;
    const what = `expected ${which} ${this.isNot ? "not " : ""}to be acknowledged${within}`;
    return left.length === 0 ? `${what}, but all ${raised} were` : `${what}:\n${listed(left)}`;
  });
}

function toHaveMisuse(this: MatcherUtils, received: unknown, kind?: MisuseKind): Verdict {
  const found = misuses(records("toHaveMisuse", received)).filter((each) => kind === undefined || each.kind === kind);
  return verdict(found.length > 0, () => {
    const what = `expected ${this.isNot ? "no " : ""}misuse of registers${kind === undefined ? "" : ` (${kind})`}`;
    if (found.length === 0) return `${what}, but there is none`;
    return `${what}, there is:\n${listed(found.map((each) => `${each.kind}: ${each.text}`))}`;
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

function verdict(pass: boolean, message: () => string): Verdict {
  return { pass, message };
}

function records(matcher: string, received: unknown): DeviceRecords {
  const value = received as Partial<DeviceRecords> | undefined;
  if (value?.registerMap === undefined || value.accesses === undefined) {
    throw new TypeError(
      `${matcher} takes a testbench(...), a trace of vm.trace(...), or what else keeps records of a device`,
    );
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

/** Lines that a message shows at most. */
const SHOWN = 40;

function listed(lines: readonly string[]): string {
  const shown = lines.slice(0, SHOWN).map((line) => `  ${line}`);
  return [...shown, ...(lines.length > SHOWN ? [`  ... ${lines.length - SHOWN} more`] : [])].join("\n");
}

function conditionText(condition: AnyCondition): string {
  if (typeof condition === "function") return `(${condition.toString().replaceAll(/\s+/g, " ")})`;
  const parts = Object.entries(condition).map(([register, wanted]) => {
    if (typeof wanted !== "object" || wanted === null) return `${register} = ${String(wanted)}`;
    const fields = Object.entries(wanted).map(([field, is]) => `${field}=${String(is)}`);
    return `${register} has ${fields.join(", ")}`;
  });
  return parts.join(" and ");
}
