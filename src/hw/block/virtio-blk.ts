// virtio block device: VIRTIO 1.2, section 5.2. docs/devices/virtio-blk.md tells what it answers.

import { type BlockBackend, BlockError } from "../../backend/block.ts";
import { Drive } from "../../backend/block-drive.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { Timer } from "../../util/clock.ts";
import { UserError } from "../../util/user-error.ts";
import { VirtioDevice, virtioDeviceType } from "../virtio/virtio-device.ts";
import { MAX_QUEUE_SIZE } from "../virtio/virtio-spec.ts";
import type { Virtqueue } from "../virtio/virtqueue.ts";
import type { VirtqueueChain } from "../virtio/virtqueue-chain.ts";
import { type BlkLimits, BlkRequest } from "./blk-request.ts";
import { BLK_ID_SIZE, BlkConfig, BlkFeature } from "./virtio-blk-spec.ts";

const SECTOR_SIZE = 512;

/** The most bytes that are moved before the machine may look after other things, and the most in one piece. */
const BATCH_BYTES = 4 << 20;
const SLICE_BYTES = 1 << 20;

/** What a flush counts for in a batch: it takes the host as long as moving some bytes. */
const FLUSH_COST = SLICE_BYTES;

/** What each request counts for beside its bytes, so that a batch of empty or refused ones ends too. */
const REQUEST_COST = 512;

export const virtioBlkType: TypeInfo = {
  name: "virtio-blk-device",
  parent: virtioDeviceType,
  description: "disk (virtio)",
  properties: {
    drive: { type: "drive", description: "the id of the -drive to show" },
    serial: { type: "str", description: "serial number, of which the driver sees 20 bytes" },
    logical_block_size: { type: "size", default: 512, description: "the smallest unit of access, in bytes" },
    physical_block_size: { type: "size", default: 512, description: "the best unit of access, in bytes" },
    min_io_size: { type: "size", default: 0, description: "the smallest good size of a request, in bytes; 0: unknown" },
    opt_io_size: { type: "size", default: 0, description: "the best size of a request, in bytes; 0: unknown" },
    "num-queues": { type: "uint16", default: 1, description: "number of request queues" },
    "queue-size": { type: "uint16", default: 256, description: "entries of a queue, a power of two" },
    "config-wce": { type: "bool", default: true, description: "let the driver switch the write cache" },
    discard: { type: "bool", default: true, description: "offer DISCARD" },
    "write-zeroes": { type: "bool", default: true, description: "offer WRITE_ZEROES" },
    "max-discard-sectors": { type: "uint32", default: 0x3f_ffff, description: "the most sectors of a DISCARD" },
    "max-write-zeroes-sectors": { type: "uint32", default: 0x3f_ffff, description: "the most of a WRITE_ZEROES" },
  },
  create: (type) => new VirtioBlk(type),
};

interface BlkState {
  readonly writeback: number;
  /** Requests that were taken and not answered: queue and head descriptor. They are done again, from the start. */
  readonly inFlight: readonly (readonly [queue: number, head: number])[];
}

/** The properties that shape the disk, checked. Sizes in bytes, or in blocks where they are called so. */
interface Shape {
  readonly queues: number;
  readonly queueSize: number;
  readonly blockSize: number;
  readonly physicalSize: number;
  readonly minIoBlocks: number;
  readonly optIoBlocks: number;
}

/** A disk on a virtio bus. */
export class VirtioBlk extends VirtioDevice {
  override readonly virtioId = 2;
  #drive: Drive | undefined;
  #disk!: BlockBackend;
  #limits!: BlkLimits;
  #timer!: Timer;
  /** Whether writes must be on the disk before they are answered: the driver has no flush, or switched the cache off. */
  #writeThrough = false;
  /** The request that a batch ended in. */
  #current: BlkRequest | undefined;
  /** Requests that the disk is busy with. */
  readonly #waiting = new Set<BlkRequest>();
  /** Of a disk that takes its time, requests that a reset has made void. New ones wait until they are over. */
  #draining = 0;
  /** Requests of a snapshot that must be taken again. */
  #retakes: (readonly [queue: number, head: number])[] = [];

  protected override onRealize(): void {
    super.onRealize();
    const drive = this.get("drive");
    if (!(drive instanceof Drive)) {
      throw new UserError(`${this.typeInfo.name}: no disk given: say drive=ID with the id of a -drive`);
    }
    const shape = this.#shape();
    this.#disk = drive.attach(this.id === "" ? this.typeInfo.name : `${this.typeInfo.name} "${this.id}"`);
    this.#drive = drive;
    this.#timer = this.timer("requests", () => this.#serve());
    for (let i = 0; i < shape.queues; i++) this.addQueue(shape.queueSize, () => this.#serve());
    this.#setLimits(shape);
    this.#offerFeatures(shape);
    this.#fillConfig(shape);
  }

  protected override onUnrealize(): void {
    super.onUnrealize();
    this.#drive?.detach();
    this.#drive = undefined;
  }

  // --- negotiation

  #setLimits({ blockSize }: Shape): void {
    const serial = new Uint8Array(BLK_ID_SIZE);
    serial.set(new TextEncoder().encode(this.getString("serial")).subarray(0, BLK_ID_SIZE));
    this.#limits = {
      diskSize: this.#disk.size,
      blockSize,
      readOnly: this.#disk.readOnly,
      serial,
      maxDiscardSectors: this.getBool("discard") ? this.getNumber("max-discard-sectors") : undefined,
      maxWriteZeroesSectors: this.getBool("write-zeroes") ? this.getNumber("max-write-zeroes-sectors") : undefined,
    };
  }

  #offerFeatures({ queues }: Shape): void {
    this.offer(BlkFeature.SEG_MAX);
    this.offer(BlkFeature.GEOMETRY);
    this.offer(BlkFeature.RO, this.#disk.readOnly);
    this.offer(BlkFeature.BLK_SIZE);
    this.offer(BlkFeature.FLUSH);
    this.offer(BlkFeature.TOPOLOGY);
    this.offer(BlkFeature.CONFIG_WCE, this.getBool("config-wce"));
    this.offer(BlkFeature.MQ, queues > 1);
    this.offer(BlkFeature.DISCARD, this.#limits.maxDiscardSectors !== undefined);
    this.offer(BlkFeature.WRITE_ZEROES, this.#limits.maxWriteZeroesSectors !== undefined);
  }

  #fillConfig({ queueSize, queues, blockSize, physicalSize, minIoBlocks, optIoBlocks }: Shape): void {
    const config = new DataView(new ArrayBuffer(BlkConfig.size));
    const sectors = Math.floor(this.#disk.size / SECTOR_SIZE);
    config.setBigUint64(BlkConfig.capacity, BigInt(sectors), true);
    // Two descriptors of a chain are the header and the status.
    config.setUint32(BlkConfig.seg_max, queueSize - 2, true);
    // The geometry that everybody makes up for disks without one.
    const cylinders = Math.floor(sectors / (16 * 63));
    config.setUint16(BlkConfig.cylinders, Math.max(2, Math.min(16383, cylinders)), true);
    config.setUint8(BlkConfig.heads, 16);
    config.setUint8(BlkConfig.sectors, 63);
    config.setUint32(BlkConfig.blk_size, blockSize, true);
    config.setUint8(BlkConfig.physical_block_exp, Math.log2(physicalSize / blockSize));
    config.setUint16(BlkConfig.min_io_size, minIoBlocks, true);
    config.setUint32(BlkConfig.opt_io_size, optIoBlocks, true);
    config.setUint8(BlkConfig.writeback, 1);
    config.setUint16(BlkConfig.num_queues, queues, true);
    if (this.#limits.maxDiscardSectors !== undefined) {
      config.setUint32(BlkConfig.max_discard_sectors, this.#limits.maxDiscardSectors, true);
      config.setUint32(BlkConfig.max_discard_seg, 1, true);
      config.setUint32(BlkConfig.discard_sector_alignment, blockSize / SECTOR_SIZE, true);
    }
    if (this.#limits.maxWriteZeroesSectors !== undefined) {
      config.setUint32(BlkConfig.max_write_zeroes_sectors, this.#limits.maxWriteZeroesSectors, true);
      config.setUint32(BlkConfig.max_write_zeroes_seg, 1, true);
      config.setUint8(BlkConfig.write_zeroes_may_unmap, 1);
    }
    this.config = config;
  }

  protected override onConfigWrite(offset: number, value: number): void {
    if (offset !== BlkConfig.writeback) {
      super.onConfigWrite(offset, value);
      return;
    }
    if (!this.has(BlkFeature.CONFIG_WCE)) {
      this.guestError("writeback: VIRTIO_BLK_F_CONFIG_WCE was not negotiated");
      return;
    }
    this.config.setUint8(BlkConfig.writeback, value & 1);
    this.#updateCache();
  }

  protected override onDriverReady(): void {
    this.#updateCache();
  }

  #updateCache(): void {
    this.#writeThrough = this.has(BlkFeature.CONFIG_WCE)
      ? this.config.getUint8(BlkConfig.writeback) === 0
      : !this.has(BlkFeature.FLUSH);
  }

  // --- requests

  /** Takes requests until there are none or a batch is full. */
  #serve(): void {
    if (this.#draining > 0 || this.failed) return;
    let left = BATCH_BYTES;
    for (;;) {
      const request = this.#current ?? this.#next();
      this.#current = undefined;
      if (request === undefined) break;
      if (left <= 0) {
        this.#current = request;
        this.#timer.after(0);
        break;
      }
      left -= this.#disk.synchronous ? this.#work(request, left) : this.#workLater(request);
    }
    for (const queue of this.queues) queue.notify();
  }

  #next(): BlkRequest | undefined {
    // Those that a snapshot found unfinished are done again from the start: reading and writing twice does no harm.
    for (let again = this.#retakes.shift(); again !== undefined; again = this.#retakes.shift()) {
      const queue = this.queues[again[0]];
      const chain = queue?.retake(again[1]);
      if (queue !== undefined && chain !== undefined) return this.#request(queue, chain);
    }
    for (const queue of this.queues) {
      const chain = queue.pop();
      if (chain !== undefined) return this.#request(queue, chain);
    }
    return undefined;
  }

  #request(queue: Virtqueue, chain: VirtqueueChain): BlkRequest | undefined {
    const problem = BlkRequest.problem(chain);
    if (problem === undefined) return new BlkRequest(queue, chain, this.#limits);
    this.fail(`queue ${queue.index}: ${problem}`);
    return undefined;
  }

  /** Works at a request until it is done or `limit` bytes are moved; returns what that counts for. */
  #work(request: BlkRequest, limit: number): number {
    let cost = REQUEST_COST;
    try {
      while (!request.finished) {
        if (cost >= limit) {
          this.#current = request;
          return cost;
        }
        if (request.operation === "flush") cost += FLUSH_COST;
        cost += request.advance(this.#disk, Math.min(SLICE_BYTES, limit));
      }
      if (request.changes && this.#writeThrough) {
        cost += FLUSH_COST;
        this.#disk.flush();
      }
    } catch (error) {
      this.#hostFailed(request, error);
    }
    request.finish();
    return cost;
  }

  #workLater(request: BlkRequest): number {
    if (request.finished) {
      request.finish();
      return REQUEST_COST;
    }
    this.#waiting.add(request);
    // What is thrown here is a bug, not the host's failure: it surfaces as an unhandled rejection.
    void this.#finishLater(request);
    return REQUEST_COST;
  }

  async #finishLater(request: BlkRequest): Promise<void> {
    const stale = (): boolean => !this.#waiting.has(request);
    try {
      while (!request.finished && !stale()) await request.advanceLater(this.#disk, SLICE_BYTES, stale);
      if (request.changes && this.#writeThrough && !stale()) await this.#disk.flush();
    } catch (error) {
      this.#hostFailed(request, error);
    }
    if (this.#waiting.delete(request)) {
      request.finish();
      request.queue.notify();
    } else if (--this.#draining === 0) this.#serve();
  }

  #hostFailed(request: BlkRequest, error: unknown): void {
    if (!(error instanceof BlockError)) throw error;
    this.guestError(`the guest gets an I/O error: ${error.message}`);
    request.fail();
  }

  protected override onVirtioReset(): void {
    for (const queue of this.queues) this.onQueueReset(queue);
    this.#timer?.cancel();
    this.#writeThrough = false;
    if (this.config.byteLength > 0) this.config.setUint8(BlkConfig.writeback, 1);
  }

  protected override onQueueReset(queue: Virtqueue): void {
    if (this.#current?.queue === queue) this.#current = undefined;
    this.#retakes = this.#retakes.filter(([index]) => index !== queue.index);
    for (const request of this.#waiting) {
      if (request.queue === queue && this.#waiting.delete(request)) this.#draining++;
    }
  }

  // --- snapshots

  protected override saveDevice(): BlkState {
    const requests = [...this.#waiting];
    if (this.#current !== undefined) requests.unshift(this.#current);
    const inFlight = requests.map(({ queue, chain }) => [queue.index, chain.head] as const);
    return { writeback: this.config.getUint8(BlkConfig.writeback), inFlight: [...this.#retakes, ...inFlight] };
  }

  protected override loadDevice(saved: unknown): void {
    const state = saved as BlkState;
    this.config.setUint8(BlkConfig.writeback, state.writeback);
    if (this.driverReady) this.#updateCache();
    this.#retakes = [...state.inFlight];
    // Later: the guest's memory need not be there yet.
    if (this.live) this.#timer.after(0);
  }

  // --- properties

  #shape(): Shape {
    const queues = this.getNumber("num-queues");
    if (queues < 1 || queues > MAX_QUEUE_SIZE) {
      throw new UserError(`${this.typeInfo.name}.num-queues: ${queues} is not between 1 and ${MAX_QUEUE_SIZE}`);
    }
    const queueSize = this.#powerOfTwo("queue-size", this.getNumber("queue-size"), 4, MAX_QUEUE_SIZE);
    const blockSize = this.#powerOfTwo("logical_block_size", this.getBigint("logical_block_size"), 512, 2 << 20);
    const physical = this.#powerOfTwo("physical_block_size", this.getBigint("physical_block_size"), 512, 2 << 20);
    const minIoBlocks = this.#blocks("min_io_size", blockSize, 0xffff);
    const optIoBlocks = this.#blocks("opt_io_size", blockSize, 0xffff_ffff);
    return { queues, queueSize, blockSize, physicalSize: Math.max(physical, blockSize), minIoBlocks, optIoBlocks };
  }

  #powerOfTwo(name: string, given: number | bigint, min: number, max: number): number {
    const value = Number(given);
    if (value < min || value > max || 2 ** Math.floor(Math.log2(value)) !== value) {
      throw new UserError(`${this.typeInfo.name}.${name}: ${given} is no power of two from ${min} to ${max}`);
    }
    return value;
  }

  /** A size property in blocks. */
  #blocks(name: string, blockSize: number, max: number): number {
    const blocks = Number(this.getBigint(name)) / blockSize;
    if (!Number.isInteger(blocks) || blocks > max) {
      throw new UserError(
        `${this.typeInfo.name}.${name}: ${this.getBigint(name)} is no multiple of ${blockSize} up to ${max * blockSize}`,
      );
    }
    return blocks;
  }
}
