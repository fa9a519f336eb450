// How a driver behaved: what it touched, what it wrote while it should not have, which interrupts it left standing.

import { decodeRegister, type FieldInfo } from "../device/model/register-map.ts";
import { didYouMean } from "../util/nearest.ts";
import {
  type BenchAccess,
  type DeviceRecords,
  describeAccess,
  describeValue,
  placeText,
  RegisterIndex,
} from "./records.ts";

/** A register of the device as conditions see it: its fields, or its value if it has none. */
type Decoded = Readonly<Record<string, unknown>> | number | bigint;

/** When something holds: registers with their values or some of their fields, or a function of all registers. */
export type AnyCondition =
  | Readonly<Record<string, unknown>>
  | ((registers: Readonly<Record<string, Decoded>>) => boolean);

/** What names stand for: registers, or fields of them. */
interface Target {
  readonly registers: ReadonlySet<string>;
  readonly field: FieldInfo | undefined;
}

/** @param names registers or fields, `*` standing for anything */
function targetsOf(matcher: string, names: readonly string[], index: RegisterIndex, type: string): Target[] {
  return names.map((name) => {
    const registers = index.named(name);
    if (registers.length > 0) return { registers: new Set(registers.map((each) => each.name)), field: undefined };
    const dot = name.lastIndexOf(".");
    const owners = index.named(name.slice(0, Math.max(dot, 0)));
    const field = owners[0]?.info.fields.find((each) => each.name === name.slice(dot + 1));
    if (field !== undefined) return { registers: new Set(owners.map((each) => each.name)), field };
    const known = [...index.byName].flatMap(([register, { info }]) => [
      register,
      ...info.fields.map((each) => `${register}.${each.name}`),
    ]);
    throw new Error(`${matcher}: ${type} has no register or field "${name}"${didYouMean(name, known)}`);
  });
}

/** Whether an access is one to a target. A field is written when its value would change, or be more than nothing to a pulse. */
function isTo(access: BenchAccess, { registers, field }: Target, index: RegisterIndex): boolean {
  const { register, write, value, before } = access;
  if (register === undefined || !registers.has(register)) return false;
  if (field === undefined || !write) return true;
  const place = index.byName.get(register)!;
  const shift = 8 * (access.offset - place.offset);
  const mask = (1n << BigInt(field.msb + 1)) - (1n << BigInt(field.lsb));
  const covered = ((1n << BigInt(8 * access.size)) - 1n) << BigInt(shift);
  const bits = (BigInt(value) << BigInt(shift)) & mask & covered;
  const old = BigInt(before?.[register] ?? place.info.reset) & mask & covered;
  if (["pulse", "w1c", "w1s", "w1t"].includes(field.access)) return bits !== 0n;
  if (["w0c", "w0s"].includes(field.access)) return bits !== (mask & covered);
  return ["wc", "ws"].includes(field.access) || bits !== old;
}

/** The accesses to registers or fields. */
export function touches(
  { accesses, registerMap }: DeviceRecords,
  names: readonly string[],
  by: "read" | "write" | undefined,
): string[] {
  const index = new RegisterIndex(registerMap);
  const targets = targetsOf("toHaveTouched", names, index, registerMap.type);
  return accesses
    .filter(({ write }) => by === undefined || write === (by === "write"))
    .filter((access) => targets.some((target) => isTo(access, target, index)))
    .map((access) => describeAccess(access, index));
}

/** The writes to registers or fields that were made while a condition held. */
export function writesWhile(
  { accesses, registerMap }: DeviceRecords,
  names: readonly string[],
  condition: AnyCondition,
): string[] {
  const index = new RegisterIndex(registerMap);
  const targets = targetsOf("toHaveWrittenWhile", names, index, registerMap.type);
  if (typeof condition !== "function") checkCondition(condition, index, registerMap.type);
  return accesses
    .filter(({ write, before }) => write && before !== undefined)
    .filter((access) => targets.some((target) => isTo(access, target, index)))
    .filter(({ before }) => holds(condition, before!, index))
    .map((access) => {
      const of = typeof condition === "function" ? [] : Object.keys(condition);
      const state = of.map((name) => `${name} = ${describeValue(index.byName.get(name), access.before![name] ?? 0)}`);
      return describeAccess(access, index) + (state.length === 0 ? "" : ` while ${state.join(", ")}`);
    });
}

function checkCondition(condition: Readonly<Record<string, unknown>>, index: RegisterIndex, type: string): void {
  for (const [name, wanted] of Object.entries(condition)) {
    const place = index.byName.get(name);
    if (place === undefined)
      throw new Error(`toHaveWrittenWhile: ${type} has no register "${name}"${didYouMean(name, index.byName.keys())}`);
    if (typeof wanted !== "object" || wanted === null) continue;
    const fields = place.info.fields.map((field) => field.name);
    for (const field of Object.keys(wanted)) {
      if (!fields.includes(field))
        throw new Error(`toHaveWrittenWhile: ${name} has no field "${field}"${didYouMean(field, fields)}`);
    }
  }
}

function holds(
  condition: AnyCondition,
  values: Readonly<Record<string, number | bigint>>,
  index: RegisterIndex,
): boolean {
  const decoded = (name: string, value: number | bigint): Decoded => {
    const { info } = index.byName.get(name)!;
    return info.fields.length === 0 ? value : decodeRegister(info, value);
  };
  if (typeof condition === "function") {
    const known = Object.entries(values).filter(([name]) => index.byName.has(name));
    return condition(Object.fromEntries(known.map(([name, value]) => [name, decoded(name, value)])));
  }
  return Object.entries(condition).every(([name, wanted]) => {
    const value = values[name];
    if (value === undefined) return false;
    if (typeof wanted !== "object" || wanted === null) return BigInt(value) === BigInt(wanted as number);
    const fields = decoded(name, value) as Readonly<Record<string, unknown>>;
    return Object.entries(wanted).every(([field, is]) => fields[field] === is);
  });
}

/**
 * Interrupts that were raised and stayed so: to the end, or for longer than `within` nanoseconds.
 * @returns for each a line for people
 */
export function unacknowledged(
  { edges, highAtStart, begin, now, registerMap }: DeviceRecords,
  { irq: wanted, within = Infinity }: { readonly irq?: string; readonly within?: number },
): { readonly raised: number; readonly left: string[] } {
  const names = registerMap.irqs.map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted))
    throw new Error(`toHaveAcknowledgedIrqs: ${registerMap.type} has no irq "${wanted}"${didYouMean(wanted, names)}`);
  const left: string[] = [];
  let raised = 0;
  for (const name of wanted === undefined ? names : [wanted]) {
    let rise: { readonly time: number; readonly place: string } | undefined = highAtStart.includes(name)
      ? { time: begin, place: " (before the records begin)" }
      : undefined;
    if (rise !== undefined) raised++;
    for (const edge of edges.filter(({ irq }) => irq === name)) {
      if (edge.level) {
        rise = { time: edge.time, place: placeText(edge) };
        raised++;
      } else if (rise !== undefined) {
        const took = edge.time - rise.time;
        if (took > within)
          left.push(`${name}, raised at ${rise.time} ns${rise.place}, falls after ${took} ns${placeText(edge)}`);
        rise = undefined;
      }
    }
    if (rise !== undefined)
      left.push(`${name}, raised at ${rise.time} ns${rise.place}, is still up at the end, ${now - rise.time} ns later`);
  }
  return { raised, left };
}
