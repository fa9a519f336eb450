// Disk images in memory: for tests, for browsers, and for small images that a program makes up.

import type { ByteStore } from "./block-raw.ts";

/** A store of a fixed size, on bytes that the caller keeps access to. */
export class MemoryStore implements ByteStore {
  readonly size: number;
  readonly readOnly: boolean;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, readOnly = false) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.readOnly = readOnly;
  }

  read(offset: number, into: readonly Uint8Array[]): number {
    let at = offset;
    for (const view of into) {
      const piece = this.#bytes.subarray(at, at + view.length);
      view.set(piece);
      at += piece.length;
    }
    return at - offset;
  }

  write(offset: number, bytes: readonly Uint8Array[]): void {
    let at = offset;
    for (const view of bytes) {
      // What is past the end of an image without whole sectors is cut off: it reads as zeros.
      this.#bytes.set(view.subarray(0, Math.max(0, this.size - at)), Math.min(at, this.size));
      at += view.length;
    }
  }

  sync(): void {}

  close(): void {}
}
