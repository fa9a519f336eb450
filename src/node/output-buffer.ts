// Output in pieces that are worth a system call: UARTs send single bytes.

import { writeSync } from "node:fs";

const CAPACITY = 4096;

/** How long to wait when a non-blocking file cannot take more now. */
const RETRY_MS = 1;

/** Collects what is written and passes it on when the guest pauses for the host's events, when full, and on `flush`. */
export class OutputBuffer {
  readonly #send: (bytes: Uint8Array) => void;
  readonly #buffer = new Uint8Array(CAPACITY);
  #used = 0;
  #scheduled: NodeJS.Immediate | undefined;

  /** @param send takes the bytes; they are valid only during the call */
  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
  }

  write(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; ) {
      const piece = bytes.subarray(offset, offset + CAPACITY - this.#used);
      this.#buffer.set(piece, this.#used);
      this.#used += piece.length;
      offset += piece.length;
      if (this.#used === CAPACITY) this.flush();
    }
    if (this.#used > 0) this.#scheduled ??= setImmediate(() => this.flush());
  }

  flush(): void {
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    if (this.#used === 0) return;
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    this.#send(bytes);
  }
}

/**
 * Writes all bytes to an open file, terminal or pipe, waiting while the other end takes nothing.
 * @throws the system's error: the other end is gone, or the disk is full
 */
export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(fd, bytes, offset, bytes.length - offset);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/** Writes a message for people; what nobody can read any more is dropped. */
export function writeText(fd: number, text: string): void {
  try {
    writeFully(fd, new TextEncoder().encode(text));
  } catch {
    // The terminal or the reader of a pipe is gone.
  }
}
