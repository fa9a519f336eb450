// A queue of bytes that can be read from any place: what TCP has yet to send, and must be able to send again.

/** Shorter pieces are gathered, so that a peer that writes single bytes does not cost an array each. */
const GATHERED = 2048;
const GATHER_ROOM = 16 * 1024;

/** Bytes in order, taken off at the front. */
export class ByteQueue {
  #length = 0;
  /** Bytes taken off since the beginning; chunk positions count from there too. */
  #base = 0;
  #chunks: Uint8Array[] = [];
  #starts: number[] = [];
  #first = 0;
  /** The chunk that was read last: reading goes on there. */
  #cursor = 0;
  /** Room left in the last chunk, if it is one of ours that is being filled. */
  #gatherRoom = 0;

  get length(): number {
    return this.#length;
  }

  /** Appends bytes; longer ones are kept, not copied. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const end = this.#base + this.#length;
    if (bytes.length < GATHERED) {
      if (bytes.length > this.#gatherRoom) {
        this.#append(new Uint8Array(GATHER_ROOM), end);
        this.#gatherRoom = GATHER_ROOM;
      }
      const last = this.#chunks.length - 1;
      this.#chunks[last]!.set(bytes, end - this.#starts[last]!);
      this.#gatherRoom -= bytes.length;
    } else {
      this.#append(bytes, end);
      this.#gatherRoom = 0;
    }
    this.#length += bytes.length;
  }

  /** Takes bytes off the front. */
  consume(count: number): void {
    this.#base += count;
    this.#length -= count;
    if (this.#length === 0) {
      this.#chunks.length = this.#starts.length = 0;
      this.#first = this.#cursor = this.#gatherRoom = 0;
      return;
    }
    while (this.#first + 1 < this.#chunks.length && this.#starts[this.#first + 1]! <= this.#base) this.#first++;
    // Chunks that are done with are let go now and then, not each by itself: that would move the whole list.
    if (this.#first >= 32) {
      this.#chunks.splice(0, this.#first);
      this.#starts.splice(0, this.#first);
      this.#cursor = Math.max(0, this.#cursor - this.#first);
      this.#first = 0;
    }
  }

  /** Copies `length` bytes that begin `offset` after the front. */
  copy(offset: number, length: number, into: Uint8Array, at: number): void {
    let position = this.#base + offset;
    const stop = position + length;
    let index = this.#cursor;
    if (index < this.#first || this.#starts[index]! > position) index = this.#first;
    let target = at;
    while (position < stop) {
      while (index + 1 < this.#chunks.length && this.#starts[index + 1]! <= position) index++;
      const start = this.#starts[index]!;
      const end = Math.min(stop, this.#starts[index + 1] ?? stop);
      into.set(this.#chunks[index]!.subarray(position - start, end - start), target);
      target += end - position;
      position = end;
    }
    this.#cursor = index;
  }

  #append(chunk: Uint8Array, start: number): void {
    this.#chunks.push(chunk);
    this.#starts.push(start);
  }
}
