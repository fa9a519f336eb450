// The wire to the guest: Ethernet framing (IEEE 802.3 with EtherTypes) and the queue of frames that the guest has yet
// to take. Everything goes through the queue, so that the stack is never entered again while it is at work, and so that
// a guest without receive buffers holds up its own traffic and nothing else.

import type { NetClient } from "../net.ts";

/** The longest IP packet on the link, in bytes. */
export const MTU = 1500;
export const ETHERNET_HEADER = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
/** Shorter frames are padded with zeros (60 bytes and the frame check sequence that is not there). */
const SHORTEST_FRAME = 60;
/** Frames that can wait for the guest. */
const SLOTS = 256;
/** Slots that only short packets may use (acknowledgements, ARP, DHCP), so that bulk data cannot hold them up. */
const RESERVED = 16;

export const BROADCAST_MAC: Uint8Array = Uint8Array.of(255, 255, 255, 255, 255, 255);

/** A frame being built. */
export interface FrameSlot {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** The queue of frames for the guest. */
export class Link {
  /** Called when frames have gone out and bulk data may use the queue again. */
  onRoom: () => void = () => {};
  readonly #slots: FrameSlot[] = [];
  readonly #lengths = new Uint16Array(SLOTS);
  #head = 0;
  #count = 0;
  #taken = 0;
  #client: NetClient | undefined;
  #blocked = false;
  #draining = false;

  /** Frames are delivered to this client; those sent before are gone. */
  attach(client: NetClient): void {
    this.#client = client;
    this.#blocked = false;
  }

  /** Slots left for bulk data. */
  get bulkRoom(): number {
    return SLOTS - RESERVED - this.#count;
  }

  /** Frames queued since the beginning, and those of them that the guest has taken. */
  get queued(): number {
    return this.#taken + this.#count;
  }

  get taken(): number {
    return this.#taken;
  }

  /** The slot for the next frame, undefined when the queue is full. It is not queued before `commit`. */
  acquire(): FrameSlot | undefined {
    if (this.#count === SLOTS) return undefined;
    const index = (this.#head + this.#count) % SLOTS;
    return (this.#slots[index] ??= newSlot());
  }

  /** Queues the slot that `acquire` gave last, with its Ethernet header filled in. `length` is that of the whole frame. */
  commit(slot: FrameSlot, destination: Uint8Array, source: Uint8Array, etherType: number, length: number): void {
    const { bytes, view } = slot;
    bytes.set(destination, 0);
    bytes.set(source, 6);
    view.setUint16(12, etherType);
    if (length < SHORTEST_FRAME) bytes.fill(0, length, SHORTEST_FRAME);
    this.#lengths[(this.#head + this.#count) % SLOTS] = Math.max(length, SHORTEST_FRAME);
    this.#count++;
  }

  /** Hands the queue to the guest as far as it takes frames. Calls from inside a delivery leave it to the outer one. */
  drain(): void {
    if (this.#draining) return;
    const client = this.#client;
    if (client === undefined) {
      this.#taken += this.#count;
      this.#count = 0;
      return;
    }
    this.#draining = true;
    try {
      while (!this.#blocked && this.#count > 0) {
        const length = this.#lengths[this.#head]!;
        if (!client.receive(this.#slots[this.#head]!.bytes.subarray(0, length))) {
          this.#blocked = true;
          break;
        }
        // close() in the middle of a delivery leaves nothing to take off.
        if (this.#count === 0) break;
        this.#head = (this.#head + 1) % SLOTS;
        this.#count--;
        this.#taken++;
        if (this.#count === 0 || this.#count === SLOTS / 2) this.onRoom();
      }
    } finally {
      this.#draining = false;
    }
  }

  /** The client has room again. */
  resume(): void {
    this.#blocked = false;
    this.drain();
  }

  /** Forgets the client and all that was queued. */
  close(): void {
    this.#client = undefined;
    this.#count = 0;
    this.onRoom = () => {};
  }
}

function newSlot(): FrameSlot {
  const bytes = new Uint8Array(ETHERNET_HEADER + MTU);
  return { bytes, view: new DataView(bytes.buffer) };
}
