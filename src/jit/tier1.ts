/**
 * The manager of translated code: collects hot entries, has them translated in batches, puts the result in place, and
 * takes it away again when the code that it came from changes. docs/design/jit.md.
 */
import { disassemble } from "../isa/disassembler.ts";
import type { Engine, Tier1 } from "../riscv/engine.ts";
import type { Hart } from "../riscv/hart.ts";
import { CODE, CTX, DEVICE_MARK, HANDLER_REGION, OP, S, SIDE, XTLB_ENTRIES } from "../riscv/layout.ts";
import type { Log } from "../util/log.ts";
import type { TranslatedRegion, Translation, TranslationEntry } from "./module.ts";
import { Patience } from "./patience.ts";

/** A translated batch, compiled. */
export interface CompiledTranslation extends Omit<Translation, "bytes"> {
  readonly module: WebAssembly.Module;
  readonly size: number;
}

/** Translates and compiles, here or elsewhere. One batch is under way at a time. */
export interface Compiler {
  /** Entries that it takes at once, if fewer than are sent otherwise. */
  readonly batch?: number;
  /** Calls `done` once, with nothing where there was nothing to translate. */
  translate(entries: readonly TranslationEntry[], done: (result: CompiledTranslation | undefined) => void): void;
  close(): void;
}

/** Pages around an entry that translation may look at, in each direction. */
const NEAR = 40;
/**
 * How many times hotter a place inside a region must be to become an entry itself. It takes such a place only to get back
 * into translated code, which the next round of a loop does as well; the region would be translated once more for it.
 */
const INSIDE = 8;
/** Entries in a batch at most. */
const BATCH = 8;
/** Code bytes that are kept; beyond, everything is translated anew as it gets hot. */
const CODE_BUDGET = 24 << 20;
/** Table slots to add when all are taken. */
const MORE_SLOTS = 64;

/** A module in use. */
interface Installed {
  readonly size: number;
  readonly slots: readonly { readonly ip: number; readonly side: number; readonly slot: number }[];
  /** What it was made from: pages, and in each the chunks of 64 bytes, a bit for each. */
  readonly pages: readonly { readonly host: number; readonly low: number; readonly high: number }[];
  /** Places of loads and stores at which it leaves to reach a device. */
  readonly plainAccesses: ReadonlySet<number>;
  /** Places where its regions need not be entered. */
  readonly inside: ReadonlySet<number>;
}

/** Whether it has instructions in the chunks of some bytes of a page. */
function isMadeFrom({ pages }: Installed, host: number, offset: number, length: number): boolean {
  const page = pages.find((candidate) => candidate.host === host);
  if (page === undefined) return false;
  for (let chunk = offset >> 6; chunk <= (offset + length - 1) >> 6; chunk++)
    if ((chunk < 32 ? page.low >>> chunk : page.high >>> (chunk - 32)) & 1) return true;
  return false;
}

export class RegionCache implements Tier1 {
  private readonly engine: Engine;
  private readonly compiler: Compiler;
  private readonly log: Log;
  private pending: TranslationEntry[] = [];
  private readonly waiting = new Set<number>();
  private busy = false;
  /** How often all code was forgotten. */
  private dropped = 0;
  private readonly byPage = new Map<number, Set<Installed>>();
  private readonly freeSlots: number[] = [];
  private readonly patience: Patience;
  /** Bytes of code in use, and how many modules. */
  codeSize = 0;
  modules = 0;
  regions = 0;
  /** Regions put in place since the machine was made. */
  installed = 0;
  private readonly monotonic: () => number;
  /** The longest time that the machine waited for the translator, and all such time, in nanoseconds. */
  private longest = 0;
  private waited = 0;

  /** @param monotonic a clock in nanoseconds, for the log */
  constructor(engine: Engine, compiler: Compiler, log: Log, monotonic: () => number = () => 0) {
    this.engine = engine;
    this.compiler = compiler;
    this.log = log;
    this.monotonic = monotonic;
    this.patience = new Patience(() => engine.harts.reduce((sum, hart) => sum + Number(hart.instret), 0));
    engine.tier1 = this;
  }

  hot(hart: Hart, page: number, ip: number): void {
    const { engine } = this;
    const host = engine.u32[(page + CODE.hostPage) >> 2]!;
    const offset = (ip - page) >> 3;
    const place = host + offset;
    if (this.waiting.has(place) || !this.patience.deserves(host, offset)) return;
    if (engine.view.getUint16(ip, true) === HANDLER_REGION) return;
    if (host === 0) return; // a scratch page
    const jumps = engine.view.getUint16(page + CODE.side + (offset >> 1) * SIDE.size + SIDE.count, true);
    if (this.isInside(host, place) && jumps % (INSIDE * engine.hotCount) !== 0) return;
    this.waiting.add(place);
    this.pending.push({ host, offset, pc: hart.pc, near: this.nearPages(hart, host, page) });
  }

  /** Whether a region goes through a place and will be entered soon. */
  private isInside(host: number, place: number): boolean {
    for (const installed of this.byPage.get(host) ?? []) if (installed.inside.has(place)) return true;
    return false;
  }

  /** The pages around a hart's pc that its fetch entries know. */
  private nearPages(hart: Hart, host: number, code: number): Uint32Array {
    const { u32 } = this.engine;
    const table = (hart.get32(S.tlbX) + CTX.fetch) >>> 2;
    const low = Number(BigInt.asUintN(32, hart.pc)) & ~4095;
    const high = Number(hart.pc >> 32n);
    const near = [0, host, code];
    for (let rel = -NEAR; rel <= NEAR; rel++) {
      const at = (low >>> 0) + rel * 4096;
      const entry = table + ((at >>> 12) & (XTLB_ENTRIES - 1)) * 4;
      if (rel === 0 || u32[entry] !== at >>> 0 || u32[entry + 1] !== (high + Math.floor(at / 2 ** 32)) >>> 0) continue;
      const page = u32[entry + 2]!;
      near.push(rel, u32[(page + CODE.hostPage) >>> 2]!, page);
    }
    return Uint32Array.from(near);
  }

  /** Sends what is hot to be translated, if nobody is at it. Between slices. */
  poll(): void {
    if (this.busy || this.pending.length === 0) return;
    this.busy = true;
    const began = this.monotonic();
    const entries = this.pending.splice(0, this.compiler.batch ?? BATCH);
    const { dropped } = this;
    this.compiler.translate(entries, (result) => {
      this.busy = false;
      const came = this.monotonic();
      for (const e of entries) this.waiting.delete(e.host + e.offset);
      // What was forgotten meanwhile, for a breakpoint, is not to come back.
      if (dropped !== this.dropped) return this.pausedSince(came);
      const installed = result === undefined ? [] : this.install(result);
      if (result === undefined) for (const e of entries) this.patience.giveUp(e.host, e.offset);
      this.pausedSince(came);
      // Not a part of the pause that it tells of.
      if (this.log.enabled("jit")) for (const [region, slot] of installed) this.logRegion(region, slot);
    });
    this.pausedSince(began);
  }

  private pausedSince(time: number): void {
    const pause = this.monotonic() - time;
    this.longest = Math.max(this.longest, pause);
    this.waited += pause;
  }

  /** Puts a translation in place, unless its code has changed since. Returns the regions with their slots. */
  private install(t: CompiledTranslation): readonly (readonly [TranslatedRegion, number])[] {
    const { engine } = this;
    for (const { host, code, low, high, copy } of t.pages) {
      if (engine.i32[(engine.layout.codePage >> 2) + (host >>> 12)] !== code) return [];
      for (let chunk = 0; chunk < 64; chunk++) {
        if (((chunk < 32 ? low >>> chunk : high >>> (chunk - 32)) & 1) === 0) continue;
        for (let i = chunk * 64; i < chunk * 64 + 64; i++) {
          if (engine.u8[host + i] === copy[i]) continue;
          this.patience.lost(host);
          return [];
        }
      }
    }
    if (this.codeSize + t.size > CODE_BUDGET) this.codeDropped();
    const instance = new WebAssembly.Instance(t.module, {
      env: { memory: engine.memory, table: engine.table },
      engine: { ...engine.exports, hostWorks: engine.devices.functions.hostWorks },
    });
    const regions: [TranslatedRegion, number][] = [];
    const slots: { ip: number; side: number; slot: number }[] = [];
    for (const region of t.regions) {
      const { host, offset, name } = region;
      const page = engine.i32[(engine.layout.codePage >> 2) + (host >>> 12)]!;
      const ip = page + offset * 8;
      const side = page + CODE.side + (offset >> 1) * SIDE.size;
      if (engine.view.getUint16(ip, true) === 0) engine.decoder.decode(page, ip);
      const handler = engine.view.getUint16(ip + OP.handler, true);
      if (handler === HANDLER_REGION) continue;
      if (this.freeSlots.length === 0) {
        const first = engine.table.grow(MORE_SLOTS);
        for (let s = first; s < first + MORE_SLOTS; s++) this.freeSlots.push(s);
      }
      const slot = this.freeSlots.pop()!;
      engine.table.set(slot, instance.exports[name]);
      engine.view.setUint16(side + SIDE.handler, handler, true);
      engine.view.setInt32(side + SIDE.table, slot, true);
      engine.view.setUint16(ip + OP.handler, HANDLER_REGION, true);
      slots.push({ ip, side, slot });
      regions.push([region, slot]);
    }
    const installed: Installed = {
      size: t.size,
      slots,
      pages: t.pages.map(({ host, low, high }) => ({ host, low, high })),
      plainAccesses: new Set(t.regions.flatMap((region) => [...region.plainAccesses])),
      inside: new Set(t.regions.flatMap((region) => [...region.inside])),
    };
    for (const { host, code, low, high } of t.pages) {
      // Stores to what was translated must be seen, decoded or not.
      engine.i32[(code + CODE.chunks) >> 2]! |= low;
      engine.i32[(code + CODE.chunks + 4) >> 2]! |= high;
      const set = this.byPage.get(host);
      if (set) set.add(installed);
      else this.byPage.set(host, new Set([installed]));
    }
    this.codeSize += t.size;
    this.modules++;
    this.regions += slots.length;
    this.installed += slots.length;
    return regions;
  }

  /** What `-d jit` shows: a region's place, size and guest code; its hotness is in the interpreter's count. */
  private logRegion(region: TranslatedRegion, slot: number): void {
    const { instructions, bytes, pc, blocks, code, host, offset } = region;
    const page = this.engine.i32[(this.engine.layout.codePage >> 2) + (host >>> 12)]!;
    const jumps = this.engine.view.getUint16(page + CODE.side + (offset >> 1) * SIDE.size + SIDE.count, true);
    this.log.write(
      "jit",
      `region ${slot} at 0x${pc.toString(16)}: ${instructions} instructions in ${blocks.length / 2} blocks, ${bytes} bytes of wasm, after ${jumps} jumps`,
    );
    let next = 0;
    for (let block = 0; block < blocks.length; block += 2) {
      let at = pc + BigInt(blocks[block]!);
      for (const raw of code.subarray(next, next + blocks[block + 1]!)) {
        this.log.write("jit", `  0x${at.toString(16)}:  ${disassemble(raw, at)}`);
        at += (raw & 3) === 3 ? 4n : 2n;
      }
      next += blocks[block + 1]!;
      this.log.write("jit", "");
    }
  }

  codeWritten(host: number, offset: number, length: number): void {
    this.patience.changed(host);
    const set = this.byPage.get(host);
    if (!set) return;
    const concerned = [...set].filter((installed) => isMadeFrom(installed, host, offset, length));
    if (concerned.length === 0) return;
    this.patience.lost(host);
    for (const installed of concerned) this.remove(installed);
    // Translated code that runs now must not go on with what it was made from.
    for (const hart of this.engine.harts) hart.look();
  }

  deviceHot(page: number, ip: number): void {
    const { engine } = this;
    const host = engine.u32[(page + CODE.hostPage) >> 2]!;
    if (host === 0) return; // a scratch page
    engine.u8[ip + OP.device]! |= DEVICE_MARK;
    const place = host + ((ip - page) >> 3);
    for (const installed of this.byPage.get(host) ?? []) {
      if (!installed.plainAccesses.has(place)) continue;
      this.remove(installed);
      // It was hot, and it should not take long until it is again, with this access as one to a device.
      for (const { side } of installed.slots) engine.view.setUint16(side + SIDE.count, 0xffff, true);
    }
  }

  holds(host: number): boolean {
    if (this.byPage.has(host)) return true;
    // What is on its way fits only as long as its code is decoded where it was.
    for (const place of this.waiting) if ((place & ~4095) >>> 0 === host) return true;
    return false;
  }

  codeDropped(): void {
    this.dropped++;
    for (const set of this.byPage.values()) for (const installed of set) this.remove(installed);
    this.patience.clear();
    for (const { host, offset } of this.pending) this.waiting.delete(host + offset);
    this.pending = [];
  }

  private remove(installed: Installed): void {
    const { engine } = this;
    for (const { ip, side, slot } of installed.slots) {
      // The operation may have been forgotten with bytes beside it, and belong to another region since.
      if (engine.view.getInt32(side + SIDE.table, true) === slot) {
        if (engine.view.getUint16(ip, true) === HANDLER_REGION)
          engine.view.setUint16(ip, engine.view.getUint16(side + SIDE.handler, true), true);
        engine.view.setInt32(side + SIDE.table, 0, true);
      }
      engine.table.set(slot, null);
      this.freeSlots.push(slot);
    }
    for (const { host } of installed.pages) {
      const set = this.byPage.get(host);
      set?.delete(installed);
      if (set?.size === 0) this.byPage.delete(host);
    }
    this.codeSize -= installed.size;
    this.modules--;
    this.regions -= installed.slots.length;
  }

  close(): void {
    this.compiler.close();
    const ms = (ns: number) => `${(ns / 1e6).toFixed(1)} ms`;
    if (this.installed > 0)
      this.log.write(
        "jit",
        `${this.installed} regions were translated, ${this.regions} are in use: ${this.codeSize} bytes of wasm in ${this.modules} modules; the machine waited ${ms(this.waited)} for it, ${ms(this.longest)} at most at once`,
      );
  }
}
