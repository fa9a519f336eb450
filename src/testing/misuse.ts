// What a driver did that hardware would not like: found in the accesses that were recorded, whatever the model made of them.

import type { FieldInfo, PlacedRegister } from "../device/model/register-map.ts";
import { type BenchAccess, type DeviceRecords, describeAccess, RegisterIndex } from "./records.ts";

/**
 * - `write-only`: a read of what can only be written
 * - `read-only`: a write to what can only be read
 * - `undefined`: an access to where no register is
 * - `width`: an access that is no whole register (halves of one of 64 bits are fine), or that is more than one
 * - `reserved`: a write that changes reserved bits, or bits of no field
 * - `refused`: an access that the bus refused
 */
export type MisuseKind = "write-only" | "read-only" | "undefined" | "width" | "reserved" | "refused";

/** A misuse, and the access that it was. */
export interface Misuse {
  readonly kind: MisuseKind;
  readonly access: BenchAccess;
  /** For people: `reads write-only KEY: read KEY = 0x0 [hart 0 banana_probe+0x24]`. */
  readonly text: string;
}

/**
 * All misuses of a device's registers.
 * @example expect(misuses(trace).filter(({ kind }) => kind === "width")).toEqual([]);
 */
export function misuses(records: DeviceRecords): Misuse[] {
  const index = new RegisterIndex(records.registerMap);
  const all = [...records.accesses, ...records.refusals].sort((a, b) => a.time - b.time);
  return all.flatMap((access) =>
    problemsOf(access, index).map(([kind, why]) => ({
      kind,
      access,
      text: `${why}: ${describeAccess(access, index)}`,
    })),
  );
}

function problemsOf(access: BenchAccess, index: RegisterIndex): (readonly [MisuseKind, string])[] {
  if (access.refused !== undefined) return [["refused", "the bus refused it"]];
  const { write, register } = access;
  const place = index.byName.get(register ?? "");
  if (place === undefined) return [["undefined", "no register is there"]];
  const found: (readonly [MisuseKind, string])[] = [];
  const only = onlyAccess(place);
  if (!write && only === "write") found.push(["write-only", `reads write-only ${place.name}`]);
  if (write && only === "read") found.push(["read-only", `writes read-only ${place.name}`]);
  const width = widthProblem(access, place);
  if (width !== undefined) found.push(["width", width]);
  if (write && only !== "read") {
    const bits = reservedBits(access, place);
    if (bits !== 0n) found.push(["reserved", `changes reserved bits 0x${bits.toString(16)} of ${place.name}`]);
  }
  return found;
}

/** What alone makes sense with all of a register. */
function onlyAccess({ info }: PlacedRegister): "read" | "write" | undefined {
  const accesses = info.fields.length === 0 ? [info.access] : info.fields.map(({ access }) => access);
  const real = accesses.filter((access) => access !== "reserved");
  if (real.length === 0) return undefined;
  if (real.every((access) => access === "wo" || access === "pulse")) return "write";
  return real.every((access) => ["ro", "rc", "rs", "constant"].includes(access)) ? "read" : undefined;
}

function widthProblem(access: BenchAccess, { name, offset, info }: PlacedRegister): string | undefined {
  const { offset: at, size } = access.bus ?? access;
  const bytes = info.width / 8;
  if (at === offset && size === bytes) return undefined;
  if (bytes === 8 && size === 4 && (at === offset || at === offset + 4)) return undefined;
  return `${size} byte${size === 1 ? "" : "s"} at 0x${at.toString(16)}, but ${name} has ${bytes}`;
}

/** Bits that a write changes and that belong to nobody. */
function reservedBits({ offset, size, value }: BenchAccess, { offset: begin, info }: PlacedRegister): bigint {
  if (info.fields.length === 0) return 0n;
  const mine = info.fields
    .filter(({ access }) => access !== "reserved")
    .reduce((bits, field) => bits | maskOf(field), 0n);
  const shift = BigInt(8 * Math.max(0, offset - begin));
  const covered = ((1n << BigInt(8 * size)) - 1n) << shift;
  const all = (1n << BigInt(info.width)) - 1n;
  return ((BigInt(value) << shift) ^ BigInt(info.reset)) & covered & all & ~mine;
}

function maskOf({ msb, lsb }: FieldInfo): bigint {
  return (1n << BigInt(msb + 1)) - (1n << BigInt(lsb));
}
