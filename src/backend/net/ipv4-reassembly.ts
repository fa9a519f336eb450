// Reassembly of IPv4 fragments (RFC 791 section 3.2, RFC 815). Overlapping fragments have no honest use, so a datagram
// that has them is given up as a whole, as RFC 5722 asks of IPv6.

import type { NetCounters } from "./counters.ts";
import type { Ipv4Packet } from "./ipv4.ts";

/** Datagrams under way; the oldest one goes for a new one. */
const DATAGRAMS = 16;
/** Pieces that may lie apart from each other in one datagram. */
const PIECES = 64;
/** How long the last fragment may take to come (ms). */
const PATIENCE = 30_000;
const LONGEST_DATAGRAM = 65535;

interface Piece {
  readonly start: number;
  end: number;
}

interface Datagram {
  readonly since: number;
  /** The first fragment's header (60 bytes are kept free for it), then the payload. */
  readonly bytes: Uint8Array;
  headerLength: number;
  /** Length of the payload, -1 until the last fragment has come. */
  total: number;
  /** What has come: ascending, not touching. */
  readonly pieces: Piece[];
  /** Overlapping or too scattered: its fragments are swallowed until it expires. */
  spoilt: boolean;
}

const HEADER_ROOM = 60;

/** The datagrams that are being put together. */
export class Reassembly {
  readonly #now: () => number;
  readonly #counters: NetCounters;
  readonly #datagrams = new Map<string, Datagram>();

  constructor(counters: NetCounters, now: () => number) {
    this.#counters = counters;
    this.#now = now;
  }

  /** Takes a fragment. True when it completes its datagram, which the packet then is. */
  add(packet: Ipv4Packet): boolean {
    const start = packet.fragmentOffset;
    const length = packet.payloadLength;
    if (length === 0 || (packet.moreFragments && length % 8 !== 0)) return this.#drop();
    if (start + length + packet.headerLength > LONGEST_DATAGRAM) return this.#drop();
    const key = `${packet.source} ${packet.destination} ${packet.protocol} ${packet.identification}`;
    const datagram = this.#find(key);
    const verdict = datagram.spoilt ? "contradicts" : insert(datagram, start, start + length, packet.moreFragments);
    if (verdict === "contradicts") datagram.spoilt = true;
    if (verdict !== "new") return this.#drop();
    datagram.bytes.set(packet.bytes.subarray(packet.payloadOffset, packet.payloadOffset + length), HEADER_ROOM + start);
    if (start === 0) {
      datagram.headerLength = packet.headerLength;
      const header = packet.bytes.subarray(packet.offset, packet.payloadOffset);
      datagram.bytes.set(header, HEADER_ROOM - packet.headerLength);
    }
    const whole = datagram.pieces.length === 1 && datagram.pieces[0]!.start === 0;
    if (!whole || datagram.pieces[0]!.end !== datagram.total) return false;
    this.#datagrams.delete(key);
    packet.bytes = datagram.bytes;
    packet.view = new DataView(datagram.bytes.buffer);
    packet.headerLength = datagram.headerLength;
    packet.offset = HEADER_ROOM - datagram.headerLength;
    packet.payloadOffset = HEADER_ROOM;
    packet.payloadLength = datagram.total;
    packet.fragmentOffset = 0;
    packet.moreFragments = false;
    return true;
  }

  #drop(): false {
    this.#counters.fragments++;
    return false;
  }

  #find(key: string): Datagram {
    const now = this.#now();
    for (const [other, { since }] of this.#datagrams) {
      if (now - since < PATIENCE) break;
      this.#forget(other);
    }
    const known = this.#datagrams.get(key);
    if (known !== undefined) return known;
    if (this.#datagrams.size === DATAGRAMS) this.#forget(this.#datagrams.keys().next().value!);
    const datagram: Datagram = {
      since: now,
      bytes: new Uint8Array(HEADER_ROOM + LONGEST_DATAGRAM),
      headerLength: 0,
      total: -1,
      pieces: [],
      spoilt: false,
    };
    this.#datagrams.set(key, datagram);
    return datagram;
  }

  #forget(key: string): void {
    this.#datagrams.delete(key);
    this.#counters.fragments++;
  }
}

/** Notes that a range has come: as new, as already there, or in contradiction to what came before. */
function insert(datagram: Datagram, start: number, end: number, more: boolean): "new" | "known" | "contradicts" {
  const { pieces, total } = datagram;
  if (total >= 0 && end > total) return "contradicts";
  if (!more) {
    if (total >= 0 ? end !== total : pieces.length > 0 && pieces.at(-1)!.end > end) return "contradicts";
    datagram.total = end;
  }
  let index = 0;
  while (index < pieces.length && pieces[index]!.end < start) index++;
  const next = pieces[index];
  if (next === undefined || end < next.start) {
    if (pieces.length === PIECES) return "contradicts";
    pieces.splice(index, 0, { start, end });
    return "new";
  }
  if (next.end === start) {
    const after = pieces[index + 1];
    if (after !== undefined && end > after.start) return "contradicts";
    next.end = end;
    if (after !== undefined && end === after.start) {
      next.end = after.end;
      pieces.splice(index + 1, 1);
    }
    return "new";
  }
  if (end === next.start) {
    pieces[index] = { start, end: next.end };
    return "new";
  }
  // A fragment that came twice changes nothing as long as it lies within what is there; the first one counts.
  return start >= next.start && end <= next.end ? "known" : "contradicts";
}
