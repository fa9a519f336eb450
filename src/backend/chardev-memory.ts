// A serial line whose other end is this program.

import type { Chardev, ChardevFrontend } from "./chardev.ts";

/** Both ends in one process: `send` is what the guest receives, `onOutput` hears what it writes. */
export class MemoryChardev implements Chardev {
  readonly id: string;
  /** Called with what the guest wrote; the bytes are the listener's to keep. */
  onOutput: (bytes: Uint8Array) => void = () => {};
  #frontend: ChardevFrontend | undefined;
  #waiting: Uint8Array = new Uint8Array();

  constructor(id: string) {
    this.id = id;
  }

  attach(frontend: ChardevFrontend): void {
    this.#frontend = frontend;
  }

  /** Sends bytes to the guest, as fast as it takes them. */
  send(bytes: Uint8Array): void {
    const waiting = new Uint8Array(this.#waiting.length + bytes.length);
    waiting.set(this.#waiting);
    waiting.set(bytes, this.#waiting.length);
    this.#waiting = waiting;
    this.acceptInput();
  }

  /** Forgets what the guest has not taken yet. */
  discardInput(): void {
    this.#waiting = new Uint8Array();
  }

  acceptInput(): void {
    const frontend = this.#frontend;
    if (frontend === undefined) return;
    while (this.#waiting.length > 0) {
      const count = Math.min(this.#waiting.length, frontend.canReceive());
      if (count <= 0) return;
      const piece = this.#waiting.subarray(0, count);
      this.#waiting = this.#waiting.subarray(count);
      frontend.receive(piece);
    }
  }

  write(bytes: Uint8Array): void {
    this.onOutput(bytes.slice());
  }

  close(): void {
    this.discardInput();
  }
}
