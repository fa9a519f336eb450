// AddressSpace: an address map as a hart, a DMA engine or a loader sees it. The rules of an access are QEMU's;
// docs/design/memory.md tells them in full.

import { type Log, silentLog } from "../util/log.ts";
import { BusError } from "./bus-error.ts";
import { ADDRESS_LIMIT, type FlatRange, type FlatView, renderFlatView } from "./flat-view.ts";
import type { AccessSize, IoCallbacks } from "./io-callbacks.ts";
import type { MemoryRegion } from "./region.ts";
import { bytesToWord, funnel, truncate, wordsToBytes } from "./words.ts";

/** Told of a write to RAM: `length` bytes at `offset` of `region`. */
export type RamWriteListener = (region: MemoryRegion, offset: number, length: number) => void;

/** A range of the flat view with what the hot path needs at hand. */
interface Mapping {
  readonly start: number;
  readonly end: number;
  /** To be added to an address to get the offset in the region. */
  readonly bias: number;
  readonly region: MemoryRegion;
  readonly bytes: Uint8Array | undefined;
  readonly io: IoCallbacks | undefined;
}

/** The size of a page, which decides how accesses are taken apart: see `inPieces`. */
const PAGE_SIZE = 4096;

/**
 * An address map, resolved.
 *
 * `load` and `store` are a hart's accesses: a failure sets `fault` and is no exception. `readBytes` and `writeBytes` are
 * DMA's: a failure throws BusError. Exceptions of a device's callback other than BusError go through: they are bugs of
 * the model.
 *
 * @example
 * const memory = new AddressSpace(system, "memory");
 * const id = memory.load(0x4000000, 4);
 * if (memory.fault) { ... }
 */
export class AddressSpace {
  readonly root: MemoryRegion;
  readonly name: string;
  /** The high word of the last load of 8 bytes. */
  high = 0;
  /** Whether the last load or store failed. */
  fault = false;
  /**
   * The address of the failed part, valid while `fault` is set: that of the access, but for a misaligned one to anything
   * else than RAM that of the aligned load (which may begin below the access) or of the byte stored.
   */
  faultAddress = 0;

  readonly #log: Log;
  readonly #nothing: Mapping;
  readonly #ramWriteListeners: RamWriteListener[] = [];
  readonly #changeListeners: (() => void)[] = [];
  #view: FlatView | undefined;
  #mappings: readonly Mapping[] = [];
  /** The mapping of the last access. */
  #last: Mapping;

  constructor(root: MemoryRegion, name: string, log: Log = silentLog) {
    this.root = root;
    this.name = name;
    this.#log = log;
    // No address is in it, and it has the shape of all others.
    this.#nothing = { start: Infinity, end: -Infinity, bias: 0, region: root, bytes: undefined, io: undefined };
    this.#last = this.#nothing;
    root.observe(() => this.#changed());
  }

  /** What is mapped where, as of now. */
  get flatView(): FlatView {
    this.#view ??= this.#render();
    return this.#view;
  }

  /** Calls `listener` after every change of the map, before the next access. */
  onChange(listener: () => void): void {
    this.#changeListeners.push(listener);
  }

  /** Calls `listener` after writes to RAM by `writeBytes`, `store` and whoever says `ramWritten`. */
  onRamWrite(listener: RamWriteListener): void {
    this.#ramWriteListeners.push(listener);
  }

  // --- a hart's accesses

  /**
   * Loads `size` bytes at `addr`, little endian. Returns the low word, unsigned; the high word is in `high`.
   * If `fault` is set afterwards the access failed.
   */
  load(addr: number, size: AccessSize): number {
    let mapping = this.#last;
    if (!(addr >= mapping.start && addr < mapping.end)) mapping = this.#find(addr);
    const io = mapping.io;
    const offset = addr + mapping.bias;
    if (
      io === undefined ||
      (io.directReads & size) === 0 ||
      ((addr | offset) & (size - 1)) !== 0 ||
      addr + size > mapping.end ||
      io.busy
    ) {
      return this.#loadSlowly(mapping, addr, size);
    }
    io.busy = true;
    let value: number;
    try {
      value = io.ops.read!(offset, size as 1 | 2 | 4);
    } catch (error) {
      io.busy = false;
      return this.#failed(error, addr);
    }
    io.busy = false;
    this.fault = false;
    this.high = 0;
    return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
  }

  /**
   * Stores the low `size` bytes of the value whose words are `low` and `high` at `addr`, little endian.
   * If `fault` is set afterwards the access failed.
   */
  store(addr: number, size: AccessSize, low: number, high: number): void {
    let mapping = this.#last;
    if (!(addr >= mapping.start && addr < mapping.end)) mapping = this.#find(addr);
    const io = mapping.io;
    const offset = addr + mapping.bias;
    if (
      io === undefined ||
      (io.directWrites & size) === 0 ||
      ((addr | offset) & (size - 1)) !== 0 ||
      addr + size > mapping.end ||
      io.busy
    ) {
      this.#storeSlowly(mapping, addr, size, low, high);
      return;
    }
    io.busy = true;
    try {
      io.ops.write!(offset, size === 4 ? low >>> 0 : low & (size === 2 ? 0xffff : 0xff), size as 1 | 2 | 4);
    } catch (error) {
      io.busy = false;
      this.#failed(error, addr);
      return;
    }
    io.busy = false;
    this.fault = false;
  }

  #loadSlowly(mapping: Mapping, addr: number, size: AccessSize): number {
    this.fault = false;
    this.high = 0;
    const { bytes, io } = mapping;
    const within = addr + size <= mapping.end;
    if (bytes !== undefined && within) return this.#fromBytes(bytes, addr + mapping.bias, size);
    if (addr % size !== 0 && !(within && io?.validUnaligned)) return this.#loadMisaligned(addr, size);
    if (mapping === this.#nothing) return this.#fail("read", addr, size, "nothing is mapped there", mapping);
    if (io !== undefined && !inPieces(mapping, addr, size)) return this.#readIo(mapping, io, addr, size);
    if (!this.#accepted("read", addr, size)) return 0;
    // Not a shared buffer: a callback may come back here.
    const pieces = new Uint8Array(size);
    try {
      this.readBytes(addr, pieces);
    } catch (error) {
      return this.#failed(error, addr);
    }
    this.fault = false;
    this.high = 0;
    return this.#fromBytes(pieces, 0, size);
  }

  #storeSlowly(mapping: Mapping, addr: number, size: AccessSize, low: number, high: number): void {
    this.fault = false;
    const { bytes, io } = mapping;
    const within = addr + size <= mapping.end;
    if (bytes !== undefined && within) {
      if (mapping.region.kind === "rom") {
        this.#complain("write", addr, size, "the region is read-only: the write is ignored", mapping);
      } else {
        wordsToBytes(bytes, addr + mapping.bias, size, low, high);
        this.#announce(mapping.region, addr + mapping.bias, size);
      }
    } else if (addr % size !== 0 && !(within && io?.validUnaligned)) {
      this.#storeMisaligned(addr, size, low, high);
    } else if (mapping === this.#nothing) {
      this.#fail("write", addr, size, "nothing is mapped there", mapping);
    } else if (io !== undefined && !inPieces(mapping, addr, size)) {
      this.#writeIo(mapping, io, addr, size, low, high);
    } else if (this.#accepted("write", addr, size)) {
      const pieces = new Uint8Array(size);
      wordsToBytes(pieces, 0, size, low, high);
      try {
        this.writeBytes(addr, pieces);
        this.fault = false;
      } catch (error) {
        this.#failed(error, addr);
      }
    }
  }

  /** Two aligned loads, of which the middle is taken. */
  #loadMisaligned(addr: number, size: AccessSize): number {
    const skip = addr % size;
    const bits = skip * 8;
    const firstLow = this.load(addr - skip, size);
    const firstHigh = this.high;
    if (this.fault) return 0;
    const secondLow = this.load(addr - skip + size, size);
    const secondHigh = this.high;
    if (this.fault) return 0;
    if (size < 8) {
      const low = (firstLow >>> bits) | (secondLow << (size * 8 - bits));
      return truncate(low, size);
    }
    const first = bits < 32 ? firstLow : firstHigh;
    const second = bits < 32 ? firstHigh : secondLow;
    const third = bits < 32 ? secondLow : secondHigh;
    this.high = funnel(second, third, bits % 32);
    return funnel(first, second, bits % 32);
  }

  /** Stores of single bytes, from the lowest address up; the first that fails ends it. */
  #storeMisaligned(addr: number, size: AccessSize, low: number, high: number): void {
    for (let i = 0; i < size && !this.fault; i++) {
      this.store(addr + i, 1, i < 4 ? low >>> (8 * i) : high >>> (8 * (i - 4)), 0);
    }
  }

  /** Whether all pieces of an access would be accepted; if not, the access has failed and nothing was called. */
  #accepted(what: "read" | "write", addr: number, size: number): boolean {
    for (let at = addr; at < addr + size; ) {
      const mapping = this.#lookup(at);
      const length = pieceLength(mapping, at, addr + size - at);
      let refusal: string | undefined;
      if (mapping === this.#nothing) refusal = "nothing is mapped there";
      else if (mapping.io !== undefined) refusal = mapping.io.refusal(at + mapping.bias, length);
      else if (what === "write" && mapping.region.kind === "rom") refusal = "the region is read-only";
      if (refusal !== undefined) {
        this.#fail(what, addr, size, refusal, mapping);
        return false;
      }
      at += length;
    }
    return true;
  }

  // --- accesses of one io region, as the bus brings them there

  #readIo(mapping: Mapping, io: IoCallbacks, addr: number, size: number): number {
    const offset = addr + mapping.bias;
    const refusal = io.refusal(offset, size);
    if (refusal !== undefined) return this.#fail("read", addr, size, refusal, mapping);
    if (!io.readable) this.#complain("read", addr, size, "the region cannot be read: it reads as 0", mapping);
    if (io.taps.length > 0) for (const tap of io.taps) tap.before(false, offset, size, 0, 0);
    io.busy = true;
    let low: number;
    try {
      low = io.read(offset, size);
    } catch (error) {
      io.busy = false;
      return this.#failed(error, addr);
    }
    io.busy = false;
    if (io.taps.length > 0) for (const tap of io.taps) tap.after(false, offset, size, low, io.high);
    this.fault = false;
    this.high = io.high;
    return low;
  }

  #writeIo(mapping: Mapping, io: IoCallbacks, addr: number, size: number, low: number, high: number): void {
    const offset = addr + mapping.bias;
    const refusal = io.refusal(offset, size);
    if (refusal !== undefined) {
      this.#fail("write", addr, size, refusal, mapping);
      return;
    }
    if (!io.writable)
      this.#complain("write", addr, size, "the region cannot be written: the write is ignored", mapping);
    if (io.taps.length > 0) for (const tap of io.taps) tap.before(true, offset, size, low, high);
    io.busy = true;
    try {
      io.write(offset, size, low, high);
    } catch (error) {
      io.busy = false;
      this.#failed(error, addr);
      return;
    }
    io.busy = false;
    if (io.taps.length > 0) for (const tap of io.taps) tap.after(true, offset, size, low, high);
    this.fault = false;
  }

  #fromBytes(bytes: Uint8Array, offset: number, size: number): number {
    if (size === 8) this.high = bytesToWord(bytes, offset + 4, 4);
    return bytesToWord(bytes, offset, Math.min(size, 4));
  }

  // --- bytes: DMA and loaders

  /**
   * Reads bytes from `addr` on, as DMA does: an io region is read in the largest aligned pieces that it takes.
   * @throws BusError at the first byte that cannot be read; those before it are in `into`
   */
  readBytes(addr: bigint | number, into: Uint8Array): void {
    let at = this.#checkRange(addr, into.length);
    for (let done = 0; done < into.length; ) {
      const mapping = this.#lookup(at);
      if (mapping === this.#nothing) this.#refuse("read", at, into.length - done, "decode", mapping);
      const length = pieceLength(mapping, at, into.length - done);
      const offset = at + mapping.bias;
      if (mapping.bytes !== undefined) {
        into.set(mapping.bytes.subarray(offset, offset + length), done);
      } else {
        const low = this.#readIo(mapping, mapping.io!, at, length);
        if (this.fault) throw new BusError(at, "access");
        wordsToBytes(into, done, length, low, this.high);
      }
      at += length;
      done += length;
    }
  }

  /**
   * Writes bytes from `addr` on, as DMA does: an io region is written in the largest aligned pieces that it takes.
   * @throws BusError at the first byte that cannot be written (ROM cannot); those before it are written
   */
  writeBytes(addr: bigint | number, bytes: Uint8Array): void {
    let at = this.#checkRange(addr, bytes.length);
    for (let done = 0; done < bytes.length; ) {
      const mapping = this.#lookup(at);
      if (mapping === this.#nothing) this.#refuse("write", at, bytes.length - done, "decode", mapping);
      const length = pieceLength(mapping, at, bytes.length - done);
      const offset = at + mapping.bias;
      if (mapping.bytes !== undefined) {
        if (mapping.region.kind === "rom") this.#refuse("write", at, length, "access", mapping);
        mapping.bytes.set(bytes.subarray(done, done + length), offset);
        this.#announce(mapping.region, offset, length);
      } else {
        const low = this.#fromBytes(bytes, done, length);
        this.#writeIo(mapping, mapping.io!, at, length, low, this.high);
        if (this.fault) throw new BusError(at, "access");
      }
      at += length;
      done += length;
    }
  }

  /**
   * A direct view of `length` bytes, if all of them are in one ram region; writes through it must be told to
   * `ramWritten`. Not to be kept over a change of the map.
   */
  ramAt(addr: number, length: number): Uint8Array | undefined {
    const mapping = this.#lookup(addr);
    if (mapping.bytes === undefined || mapping.region.kind !== "ram") return undefined;
    if (!(length >= 0 && addr + length <= mapping.end)) return undefined;
    return mapping.bytes.subarray(addr + mapping.bias, addr + mapping.bias + length);
  }

  /** Says that `length` bytes at `addr` were written through a view that `ramAt` gave. */
  ramWritten(addr: number, length: number): void {
    const mapping = this.#lookup(addr);
    if (mapping.bytes !== undefined) this.#announce(mapping.region, addr + mapping.bias, length);
  }

  #announce(region: MemoryRegion, offset: number, length: number): void {
    for (const listener of this.#ramWriteListeners) listener(region, offset, length);
  }

  #checkRange(addr: bigint | number, length: number): number {
    if (addr < 0 || addr > ADDRESS_LIMIT - length) throw new BusError(addr, "decode");
    return Number(addr);
  }

  // --- failures

  /** The access failed because of what the guest did. */
  #fail(what: "read" | "write", addr: number, size: number, reason: string, mapping: Mapping): 0 {
    this.#complain(what, addr, size, reason, mapping);
    for (const tap of mapping.io?.taps ?? []) tap.refused(what === "write", addr + mapping.bias, size, reason);
    return this.#faultAt(addr);
  }

  /** DMA cannot go on. */
  #refuse(what: "read" | "write", addr: number, size: number, kind: "decode" | "access", mapping: Mapping): never {
    const reason = kind === "decode" ? "nothing is mapped there" : "the region is read-only";
    this.#complain(what, addr, size, reason, mapping);
    throw new BusError(addr, kind);
  }

  /** A callback threw: BusError is an answer, anything else the model's bug. */
  #failed(error: unknown, addr: number): 0 {
    if (!(error instanceof BusError)) throw error;
    return this.#faultAt(addr);
  }

  #faultAt(addr: number): 0 {
    this.fault = true;
    this.faultAddress = addr;
    this.high = 0;
    return 0;
  }

  #complain(what: "read" | "write", addr: number, size: number, reason: string, mapping: Mapping): void {
    if (!this.#log.enabled("guest_errors")) return;
    const place =
      mapping === this.#nothing
        ? `0x${addr.toString(16)}`
        : `${mapping.region.name}+0x${(addr + mapping.bias).toString(16)} (0x${addr.toString(16)})`;
    this.#log.write("guest_errors", `invalid ${what} of ${size} byte${size === 1 ? "" : "s"} at ${place}: ${reason}`);
  }

  // --- the map

  #changed(): void {
    this.#view = undefined;
    this.#last = this.#nothing;
    for (const listener of this.#changeListeners) listener();
  }

  #render(): FlatView {
    const view = renderFlatView(this.root);
    this.#mappings = view.ranges.map(toMapping);
    return view;
  }

  /** The mapping of an address, remembered for the next access; `#nothing` if there is none. */
  #find(addr: number): Mapping {
    const mapping = this.#search(addr);
    if (mapping !== this.#nothing) this.#last = mapping;
    return mapping;
  }

  #lookup(addr: number): Mapping {
    const last = this.#last;
    return addr >= last.start && addr < last.end ? last : this.#find(addr);
  }

  #search(addr: number): Mapping {
    if (this.#view === undefined) this.#view = this.#render();
    const mappings = this.#mappings;
    let low = 0;
    let high = mappings.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const mapping = mappings[middle]!;
      if (addr >= mapping.end) low = middle + 1;
      else if (addr >= mapping.start) return mapping;
      else high = middle - 1;
    }
    return this.#nothing;
  }
}

function toMapping({ start, end, region, offset }: FlatRange): Mapping {
  return { start, end, bias: offset - start, region, bytes: region.bytes, io: region.io };
}

/**
 * Whether an aligned access that begins in `mapping` goes to its regions piece by piece, as DMA does: when the region
 * ends within it, or when the region takes only smaller ones but shares the page with others or with nothing.
 */
function inPieces(mapping: Mapping, addr: number, size: number): boolean {
  if (addr + size > mapping.end) return true;
  const page = addr - (addr % PAGE_SIZE);
  return size > mapping.io!.validMax && (page < mapping.start || page + PAGE_SIZE > mapping.end);
}

/** How many of the `remaining` bytes at `addr` go to the mapping in one piece. */
function pieceLength(mapping: Mapping, addr: number, remaining: number): number {
  const length = Math.min(remaining, mapping.end - addr);
  if (mapping.io === undefined) return length;
  const offset = addr + mapping.bias;
  let size = mapping.io.dmaMax;
  while (size > length || (!mapping.io.implUnaligned && offset % size !== 0)) size /= 2;
  return size;
}
