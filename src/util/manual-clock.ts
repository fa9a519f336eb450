// A clock that stands still until it is told to move: for tests and for devices without a machine.

import { EventQueue } from "./clock.ts";

/** How many rounds of timers one instant may take before `advance` calls it an endless loop. */
const ROUNDS_PER_INSTANT = 100_000;

/**
 * Virtual time that only `advance` moves.
 *
 * @example
 * const clock = new ManualClock();
 * clock.timer("tick", () => console.log(clock.now)).at(10);
 * clock.advance(20); // prints 10; clock.now is 20
 */
export class ManualClock extends EventQueue {
  readonly #time: { ns: number };

  constructor(start = 0) {
    const time = { ns: start };
    super(() => time.ns);
    this.#time = time;
  }

  /**
   * Moves time on by `ns`, firing each timer on the way at its own time.
   * @throws Error if the timers of one instant keep arming each other for that instant
   */
  advance(ns: number): void {
    const target = this.#time.ns + ns;
    let rounds = 0;
    while (this.nextDeadline <= target) {
      if (this.nextDeadline > this.#time.ns) {
        this.#time.ns = this.nextDeadline;
        rounds = 0;
      } else if (++rounds > ROUNDS_PER_INSTANT) {
        throw new Error(`timers keep firing at ${this.#time.ns} ns: one is armed again without letting time pass`);
      }
      this.runDue();
    }
    this.#time.ns = target;
  }
}
