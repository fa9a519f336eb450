// A one-shot timer that is moved far more often than it fires.

import type { HostTimeout, HostTimers } from "./host.ts";

/**
 * A deadline over `HostTimers`. Moving it later costs nothing: the host's timer fires at the old time, sees that the
 * deadline has moved, and is set anew. TCP moves its deadlines with every segment.
 */
export class LazyTimer {
  readonly #timers: HostTimers;
  readonly #fire: () => void;
  #deadline = Infinity;
  #wakeAt = Infinity;
  #timeout: HostTimeout | undefined;

  constructor(timers: HostTimers, fire: () => void) {
    this.#timers = timers;
    this.#fire = fire;
  }

  /** Sets the time to fire at; Infinity for never. */
  set(deadline: number): void {
    this.#deadline = deadline;
    if (deadline < this.#wakeAt) this.#schedule();
  }

  /** Cancels for good: nothing of the host's stays behind. */
  dispose(): void {
    this.#deadline = Infinity;
    this.#wakeAt = Infinity;
    this.#timeout?.cancel();
    this.#timeout = undefined;
  }

  #schedule(): void {
    this.#timeout?.cancel();
    this.#wakeAt = this.#deadline;
    this.#timeout = this.#timers.after(Math.max(0, this.#deadline - this.#timers.now()), this.#wake);
  }

  readonly #wake = (): void => {
    this.#wakeAt = Infinity;
    this.#timeout = undefined;
    if (this.#deadline === Infinity) return;
    // A host's timer may fire a fraction of a millisecond early.
    if (this.#timers.now() < this.#deadline) {
      this.#schedule();
      return;
    }
    this.#deadline = Infinity;
    this.#fire();
  };
}
