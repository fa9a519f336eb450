/**
 * Which code is worth translating again: every page of code is given some translations that its own changes may throw
 * away, and gets them back in time. So a page that changes all the time costs little, and a page that is used for other
 * code now and then (a translator in the guest, modules that come and go) is translated for as long as the guest runs.
 */

/** Translations that a page may lose one after the other. */
const PATIENCE = 8;
/** A page is given one back after this many instructions of the machine: an interpreter's tenth of a second. */
const FORGET_AFTER = 5_000_000;
/** Pages, and places in them, that are remembered. */
const MOST = 4096;

export class Patience {
  private readonly now: () => number;
  /** For each page when it will have all of its translations back, if it loses no more. */
  private readonly losses = new Map<number, number>();
  /** Places that gave no region, by page. */
  private readonly hopeless = new Map<number, Set<number>>();
  private places = 0;

  /** @param now instructions that the machine has executed, all harts together */
  constructor(now: () => number) {
    this.now = now;
  }

  /** Whether code at an offset in a page deserves a translation now. */
  deserves(page: number, offset: number): boolean {
    if (this.hopeless.get(page)?.has(offset)) return false;
    const ahead = (this.losses.get(page) ?? 0) - this.now();
    // Further ahead than losses can be, where the count of instructions went back: a snapshot was loaded.
    return ahead <= (PATIENCE - 1) * FORGET_AFTER || ahead > PATIENCE * FORGET_AFTER;
  }

  /** A translation of a page's code was of no use, because the code changed. */
  lost(page: number): void {
    const now = this.now();
    const clear = Math.max(this.losses.get(page) ?? 0, now) + FORGET_AFTER;
    this.losses.delete(page);
    this.losses.set(page, Math.min(clear, now + PATIENCE * FORGET_AFTER));
    if (this.losses.size <= MOST) return;
    // The one whose last loss is the longest ago.
    for (const oldest of this.losses.keys()) {
      this.losses.delete(oldest);
      return;
    }
  }

  /** There is nothing to translate at a place, as long as its page does not change. */
  giveUp(page: number, offset: number): void {
    if (this.places >= MOST) this.forgetPlaces();
    const known = this.hopeless.get(page);
    if (known?.has(offset)) return;
    if (known) known.add(offset);
    else this.hopeless.set(page, new Set([offset]));
    this.places++;
  }

  /** A page has other code now. */
  changed(page: number): void {
    const known = this.hopeless.get(page);
    if (known === undefined) return;
    this.places -= known.size;
    this.hopeless.delete(page);
  }

  /** All code is another one. */
  clear(): void {
    this.losses.clear();
    this.forgetPlaces();
  }

  private forgetPlaces(): void {
    this.hopeless.clear();
    this.places = 0;
  }
}
