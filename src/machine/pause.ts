// Waiting, in Node and in browsers alike.

/** The longest time that a host timer takes, in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** Lets the host do what waits to be done (input, output, other tasks), and goes on. */
export const breathe: () => Promise<void> =
  typeof setImmediate === "function"
    ? () => new Promise((resolve) => setImmediate(resolve))
    : () =>
        new Promise((resolve) => {
          const { port1, port2 } = new MessageChannel();
          // The two kinds of host type their ports differently.
          (port1 as unknown as { onmessage: () => void }).onmessage = () => resolve();
          port2.postMessage(0);
        });

/** Sleeps for a time or until woken, using no CPU. */
export class Sleeper {
  #wake: (() => void) | undefined;
  /** Somebody woke us since the last sleep: the next one must look again first. */
  #woken = false;

  /** Sleeps for `ns` nanoseconds; Infinity sleeps until `wake`. Under a millisecond it only lets the host breathe. */
  async sleep(ns: number): Promise<void> {
    if (this.#woken || ns < 1e6) {
      this.#woken = false;
      await breathe();
      return;
    }
    await new Promise<void>((resolve) => {
      // Rounded down: the rest is spent breathing, so that timers are not late by a millisecond.
      const timer = setTimeout(resolve, Math.min(LONGEST_MS, Math.floor(ns / 1e6)));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
    this.#woken = false;
  }

  /** Sleeps until something has come about, or until woken. */
  async until(promise: Promise<void>): Promise<void> {
    if (!this.#woken) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([promise, woken]);
      this.#wake = undefined;
    } else await breathe();
    this.#woken = false;
  }

  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }
}
