// Listens to devices of a machine and hands what happens to a writer. docs/design/trace.md.

import type { FunctionSymbol } from "../boards/loader/elf-symbols.ts";
import { DefinedDevice } from "../device/model/defined-device.ts";
import { devicesBelow } from "../device/reset.ts";
import type { TraceFormat } from "../machine/config.ts";
import type { Machine } from "../machine/machine.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { perfettoTrace } from "./perfetto-trace.ts";
import type { TraceOrigin, TraceRecord, TraceWriter } from "./record.ts";
import { jsonTrace, textTrace } from "./text-trace.ts";
import { vcdTrace } from "./vcd-trace.ts";

/** A trace that goes on until it is ended. */
export interface Trace {
  end(): void;
}

/**
 * Hands everything that happens to a device to `writer`: an array's `push` in a test, a format of this folder otherwise.
 *
 * @param name the device's id, or a type: all devices of it
 * @throws UserError when there is none that can be traced
 * @example const records = []; traceDevices(machine, "banana-dma", () => ({ write: (r) => records.push(r) }));
 */
export function traceDevices(
  machine: Machine,
  name: string,
  open: (devices: readonly { readonly name: string; readonly device: DefinedDevice }[]) => TraceWriter,
): Trace {
  const devices = find(machine, name);
  const writer = open(devices);
  const symbolOf = symbols(machine);
  const ends = devices.map(({ name: label, device }) => {
    const put = (kind: TraceRecord["kind"]) => (event: object) => {
      const hart = machine.running;
      const origin: TraceOrigin | undefined =
        hart === undefined ? undefined : { hart: hart.index, pc: hart.pc, symbol: symbolOf(hart.pc) };
      writer.write({ kind, device: label, origin, ...event } as TraceRecord);
    };
    return device.observe({
      access: put("access"),
      change: put("change"),
      irq: put("irq"),
      dma: put("dma"),
      timer: put("timer"),
      guestError: put("guestError"),
      swap: put("swap"),
    });
  });
  return {
    end() {
      for (const end of ends.splice(0)) end();
      writer.end?.();
    },
  };
}

/** Traces in one of the formats. `print` gets text, whole lines but for perfetto. */
export function traceTo(machine: Machine, name: string, format: TraceFormat, print: (text: string) => void): Trace {
  return traceDevices(machine, name, (devices) => {
    if (format === "text") return textTrace(print);
    if (format === "jsonl") return jsonTrace(print);
    if (format === "perfetto") return perfettoTrace(print);
    const now = devices.map(({ name: label, device }) => ({
      name: label,
      registerMap: device.registerMap,
      registers: device.save().registers,
    }));
    return vcdTrace(now, print);
  });
}

function find(machine: Machine, name: string): { name: string; device: DefinedDevice }[] {
  const all = devicesBelow(machine.board.object);
  const named = all.filter((device) => device.id === name);
  const found = named.length > 0 ? named : all.filter((device) => device.typeInfo.name === name);
  const traceable = found.filter((device) => device instanceof DefinedDevice);
  if (traceable.length > 0) {
    return traceable.map((device, n) => ({
      name: device.id || (traceable.length === 1 ? name : `${name}[${n}]`),
      device,
    }));
  }
  if (found.length > 0) throw new UserError(`${name} is no device that defineDevice made: only those can be traced`);
  const names = all
    .filter((device) => device instanceof DefinedDevice)
    .flatMap(({ id, typeInfo }) => [id, typeInfo.name]);
  const known = names.filter((known) => known !== "");
  const hint = didYouMean(name, known) || (known.length === 0 ? "" : ` (there is ${known.join(", ")})`);
  throw new UserError(`there is no device "${name}"${hint}`);
}

/** Finds functions by address. They are read when first asked for. */
function symbols(machine: Machine): (pc: bigint) => string | undefined {
  let functions: readonly FunctionSymbol[] | undefined;
  return (pc) => {
    functions ??= machine.board.functions();
    let [low, high] = [0, functions.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (functions[middle]!.value <= pc) low = middle + 1;
      else high = middle;
    }
    const found = functions[low - 1];
    if (found === undefined || (found.size > 0n && pc >= found.value + found.size)) return undefined;
    return pc === found.value ? found.name : `${found.name}+0x${(pc - found.value).toString(16)}`;
  };
}
