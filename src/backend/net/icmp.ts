// ICMP (RFC 792): answers echo requests to the network's own machines, and tells the guest what cannot be reached.

import { BROADCAST_ADDRESS, isMartian } from "./address.ts";
import { foldChecksum, sumWords } from "./checksum.ts";
import type { HostFailure } from "./host.ts";
import { type Ipv4Packet, type Ipv4Sender, PAYLOAD_OFFSET, PROTOCOL_ICMP } from "./ipv4.ts";

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const ECHO = 8;
const TIME_EXCEEDED = 11;
const HEADER = 8;
/** What an error quotes of the packet beyond its IP header. */
const QUOTED_PAYLOAD = 8;
const TTL = 255;

/** Codes of "destination unreachable". */
const NET_UNREACHABLE = 0;
export const HOST_UNREACHABLE = 1;
export const PROTOCOL_UNREACHABLE = 2;
export const PORT_UNREACHABLE = 3;
/** Communication administratively prohibited (RFC 1812 section 5.2.7.1): there may be a way, but not through here. */
const PROHIBITED = 13;

/** The code that tells the guest of a failure of the host's. */
export function unreachableCode(failure: HostFailure): number {
  switch (failure) {
    case "net-unreachable":
      return NET_UNREACHABLE;
    case "refused":
      return PORT_UNREACHABLE;
    case "prohibited":
      return PROHIBITED;
    default:
      return HOST_UNREACHABLE;
  }
}

/** Sends and answers ICMP. */
export class Icmp {
  readonly #sender: Ipv4Sender;
  readonly #router: number;
  readonly #isOwn: (address: number) => boolean;

  constructor(sender: Ipv4Sender, router: number, isOwn: (address: number) => boolean) {
    this.#sender = sender;
    this.#router = router;
    this.#isOwn = isOwn;
  }

  /** Takes a message of the guest's; the counter of what is wrong if it is dropped. */
  receive(packet: Ipv4Packet): "malformed" | "badChecksum" | undefined {
    const { view, payloadOffset, payloadLength } = packet;
    if (payloadLength < HEADER) return "malformed";
    if (foldChecksum(sumWords(view, payloadOffset, payloadLength, 0)) !== 0) return "badChecksum";
    // Everything else (errors, replies) is about nothing of ours that could use it.
    if (typeOf(packet) !== ECHO) return undefined;
    if (!this.#isOwn(packet.destination)) {
      this.unreachable(packet, PROHIBITED);
      return undefined;
    }
    const reply = packet.bytes.slice(payloadOffset, payloadOffset + payloadLength);
    const replyView = new DataView(reply.buffer);
    replyView.setUint16(0, ECHO_REPLY);
    replyView.setUint16(2, 0);
    replyView.setUint16(2, foldChecksum(sumWords(replyView, 0, reply.length, 0)));
    this.#sender.send(packet.destination, packet.source, PROTOCOL_ICMP, reply, TTL);
    return undefined;
  }

  /** Answers a packet with "destination unreachable". */
  unreachable(packet: Ipv4Packet, code: number): void {
    this.#error(UNREACHABLE, code, packet);
  }

  /** Answers a packet whose time to live has run out. */
  timeExceeded(packet: Ipv4Packet): void {
    this.#error(TIME_EXCEEDED, 0, packet);
  }

  /**
   * Answers a packet that is gone, from a copy of what an error quotes of it (`quoteOf`).
   * `source` is the guest's address that the packet came from.
   */
  unreachableQuoting(quote: Uint8Array, source: number, code: number): void {
    this.#send(UNREACHABLE, code, quote, source);
  }

  #error(type: number, code: number, packet: Ipv4Packet): void {
    // RFC 1122 section 3.2.2: no error about an error, a fragment other than the first, or a packet to or from a group.
    if (packet.fragmentOffset !== 0 || packet.destination === BROADCAST_ADDRESS) return;
    if (isMartian(packet.source) || packet.destination >>> 28 === 14) return;
    if (packet.protocol === PROTOCOL_ICMP && (packet.payloadLength === 0 || typeOf(packet) !== ECHO)) return;
    this.#send(type, code, quoteOf(packet), packet.source);
  }

  #send(type: number, code: number, quote: Uint8Array, destination: number): void {
    const slot = this.#sender.begin();
    if (slot === undefined) return;
    const { bytes, view } = slot;
    view.setUint16(PAYLOAD_OFFSET, (type << 8) | code);
    view.setUint16(PAYLOAD_OFFSET + 2, 0);
    view.setUint32(PAYLOAD_OFFSET + 4, 0);
    bytes.set(quote, PAYLOAD_OFFSET + HEADER);
    const length = HEADER + quote.length;
    view.setUint16(PAYLOAD_OFFSET + 2, foldChecksum(sumWords(view, PAYLOAD_OFFSET, length, 0)));
    this.#sender.finish(slot, this.#router, destination, PROTOCOL_ICMP, length, TTL);
  }
}

function typeOf(packet: Ipv4Packet): number {
  return packet.view.getUint8(packet.payloadOffset);
}

/** What an ICMP error quotes of a packet: its header and the first eight bytes of its payload. */
export function quoteOf(packet: Ipv4Packet): Uint8Array {
  const length = packet.headerLength + Math.min(QUOTED_PAYLOAD, packet.payloadLength);
  return packet.bytes.slice(packet.offset, packet.offset + length);
}
