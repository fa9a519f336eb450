// A guest for tests: builds frames byte by byte, and takes apart and checks what comes back. Nothing here uses the code
// under test, the checksum included.

import type { NetBackend, NetClient } from "../net.ts";

export const GUEST_MAC = "525400123456";
export const ROUTER_MAC = "52550a000202";
export const DNS_MAC = "52550a000203";
export const BROADCAST = "ffffffffffff";

/** TCP flags by their letters. */
const FLAGS = "FSRPAU";

export interface IpOptions {
  ttl?: number;
  id?: number;
  /** The raw field: flags and offset in units of eight bytes. */
  fragment?: number;
  destinationMac?: string;
  source?: string;
}

export interface TcpFields {
  from: number;
  to: number;
  seq: number;
  ack?: number;
  flags: string;
  window?: number;
  options?: string;
  data?: string | Uint8Array;
}

/** A frame from the stack, taken apart; every length and checksum in it has been checked. */
export interface Decoded {
  kind: "arp" | "icmp" | "udp" | "tcp" | "ip";
  bytes: Uint8Array;
  destinationMac: string;
  sourceMac: string;
  source: string;
  destination: string;
  ttl: number;
  payload: Uint8Array;
  /** UDP and TCP. */
  from: number;
  to: number;
  /** The payload of UDP, TCP and ICMP as Latin-1. */
  text: string;
  /** ICMP */
  type: number;
  code: number;
  /** TCP, unsigned. */
  seq: number;
  ack: number;
  flags: string;
  window: number;
  options: string;
}

/** A network card with nothing behind it but the test. */
export class TestGuest implements NetClient {
  readonly net: NetBackend;
  address = "10.0.2.15";
  /** Whether the card has receive buffers. */
  accepts = true;
  /** Called for every frame, before it is kept. */
  onFrame: ((frame: Uint8Array) => boolean) | undefined;
  #frames: Uint8Array[] = [];

  constructor(net: NetBackend) {
    this.net = net;
    net.attach(this);
  }

  receive(frame: Uint8Array): boolean {
    if (!this.accepts) return false;
    if (this.onFrame?.(frame) === true) return true;
    this.#frames.push(frame.slice());
    return true;
  }

  /** The frames that have come since the last call. */
  take(): Decoded[] {
    const frames = this.#frames;
    this.#frames = [];
    return frames.map(decode);
  }

  /** The only frame that has come. */
  one(): Decoded {
    const frames = this.take();
    if (frames.length !== 1) throw new Error(`expected one frame, got ${frames.length}: ${JSON.stringify(frames)}`);
    return frames[0]!;
  }

  /** Makes the stack know the guest's Ethernet address. */
  announce(): this {
    this.arp("10.0.2.2");
    this.take();
    return this;
  }

  raw(hex: string): void {
    this.net.transmit(fromHex(hex));
  }

  arp(target: string, source = this.address): void {
    this.raw(`${BROADCAST}${GUEST_MAC}0806 0001080006040001 ${GUEST_MAC}${ip(source)} 000000000000${ip(target)}`);
  }

  ip(destination: string, protocol: number, payload: Uint8Array, options: IpOptions = {}): void {
    this.net.transmit(ipFrame(options.source ?? this.address, destination, protocol, payload, options));
  }

  ping(destination: string, text: string, options: IpOptions = {}): void {
    this.ip(destination, 1, icmpMessage(8, 0, text), options);
  }

  udp(destination: string, from: number, to: number, data: string | Uint8Array, options: IpOptions = {}): void {
    const source = options.source ?? this.address;
    this.ip(destination, 17, udpMessage(source, destination, from, to, data), options);
  }

  tcp(destination: string, fields: TcpFields, options: IpOptions = {}): void {
    this.ip(destination, 6, tcpMessage(options.source ?? this.address, destination, fields), options);
  }
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ""), "hex"));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** An address as eight hexadecimal digits. */
export function ip(address: string): string {
  return toHex(Uint8Array.from(address.split(".").map(Number)));
}

/** RFC 1071 the slow way: the sum modulo 65535. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index++) sum += bytes[index]! * (index % 2 === 0 ? 256 : 1);
  const rest = sum % 0xffff;
  return sum > 0 && rest === 0 ? 0 : 0xffff - rest;
}

function bytesOf(data: string | Uint8Array): Uint8Array {
  return typeof data === "string" ? Uint8Array.from(Buffer.from(data, "latin1")) : data;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, (value >>> 16) & 0xffff);
  put16(bytes, at + 2, value & 0xffff);
}

function get16(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 256 + bytes[at + 1]!;
}

function get32(bytes: Uint8Array, at: number): number {
  return get16(bytes, at) * 65536 + get16(bytes, at + 2);
}

function pseudo(source: string, destination: string, protocol: number, length: number): Uint8Array {
  return fromHex(`${ip(source)}${ip(destination)}00${toHex(Uint8Array.of(protocol, length >> 8, length))}`);
}

export function ipFrame(
  source: string,
  destination: string,
  protocol: number,
  payload: Uint8Array,
  options: IpOptions = {},
): Uint8Array {
  const header = fromHex(`4500 0000 0000 0000 0000 0000 ${ip(source)}${ip(destination)}`);
  put16(header, 2, 20 + payload.length);
  put16(header, 4, options.id ?? 1);
  put16(header, 6, options.fragment ?? 0);
  header[8] = options.ttl ?? 64;
  header[9] = protocol;
  put16(header, 10, checksum(header));
  const ethernet = fromHex(`${options.destinationMac ?? ROUTER_MAC}${GUEST_MAC}0800`);
  return Uint8Array.from(Buffer.concat([ethernet, header, payload]));
}

export function icmpMessage(type: number, code: number, text: string): Uint8Array {
  const message = Uint8Array.from(Buffer.concat([fromHex("0000 0000 1234 0001"), bytesOf(text)]));
  message[0] = type;
  message[1] = code;
  put16(message, 2, checksum(message));
  return message;
}

export function udpMessage(
  source: string,
  destination: string,
  from: number,
  to: number,
  data: string | Uint8Array,
): Uint8Array {
  const message = Uint8Array.from(Buffer.concat([new Uint8Array(8), bytesOf(data)]));
  put16(message, 0, from);
  put16(message, 2, to);
  put16(message, 4, message.length);
  put16(message, 6, checksum(Buffer.concat([pseudo(source, destination, 17, message.length), message])) || 0xffff);
  return message;
}

export function tcpMessage(source: string, destination: string, fields: TcpFields): Uint8Array {
  const options = fromHex(fields.options ?? "");
  const message = Uint8Array.from(Buffer.concat([new Uint8Array(20), options, bytesOf(fields.data ?? "")]));
  put16(message, 0, fields.from);
  put16(message, 2, fields.to);
  put32(message, 4, fields.seq);
  put32(message, 8, fields.ack ?? 0);
  message[12] = (5 + options.length / 4) << 4;
  message[13] = [...fields.flags].reduce((sum, letter) => sum | (1 << FLAGS.indexOf(letter)), 0);
  put16(message, 14, fields.window ?? 65535);
  put16(message, 16, checksum(Buffer.concat([pseudo(source, destination, 6, message.length), message])));
  return message;
}

/** Takes a frame apart, and throws for anything wrong in it. */
export function decode(bytes: Uint8Array): Decoded {
  check(bytes.length >= 60, `a frame of ${bytes.length} bytes`);
  const decoded: Decoded = {
    kind: "ip",
    bytes,
    destinationMac: toHex(bytes.subarray(0, 6)),
    sourceMac: toHex(bytes.subarray(6, 12)),
    source: "",
    destination: "",
    ttl: 0,
    payload: bytes.subarray(14),
    from: 0,
    to: 0,
    text: "",
    type: 0,
    code: 0,
    seq: 0,
    ack: 0,
    flags: "",
    window: 0,
    options: "",
  };
  const etherType = get16(bytes, 12);
  if (etherType === 0x0806) {
    decoded.kind = "arp";
    return decoded;
  }
  check(etherType === 0x0800, `EtherType ${etherType.toString(16)}`);
  const packet = bytes.subarray(14);
  const length = get16(packet, 2);
  check(packet[0] === 0x45 && length >= 20 && length <= packet.length && length <= 1500, `IP length ${length}`);
  check(checksum(packet.subarray(0, 20)) === 0, "IP checksum");
  decoded.source = [...packet.subarray(12, 16)].join(".");
  decoded.destination = [...packet.subarray(16, 20)].join(".");
  decoded.ttl = packet[8]!;
  const payload = (decoded.payload = packet.subarray(20, length));
  if ((get16(packet, 6) & 0x3fff) !== 0) return decoded;
  const withPseudo = Buffer.concat([pseudo(decoded.source, decoded.destination, packet[9]!, payload.length), payload]);
  switch (packet[9]) {
    case 1:
      check(checksum(payload) === 0, "ICMP checksum");
      decoded.kind = "icmp";
      decoded.type = payload[0]!;
      decoded.code = payload[1]!;
      decoded.text = Buffer.from(payload.subarray(8)).toString("latin1");
      break;
    case 17:
      check(get16(payload, 4) === payload.length, "UDP length");
      check(get16(payload, 6) !== 0 && checksum(withPseudo) === 0, "UDP checksum");
      decoded.kind = "udp";
      decoded.from = get16(payload, 0);
      decoded.to = get16(payload, 2);
      decoded.text = Buffer.from(payload.subarray(8)).toString("latin1");
      break;
    case 6: {
      check(checksum(withPseudo) === 0, "TCP checksum");
      const headerLength = (payload[12]! >> 4) * 4;
      decoded.kind = "tcp";
      decoded.from = get16(payload, 0);
      decoded.to = get16(payload, 2);
      decoded.seq = get32(payload, 4);
      decoded.ack = get32(payload, 8);
      decoded.flags = [...FLAGS].filter((_, bit) => (payload[13]! >> bit) & 1).join("");
      decoded.window = get16(payload, 14);
      decoded.options = toHex(payload.subarray(20, headerLength));
      decoded.text = Buffer.from(payload.subarray(headerLength)).toString("latin1");
      break;
    }
    default:
      throw new Error(`IP protocol ${packet[9]}`);
  }
  return decoded;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the stack sent a bad frame: ${what}`);
}
