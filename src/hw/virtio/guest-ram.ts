// Guest memory as virtqueues use it: RAM only. A buffer in a device's registers would let a guest make devices call
// each other in a circle, and no driver has a use for it.

import type { AddressSpace } from "../../memory/address-space.ts";
import type { FlatView } from "../../memory/flat-view.ts";

const NO_BYTES: Uint8Array = new Uint8Array(0);

/**
 * A window on the guest's RAM that follows the address asked for: nearly always one range, so that finding it again
 * costs two comparisons and no allocation. A change of the memory map is noticed by the next `seek`.
 */
export class GuestRam {
  /** Addresses of the current window. */
  start = 0;
  end = 0;
  /** Whether the guest's memory here can be written (ROM cannot). */
  writable = false;
  /** The window's bytes: index 0 is `start`. */
  bytes = NO_BYTES;
  /** The same bytes. */
  data = new DataView(NO_BYTES.buffer);

  readonly #memory: AddressSpace;
  #view: FlatView | undefined;

  constructor(memory: AddressSpace) {
    this.#memory = memory;
  }

  /** Makes the RAM or ROM that holds `address` the window; false if there is none. */
  seek(address: number): boolean {
    if (address >= this.start && address < this.end && this.#memory.flatView === this.#view) return true;
    return this.#find(address);
  }

  /** A view on `length` bytes if one piece of writable RAM holds them all. */
  ring(address: number, length: number): DataView | undefined {
    if (!this.seek(address) || !this.writable || address + length > this.end) return undefined;
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + (address - this.start), length);
  }

  /** Says that `length` bytes at `address` were written. */
  written(address: number, length: number): void {
    this.#memory.ramWritten(address, length);
  }

  /** What changes when the memory map does: views from `ring` are valid as long as it is the same. */
  get map(): FlatView {
    return this.#memory.flatView;
  }

  #find(address: number): boolean {
    this.#view = this.#memory.flatView;
    this.start = 0;
    this.end = 0;
    const ranges = this.#view.ranges;
    let low = 0;
    let high = ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const range = ranges[middle]!;
      if (address < range.start) high = middle - 1;
      else if (address >= range.end) low = middle + 1;
      else {
        const bytes = range.region.bytes;
        if (bytes === undefined) return false;
        this.start = range.start;
        this.end = range.end;
        this.writable = range.region.kind === "ram";
        this.bytes = bytes.subarray(range.offset, range.offset + (range.end - range.start));
        this.data = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
        return true;
      }
    }
    return false;
  }
}
