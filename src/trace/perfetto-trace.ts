// A trace for timelines: the Trace Event Format of Chrome, which ui.perfetto.dev opens too. A device is a process there;
// accesses, DMA and timers are instants, interrupt lines counters.

import { decodeRegister } from "../device/model/register-map.ts";
import type { TraceRecord, TraceWriter } from "./record.ts";

/** A JSON array, closed by `end`; readers of the format take one that is not closed too. */
export function perfettoTrace(print: (text: string) => void): TraceWriter {
  const processes = new Map<string, number>();
  let first = true;
  const put = (event: object) => {
    print(`${first ? "[" : ","}\n${JSON.stringify(event)}`);
    first = false;
  };
  const processOf = (device: string): number => {
    const known = processes.get(device);
    if (known !== undefined) return known;
    const pid = processes.size + 1;
    processes.set(device, pid);
    put({ name: "process_name", ph: "M", pid, tid: 0, args: { name: device } });
    return pid;
  };
  return {
    write(record) {
      const pid = processOf(record.device);
      // Microseconds; a number's digits are enough for nanoseconds.
      const common = { pid, tid: record.origin === undefined ? 0 : record.origin.hart + 1, ts: record.time / 1000 };
      if (record.kind === "irq")
        put({ name: `irq ${record.irq}`, ph: "C", ...common, args: { level: Number(record.level) } });
      else put({ name: nameOf(record), cat: record.kind, ph: "i", s: "t", ...common, args: argumentsOf(record) });
    },
    end: () => print(first ? "[]\n" : "\n]\n"),
  };
}

function nameOf(record: TraceRecord): string {
  switch (record.kind) {
    case "access":
      return `${record.write ? "write" : "read"} ${record.registers.map(({ name }) => name).join(" ") || `0x${record.offset.toString(16)}`}`;
    case "refused":
      return `refused ${record.write ? "write" : "read"} ${record.registers.join(" ") || `0x${record.offset.toString(16)}`}`;
    case "change":
      return `now ${record.name}`;
    case "dma":
      return `dma ${record.write ? "write" : "read"}`;
    case "timer":
      return `timer ${record.timer}`;
    case "guestError":
      return "guest error";
    case "irq":
      return `irq ${record.irq}`;
    case "swap":
      return "another definition";
  }
}

function argumentsOf(record: TraceRecord): object {
  const { origin } = record;
  const at = origin === undefined ? {} : { pc: `0x${origin.pc.toString(16)}`, symbol: origin.symbol };
  const hex = (value: number | bigint) => `0x${value.toString(16)}`;
  switch (record.kind) {
    case "access": {
      const fields = record.registers.map(({ name, info, new: now }) => [name, decodeRegister(info, now)] as const);
      return { value: hex(record.value), size: record.size, ...at, ...Object.fromEntries(fields) };
    }
    case "change":
      return { old: hex(record.old), new: hex(record.new), ...at, ...decodeRegister(record.info, record.new) };
    case "dma":
      return { address: hex(record.address), length: record.length, failed: record.failed, ...at };
    case "refused":
      return { offset: hex(record.offset), size: record.size, reason: record.reason, ...at };
    case "guestError":
      return { message: record.message, ...at };
    case "swap":
      return { changes: record.changes };
    default:
      return at;
  }
}
