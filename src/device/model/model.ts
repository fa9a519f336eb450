// A device that lives: registers, timers, queues and lines, and the one way in and out of the author's code.
// Everything that reaches a model goes through `enter` and `leave`; what must follow it happens in the outermost `leave`.

import { BusError } from "../../memory/bus-error.ts";
import type { Timer } from "../../util/clock.ts";
import type { IrqLine } from "../../util/irq.ts";
import { UserError } from "../../util/user-error.ts";
import type { DeviceHost } from "../device.ts";
import { cellValue } from "./bits.ts";
import { DefinitionError, DeviceError } from "./device-error.ts";
import { DmaError, type DmaOwner, ModelDma } from "./dma.ts";
import type { ModelFifo } from "./fifo.ts";
import type { Cell, Layout } from "./layout.ts";
import { hex, plural, show } from "./message-format.ts";
import { ModelTimer, type TimerOwner } from "./model-timer.ts";
import type { DeviceObserver, SwapEvent } from "./observer.ts";
import { type Callback, RegisterFile, type RegisterOwner, type TouchedCell } from "./register-file.ts";
import type { ViewFactory, ViewOwner } from "./register-view.ts";
import { lineOf } from "./source-line.ts";
import type { MmioSpec } from "./spec.ts";
import type { ModelStream, StreamOwner } from "./stream.ts";

/** Uses of registers and services within one callback that are an endless loop. */
const MAX_USES = 10_000_000;

/** What a definition gives each of its devices. */
export interface Blueprint {
  readonly type: string;
  readonly mmio: MmioSpec;
  readonly layout: Layout;
  readonly views: ViewFactory;
}

/** An interrupt output. */
export interface IrqOutput {
  readonly name: string;
  /** For messages: `irq.done`. */
  readonly label: string;
  readonly drive: IrqLine;
  /** What a level follows; undefined for pulses, and until setup has said it. */
  condition: (() => boolean) | undefined;
  level: boolean;
}

/** What is set up, from `setup` on until the first reset, then running. */
type Phase = "setup" | "running";

export class Model implements RegisterOwner, ViewOwner, DmaOwner, TimerOwner, StreamOwner {
  readonly file: RegisterFile;
  /** The registers by name. */
  readonly views: object;
  readonly dma: ModelDma = new ModelDma(this);
  readonly irqs: readonly IrqOutput[];
  readonly timers = new Map<string, ModelTimer>();
  readonly fifos = new Map<string, ModelFifo>();
  readonly streams: ModelStream[] = [];
  readonly resetHandlers: Callback[] = [];
  /** All that the author's `setup` gave us to call, as it says it: `on.write("CTRL.START")`. */
  readonly callbacks = new Map<string, readonly unknown[]>();
  phase: Phase = "setup";

  readonly #blueprint: Blueprint;
  readonly #host: DeviceHost;
  readonly #makeTimer: (name: string, fire: () => void) => Timer;
  readonly #observers = new Set<DeviceObserver>();
  /** Word numbers of plain words by the region's words, -1 for what goes the long way. */
  readonly #short: Int32Array;
  /** The words as those who listen know them. */
  #shown: Uint32Array | undefined;
  /** How deep in the model: it may reach itself by DMA. */
  #depth = 0;
  #uses = 0;
  /** Entries so far: which one it is. */
  #entries = 0;
  /** The callback that runs, as its author wrote it. */
  #doing: string | undefined;
  /** The time within an entry, NaN until somebody asks. */
  #now = Number.NaN;
  /** The deadline of the timer that runs, NaN if none does. */
  #deadline = Number.NaN;
  /** The latest time that the model has been told. */
  #seen = 0;

  constructor(
    blueprint: Blueprint,
    host: DeviceHost,
    irqs: readonly IrqOutput[],
    makeTimer: (name: string, fire: () => void) => Timer,
  ) {
    this.#blueprint = blueprint;
    this.#host = host;
    this.irqs = irqs;
    this.#makeTimer = makeTimer;
    this.file = new RegisterFile(blueprint.layout, (blueprint.mmio.unmapped ?? 0) >>> 0, this);
    this.views = blueprint.views.create(this.file, this);
    this.#short = new Int32Array(blueprint.layout.table.length).fill(-1);
  }

  // --- entries: the guest's accesses

  /** The region's callbacks. Reads of plain words are as short as they can be. */
  get ops(): {
    read(offset: number, size: 1 | 2 | 4): number;
    write(offset: number, value: number, size: 1 | 2 | 4): void;
    read64?(offset: number): bigint;
    write64?(offset: number, value: bigint): void;
  } {
    const short = this.#short;
    const { words, layout } = this.file;
    const ops = {
      read: (offset: number, size: 1 | 2 | 4) => {
        const word = short[offset >>> 2]!;
        // Also for what is beyond the table: undefined is not at least 0.
        return word >= 0 ? words[word]! >>> ((offset & 3) << 3) : this.#read(offset, size);
      },
      write: (offset: number, value: number, size: 1 | 2 | 4) => this.#write(offset, value, size),
    };
    if (!layout.has64) return ops;
    return {
      ...ops,
      read64: (offset) => {
        const low = this.#read64(offset);
        return (BigInt(this.file.high) << 32n) | BigInt(low);
      },
      write64: (offset, value) => this.#write64(offset, Number(value & 0xffff_ffffn), Number(value >> 32n)),
    };
  }

  #read(offset: number, size: 1 | 2 | 4): number {
    this.#enter();
    try {
      const value = this.file.read(offset, size);
      this.#leave();
      return value;
    } catch (error) {
      throw this.#failed(error, undefined);
    }
  }

  #read64(offset: number): number {
    this.#enter();
    try {
      const low = this.file.read64(offset);
      const high = this.file.high;
      this.#leave();
      this.file.high = high;
      return low;
    } catch (error) {
      throw this.#failed(error, undefined);
    }
  }

  #write(offset: number, value: number, size: 1 | 2 | 4): void {
    this.#enter();
    try {
      this.file.write(offset, value, size);
      this.#leave();
    } catch (error) {
      throw this.#failed(error, undefined);
    }
  }

  #write64(offset: number, low: number, high: number): void {
    this.#enter();
    try {
      this.file.write64(offset, low, high);
      this.#leave();
    } catch (error) {
      throw this.#failed(error, undefined);
    }
  }

  // --- entries: all others

  enterFor(label: string, run: () => void): void {
    this.#enter();
    try {
      run();
      this.#leave();
    } catch (error) {
      throw this.#failed(error, label);
    }
  }

  fired(timer: ModelTimer, deadline: number): void {
    const label = `timer "${timer.name}"`;
    const outer = this.#deadline;
    this.#enter();
    this.#deadline = deadline;
    try {
      for (const { timer: listener } of this.#observers) listener?.({ time: this.#host.clock.now, timer: timer.name });
      this.call(label, timer.run);
      this.#leave();
    } catch (error) {
      throw this.#failed(error, label);
    } finally {
      this.#deadline = outer;
    }
  }

  #enter(): void {
    if (this.#depth++ === 0) {
      this.#uses = MAX_USES;
      this.#entries++;
      this.#now = Number.NaN;
    }
  }

  #leave(): void {
    if (this.#depth === 1) this.#settle();
    this.#depth--;
  }

  /** The way out when something threw. @param label undefined for an access: a BusError is an answer to it */
  #failed(error: unknown, label: string | undefined): unknown {
    this.#depth--;
    if (label !== undefined && error instanceof BusError) return new DeviceError(this.#blueprint.type, label, error);
    return this.explain(label ?? "", error);
  }

  explain(label: string, error: unknown): unknown {
    if (error instanceof DeviceError || error instanceof UserError) return error;
    // The author's own BusError refuses an access; one of DMA that nobody caught would be taken for that.
    if (error instanceof BusError && !(error instanceof DmaError)) return error;
    const hint = error instanceof DmaError ? "; catch BusError to tell the guest" : "";
    return new DeviceError(this.#blueprint.type, label, error, hint);
  }

  call(label: string, run: Callback, a?: unknown, b?: unknown, c?: unknown, d?: unknown): unknown {
    const outer = this.#doing;
    this.#doing = label;
    try {
      const result = run(a, b, c, d);
      if (typeof result === "object" && result !== null) refusePromise(result);
      return result;
    } catch (error) {
      throw this.explain(label, error);
    } finally {
      this.#doing = outer;
    }
  }

  #refuse(label: string, message: string): never {
    throw new DeviceError(this.#blueprint.type, label, new TypeError(message));
  }

  /** What must follow every entry. */
  #settle(): void {
    for (const stream of this.streams) stream.offer();
    if (this.#observers.size > 0) this.#showChanges();
    for (const irq of this.irqs) {
      const level = this.#levelOf(irq);
      if (level !== irq.level) this.#drive(irq, level);
    }
  }

  /** What a line should be; as it is for one that only has pulses. */
  #levelOf({ condition, label, level }: IrqOutput): boolean {
    if (condition === undefined) return level;
    const wanted = this.call(label, condition);
    if (typeof wanted !== "boolean") this.#refuse(label, `gave ${show(wanted)}: expected true or false`);
    return wanted;
  }

  #drive(irq: IrqOutput, level: boolean): void {
    irq.level = level;
    for (const { irq: listener } of this.#observers) listener?.({ time: this.#host.clock.now, irq: irq.name, level });
    irq.drive(level);
  }

  pulse(irq: IrqOutput): void {
    this.use();
    this.#refuseInSetup(`irq.${irq.name}.pulse()`);
    this.#drive(irq, true);
    this.#drive(irq, false);
  }

  // --- life

  /** Ends setup: from here on the model may act. */
  start(): void {
    this.phase = "running";
    this.#planReads();
  }

  /** Finds the words whose reads may go the short way. */
  #planReads(): void {
    const { table } = this.file.layout;
    for (const [region, word] of table.entries()) {
      // Lanes of a big-endian region are not where the shift would look for them.
      const short = word >= 0 && !this.file.layout.bigEndian && this.file.isPlain(word);
      this.#short[region] = short && this.#observers.size === 0 ? word : -1;
    }
  }

  /** Registers, timers and queues as after a reset; nothing outside notices yet. */
  resetState(powerOn: boolean): void {
    this.file.reset(powerOn);
    for (const timer of this.timers.values()) timer.stop();
    for (const fifo of this.fifos.values()) fifo.clear();
  }

  /** Lets lines follow the state, and tells their receivers whether they have changed or not: after a reset or load. */
  driveLines(): void {
    this.enterFor("", () => {});
    for (const irq of this.irqs) if (irq.condition !== undefined) irq.drive(irq.level);
  }

  /** The callback that runs, and a number that is another one when it is called again; for debuggers. */
  get doing(): { readonly label: string; readonly entry: number } | undefined {
    return this.#doing === undefined ? undefined : { label: this.#doing, entry: this.#entries };
  }

  /** Whether a callback runs: nobody may take the model away. */
  get busy(): boolean {
    return this.#depth > 0;
  }

  /**
   * Goes on where another model of the device has been in time, and tries what runs by itself: derived values, conditions, the
   * room of streams. Nothing outside notices.
   * @returns the levels that the lines should have
   */
  rehearse(before: Model): readonly boolean[] {
    this.#seen = before.#seen;
    this.#enter();
    try {
      if (this.file.hasDerived) for (const cell of this.file.layout.cells) this.file.refresh(cell);
      for (const stream of this.streams) stream.canReceive();
      return this.irqs.map((irq) => this.#levelOf(irq));
    } finally {
      this.#depth--;
    }
  }

  /** Takes over the lines, which are at the levels `before`, and drives those that should be at others. */
  takeLines(before: readonly boolean[], levels: readonly boolean[]): void {
    for (const [n, irq] of this.irqs.entries()) {
      irq.level = before[n]!;
      if (levels[n] !== irq.level) this.#drive(irq, levels[n]!);
    }
  }

  /** Tells those who listen of something that is no access. */
  tell(event: SwapEvent): void {
    for (const { swap } of this.#observers) swap?.(event);
  }

  /** Lets the author's reset handlers run. @param before the author's variables before the reset */
  resetDone(before: object): void {
    this.enterFor("reset", () => {
      for (const run of this.resetHandlers) this.call("on.reset", run, before);
    });
    for (const stream of this.streams) stream.acceptInput();
  }

  /** Lets go of what is outside: the device leaves its machine. */
  stop(): void {
    for (const stream of this.streams) stream.detach();
    for (const irq of this.irqs) if (irq.level) this.#drive(irq, false);
  }

  makeTimer(name: string, run: () => unknown): ModelTimer {
    const timer = new ModelTimer(name, run, this, (fire) => this.#makeTimer(name, fire));
    this.timers.set(name, timer);
    return timer;
  }

  // --- what the author's code uses

  use(units = 1): void {
    this.#uses -= units;
    if (this.#uses >= 0) return;
    // Outside of the model (a test that reads registers) there is nothing that could hang.
    if (this.#depth > 0)
      throw new Error(`more than ${MAX_USES} uses of registers and services: is this an endless loop?`);
    this.#uses = MAX_USES;
  }

  assigning(): void {
    this.#refuseInSetup("assigning a register");
  }

  assigned(): void {
    // From outside: what follows a callback must follow this too.
    if (this.#depth === 0) this.enterFor("", () => {});
  }

  arming(name: string): void {
    this.#refuseInSetup(`arming timer "${name}"`);
  }

  /** A reset follows setup and would undo it. */
  #refuseInSetup(what: string): void {
    if (this.phase === "running") return;
    const message = `${what} in setup: a reset follows and undoes it; do it in on.reset(() => ...)`;
    throw new DefinitionError(`${this.#blueprint.type}: ${message}${lineOf(new Error())}`);
  }

  get memory(): DeviceHost["memory"] {
    if (this.phase === "setup") {
      throw new DefinitionError(
        `${this.#blueprint.type}: dma in setup: the machine does not run yet${lineOf(new Error())}`,
      );
    }
    return this.#host.memory;
  }

  get now(): number {
    if (this.#depth === 0) return this.#host.clock.now;
    if (Number.isNaN(this.#now)) {
      const time = Number.isNaN(this.#deadline) ? this.#host.clock.now : this.#deadline;
      this.#now = Math.max(time, this.#seen);
      this.#seen = this.#now;
    }
    return this.#now;
  }

  get base(): number {
    return Number.isNaN(this.#deadline) ? this.now : this.#deadline;
  }

  guestError(message: string): void {
    const { log, clock } = this.#host;
    for (const { guestError } of this.#observers) guestError?.({ time: clock.now, message });
    if (log.enabled("guest_errors")) log.write("guest_errors", `${this.#blueprint.type}: ${message}`);
  }

  unimplemented(message: string): void {
    const { log } = this.#host;
    if (log.enabled("unimp")) log.write("unimp", `${this.#blueprint.type}: ${message}`);
  }

  readNothing(offset: number, size: 1 | 2 | 4): number {
    const { read, unmapped } = this.#blueprint.mmio;
    if (read !== undefined) {
      const value = this.call("mmio.read", read as Callback, offset, size);
      if (typeof value !== "number" || Number.isNaN(value)) {
        this.#refuse("mmio.read", `gave ${show(value)} for offset ${hex(offset)}: expected a number`);
      }
      return value;
    }
    if (unmapped === undefined)
      this.guestError(`read of ${plural(size, "byte")} at ${hex(offset)}: no register is there`);
    return unmapped ?? 0;
  }

  writeNothing(offset: number, value: number, size: 1 | 2 | 4): void {
    const { write } = this.#blueprint.mmio;
    if (write !== undefined) this.call("mmio.write", write as Callback, offset, value, size);
    else this.guestError(`write of ${hex(value)} (${plural(size, "byte")}) at ${hex(offset)}: no register is there`);
  }

  // --- those who listen

  get listening(): boolean {
    return this.#observers.size > 0;
  }

  /** @returns ends it */
  observe(observer: DeviceObserver): () => void {
    this.#observers.add(observer);
    this.#listenersChanged();
    return () => {
      this.#observers.delete(observer);
      this.#listenersChanged();
    };
  }

  #listenersChanged(): void {
    this.#planReads();
    if (this.listening && this.#shown === undefined) this.#refreshDerived();
    this.#shown = this.listening ? (this.#shown ?? this.file.words.slice()) : undefined;
  }

  accessed(
    write: boolean,
    offset: number,
    size: number,
    value: number | bigint,
    touched: readonly TouchedCell[],
  ): void {
    const time = this.#host.clock.now;
    const registers = touched.map(({ cell, old, new: now }) => ({ name: cell.name, info: cell.info, old, new: now }));
    for (const { access } of this.#observers) access?.({ time, write, offset, size, value, registers });
    for (const { cell } of touched) this.#show(cell);
  }

  transferred(write: boolean, address: number, length: number, bytes: Uint8Array | undefined): void {
    const event = {
      time: this.#host.clock.now,
      write,
      address: BigInt(address),
      bytes: bytes ?? new Uint8Array(),
      length,
      failed: bytes === undefined,
    };
    for (const { dma } of this.#observers) dma?.(event);
  }

  /** Computes what is derived, so that those who listen hear of it when it changes and not when somebody looks. */
  #refreshDerived(): void {
    if (this.file.hasDerived) for (const cell of this.file.layout.cells) this.file.refresh(cell);
  }

  /** Tells of registers that the model's callbacks have changed. */
  #showChanges(): void {
    const shown = this.#shown;
    if (shown === undefined) return;
    const { words, layout } = this.file;
    this.#refreshDerived();
    for (let word = 0; word < words.length; word++) {
      if (shown[word] === words[word]) continue;
      for (const cell of layout.cellsOf[word]!) {
        const old = cellValue(cell, shown[cell.word]!, cell.width === 64 ? shown[cell.word + 1]! : 0);
        const now = this.file.valueOf(cell);
        if (old === now) continue;
        const event = { time: this.#host.clock.now, name: cell.name, info: cell.info, old, new: now };
        for (const { change } of this.#observers) change?.(event);
        this.#show(cell);
      }
      shown[word] = words[word]!;
    }
  }

  /** Notes that those who listen know what a cell holds. */
  #show(cell: Cell): void {
    const shown = this.#shown;
    if (shown === undefined) return;
    for (let word = cell.word; word <= cell.word + (cell.width === 64 ? 1 : 0); word++) {
      const mask = word === cell.word ? cell.low : cell.high;
      shown[word] = (shown[word]! & ~mask) | (this.file.words[word]! & mask);
    }
  }
}

function refusePromise(result: object): void {
  if (typeof (result as { then?: unknown }).then !== "function") return;
  // What becomes of it is of no interest any more, an error included.
  void (result as Promise<unknown>).then(undefined, () => {});
  throw new TypeError("returned a promise: a callback cannot be async, nobody would wait for it");
}
