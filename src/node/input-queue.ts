// Bytes from the host that wait until the guest's side of a serial line has room for them.

import type { ChardevFrontend } from "../backend/chardev.ts";

/** Where the bytes come from. */
export interface InputSource {
  /** Send no more until `resume`: the guest is slow. */
  pause(): void;
  resume(): void;
}

/** Above this many waiting bytes the source is paused, below half of it resumed. */
const HIGH_WATER = 64 * 1024;

/** A queue between a source and a frontend, bounded by pausing the source. */
export class InputQueue {
  readonly #source: InputSource;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #paused = false;
  #delivering = false;
  #frontend: ChardevFrontend | undefined;

  constructor(source: InputSource) {
    this.#source = source;
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#length;
  }

  get frontend(): ChardevFrontend | undefined {
    return this.#frontend;
  }

  attach(frontend: ChardevFrontend): void {
    this.#frontend = frontend;
    this.deliver();
  }

  /** Takes bytes over from the source, which must not change them any more. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    this.deliver();
  }

  /** Gives the frontend what it has room for. */
  deliver(): void {
    // A frontend may ask for more from within `receive`: the loop below is under way then.
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      while (this.#length > 0) {
        const room = this.#frontend?.canReceive() ?? 0;
        if (room <= 0) break;
        this.#frontend?.receive(this.#take(room));
      }
    } finally {
      this.#delivering = false;
    }
    if (!this.#paused && this.#length >= HIGH_WATER) {
      this.#paused = true;
      this.#source.pause();
    } else if (this.#paused && this.#length < HIGH_WATER / 2) {
      this.#paused = false;
      this.#source.resume();
    }
  }

  #take(room: number): Uint8Array {
    const first = this.#chunks[0]!;
    if (first.length <= room) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(room);
    const piece = first.subarray(0, room);
    this.#length -= piece.length;
    return piece;
  }
}
