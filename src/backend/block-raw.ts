// Raw disk images: the bytes of the disk are the bytes of the image. Portable; a ByteStore does the reading and writing.

import { type BlockBackend, BlockError } from "./block.ts";

/** What disks are counted in, whatever the size of their blocks. */
const SECTOR_SIZE = 512;

/** Where an image's bytes are kept. Failures are BlockErrors. */
export interface ByteStore {
  /** In bytes; what is beyond it can be written if there is no disk size to forbid it. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Reads into the buffers in turn; returns how many bytes there were before the end of the store. */
  read(offset: number, into: readonly Uint8Array[]): number;
  /** Writes all bytes of the buffers in turn. */
  write(offset: number, bytes: readonly Uint8Array[]): void;
  /** Makes what was written survive a crash. */
  sync(): void;
  close(): void;
}

/**
 * A raw image. A disk ends with a whole sector: if the image does not, the rest of the last one reads as zeros, and
 * writing it makes the image longer.
 */
export class RawBlock implements BlockBackend {
  readonly size: number;
  readonly readOnly: boolean;
  readonly synchronous = true;
  readonly #store: ByteStore;
  /** Whether something was written since the last flush. */
  #dirty = false;

  constructor(store: ByteStore) {
    this.#store = store;
    this.size = Math.ceil(store.size / SECTOR_SIZE) * SECTOR_SIZE;
    this.readOnly = store.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    this.readv(offset, [into]);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.writev(offset, [bytes]);
  }

  readv(offset: number, into: readonly Uint8Array[]): void {
    this.#check(offset, into);
    let there = this.#store.read(offset, into);
    for (const view of into) {
      if (there < view.length) view.fill(0, Math.max(0, there));
      there -= view.length;
    }
  }

  writev(offset: number, bytes: readonly Uint8Array[]): void {
    this.#check(offset, bytes);
    if (this.readOnly) throw new BlockError("readonly", "the disk is read-only");
    this.#dirty = true;
    this.#store.write(offset, bytes);
  }

  flush(): void {
    if (!this.#dirty) return;
    this.#store.sync();
    this.#dirty = false;
  }

  close(): void {
    this.#store.close();
  }

  #check(offset: number, views: readonly Uint8Array[]): void {
    let length = 0;
    for (const view of views) length += view.length;
    // Callers have checked what the guest asked for, so this is a bug of theirs; it must not change the image's size.
    if (offset < 0 || offset + length > this.size) {
      throw new RangeError(`${length} bytes at ${offset} are not inside a disk of ${this.size} bytes`);
    }
  }
}
