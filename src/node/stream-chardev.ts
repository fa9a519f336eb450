// Character devices over a byte stream that may come and go: sockets and named pipes.

import type { Readable, Writable } from "node:stream";
import type { Chardev, ChardevFrontend } from "../backend/chardev.ts";
import { InputQueue } from "./input-queue.ts";
import { OutputBuffer } from "./output-buffer.ts";

/** How much output waits for a slow peer; beyond it output is dropped, so that a peer can neither stop nor fill us. */
const OUTPUT_LIMIT = 4 * 1024 * 1024;

/** Both directions of a connection; for a socket they are one. */
export interface ByteStream {
  readonly input: Readable;
  readonly output: Writable;
}

/** A serial line to at most one peer at a time. What the guest sends while there is none is lost, as on a real line. */
export class StreamChardev implements Chardev {
  readonly id: string;
  #stream: ByteStream | undefined;
  readonly #queue: InputQueue;
  readonly #output: OutputBuffer;
  /** Called when the peer has gone. */
  onClosed: () => void = () => {};
  /** Called by `close`, for what this stream came from. */
  onClose: () => void = () => {};

  constructor(id: string) {
    this.id = id;
    this.#queue = new InputQueue({
      pause: () => this.#stream?.input.pause(),
      resume: () => this.#stream?.input.resume(),
    });
    this.#output = new OutputBuffer((bytes) => {
      const output = this.#stream?.output;
      if (output === undefined || output.destroyed) return;
      const room = OUTPUT_LIMIT - output.writableLength;
      if (room > 0) output.write(bytes.slice(0, room));
    });
  }

  /** Whether there is a peer. */
  get connected(): boolean {
    return this.#stream !== undefined;
  }

  /** Talks to a peer from now on. There must be none. */
  connect(stream: ByteStream): void {
    this.#stream = stream;
    const { input, output } = stream;
    input.on("data", (bytes: Uint8Array) => this.#queue.push(bytes));
    // An error is followed by `close`, which is all that matters here.
    input.on("error", () => {});
    output.on("error", () => {});
    input.once("close", () => this.#disconnected(stream));
    this.#queue.frontend?.event?.("opened");
  }

  attach(frontend: ChardevFrontend): void {
    this.#queue.attach(frontend);
    if (this.connected) frontend.event?.("opened");
  }

  write(bytes: Uint8Array): void {
    if (this.connected) this.#output.write(bytes);
  }

  acceptInput(): void {
    this.#queue.deliver();
  }

  /** Waits until the peer's side of the system has all that was written, or the peer has gone. */
  async drained(): Promise<void> {
    this.#output.flush();
    const output = this.#stream?.output;
    if (output === undefined || output.destroyed || output.writableLength === 0) return;
    // Called after all that was written before, or with an error.
    await new Promise<void>((resolve) => output.write(new Uint8Array(0), () => resolve()));
  }

  close(): void {
    this.#output.flush();
    this.onClosed = () => {};
    this.onClose();
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    // What waits still goes out, the peer reads it and sees the end.
    stream.output.end(() => stream.output.destroy());
    if (stream.input !== (stream.output as unknown)) stream.input.destroy();
  }

  #disconnected(stream: ByteStream): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#queue.frontend?.event?.("closed");
    this.onClosed();
  }
}
