// TCP segments that came before their turn.

/** Pieces that are kept; what comes beyond is dropped and will be sent again. */
const PIECES = 256;

interface Piece {
  seq: number;
  bytes: Uint8Array;
}

/** Pieces of the byte stream, ascending and without overlap. Sequence numbers are compared modulo 2^32 (RFC 9293). */
export class ReorderQueue {
  readonly #pieces: Piece[] = [];

  get empty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Keeps a copy of what is new in the bytes that begin at `seq`. The caller has cut them to the receive window. */
  insert(seq: number, bytes: Uint8Array): void {
    const pieces = this.#pieces;
    let start = seq;
    let rest = bytes;
    let index = 0;
    while (rest.length > 0) {
      // Past the pieces that end before our bytes begin.
      while (index < pieces.length && ((endOf(pieces[index]!) - start) | 0) <= 0) index++;
      const next = pieces[index];
      const gap = next === undefined ? rest.length : (next.seq - start) | 0;
      if (gap > 0) {
        if (pieces.length >= PIECES) return;
        const length = Math.min(gap, rest.length);
        pieces.splice(index, 0, { seq: start, bytes: rest.slice(0, length) });
        index++;
      }
      if (next === undefined) return;
      // On after the piece that is there already.
      const skip = (endOf(next) - start) | 0;
      if (skip >= rest.length) return;
      rest = rest.subarray(skip);
      start = (start + skip) | 0;
    }
  }

  /** Takes the bytes that continue the stream at `seq`, undefined if they have not come. */
  take(seq: number): Uint8Array | undefined {
    const first = this.#pieces[0];
    if (first === undefined || ((first.seq - seq) | 0) > 0) return undefined;
    this.#pieces.shift();
    const known = (seq - first.seq) | 0;
    return known >= first.bytes.length ? this.take(seq) : first.bytes.subarray(known);
  }

  clear(): void {
    this.#pieces.length = 0;
  }
}

function endOf(piece: Piece): number {
  return (piece.seq + piece.bytes.length) | 0;
}
