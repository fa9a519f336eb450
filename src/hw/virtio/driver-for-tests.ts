// A virtio driver for tests: it does with registers and rings what a guest's driver does, and what one should not do.

import { testHost } from "../../device/host-for-tests.ts";
import { MemoryRegion } from "../../memory/region.ts";
import { QomObject } from "../../qom/object.ts";
import type { VirtioDevice } from "./virtio-device.ts";
import { VirtioMmio, virtioMmioType } from "./virtio-mmio.ts";

export const RAM_BASE = 0x8000_0000;
export const RAM_SIZE = 4 << 20;
/** Where the virt board has its last transport. */
export const MMIO_BASE = 0x1000_8000;

const RING_AREA = RAM_BASE + 0x10_0000;
const BUFFER_AREA = RAM_BASE + 0x20_0000;
const PAGE_SIZE = 4096;

/** What a driver reaches: the memory of a board, ours or another one's. */
export interface Bus {
  read(address: number, size: 1 | 2 | 4): number;
  write(address: number, size: 1 | 2 | 4, value: number): void;
  readBytes(address: number, length: number): Uint8Array;
  writeBytes(address: number, bytes: Uint8Array): void;
  /** Waits until the 16 bits at `address` are `value`. */
  wait(address: number, value: number): void;
}

/** A board with some RAM and one transport. */
export class VirtioBoard implements Bus {
  readonly host = testHost();
  readonly clock = this.host.clock;
  readonly memory = this.host.memory;
  /** Guest errors. */
  readonly log = this.host.guestErrors;
  /** Where regions go. */
  readonly root = this.host.system;
  readonly ram = new Uint8Array(RAM_SIZE);
  readonly transport = new VirtioMmio(virtioMmioType);
  readonly tree = new QomObject({ name: "board" });
  /** The level of the transport's interrupt, and how often it rose. */
  irq = false;
  interrupts = 0;
  /** @param modern whether the transport speaks version 2 */
  constructor(modern: boolean) {
    this.root.addSubregion(BigInt(RAM_BASE), MemoryRegion.ram("ram", this.ram));
    this.transport.set("force-legacy", !modern);
    this.tree.addChild("transport", this.transport);
    this.transport.realize(this.host);
    this.transport.connectIrq(0, (level) => {
      if (level && !this.irq) this.interrupts++;
      this.irq = level;
    });
    this.root.addSubregion(BigInt(MMIO_BASE), this.transport.mmio[0]!);
  }

  /** Plugs a device in and brings it to life. */
  plug<T extends VirtioDevice>(device: T): T {
    this.transport.plug(device);
    this.tree.addChild("device", device);
    device.realize(this.host);
    return device;
  }

  read(address: number, size: 1 | 2 | 4): number {
    return this.memory.load(address, size);
  }

  write(address: number, size: 1 | 2 | 4, value: number): void {
    this.memory.store(address, size, value, 0);
  }

  readBytes(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.memory.readBytes(address, bytes);
    return bytes;
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    this.memory.writeBytes(address, bytes);
  }

  wait(address: number, value: number): void {
    if (this.read(address, 2) !== value) this.clock.advance(1_000_000);
  }
}

/** A buffer of a chain: bytes that the device may read, or the number of those it may write. */
export type Buffer = Uint8Array | number;

/** A descriptor as it lies in memory. */
export interface Descriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

/** What came back for a chain: the length that the device gave, and the bytes of the writable buffers. */
export interface Answer {
  readonly length: number;
  readonly buffers: Uint8Array[];
}

/** A driver on registers at `base`. */
export class TestDriver {
  readonly bus: Bus;
  readonly base: number;
  readonly modern: boolean;
  readonly #queues: TestQueue[] = [];
  #nextRing = RING_AREA;

  constructor(bus: Bus, modern: boolean, base = MMIO_BASE) {
    this.bus = bus;
    this.modern = modern;
    this.base = base;
  }

  reg(offset: number): number {
    return this.bus.read(this.base + offset, 4);
  }

  setReg(offset: number, value: number): void {
    this.bus.write(this.base + offset, 4, value);
  }

  config(offset: number, size: 1 | 2 | 4): number {
    return this.bus.read(this.base + 0x100 + offset, size);
  }

  setConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.bus.write(this.base + 0x100 + offset, size, value);
  }

  get status(): number {
    return this.reg(0x070);
  }

  get features(): bigint {
    this.setReg(0x014, 0);
    const low = this.reg(0x010);
    this.setReg(0x014, 1);
    return (BigInt(this.reg(0x010)) << 32n) | BigInt(low);
  }

  /** Resets the device and negotiates features, `accepted` of those offered (all bits if not given). */
  negotiate(accepted: bigint = -1n): void {
    if (!this.modern) this.setReg(0x028, PAGE_SIZE);
    this.setReg(0x070, 0);
    this.setReg(0x070, 1);
    this.setReg(0x070, 3);
    const features = this.features & accepted;
    for (const word of this.modern ? [1, 0] : [0]) {
      this.setReg(0x024, word);
      this.setReg(0x020, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
    if (this.modern) this.setReg(0x070, 0x0b);
  }

  /** Sets DRIVER_OK. */
  start(): void {
    this.setReg(0x070, this.modern ? 0x0f : 0x07);
  }

  /** Makes a queue of `size` entries, with the legacy layout in both interfaces. */
  queue(index: number, size: number): TestQueue {
    const descriptors = this.#nextRing;
    this.#nextRing += 0x1_0000;
    this.bus.writeBytes(descriptors, new Uint8Array(0x1_0000));
    const queue = new TestQueue(this, index, size, descriptors);
    this.#queues.push(queue);
    this.setReg(0x030, index);
    this.setReg(0x038, size);
    if (this.modern) {
      this.setReg(0x080, queue.descriptors);
      this.setReg(0x090, queue.available);
      this.setReg(0x0a0, queue.used);
      this.setReg(0x044, 1);
    } else {
      this.setReg(0x03c, PAGE_SIZE);
      this.setReg(0x040, descriptors / PAGE_SIZE);
    }
    return queue;
  }

  /** Acknowledges all interrupts, asking for the next one of each queue; returns what they were. */
  acknowledge(): number {
    const status = this.reg(0x060);
    this.setReg(0x064, status);
    for (const queue of this.#queues) queue.setUsedEvent(queue.usedIndex);
    return status;
  }
}

/** A queue from the driver's side. Chains use descriptors 0 and up of their own, so one is in flight at a time. */
export class TestQueue {
  readonly index: number;
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  readonly #driver: TestDriver;
  readonly #bus: Bus;
  #added = 0;
  #nextDescriptor = 0;
  #nextBuffer = BUFFER_AREA;

  constructor(driver: TestDriver, index: number, size: number, descriptors: number) {
    this.#driver = driver;
    this.#bus = driver.bus;
    this.index = index;
    this.size = size;
    this.descriptors = descriptors;
    this.available = descriptors + 16 * size;
    this.used = Math.ceil((this.available + 2 * (3 + size)) / PAGE_SIZE) * PAGE_SIZE;
  }

  /** Writes a descriptor, into the queue's table or another one. */
  describe(index: number, descriptor: Descriptor, table = this.descriptors): void {
    const bytes = new DataView(new ArrayBuffer(16));
    bytes.setBigUint64(0, BigInt.asUintN(64, BigInt(descriptor.address)), true);
    bytes.setUint32(8, descriptor.length, true);
    bytes.setUint16(12, descriptor.flags, true);
    bytes.setUint16(14, descriptor.next, true);
    this.#bus.writeBytes(table + 16 * index, new Uint8Array(bytes.buffer));
  }

  /** Makes the chain from descriptor `head` on available, without a notification. */
  offer(head: number): void {
    const slot = this.available + 4 + 2 * (this.#added % this.size);
    this.#bus.write(slot, 2, head);
    this.#added = (this.#added + 1) & 0xffff;
    this.setAvailableIndex(this.#added);
  }

  setAvailableIndex(index: number): void {
    this.#bus.write(this.available + 2, 2, index);
  }

  setAvailableFlags(flags: number): void {
    this.#bus.write(this.available, 2, flags);
  }

  kick(): void {
    this.#driver.setReg(0x050, this.index);
  }

  /** Asks for an interrupt when the used index goes past `index`. */
  setUsedEvent(index: number): void {
    this.#bus.write(this.available + 4 + 2 * this.size, 2, index);
  }

  /** What the device wants to be notified of, with VIRTIO_F_EVENT_IDX. */
  get availableEvent(): number {
    return this.#bus.read(this.used + 4 + 8 * this.size, 2);
  }

  get usedIndex(): number {
    return this.#bus.read(this.used + 2, 2);
  }

  /** The entry of the used ring that was filled as number `n`. */
  usedEntry(n: number): { readonly head: number; readonly length: number } {
    const at = this.used + 4 + 8 * (n % this.size);
    return { head: this.#bus.read(at, 4), length: this.#bus.read(at + 4, 4) };
  }

  /** Puts buffers into memory and describes them as a chain; returns its head and where the writable ones are. */
  lay(buffers: readonly Buffer[]): {
    readonly head: number;
    readonly writable: readonly (readonly [number, number])[];
  } {
    const first = this.#nextDescriptor;
    const writable: [number, number][] = [];
    for (const [i, buffer] of buffers.entries()) {
      const last = i === buffers.length - 1;
      const length = typeof buffer === "number" ? buffer : buffer.length;
      const flags = (last ? 0 : 1) | (typeof buffer === "number" ? 2 : 0);
      const index = (first + i) % this.size;
      this.describe(index, { address: this.#nextBuffer, length, flags, next: (index + 1) % this.size });
      if (typeof buffer === "number") {
        writable.push([this.#nextBuffer, length]);
        this.#bus.writeBytes(this.#nextBuffer, new Uint8Array(length).fill(0xee));
      } else this.#bus.writeBytes(this.#nextBuffer, buffer);
      this.#nextBuffer += length + 64;
    }
    this.#nextDescriptor = (first + buffers.length) % this.size;
    if (this.#nextBuffer > RAM_BASE + RAM_SIZE - 0x8_0000) this.#nextBuffer = BUFFER_AREA;
    return { head: first, writable };
  }

  /** Sends a chain and waits for the answer. */
  request(buffers: readonly Buffer[]): Answer {
    const { head, writable } = this.lay(buffers);
    this.offer(head);
    this.kick();
    this.#bus.wait(this.used + 2, this.#added);
    const entry = this.usedEntry(this.#added - 1 + 0x1_0000);
    return { length: entry.length, buffers: writable.map(([at, length]) => this.#bus.readBytes(at, length)) };
  }
}
