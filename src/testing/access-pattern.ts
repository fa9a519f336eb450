// Sequences of accesses that a test expects: by name and value, with wildcards; and what differs, for people.

import { decodeRegister, type PlacedRegister } from "../device/model/register-map.ts";
import { didYouMean } from "../util/nearest.ts";
import { type BenchAccess, describeAccess, describeValue, type RegisterIndex } from "./records.ts";

/** Any accesses, none included. */
const GAP = "...";

/** An expected access as it comes from a test. */
interface ExpectedAccess {
  readonly read?: string | number;
  readonly write?: string | number;
  readonly value?: unknown;
  readonly repeat?: boolean;
}

export type AnyExpected = typeof GAP | ExpectedAccess;

/** What comparing came to. */
export interface Comparison {
  readonly pass: boolean;
  /** The positions of accesses that were expected. */
  readonly matched: ReadonlySet<number>;
  /** How many of the expected came, from the first on. */
  readonly found: number;
  /** The first access that was not expected; the number of accesses if there were too few. */
  readonly at: number;
  /** What would have been right there. */
  readonly wanted: readonly AnyExpected[];
}

/** @throws Error for names that the device does not have */
export function checkExpected(expected: readonly AnyExpected[], index: RegisterIndex, type: string): void {
  for (const access of expected) {
    if (access === GAP) continue;
    const name = access.write ?? access.read;
    if (typeof name !== "string") continue;
    const registers = index.named(name);
    if (registers.length === 0)
      throw new Error(`toHaveAccessed: ${type} has no register "${name}"${didYouMean(name, index.byName.keys())}`);
    const { value } = access;
    if (!isFields(value)) continue;
    for (const field of Object.keys(value)) {
      const fields = registers.flatMap(({ info }) => info.fields.map((known) => known.name));
      if (!fields.includes(field))
        throw new Error(`toHaveAccessed: ${name} has no field "${field}"${didYouMean(field, fields)}`);
    }
  }
}

/** Looks for the expected accesses in this order, with any others between them. */
export function findInOrder(
  accesses: readonly BenchAccess[],
  expected: readonly AnyExpected[],
  index: RegisterIndex,
): Comparison {
  const wanted = expected.filter((access) => access !== GAP);
  const matched = new Set<number>();
  let found = 0;
  let after = 0;
  for (const [at, access] of accesses.entries()) {
    if (found === wanted.length || !matches(access, wanted[found]!, index)) continue;
    matched.add(at);
    found++;
    after = at + 1;
  }
  return { pass: found === wanted.length, matched, found, at: after, wanted: wanted.slice(found, found + 1) };
}

/** A step of a pattern: one access, or as many as there are (`loop`). */
interface Step {
  readonly access: AnyExpected;
  readonly loop: boolean;
  /** Which of the expected it is. */
  readonly n: number;
}

/** Compares all accesses with a pattern. */
export function compareAll(
  accesses: readonly BenchAccess[],
  expected: readonly AnyExpected[],
  index: RegisterIndex,
): Comparison {
  const steps = expected.flatMap((access, n): Step[] => {
    if (access === GAP) return [{ access, loop: true, n }];
    const once = { access, loop: false, n };
    return access.repeat ? [once, { access, loop: true, n }] : [once];
  });
  /** All steps at which the pattern may be: what loops may be left out. */
  const reach = (from: Iterable<number>): Set<number> => {
    const states = new Set<number>();
    for (let state of from) {
      for (; !states.has(state); state++) {
        states.add(state);
        if (!steps[state]?.loop) break;
      }
    }
    return states;
  };
  let states = reach([0]);
  const matched = new Set<number>();
  const verdict = (pass: boolean, at: number): Comparison => {
    const open = [...states].filter((state) => state < steps.length).sort((a, b) => a - b);
    const wanted = [...new Set(open.map((state) => steps[state]!.access))].filter((access) => access !== GAP);
    const next = open.find((state) => !steps[state]!.loop);
    return { pass, matched, found: next === undefined ? expected.length : steps[next]!.n, at, wanted };
  };
  for (const [at, access] of accesses.entries()) {
    const next: number[] = [];
    for (const state of states) {
      const step = steps[state];
      if (step === undefined || (step.access !== GAP && !matches(access, step.access, index))) continue;
      next.push(step.loop ? state : state + 1);
    }
    if (next.length === 0) return verdict(false, at);
    matched.add(at);
    states = reach(next);
  }
  return verdict(states.has(steps.length), accesses.length);
}

function matches(access: BenchAccess, expected: AnyExpected, index: RegisterIndex): boolean {
  if (expected === GAP) return true;
  const write = expected.write !== undefined;
  const name = expected.write ?? expected.read;
  if (access.write !== write) return false;
  if (typeof name === "number" ? access.offset !== name : !index.names(name!, access.register)) return false;
  const { value } = expected;
  if (value === undefined) return true;
  if (!isFields(value)) return fits(access.value, value);
  const place = index.byName.get(access.register ?? "");
  if (place === undefined) return false;
  const fields = fieldsOnBus(place, access.value);
  return Object.entries(value).every(([field, wanted]) => fits(fields[field], wanted));
}

/** The fields of a value on the bus: pulses too. */
function fieldsOnBus(place: PlacedRegister, value: number | bigint): Record<string, unknown> {
  const visible = place.info.fields.map((field) =>
    field.access === "pulse" ? { ...field, access: "rw" as const } : field,
  );
  return decodeRegister({ ...place.info, fields: visible }, value);
}

interface Asymmetric {
  asymmetricMatch(value: unknown): boolean;
}

function isAsymmetric(value: unknown): value is Asymmetric {
  return typeof (value as Partial<Asymmetric> | undefined)?.asymmetricMatch === "function";
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !isAsymmetric(value);
}

/** Whether a value is the wanted one: a function decides itself, so do Vitest's `expect.any(Number)` and its like. */
function fits(actual: unknown, wanted: unknown): boolean {
  if (typeof wanted === "function") return Boolean((wanted as (value: unknown) => unknown)(actual));
  if (isAsymmetric(wanted)) return wanted.asymmetricMatch(actual);
  const isNumber = (value: unknown): value is number | bigint =>
    typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
  return isNumber(actual) && isNumber(wanted) ? BigInt(actual) === BigInt(wanted) : actual === wanted;
}

// --- for people

/** Lines that are shown of a long sequence, before and behind the place that matters. */
const BEFORE = 30;
const BEHIND = 10;

function describeExpected(expected: AnyExpected, index: RegisterIndex): string {
  if (expected === GAP) return GAP;
  const name = (expected.write ?? expected.read)!;
  const where = typeof name === "string" ? name : `0x${name.toString(16)}`;
  const place = typeof name === "string" ? index.byName.get(name) : undefined;
  const { value } = expected;
  const times = expected.repeat ? ", once or more" : "";
  return `${expected.write === undefined ? "read" : "write"} ${where}${valueText(place, value)}${times}`;
}

function valueText(place: PlacedRegister | undefined, value: unknown): string {
  if (value === undefined) return "";
  if (!isFields(value)) return ` = ${oneText(place, value)}`;
  return ` with ${Object.entries(value)
    .map(([field, wanted]) => `${field}=${oneText(undefined, wanted)}`)
    .join(", ")}`;
}

function oneText(place: PlacedRegister | undefined, value: unknown): string {
  if (place !== undefined && (typeof value === "number" || typeof value === "bigint"))
    return describeValue(place, value);
  if (typeof value === "number" || typeof value === "bigint") return `0x${value.toString(16)}`;
  const { toAsymmetricMatcher } = (value ?? {}) as { toAsymmetricMatcher?: () => string };
  if (isAsymmetric(value) && toAsymmetricMatcher !== undefined) return toAsymmetricMatcher.call(value);
  return typeof value === "function" ? `(${value.toString().replaceAll(/\s+/g, " ")})` : String(value);
}

/** What was expected, what was made, and the first difference, as text. */
export function describeComparison(
  { pass, matched, found, at, wanted }: Comparison,
  accesses: readonly BenchAccess[],
  expected: readonly AnyExpected[],
  index: RegisterIndex,
  exactly: boolean,
): string {
  const list = expected.map((access, n) => `${n < found || pass ? "  ✓ " : "  ✗ "}${describeExpected(access, index)}`);
  const made = accesses.map((access, n) => {
    const mark = matched.has(n) ? "  ✓ " : exactly && n === at && !pass ? "  ✗ " : "    ";
    return mark + describeAccess(access, index);
  });
  const text = `${list.join("\n")}\n\nmade:\n${excerpt(made, at)}`;
  if (pass) return text;
  const what = wanted.map((access) => describeExpected(access, index)).join(", or ") || "no more accesses";
  const got = accesses[at];
  if (!exactly) return `${text}\n\nfirst difference: ${what} does not come${at === 0 ? "" : ` after access ${at}`}`;
  const seen = got === undefined ? "there are no more" : `got ${describeAccess(got, index)}`;
  return `${text}\n\nfirst difference, at access ${at + 1}: expected ${what}; ${seen}`;
}

/** The lines around one of them. */
function excerpt(lines: readonly string[], at: number): string {
  if (lines.length === 0) return "    none";
  const from = lines.length > BEFORE + BEHIND ? Math.max(0, at - BEFORE) : 0;
  const to =
    lines.length > BEFORE + BEHIND ? Math.min(lines.length, Math.max(at, from + BEFORE) + BEHIND) : lines.length;
  const more = (count: number): string[] => (count > 0 ? [`    ... ${count} more`] : []);
  return [...more(from), ...lines.slice(from, to), ...more(lines.length - to)].join("\n");
}
