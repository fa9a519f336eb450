// One request of a virtio block driver: its header checked, and its work in slices. VIRTIO 1.2, section 5.2.6.

import type { BlockBackend } from "../../backend/block.ts";
import type { Virtqueue } from "../virtio/virtqueue.ts";
import type { VirtqueueChain } from "../virtio/virtqueue-chain.ts";
import {
  BLK_HEADER_SIZE,
  BLK_ID_SIZE,
  BLK_RANGE_SIZE,
  BLK_RANGE_UNMAP,
  BlkRequestType,
  BlkStatus,
} from "./virtio-blk-spec.ts";

/** The unit of the sector numbers in requests, whatever the size of the disk's blocks. */
const SECTOR_SIZE = 512;

/** What requests are checked against. */
export interface BlkLimits {
  /** In bytes. */
  readonly diskSize: number;
  /** In bytes. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  /** What GET_ID returns, BLK_ID_SIZE bytes. */
  readonly serial: Uint8Array;
  /** Whether DISCARD and WRITE_ZEROES were offered, and the most sectors each takes. */
  readonly maxDiscardSectors: number | undefined;
  readonly maxWriteZeroesSectors: number | undefined;
}

type Operation = "none" | "read" | "write" | "flush" | "discard" | "zero";

const ZEROS = new Uint8Array(64 * 1024);

/** A request, from its header to its status byte. */
export class BlkRequest {
  readonly queue: Virtqueue;
  readonly chain: VirtqueueChain;
  /** What is left to do with the disk; the status says why there is nothing. */
  operation: Operation = "none";
  status: number = BlkStatus.OK;
  /** Whether the disk's contents change. */
  changes = false;
  /** Where on the disk, in bytes. */
  #offset = 0;
  #length = 0;
  #done = 0;

  /** @param chain one that `problem` finds nothing wrong with */
  constructor(queue: Virtqueue, chain: VirtqueueChain, limits: BlkLimits) {
    this.queue = queue;
    this.chain = chain;
    this.status = this.#decode(limits);
    if (this.status !== BlkStatus.OK) this.operation = "none";
    this.changes = this.operation === "write" || this.operation === "zero";
  }

  /** Why there is no request in `chain` that could be answered, undefined if there is one. */
  static problem(chain: VirtqueueChain): string | undefined {
    if (chain.readableBytes < BLK_HEADER_SIZE) {
      return `a request has ${chain.readableBytes} readable bytes: a header has ${BLK_HEADER_SIZE}`;
    }
    return chain.writableBytes === 0 ? "a request has no writable byte for its status" : undefined;
  }

  /** Whether all has been done, or nothing can be. */
  get finished(): boolean {
    return this.operation === "none";
  }

  /** Returns the chain to the driver, with the status. */
  finish(): void {
    const { chain } = this;
    chain.writeByte(chain.writableBytes - 1, this.status);
    this.queue.push(chain, chain.writableBytes);
  }

  /**
   * Does the next part of the work, of at most `limit` bytes, straight between the disk and the guest's memory.
   * Only for a synchronous disk.
   * @returns the bytes it counts for
   */
  advance(disk: BlockBackend, limit: number): number {
    const length = Math.min(limit, this.#length - this.#done);
    const at = this.#offset + this.#done;
    const views: Uint8Array[] = [];
    switch (this.operation) {
      case "read":
        if (this.chain.writableViews(this.#done, length, views)) read(disk, at, views);
        else this.fail();
        this.chain.announce(this.#done, length);
        break;
      case "write":
        if (this.chain.readableViews(BLK_HEADER_SIZE + this.#done, length, views)) write(disk, at, views);
        else this.fail();
        break;
      default:
        void this.#start(disk, at, length, undefined);
    }
    this.#moved(length);
    return length;
  }

  /**
   * The same for a disk that takes its time: the guest's memory is copied, because a reset may take it away meanwhile.
   * @param stale whether the chain was lost to a reset
   */
  async advanceLater(disk: BlockBackend, limit: number, stale: () => boolean): Promise<void> {
    const length = Math.min(limit, this.#length - this.#done);
    const at = this.#offset + this.#done;
    const reads = this.operation === "read";
    const bytes = reads || this.operation === "write" ? new Uint8Array(length) : undefined;
    if (bytes !== undefined && !reads) this.chain.read(BLK_HEADER_SIZE + this.#done, bytes);
    await this.#start(disk, at, length, bytes);
    if (stale()) return;
    if (bytes !== undefined && reads) this.chain.write(this.#done, bytes);
    this.#moved(length);
  }

  /** The host could not do it. */
  fail(): void {
    this.status = BlkStatus.IOERR;
    this.operation = "none";
  }

  #moved(length: number): void {
    this.#done += length;
    if (this.#done >= this.#length) this.operation = "none";
  }

  #start(disk: BlockBackend, at: number, length: number, bytes: Uint8Array | undefined): void | Promise<void> {
    switch (this.operation) {
      case "read":
        return disk.read(at, bytes!);
      case "write":
        return disk.write(at, bytes!);
      case "flush":
        return disk.flush();
      case "discard":
        return disk.discard?.(at, length);
      case "zero":
        return disk.writeZeroes === undefined ? writeZeros(disk, at, length) : disk.writeZeroes(at, length);
      default:
        return;
    }
  }

  /** Reads the header; returns the status if there is nothing to do. */
  #decode(limits: BlkLimits): number {
    const { chain } = this;
    const type = (chain.readUint32(0) & ~BlkRequestType.BARRIER) >>> 0;
    // Exact up to 2^53, and beyond that certainly past the end of every disk.
    const sector = chain.readUint32(12) * 2 ** 32 + chain.readUint32(8);
    const room = chain.writableBytes - 1;
    switch (type) {
      case BlkRequestType.IN:
        this.operation = "read";
        return this.#setRange(limits, sector, room);
      case BlkRequestType.OUT:
        this.operation = "write";
        if (limits.readOnly) return BlkStatus.IOERR;
        return this.#setRange(limits, sector, chain.readableBytes - BLK_HEADER_SIZE);
      case BlkRequestType.FLUSH:
      case BlkRequestType.FLUSH_OUT:
        this.operation = "flush";
        return BlkStatus.OK;
      case BlkRequestType.GET_ID:
        chain.write(0, limits.serial.subarray(0, Math.min(room, BLK_ID_SIZE)));
        return BlkStatus.OK;
      case BlkRequestType.DISCARD:
        this.operation = "discard";
        return this.#decodeRange(limits, limits.maxDiscardSectors, 0);
      case BlkRequestType.WRITE_ZEROES:
        this.operation = "zero";
        return this.#decodeRange(limits, limits.maxWriteZeroesSectors, BLK_RANGE_UNMAP);
      default:
        return BlkStatus.UNSUPP;
    }
  }

  /** Reads the segment of a DISCARD or WRITE_ZEROES request: one, as the configuration space says. */
  #decodeRange(limits: BlkLimits, maxSectors: number | undefined, allowedFlags: number): number {
    const { chain } = this;
    if (maxSectors === undefined || chain.readableBytes > BLK_HEADER_SIZE + BLK_RANGE_SIZE) return BlkStatus.UNSUPP;
    if (chain.readableBytes < BLK_HEADER_SIZE + BLK_RANGE_SIZE) return BlkStatus.IOERR;
    const sector = chain.readUint32(BLK_HEADER_SIZE + 4) * 2 ** 32 + chain.readUint32(BLK_HEADER_SIZE);
    const count = chain.readUint32(BLK_HEADER_SIZE + 8);
    const flags = chain.readUint32(BLK_HEADER_SIZE + 12);
    if (count > maxSectors) return BlkStatus.IOERR;
    const status = this.#setRange(limits, sector, count * SECTOR_SIZE);
    if (status !== BlkStatus.OK) return status;
    if ((flags & ~allowedFlags) !== 0) return BlkStatus.UNSUPP;
    return limits.readOnly && count > 0 ? BlkStatus.IOERR : BlkStatus.OK;
  }

  #setRange(limits: BlkLimits, sector: number, length: number): number {
    const offset = sector * SECTOR_SIZE;
    if (offset % limits.blockSize !== 0 || length % limits.blockSize !== 0) return BlkStatus.IOERR;
    if (offset + length > limits.diskSize) return BlkStatus.IOERR;
    this.#offset = offset;
    this.#length = length;
    if (length === 0) this.operation = "none";
    return BlkStatus.OK;
  }
}

function read(disk: BlockBackend, offset: number, views: readonly Uint8Array[]): void {
  if (disk.readv !== undefined) {
    disk.readv(offset, views);
    return;
  }
  let at = offset;
  for (const view of views) {
    disk.read(at, view);
    at += view.length;
  }
}

function write(disk: BlockBackend, offset: number, views: readonly Uint8Array[]): void {
  if (disk.writev !== undefined) {
    disk.writev(offset, views);
    return;
  }
  let at = offset;
  for (const view of views) {
    disk.write(at, view);
    at += view.length;
  }
}

/** Zeros for a disk that cannot make them itself. */
function writeZeros(disk: BlockBackend, offset: number, length: number): void | Promise<void> {
  let last: Promise<void> | undefined;
  for (let done = 0; done < length; done += ZEROS.length) {
    const piece = ZEROS.subarray(0, Math.min(ZEROS.length, length - done));
    const write = (): void | Promise<void> => disk.write(offset + done, piece);
    last = last === undefined ? (write() ?? undefined) : last.then(write);
  }
  return last;
}
