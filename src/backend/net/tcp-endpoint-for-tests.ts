// A small TCP of the guest's for tests: it opens or takes one connection, sends and receives. Go-back-N, no options but
// the ones that are fixed below. It shares nothing with the code under test.

import type { NetBackend, NetClient } from "../net.ts";
import { type Decoded, decode, ipFrame, tcpMessage } from "./guest-for-tests.ts";
import type { HostTimeout, HostTimers } from "./host.ts";

const GUEST = "10.0.2.15";
const MSS = 1460;
const SHIFT = 7;
/** What goes out at a time beyond the acknowledged bytes, at most. */
const MOST_UNDER_WAY = 64 * 1024;
const TIMEOUT = 400;

/** What the endpoint is to do with a frame in either direction: lose it, say. */
export type Disturbance = (frame: Uint8Array, pass: (frame: Uint8Array) => void) => void;

export interface EndpointOptions {
  remote: string;
  from: number;
  /** Not needed by an end that listens: it calls back. */
  to?: number;
  timers: HostTimers;
  /** Takes the connection instead of opening it. */
  listens?: boolean;
  disturb?: Disturbance;
  initial?: number;
}

/** One end of one connection. */
export class GuestTcp implements NetClient {
  readonly received: Buffer[] = [];
  receivedLength = 0;
  /** The other end has closed its half; and: all of ours, FIN included, has been acknowledged. */
  remoteEnded = false;
  delivered = false;
  resetByRemote = false;
  onData: (() => void) | undefined;
  readonly #net: NetBackend;
  readonly #options: EndpointOptions;
  readonly #pass = (frame: Uint8Array): void => this.#net.transmit(frame);
  #state: "new" | "syn" | "open" = "new";
  #outgoing: Buffer = Buffer.alloc(0);
  #ending = false;
  /** Offsets into everything ever sent, SYN being -1. */
  #acked = 0;
  #next = 0;
  #remoteInitial = 0;
  #remotePort: number;
  #window = 0;
  #remoteShift = 0;
  #timeout: HostTimeout | undefined;

  constructor(net: NetBackend, options: EndpointOptions) {
    this.#net = net;
    this.#options = options;
    this.#remotePort = options.to ?? 0;
    net.attach(this);
  }

  open(): void {
    this.#state = "syn";
    this.#emit("S", -1);
    this.#arm();
  }

  send(data: Uint8Array): void {
    this.#outgoing = Buffer.concat([this.#outgoing, data]);
    this.#output();
  }

  close(): void {
    this.#ending = true;
    this.#output();
  }

  receive(frame: Uint8Array): boolean {
    const take = (bytes: Uint8Array): void => {
      const decoded = decode(bytes);
      if (decoded.kind === "tcp" && decoded.to === this.#options.from) this.#take(decoded);
    };
    const copy = frame.slice();
    if (this.#options.disturb === undefined) take(copy);
    else this.#options.disturb(copy, take);
    return true;
  }

  get #initial(): number {
    return this.#options.initial ?? 0xffff0000;
  }

  #take(segment: Decoded): void {
    const { flags } = segment;
    if (flags.includes("R")) {
      this.resetByRemote = true;
      this.#timeout?.cancel();
      return;
    }
    if (flags.includes("S")) {
      this.#takeSyn(segment);
      return;
    }
    if (this.#state !== "open") return;
    const acked = (segment.ack - this.#initial - 1) | 0;
    this.#window = segment.window << this.#remoteShift;
    if (acked > this.#acked) {
      this.#acked = acked;
      this.#next = Math.max(this.#next, acked);
      this.delivered = this.#ending && acked === this.#outgoing.length + 1;
      this.#arm();
    }
    const text = Buffer.from(segment.text, "latin1");
    const skip = (this.#expected - segment.seq) | 0;
    const isNew = text.length > 0 || flags.includes("F");
    if (skip >= 0 && skip <= text.length && !this.remoteEnded) {
      if (skip < text.length) this.received.push(text.subarray(skip));
      this.receivedLength += text.length - skip;
      if (flags.includes("F")) this.remoteEnded = true;
    }
    if (isNew) this.#emit("A", this.#next);
    this.#output();
    if (isNew) this.onData?.();
  }

  #takeSyn(segment: Decoded): void {
    if (this.#state === "open" && !this.#options.listens) {
      this.#emit("A", this.#next);
      return;
    }
    this.#remoteInitial = segment.seq;
    this.#remotePort = segment.from;
    const scale = /0303(..)/.exec(segment.options)?.[1];
    this.#remoteShift = scale === undefined ? 0 : Number.parseInt(scale, 16);
    this.#window = segment.window;
    this.#state = "open";
    if (this.#options.listens) this.#emit("SA", -1);
    else this.#emit("A", 0);
    this.#output();
  }

  get #expected(): number {
    return (this.#remoteInitial + 1 + this.receivedLength + (this.remoteEnded ? 1 : 0)) >>> 0;
  }

  #output(): void {
    if (this.#state !== "open") return;
    const limit = Math.min(this.#acked + Math.min(this.#window, MOST_UNDER_WAY), this.#outgoing.length);
    while (this.#next < limit) {
      const end = Math.min(this.#next + MSS, limit);
      const from = this.#next;
      // Counted first: the answer may come before emit has returned, and send more.
      this.#next = end;
      this.#emit(end === limit ? "PA" : "A", from, this.#outgoing.subarray(from, end));
    }
    if (this.#ending && this.#next === this.#outgoing.length) {
      this.#next++;
      this.#emit("FA", this.#next - 1);
    }
    if (this.#timeout === undefined) this.#arm();
  }

  #emit(flags: string, offset: number, data: Uint8Array = new Uint8Array(0)): void {
    const { remote, from, disturb } = this.#options;
    const message = tcpMessage(GUEST, remote, {
      from,
      to: this.#remotePort,
      seq: (this.#initial + 1 + offset) >>> 0,
      ack: flags === "S" ? 0 : this.#expected,
      flags,
      window: 0xffff >> (flags.includes("S") ? 0 : 1),
      options: flags.includes("S") ? `020405b4 0103030${SHIFT}` : "",
      data,
    });
    const frame = ipFrame(GUEST, remote, 6, message);
    if (disturb === undefined) this.#pass(frame);
    else disturb(frame, this.#pass);
  }

  /** Everything again from the last acknowledged byte when nothing has moved for a while. */
  #arm(): void {
    this.#timeout?.cancel();
    this.#timeout = undefined;
    const total = this.#outgoing.length + (this.#ending ? 1 : 0);
    if (this.#state === "open" && this.#acked >= total) return;
    this.#timeout = this.#options.timers.after(TIMEOUT, () => {
      this.#timeout = undefined;
      if (this.#state === "syn") this.#emit("S", -1);
      if (this.#state === "open") {
        this.#next = this.#acked;
        // Something has to go out even if the window is closed.
        if (this.#window === 0) this.#emit("A", this.#acked, this.#outgoing.subarray(this.#acked, this.#acked + 1));
        this.#output();
      }
      this.#arm();
    });
  }
}
