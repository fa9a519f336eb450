// The receiver of a 16550A: bytes with the errors that came with them, up to 16 of them or just one.
// National Semiconductor PC16550D data sheet, 8.4 (line status) and 8.5 (FIFO control).

import { checkState } from "../../device/snapshot.ts";
import { loadArray } from "../state.ts";

const FIFO_SIZE = 16;

/** The state of a receiver in a snapshot. */
export interface SerialFifoState {
  readonly version: 1;
  readonly bytes: Uint8Array;
  readonly errors: Uint8Array;
  readonly first: number;
  readonly count: number;
  readonly capacity: number;
}

/** A ring of received bytes. */
export class SerialFifo {
  readonly #bytes = new Uint8Array(FIFO_SIZE);
  /** For each byte, the LSR bits that it brings up. */
  readonly #errors = new Uint8Array(FIFO_SIZE);
  #first = 0;
  #count = 0;
  #capacity = 1;

  get count(): number {
    return this.#count;
  }

  get room(): number {
    return this.#capacity - this.#count;
  }

  /** Empties the receiver and sets how many bytes it holds: 16 as a FIFO, 1 without. */
  clear(asFifo: boolean): void {
    this.#first = 0;
    this.#count = 0;
    this.#bytes.fill(0);
    this.#errors.fill(0);
    this.#capacity = asFifo ? FIFO_SIZE : 1;
  }

  /**
   * Adds a byte. Returns false if there was no room: a FIFO keeps what it has, a single register takes the new byte.
   */
  push(byte: number, errors: number): boolean {
    const overrun = this.room === 0;
    if (overrun && this.#capacity > 1) return false;
    if (overrun) this.#count = 0;
    const index = (this.#first + this.#count) % FIFO_SIZE;
    this.#bytes[index] = byte;
    this.#errors[index] = errors;
    this.#count++;
    return !overrun;
  }

  /** Takes the oldest byte; 0 from an empty FIFO, the last byte once more from an empty register. */
  shift(): number {
    if (this.#count === 0) return this.#capacity > 1 ? 0 : this.#bytes[this.#first]!;
    const byte = this.#bytes[this.#first]!;
    this.#errors[this.#first] = 0;
    this.#count--;
    // The register stays where it is, so that its last byte can be read again.
    if (this.#capacity > 1) this.#first = (this.#first + 1) % FIFO_SIZE;
    return byte;
  }

  /** Takes the errors of the oldest byte, if there is one: each is told once. */
  takeErrors(): number {
    if (this.#count === 0) return 0;
    const errors = this.#errors[this.#first]!;
    this.#errors[this.#first] = 0;
    return errors;
  }

  /** Whether any byte has errors that were not taken yet. */
  get hasErrors(): boolean {
    for (let i = 0; i < this.#count; i++) {
      if (this.#errors[(this.#first + i) % FIFO_SIZE] !== 0) return true;
    }
    return false;
  }

  save(): SerialFifoState {
    return {
      version: 1,
      bytes: this.#bytes.slice(),
      errors: this.#errors.slice(),
      first: this.#first,
      count: this.#count,
      capacity: this.#capacity,
    };
  }

  load(saved: unknown): void {
    const state = checkState<SerialFifoState>(saved, 1);
    loadArray(this.#bytes, state.bytes, "received bytes");
    loadArray(this.#errors, state.errors, "received errors");
    this.#capacity = state.capacity === FIFO_SIZE ? FIFO_SIZE : 1;
    this.#first = state.first % FIFO_SIZE || 0;
    this.#count = Math.min(state.count, this.#capacity) || 0;
  }
}
