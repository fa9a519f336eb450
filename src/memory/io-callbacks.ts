// The callbacks of an io region, and how an access becomes calls of them: QEMU's rules for `valid` (what the bus
// accepts) and `impl` (what the callbacks take). docs/design/memory.md tells them in full.

import { swapBytes, truncate } from "./words.ts";

/** The size of an access in bytes. */
export type AccessSize = 1 | 2 | 4 | 8;

/** Limits on accesses; sizes in bytes. */
export interface AccessConstraints {
  readonly min?: AccessSize;
  readonly max?: AccessSize;
  /** Whether accesses need not be aligned to their size. */
  readonly unaligned?: boolean;
}

/**
 * What an io region does when it is accessed. Offsets are in bytes from the region's start. The functions are called
 * without `this`.
 * A callback may throw BusError: the access then fails. A missing callback reads 0 or ignores the write, and the
 * access is logged as a guest error.
 */
export interface MemoryRegionOps {
  /** Returns the value in the low bits; the rest is cut off. */
  read?(this: void, offset: number, size: 1 | 2 | 4): number;
  /** Gets the value as an unsigned number of `size` bytes. */
  write?(this: void, offset: number, value: number, size: 1 | 2 | 4): void;
  /** Eight bytes at once, when `impl` allows it; otherwise an access of 8 bytes is two of 4. */
  read64?(offset: number): bigint;
  write64?(offset: number, value: bigint): void;
  /** Which byte of a value the lowest address holds; little unless given. */
  readonly endianness?: "little" | "big";
  /** What the bus accepts; anything else is an access error. Unless given: every size, aligned. */
  readonly valid?: AccessConstraints;
  /** What the callbacks take: other accesses are split or widened. Unless given: 1 to 4 bytes, 8 with read64/write64. */
  readonly impl?: AccessConstraints;
}

/** Who listens to the accesses of a region, as the bus brings them: their size is the one that the guest chose. */
export interface IoTap {
  /** Before the callbacks run. `low` and `high`: the value of a write in the bus's byte order. */
  before(write: boolean, offset: number, size: number, low: number, high: number): void;
  /** When they have run: the value that was read or written. Not if one threw. */
  after(write: boolean, offset: number, size: number, low: number, high: number): void;
  /** The bus refused the access: nothing ran. */
  refused(write: boolean, offset: number, size: number, reason: string): void;
}

/**
 * An io region's callbacks with all defaults resolved.
 *
 * Values are two 32-bit words: functions return or take the low one, and the high one of an 8-byte access is in `high`.
 */
export class IoCallbacks {
  readonly ops: MemoryRegionOps;
  readonly validMin: number;
  readonly validMax: number;
  readonly validUnaligned: boolean;
  /** The largest piece that DMA is cut into: 4 unless `valid.max` says otherwise. */
  readonly dmaMax: number;
  readonly implUnaligned: boolean;
  /** Sizes (1, 2, 4 as bits) whose aligned accesses are exactly one call, with nothing to convert. */
  directReads = 0;
  directWrites = 0;
  /** Told when those change: for who keeps them. */
  onDirectChange: () => void = () => {};
  /** Whether somebody who does not come through an address space is in a callback just now. */
  entered: () => boolean = () => false;
  high = 0;

  readonly #readMin: number;
  readonly #readMax: number;
  readonly #writeMin: number;
  readonly #writeMax: number;
  readonly #bigEndian: boolean;
  #taps: readonly IoTap[] = [];
  #busy = false;

  /** @throws RangeError if a minimum is above its maximum */
  constructor(name: string, ops: MemoryRegionOps) {
    const { valid = {}, impl = {} } = ops;
    this.ops = ops;
    this.validMin = valid.min ?? 1;
    this.validMax = valid.max ?? 8;
    this.validUnaligned = valid.unaligned ?? false;
    this.dmaMax = valid.max ?? 4;
    this.implUnaligned = impl.unaligned ?? false;
    this.#bigEndian = ops.endianness === "big";
    const implMin = impl.min ?? 1;
    const implMax = impl.max ?? 8;
    if (this.validMin > this.validMax || implMin > implMax) {
      throw new RangeError(`memory region ${name}: the smallest access is larger than the largest`);
    }
    // A size without its callback is made up of sizes that have one.
    this.#readMax = ops.read64 === undefined ? Math.min(implMax, 4) : implMax;
    this.#readMin = ops.read === undefined && ops.read64 !== undefined ? 8 : Math.min(implMin, this.#readMax);
    this.#writeMax = ops.write64 === undefined ? Math.min(implMax, 4) : implMax;
    this.#writeMin = ops.write === undefined && ops.write64 !== undefined ? 8 : Math.min(implMin, this.#writeMax);
    this.#planDirect();
  }

  /** While a callback runs: it may not be entered again, by DMA of the device to itself for instance. */
  get busy(): boolean {
    return this.#busy || this.entered();
  }

  set busy(busy: boolean) {
    this.#busy = busy;
  }

  /** Those who listen; while there are any, no access is direct. */
  get taps(): readonly IoTap[] {
    return this.#taps;
  }

  /** Lets `tap` hear of every access, until the function that it returns is called. */
  listen(tap: IoTap): () => void {
    this.#taps = [...this.#taps, tap];
    this.#planDirect();
    return () => {
      this.#taps = this.#taps.filter((other) => other !== tap);
      this.#planDirect();
    };
  }

  #planDirect(): void {
    const { read, write } = this.ops;
    const heard = this.#taps.length > 0;
    this.directReads = read === undefined || heard ? 0 : this.#directSizes(this.#readMin, this.#readMax);
    this.directWrites = write === undefined || heard ? 0 : this.#directSizes(this.#writeMin, this.#writeMax);
    this.onDirectChange();
  }

  get readable(): boolean {
    return this.ops.read !== undefined || this.ops.read64 !== undefined;
  }

  get writable(): boolean {
    return this.ops.write !== undefined || this.ops.write64 !== undefined;
  }

  /** Why the bus refuses an access, undefined if it accepts it. */
  refusal(offset: number, size: number): string | undefined {
    if (this.busy) return "the region is being accessed already";
    if (!this.validUnaligned && offset % size !== 0) return "the access is not aligned";
    if (size < this.validMin || size > this.validMax) {
      const sizes = this.validMin === this.validMax ? `${this.validMin}` : `${this.validMin} to ${this.validMax}`;
      return `the region takes ${sizes} bytes at a time`;
    }
    return undefined;
  }

  /** Reads an accepted access: as many calls as `impl` needs. */
  read(offset: number, size: number): number {
    this.high = 0;
    if (!this.readable) return 0;
    const step = Math.max(Math.min(size, this.#readMax), this.#readMin);
    let low = 0;
    let high = 0;
    for (let at = 0; at < size; at += step) {
      let piece: number;
      let pieceHigh = 0;
      if (step === 8) {
        const value = this.ops.read64!(offset + at);
        piece = Number(value & 0xffff_ffffn);
        pieceHigh = Number((value >> 32n) & 0xffff_ffffn);
      } else {
        piece = truncate(this.ops.read!(offset + at, step as 1 | 2 | 4), step);
      }
      // The bits of the access that the piece holds; negative where a widened big-endian piece hangs over.
      const shift = (this.#bigEndian ? size - step - at : at) * 8;
      if (step === 8 && size < 8) {
        low = this.#bigEndian ? pieceHigh >>> (-shift - 32) : piece;
      } else if (shift >= 32) {
        high |= piece << (shift - 32);
      } else {
        low |= shift >= 0 ? piece << shift : piece >>> -shift;
        high |= pieceHigh;
      }
    }
    if (this.#bigEndian && size === 8) {
      this.high = swapBytes(low, 4);
      return swapBytes(high, 4);
    }
    this.high = size === 8 ? high >>> 0 : 0;
    return this.#bigEndian ? swapBytes(low, size) : truncate(low, size);
  }

  /** Writes an accepted access: as many calls as `impl` needs. */
  write(offset: number, size: number, valueLow: number, valueHigh: number): void {
    if (!this.writable) return;
    let low = truncate(valueLow, size);
    let high = size === 8 ? valueHigh >>> 0 : 0;
    if (this.#bigEndian) {
      const swapped = swapBytes(low, Math.min(size, 4));
      low = size === 8 ? swapBytes(high, 4) : swapped;
      high = size === 8 ? swapped : 0;
    }
    const step = Math.max(Math.min(size, this.#writeMax), this.#writeMin);
    for (let at = 0; at < size; at += step) {
      const shift = (this.#bigEndian ? size - step - at : at) * 8;
      if (step === 8) {
        const value = (BigInt(high) << 32n) | BigInt(low);
        this.ops.write64!(offset + at, BigInt.asUintN(64, value << BigInt(-shift)));
      } else {
        const piece = shift >= 32 ? high >>> (shift - 32) : shift >= 0 ? low >>> shift : low << -shift;
        this.ops.write!(offset + at, truncate(piece, step), step as 1 | 2 | 4);
      }
    }
  }

  #directSizes(min: number, max: number): number {
    let sizes = 0;
    for (const size of [1, 2, 4]) {
      const one = size >= min && size <= max && size >= this.validMin && size <= this.validMax;
      if (one && (!this.#bigEndian || size === 1)) sizes |= size;
    }
    return sizes;
  }
}
