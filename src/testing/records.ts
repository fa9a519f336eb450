// What a testbench notes while a test runs, and what the matchers look at.

import {
  decodeRegister,
  expandRegisters,
  type PlacedRegister,
  type RegisterMap,
} from "../device/model/register-map.ts";
import type { BusAccess, TraceOrigin } from "../trace/record.ts";
import { globOf } from "./register-glob.ts";

/**
 * An access that a test (or a driver under test) made.
 * @example d.accesses.filter(({ write }) => write).map(({ register }) => register)
 */
export interface BenchAccess {
  readonly write: boolean;
  /** The register that it begins in, with index: `CH[2].CTRL`; undefined where none is. */
  readonly register: string | undefined;
  /** In bytes from the start of the region. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
  readonly value: number | bigint;
  /** Virtual time in nanoseconds. */
  readonly time: number;
  /** Which instruction made it, where a guest did. */
  readonly origin?: TraceOrigin | undefined;
  /** What the bus brought, where the device saw other accesses: one of 8 bytes as two of 4. */
  readonly bus?: BusAccess | undefined;
  /** There if the bus refused it, and why. */
  readonly refused?: string | undefined;
  /** For a write: what the registers held before, by name. */
  readonly before?: Readonly<Record<string, number | bigint>> | undefined;
}

/**
 * An edge of an interrupt output.
 * @example expect(d.edges).toEqual([{ irq: "done", level: true, time: 10 }]);
 */
export interface IrqEdge {
  readonly irq: string;
  readonly level: boolean;
  /** Virtual time in nanoseconds. */
  readonly time: number;
  /** Which instruction was the cause, if a guest's was. */
  readonly origin?: TraceOrigin | undefined;
}

/**
 * What the matchers take: a testbench, or anything else that notes the same about a device.
 * @example const complained = (device: DeviceRecords) => device.guestErrors.length > 0;
 */
export interface DeviceRecords {
  readonly registerMap: RegisterMap;
  /** Registers by name, as views. */
  readonly registers: object;
  readonly accesses: readonly BenchAccess[];
  /** Accesses that the bus refused: the device never saw them. */
  readonly refusals: readonly BenchAccess[];
  readonly edges: readonly IrqEdge[];
  readonly guestErrors: readonly string[];
  /** The interrupt outputs that were high when the records began. */
  readonly highAtStart: readonly string[];
  /** Virtual time when the records began, and until when they go. */
  readonly begin: number;
  readonly now: number;
}

/** Finds registers by offset and name. */
export class RegisterIndex {
  readonly byName: ReadonlyMap<string, PlacedRegister>;
  readonly #sorted: readonly PlacedRegister[];

  constructor(map: RegisterMap) {
    this.#sorted = expandRegisters(map);
    this.byName = new Map(this.#sorted.map((register) => [register.name, register]));
  }

  /** The registers of a name, or of a pattern in which `*` stands for anything. */
  named(name: string): readonly PlacedRegister[] {
    if (!name.includes("*")) return [this.byName.get(name)].filter((register) => register !== undefined);
    const glob = globOf(name);
    return this.#sorted.filter((register) => glob.test(register.name));
  }

  /** Whether a name or pattern is that of a register; `*` is also where none is. */
  names(name: string, register: string | undefined): boolean {
    if (!name.includes("*")) return name === register;
    return globOf(name).test(register ?? "");
  }

  /** The register that an offset is in. */
  at(offset: number): PlacedRegister | undefined {
    let low = 0;
    let high = this.#sorted.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const register = this.#sorted[middle]!;
      if (offset < register.offset) high = middle - 1;
      else if (offset >= register.offset + register.info.width / 8) low = middle + 1;
      else return register;
    }
    return undefined;
  }
}

/** An access as people read it: `write CTRL = 0x3 (START, IRQ_EN, MODE=COPY)`. */
export function describeAccess(access: BenchAccess, index: RegisterIndex): string {
  const { write, register, offset, size, value } = access;
  const place = register === undefined ? undefined : index.byName.get(register);
  const part = place !== undefined && size * 8 < place.info.width ? ` (${size} bytes at 0x${offset.toString(16)})` : "";
  const where = register ?? `0x${offset.toString(16)} (${size} bytes)`;
  const what = `${write ? "write" : "read"} ${where}${part}`;
  if (access.refused !== undefined) return `${what} refused: ${access.refused}${placeText(access)}`;
  return `${what} = ${describeValue(place, value)}${placeText(access)}`;
}

/** Where in the guest's program it was: ` [hart 0 dma_start+0x1c]`. */
export function placeText({ origin }: { readonly origin?: TraceOrigin | undefined }): string {
  return origin === undefined ? "" : ` [hart ${origin.hart} ${origin.symbol ?? `0x${origin.pc.toString(16)}`}]`;
}

/** A register's value with its fields: flags that are set by name, others with their values. */
export function describeValue(place: PlacedRegister | undefined, value: number | bigint): string {
  const hex = `0x${value.toString(16)}`;
  if (place === undefined || place.info.fields.length === 0) return hex;
  const parts = Object.entries(decodeRegister(place.info, value))
    .filter(([, field]) => field !== false)
    .map(([name, field]) => (field === true ? name : `${name}=${field}`));
  const pulses = place.info.fields.filter(
    (field) =>
      field.access === "pulse" &&
      (BigInt(value) >> BigInt(field.lsb)) & ((1n << BigInt(field.msb - field.lsb + 1)) - 1n),
  );
  const all = [...pulses.map((field) => field.name), ...parts];
  return all.length === 0 ? hex : `${hex} (${all.join(", ")})`;
}
