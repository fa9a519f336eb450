// What a trace is made of: one record for each thing that happened to a device. docs/design/trace.md.

import type {
  AccessEvent,
  ChangeEvent,
  DmaEvent,
  GuestErrorEvent,
  IrqEvent,
  SwapEvent,
  TimerEvent,
} from "../device/model/observer.ts";

/** Which instruction was the cause. */
export interface TraceOrigin {
  readonly hart: number;
  readonly pc: bigint;
  /** The function at pc and how far into it: `memcpy+0x10`; undefined where nobody knows. */
  readonly symbol: string | undefined;
}

/** What the bus brought, where the device saw other accesses: one of 8 bytes as two of 4. In bytes. */
export interface BusAccess {
  readonly offset: number;
  readonly size: number;
}

/** An access that the bus refused: the device never saw it. */
export interface RefusedEvent {
  readonly time: number;
  readonly write: boolean;
  readonly offset: number;
  readonly size: number;
  /** The registers that it would have reached. */
  readonly registers: readonly string[];
  readonly reason: string;
}

/** What a trace adds to an access. */
interface AccessContext {
  /** There if it is another access than the device saw. */
  readonly bus?: BusAccess;
  /** For a write: what the registers held before, by name. Only where somebody asked for it. */
  readonly before?: Readonly<Record<string, number | bigint>>;
}

/** Something that happened to a device. `origin` is undefined for what no instruction caused: timers, input. */
export type TraceRecord = { readonly device: string; readonly origin: TraceOrigin | undefined } & (
  | ({ readonly kind: "access" } & AccessEvent & AccessContext)
  | ({ readonly kind: "refused" } & RefusedEvent)
  | ({ readonly kind: "change" } & ChangeEvent)
  | ({ readonly kind: "irq" } & IrqEvent)
  | ({ readonly kind: "dma" } & DmaEvent)
  | ({ readonly kind: "timer" } & TimerEvent)
  | ({ readonly kind: "guestError" } & GuestErrorEvent)
  | ({ readonly kind: "swap" } & SwapEvent)
);

/** Takes records, and what must be written when there are no more. */
export interface TraceWriter {
  write(record: TraceRecord): void;
  end?(): void;
}
