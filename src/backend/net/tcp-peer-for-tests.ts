// The guest's side of TCP connections for tests, segment by segment.

import { expect } from "vitest";
import { type Decoded, type TcpFields, TestGuest } from "./guest-for-tests.ts";
import { FakeHost, type FakeTcpSocket } from "./host-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

export const REMOTE = "192.0.2.7";
export const OPTIONS = "020405b4 01030307";
export const ISS = 0xfffffff0;

export async function start(...options: [string, string][]) {
  const host = new FakeHost();
  const net = await UserNet.open(parseUserNetOptions([["id", "net0"], ...options]), host);
  const guest = new TestGuest(net).announce();
  return { host, net, guest };
}

export type Started = Awaited<ReturnType<typeof start>>;

/** The guest's side of one connection, by hand. Sequence numbers wrap soon, to see that they may. */
export class Peer {
  readonly guest: TestGuest;
  readonly remote: string;
  readonly from: number;
  readonly to: number;
  seq = ISS;
  ack = 0;
  window = 65535;

  constructor(guest: TestGuest, remote = REMOTE, from = 5000, to = 80) {
    this.guest = guest;
    this.remote = remote;
    this.from = from;
    this.to = to;
  }

  /** Sends a segment with the current numbers, unless others are given, and counts on. */
  send(flags: string, fields: Partial<TcpFields> = {}): void {
    const { from, to, seq, ack, window } = this;
    this.guest.tcp(this.remote, { from, to, seq, ack, window, flags, ...fields });
    if (fields.seq === undefined) {
      const length = (fields.data?.length ?? 0) + (/[SF]/.test(flags) ? 1 : 0);
      this.seq = (this.seq + length) >>> 0;
    }
  }

  syn(options = OPTIONS): void {
    this.send("S", { ack: 0, options });
  }

  /** Takes the SYN-ACK and answers it. */
  complete(): Decoded {
    const synAck = this.guest.one();
    expect([synAck.kind, synAck.flags, synAck.ack]).toEqual(["tcp", "SA", this.seq]);
    this.ack = (synAck.seq + 1) >>> 0;
    this.send("A");
    expect(this.guest.take()).toEqual([]);
    return synAck;
  }

  /** Acknowledges everything in the frames, and returns their text. */
  consume(): string {
    const frames = this.guest.take();
    for (const { seq, text, flags } of frames) {
      expect(seq).toBe(this.ack);
      this.ack = (this.ack + text.length + (flags.includes("F") ? 1 : 0)) >>> 0;
    }
    this.send("A");
    return frames.map(({ text }) => text).join("");
  }
}

/** A connection that stands. */
export function connect(
  { host, guest }: Started,
  options = OPTIONS,
  from = 5000,
): { peer: Peer; socket: FakeTcpSocket } {
  const peer = new Peer(guest, REMOTE, from);
  peer.syn(options);
  const socket = host.tcp.at(-1)!;
  socket.events.connected();
  peer.complete();
  return { peer, socket };
}

export function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

/** Bytes that are different everywhere. */
export function pattern(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => ((index + from) * 31 + ((index + from) >> 8)) & 255);
}

/** The flags, and sequence and acknowledgement numbers relative to the connection's. */
export function brief(frames: Decoded[], peer: Peer): string[] {
  return frames.map(({ flags, seq, ack, text }) => {
    return `${flags} seq+${(seq - peer.ack) | 0} ack${(ack - peer.seq) | 0} ${text.length}`;
  });
}
