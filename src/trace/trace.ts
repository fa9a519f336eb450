// Listens to devices of a machine and hands what happens to a writer. docs/design/trace.md.

import type { FunctionSymbol } from "../boards/loader/elf-symbols.ts";
import { type Device, SysBusDevice } from "../device/device.ts";
import { devicesBelow } from "../device/reset.ts";
import type { TraceFormat } from "../machine/config.ts";
import type { Machine } from "../machine/machine.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { type Observation, observeDevice, type TraceObserver } from "./observe.ts";
import { perfettoTrace } from "./perfetto-trace.ts";
import type { TraceRecord, TraceWriter } from "./record.ts";
import { Symbols } from "./symbols.ts";
import { jsonTrace, textTrace } from "./text-trace.ts";
import { vcdTrace } from "./vcd-trace.ts";

/** Devices that a complaint names. */
const MAX_NAMED = 20;

/** A trace that goes on until it is ended. */
export interface Trace {
  end(): void;
}

/** A device that a trace is of. */
export interface TracedDevice {
  /** What records call it. */
  readonly name: string;
  readonly device: SysBusDevice;
  readonly observation: Observation;
}

/** What a trace is to have beyond the usual. */
export interface TraceOptions {
  /** Whether each write tells what the registers held before it. */
  readonly before?: boolean;
  /** Functions that no file tells of, by rising address: those of modules. */
  readonly symbols?: () => readonly FunctionSymbol[];
}

/**
 * Hands everything that happens to devices to `writer`: an array's `push` in a test, a format of this folder otherwise.
 *
 * @param which devices by id, by type (all of it) or by the board's name for them (`uart0`, `plic`), or themselves
 * @throws UserError when there is none that can be traced
 * @example const records = []; traceDevices(machine, "banana-dma", () => ({ write: (r) => records.push(r) }));
 */
export function traceDevices(
  machine: Machine,
  which: string | readonly (string | SysBusDevice)[],
  open: (devices: readonly TracedDevice[]) => TraceWriter,
  { before = false, symbols: more }: TraceOptions = {},
): Trace {
  const found = new Map<SysBusDevice, string>();
  for (const one of typeof which === "string" ? [which] : which) {
    for (const { name, device } of find(machine, one)) if (!found.has(device)) found.set(device, name);
  }
  const symbols = new Symbols(machine, more);
  let writer: TraceWriter | undefined;
  const devices = [...found].map(([device, name]): TracedDevice => {
    const put = (kind: TraceRecord["kind"]) => (event: object) => {
      const hart = machine.running;
      const origin = hart === undefined ? undefined : symbols.origin(hart.index, hart.pc);
      writer?.write({ kind, device: name, origin, ...event } as TraceRecord);
    };
    const observer: TraceObserver = {
      access: put("access"),
      refused: put("refused"),
      change: put("change"),
      irq: put("irq"),
      dma: put("dma"),
      timer: put("timer"),
      guestError: put("guestError"),
      swap: put("swap"),
    };
    return { name, device, observation: observeDevice(device, machine.events, observer, before) };
  });
  writer = open(devices);
  return {
    end() {
      for (const { observation } of devices.splice(0)) observation.end();
      writer?.end?.();
      writer = undefined;
    },
  };
}

/** Traces in one of the formats. `print` gets text, whole lines but for perfetto. */
export function traceTo(machine: Machine, name: string, format: TraceFormat, print: (text: string) => void): Trace {
  return traceDevices(machine, name, (devices) => {
    if (format === "text") return textTrace(print);
    if (format === "jsonl") return jsonTrace(print);
    if (format === "perfetto") return perfettoTrace(print);
    const now = devices.map(({ name: label, device, observation }) => ({
      name: label,
      registerMap: observation.registerMap,
      registers: observation.values(),
      irqs: device.irqLevels,
    }));
    return vcdTrace(now, print);
  });
}

function find(machine: Machine, which: string | SysBusDevice): { name: string; device: SysBusDevice }[] {
  const all = devicesBelow(machine.board.object);
  const placeOf = (device: Device): string => (device.parent === machine.board.object ? device.pathComponent : "");
  const name = typeof which === "string" ? which : which.id || placeOf(which) || which.typeInfo.name;
  const fits: ((device: Device) => boolean)[] =
    typeof which === "string"
      ? [
          (device) => device.id === name,
          (device) => placeOf(device) === name,
          (device) => device.typeInfo.name === name,
          // clint: clint.swi and clint.mtimer.
          (device) => placeOf(device).startsWith(`${name}.`),
        ]
      : [(device) => device === which];
  const found = fits.map((fit) => all.filter(fit)).find((devices) => devices.length > 0) ?? [];
  const traceable = found.filter((device) => device instanceof SysBusDevice);
  if (traceable.length > 0) {
    return traceable.map((device, n) => ({
      name: device.id || placeOf(device) || (traceable.length === 1 ? name : `${name}[${n}]`),
      device,
    }));
  }
  if (found.length > 0)
    throw new UserError(`${name} has no registers of its own on the board's bus: trace the virtio-mmio that it is in`);
  const names = all.flatMap((device) => [device.id, placeOf(device), device.typeInfo.name]);
  const known = [...new Set(names.filter((known) => known !== ""))];
  // Those of the user's first, then the board's, several of a kind once.
  const own = all.filter((device) => placeOf(device) === "").map((device) => device.id || device.typeInfo.name);
  const board = all.map((device) => placeOf(device).replace(/\[\d+\]$/, "")).filter((place) => place !== "");
  const listed = [...new Set([...own, ...board])].slice(0, MAX_NAMED);
  const hint = didYouMean(name, known) || ` (there is ${listed.join(", ")})`;
  throw new UserError(`there is no device "${name}"${hint}`);
}
