// Streams: a chardev of the host's, connected to a queue of the device.

import type { Chardev, ChardevEvent, ChardevFrontend } from "../../backend/chardev.ts";

/**
 * Where the bytes from the host go: a `Fifo`, or the author's own.
 * @example stream("line", { free: 1, push: (byte) => state.bytes.push(byte) });
 */
export interface StreamReceiver {
  /** How many bytes it can take now. */
  readonly free: number;
  push(byte: number): unknown;
}

/**
 * The device's end of a chardev.
 * @example
 * const line = stream("line", fifo("rx", { depth: 16 }));
 * on.write("TX", (byte) => line.write(byte));
 */
export interface Stream {
  /** Whether the device's user gave a chardev; without one, what is written is gone. */
  readonly connected: boolean;
  /** Sends a byte, several, or a text to the host. */
  write(bytes: number | Uint8Array | string): void;
}

/** The device, as far as streams are concerned. */
export interface StreamOwner {
  use(): void;
  /** Runs something that the host brought about as an entry of the model. */
  enterFor(label: string, run: () => void): void;
  call(label: string, run: (event?: unknown) => unknown, event: unknown): unknown;
}

export class ModelStream implements Stream {
  readonly #property: string;
  readonly chardev: Chardev | undefined;
  #receiver: StreamReceiver | undefined;
  #onEvent: ((event: ChardevEvent) => unknown) | undefined;
  readonly #owner: StreamOwner;
  /** The room at the last look: more means that the host may go on. */
  #room = 0;

  constructor(
    property: string,
    chardev: Chardev | undefined,
    receiver: StreamReceiver | undefined,
    onEvent: ((event: ChardevEvent) => unknown) | undefined,
    owner: StreamOwner,
  ) {
    this.#property = property;
    this.chardev = chardev;
    this.#receiver = receiver;
    this.#onEvent = onEvent;
    this.#owner = owner;
  }

  get connected(): boolean {
    return this.chardev !== undefined;
  }

  write(bytes: number | Uint8Array | string): void {
    this.#owner.use();
    if (typeof bytes === "number" && !(Number.isInteger(bytes) && bytes >= 0 && bytes <= 0xff)) {
      throw new RangeError(`write(${bytes}) to stream "${this.#property}": expected a byte from 0 to 255`);
    }
    const data =
      typeof bytes === "number"
        ? Uint8Array.of(bytes)
        : typeof bytes === "string"
          ? new TextEncoder().encode(bytes)
          : bytes;
    this.chardev?.write(data);
  }

  /** Takes nothing more: a chardev that has no other end yet may still call. */
  detach(): void {
    this.#receiver = undefined;
    this.#onEvent = undefined;
  }

  canReceive(): number {
    this.#room = Math.max(0, Math.floor(this.#receiver?.free ?? 0));
    return this.#room;
  }

  receive(bytes: Uint8Array): void {
    const receiver = this.#receiver;
    if (receiver === undefined) return;
    this.#owner.enterFor(`stream "${this.#property}"`, () => {
      for (const byte of bytes) receiver.push(byte);
      this.canReceive();
    });
  }

  event(event: ChardevEvent): void {
    const run = this.#onEvent;
    if (run === undefined) return;
    const label = `stream "${this.#property}" event`;
    this.#owner.enterFor(label, () => void this.#owner.call(label, run as (event?: unknown) => unknown, event));
  }

  /** Tells the host of room that there was not before. */
  offer(): void {
    const before = this.#room;
    if (this.#receiver !== undefined && this.canReceive() > before) this.chardev?.acceptInput();
  }

  /** Tells the host of the room that there is. */
  acceptInput(): void {
    if (this.canReceive() > 0) this.chardev?.acceptInput();
  }
}

/** What a chardev is attached to, once: the streams behind it come and go with the device's definition. */
export class StreamPort implements ChardevFrontend {
  stream: ModelStream | undefined;

  canReceive(): number {
    return this.stream?.canReceive() ?? 0;
  }

  receive(bytes: Uint8Array): void {
    this.stream?.receive(bytes);
  }

  event(event: ChardevEvent): void {
    this.stream?.event(event);
  }
}
