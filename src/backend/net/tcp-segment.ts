// TCP segments (RFC 9293 section 3.1): reads and checks what came in, builds what goes out.

import type { ByteQueue } from "./byte-queue.ts";
import { foldChecksum, sumPseudoHeader, sumWords } from "./checksum.ts";
import { type Ipv4Packet, type Ipv4Sender, PAYLOAD_OFFSET, PROTOCOL_TCP } from "./ipv4.ts";

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

const TCP_HEADER = 20;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
/** RFC 7323 section 2.3. */
const LARGEST_SHIFT = 14;

/** A segment of the guest's, in place. One object serves all segments. */
export class TcpSegment {
  bytes: Uint8Array = new Uint8Array(0);
  source = 0;
  sourcePort = 0;
  destination = 0;
  destinationPort = 0;
  /** Sequence numbers are kept as signed 32-bit numbers: `(a - b) | 0` compares them. */
  seq = 0;
  ack = 0;
  flags = 0;
  /** As sent, unscaled. */
  window = 0;
  payloadOffset = 0;
  payloadLength = 0;
  /** The options of a SYN: the maximum segment size (0: none) and the window shift (-1: none). */
  mss = 0;
  shift = -1;

  /** Reads and checks the segment that the packet carries: undefined if it is right, else the counter. */
  parse(packet: Ipv4Packet): "malformed" | "badChecksum" | undefined {
    const { view, payloadOffset: offset, payloadLength: length } = packet;
    if (length < TCP_HEADER) return "malformed";
    const headerLength = (view.getUint8(offset + 12) >>> 4) * 4;
    if (headerLength < TCP_HEADER || headerLength > length) return "malformed";
    const pseudo = sumPseudoHeader(packet.source, packet.destination, PROTOCOL_TCP, length);
    if (foldChecksum(sumWords(view, offset, length, pseudo)) !== 0) return "badChecksum";
    this.bytes = packet.bytes;
    this.source = packet.source;
    this.destination = packet.destination;
    this.sourcePort = view.getUint16(offset);
    this.destinationPort = view.getUint16(offset + 2);
    this.seq = view.getInt32(offset + 4);
    this.ack = view.getInt32(offset + 8);
    this.flags = view.getUint8(offset + 13);
    this.window = view.getUint16(offset + 14);
    this.payloadOffset = offset + headerLength;
    this.payloadLength = length - headerLength;
    this.mss = 0;
    this.shift = -1;
    if ((this.flags & SYN) !== 0) this.#parseOptions(view, offset + TCP_HEADER, offset + headerLength);
    return undefined;
  }

  /** What the segment occupies of the sequence space. */
  get sequenceLength(): number {
    return this.payloadLength + ((this.flags & SYN) === 0 ? 0 : 1) + ((this.flags & FIN) === 0 ? 0 : 1);
  }

  /** A malformed option ends the list; what was read before it counts. */
  #parseOptions(view: DataView, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const kind = view.getUint8(at);
      if (kind === OPTION_END) return;
      if (kind === OPTION_NOP) {
        at++;
        continue;
      }
      const length = at + 1 < end ? view.getUint8(at + 1) : 0;
      if (length < 2 || at + length > end) return;
      if (kind === OPTION_MSS && length === 4) this.mss = view.getUint16(at + 2);
      if (kind === OPTION_WINDOW_SCALE && length === 3) this.shift = Math.min(view.getUint8(at + 2), LARGEST_SHIFT);
      at += length;
    }
  }
}

/** The two ends of a connection as the guest sees them. */
export interface TcpEndpoints {
  readonly guestAddress: number;
  readonly guestPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
}

/** What goes into a segment to the guest. */
export interface OutgoingSegment {
  seq: number;
  ack: number;
  flags: number;
  window: number;
  /** The payload: `length` bytes that begin `offset` after the front of the queue. */
  queue: ByteQueue | undefined;
  offset: number;
  length: number;
  /** Options of a SYN, 0 for none. */
  mss: number;
  shift: number;
}

/** Builds and queues a segment. False when the queue of frames is full. */
export function sendSegment(sender: Ipv4Sender, ends: TcpEndpoints, segment: OutgoingSegment): boolean {
  const slot = sender.begin();
  if (slot === undefined) return false;
  const { bytes, view } = slot;
  const offset = PAYLOAD_OFFSET;
  let headerLength = TCP_HEADER;
  if (segment.mss !== 0) {
    view.setUint32(offset + headerLength, (OPTION_MSS << 24) | (4 << 16) | segment.mss);
    headerLength += 4;
    if (segment.shift >= 0) {
      view.setUint32(
        offset + headerLength,
        (OPTION_NOP << 24) | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | segment.shift,
      );
      headerLength += 4;
    }
  }
  view.setUint16(offset, ends.remotePort);
  view.setUint16(offset + 2, ends.guestPort);
  view.setInt32(offset + 4, segment.seq);
  view.setInt32(offset + 8, segment.ack);
  view.setUint16(offset + 12, (headerLength << 10) | segment.flags);
  view.setUint16(offset + 14, segment.window);
  view.setUint32(offset + 16, 0);
  segment.queue?.copy(segment.offset, segment.length, bytes, offset + headerLength);
  const length = headerLength + segment.length;
  const pseudo = sumPseudoHeader(ends.remoteAddress, ends.guestAddress, PROTOCOL_TCP, length);
  view.setUint16(offset + 16, foldChecksum(sumWords(view, offset, length, pseudo)));
  sender.finish(slot, ends.remoteAddress, ends.guestAddress, PROTOCOL_TCP, length);
  return true;
}
