/**
 * From hot entries to a WebAssembly module: finds their regions and those that they call, and translates them together,
 * so that guest calls inside the module are direct calls. Runs on the main thread or on a worker: all it needs is the
 * machine's memory.
 */
import { insns } from "../isa/table.ts";
import { type Decoder, hasBreakpoint } from "../riscv/decoder.ts";
import { CODE, DEVICE_MARK, type MemoryLayout, OP, SIDE } from "../riscv/layout.ts";
import { regionFunctions } from "../riscv/regions.ts";
import { type CompiledFunc, encodeModule, type Import, SignatureTable } from "../wasm/encoder.ts";
import type { Expr, Signature, Stmt } from "../wasm/ir.ts";
import { type CodeReader, findRegion, mayReachDevices, REGION_LIMIT, type Region, successors } from "./region.ts";
import { structureOf } from "./structure.ts";
import { translateRegion } from "./translate.ts";

/** A place where translation begins, and the pages around it as the hart that ran it had them mapped. */
export interface TranslationEntry {
  /** Place of the page in the machine's memory, and the entry's offset in it. */
  readonly host: number;
  readonly offset: number;
  /** The virtual address at which it got hot. */
  readonly pc: bigint;
  /** Pages around it, three numbers each: distance from the entry's page, place in memory, decoded page. */
  readonly near: Uint32Array;
}

export interface TranslatedRegion {
  readonly host: number;
  readonly offset: number;
  readonly name: string;
  readonly instructions: number;
  readonly bytes: number;
  /** Where it got hot. */
  readonly pc: bigint;
  /** The code that it was made from: for each block its distance from the entry and its number of instructions... */
  readonly blocks: Int32Array;
  /** ...and the instructions of all. */
  readonly code: Uint32Array;
  /** Places of loads and stores that were not translated as accesses to devices. */
  readonly plainAccesses: Uint32Array;
  /** Places that it goes through but for its entry and the heads of its loops. */
  readonly inside: Uint32Array;
}

/** A translated batch. `chunks` has the 64-byte chunks (a bit each, low and high word) that were read from each page. */
export interface Translation {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly regions: readonly TranslatedRegion[];
  readonly pages: readonly {
    readonly host: number;
    readonly code: number;
    readonly low: number;
    readonly high: number;
    readonly copy: Uint8Array;
  }[];
}

/** Functions of the engine that translated code may call, by name. */
export type EngineSignatures = ReadonlyMap<string, Signature>;

/** Regions in a module at most. */
const MAX_REGIONS = 32;

/** How much is translated at once, in instructions. */
export interface BatchLimits {
  /** Regions are added to a module until it has this many. */
  readonly module: number;
  /** A region has this many at most, functions that are taken in not counted. */
  readonly region: number;
}

/** On a thread of its own nobody waits for. */
export const THREAD_LIMITS: BatchLimits = { module: 6000, region: REGION_LIMIT };
/** How often a callee must have been called to be translated along. */
const CALLEE_COUNT = 256;

/** Names of the engine's functions that an instruction's meaning calls. */
const calledBy: readonly (readonly string[])[] = insns.map((insn) => {
  const names = new Set<string>();
  const expr = (e: Expr): void => {
    if (e.k === "call") {
      names.add(e.fn);
      e.args.forEach(expr);
    } else if (e.k === "bin") {
      expr(e.a);
      expr(e.b);
    } else if (e.k === "un") expr(e.a);
    else if (e.k === "select") {
      expr(e.a);
      expr(e.b);
      expr(e.c);
    }
  };
  const stmt = (s: Stmt): void => {
    if (s.k === "effect") s.args.forEach(expr);
    else if (s.k === "set") expr(s.e);
  };
  insn.body.forEach(stmt);
  return [...names];
});
const RUNTIME = ["ramStored", "csrAccess", ...regionFunctions().map((f) => f.name)];

/** The pages that one entry brought, seen from another page. */
class Pages {
  private readonly known: ReadonlyMap<number, { readonly place: number; readonly code: number }>;
  private readonly from: number;

  private constructor(known: Pages["known"], from: number) {
    this.known = known;
    this.from = from;
  }

  static of(near: Uint32Array): Pages {
    const known = new Map<number, { place: number; code: number }>();
    for (let i = 0; i < near.length; i += 3) known.set(near[i]! | 0, { place: near[i + 1]!, code: near[i + 2]! });
    return new Pages(known, 0);
  }

  /** The page at a distance. */
  at(distance: number): { readonly place: number; readonly code: number } | undefined {
    return this.known.get(this.from + distance);
  }

  seenFrom(distance: number): Pages {
    return distance === 0 ? this : new Pages(this.known, this.from + distance);
  }
}

/** Where a region begins. */
interface Start {
  readonly pc: bigint;
  readonly host: number;
  readonly offset: number;
  readonly pages: Pages;
}

interface Job extends Start {
  readonly name: string;
  readonly region: Region;
}

/** Where a region leaves for the interpreter to reach a device. */
function plainAccessesOf({ region, pages }: Job): Uint32Array {
  const found: number[] = [];
  for (const block of region.blocks.values())
    for (const { n, device, rel } of block.insns)
      if (mayReachDevices[n] && !device) found.push(pages.at(rel >> 12)!.place + (rel & 4095));
  return Uint32Array.from(found);
}

/**
 * Where a region need not be entered: control that comes by in the interpreter gets to one of its loops, or ends. Loops
 * are another matter, and so are functions that were taken in.
 */
function insideOf({ region, pages }: Job): Uint32Array {
  const { entry, blocks } = region;
  const { loops } = structureOf(entry, (id) => successors(blocks.get(id)!, blocks));
  const found: number[] = [];
  for (const { id, rel } of blocks.values())
    if (id === rel && id !== entry && !loops.has(id)) found.push(pages.at(rel >> 12)!.place + (rel & 4095));
  return Uint32Array.from(found);
}

/** Translates a batch. Undefined where no entry gives a region. */
export function translateBatch(
  entries: readonly TranslationEntry[],
  memory: SharedArrayBuffer,
  layout: MemoryLayout,
  decoder: Pick<Decoder, "find">,
  engine: EngineSignatures,
  fused: boolean,
  limits = THREAD_LIMITS,
): Translation | undefined {
  const u8 = new Uint8Array(memory);
  const u16 = new Uint16Array(memory);
  const i32 = new Int32Array(memory);
  const copies = new Map<number, { code: number; low: number; high: number; copy: Uint8Array; view: DataView }>();
  const pageOf = (host: number, code: number) => {
    let page = copies.get(host);
    if (!page) {
      // The guest goes on meanwhile: what is translated is this copy, compared again before it is used.
      const copy = u8.slice(host, host + 4096);
      page = { code, low: 0, high: 0, copy, view: new DataView(copy.buffer) };
      copies.set(host, page);
    }
    return page;
  };
  const jobs: Job[] = [];
  const byPlace = new Map<number, Job>();
  const insides: Uint32Array[] = [];
  const inside = new Set<number>();
  const queue: Start[] = entries.map(({ host, offset, pc, near }) => ({ host, offset, pc, pages: Pages.of(near) }));
  let total = 0;
  while (queue.length > 0 && jobs.length < MAX_REGIONS && total < limits.module) {
    const place = queue.shift()!;
    const { host, offset, pc, pages } = place;
    if (byPlace.has(host + offset) || inside.has(host + offset)) continue;
    const read: CodeReader = {
      find: (word) => decoder.find(word),
      half(rel) {
        const page = pages.at(rel >> 12);
        return page && pageOf(page.place, page.code).view.getUint16(rel & 4095, true);
      },
      stops: (rel) => hasBreakpoint(u8, layout.breakpoints, rel & 4095),
      device(rel) {
        const page = pages.at(rel >> 12)!;
        return (u8[page.code + (rel & 4095) * 8 + OP.device]! & DEVICE_MARK) !== 0;
      },
      lastTarget(rel) {
        const page = pages.at(rel >> 12)!;
        const target = i32[(page.code + CODE.side + ((rel & 4095) >> 1) * SIDE.size + SIDE.table) >> 2]!;
        return target >>> 30 === 1 ? rel + ((target << 2) >> 1) : undefined;
      },
    };
    const region = findRegion(offset, read, limits.region);
    if (!region) continue;
    const job: Job = { ...place, name: `r${jobs.length}`, region };
    jobs.push(job);
    const within = insideOf(job);
    insides.push(within);
    for (const at of within) inside.add(at);
    byPlace.set(host + offset, job);
    total += region.size;
    for (const block of region.blocks.values()) {
      for (const insn of block.insns) {
        const page = pages.at(insn.rel >> 12)!;
        const copy = copies.get(page.place)!;
        for (const at of [insn.rel & 4095, (insn.rel + insn.length - 1) & 4095]) {
          if (at < 2048) copy.low |= 1 << (at >> 6);
          else copy.high |= 1 << ((at >> 6) - 32);
        }
      }
      if (block.end.k !== "call" || block.end.rel === undefined) continue;
      const { rel } = block.end;
      const page = pages.at(rel >> 12);
      if (!page) continue;
      const at = page.code + CODE.side + ((rel & 4095) >> 1) * SIDE.size + SIDE.count;
      if (u16[at >> 1]! < CALLEE_COUNT) continue;
      queue.push({
        host: page.place,
        offset: rel & 4095,
        pc: pc + BigInt(rel - offset),
        pages: pages.seenFrom(rel >> 12),
      });
    }
  }
  if (jobs.length === 0) return undefined;

  const used = new Set<string>(RUNTIME);
  for (const { region } of jobs)
    for (const block of region.blocks.values())
      for (const insn of block.insns) {
        for (const name of calledBy[insn.n]!) used.add(name);
        if (insn.device) used.add("hostWorks");
      }
  const imports: Import[] = [
    {
      kind: "memory",
      module: "env",
      name: "memory",
      initial: layout.total / 65536,
      maximum: layout.total / 65536,
      shared: true,
    },
  ];
  if (used.has("hostWorks")) imports.push({ kind: "table", module: "env", name: "table", initial: 1 });
  const index = new Map<string, number>();
  for (const name of used) {
    const sig = engine.get(name);
    if (!sig) throw new Error(`translated code needs the engine's function ${name}`);
    index.set(name, index.size);
    imports.push({ kind: "func", module: "engine", name, sig });
  }
  for (const job of jobs) index.set(job.name, index.size);
  const signatures = new SignatureTable();
  const funcs: CompiledFunc[] = [];
  for (const job of jobs) {
    const { pages } = job;
    const func = translateRegion(
      job.region,
      {
        layout,
        fused,
        codePageOf: (rel) => pages.at(rel)!.code,
        calleeAt(rel) {
          const page = pages.at(rel >> 12);
          return page && byPlace.get(page.place + (rel & 4095))?.name;
        },
      },
      index,
      signatures,
    );
    funcs.push({ ...func, export: job.name });
  }
  return {
    bytes: encodeModule(imports, signatures, funcs),
    regions: jobs.map((job, i) => ({
      host: job.host,
      offset: job.offset,
      name: job.name,
      instructions: job.region.size,
      bytes: funcs[i]!.code.length,
      pc: job.pc,
      blocks: Int32Array.from([...job.region.blocks.values()].flatMap((b) => [b.rel - job.offset, b.insns.length])),
      code: Uint32Array.from([...job.region.blocks.values()].flatMap((b) => b.insns.map((insn) => insn.raw))),
      plainAccesses: plainAccessesOf(job),
      inside: insides[i]!,
    })),
    pages: [...copies]
      .filter(([, p]) => p.low | p.high)
      .map(([host, { code, low, high, copy }]) => ({ host, code, low, high, copy })),
  };
}
