// The host's end of a device's stream in a testbench: a chardev that a test writes to and reads from.

import type { Chardev, ChardevEvent, ChardevFrontend } from "../backend/chardev.ts";

/**
 * The other end of a device's chardev: what a test sends waits until the device has room.
 * @example
 * d.lines.chardev.send("hello");
 * expect(d.lines.chardev.text).toBe("HELLO");
 */
export class BenchLine implements Chardev {
  readonly id: string;
  #frontend: ChardevFrontend | undefined;
  #waiting: number[] = [];
  #received: number[] = [];

  constructor(id: string) {
    this.id = id;
  }

  /** Sends bytes or a text to the device. */
  send(data: string | Uint8Array | readonly number[]): void {
    this.#waiting.push(...(typeof data === "string" ? new TextEncoder().encode(data) : data));
    this.acceptInput();
  }

  /** Tells the device of something that happened to the line. */
  signal(event: ChardevEvent): void {
    this.#frontend?.event?.(event);
  }

  /** How many bytes wait for room in the device. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** What the device has sent so far. */
  get bytes(): Uint8Array {
    return Uint8Array.from(this.#received);
  }

  /** The same as text. */
  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  /** Makes this line what the other one is, in a copy of its bench. */
  copyFrom(other: BenchLine): void {
    this.#waiting = [...other.#waiting];
    this.#received = [...other.#received];
  }

  // --- the device's side

  attach(frontend: ChardevFrontend): void {
    this.#frontend = frontend;
  }

  write(bytes: Uint8Array): void {
    this.#received.push(...bytes);
  }

  acceptInput(): void {
    const frontend = this.#frontend;
    while (frontend !== undefined && this.#waiting.length > 0) {
      const room = Math.min(frontend.canReceive(), this.#waiting.length);
      if (room <= 0) return;
      frontend.receive(Uint8Array.from(this.#waiting.splice(0, room)));
    }
  }

  close(): void {}
}
