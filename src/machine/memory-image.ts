// What is in a machine's memory at one moment, page by page. Images of one family of machines share the pages that are
// the same, so taking one and going back to one cost what was written since. docs/design/snapshot.md.

import type { Engine } from "../riscv/engine.ts";
import { PAGE_CODE, PAGE_DIRTY } from "../riscv/layout.ts";

const PAGE = 4096;

/** Guest memory, RAM and ROMs, in pages of 4 KiB in the order of the engine's memory; a page of zeros may be undefined. Never changed. */
export type MemoryImage = readonly (Uint8Array | undefined)[];

/** Takes and puts back the memory of one engine. */
export class MemoryImager {
  readonly #engine: Engine;
  /** The engine's memory is this, but for pages that are marked dirty. */
  #last: MemoryImage | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The memory as it is now. */
  save(): MemoryImage {
    const { layout, u8 } = this.#engine;
    const first = layout.ram / PAGE;
    const count = (layout.total - layout.ram) / PAGE;
    const changed = new Set(this.#romPages());
    for (let page = 0; page < count; page++) {
      if (u8[layout.pageFlags + first + page]! & PAGE_DIRTY) changed.add(page);
    }
    for (const page of changed) {
      const known = this.#last?.[page];
      if (known !== undefined && sameBytes(u8, (first + page) * PAGE, known)) changed.delete(page);
    }
    if (this.#last === undefined || changed.size > 0) {
      const image = this.#last?.slice() ?? Array.from({ length: count }, () => undefined);
      const bytes = new Uint8Array(changed.size * PAGE);
      let at = 0;
      for (const page of changed) {
        const copy = bytes.subarray(at, (at += PAGE));
        copy.set(u8.subarray((first + page) * PAGE, (first + page + 1) * PAGE));
        image[page] = copy;
      }
      this.#last = image;
    }
    this.#clean();
    // The next write to each page is to be seen.
    for (const hart of this.#engine.harts) this.#engine.exports.flushWrites(hart.base);
    return this.#last;
  }

  /** Makes the memory what it was; the harts' TLBs are flushed by who calls. The image is of an engine laid out like this one. */
  load(image: MemoryImage): void {
    const { layout, u8 } = this.#engine;
    const first = layout.ram / PAGE;
    const last = this.#last;
    for (let page = 0; page < image.length; page++) {
      const bytes = image[page];
      if ((u8[layout.pageFlags + first + page]! & PAGE_DIRTY) !== 0 || last?.[page] !== bytes)
        this.#put(first + page, bytes);
    }
    for (const page of this.#romPages()) this.#put(first + page, image[page]);
    this.#last = image;
    this.#clean();
  }

  #put(page: number, bytes: Uint8Array | undefined): void {
    const engine = this.#engine;
    const { layout, u8 } = engine;
    const host = page * PAGE;
    if ((u8[layout.pageFlags + page]! & PAGE_CODE) !== 0) {
      if (bytes !== undefined && sameBytes(u8, host, bytes)) return;
      // What was decoded and translated from other bytes goes; all other code stays.
      engine.stored(host, PAGE);
    }
    if (bytes === undefined) u8.fill(0, host, host + PAGE);
    else u8.set(bytes, host);
  }

  #clean(): void {
    const { layout, u8 } = this.#engine;
    for (let page = layout.ram / PAGE; page < layout.total / PAGE; page++) u8[layout.pageFlags + page]! &= ~PAGE_DIRTY;
  }

  /** Pages of ROMs: the board fills them without telling anybody. */
  #romPages(): number[] {
    const { space, memory, layout } = this.#engine;
    const pages = new Set<number>();
    for (const { region } of space.flatView.ranges) {
      const { bytes } = region;
      if (region.kind !== "rom" || bytes === undefined || bytes.buffer !== memory.buffer) continue;
      for (let at = bytes.byteOffset; at < bytes.byteOffset + bytes.length; at += PAGE)
        pages.add((at - layout.ram) / PAGE);
    }
    return [...pages];
  }
}

function sameBytes(memory: Uint8Array, at: number, bytes: Uint8Array): boolean {
  const words = new BigUint64Array(memory.buffer, at, bytes.length / 8);
  const others = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  return words.every((word, i) => word === others[i]);
}
