// The sending half of a TCP connection toward the guest: window, retransmission (RFC 6298), fast retransmit and
// recovery (RFC 6582), zero-window probes (RFC 9293 section 3.8.6.1).

import { ByteQueue } from "./byte-queue.ts";
import { ACK, FIN, PSH } from "./tcp-segment.ts";

/** What the guest's segments must at least hold, whatever it says: one byte each would be an attack. */
const SMALLEST_MSS = 64;
/** Without the option (RFC 9293 section 3.7.1). */
const DEFAULT_MSS = 536;
export const LARGEST_MSS = 1460;
/** Retransmission timeouts (ms). */
const FIRST_TIMEOUT = 1000;
const SHORTEST_TIMEOUT = 300;
const LONGEST_TIMEOUT = 60_000;
/** Timeouts in a row after which the guest is taken for dead: about nine minutes. */
const TIMEOUTS = 13;
const DUPLICATES = 3;
/** No congestion is expected on the way to the guest: only its window counts until a segment is lost. */
const UNLIMITED = 0x7fffffff;

/** What came of an acknowledgement. */
export type AckOutcome = "old" | "same" | "advanced" | "ahead";

/** Puts a segment on its way: `length` bytes of the queue from `offset`. False: no room now. */
export type SendSegment = (seq: number, flags: number, offset: number, length: number) => boolean;

/** Bytes for the guest, and what it has acknowledged of them. */
export class TcpSender {
  readonly queue = new ByteQueue();
  /** When something has to be sent again, Infinity when nothing is under way (ms). */
  deadline = Infinity;
  /** The queue of frames was full: `output` has to be called again when it has room. */
  starved = false;
  /** First unacknowledged, next to send, and one past the highest sent (SND.UNA, SND.NXT, SND.MAX). */
  #una: number;
  #nxt: number;
  #max: number;
  #window = 0;
  #largestWindow = 0;
  /** Of the segment that last changed the window (SND.WL1, SND.WL2). */
  #windowSeq = 0;
  #windowAck = 0;
  #shift = 0;
  #mss = DEFAULT_MSS;
  #finWanted = false;
  #finAcknowledged = false;
  readonly #send: SendSegment;

  #timeout = FIRST_TIMEOUT;
  #timeouts = 0;
  #smoothed = 0;
  #variation = 0;
  /** The byte whose round trip is being timed, while `#timedAt` is not negative. */
  #timedSeq = 0;
  #timedAt = -1;

  #congestionWindow = UNLIMITED;
  #threshold = UNLIMITED;
  #duplicates = 0;
  #recovering = false;
  #recover: number;

  /** `initial` is the sequence number of our SYN, which is taken as sent. */
  constructor(initial: number, send: SendSegment) {
    this.#una = initial;
    this.#nxt = this.#max = (initial + 1) | 0;
    this.#recover = initial;
    this.#send = send;
  }

  /** The next sequence number to send. */
  get next(): number {
    return this.#nxt;
  }

  /** The first sequence number not yet acknowledged. */
  get unacknowledged(): number {
    return this.#una;
  }

  get finAcknowledged(): boolean {
    return this.#finAcknowledged;
  }

  /** Our SYN was acknowledged: what the guest's SYN offered holds from now on. `shift` is -1 without window scaling. */
  open(seq: number, window: number, mss: number, shift: number): void {
    this.#una = this.#nxt = this.#max;
    this.#mss = Math.min(Math.max(mss === 0 ? DEFAULT_MSS : mss, SMALLEST_MSS), LARGEST_MSS);
    this.#shift = Math.max(shift, 0);
    this.#window = this.#largestWindow = window;
    this.#windowSeq = seq;
    this.#windowAck = this.#una;
    this.#timeouts = 0;
    this.#timeout = FIRST_TIMEOUT;
  }

  /** Nothing more is queued: FIN follows the last byte. */
  finish(): void {
    this.#finWanted = true;
  }

  /** Takes the acknowledgement and window of a segment of the guest's. */
  acknowledge(ack: number, seq: number, rawWindow: number, isBare: boolean, now: number): AckOutcome {
    if (((ack - this.#max) | 0) > 0) return "ahead";
    const acked = (ack - this.#una) | 0;
    if (acked < 0) return "old";
    const window = rawWindow << this.#shift;
    const changesWindow = window !== this.#window;
    if (acked > 0) this.#advance(ack, acked, now);
    // A second acknowledgement of the same byte, and nothing else in it: a segment after that byte has come.
    else if (isBare && !changesWindow && window > 0 && this.#flight > 0) this.#duplicate();
    if (((seq - this.#windowSeq) | 0) > 0 || (seq === this.#windowSeq && ((ack - this.#windowAck) | 0) >= 0)) {
      if (changesWindow && this.#window === 0) {
        // What went into the closed window was probes: the guest has not kept them.
        this.#nxt = this.#una;
        this.#setTimeout();
        this.deadline = Infinity;
      }
      this.#window = window;
      this.#largestWindow = Math.max(this.#largestWindow, window);
      this.#windowSeq = seq;
      this.#windowAck = ack;
      // A guest that keeps its window closed but answers the probes is alive.
      if (window === 0) this.#timeouts = 0;
    }
    return acked > 0 ? "advanced" : "same";
  }

  /** Sends what the window allows. */
  output(now: number): void {
    this.starved = false;
    if (this.#finAcknowledged) return;
    for (;;) {
      const offset = (this.#nxt - this.#una) | 0;
      const unsent = this.queue.length - offset;
      // Negative: FIN has been sent too.
      if (unsent < 0 || (unsent === 0 && !this.#finWanted)) break;
      const usable = Math.max(0, Math.min(this.#window, this.#congestionWindow) - offset);
      const length = Math.min(this.#mss, unsent, usable);
      const isLast = length === unsent;
      // Rather nothing than a silly little segment (RFC 9293 section 3.8.6.2.1); the end of the data may be short.
      if (!isLast && length < this.#mss && (length === 0 || length < this.#largestWindow / 2)) break;
      if (!this.#emit(offset, length, isLast, now)) break;
    }
    // What a closed window holds back has to be probed for.
    const held = this.queue.length > 0 && !this.starved;
    if (this.deadline === Infinity && (this.#flight > 0 || held)) this.deadline = now + this.#timeout;
  }

  /** `deadline` has passed. `delivered`: the guest has taken all frames. False: the guest is given up. */
  expire(now: number, delivered: boolean): boolean {
    this.deadline = now + this.#timeout;
    // Sending again what still waits in the queue of frames would help nobody.
    if (!delivered) return true;
    if (++this.#timeouts > TIMEOUTS) return false;
    this.#timeout = Math.min(this.#timeout * 2, LONGEST_TIMEOUT);
    this.deadline = now + this.#timeout;
    this.#timedAt = -1;
    this.#recovering = false;
    this.#recover = this.#max;
    this.#duplicates = 0;
    if (this.#flight > 0 && this.#window > 0) {
      this.#threshold = Math.max(this.#flight / 2, 2 * this.#mss);
      this.#congestionWindow = this.#mss;
    }
    this.#nxt = this.#una;
    if (this.#window === 0 && this.queue.length > 0) {
      this.#emit(0, 1, this.queue.length === 1, now);
    } else {
      this.output(now);
    }
    return true;
  }

  get #flight(): number {
    return (this.#max - this.#una) | 0;
  }

  /** Sends a segment at `offset`, with FIN if it is the last one. */
  #emit(offset: number, length: number, isLast: boolean, now: number): boolean {
    const fin = isLast && this.#finWanted;
    const seq = (this.#una + offset) | 0;
    const flags = ACK | (isLast && length > 0 ? PSH : 0) | (fin ? FIN : 0);
    if (!this.#send(seq, flags, offset, length)) {
      this.starved = true;
      return false;
    }
    const end = (seq + length + (fin ? 1 : 0)) | 0;
    // Only bytes sent once are timed (Karn's rule).
    if (this.#timedAt < 0 && seq === this.#max) {
      this.#timedAt = now;
      this.#timedSeq = end;
    }
    this.#nxt = end;
    if (((end - this.#max) | 0) > 0) this.#max = end;
    if (this.deadline === Infinity) this.deadline = now + this.#timeout;
    return true;
  }

  #advance(ack: number, acked: number, now: number): void {
    const bytes = Math.min(acked, this.queue.length);
    this.queue.consume(bytes);
    if (acked > bytes) this.#finAcknowledged = true;
    if (this.#timedAt >= 0 && ((ack - this.#timedSeq) | 0) >= 0) this.#measure(now - this.#timedAt);
    this.#una = ack;
    if (((this.#nxt - ack) | 0) < 0) this.#nxt = ack;
    this.#timeouts = 0;
    this.#setTimeout();
    this.deadline = this.#flight > 0 ? now + this.#timeout : Infinity;
    this.#duplicates = 0;
    if (this.#recovering) {
      if (((ack - this.#recover) | 0) >= 0) {
        this.#recovering = false;
        this.#congestionWindow = this.#threshold;
      } else {
        // The next hole.
        this.#congestionWindow = Math.max(this.#congestionWindow - acked + this.#mss, this.#mss);
        this.#retransmitFirst();
      }
    } else if (this.#congestionWindow < this.#threshold) {
      this.#congestionWindow += acked;
    } else if (this.#congestionWindow < UNLIMITED - this.#mss) {
      this.#congestionWindow += Math.ceil((this.#mss * this.#mss) / this.#congestionWindow);
    }
  }

  #duplicate(): void {
    this.#duplicates++;
    if (this.#recovering) {
      this.#congestionWindow += this.#mss;
    } else if (this.#duplicates === DUPLICATES && ((this.#una - this.#recover) | 0) > 0) {
      this.#recovering = true;
      this.#recover = this.#max;
      this.#threshold = Math.max(this.#flight / 2, 2 * this.#mss);
      this.#congestionWindow = this.#threshold + DUPLICATES * this.#mss;
      this.#retransmitFirst();
    }
  }

  #retransmitFirst(): void {
    this.#timedAt = -1;
    const length = Math.min(this.#mss, this.queue.length, this.#flight);
    // FIN again only if it was under way.
    const fin = length === this.queue.length && this.#flight > length;
    // Without room now the retransmission timeout will do it.
    this.#send(this.#una, ACK | (length > 0 ? PSH : 0) | (fin ? FIN : 0), 0, length);
  }

  #measure(roundTrip: number): void {
    this.#timedAt = -1;
    const sample = Math.max(roundTrip, 1);
    if (this.#smoothed === 0) {
      this.#smoothed = sample;
      this.#variation = sample / 2;
    } else {
      this.#variation += (Math.abs(this.#smoothed - sample) - this.#variation) / 4;
      this.#smoothed += (sample - this.#smoothed) / 8;
    }
  }

  #setTimeout(): void {
    const estimate = this.#smoothed === 0 ? FIRST_TIMEOUT : this.#smoothed + 4 * this.#variation;
    this.#timeout = Math.min(Math.max(estimate, SHORTEST_TIMEOUT), LONGEST_TIMEOUT);
  }
}
