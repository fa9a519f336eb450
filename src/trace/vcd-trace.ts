// A trace as signals over time: value change dump, IEEE 1364-2005, clause 18. Registers, their fields, interrupt lines.

import { expandRegisters, type RegisterInfo, type RegisterMap } from "../device/model/register-map.ts";
import type { TraceWriter } from "./record.ts";

/** A device as it is when the trace begins. */
export interface VcdDevice {
  readonly name: string;
  readonly registerMap: RegisterMap;
  /** Values by register, those that are known. */
  readonly registers: Readonly<Record<string, number | bigint>>;
  /** Levels by interrupt output. */
  readonly irqs: Readonly<Record<string, boolean>>;
}

/** Bits of a register. */
interface Place {
  readonly lsb: number;
  readonly size: number;
}

interface Signal {
  readonly code: string;
  readonly width: number;
  /** Where it is in its register; undefined while no register has it: then it is unknown (x). */
  place: Place | undefined;
  /** The field that it is; undefined for the whole register. */
  readonly field: string | undefined;
  shown: bigint | undefined;
}

/** Writes header and first values at once. */
export function vcdTrace(devices: readonly VcdDevice[], print: (text: string) => void): TraceWriter {
  const registers = new Map<string, Signal[]>();
  const irqs = new Map<string, Signal>();
  let count = 0;
  let declarations = "";
  const declare = (name: string, width: number, lsb: number, field?: string): Signal => {
    const signal: Signal = { code: codeOf(count++), width, place: { lsb, size: width }, field, shown: undefined };
    // Brackets would be taken for a range of bits.
    declarations += `$var wire ${width} ${signal.code} ${name.replaceAll("[", "_").replaceAll("]", "")} $end\n`;
    return signal;
  };
  for (const { name: device, registerMap } of devices) {
    declarations += `$scope module ${device.replace(/[^\w-]/g, "_")} $end\n`;
    for (const { name, info } of expandRegisters(registerMap)) {
      registers.set(`${device} ${name}`, [declare(name, info.width, 0), ...fieldsOf(info, name, declare)]);
    }
    for (const { name } of registerMap.irqs) irqs.set(`${device} ${name}`, declare(`irq.${name}`, 1, 0));
    declarations += "$upscope $end\n";
  }
  for (const { name: device, registers: values, irqs: levels } of devices) {
    for (const [name, value] of Object.entries(values)) {
      for (const signal of registers.get(`${device} ${name}`) ?? []) signal.shown = bitsOf(signal, value);
    }
    for (const [name, level] of Object.entries(levels)) {
      const signal = irqs.get(`${device} ${name}`);
      if (signal !== undefined) signal.shown = level ? 1n : 0n;
    }
  }
  const initial = [...[...registers.values()].flat(), ...irqs.values()].map(lineOf);
  print(`$timescale 1ns $end\n${declarations}$enddefinitions $end\n#0\n$dumpvars\n${initial.join("")}$end\n`);

  let time = 0;
  const show = (now: number, signal: Signal, value: number | bigint) => {
    const bits = bitsOf(signal, value);
    if (bits === signal.shown) return;
    signal.shown = bits;
    // Time only goes forward in a file, whatever a snapshot does.
    const stamp = Math.max(time, Math.floor(now));
    print(`${stamp > time ? `#${stamp}\n` : ""}${lineOf(signal)}`);
    time = stamp;
  };
  return {
    write(record) {
      const { device, time: now } = record;
      if (record.kind === "irq") {
        const signal = irqs.get(`${device} ${record.irq}`);
        if (signal !== undefined) show(now, signal, Number(record.level));
        return;
      }
      if (record.kind === "swap") {
        const infos = new Map(expandRegisters(record.registerMap).map(({ name, info }) => [name, info]));
        for (const [name, signals] of registers) {
          if (!name.startsWith(`${device} `)) continue;
          const register = name.slice(device.length + 1);
          for (const signal of signals) {
            // A file's signals are declared once: of what is new nothing can be shown.
            signal.place = placeOf(signal, infos.get(register));
            show(now, signal, record.registers[register] ?? 0n);
          }
        }
        return;
      }
      const changes = record.kind === "access" ? record.registers : record.kind === "change" ? [record] : [];
      for (const change of changes) {
        for (const signal of registers.get(`${device} ${change.name}`) ?? []) show(now, signal, change.new);
      }
    },
  };
}

function fieldsOf(
  info: RegisterInfo,
  name: string,
  declare: (name: string, width: number, lsb: number, field: string) => Signal,
): Signal[] {
  return info.fields
    .filter(({ access }) => access !== "pulse" && access !== "reserved")
    .map((field) => declare(`${name}.${field.name}`, field.msb - field.lsb + 1, field.lsb, field.name));
}

/** Where a signal is in a register; undefined if there is nothing of its name that fits it. */
function placeOf({ width, field }: Signal, info: RegisterInfo | undefined): Place | undefined {
  if (info === undefined) return undefined;
  const found = field === undefined ? { lsb: 0, msb: info.width - 1 } : info.fields.find(({ name }) => name === field);
  if (found === undefined || found.msb - found.lsb >= width) return undefined;
  return { lsb: found.lsb, size: found.msb - found.lsb + 1 };
}

function bitsOf({ place }: Signal, value: number | bigint): bigint | undefined {
  return place === undefined ? undefined : BigInt.asUintN(place.size, BigInt(value) >> BigInt(place.lsb));
}

function lineOf({ code, width, shown }: Signal): string {
  if (shown === undefined) return width === 1 ? `x${code}\n` : `bx ${code}\n`;
  return width === 1 ? `${shown}${code}\n` : `b${shown.toString(2)} ${code}\n`;
}

/** Identifier codes are of the printable characters `!` to `~`. */
function codeOf(n: number): string {
  let code = "";
  for (let rest = n + 1; rest > 0; rest = Math.floor((rest - 1) / 94))
    code += String.fromCharCode(33 + ((rest - 1) % 94));
  return code;
}
