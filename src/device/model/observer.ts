// What somebody who listens to a device hears: for traces. Nothing here costs anything while nobody listens.

import type { RegisterInfo, RegisterMap } from "./register-map.ts";

/**
 * A register that an access reached.
 * @example const fields = ({ info, new: value }: RegisterAccess) => decodeRegister(info, value);
 */
export interface RegisterAccess {
  /** With indices: `CH[2].CTRL`. */
  readonly name: string;
  /** To take values apart: see `decodeRegister`. */
  readonly info: RegisterInfo;
  /** Before the access. */
  readonly old: number | bigint;
  /** With what the access itself changed; what callbacks then change follows as `change`. */
  readonly new: number | bigint;
}

/**
 * An access of the guest, or of somebody's DMA, to the device.
 * @example device.observe({ access: ({ write, offset, value }: AccessEvent) => console.log(write, offset, value) });
 */
export interface AccessEvent {
  /** Virtual time in nanoseconds. */
  readonly time: number;
  readonly write: boolean;
  /** In bytes from the start of the region. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
  /** What was read or written; a bigint for 8 bytes. */
  readonly value: number | bigint;
  /** The registers that it reached, none if there is none. */
  readonly registers: readonly RegisterAccess[];
}

/**
 * A register that the model changed, as seen when its callbacks had ended.
 * @example device.observe({ change: ({ name, old, new: now }: ChangeEvent) => console.log(name, old, now) });
 */
export interface ChangeEvent {
  readonly time: number;
  readonly name: string;
  readonly info: RegisterInfo;
  readonly old: number | bigint;
  readonly new: number | bigint;
}

/**
 * An edge of an interrupt output. A pulse is two edges.
 * @example device.observe({ irq: ({ irq, level, time }: IrqEvent) => console.log(time, irq, level) });
 */
export interface IrqEvent {
  readonly time: number;
  readonly irq: string;
  readonly level: boolean;
}

/**
 * A DMA transfer of the device.
 * @example device.observe({ dma: ({ write, address, length }: DmaEvent) => console.log(write, address, length) });
 */
export interface DmaEvent {
  readonly time: number;
  readonly write: boolean;
  readonly address: bigint;
  /** What went over the bus: only good while the event is handled. Empty if it failed. */
  readonly bytes: Uint8Array;
  /** Bytes that were to be transferred. */
  readonly length: number;
  readonly failed: boolean;
}

/**
 * A timer that fires.
 * @example device.observe({ timer: ({ timer, time }: TimerEvent) => console.log(time, timer) });
 */
export interface TimerEvent {
  readonly time: number;
  readonly timer: string;
}

/**
 * Something that the guest did wrong.
 * @example device.observe({ guestError: ({ message }: GuestErrorEvent) => console.log(message) });
 */
export interface GuestErrorEvent {
  readonly time: number;
  readonly message: string;
}

/**
 * Another definition that takes the place of the device's: registers may be others from here on.
 * @example device.observe({ swap: ({ changes }: SwapEvent) => console.log(changes.join("; ")) });
 */
export interface SwapEvent {
  readonly time: number;
  /** What is different, in words. */
  readonly changes: readonly string[];
  readonly registerMap: RegisterMap;
  /** What the registers hold now, by name. */
  readonly registers: Readonly<Record<string, number | bigint>>;
}

/**
 * Who listens; functions that are not there are not called.
 * @example const stop = device.observe({ irq: ({ irq, level }) => console.log(irq, level) });
 */
export interface DeviceObserver {
  access?(event: AccessEvent): void;
  change?(event: ChangeEvent): void;
  irq?(event: IrqEvent): void;
  dma?(event: DmaEvent): void;
  timer?(event: TimerEvent): void;
  guestError?(event: GuestErrorEvent): void;
  swap?(event: SwapEvent): void;
}
