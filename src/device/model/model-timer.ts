// Timers of a device: on the machine's clock, with a name to be saved by.

import type { Timer } from "../../util/clock.ts";
import { UserError } from "../../util/user-error.ts";

/**
 * A timer: armed once, it fires once, or again and again with `every`. Times are virtual nanoseconds.
 * @example
 * const sample = timer("sample", () => {
 *   STATUS.READY = true;
 * });
 * on.write("CTRL.START", () => sample.every(1_000_000));
 */
export interface DeviceTimer {
  readonly name: string;
  /** Fires `ns` from now. Arming moves a timer that is armed; `Infinity` is never. @throws for a time in the past */
  after(ns: number): void;
  /** Fires at an absolute time, as `now()` tells it. @throws for a time in the past */
  at(ns: number): void;
  /** Fires every `ns`, the first time `ns` from now, until it is cancelled or armed otherwise. It does not drift. */
  every(ns: number): void;
  cancel(): void;
  readonly armed: boolean;
  /** When it fires, Infinity if it is not armed. */
  readonly deadline: number;
}

/** What is saved of a timer that is armed. */
export interface TimerState {
  readonly deadline: number;
  /** 0 if it fires once. */
  readonly period: number;
}

/** The device, as far as its timers are concerned. */
export interface TimerOwner {
  use(): void;
  /** Asks whether timers may be armed now; complains if not. */
  arming(name: string): void;
  /** The model's time: stands still within a callback. */
  readonly now: number;
  /** What a time is in the past of: in a timer's callback the time it was set for, which may be before `now`. */
  readonly base: number;
  /** Runs the callback of a timer that was set for `deadline`. */
  fired(timer: ModelTimer, deadline: number): void;
}

export class ModelTimer implements DeviceTimer {
  readonly name: string;
  readonly run: () => unknown;
  readonly #owner: TimerOwner;
  readonly #timer: Timer;
  #period = 0;
  /** When it was to fire last. */
  #deadline = Infinity;

  /** @param make makes the timer of the clock that calls its argument */
  constructor(name: string, run: () => unknown, owner: TimerOwner, make: (fire: () => void) => Timer) {
    this.name = name;
    this.run = run;
    this.#owner = owner;
    this.#timer = make(() => this.#fire());
  }

  get armed(): boolean {
    this.#owner.use();
    return this.#timer.armed;
  }

  get deadline(): number {
    this.#owner.use();
    return this.#timer.deadline;
  }

  after(ns: number): void {
    this.#check("after", ns);
    if (ns < 0) throw new RangeError(`timer "${this.name}".after(${ns}): a delay cannot be negative`);
    this.#arm(this.#owner.base + ns, 0);
  }

  at(ns: number): void {
    this.#check("at", ns);
    const { base } = this.#owner;
    if (ns < base)
      throw new RangeError(`timer "${this.name}".at(${ns}): that was ${base - ns} ns ago, it is ${base} ns now`);
    this.#arm(ns, 0);
  }

  every(ns: number): void {
    this.#check("every", ns);
    if (!(ns > 0) || ns === Infinity) {
      throw new RangeError(`timer "${this.name}".every(${ns}): expected a period of more than 0 ns`);
    }
    this.#arm(this.#owner.base + ns, ns);
  }

  cancel(): void {
    this.#owner.use();
    this.#timer.cancel();
    this.#period = 0;
  }

  save(): TimerState | undefined {
    return this.#timer.armed ? { deadline: this.#deadline, period: this.#period } : undefined;
  }

  load(state: TimerState | undefined): void {
    this.#timer.cancel();
    this.#period = 0;
    if (state !== undefined) this.#set(state.deadline, state.period);
  }

  /** Cancels it without counting as a use of the model's. */
  stop(): void {
    this.load(undefined);
  }

  #check(what: string, ns: number): void {
    this.#owner.use();
    if (typeof ns !== "number" || Number.isNaN(ns)) {
      throw new RangeError(`timer "${this.name}".${what}(${String(ns)}): expected a number of nanoseconds`);
    }
    this.#owner.arming(this.name);
  }

  #arm(deadline: number, period: number): void {
    if (deadline !== Infinity && deadline > Number.MAX_SAFE_INTEGER) {
      throw new RangeError(`timer "${this.name}": ${deadline} ns is after the end of time (2^53 ns)`);
    }
    this.#set(deadline, period);
  }

  #set(deadline: number, period: number): void {
    this.#deadline = deadline;
    this.#period = period;
    this.#timer.at(deadline);
  }

  #fire(): void {
    const deadline = this.#deadline;
    if (this.#period > 0) this.#set(deadline + this.#period, this.#period);
    this.#owner.fired(this, deadline);
  }
}

/** Checks a saved state. @throws UserError if it is none */
export function checkTimer(name: string, state: unknown): TimerState {
  const { deadline, period } = (state ?? {}) as Partial<TimerState>;
  const good =
    typeof deadline === "number" && deadline >= 0 && typeof period === "number" && period >= 0 && period < Infinity;
  if (!good) throw new UserError(`timer ${name} should be a deadline and a period`);
  return { deadline, period };
}
