// Listens to one device: one that defineDevice made says most of it itself; of others the bus and the lines are heard, and
// registers have the names that the device gives them. docs/design/trace.md.

import type { SysBusDevice } from "../device/device.ts";
import { DefinedDevice } from "../device/model/defined-device.ts";
import type { AccessEvent, DeviceObserver, RegisterAccess } from "../device/model/observer.ts";
import { expandRegisters, type PlacedRegister, type RegisterMap } from "../device/model/register-map.ts";
import { type RegisterNames, registerNames } from "../device/register-names.ts";
import type { IoTap } from "../memory/io-callbacks.ts";
import type { Clock } from "../util/clock.ts";
import type { BusAccess, RefusedEvent } from "./record.ts";

/** Who listens: to what a device itself says, and to what the bus makes of it. */
export interface TraceObserver extends Omit<DeviceObserver, "access"> {
  access?(event: AccessEvent & { readonly bus?: BusAccess; readonly before?: RegisterValues }): void;
  refused?(event: RefusedEvent): void;
}

type RegisterValues = Readonly<Record<string, number | bigint>>;

/** A device that is listened to. */
export interface Observation {
  readonly registerMap: RegisterMap;
  /** What the registers hold, as far as anybody knows. */
  values(): RegisterValues;
  end(): void;
}

/** @param before whether writes are to tell what the registers held before */
export function observeDevice(
  device: SysBusDevice,
  clock: Clock,
  observer: TraceObserver,
  before: boolean,
): Observation {
  return device instanceof DefinedDevice
    ? observeDefined(device, clock, observer, before)
    : observeClass(device, clock, observer, before);
}

function observeDefined(device: DefinedDevice, clock: Clock, observer: TraceObserver, before: boolean): Observation {
  /** The access that the bus brings just now, and what the registers hold. */
  let bus: BusAccess | undefined;
  let values: RegisterValues | undefined;
  const tap: IoTap = {
    before(write, offset, size) {
      bus = { offset, size };
      values = before && write ? device.values : undefined;
    },
    after() {
      bus = undefined;
      values = undefined;
    },
    refused: refusal(observer, clock, (_write, offset, size) =>
      expandRegisters(device.registerMap).filter(
        (register) => register.offset < offset + size && offset < register.offset + register.info.width / 8,
      ),
    ),
  };
  let ends = listen(device, tap);
  const { swap } = observer;
  const stop = device.observe({
    ...observer,
    access: (event) => {
      const same = bus === undefined || (bus.offset === event.offset && bus.size === event.size);
      observer.access?.({
        ...event,
        ...(same || bus === undefined ? {} : { bus }),
        ...(values === undefined ? {} : { before: values }),
      });
    },
    swap(event) {
      // Its region is another one now.
      for (const end of ends) end();
      ends = listen(device, tap);
      swap?.(event);
    },
  });
  return {
    get registerMap() {
      return device.registerMap;
    },
    values: () => device.values,
    end() {
      stop();
      for (const end of ends) end();
    },
  };
}

function observeClass(device: SysBusDevice, clock: Clock, observer: TraceObserver, before: boolean): Observation {
  const names = device.registerNames?.() ?? unnamed(device);
  /** What was last seen of each register. */
  const seen: Record<string, number | bigint> = {};
  /** What a read has for consequences waits until the value is known. */
  let waiting: (() => void)[] | undefined;
  const tell = (event: () => void): void => {
    if (waiting === undefined) event();
    else waiting.push(event);
  };
  /** When the access began. */
  let time = 0;
  const access = (write: boolean, offset: number, size: number, low: number, high: number): void => {
    const value = size === 8 ? (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) : low;
    const known = before && write ? { ...seen } : undefined;
    const registers = names.at(write, offset, size).map((register): RegisterAccess => {
      const { name, info } = register;
      const now = part(register, offset, size, value, seen[name]);
      const old = write ? (seen[name] ?? now) : now;
      seen[name] = now;
      return { name, info, old, new: now };
    });
    const event = { time, write, offset, size, value, registers };
    observer.access?.(known === undefined ? event : { ...event, before: known });
  };
  const tap: IoTap = {
    before(write, offset, size, low, high) {
      time = clock.now;
      if (write) access(true, offset, size, low, high);
      else waiting ??= [];
    },
    after(write, offset, size, low, high) {
      if (write) return;
      access(false, offset, size, low, high);
      const events = waiting;
      waiting = undefined;
      for (const event of events ?? []) event();
    },
    refused: refusal(observer, clock, names.at),
  };
  const ends = listen(device, tap);
  const hearIrq = (irq: string, level: boolean): void => {
    const { now } = clock;
    tell(() => observer.irq?.({ time: now, irq, level }));
  };
  const hearError = (message: string): void => {
    const { now } = clock;
    tell(() => observer.guestError?.({ time: now, message }));
  };
  device.irqListeners.add(hearIrq);
  device.guestErrorListeners.add(hearError);
  return {
    registerMap: names.map,
    values: () => ({ ...seen }),
    end() {
      device.irqListeners.delete(hearIrq);
      device.guestErrorListeners.delete(hearError);
      for (const end of ends) end();
    },
  };
}

function listen(device: SysBusDevice, tap: IoTap): (() => void)[] {
  return device.mmio.flatMap(({ io }) => (io === undefined ? [] : [io.listen(tap)]));
}

function refusal(
  observer: TraceObserver,
  clock: Clock,
  at: (write: boolean, offset: number, size: number) => readonly PlacedRegister[],
): IoTap["refused"] {
  return (write, offset, size, reason) => {
    const registers = at(write, offset, size).map(({ name }) => name);
    observer.refused?.({ time: clock.now, write, offset, size, registers, reason });
  };
}

/** A register's value after an access that has all of its bytes or some; those it has not are as they were seen. */
function part(
  { offset: begin, info }: PlacedRegister,
  offset: number,
  size: number,
  value: number | bigint,
  seen: number | bigint = 0,
): number | bigint {
  const { width } = info;
  if (begin === offset && size * 8 === width) return value;
  const shift = BigInt(8 * (begin - offset));
  const bits = shift >= 0n ? BigInt(value) >> shift : BigInt(value) << -shift;
  const from = BigInt(Math.max(0, 8 * (offset - begin)));
  const to = BigInt(Math.min(width, 8 * (offset + size - begin)));
  const mask = (1n << to) - (1n << from);
  const now = (BigInt(seen) & ~mask) | (bits & mask);
  return width === 64 ? now : Number(now);
}

function unnamed(device: SysBusDevice): RegisterNames {
  const size = Number(device.mmio[0]?.size ?? 1n);
  return registerNames({ type: device.typeInfo.name, irqs: device.irqNames, size }, [{}]);
}
