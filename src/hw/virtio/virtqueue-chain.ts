// A descriptor chain that was taken from a virtqueue: buffers the device may read, then buffers it may write.

import type { GuestRam } from "./guest-ram.ts";

/**
 * One request of the driver's. Offsets count through all readable, or all writable, bytes: where one buffer ends and
 * the next begins means nothing (section 2.7.4, "Message Framing").
 *
 * Every segment lay in RAM when the chain was taken, so methods fail only if the memory map has changed since.
 */
export class VirtqueueChain {
  /** The index of the first descriptor: what the driver knows the chain by. */
  head = 0;
  /** Bytes the device may read. */
  readableBytes = 0;
  /** Bytes the device may write. */
  writableBytes = 0;
  /** The queue's number of resets when the chain was taken: it is worth nothing after another one. */
  epoch = 0;

  readonly #ram: GuestRam;
  #count = 0;
  #readableCount = 0;
  readonly #addresses: number[] = [];
  readonly #lengths: number[] = [];
  /** For one call at a time. */
  readonly #views: Uint8Array[] = [];

  constructor(ram: GuestRam) {
    this.#ram = ram;
  }

  /** The number of segments. */
  get count(): number {
    return this.#count;
  }

  /** Makes the object ready for another chain. */
  start(head: number, epoch: number): void {
    this.head = head;
    this.epoch = epoch;
    this.#count = 0;
    this.#readableCount = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
  }

  /** Adds a segment, which must lie in one RAM range; readable ones come first. */
  add(address: number, length: number, writable: boolean): void {
    this.#addresses[this.#count] = address;
    this.#lengths[this.#count] = length;
    this.#count++;
    if (writable) this.writableBytes += length;
    else {
      this.#readableCount++;
      this.readableBytes += length;
    }
  }

  /** The little-endian word at `offset` of the readable bytes; 0 where there are fewer. */
  readUint32(offset: number): number {
    const address = this.#addresses[0]!;
    if (this.#readableCount > 0 && offset + 4 <= this.#lengths[0]! && this.#ram.seek(address)) {
      return this.#ram.data.getUint32(address - this.#ram.start + offset, true);
    }
    const bytes = new Uint8Array(4);
    this.read(offset, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  /** Copies readable bytes from `offset` on; returns how many there were. */
  read(offset: number, into: Uint8Array): number {
    const views = this.#views;
    this.#collect(true, offset, Math.min(into.length, this.readableBytes - offset), views);
    let done = 0;
    for (const view of views) {
      into.set(view, done);
      done += view.length;
    }
    views.length = 0;
    return done;
  }

  /** Copies `bytes` to the writable ones from `offset` on; returns how many fitted. */
  write(offset: number, bytes: Uint8Array): number {
    const views = this.#views;
    this.#collect(false, offset, Math.min(bytes.length, this.writableBytes - offset), views);
    let done = 0;
    for (const view of views) {
      view.set(bytes.subarray(done, done + view.length));
      done += view.length;
    }
    views.length = 0;
    this.announce(offset, done);
    return done;
  }

  /** Sets one writable byte. */
  writeByte(offset: number, value: number): void {
    // A status byte is nearly always a segment of its own, the last one.
    const last = this.#count - 1;
    const address = this.#addresses[last]!;
    if (offset === this.writableBytes - 1 && this.#ram.seek(address)) {
      const at = address + this.#lengths[last]! - 1;
      if (at < this.#ram.end) {
        this.#ram.bytes[at - this.#ram.start] = value;
        this.#ram.written(at, 1);
      }
      return;
    }
    this.write(offset, Uint8Array.of(value));
  }

  /** Adds views on readable bytes to `into`; false if they cannot be had. */
  readableViews(offset: number, length: number, into: Uint8Array[]): boolean {
    return this.#collect(true, offset, length, into);
  }

  /** Adds views on writable bytes to `into`; false if they cannot be had. `announce` what is written through them. */
  writableViews(offset: number, length: number, into: Uint8Array[]): boolean {
    return this.#collect(false, offset, length, into);
  }

  /** Says that `length` writable bytes from `offset` on were written. */
  announce(offset: number, length: number): void {
    let skip = offset;
    let left = length;
    for (let i = this.#readableCount; i < this.#count && left > 0; i++) {
      const size = this.#lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const piece = Math.min(size - skip, left);
      this.#ram.written(this.#addresses[i]! + skip, piece);
      left -= piece;
      skip = 0;
    }
  }

  #collect(readable: boolean, offset: number, length: number, into: Uint8Array[]): boolean {
    const end = readable ? this.#readableCount : this.#count;
    let skip = offset;
    let left = length;
    for (let i = readable ? 0 : this.#readableCount; i < end && left > 0; i++) {
      const size = this.#lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const piece = Math.min(size - skip, left);
      const address = this.#addresses[i]! + skip;
      const ram = this.#ram;
      if (!ram.seek(address) || address + piece > ram.end || !(readable || ram.writable)) return false;
      into.push(ram.bytes.subarray(address - ram.start, address - ram.start + piece));
      left -= piece;
      skip = 0;
    }
    return left <= 0;
  }
}
