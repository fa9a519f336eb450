// What an author writes: the spec of a device, and what its `setup` gets to say what happens.

import type { ChardevEvent } from "../../backend/chardev.ts";
import type { FdtNode, FdtValue } from "../../fdt/fdt-node.ts";
import type { AccessConstraints } from "../../memory/io-callbacks.ts";
import type { ShutdownReason } from "../device.ts";
import type { FdtContext } from "../fdt-context.ts";
import type { Dma } from "./dma.ts";
import type { Fifo, FifoOptions } from "./fifo.ts";
import type { DeviceTimer } from "./model-timer.ts";
import type { IndicesAt, Name, RegisterViews, ValueAt } from "./paths.ts";
import type { ChardevNames, PropertySpecs, PropertyValues } from "./properties.ts";
import type { RegisterSpecs } from "./registers.ts";
import type { Stream, StreamReceiver } from "./stream.ts";

/**
 * What a callback may return: anything but a promise, because nobody would wait for it.
 * @example on.write("CTRL", () => (STATUS.BUSY = true)); // async () => ... is refused
 */
export type NotAPromise =
  // biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is the usual one
  void | undefined | null | boolean | number | bigint | string | (object & { readonly then?: never });

/**
 * The guest's view of the device as a region of the address map. Sizes in bytes.
 * @example mmio: { size: 0x100, read: (offset) => (offset === 0 ? 0xba000001 : 0xdeadbeef) }
 */
export interface MmioSpec {
  readonly size: number;
  /** What reads give where no register is, cut to their size; 0 and a guest error unless given. */
  readonly unmapped?: number;
  /** Answers reads where no register is. */
  readonly read?: (offset: number, size: 1 | 2 | 4) => number;
  /** Takes writes where no register is. */
  readonly write?: (offset: number, value: number, size: 1 | 2 | 4) => NotAPromise;
  /** What the bus accepts: anything else is an access fault for the guest. Every aligned access unless given. */
  readonly valid?: AccessConstraints;
  /** What reaches the registers: other accesses are split or widened, as QEMU does it. */
  readonly impl?: AccessConstraints;
  /** Which byte of a register the lowest address holds; little unless given. */
  readonly endianness?: "little" | "big";
}

/**
 * An interrupt output that gives pulses: see `edge`.
 * @example const tick: EdgeIrq<"tick"> = edge("tick");
 */
export interface EdgeIrq<N extends string = string> {
  readonly kind: "edge";
  readonly name: N;
}

/**
 * An interrupt output without a level: `irq.NAME.pulse()` sends one.
 * @example irqs: ["done", edge("tick")]
 */
export function edge<const N extends string>(name: N): EdgeIrq<N> {
  return { kind: "edge", name };
}

/**
 * Interrupt outputs in their order: a name is one whose level follows a condition.
 * @example irqs: ["done", edge("tick")]
 */
export type IrqSpecs = readonly (string | EdgeIrq)[];

type LevelNames<I extends IrqSpecs> = Extract<I[number], string>;
type EdgeNames<I extends IrqSpecs> = I[number] extends infer X ? (X extends EdgeIrq<infer N> ? N : never) : never;

/** The names of all interrupt outputs. */
export type IrqNames<I extends IrqSpecs> = LevelNames<I> | EdgeNames<I>;

/**
 * The interrupt outputs by name.
 * @example
 * irq.done(() => CTRL.IRQ_EN && STATUS.DONE);
 * irq.tick.pulse();
 */
export type IrqOutputs<I extends IrqSpecs> = {
  /** Makes the line follow a condition. It is evaluated after everything that can change it; it must have no effects. */
  readonly [N in LevelNames<I>]: (condition: () => boolean) => void;
} & {
  /** Raises the line and lowers it again. */
  readonly [N in EdgeNames<I>]: { pulse(): void };
};

/**
 * What the device adds to its device-tree node, beside compatible, reg and interrupts.
 * @example deviceTree: { node: "dma-controller", properties: ({ channels }) => ({ "dma-channels": channels }) }
 */
export interface DeviceTreeSpec<P> {
  /** The node's name before the `@`: a generic one such as `dma-controller`; the device's type unless given. */
  readonly node?: string;
  /** More properties, from the device's own if it is a function. */
  readonly properties?:
    | Readonly<Record<string, FdtValue>>
    | ((props: PropertyValues<P>) => Readonly<Record<string, FdtValue>>);
  /** Anything else, child nodes for instance. */
  readonly describe?: (node: FdtNode, context: FdtContext, props: PropertyValues<P>) => NotAPromise;
}

/**
 * Says what happens when the guest accesses registers or fields.
 * @example on.write("CTRL.START", () => transfer.after(1000));
 */
export interface On<R, S> {
  /**
   * After a write of the guest that reaches the register or field: a pulse only when something was written to it.
   * Callbacks of an array or bank get the index after the value.
   */
  write<const N extends Name<R>>(
    name: N,
    run: (value: ValueAt<R, N>, ...indices: IndicesAt<R, N>) => NotAPromise,
  ): void;
  /** After a write of the guest that changed the value. */
  change<const N extends Name<R>>(
    name: N,
    run: (value: ValueAt<R, N>, old: ValueAt<R, N>, ...indices: IndicesAt<R, N>) => NotAPromise,
  ): void;
  /** Before the guest reads: the value that is returned is stored and read. Without one it reads what is stored. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement changes nothing
  read<const N extends Name<R>>(name: N, run: (...indices: IndicesAt<R, N>) => ValueAt<R, N> | void | undefined): void;
  /**
   * After each reset, when registers and variables are as at first: the place to arm timers, and to keep what a reset
   * does not change in the world outside. `before` has the variables as they were.
   */
  reset(run: (before: Readonly<S>) => NotAPromise): void;
}

/**
 * What `setup` gets.
 * @example
 * setup({ regs: { CTRL, STATUS }, irq }) {
 *   irq.done(() => CTRL.IRQ_EN && STATUS.DONE);
 * }
 */
export interface Context<R, P, I extends IrqSpecs, S> {
  /** The registers by name: `regs.STATUS.DONE = true`, `regs.LEN.value`. */
  readonly regs: RegisterViews<R>;
  /** The values of the properties. */
  readonly props: PropertyValues<P>;
  /** What `state` made: the model's own variables, saved with the device and fresh after each reset. */
  readonly state: S;
  readonly on: On<R, S>;
  readonly irq: IrqOutputs<I>;
  readonly dma: Dma;
  /**
   * Makes a read-only register or field always be what `compute` says. It must be pure: it runs whenever anybody looks.
   * @example derive("STATUS.LEVEL", () => rx.length)
   */
  derive<const N extends Name<R>>(name: N, compute: (...indices: IndicesAt<R, N>) => ValueAt<R, N>): void;
  /** Makes a timer. The name is what it is saved by. */
  timer(name: string, fire: () => NotAPromise): DeviceTimer;
  /** Makes a FIFO. The name is what it is saved by. */
  fifo(name: string, options: FifoOptions): Fifo;
  /** Connects a chardev property with a receiver (a FIFO, for instance) for what comes from the host. */
  stream(property: ChardevNames<P>, receiver?: StreamReceiver, onEvent?: (event: ChardevEvent) => NotAPromise): Stream;
  /** Virtual time in nanoseconds. It stands still within a callback. */
  now(): number;
  /** The time of day: nanoseconds since 1970. */
  wallClock(): bigint;
  /** So many random bytes. */
  random(length: number): Uint8Array;
  /** Asks the machine to stop or reset. */
  shutdown(reason: ShutdownReason): void;
  /** Logs that the guest used the device wrongly (`-d guest_errors`). */
  guestError(message: string): void;
  /** Logs that the guest wants something that the model does not do (`-d unimp`). */
  unimplemented(message: string): void;
}

/**
 * A device as its author writes it: see `defineDevice`.
 * @example defineDevice({ type: "banana-id", mmio: { size: 4 }, registers: { ID: reg32(0, { access: "ro", reset: 7 }) } })
 */
export interface DeviceSpec<R extends RegisterSpecs, P extends PropertySpecs, I extends IrqSpecs, S extends object> {
  /** The name that users type: `banana-dma`. */
  readonly type: string;
  readonly description?: string;
  /** What a driver binds to, the most specific first. Without one the device has no device-tree node. */
  readonly compatible?: string | readonly string[];
  readonly deviceTree?: DeviceTreeSpec<P>;
  readonly mmio: MmioSpec;
  readonly registers?: R;
  readonly properties?: P;
  /** Interrupt outputs, in the order of the device tree's `interrupts`. */
  readonly irqs?: I;
  /** Makes the model's own variables: an object that structuredClone takes. */
  readonly state?: () => S;
  /** Says what happens. Runs once for each device, when a machine takes it and its properties are fixed. */
  readonly setup?: (context: Context<R, P, I, S>) => NotAPromise;
}

/** A spec whose names are no matter of the compiler's. */
export type AnySpec = DeviceSpec<RegisterSpecs, PropertySpecs, IrqSpecs, object>;
