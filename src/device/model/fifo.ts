// Queues of a device: FIFOs between its two sides.

import { UserError } from "../../util/user-error.ts";
import { hex, plural } from "./message-format.ts";

/**
 * What a FIFO can be.
 * @example const rx = fifo("rx", { depth: 16, width: 8 });
 */
export interface FifoOptions {
  /** How many items it holds. */
  readonly depth: number;
  /** Bits of an item; 8 unless given. */
  readonly width?: 8 | 16 | 32;
}

/**
 * A queue of fixed depth. Its items are saved with the device, and a reset empties it.
 * @example on.read("DATA", () => rx.pop() ?? 0);
 */
export interface Fifo {
  readonly depth: number;
  /** How many items are in it. */
  readonly length: number;
  /** For how many there is room. */
  readonly free: number;
  readonly empty: boolean;
  readonly full: boolean;
  /** Adds an item at the end. @returns false if there is no room; then nothing happens */
  push(item: number): boolean;
  /** Takes the first item, undefined if there is none. */
  pop(): number | undefined;
  /** Looks at the first item without taking it. */
  peek(): number | undefined;
  clear(): void;
}

const LARGEST_DEPTH = 1 << 20;

/** The queue behind a `Fifo`. */
export class ModelFifo implements Fifo {
  readonly depth: number;
  /** Bits of an item. */
  readonly width: number;
  readonly #name: string;
  readonly #limit: number;
  readonly #items: Uint32Array;
  readonly #use: () => void;
  #first = 0;
  #length = 0;

  /** @throws RangeError if the depth or width is none */
  constructor(name: string, { depth, width = 8 }: FifoOptions, use: () => void) {
    if (!Number.isInteger(depth) || depth < 1 || depth > LARGEST_DEPTH) {
      throw new RangeError(`a depth of ${String(depth)}: expected 1 to ${LARGEST_DEPTH}`);
    }
    if (width !== 8 && width !== 16 && width !== 32)
      throw new RangeError(`a width of ${String(width)}: expected 8, 16 or 32`);
    this.depth = depth;
    this.width = width;
    this.#name = name;
    this.#limit = 2 ** width;
    this.#items = new Uint32Array(depth);
    this.#use = use;
  }

  get length(): number {
    this.#use();
    return this.#length;
  }

  get free(): number {
    this.#use();
    return this.depth - this.#length;
  }

  get empty(): boolean {
    this.#use();
    return this.#length === 0;
  }

  get full(): boolean {
    this.#use();
    return this.#length === this.depth;
  }

  push(item: number): boolean {
    this.#use();
    if (!Number.isInteger(item) || item < 0 || item >= this.#limit) {
      const shown = Number.isInteger(item) ? hex(item) : String(item);
      throw new RangeError(`${this.#name}.push(${shown}): expected 0 to ${hex(this.#limit - 1)}`);
    }
    if (this.#length === this.depth) return false;
    this.#items[(this.#first + this.#length) % this.depth] = item;
    this.#length++;
    return true;
  }

  pop(): number | undefined {
    this.#use();
    if (this.#length === 0) return undefined;
    const item = this.#items[this.#first]!;
    this.#first = (this.#first + 1) % this.depth;
    this.#length--;
    return item;
  }

  peek(): number | undefined {
    this.#use();
    return this.#length === 0 ? undefined : this.#items[this.#first]!;
  }

  clear(): void {
    this.#first = 0;
    this.#length = 0;
  }

  save(): number[] {
    return Array.from({ length: this.#length }, (_, i) => this.#items[(this.#first + i) % this.depth]!);
  }

  /** @throws UserError if it is nothing that `save` gave, and then changes nothing */
  check(items: unknown): readonly number[] {
    const good =
      Array.isArray(items) && items.every((item) => Number.isInteger(item) && item >= 0 && item < this.#limit);
    if (!good) throw new UserError(`${this.#name} should be a list of items below ${hex(this.#limit)}`);
    if (items.length > this.depth) throw new UserError(`${this.#name} has room for ${plural(this.depth, "item")}`);
    return items;
  }

  load(items: readonly number[]): void {
    this.clear();
    for (const item of items) this.push(item);
  }
}
