// UDP (RFC 768): the header, checked and built.

import { foldChecksum, sumPseudoHeader, sumWords } from "./checksum.ts";
import { type Ipv4Packet, type Ipv4Sender, PROTOCOL_UDP } from "./ipv4.ts";

const HEADER = 8;
/** The longest payload of a datagram over IPv4. */
const LONGEST_PAYLOAD = 65535 - 20 - HEADER;

/** A datagram of the guest's. The payload is borrowed: it is valid only while the datagram is being handled. */
export interface UdpDatagram {
  readonly source: number;
  readonly sourcePort: number;
  readonly destination: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

/** Reads a datagram, or tells the counter of what is wrong with it. */
export function parseUdp(packet: Ipv4Packet): UdpDatagram | "malformed" | "badChecksum" {
  const { view, payloadOffset, payloadLength, source, destination } = packet;
  if (payloadLength < HEADER) return "malformed";
  const length = view.getUint16(payloadOffset + 4);
  if (length < HEADER || length > payloadLength) return "malformed";
  // Zero: the sender made none.
  if (view.getUint16(payloadOffset + 6) !== 0) {
    const pseudo = sumPseudoHeader(source, destination, PROTOCOL_UDP, length);
    if (foldChecksum(sumWords(view, payloadOffset, length, pseudo)) !== 0) return "badChecksum";
  }
  return {
    source,
    sourcePort: view.getUint16(payloadOffset),
    destination,
    destinationPort: view.getUint16(payloadOffset + 2),
    payload: packet.bytes.subarray(payloadOffset + HEADER, payloadOffset + length),
  };
}

/** Sends a datagram to the guest; false if it is longer than a datagram can be. */
export function sendUdp(sender: Ipv4Sender, datagram: UdpDatagram): boolean {
  const { source, sourcePort, destination, destinationPort, payload } = datagram;
  if (payload.length > LONGEST_PAYLOAD) return false;
  const bytes = new Uint8Array(HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint16(4, bytes.length);
  bytes.set(payload, HEADER);
  const pseudo = sumPseudoHeader(source, destination, PROTOCOL_UDP, bytes.length);
  // A checksum that comes out as zero is sent as its other form.
  view.setUint16(6, foldChecksum(sumWords(view, 0, bytes.length, pseudo)) || 0xffff);
  sender.send(source, destination, PROTOCOL_UDP, bytes);
  return true;
}
