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
  /** The function at pc and how far into it: `memcpy+0x10`; undefined where no ELF file tells. */
  readonly symbol: string | undefined;
}

/** Something that happened to a device. `origin` is undefined for what no instruction caused: timers, input. */
export type TraceRecord = { readonly device: string; readonly origin: TraceOrigin | undefined } & (
  | ({ readonly kind: "access" } & AccessEvent)
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
