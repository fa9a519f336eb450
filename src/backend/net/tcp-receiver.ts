// The receiving half of a TCP connection toward the guest: the window, the order of segments, FIN (RFC 9293 section 3.10.7).

import { ReorderQueue } from "./reorder-queue.ts";
import { FIN, type TcpSegment } from "./tcp-segment.ts";
import { LARGEST_MSS } from "./tcp-sender.ts";

/** The window shift that we offer: enough for 512 KiB. */
export const WINDOW_SHIFT = 3;
const LARGEST_FIELD = 0xffff;

/** Where a segment lies: wholly before the window, in it, or after it. */
export type SegmentPlace = "old" | "inside" | "outside";

/** What has come from the guest. */
export class TcpReceiver {
  /** Everything up to the guest's FIN has come. */
  finished = false;
  /** The next sequence number expected, and the right edge of the window that we have promised. */
  #next: number;
  #edge: number;
  #shift = 0;
  #finAt: number | undefined;
  readonly #reorder = new ReorderQueue();

  /** `initial` is the sequence number of the guest's SYN. */
  constructor(initial: number) {
    this.#next = this.#edge = (initial + 1) | 0;
  }

  get next(): number {
    return this.#next;
  }

  /** Whether segments are missing before some that have come. */
  get hasHoles(): boolean {
    return !this.#reorder.empty;
  }

  get shift(): number {
    return this.#shift;
  }

  /** Window scaling was agreed on. */
  scale(): void {
    this.#shift = WINDOW_SHIFT;
  }

  /** The window field of a segment to be sent now, `room` being what we can take. A promise is never taken back. */
  advertise(room: number): number {
    if (this.#gain(room) >= Math.min(room / 2, LARGEST_MSS)) this.#edge = (this.#next + room) | 0;
    return Math.min(((this.#edge - this.#next) | 0) >> this.#shift, LARGEST_FIELD);
  }

  /** Whether the window has opened so far that the guest should hear of it at once. */
  hasOpened(room: number): boolean {
    const promised = (this.#edge - this.#next) | 0;
    return this.#gain(room) >= (promised < LARGEST_MSS ? LARGEST_MSS : room / 2);
  }

  /** Where the segment lies in the window. */
  place(segment: TcpSegment): SegmentPlace {
    const { seq, sequenceLength } = segment;
    const before = (this.#next - seq) | 0;
    if (before > 0) return before >= sequenceLength ? "old" : "inside";
    return ((this.#edge - seq) | 0) < 0 ? "outside" : "inside";
  }

  /** Takes the payload and FIN of a segment that lies inside. True: it has to be acknowledged at once. */
  take(segment: TcpSegment, deliver: (bytes: Uint8Array) => void): boolean {
    const skip = Math.max(0, (this.#next - segment.seq) | 0);
    const seq = (segment.seq + skip) | 0;
    const offset = segment.payloadOffset + skip;
    const offered = Math.max(0, segment.payloadLength - skip);
    const length = Math.max(0, Math.min(offered, (this.#edge - seq) | 0, this.#untilFin(seq)));
    // Where bytes were cut off, FIN was cut off too.
    if ((segment.flags & FIN) !== 0 && length === offered) this.#finAt ??= (seq + length) | 0;
    let isUrgent = length < offered || seq !== this.#next || skip > 0 || this.hasHoles;
    if (length > 0) {
      const bytes = segment.bytes.subarray(offset, offset + length);
      if (seq === this.#next) {
        this.#next = (this.#next + length) | 0;
        deliver(bytes);
        this.#takeReordered(deliver);
      } else {
        this.#reorder.insert(seq, bytes);
      }
    }
    if (this.#finAt === this.#next && !this.finished) {
      this.finished = true;
      this.#next = (this.#next + 1) | 0;
      this.#reorder.clear();
      isUrgent = true;
    }
    return isUrgent;
  }

  #takeReordered(deliver: (bytes: Uint8Array) => void): void {
    while (this.hasHoles) {
      const bytes = this.#reorder.take(this.#next);
      if (bytes === undefined) return;
      const length = Math.min(bytes.length, this.#untilFin(this.#next));
      this.#next = (this.#next + length) | 0;
      if (length > 0) deliver(bytes.subarray(0, length));
    }
  }

  /** Bytes that can still come before the guest's FIN. */
  #untilFin(seq: number): number {
    return this.#finAt === undefined ? Infinity : Math.max(0, (this.#finAt - seq) | 0);
  }

  #gain(room: number): number {
    return (this.#next + room - this.#edge) | 0;
  }
}
