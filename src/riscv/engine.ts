/**
 * The execution engine of one machine: its memory, the generated code, and the harts on it (docs/design/engine.md).
 *
 * @example
 * const engine = new Engine({ harts: 1, ramBytes: 1 << 20, space, time: () => 0n });
 * const ram = engine.allocateRam(1 << 20);
 * space.root.addSubregion(0x80000000n, MemoryRegion.ram("ram", ram));
 * engine.harts[0]!.reset(0x80000000n);
 * engine.harts[0]!.run(1000);
 */
// Node has it, but TypeScript's libraries have it only for browsers. Users who check types with a checkout need it too.
/// <reference path="../wasm/webassembly.d.ts" />

import { isaFunctions } from "../isa/functions.ts";
import type { AddressSpace } from "../memory/address-space.ts";
import type { AccessSize } from "../memory/io-callbacks.ts";
import type { RamAllocator } from "../memory/region.ts";
import { encodeModule, type Import, SignatureTable } from "../wasm/encoder.ts";
import { F64, type Func, f64, fn, I32, ret, type Signature } from "../wasm/ir.ts";
import { lowerFunc } from "../wasm/lower.ts";
import { accessCsr, writeCsrTables } from "./csr.ts";
import { Decoder } from "./decoder.ts";
import { DEVICE_IMPORTS, DeviceAccess } from "./device-access.ts";
import { allExtensions } from "./extensions.ts";
import { fpFunctions } from "./fp.ts";
import { Hart } from "./hart.ts";
import { interpreterFunction } from "./interpreter.ts";
import {
  CODE,
  CONTEXTS_PER_HART,
  CTX,
  FILL_LOG,
  HART_STRIDE,
  HOT_COUNT,
  MAX_RANGES,
  type MemoryLayout,
  OP,
  PAGE_CODE,
  PAGE_DIRTY,
  planMemory,
  RANGE,
  S,
  STALE_STORES,
} from "./layout.ts";
import { mmuFunctions } from "./mmu.ts";
import { regionFunctions } from "./regions.ts";
import { CSR_OK, CSR_RESYNC, systemFunctions } from "./system.ts";
import { trapFunctions } from "./traps.ts";

export interface EngineOptions {
  readonly harts: number;
  /** All guest memory that `allocateRam` will hand out, ROMs included, in bytes. */
  readonly ramBytes: number;
  readonly space: AddressSpace;
  /** Ticks of the machine's time base: what the `time` CSR shows. */
  readonly time: () => bigint;
  /** Instruction-set extensions of the harts; all by default. */
  readonly extensions?: ReadonlySet<string>;
  /** Decoded code pages to keep, 32 KiB each. */
  readonly codePages?: number;
  /** Jumps to a place before tier 1 hears of it, a power of two. */
  readonly hotCount?: number;
  /** Code to share between the engines of a family of machines; see EngineModules. */
  readonly modules?: EngineModules;
}

/** The compiled code of engines by what it depends on. Engines that share one compile alike machines once. */
export interface EngineModules {
  get(key: string): EngineModule | undefined;
  /** @param bytes the module's */
  set(key: string, code: EngineModule, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Generated code, and the signatures of what code beside it may call. */
interface EngineModule {
  readonly module: WebAssembly.Module;
  readonly signatures: ReadonlyMap<string, Signature>;
}

/** The functions of the generated module that the host calls; `h` is a hart's base. */
export interface EngineExports {
  run(h: number): number;
  trapEnter(h: number, pc: bigint, cause: bigint, tval: bigint): void;
  selectContexts(h: number): void;
  flushAll(h: number): void;
  flushFetch(h: number): void;
  flushWrites(h: number): void;
  purgeWrites(h: number, host: number): void;
  fetchAddress(h: number, pc: bigint): number;
  dataAddress(h: number, context: number, va: bigint, size: number, access: number): bigint;
  syncStatus(h: number): void;
  writeStatus(h: number, value: bigint, mask: bigint): void;
}
const I = I32;
/** The host's functions. Physical addresses cross as f64: exact, and no BigInt. */
const IMPORTS: readonly [string, readonly (typeof I32 | typeof F64)[], boolean][] = [
  ["mmioLoad", [I, F64, I], true],
  ["mmioStore", [I, F64, I], false],
  ["decode", [I, I], false],
  ["newCodePage", [I], true],
  ["fetchSingle", [I], true],
  ["rawInstruction", [I], true],
  ["codeWritten", [I, I], false],
  ["codeStale", [I], false],
  ["breakpoint", [I], true],
  ["csrSlow", [I, I, I, I], true],
  ["softfloat", [I, I, I], false],
  ["traceTrap", [I], false],
  ["hot", [I, I, I], false],
  ...DEVICE_IMPORTS,
  ["deviceHot", [I, I], false],
];

/** Of this many calls of the host that take a microsecond or more, one is reported by `onSlow`. A power of two. */
const SLOW_CALLS = 32;

/** A page that was code and data at once so many times waits no longer for the next. */
const MAX_STALE_TIMES = 12;

/** What translates hot code (src/jit), as the engine knows it. */
export interface Tier1 {
  /** The operation at `ip` of the decoded page was jumped to HOT_COUNT times; the hart's pc is there. */
  hot(hart: Hart, page: number, ip: number): void;
  /** The operation at `ip` of the decoded page reaches devices: DEVICE_COUNT times more than when this was last said. */
  deviceHot(page: number, ip: number): void;
  /** Code in the page at `host` is about to be forgotten: bytes from `offset` on. */
  codeWritten(host: number, offset: number, length: number): void;
  /** All decoded code is about to be forgotten. */
  codeDropped(): void;
  /** Whether something was made from code in the page at `host`, so that its decoded page should stay. */
  holds(host: number): boolean;
}

/** Whether the host's relaxed multiply-add rounds once. */
function probeFused(): boolean {
  const signatures = new SignatureTable();
  const probe: Func = fn("probe", { a: F64, b: F64, c: F64 }, [F64], ({ a, b, c }) => [ret(f64.relaxed_madd(a, b, c))]);
  try {
    const bytes = encodeModule([], signatures, [lowerFunc(probe, new Map(), signatures, true)]);
    const f = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.probe as (
      a: number,
      b: number,
      c: number,
    ) => number;
    const x = 1 + 2 ** -30;
    // x*x - x*x rounded: the rounding error, 2^-60, shows only when the product is not rounded first.
    return f(x, x, -(x * x)) === 2 ** -60;
  } catch {
    return false;
  }
}

export class Engine {
  readonly memory: WebAssembly.Memory;
  readonly layout: MemoryLayout;
  readonly harts: readonly Hart[];
  readonly space: AddressSpace;
  readonly extensions: ReadonlySet<string>;
  readonly exports: EngineExports;
  /** Signatures of the functions that translated code may call, by name: those generated, and the host's `hostWorks`. */
  readonly signatures: ReadonlyMap<string, Signature>;
  readonly decoder: Decoder;
  readonly devices: DeviceAccess;
  /** Functions of translated regions, called by the interpreter through their slot; slot 0 stays empty. */
  readonly table = new WebAssembly.Table({ element: "anyfunc", initial: 1 });
  /** Whether the host's multiply-add rounds once. */
  readonly fused = probeFused();
  /** Jumps to an operation after which tier 1 hears of it, and again. */
  readonly hotCount: number;
  tier1: Tier1 | undefined;
  /** Called for each trap while a hart's `traceTraps` is set: cause and tval are in S.fa and S.fb. */
  onTrap: (hart: Hart) => void = () => {};
  /** Called now and then while a hart makes the host work: its slice may take longer than expected. */
  onSlow: () => void = () => {};
  private slowCalls = 0;

  readonly view: DataView;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  private ramNext: number;
  /** Pages (places in memory) with code that may be data by now, and how often each one was. */
  private readonly stale = new Set<number>();
  private readonly staleTimes = new Map<number, number>();
  private readonly breakpoints = new Set<bigint>();
  private codeNext: number;
  /** Decoded pages below `codeNext` that are free, and where the next search for some begins. */
  private readonly codeFree: number[] = [];
  private codeHand = 0;
  /** End of the decoded pages that were ever in use. */
  private codeUsed = 0;
  private readonly scratchSlot: Int32Array;
  readonly time: () => bigint;

  constructor(options: EngineOptions) {
    this.space = options.space;
    this.time = options.time;
    this.extensions = options.extensions ?? allExtensions;
    const layout = planMemory(options.harts, options.ramBytes, options.codePages);
    this.layout = layout;
    const pages = layout.total / 65536;
    if (pages > 65536) throw new RangeError(`the machine needs ${layout.total} bytes; a WebAssembly memory has 4 GiB`);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { buffer } = this.memory;
    this.view = new DataView(buffer);
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.ramNext = layout.ram;
    this.codeNext = layout.code;
    this.scratchSlot = new Int32Array(options.harts);
    this.devices = new DeviceAccess({
      space: this.space,
      memory: buffer,
      table: this.table,
      running: (slot) => this.harts.some((hart) => hart.get32(S.device) === slot),
      slow: () => this.onSlow(),
      flush: () => {
        for (const hart of this.harts) hart.flushAll();
      },
    });
    this.decoder = new Decoder(buffer, this.extensions, layout.breakpoints);
    writeCsrTables(this.view, layout);
    this.hotCount = options.hotCount ?? HOT_COUNT;
    const code = this.generated(pages, this.hotCount, options.modules ?? new Map());
    this.signatures = code.signatures;
    this.exports = this.instantiate(code.module);
    this.harts = Array.from({ length: options.harts }, (_, n) => new Hart(this, n));
    for (const hart of this.harts) {
      hart.set32(S.scratchPage, layout.scratch + hart.index * CODE.stride + CODE.header);
      this.decoder.clearScratch(hart.get32(S.scratchPage));
      // The log says nothing of the first state: make the first flush clear everything.
      for (let c = 0; c < CONTEXTS_PER_HART; c++)
        this.u32[(hart.get32(S.contexts) + c * CTX.stride + CTX.fills) >> 2] = FILL_LOG + 1;
      this.exports.flushAll(hart.base);
    }
    this.space.onChange(() => this.mapChanged());
    this.space.onRamWrite((region, offset, length) => {
      const bytes = region.bytes!;
      if (bytes.buffer === buffer) this.stored(bytes.byteOffset + offset, length);
    });
    this.mapChanged();
  }

  /** Guest memory that the harts reach directly: zeroed, page aligned. */
  readonly allocateRam: RamAllocator = (size) => {
    const rounded = Math.ceil(size / 4096) * 4096;
    if (this.ramNext + rounded > this.layout.total)
      throw new RangeError(`allocateRam: ${size} bytes are more than was planned`);
    const bytes = new Uint8Array(this.memory.buffer, this.ramNext, size);
    this.ramNext += rounded;
    return bytes;
  };

  /** The address map changed: tell generated code where RAM and ROM are. */
  private mapChanged(): void {
    const { layout, view } = this;
    let count = 0;
    // Whole pages only, for a TLB entry and a decoded page stand for all of their page; the bus reaches the rest.
    // Large ranges first: the search in generated code is linear.
    const ranges = this.space.flatView.ranges
      .filter((r) => r.region.bytes !== undefined && r.region.bytes.buffer === this.memory.buffer)
      .map(({ region, start, end, offset }) => {
        const first = Math.ceil(start / 4096) * 4096;
        return {
          region,
          first,
          end: Math.floor(end / 4096) * 4096,
          host: region.bytes!.byteOffset + Number(offset) + first - start,
        };
      })
      .filter((r) => r.first < r.end && r.host % 4096 === 0)
      .sort((a, b) => b.end - b.first - (a.end - a.first));
    for (const r of ranges.slice(0, MAX_RANGES)) {
      const at = layout.ranges + count * RANGE.stride;
      view.setBigUint64(at + RANGE.first, BigInt(r.first), true);
      view.setBigUint64(at + RANGE.last, BigInt(r.end) - 1n, true);
      view.setUint32(at + RANGE.host, r.host, true);
      view.setUint32(at + RANGE.writable, r.region.kind === "ram" ? 1 : 0, true);
      count++;
    }
    view.setUint32(layout.rangeCount, count, true);
    for (const hart of this.harts ?? []) {
      this.exports.flushAll(hart.base);
      // Translated code keeps places of memory for the length of a block.
      hart.look();
    }
  }

  /** RAM was written other than by a hart's store: mark pages dirty, drop decoded code. */
  stored(host: number, length: number): void {
    if (length === 0) return;
    const { layout, u8 } = this;
    for (let page = host >>> 12; page <= (host + length - 1) >>> 12; page++) {
      const flags = u8[layout.pageFlags + page]!;
      u8[layout.pageFlags + page] = flags | PAGE_DIRTY;
      if (flags & PAGE_CODE) {
        const first = Math.max(host, (page << 12) >>> 0);
        this.codeWritten(first, Math.min(host + length, (page + 1) * 4096) - first);
      }
    }
  }

  /** Decoded instructions in [host, host + length), within a page, are no longer what memory says. */
  private codeWritten(host: number, length: number): void {
    const code = this.i32[(this.layout.codePage >> 2) + (host >>> 12)]!;
    if (!code) return;
    this.tier1?.codeWritten((host & ~4095) >>> 0, host & 4095, length);
    this.decoder.forget(code, host & 4095, length);
  }

  /**
   * Forgets the code of pages that are stored to again and again: no write entry may exist for them. What is translated
   * stays. A page that is code and data at once has twice as much time after each time. Between slices: nothing runs in them.
   */
  dropStaleCode(): void {
    if (this.stale.size === 0) return;
    for (const host of this.stale) {
      const page = this.i32[(this.layout.codePage >> 2) + (host >>> 12)]!;
      if (page === 0 || this.tier1?.holds(host)) continue;
      const times = this.staleTimes.get(host) ?? 0;
      if (this.u32[(page + CODE.stores) >> 2]! < STALE_STORES * 2 ** Math.min(times, MAX_STALE_TIMES)) continue;
      this.staleTimes.set(host, times + 1);
      this.forgetCodePage(page);
      this.codeFree.push(page);
    }
    this.stale.clear();
    for (const hart of this.harts) this.exports.flushFetch(hart.base);
  }

  /** A decoded page for the code at `host`; when all are used, some are taken from other code. */
  private newCodePage(host: number): number {
    const { layout } = this;
    if (this.codeNext === layout.scratch && this.codeFree.length === 0) this.takeCodePages();
    let page = this.codeFree.pop();
    if (page === undefined) {
      page = this.codeNext + CODE.header;
      this.codeNext += CODE.stride;
    }
    // Memory begins as zeros: the first use of each place needs no clearing, and what is never touched costs nothing.
    this.decoder.preparePage(page, host, page < this.codeUsed);
    this.codeUsed = Math.max(this.codeUsed, this.codeNext);
    const number = host >>> 12;
    this.i32[(layout.codePage >> 2) + number] = page;
    this.u8[layout.pageFlags + number]! |= PAGE_CODE;
    // From now on a store to this page must be seen: no write entry may stay.
    const entry = this.i32[(layout.writeEntry >> 2) + number]!;
    if (entry !== 0) {
      for (const hart of this.harts) this.exports.purgeWrites(hart.base, host);
      this.i32[(layout.writeEntry >> 2) + number] = 0;
    }
    return page;
  }

  /**
   * Frees an eighth of the decoded pages, in turn, but none from which something was translated; where all are, everything.
   * Only while a hart looks for code: nothing runs in the pages that go.
   */
  private takeCodePages(): void {
    const { codeCapacity, code } = this.layout;
    const wanted = Math.ceil(codeCapacity / 8);
    for (let n = 0; n < codeCapacity && this.codeFree.length < wanted; n++) {
      const page = code + CODE.header + this.codeHand * CODE.stride;
      this.codeHand = (this.codeHand + 1) % codeCapacity;
      if (this.tier1?.holds(this.u32[(page + CODE.hostPage) >> 2]!)) continue;
      this.forgetCodePage(page);
      this.codeFree.push(page);
    }
    if (this.codeFree.length === 0) this.dropCode();
    else for (const hart of this.harts) this.exports.flushFetch(hart.base);
  }

  /** From now on the code of a decoded page has none. */
  private forgetCodePage(page: number): void {
    const number = this.u32[(page + CODE.hostPage) >> 2]! >>> 12;
    this.i32[(this.layout.codePage >> 2) + number] = 0;
    this.u8[this.layout.pageFlags + number]! &= ~PAGE_CODE;
  }

  /**
   * Puts a breakpoint at a virtual address, whatever is mapped there, or takes it away. `Hart.run` ends with EXIT.breakpoint
   * before the instruction, which the next `run` executes. Between slices. Everything is decoded and translated anew, so
   * code without breakpoints costs nothing.
   */
  setBreakpoint(address: bigint, on: boolean): void {
    if (this.breakpoints.has(address) === on) return;
    if (on) this.breakpoints.add(address);
    else this.breakpoints.delete(address);
    const { breakpoints } = this.layout;
    this.u8.fill(0, breakpoints, breakpoints + 256);
    for (const at of this.breakpoints) {
      const offset = Number(at & 4095n);
      this.u8[breakpoints + (offset >> 4)]! |= 1 << ((offset >> 1) & 7);
    }
    this.dropCode();
    for (const hart of this.harts) this.decoder.clearScratch(hart.get32(S.scratchPage));
  }

  /** Forgets all decoded code. */
  dropCode(): void {
    this.tier1?.codeDropped();
    const { layout } = this;
    // Those that are free already may have been of code that is decoded elsewhere since.
    const free = new Set(this.codeFree);
    for (let page = layout.code + CODE.header; page < this.codeNext; page += CODE.stride)
      if (!free.has(page)) this.forgetCodePage(page);
    this.codeNext = layout.code;
    this.codeFree.length = 0;
    this.stale.clear();
    this.staleTimes.clear();
    for (const hart of this.harts) this.exports.flushFetch(hart.base);
  }

  /**
   * Decodes the one instruction at a hart's pc into its scratch page and returns that page, or 0 with a fault: for
   * instructions that cross a page end, and for pages that PMP divides.
   */
  private fetchSingle(h: number): number {
    const hart = this.hartAt(h);
    const pc = hart.pc;
    const first = this.exports.fetchAddress(h, pc);
    if (first === 0) return 0;
    const { view, decoder } = this;
    let raw = view.getUint16(first, true);
    if ((raw & 3) === 3) {
      const second = this.exports.fetchAddress(h, pc + 2n);
      if (second === 0) return 0;
      raw |= view.getUint16(second, true) << 16;
    }
    const page = hart.get32(S.scratchPage);
    const last = this.scratchSlot[hart.index]!;
    if (last) this.view.setUint16(last, 1, true);
    const ip = page + (Number(pc & 0xffen) << 3);
    decoder.write(ip, raw);
    decoder.mark(page, ip);
    this.scratchSlot[hart.index] = ip + OP.handler;
    return page;
  }

  /** The raw encoding of the instruction at a hart's pc, for the tval of an illegal instruction. */
  private rawInstruction(h: number): number {
    const hart = this.hartAt(h);
    const first = this.exports.fetchAddress(h, hart.pc);
    hart.set32(S.fault, 0);
    if (first === 0) return 0;
    const low = this.view.getUint16(first, true);
    if ((low & 3) !== 3) return low;
    const second = this.exports.fetchAddress(h, hart.pc + 2n);
    hart.set32(S.fault, 0);
    return second === 0 ? low : low | (this.view.getUint16(second, true) << 16);
  }

  private slow(): void {
    this.slowCalls++;
    if ((this.slowCalls & (SLOW_CALLS - 1)) === 0) this.onSlow();
  }

  hartAt(h: number): Hart {
    return this.harts[(h - this.layout.harts) / HART_STRIDE]!;
  }

  private generated(pages: number, hotCount: number, modules: EngineModules): EngineModule {
    const key = JSON.stringify([this.layout, hotCount, this.fused]);
    const known = modules.get(key);
    if (known !== undefined) return known;
    const { bytes, signatures } = this.generate(pages, hotCount);
    const code = { module: new WebAssembly.Module(bytes), signatures };
    modules.set(key, code, bytes);
    return code;
  }

  private instantiate(module: WebAssembly.Module): EngineExports {
    const { space, i32, u32 } = this;
    const env: Record<string, (...args: number[]) => unknown> = {
      mmioLoad: (h, address, size) => {
        this.slow();
        const low = space.load(address!, size as AccessSize);
        if (size === 8) i32[(h! + S.ioHigh.offset) >> 2] = space.high;
        if (space.fault) i32[(h! + S.ioFault.offset) >> 2] = 1 + Math.max(0, space.faultAddress - address!);
        return low;
      },
      mmioStore: (h, address, size) => {
        this.slow();
        const at = (h! + S.ioValue.offset) >> 2;
        space.store(address!, size as AccessSize, u32[at]!, u32[at + 1]!);
        if (space.fault) i32[(h! + S.ioFault.offset) >> 2] = 1 + Math.max(0, space.faultAddress - address!);
        return undefined;
      },
      decode: (page, ip) => void this.decoder.decode(page!, ip!),
      newCodePage: (host) => {
        this.slow();
        return this.newCodePage(host! >>> 0);
      },
      fetchSingle: (h) => {
        this.slow();
        return this.fetchSingle(h!);
      },
      rawInstruction: (h) => this.rawInstruction(h!),
      codeWritten: (host, length) => {
        this.slow();
        this.codeWritten(host! >>> 0, length!);
        return undefined;
      },
      codeStale: (host) => void this.stale.add((host! & ~4095) >>> 0),
      breakpoint: (h) => Number(this.breakpoints.has(this.hartAt(h!).pc) && this.hartAt(h!).stopsHere()),
      csrSlow: (h, csr, operation, writes) => {
        const hart = this.hartAt(h!);
        this.slow();
        const status = accessCsr(hart, csr!, operation!, hart.get64(S.fa), writes !== 0);
        // Code that only reads CSRs would not look at `attention`.
        return status === CSR_OK && hart.get32(S.attention) !== 0 ? CSR_RESYNC : status;
      },
      softfloat: (h, code, rm) => void this.hartAt(h!).softfloat(code!, rm!),
      ...this.devices.functions,
      deviceHot: (page, ip) => void this.tier1?.deviceHot(page!, ip!),
      hot: (h, page, ip) => void this.tier1?.hot(this.hartAt(h!), page!, ip!),
      traceTrap: (h) => {
        this.slow();
        this.onTrap(this.hartAt(h!));
        return undefined;
      },
    };
    const instance = new WebAssembly.Instance(module, { env: { ...env, memory: this.memory, table: this.table } });
    return instance.exports as unknown as EngineExports;
  }

  private generate(pages: number, hotCount: number) {
    const { layout } = this;
    const imports: Import[] = [
      { kind: "memory", module: "env", name: "memory", initial: pages, maximum: pages, shared: true },
      { kind: "table", module: "env", name: "table", initial: 1 },
      ...IMPORTS.map(
        ([name, params, result]): Import => ({
          kind: "func",
          module: "env",
          name,
          sig: { params, results: result ? [I32] : [] },
        }),
      ),
    ];
    const functions = [
      ...isaFunctions,
      ...mmuFunctions(layout),
      ...trapFunctions(),
      ...systemFunctions(layout),
      ...fpFunctions(this.fused),
      ...regionFunctions(),
    ];
    const index = new Map<string, number>();
    for (const [name] of IMPORTS) index.set(name, index.size);
    for (const f of functions) index.set(f.name, index.size);
    const signatures = new SignatureTable();
    const compiled = functions.map((f) => lowerFunc(f, index, signatures, true));
    compiled.push(interpreterFunction(layout, index, signatures, hotCount));
    return {
      bytes: encodeModule(imports, signatures, compiled),
      signatures: new Map<string, Signature>([
        ...functions.map(({ name, params, results }) => [name, { params, results }] as const),
        ["hostWorks", { params: [], results: [] }],
      ]),
    };
  }
}
