// Split virtqueues, device side: VIRTIO 1.2, section 2.7, and its legacy layout (2.7.2). docs/design/virtio.md tells
// what a hostile guest can do here, and what happens then.

import type { GuestRam } from "./guest-ram.ts";
import { DescriptorFlag, MAX_QUEUE_SIZE } from "./virtio-spec.ts";
import { VirtqueueChain } from "./virtqueue-chain.ts";

const DESCRIPTOR_SIZE = 16;
/** In avail.flags: the driver wants no interrupts. */
const NO_INTERRUPT = 1;
/** In used.flags: the device wants no notifications. */
const NO_NOTIFY = 1;

/** What a queue needs of its device. */
export interface VirtqueueOwner {
  readonly ram: GuestRam;
  /** The guest broke the rules: nothing more is taken from any queue until the device is reset. */
  fail(message: string): void;
  readonly failed: boolean;
  /** Negotiated VIRTIO_F_EVENT_IDX. */
  readonly eventIdx: boolean;
  /** Negotiated VIRTIO_F_INDIRECT_DESC. */
  readonly indirect: boolean;
  /** Sends the driver a used buffer notification. */
  interrupt(queue: Virtqueue): void;
}

/** A queue's state, as a snapshot holds it. */
export interface VirtqueueState {
  readonly size: number;
  readonly enabled: boolean;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  readonly lastAvailable: number;
  readonly usedIndex: number;
  readonly signalled: number | undefined;
  readonly undecided: boolean;
  readonly inUse: number;
  readonly notifications: boolean;
}

/** Views on the three parts of a queue. */
interface Rings {
  readonly descriptors: DataView;
  readonly available: DataView;
  readonly used: DataView;
}

/**
 * One queue. The transport gives it a size and addresses and enables it; the device takes chains with `pop`, returns
 * them with `push`, and calls `notify` once it has returned a batch.
 */
export class Virtqueue {
  readonly index: number;
  /** Called when the driver says that there are buffers. */
  readonly handle: (queue: Virtqueue) => void;
  /** Entries; 0 is impossible. */
  size: number;
  /** Addresses of the three parts while the queue is enabled. */
  descriptors = 0;
  available = 0;
  used = 0;

  readonly #owner: VirtqueueOwner;
  readonly #initialSize: number;
  readonly #spare: VirtqueueChain[] = [];
  #enabled = false;
  #epoch = 0;
  #rings: Rings | undefined;
  /** The memory map that `#rings` belong to. */
  #map: object | undefined;
  /** Running index, modulo 2^16, of the next available entry to take. */
  #lastAvailable = 0;
  /** Running index, modulo 2^16, of the next used entry to fill. */
  #usedIndex = 0;
  /** The used index at the last decision on an interrupt; undefined before the first. */
  #signalled: number | undefined;
  /** Whether chains were returned since then. */
  #undecided = false;
  /** Chains taken and not yet returned. */
  #inUse = 0;
  #notifications = true;

  constructor(owner: VirtqueueOwner, index: number, size: number, handle: (queue: Virtqueue) => void) {
    this.#owner = owner;
    this.index = index;
    this.#initialSize = size;
    this.size = size;
    this.handle = handle;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  // --- for transports

  /** Sets the number of entries while the queue is off; an impossible one fails the device. */
  resize(size: number): void {
    if (this.#enabled) {
      this.#fail(`its size was set to ${size} while it is in use`);
      return;
    }
    if (size < 1 || size > MAX_QUEUE_SIZE || (size & (size - 1)) !== 0) {
      this.#fail(`a size of ${size} is no power of two from 1 to ${MAX_QUEUE_SIZE}`);
      return;
    }
    this.size = size;
  }

  /** Turns the queue on, with its parts at these addresses. */
  enable(descriptors: number, available: number, used: number): void {
    if (descriptors % 16 !== 0 || available % 2 !== 0 || used % 4 !== 0) {
      this.#fail(`the ring addresses ${hex(descriptors)}, ${hex(available)}, ${hex(used)} are not aligned`);
      return;
    }
    this.descriptors = descriptors;
    this.available = available;
    this.used = used;
    this.#enabled = true;
    this.#rings = undefined;
    if (this.#ring() === undefined) this.#enabled = false;
  }

  /** Turns the queue off and forgets all of it; chains still taken are worth nothing afterwards. */
  reset(): void {
    this.#enabled = false;
    this.#epoch++;
    this.#rings = undefined;
    this.size = this.#initialSize;
    this.descriptors = 0;
    this.available = 0;
    this.used = 0;
    this.#lastAvailable = 0;
    this.#usedIndex = 0;
    this.#signalled = undefined;
    this.#undecided = false;
    this.#inUse = 0;
    this.#notifications = true;
  }

  /** Negotiation changed what the rings look like. */
  featuresChanged(): void {
    this.#rings = undefined;
  }

  // --- for devices

  /**
   * Takes the next chain, undefined if there is none (or the queue is off, or the device has failed). Finding none also
   * asks for a notification of the next one.
   */
  pop(): VirtqueueChain | undefined {
    const rings = this.#ring();
    if (rings === undefined) return undefined;
    const waiting = (rings.available.getUint16(2, true) - this.#lastAvailable) & 0xffff;
    if (waiting === 0) {
      this.#askForNotification(rings);
      return undefined;
    }
    if (waiting > this.size) {
      this.#fail(`the driver made ${waiting} chains available in a queue of ${this.size}`);
      return undefined;
    }
    if (this.#inUse >= this.size) {
      this.#fail(`more chains are in flight than its ${this.size} entries`);
      return undefined;
    }
    const head = rings.available.getUint16(4 + 2 * (this.#lastAvailable & (this.size - 1)), true);
    const chain = this.#parse(rings, head);
    if (chain !== undefined) {
      this.#lastAvailable = (this.#lastAvailable + 1) & 0xffff;
      this.#inUse++;
    }
    return chain;
  }

  /** Takes a chain again that was in flight when a snapshot was made. */
  retake(head: number): VirtqueueChain | undefined {
    const rings = this.#ring();
    return rings === undefined ? undefined : this.#parse(rings, head);
  }

  /** Puts back a chain that `pop` took and nothing was written to; the last one first. */
  unpop(chain: VirtqueueChain): void {
    this.#spare.push(chain);
    if (chain.epoch !== this.#epoch) return;
    this.#lastAvailable = (this.#lastAvailable - 1) & 0xffff;
    this.#inUse--;
  }

  /** Returns a chain to the driver, into which `written` bytes were written from the start. */
  push(chain: VirtqueueChain, written: number): void {
    this.#spare.push(chain);
    if (chain.epoch !== this.#epoch) return;
    this.#inUse--;
    const rings = this.#ring();
    if (rings === undefined) return;
    const entry = 4 + 8 * (this.#usedIndex & (this.size - 1));
    rings.used.setUint32(entry, chain.head, true);
    rings.used.setUint32(entry + 4, written, true);
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    rings.used.setUint16(2, this.#usedIndex, true);
    this.#undecided = true;
    this.#owner.ram.written(this.used + 2, entry + 6);
  }

  /** Interrupts the driver if it wants that for what was returned since the last call. */
  notify(): void {
    const rings = this.#ring();
    if (rings === undefined || !this.#undecided) return;
    const last = this.#signalled;
    this.#signalled = this.#usedIndex;
    this.#undecided = false;
    if (this.#owner.eventIdx) {
      const usedEvent = rings.available.getUint16(4 + 2 * this.size, true);
      // Whether the index that the driver waits for is among those passed since the last decision.
      const returned = (this.#usedIndex - (last ?? 0)) & 0xffff;
      if (last !== undefined && ((this.#usedIndex - usedEvent - 1) & 0xffff) >= returned) return;
    } else if ((rings.available.getUint16(0, true) & NO_INTERRUPT) !== 0) return;
    this.#owner.interrupt(this);
  }

  /** Whether the driver should notify the device of new buffers: a hint, not a promise. */
  setNotifications(wanted: boolean): void {
    if (wanted === this.#notifications) return;
    this.#notifications = wanted;
    const rings = this.#ring();
    if (rings === undefined) return;
    if (this.#owner.eventIdx) {
      if (wanted) this.#askForNotification(rings);
    } else {
      rings.used.setUint16(0, wanted ? 0 : NO_NOTIFY, true);
      this.#owner.ram.written(this.used, 2);
    }
  }

  // --- snapshots

  save(): VirtqueueState {
    const { size, descriptors, available, used } = this;
    return {
      size,
      enabled: this.#enabled,
      descriptors,
      available,
      used,
      lastAvailable: this.#lastAvailable,
      usedIndex: this.#usedIndex,
      signalled: this.#signalled,
      undecided: this.#undecided,
      inUse: this.#inUse,
      notifications: this.#notifications,
    };
  }

  load(state: VirtqueueState): void {
    this.reset();
    this.size = state.size;
    this.#enabled = state.enabled;
    this.descriptors = state.descriptors;
    this.available = state.available;
    this.used = state.used;
    this.#lastAvailable = state.lastAvailable;
    this.#usedIndex = state.usedIndex;
    this.#signalled = state.signalled;
    this.#undecided = state.undecided;
    this.#inUse = state.inUse;
    this.#notifications = state.notifications;
  }

  // --- inside

  /** The rings, if the queue can be used. */
  #ring(): Rings | undefined {
    if (!this.#enabled || this.#owner.failed) return undefined;
    const { ram, eventIdx } = this.#owner;
    if (this.#rings !== undefined && this.#map === ram.map) return this.#rings;
    const eventSize = eventIdx ? 2 : 0;
    const descriptors = ram.ring(this.descriptors, DESCRIPTOR_SIZE * this.size);
    const available = ram.ring(this.available, 4 + 2 * this.size + eventSize);
    const used = ram.ring(this.used, 4 + 8 * this.size + eventSize);
    if (descriptors === undefined || available === undefined || used === undefined) {
      const addresses = `${hex(this.descriptors)}, ${hex(this.available)}, ${hex(this.used)}`;
      this.#fail(`its rings of ${this.size} entries at ${addresses} are not in RAM`);
      return undefined;
    }
    this.#map = ram.map;
    this.#rings = { descriptors, available, used };
    return this.#rings;
  }

  #askForNotification(rings: Rings): void {
    if (!this.#notifications || !this.#owner.eventIdx) return;
    const availableEvent = 4 + 8 * this.size;
    if (rings.used.getUint16(availableEvent, true) === this.#lastAvailable) return;
    rings.used.setUint16(availableEvent, this.#lastAvailable, true);
    this.#owner.ram.written(this.used + availableEvent, 2);
  }

  /** Reads the chain that begins at descriptor `head`, checking all of it. */
  #parse(rings: Rings, head: number): VirtqueueChain | undefined {
    const chain = this.#spare.pop() ?? new VirtqueueChain(this.#owner.ram);
    chain.start(head, this.#epoch);
    const problem = this.#collect(rings, chain);
    if (problem === undefined) return chain;
    this.#spare.push(chain);
    this.#fail(problem);
    return undefined;
  }

  /** Adds the segments from descriptor `chain.head` on; returns what is wrong with them, if anything is. */
  #collect(rings: Rings, chain: VirtqueueChain): string | undefined {
    let table = rings.descriptors;
    let entries = this.size;
    let index = chain.head;
    let indirect = false;
    let seen = 0;
    for (;;) {
      if (index >= entries) return `descriptor ${index} is past the end of a table of ${entries}`;
      if (++seen > entries) return `the descriptor chain from ${chain.head} on does not end`;
      const at = index * DESCRIPTOR_SIZE;
      const addressLow = table.getUint32(at, true);
      const addressHigh = table.getUint32(at + 4, true);
      const address = addressHigh * 2 ** 32 + addressLow;
      const length = table.getUint32(at + 8, true);
      const flags = table.getUint16(at + 12, true);
      if ((flags & DescriptorFlag.INDIRECT) === 0) {
        // Above 2^53 the address is rounded, but there is no RAM anyway.
        const problem = this.#addSegments(chain, address, length, (flags & DescriptorFlag.WRITE) !== 0);
        if (problem !== undefined) return problem;
        if ((flags & DescriptorFlag.NEXT) === 0) return undefined;
        index = table.getUint16(at + 14, true);
        continue;
      }
      if (!this.#owner.indirect) return `descriptor ${index} is indirect, which was not negotiated`;
      if (indirect) return `descriptor ${index} of an indirect table is indirect itself`;
      if ((flags & DescriptorFlag.NEXT) !== 0) return `descriptor ${index} is indirect and has a next one`;
      if (length === 0 || length % DESCRIPTOR_SIZE !== 0) {
        return `the indirect table at ${hex(address)} has ${length} bytes, no multiple of ${DESCRIPTOR_SIZE}`;
      }
      const view = this.#owner.ram.ring(address, length);
      if (view === undefined) return `the indirect table at ${hex(address)}, ${length} bytes, is not in RAM`;
      table = view;
      entries = length / DESCRIPTOR_SIZE;
      index = 0;
      indirect = true;
      seen = 0;
    }
  }

  /** Adds one buffer, in pieces where it crosses from one RAM region to the next. */
  #addSegments(chain: VirtqueueChain, address: number, length: number, writable: boolean): string | undefined {
    if (length === 0) return `a buffer at ${hex(address)} has no bytes`;
    if (!writable && chain.writableBytes > 0) return `a readable buffer at ${hex(address)} follows a writable one`;
    const { ram } = this.#owner;
    for (let at = address, left = length; left > 0; ) {
      if (!ram.seek(at) || (writable && !ram.writable)) {
        return `a buffer at ${hex(address)}, ${length} bytes, is not in ${writable ? "writable " : ""}RAM`;
      }
      if (chain.count >= MAX_QUEUE_SIZE) return `a chain has more than ${MAX_QUEUE_SIZE} buffers`;
      const piece = Math.min(left, ram.end - at);
      chain.add(at, piece, writable);
      at += piece;
      left -= piece;
    }
    return undefined;
  }

  #fail(problem: string): void {
    this.#owner.fail(`queue ${this.index}: ${problem}`);
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
