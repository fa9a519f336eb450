// A trace for people, and one for programs: lines of text, lines of JSON.

import { decodeRegister, type RegisterInfo } from "../device/model/register-map.ts";
import type { TraceRecord, TraceWriter } from "./record.ts";

/** Bytes of a DMA transfer that are shown. */
const SHOWN_BYTES = 16;
const JSON_BYTES = 64;

/** One line for each record. */
export function textTrace(print: (text: string) => void): TraceWriter {
  return { write: (record) => print(`${textOf(record)}\n`) };
}

/** One JSON object in each line; values of registers, addresses and the pc are hexadecimal text. */
export function jsonTrace(print: (text: string) => void): TraceWriter {
  return { write: (record) => print(`${JSON.stringify(jsonOf(record))}\n`) };
}

/** A record as one line, without the end of the line. */
export function textOf(record: TraceRecord): string {
  const { device, time, origin } = record;
  const seconds = (time / 1e9).toFixed(9);
  const at = origin === undefined ? "" : ` [hart ${origin.hart} ${origin.symbol ?? hex(origin.pc)}]`;
  return `${seconds} ${device}: ${whatOf(record)}${at}`;
}

function whatOf(record: TraceRecord): string {
  switch (record.kind) {
    case "access": {
      const { write, registers, offset, size, value, bus } = record;
      const names = registers.length === 0 ? `0x${offset.toString(16)}` : registers.map(({ name }) => name).join(" ");
      const decoded = registers.map((register) => decodedOf(register.info, register.old, register.new)).filter(Boolean);
      const sign = write ? "=" : "->";
      const part = bus === undefined ? "" : ` (of ${bus.size} bytes at 0x${bus.offset.toString(16)})`;
      return `${write ? "write" : "read"} ${names} ${sign} ${[hex(value, size * 2), ...decoded].join(" ")}${part}`;
    }
    case "refused": {
      const { write, registers, offset, size, reason } = record;
      const names = registers.length === 0 ? "" : ` (${registers.join(" ")})`;
      return `refused ${write ? "write" : "read"} of ${size} byte${size === 1 ? "" : "s"} at 0x${offset.toString(16)}${names}: ${reason}`;
    }
    case "change":
      return `now ${record.name} = ${hex(record.new, record.info.width / 4)} ${decodedOf(record.info, record.old, record.new)}`.trimEnd();
    case "irq":
      return `irq ${record.irq} ${record.level ? "raised" : "lowered"}`;
    case "dma": {
      const { write, address, length, bytes, failed } = record;
      const shown = [...bytes.subarray(0, SHOWN_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      const data = failed ? "failed" : `${shown}${length > SHOWN_BYTES ? " ..." : ""}`;
      return `dma ${write ? "write" : "read"} ${length} bytes at ${hex(address)}: ${data}`;
    }
    case "timer":
      return `timer ${record.timer}`;
    case "guestError":
      return `guest error: ${record.message}`;
    case "swap":
      return `another definition${record.changes.length === 0 ? "" : `: ${record.changes.join("; ")}`}`;
  }
}

/** The fields, those that changed with both values: `{IRQ_EN: false -> true, MODE: COPY}`. */
function decodedOf(info: RegisterInfo, old: number | bigint, now: number | bigint): string {
  if (info.fields.length === 0) return BigInt(old) === BigInt(now) ? "" : `(was ${hex(old, info.width / 4)})`;
  const before = decodeRegister(info, old);
  const fields = Object.entries(decodeRegister(info, now)).map(([name, value]) =>
    before[name] === value ? `${name}: ${value}` : `${name}: ${before[name]} -> ${value}`,
  );
  return `{${fields.join(", ")}}`;
}

function jsonOf({ origin, ...record }: TraceRecord): object {
  const at = origin === undefined ? {} : { hart: origin.hart, pc: hex(origin.pc), symbol: origin.symbol };
  const register = ({
    name,
    info,
    old,
    new: now,
  }: { name: string; info: RegisterInfo } & Record<"old" | "new", number | bigint>) => ({
    name,
    old: hex(old),
    new: hex(now),
    ...(info.fields.length === 0 ? {} : { fields: decodeRegister(info, now), before: decodeRegister(info, old) }),
  });
  switch (record.kind) {
    case "access":
      return {
        ...record,
        before: undefined,
        ...at,
        value: hex(record.value),
        registers: record.registers.map(register),
      };
    case "change": {
      const { info: _info, ...rest } = record;
      return { ...rest, ...at, ...register(record) };
    }
    case "dma": {
      const bytes = [...record.bytes.subarray(0, JSON_BYTES)]
        .map((byte) => byte.toString(16).padStart(2, "0"))
        .join("");
      return { ...record, ...at, address: hex(record.address), bytes };
    }
    case "swap": {
      const { registerMap: _map, registers, ...rest } = record;
      const values = Object.entries(registers).map(([name, value]) => [name, hex(value)]);
      return { ...rest, registers: Object.fromEntries(values) };
    }
    default:
      return { ...record, ...at };
  }
}

function hex(value: number | bigint, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}
