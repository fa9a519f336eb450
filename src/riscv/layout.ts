/**
 * Where everything lives in the machine's one WebAssembly memory (docs/design/engine.md has the picture).
 *
 *     0          nothing: an address of 0 means "none"
 *     HARTS      hart states, HART_STRIDE bytes each
 *     TABLES     RAM ranges, CSR tables, page flags, write-entry and code-page tables (by page of this memory)
 *     CONTEXTS   translation contexts: CONTEXTS_PER_HART for each hart
 *     CODE       decoded code pages, and one scratch page for each hart
 *     RAM        what `allocateRam` hands out: guest RAM and ROMs, page aligned
 *
 * A hart's state is addressed from a base `h`, so nothing here is global and several harts share one code.
 */
import { type Expr, I32, I64, i32, i64, type Stmt } from "../wasm/ir.ts";

/** A field of the hart state: its offset, and how to read and write it from generated code. */
export interface Field {
  readonly offset: number;
  get(h: Expr): Expr;
  set(h: Expr, e: Expr | number | bigint): Stmt;
}

let next = 0;
function field(t: typeof I32 | typeof I64, count = 1): Field {
  const size = t === I64 ? 8 : 4;
  next = (next + size - 1) & -size;
  const offset = next;
  next += size * count;
  return t === I64
    ? { offset, get: (h) => i64.load(h, offset), set: (h, e) => i64.store(h, e, offset) }
    : { offset, get: (h) => i32.load(h, offset), set: (h, e) => i32.store(h, e, offset) };
}
const w = () => field(I32);
const d = () => field(I64);

/** Number of PMP entries (privileged specification 3.7). */
export const PMP_ENTRIES = 16;
/** Translation contexts a hart keeps at once; see `mmu.ts`. */
export const CONTEXTS_PER_HART = 8;

/** The hart's state. The order is the memory layout; x0 is slot 0 and never written, `xSink` takes writes to x0. */
export const S = {
  x: field(I64, 32),
  xSink: d(),
  f: field(I64, 32),
  pc: d(),
  /** Instructions left in this slice; counts down. */
  budget: w(),
  /** Not zero: leave generated code soon, something outside wants attention (an interrupt line moved, stop, reset). */
  attention: w(),
  /** instret plus budget: constant while a slice runs, so that instret = instretEnd - budget. */
  instretEnd: d(),
  priv: w(),
  hartid: w(),
  /** Bases of the translation contexts for data and for fetch. */
  tlb: w(),
  tlbX: w(),
  fflags: w(),
  frm: w(),
  /** 1 when mstatus.FS is Off: floating-point instructions are illegal. */
  fsOff: w(),
  /** 1 when floating-point state was written since mstatus.FS was last read into mstatus. */
  fsDirty: w(),
  /** The trap that the last slow path asks for: 0 none, else 1 + cause, with its tval. */
  fault: w(),
  faultTval: d(),
  /** What an MMIO import leaves: the high word of a 64-bit load; if the access failed 1 + the bytes of it before the part that did. */
  ioHigh: w(),
  ioFault: w(),
  /** The device (its callback's slot in the table) that is asked through the I/O TLB just now, or 0. */
  device: w(),
  /** 1: the device refused the access at S.pc, and `fault` has what follows from that. */
  deviceRefused: w(),
  /** How many accesses went through the I/O TLB. */
  deviceCalls: w(),
  /** Set by each access through the I/O TLB, for the interpreter to count. */
  deviceSeen: w(),
  ioValue: d(),
  /** Arguments and result of the exact floating-point and CSR fallbacks. */
  fa: d(),
  fb: d(),
  fc: d(),
  result: d(),
  /** The load reservation (LR/SC): physical address or -1, and the value read. */
  resAddr: d(),
  resValue: d(),
  mstatus: d(),
  misa: d(),
  mie: d(),
  /** Pending bits driven by lines and timers, and those that software wrote (SEIP, SSIP, STIP). */
  mipLines: d(),
  mipSoft: d(),
  mideleg: d(),
  medeleg: d(),
  mtvec: d(),
  mepc: d(),
  mcause: d(),
  mtval: d(),
  mscratch: d(),
  mcounteren: d(),
  mcountinhibit: d(),
  menvcfg: d(),
  mseccfg: d(),
  stvec: d(),
  sepc: d(),
  scause: d(),
  stval: d(),
  sscratch: d(),
  scounteren: d(),
  senvcfg: d(),
  satp: d(),
  stimecmp: d(),
  /** Added to the instruction count to give mcycle and minstret. */
  mcycleOffset: d(),
  minstretOffset: d(),
  /** 1: call the host's trap hook (logging of `-d int`, tests). */
  traceTraps: w(),
  /** Decoded PMP: number of entries in use, then per entry first and last address (inclusive) and configuration. */
  pmpCount: w(),
  pmpActive: w(),
  pmpAddr: field(I64, PMP_ENTRIES),
  pmpLo: field(I64, PMP_ENTRIES),
  pmpHi: field(I64, PMP_ENTRIES),
  pmpCfg: field(I32, PMP_ENTRIES),
  /** Bits that must be 0 in every page table entry: those without a meaning, and Svnapot's where it is not there. */
  pteReserved: d(),
  /** Page walk results. */
  walkLevel: w(),
  /** This hart's contexts: first base; use counter for replacement. */
  contexts: w(),
  useClock: w(),
  scratchPage: w(),
  /** Depth of nested guest calls in translated code. */
  callDepth: w(),
  /** Parks a hart that HSM or `-smp` has not started; kept for several harts on threads. */
  wfi: w(),
};
export const HART_STATE_SIZE = next;
export const HART_STRIDE = 0x1000;
if (HART_STATE_SIZE > HART_STRIDE) throw new Error("the hart state outgrew its stride");

/**
 * One decoded operation, 16 bytes; `src/isa/decoder.ts` fills it. Register fields are byte offsets into the hart state.
 * `device` counts accesses to devices (see DEVICE_COUNT), DEVICE_MARK in it says that tier 1 knows.
 */
export const OP = {
  handler: 0,
  rd: 2,
  rs1: 4,
  rs2: 6,
  imm: 8,
  length: 12,
  rm: 13,
  rs3: 14,
  device: 15,
  size: 16,
} as const;
/** Accesses of one instruction to devices after which tier 1 is told; a power of two, at most 64. */
export const DEVICE_COUNT = 64;
export const DEVICE_MARK = 0x80;

/** A translation context: TLBs for reads, writes and fetches, a log of fills, and its key. Entries are 16 bytes: tag, addend. */
export const TLB_ENTRIES = 16384;
export const XTLB_ENTRIES = 256;
const KEY = TLB_ENTRIES * 32 + XTLB_ENTRIES * 16 + 1024;
export const CTX = {
  read: 0,
  write: TLB_ENTRIES * 16,
  fetch: TLB_ENTRIES * 32,
  log: TLB_ENTRIES * 32 + XTLB_ENTRIES * 16,
  /** Key: satp, then privilege | SUM << 2 | MXR << 3 | 16 (in use). */
  satp: KEY,
  key: KEY + 8,
  lastUse: KEY + 12,
  fills: KEY + 16,
  superLo: KEY + 24,
  superHi: KEY + 32,
  /** Whether the I/O TLB has entries. */
  ioFills: KEY + 40,
  ioRead: KEY + 1024,
  ioWrite: KEY + 1024 + 64 * 32,
  stride: KEY + 1024 + 64 * 64,
} as const;
/**
 * The I/O TLB: which device a page of registers belongs to, for reads and for writes. An entry is for the part of one
 * device in one page: the virtual address where the part starts; by size of access how many places for one there are
 * from there on (0: not in one call); its length in bytes; the slot of its callback in the table; the offset in its region.
 */
export const IO_ENTRIES = 64;
export const IO = { start: 0, places: 8, bytes: 20, device: 24, offset: 28, size: 32 } as const;
/** Fills that are logged; a flush after more of them clears everything. */
export const FILL_LOG = 256;

/**
 * A decoded code page: 2048 operations, one for each halfword, and two that continue on the next page. Its address is
 * that of operation 0; the header lies before it: which 64-byte chunks hold decoded instructions (a bit each), the place
 * of the page itself in this memory, and how many stores to it there were since it was decoded.
 */
export const CODE = {
  header: 64,
  chunks: -64,
  hostPage: -56,
  stores: -48,
  slots: 2050,
  side: 2050 * 16,
  stride: 64 + 2050 * 16 + 2048 * 8 + 32,
} as const;
/**
 * Beside each operation, 8 bytes in the same page from CODE.side on: the table slot of the region that begins here (0:
 * none; see TARGET_MARK), the operation's own handler while HANDLER_REGION or HANDLER_BREAK stands in its place, and how often it was jumped to.
 */
/** Stores to a page with decoded code after which the host is told that it may be data by now; a power of two. */
export const STALE_STORES = 256;
/** Marks a distance (in halfwords, 30 bits) in SIDE.table of a computed call: where it went last. */
export const TARGET_MARK = 0x40000000;
export const SIDE = { table: 0, handler: 4, count: 6, size: 8 } as const;
/** Jumps to an operation after which tier 1 is told of it; a power of two. */
export const HOT_COUNT = 8192;
/** Instructions that a slice must have left for a region to be entered. */
export const REGION_BUDGET = 512;
export const HANDLER_DECODE = 0;
export const HANDLER_RELOOKUP = 1;
export const HANDLER_CROSS = 2;
export const HANDLER_REGION = 3;
export const HANDLER_BREAK = 4;
export const FIRST_INSN_HANDLER = 5;

/** Page flags. DIRTY: written since the last snapshot; CODE: has decoded instructions, so no write entry may exist. */
export const PAGE_DIRTY = 1;
export const PAGE_CODE = 2;

/** RAM ranges that generated code reaches directly: {first, last address, offset of first in this memory, writable}. */
export const MAX_RANGES = 16;
export const RANGE = { first: 0, last: 8, host: 16, writable: 20, stride: 24 } as const;

export interface MemoryLayout {
  readonly harts: number;
  readonly rangeCount: number;
  readonly ranges: number;
  readonly csrKind: number;
  readonly csrOffset: number;
  readonly csrMask: number;
  /** A bit for each halfword of a page: a breakpoint has this offset, in whatever page. */
  readonly breakpoints: number;
  readonly pageFlags: number;
  readonly writeEntry: number;
  readonly codePage: number;
  readonly contexts: number;
  readonly hartCount: number;
  readonly code: number;
  readonly codeCapacity: number;
  readonly scratch: number;
  readonly ram: number;
  readonly total: number;
}

const align = (n: number, a: number) => Math.ceil(n / a) * a;

/** Plans the memory for `hartCount` harts and `ramBytes` of guest memory (RAM and ROMs together, page multiples). */
export function planMemory(hartCount: number, ramBytes: number, codeCapacity = 1536): MemoryLayout {
  const harts = 0x1000;
  const rangeCount = harts + hartCount * HART_STRIDE;
  const ranges = rangeCount + 8;
  const csrKind = align(ranges + MAX_RANGES * RANGE.stride, 64);
  const csrOffset = csrKind + 4096;
  const csrMask = csrOffset + 4096 * 2;
  const breakpoints = csrMask + 4096 * 8;
  const pageFlags = breakpoints + 256;
  // The tables cover this whole memory, themselves included: solve for the size from above.
  const contextsSize = hartCount * CONTEXTS_PER_HART * CTX.stride;
  const codeSize = (codeCapacity + hartCount) * CODE.stride;
  const rest = align(pageFlags, 4096) + contextsSize + codeSize + ramBytes + 65536 * 4;
  const pages = Math.ceil((rest * (1 + 9 / 4000)) / 4096) + 16;
  const writeEntry = align(pageFlags + pages, 64);
  const codePage = writeEntry + pages * 4;
  const contexts = align(codePage + pages * 4, 4096);
  const code = align(contexts + contextsSize, 4096);
  const scratch = code + codeCapacity * CODE.stride;
  const ram = align(scratch + hartCount * CODE.stride, 65536);
  const total = align(ram + ramBytes, 65536);
  if (total / 4096 > pages) throw new Error("planMemory: tables too small");
  return {
    harts,
    rangeCount,
    ranges,
    csrKind,
    csrOffset,
    csrMask,
    breakpoints,
    pageFlags,
    writeEntry,
    codePage,
    contexts,
    hartCount,
    code,
    codeCapacity,
    scratch,
    ram,
    total,
  };
}

/** mstatus bits (privileged specification 3.1.6). */
export const MSTATUS = {
  SIE: 1n << 1n,
  MIE: 1n << 3n,
  SPIE: 1n << 5n,
  MPIE: 1n << 7n,
  SPP: 1n << 8n,
  MPP: 3n << 11n,
  FS: 3n << 13n,
  VS: 3n << 9n,
  MPRV: 1n << 17n,
  SUM: 1n << 18n,
  MXR: 1n << 19n,
  TVM: 1n << 20n,
  TW: 1n << 21n,
  TSR: 1n << 22n,
  UXL: 3n << 32n,
  SXL: 3n << 34n,
  SD: 1n << 63n,
} as const;

/** Exception causes (privileged specification table 3.6). */
export const CAUSE = {
  fetchMisaligned: 0,
  fetchAccess: 1,
  illegal: 2,
  breakpoint: 3,
  loadMisaligned: 4,
  loadAccess: 5,
  storeMisaligned: 6,
  storeAccess: 7,
  ecallU: 8,
  fetchPage: 12,
  loadPage: 13,
  storePage: 15,
} as const;

/** Kinds of access, as the page walk takes them. */
export const ACCESS_READ = 0;
export const ACCESS_WRITE = 1;
export const ACCESS_FETCH = 2;

/** What `run` returns. */
export const EXIT = { budget: 0, wfi: 1, attention: 2, breakpoint: 3 } as const;
/** Values of S.attention: look at interrupts; leave `run`. */
export const ATTENTION_LOOK = 1;
export const ATTENTION_LEAVE = 2;
