// IPv4 (RFC 791): checks what comes in, and builds, fragments and addresses what goes out.

import { BROADCAST_ADDRESS, macOf } from "./address.ts";
import type { Arp } from "./arp.ts";
import { foldChecksum, sumWords } from "./checksum.ts";
import type { NetCounters } from "./counters.ts";
import { BROADCAST_MAC, ETHERNET_HEADER, ETHERTYPE_IPV4, type FrameSlot, type Link, MTU } from "./link.ts";

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** Bytes of the header that we send: no options. */
const IPV4_HEADER = 20;
/** Where the payload begins in a frame that we build. */
export const PAYLOAD_OFFSET = ETHERNET_HEADER + IPV4_HEADER;
const DEFAULT_TTL = 64;
const MORE_FRAGMENTS = 0x2000;
/** Frames that wait for the guest's Ethernet address, and how long (ms). */
const WAITING = 32;
const WAITING_TIME = 5000;

/** A packet that came in, in place: offsets are into `bytes`. One object serves all packets. */
export class Ipv4Packet {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Where the IP header begins, and its length with options. */
  offset = 0;
  headerLength = 0;
  payloadOffset = 0;
  payloadLength = 0;
  source = 0;
  destination = 0;
  protocol = 0;
  ttl = 0;
  identification = 0;
  /** Offset of this fragment's payload in the datagram, in bytes. */
  fragmentOffset = 0;
  moreFragments = false;

  /** Whether the packet is one piece of a longer one. */
  get isFragment(): boolean {
    return this.moreFragments || this.fragmentOffset !== 0;
  }

  /** Reads and checks the header at `offset`: undefined if it is right, else the counter of what is wrong. */
  parse(bytes: Uint8Array, view: DataView, offset: number): "malformed" | "badChecksum" | undefined {
    const available = bytes.length - offset;
    if (available < IPV4_HEADER || view.getUint8(offset) >>> 4 !== 4) return "malformed";
    const headerLength = (view.getUint8(offset) & 15) * 4;
    const totalLength = view.getUint16(offset + 2);
    if (headerLength < IPV4_HEADER || totalLength < headerLength || totalLength > available) return "malformed";
    if (foldChecksum(sumWords(view, offset, headerLength, 0)) !== 0) return "badChecksum";
    this.bytes = bytes;
    this.view = view;
    this.offset = offset;
    this.headerLength = headerLength;
    this.payloadOffset = offset + headerLength;
    this.payloadLength = totalLength - headerLength;
    this.identification = view.getUint16(offset + 4);
    const fragment = view.getUint16(offset + 6);
    this.moreFragments = (fragment & MORE_FRAGMENTS) !== 0;
    this.fragmentOffset = (fragment & 0x1fff) * 8;
    this.ttl = view.getUint8(offset + 8);
    this.protocol = view.getUint8(offset + 9);
    this.source = view.getUint32(offset + 12);
    this.destination = view.getUint32(offset + 16);
    return undefined;
  }
}

interface WaitingFrame {
  readonly destination: number;
  readonly bytes: Uint8Array;
  readonly since: number;
}

/** Sends IPv4 packets to the guest. */
export class Ipv4Sender {
  readonly #link: Link;
  readonly #arp: Arp;
  readonly #mac: Uint8Array;
  readonly #counters: NetCounters;
  readonly #now: () => number;
  #waiting: WaitingFrame[] = [];
  #identification = 0;

  /** `router` is the address whose Ethernet address all packets carry. */
  constructor(link: Link, arp: Arp, router: number, counters: NetCounters, now: () => number) {
    this.#link = link;
    this.#arp = arp;
    this.#mac = macOf(router);
    this.#counters = counters;
    this.#now = now;
    arp.onLearned = (address) => this.#release(address);
  }

  /** A frame to build a packet in, its payload from `PAYLOAD_OFFSET`; undefined (and counted) when the queue is full. */
  begin(): FrameSlot | undefined {
    const slot = this.#link.acquire();
    if (slot === undefined) this.#counters.queueFull++;
    return slot;
  }

  /** Completes and queues the packet begun last. */
  finish(
    slot: FrameSlot,
    source: number,
    destination: number,
    protocol: number,
    payloadLength: number,
    ttl: number = DEFAULT_TTL,
  ): void {
    this.#finishFragment(slot, source, destination, protocol, payloadLength, ttl, this.#nextIdentification(), 0);
  }

  /** Sends a payload of any length that fits a datagram, in fragments where it must. */
  send(source: number, destination: number, protocol: number, payload: Uint8Array, ttl: number = DEFAULT_TTL): void {
    const most = MTU - IPV4_HEADER;
    if (payload.length > most && Math.ceil(payload.length / most) > this.#link.bulkRoom) {
      this.#counters.queueFull++;
      return;
    }
    const identification = this.#nextIdentification();
    let at = 0;
    do {
      const slot = this.begin();
      if (slot === undefined) return;
      const length = Math.min(most, payload.length - at);
      slot.bytes.set(payload.subarray(at, at + length), PAYLOAD_OFFSET);
      const more = at + length < payload.length ? MORE_FRAGMENTS : 0;
      this.#finishFragment(slot, source, destination, protocol, length, ttl, identification, more | (at / 8));
      at += length;
    } while (at < payload.length);
  }

  #nextIdentification(): number {
    return (this.#identification = (this.#identification + 1) & 0xffff);
  }

  #finishFragment(
    slot: FrameSlot,
    source: number,
    destination: number,
    protocol: number,
    payloadLength: number,
    ttl: number,
    identification: number,
    fragment: number,
  ): void {
    const { view } = slot;
    const offset = ETHERNET_HEADER;
    view.setUint16(offset, 0x4500);
    view.setUint16(offset + 2, IPV4_HEADER + payloadLength);
    view.setUint16(offset + 4, identification);
    view.setUint16(offset + 6, fragment);
    view.setUint16(offset + 8, (ttl << 8) | protocol);
    view.setUint16(offset + 10, 0);
    view.setUint32(offset + 12, source);
    view.setUint32(offset + 16, destination);
    view.setUint16(offset + 10, foldChecksum(sumWords(view, offset, IPV4_HEADER, 0)));
    const length = PAYLOAD_OFFSET + payloadLength;
    const mac = destination === BROADCAST_ADDRESS ? BROADCAST_MAC : this.#arp.lookup(destination);
    if (mac !== undefined) {
      this.#link.commit(slot, mac, this.#mac, ETHERTYPE_IPV4, length);
      return;
    }
    if (this.#waiting.length === WAITING) {
      this.#waiting.shift();
      this.#counters.queueFull++;
    }
    this.#waiting.push({ destination, bytes: slot.bytes.slice(0, length), since: this.#now() });
    this.#arp.ask(destination);
  }

  #release(address: number): void {
    if (this.#waiting.length === 0) return;
    const mac = this.#arp.lookup(address)!;
    const oldest = this.#now() - WAITING_TIME;
    const rest: WaitingFrame[] = [];
    for (const frame of this.#waiting) {
      if (frame.destination !== address) {
        rest.push(frame);
        continue;
      }
      const slot = frame.since < oldest ? undefined : this.#link.acquire();
      if (slot === undefined) {
        this.#counters.queueFull++;
        continue;
      }
      slot.bytes.set(frame.bytes);
      this.#link.commit(slot, mac, this.#mac, ETHERTYPE_IPV4, frame.bytes.length);
    }
    this.#waiting = rest;
  }
}
