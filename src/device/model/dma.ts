// DMA of a device: physical memory, as the bus shows it.

import type { AddressSpace } from "../../memory/address-space.ts";
import { BusError } from "../../memory/bus-error.ts";
import { ADDRESS_LIMIT } from "../../memory/flat-view.ts";

/**
 * A physical address.
 * @example dma.read32(0x8000_0000) === dma.read32(0x8000_0000n)
 */
export type Address = number | bigint;

/**
 * Reads and writes physical memory: RAM, or registers of other devices. All of it throws `BusError` where nothing answers.
 * @example on.write("DOORBELL", () => state.head = dma.read32(RING.value)); // may throw BusError
 */
export interface Dma {
  /** Reads `length` bytes. */
  read(address: Address, length: number): Uint8Array;
  write(address: Address, bytes: Uint8Array): void;
  /** Copies `length` bytes; the two places may overlap. */
  copy(to: Address, from: Address, length: number): void;
  /** Writes `length` times the same byte. */
  fill(address: Address, length: number, byte: number): void;
  /** Little-endian words. */
  read8(address: Address): number;
  read16(address: Address): number;
  read32(address: Address): number;
  read64(address: Address): bigint;
  write8(address: Address, value: number): void;
  write16(address: Address, value: number): void;
  write32(address: Address, value: number): void;
  write64(address: Address, value: bigint): void;
}

/** A BusError of the device's own DMA, which its callback should have caught: for the guest it would be another access's. */
export class DmaError extends BusError {}

/** The device, as far as DMA is concerned. */
export interface DmaOwner {
  /** System memory. @throws if there is no DMA now */
  readonly memory: AddressSpace;
  /** Counts a use, of so many units of work. */
  use(units?: number): void;
  /** Told of each transfer if somebody listens. */
  readonly listening: boolean;
  transferred(write: boolean, address: number, length: number, bytes: Uint8Array | undefined): void;
}

/** What `copy` and `fill` do in one piece. */
const CHUNK = 1 << 16;
/** Bytes that count as one use: a transfer of all of RAM is no endless loop. */
const BYTES_PER_USE = 1 << 12;

export class ModelDma implements Dma {
  readonly #owner: DmaOwner;

  constructor(owner: DmaOwner) {
    this.#owner = owner;
  }

  read(address: Address, length: number): Uint8Array {
    const at = this.#range("read", address, length);
    return this.#read(at, length);
  }

  write(address: Address, bytes: Uint8Array): void {
    const at = this.#range("write", address, bytes.length);
    this.#write(at, bytes);
  }

  copy(to: Address, from: Address, length: number): void {
    const source = this.#range("copy", from, length);
    const target = this.#range("copy", to, length);
    // From the end where a piece would be overwritten before it is read.
    const backwards = target > source && target < source + length;
    for (let done = 0; done < length; done += CHUNK) {
      const size = Math.min(CHUNK, length - done);
      const offset = backwards ? length - done - size : done;
      this.#write(target + offset, this.#read(source + offset, size));
    }
  }

  fill(address: Address, length: number, byte: number): void {
    const at = this.#range("fill", address, length);
    const bytes = new Uint8Array(Math.min(CHUNK, length)).fill(checked("fill", byte, 8));
    for (let done = 0; done < length; done += CHUNK) {
      this.#write(at + done, bytes.subarray(0, Math.min(CHUNK, length - done)));
    }
  }

  read8(address: Address): number {
    return this.read(address, 1)[0]!;
  }

  read16(address: Address): number {
    return viewOf(this.read(address, 2)).getUint16(0, true);
  }

  read32(address: Address): number {
    return viewOf(this.read(address, 4)).getUint32(0, true);
  }

  read64(address: Address): bigint {
    return viewOf(this.read(address, 8)).getBigUint64(0, true);
  }

  write8(address: Address, value: number): void {
    this.write(address, Uint8Array.of(checked("write8", value, 8)));
  }

  write16(address: Address, value: number): void {
    const bytes = new Uint8Array(2);
    viewOf(bytes).setUint16(0, checked("write16", value, 16), true);
    this.write(address, bytes);
  }

  write32(address: Address, value: number): void {
    const bytes = new Uint8Array(4);
    viewOf(bytes).setUint32(0, checked("write32", value, 32), true);
    this.write(address, bytes);
  }

  write64(address: Address, value: bigint): void {
    if (typeof value !== "bigint" || value < 0n || value >> 64n !== 0n) {
      throw new RangeError(`dma.write64: ${String(value)} is no bigint of 64 bits`);
    }
    const bytes = new Uint8Array(8);
    viewOf(bytes).setBigUint64(0, value, true);
    this.write(address, bytes);
  }

  /**
   * The address as a number, when a transfer from there makes sense. What is longer than a piece must be mapped as a
   * whole: the guest says how long, and nothing is to be allocated or half done for a length that there is not.
   */
  #range(what: string, address: Address, length: number): number {
    const isAddress = typeof address === "bigint" || (typeof address === "number" && Number.isInteger(address));
    if (!isAddress) throw new RangeError(`dma.${what}: ${String(address)} is no address`);
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new RangeError(`dma.${what}: ${String(length)} is no number of bytes`);
    }
    const { memory } = this.#owner;
    if (address < 0 || address > ADDRESS_LIMIT - length)
      this.#refuse(what, address, length, new BusError(address, "decode"));
    const at = Number(address);
    if (length > CHUNK) {
      const hole = firstHole(memory, at, length);
      if (hole !== undefined) this.#refuse(what, at, length, new BusError(hole, "decode"));
    }
    return at;
  }

  #read(at: number, length: number): Uint8Array {
    this.#owner.use(1 + Math.floor(length / BYTES_PER_USE));
    const bytes = new Uint8Array(length);
    try {
      this.#owner.memory.readBytes(at, bytes);
    } catch (error) {
      this.#refuse("read", at, length, error);
    }
    if (this.#owner.listening) this.#owner.transferred(false, at, length, bytes);
    return bytes;
  }

  #write(at: number, bytes: Uint8Array): void {
    this.#owner.use(1 + Math.floor(bytes.length / BYTES_PER_USE));
    try {
      this.#owner.memory.writeBytes(at, bytes);
    } catch (error) {
      this.#refuse("write", at, bytes.length, error);
    }
    if (this.#owner.listening) this.#owner.transferred(true, at, bytes.length, bytes);
  }

  #refuse(what: string, address: Address, length: number, error: unknown): never {
    if (!(error instanceof BusError)) throw error;
    if (this.#owner.listening) this.#owner.transferred(what !== "read", Number(address), length, undefined);
    const where = error.address === address ? "" : `, at 0x${error.address.toString(16)}`;
    const reason = error.kind === "decode" ? "nothing is mapped there" : "the access is refused";
    throw new DmaError(
      error.address,
      error.kind,
      `DMA ${what} of ${length} byte${length === 1 ? "" : "s"} at 0x${address.toString(16)}: ${reason}${where}`,
    );
  }
}

/** The first address of a range where nothing is mapped. */
function firstHole(memory: AddressSpace, start: number, length: number): number | undefined {
  let at = start;
  for (const range of memory.flatView.ranges) {
    if (range.end <= at) continue;
    if (range.start > at || at >= start + length) break;
    at = range.end;
  }
  return at < start + length ? at : undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function checked(what: string, value: number, bits: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new RangeError(`dma.${what}: ${String(value)} does not fit in ${bits} bits`);
  }
  return value;
}
