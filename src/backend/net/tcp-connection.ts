// One TCP connection: the endpoint that the guest talks to (RFC 9293), tied to a connection of the host's. The states
// are the specification's as our end goes through them, and "connecting" before: the guest's SYN has come, and the host
// has not got through yet.

import type { HostFailure, HostTcpEvents, HostTcpSocket, IncomingTcp } from "./host.ts";
import { LazyTimer } from "./lazy-timer.ts";
import type { TcpContext, TcpState } from "./tcp-context.ts";
import { TcpReceiver, WINDOW_SHIFT } from "./tcp-receiver.ts";
import {
  ACK,
  FIN,
  type OutgoingSegment,
  PSH,
  RST,
  SYN,
  sendSegment,
  type TcpEndpoints,
  type TcpSegment,
} from "./tcp-segment.ts";
import { LARGEST_MSS, TcpSender } from "./tcp-sender.ts";

/** All times in ms. */
const FIRST_HANDSHAKE_TIMEOUT = 1000;
const HANDSHAKE_ATTEMPTS = 6;
const TIME_WAIT = 10_000;
const KEEPALIVE_IDLE = 7_200_000;
const KEEPALIVE_INTERVAL = 75_000;
const KEEPALIVE_PROBES = 9;
/** How long the host's socket may take to get rid of the guest's last bytes once the guest is done. */
const LINGER = 60_000;
const ACK_DELAY = 40;
/** Full segments that one acknowledgement is for: each costs an emulated processor thousands of instructions. */
const ACK_EVERY = 4 * LARGEST_MSS;

/** One connection between the guest and the host's network. */
export class TcpConnection implements TcpEndpoints, HostTcpEvents {
  readonly guestAddress: number;
  readonly guestPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
  /** What an ICMP error quotes of the guest's SYN. */
  quote: Uint8Array | undefined;

  readonly #context: TcpContext;
  readonly #initial: number;
  readonly #sender: TcpSender;
  readonly #timer: LazyTimer;
  readonly #outgoing: OutgoingSegment;
  #receiver = new TcpReceiver(0);
  #state: TcpState = "connecting";
  #socket: HostTcpSocket | undefined;
  #paused = false;
  #hostEnded = false;
  /** The guest's initial sequence number and offers. */
  #guestInitial = 0;
  #guestMss = 0;
  #guestShift = -1;

  #ackNow = false;
  #ackAt = Infinity;
  #unacknowledged = 0;
  /** When the state itself wants something: handshake, TIME-WAIT, keepalive, linger. */
  #stateAt = Infinity;
  #attempts = 0;
  #lastHeard = 0;
  /** `link.queued` after our last data segment. */
  #lastQueued = 0;
  #accounted = 0;

  constructor(context: TcpContext, ends: TcpEndpoints, initial: number) {
    this.#context = context;
    this.guestAddress = ends.guestAddress;
    this.guestPort = ends.guestPort;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.#initial = initial;
    this.#sender = new TcpSender(initial, (seq, flags, offset, length) => this.#sendData(seq, flags, offset, length));
    this.#timer = new LazyTimer(context.timers, () => this.#tick());
    this.#outgoing = { seq: 0, ack: 0, flags: 0, window: 0, queue: undefined, offset: 0, length: 0, mss: 0, shift: -1 };
  }

  get state(): TcpState {
    return this.#state;
  }

  /** The sequence number after the guest's SYN: what a refusal acknowledges. */
  get afterSyn(): number {
    return this.#receiver.next;
  }

  /** The guest's SYN has come: `connect` makes the host's connection, of which this object takes the events. */
  openFromGuest(syn: TcpSegment, connect: (events: HostTcpEvents) => HostTcpSocket): void {
    this.#hear(syn);
    this.#socket = connect(this);
  }

  /** A connection to a forwarded port has come in: the guest is called. */
  openFromHost(incoming: IncomingTcp): void {
    this.#socket = incoming.socket;
    this.#paused = true;
    incoming.bind(this);
    this.#state = "syn-sent";
    this.#startHandshake();
    this.#arm();
  }

  /** Whether a new SYN may take these endpoints over: the old connection is over, or has not come about. */
  yieldsTo(syn: TcpSegment): boolean {
    if (this.#state === "connecting") return syn.seq !== this.#guestInitial;
    return this.#state === "time-wait" && ((syn.seq - this.#receiver.next) | 0) > 0;
  }

  /** Takes a segment of the guest's. */
  receive(segment: TcpSegment): void {
    const now = this.#context.timers.now();
    this.#lastHeard = now;
    if (this.#state === "connecting") {
      if ((segment.flags & RST) !== 0) this.abort();
      return;
    }
    if (this.#state === "syn-sent") this.#receiveInSynSent(segment);
    else this.#receiveSynchronized(segment, now);
    this.#settle(now);
  }

  /** Sends what had no room before. */
  pump(): void {
    this.#settle(this.#context.timers.now());
  }

  /** Drops the connection on the host's side, and on ours without a word to the guest. */
  abort(): void {
    this.#socket?.destroy();
    this.#close();
  }

  /** Drops the connection on both sides. */
  reset(): void {
    if (this.#state !== "connecting" && this.#state !== "closed") {
      this.#sendBare(this.#sender.next, RST | ACK);
    }
    this.abort();
  }

  /** The network closes. What the guest has sent before still goes out, as it would from a host that was left. */
  dispose(): void {
    this.#state = "closed";
    this.#socket?.release();
    this.#socket = undefined;
    this.#timer.dispose();
  }

  connected(): void {
    if (this.#state !== "connecting") return;
    this.#state = "syn-received";
    this.quote = undefined;
    this.#startHandshake();
    this.#arm();
    this.#context.flush();
  }

  data(bytes: Uint8Array): void {
    if (this.#state === "closed") return;
    this.#sender.queue.push(bytes);
    if (!this.#paused && this.#sender.queue.length >= this.#context.bufferLimit) {
      this.#paused = true;
      this.#socket?.pause();
    }
    this.#settle(this.#context.timers.now());
    this.#context.flush();
  }

  ended(): void {
    this.#hostEnded = true;
    this.#sender.finish();
    if (this.#state === "established") this.#state = "fin-wait-1";
    else if (this.#state === "close-wait") this.#state = "last-ack";
    this.#settle(this.#context.timers.now());
    this.#context.flush();
  }

  drained(): void {
    if (this.#canReceive && this.#receiver.hasOpened(this.#room)) this.#ackNow = true;
    this.#settle(this.#context.timers.now());
    this.#context.flush();
  }

  closed(failure?: HostFailure): void {
    this.#socket = undefined;
    if (this.#state === "connecting") {
      this.#context.refused(this, failure ?? "other");
      this.#close();
    } else if (this.#state === "closed") {
      this.#release();
    } else if (this.#state !== "time-wait" && (failure !== undefined || !this.#hostEnded)) {
      this.reset();
    }
    this.#context.flush();
  }

  // The guest's segments

  #hear(syn: TcpSegment): void {
    this.#guestInitial = syn.seq;
    this.#guestMss = syn.mss;
    this.#guestShift = syn.shift;
    this.#receiver = new TcpReceiver(syn.seq);
    if (syn.shift >= 0) this.#receiver.scale();
  }

  #receiveInSynSent(segment: TcpSegment): void {
    const { flags, ack } = segment;
    const isOurs = (flags & ACK) !== 0 && ack === this.#sender.next;
    if ((flags & RST) !== 0) {
      if (isOurs) this.abort();
      return;
    }
    if ((flags & ACK) !== 0 && !isOurs) {
      this.#sendBare(ack, RST);
      return;
    }
    if ((flags & (SYN | ACK)) !== (SYN | ACK)) return;
    this.#hear(segment);
    // The window of a segment with SYN is never scaled.
    this.#establish(segment, segment.window);
    this.#ackNow = true;
  }

  #receiveSynchronized(segment: TcpSegment, now: number): void {
    const { flags, seq } = segment;
    const place = this.#receiver.place(segment);
    if ((flags & RST) !== 0) {
      // RFC 5961: only the exact number resets; one that is nearly right may have been guessed.
      if (seq === this.#receiver.next) this.abort();
      else if (place === "inside") this.#ackNow = true;
      return;
    }
    if ((flags & SYN) !== 0) {
      if (this.#state === "syn-received" && seq === this.#guestInitial) this.#sendSyn();
      else this.#ackNow = true;
      return;
    }
    if (place === "outside") {
      this.#ackNow = true;
      return;
    }
    if ((flags & ACK) === 0) return;
    if (this.#state === "syn-received") {
      if (segment.ack !== this.#sender.next) {
        this.#sendBare(segment.ack, RST);
        return;
      }
      this.#establish(segment, segment.window << Math.max(this.#guestShift, 0));
    }
    if (!this.#acknowledge(segment, now)) return;
    if (place === "old") {
      this.#ackNow = true;
      if (this.#state === "time-wait") this.#stateAt = now + TIME_WAIT;
      return;
    }
    if (segment.payloadLength === 0 && (flags & FIN) === 0) return;
    if (this.#canReceive) this.#take(segment, now);
    else this.#ackNow = true;
  }

  /** Handles the acknowledgement; false when nothing else of the segment is to be looked at. */
  #acknowledge(segment: TcpSegment, now: number): boolean {
    const isBare = segment.sequenceLength === 0;
    const outcome = this.#sender.acknowledge(segment.ack, segment.seq, segment.window, isBare, now);
    if (outcome === "ahead") {
      this.#ackNow = true;
      return false;
    }
    if (this.#sender.finAcknowledged) {
      if (this.#state === "fin-wait-1") this.#state = "fin-wait-2";
      else if (this.#state === "closing") this.#waitOut(now);
      else if (this.#state === "last-ack") {
        this.#close();
        return false;
      }
    }
    return true;
  }

  #take(segment: TcpSegment, now: number): void {
    if (this.#receiver.take(segment, this.#deliver) || (segment.flags & PSH) !== 0) this.#ackNow = true;
    this.#unacknowledged += segment.payloadLength;
    if (this.#unacknowledged >= ACK_EVERY) this.#ackNow = true;
    else this.#ackAt = Math.min(this.#ackAt, now + ACK_DELAY);
    if (!this.#receiver.finished) return;
    this.#socket?.end();
    if (this.#state === "established") this.#state = "close-wait";
    else if (this.#state === "fin-wait-1") this.#state = "closing";
    else this.#waitOut(now);
  }

  readonly #deliver = (bytes: Uint8Array): void => {
    this.#socket?.write(bytes);
  };

  get #canReceive(): boolean {
    return this.#state === "established" || this.#state === "fin-wait-1" || this.#state === "fin-wait-2";
  }

  #establish(segment: TcpSegment, window: number): void {
    // Window scaling counts only if both have offered it; we always have by now.
    this.#sender.open(segment.seq, window, this.#guestMss, this.#guestShift);
    this.#state = this.#hostEnded ? "fin-wait-1" : "established";
    this.#attempts = 0;
    this.#stateAt = this.#lastHeard + KEEPALIVE_IDLE;
    if (this.#paused) {
      this.#paused = false;
      this.#socket?.resume();
    }
  }

  #waitOut(now: number): void {
    this.#state = "time-wait";
    this.#stateAt = now + TIME_WAIT;
  }

  // Segments for the guest

  /** Sends what there is to send, keeps the host's socket going or at bay, and sets the timer. */
  #settle(now: number): void {
    switch (this.#state) {
      case "connecting":
      case "syn-sent":
      case "syn-received":
        break;
      case "closed":
        return;
      default:
        this.#sender.output(now);
        if (this.#sender.starved) this.#context.starved(this);
        if (this.#ackNow && !this.#sendBare(this.#sender.next, ACK)) {
          this.#ackNow = false;
          this.#ackAt = now + ACK_DELAY;
        }
        if (this.#paused && this.#sender.queue.length < this.#context.bufferLimit / 2) {
          this.#paused = false;
          this.#socket?.resume();
        }
    }
    this.#account();
    this.#arm();
  }

  #account(): void {
    const held = this.#sender.queue.length + (this.#socket?.pending ?? 0);
    this.#context.buffered += held - this.#accounted;
    this.#accounted = held;
  }

  /** What we can take of the guest's bytes. */
  get #room(): number {
    return Math.max(0, this.#context.bufferLimit - (this.#socket?.pending ?? 0));
  }

  #sendData(seq: number, flags: number, offset: number, length: number): boolean {
    if (this.#context.link.bulkRoom <= 0) return false;
    const segment = this.#outgoing;
    segment.queue = this.#sender.queue;
    segment.offset = offset;
    segment.length = length;
    const sent = this.#sendBare(seq, flags);
    segment.queue = undefined;
    segment.length = 0;
    this.#lastQueued = this.#context.link.queued;
    return sent;
  }

  #sendBare(seq: number, flags: number): boolean {
    const segment = this.#outgoing;
    segment.seq = seq;
    segment.flags = flags;
    segment.ack = (flags & ACK) === 0 ? 0 : this.#receiver.next;
    segment.window = (flags & RST) === 0 ? this.#receiver.advertise(this.#room) : 0;
    if (!sendSegment(this.#context.sender, this, segment)) return false;
    this.#ackNow = false;
    this.#ackAt = Infinity;
    this.#unacknowledged = 0;
    return true;
  }

  #startHandshake(): void {
    this.#attempts = 0;
    this.#sendSyn();
    this.#stateAt = this.#context.timers.now() + FIRST_HANDSHAKE_TIMEOUT;
  }

  #sendSyn(): void {
    const segment = this.#outgoing;
    const answering = this.#state === "syn-received";
    segment.seq = this.#initial;
    segment.flags = answering ? SYN | ACK : SYN;
    segment.ack = answering ? this.#receiver.next : 0;
    segment.window = answering
      ? Math.min(this.#receiver.advertise(this.#room) << this.#receiver.shift, 0xffff)
      : 0xffff;
    segment.mss = LARGEST_MSS;
    segment.shift = answering && this.#guestShift < 0 ? -1 : WINDOW_SHIFT;
    sendSegment(this.#context.sender, this, segment);
    segment.mss = 0;
    segment.shift = -1;
  }

  // Time

  #arm(): void {
    this.#timer.set(Math.min(this.#sender.deadline, this.#ackAt, this.#stateAt));
  }

  #tick(): void {
    const now = this.#context.timers.now();
    if (now >= this.#ackAt) this.#ackNow = true;
    if (now >= this.#sender.deadline) {
      const delivered = this.#context.link.taken >= this.#lastQueued;
      if (!this.#sender.expire(now, delivered)) this.reset();
    }
    if (now >= this.#stateAt) this.#tickState(now);
    this.#settle(now);
    this.#context.flush();
  }

  #tickState(now: number): void {
    switch (this.#state) {
      case "connecting":
        return;
      case "syn-sent":
      case "syn-received":
        this.#attempts++;
        if (this.#attempts === HANDSHAKE_ATTEMPTS) {
          this.abort();
          return;
        }
        this.#sendSyn();
        this.#stateAt = now + FIRST_HANDSHAKE_TIMEOUT * 2 ** this.#attempts;
        return;
      case "time-wait":
        this.#close();
        return;
      case "closed":
        this.#socket?.destroy();
        this.#stateAt = Infinity;
        return;
      default:
        this.#keepAlive(now);
    }
  }

  #keepAlive(now: number): void {
    // An answer to the last probe, which was sent one interval before this time came.
    if (this.#lastHeard >= this.#stateAt - KEEPALIVE_INTERVAL) this.#attempts = 0;
    if (this.#attempts === 0 && now - this.#lastHeard < KEEPALIVE_IDLE) {
      this.#stateAt = this.#lastHeard + KEEPALIVE_IDLE;
      return;
    }
    if (++this.#attempts > KEEPALIVE_PROBES) {
      this.reset();
      return;
    }
    // A byte that the guest has acknowledged long ago makes it say where it stands.
    this.#sendBare((this.#sender.unacknowledged - 1) | 0, ACK);
    this.#stateAt = now + KEEPALIVE_INTERVAL;
  }

  // The end

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#ackAt = Infinity;
    this.#sender.queue.consume(this.#sender.queue.length);
    this.#sender.deadline = Infinity;
    this.#account();
    this.#context.finished(this);
    if (this.#socket === undefined) {
      this.#release();
      return;
    }
    this.#stateAt = this.#context.timers.now() + LINGER;
    this.#arm();
  }

  #release(): void {
    this.#account();
    this.#timer.dispose();
    this.#context.released(this);
  }
}
