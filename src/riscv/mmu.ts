/**
 * Address translation, as generated code: page walk (Sv39, Sv48, Sv57, Svadu, Svnapot, Svpbmt), PMP, TLB fill and
 * flush, and the slow paths of loads and stores. Privileged specification 3.7 (PMP), 12.3-12.6 (supervisor memory).
 *
 * A *translation context* is a set of TLBs for one (satp, privilege, SUM, MXR). Switching between kernel and user, or
 * between processes, picks another context and flushes nothing; each hart keeps a few, least recently used goes.
 * A TLB entry is {tag: i64, addend: i32}: the tag is the page's virtual address, and address + addend is its place in
 * this memory. Entry i is asked for addresses whose page number is i modulo the size, with a last byte that may lie in
 * page i + 1, so the tag of any other page never matches: that is how invalid entries look (0, and 0x2000 in the first
 * entry and the last, where page 0 would match).
 *
 * Invariants: a write entry exists only for a page that is marked dirty and has no decoded code; an entry exists only
 * for a page on which PMP answers the same for every byte.
 */
import {
  block,
  br,
  call,
  callStmt,
  type Expr,
  type Func,
  f64,
  fn,
  I32,
  I64,
  i32,
  i64,
  iff,
  type Label,
  label,
  local,
  loop,
  ret,
  type Stmt,
  select,
  set,
} from "../wasm/ir.ts";
import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_WRITE,
  CODE,
  CONTEXTS_PER_HART,
  CTX,
  FILL_LOG,
  type MemoryLayout,
  PAGE_CODE,
  PAGE_DIRTY,
  PMP_ENTRIES,
  RANGE,
  S,
  TLB_ENTRIES,
  XTLB_ENTRIES,
} from "./layout.ts";

/** The base of the TLB entry for an address, in a table at `base` (an i32) with `entries` entries. */
export const entryOf = (base: Expr, address: Expr, entries = TLB_ENTRIES): Expr =>
  i32.add(base, i32.and(i32.wrap(i64.shr_u(address, 8)), (entries - 1) << 4));

/** True where an access of `size` bytes at `address` lies wholly in the page of the entry. */
export const tagHits = (entry: Expr, address: Expr, size: number, offset = 0): Expr =>
  i64.lt_u(i64.xor(size === 1 ? address : i64.add(address, size - 1), i64.load(entry, offset)), 4096);

/** The tag of an invalid entry at the ends of a table; all others have 0. */
const NO_PAGE = 0x2000;
/** Marks both end entries of a table invalid. */
const clearEnds = (c: Expr, table: number, entries = TLB_ENTRIES): Stmt[] => [
  i64.store(c, NO_PAGE, table),
  i64.store(c, NO_PAGE, table + (entries - 1) * 16),
];

const pageOf = (a: Expr): Expr => i64.and(a, -4096);

/** A trap to take: 1 + cause and tval go into the hart state; the slow path's caller looks at `fault`. */
const raise = (h: Expr, cause: Expr | number, tval: Expr): Stmt[] => [
  S.fault.set(h, typeof cause === "number" ? cause + 1 : i32.add(cause, 1)),
  S.faultTval.set(h, tval),
];

/** Where the part of an access begins that a device refused. */
const failedPart = (h: Expr, va: Expr): Expr => i64.add(va, i64.extend_u(i32.sub(S.ioFault.get(h), 1)));

/** cause of a page fault (12, 13, 15) or an access fault (1, 5, 7) for an access kind (0 R, 1 W, 2 X). */
const pageFault = (access: Expr): Expr =>
  select(i32.eq(access, ACCESS_FETCH), i32.const(12), i32.add(13, i32.shl(access, 1)));
const accessFault = (access: Expr): Expr =>
  select(i32.eq(access, ACCESS_FETCH), i32.const(1), i32.add(5, i32.shl(access, 1)));

/** Builds the functions for a memory layout. */
export function mmuFunctions(m: MemoryLayout): Func[] {
  const functions: Func[] = [];
  const define = <const P extends Record<string, typeof I32 | typeof I64>>(
    name: string,
    params: P,
    results: readonly (typeof I32 | typeof I64)[],
    body: Parameters<typeof fn<P>>[3],
  ) => functions.push(fn(name, params, results, body));

  /** The place in this memory of physical address `pa`, or 0 where it is not RAM or ROM. For writes ROM counts as none. */
  define("ramAt", { pa: I64, write: I32 }, [I32], ({ pa, write }) => {
    const p = local(I32, "p");
    const n = local(I32, "n");
    const next = label("next");
    const done = label("done");
    return [
      set(p, m.ranges),
      set(n, i32.load(i32.const(m.rangeCount))),
      block(done, [
        loop(next, [
          br(done, i32.eqz(n)),
          iff(i32.and(i64.ge_u(pa, i64.load(p, RANGE.first)), i64.le_u(pa, i64.load(p, RANGE.last))), [
            iff(i32.and(write, i32.eqz(i32.load(p, RANGE.writable))), [ret(0)]),
            ret(i32.add(i32.load(p, RANGE.host), i32.wrap(i64.sub(pa, i64.load(p, RANGE.first))))),
          ]),
          set(p, i32.add(p, RANGE.stride)),
          set(n, i32.sub(n, 1)),
          br(next),
        ]),
      ]),
      ret(0),
    ];
  });

  /** PMP: may `priv` do `access` on all of [pa, pa+size)? An entry that covers only a part of it denies (3.7.1). */
  define(
    "pmpAllows",
    { h: I32, pa: I64, size: I32, access: I32, priv: I32 },
    [I32],
    ({ h, pa, size, access, priv }) => {
      const i = local(I32, "i");
      const last = local(I64, "last");
      const cfg = local(I32, "cfg");
      const e = local(I32, "e");
      const next = label("next");
      const done = label("done");
      return [
        iff(i32.eqz(S.pmpActive.get(h)), [ret(i32.or(i32.eq(priv, 3), i32.eqz(S.pmpCount.get(h))))]),
        set(last, i64.add(pa, i64.sub(i64.extend_u(size), 1))),
        set(i, 0),
        block(done, [
          loop(next, [
            br(done, i32.eq(i, PMP_ENTRIES)),
            set(cfg, i32.load(i32.add(h, i32.shl(i, 2)), S.pmpCfg.offset)),
            set(e, i32.add(h, i32.shl(i, 3))),
            // A field of 0 in A (bits 3-4) means off; its range is empty (lo > hi).
            iff(i32.and(i64.ge_u(last, i64.load(e, S.pmpLo.offset)), i64.le_u(pa, i64.load(e, S.pmpHi.offset))), [
              iff(i32.or(i64.lt_u(pa, i64.load(e, S.pmpLo.offset)), i64.gt_u(last, i64.load(e, S.pmpHi.offset))), [
                ret(0),
              ]),
              // M-mode obeys locked entries only.
              iff(i32.and(i32.eq(priv, 3), i32.eqz(i32.and(cfg, 0x80))), [ret(1)]),
              ret(i32.and(i32.shr_u(cfg, access), 1)),
            ]),
            set(i, i32.add(i, 1)),
            br(next),
          ]),
        ]),
        ret(i32.eq(priv, 3)),
      ];
    },
  );

  /** A 64-bit read of physical memory for the page walk: RAM, or a device; S.ioFault says whether it failed. */
  define("physLoad64", { h: I32, pa: I64 }, [I64], ({ h, pa }) => {
    const host = local(I32, "host");
    return [
      S.ioFault.set(h, 0),
      set(host, call(I32, "ramAt", pa, i32.const(0))),
      iff(host, [ret(i64.load(host), I64)]),
      iff(i64.ge_u(pa, 1n << 53n), [S.ioFault.set(h, 1), ret(0, I64)]),
      ret(
        i64.or(
          i64.extend_u(call(I32, "mmioLoad", h, f64.convert_i64_u(pa), i32.const(8))),
          i64.shl(i64.extend_u(S.ioHigh.get(h)), 32),
        ),
        I64,
      ),
    ];
  });

  /**
   * Translates `va` for an access by the context key (bits 0-1 privilege, 2 SUM, 3 MXR). Returns the physical address,
   * or -1 with the fault in the hart state. S.walkLevel becomes the leaf's level (0 for 4 KiB and for no translation).
   */
  define("translate", { h: I32, va: I64, access: I32, key: I32, satp: I64 }, [I64], ({ h, va, access, key, satp }) => {
    const levels = local(I32, "levels");
    const i = local(I32, "i");
    const table = local(I64, "table");
    const pteAt = local(I64, "pteAt");
    const pte = local(I64, "pte");
    const mode = local(I32, "mode");
    const shift = local(I64, "shift");
    const ppn = local(I64, "ppn");
    const host = local(I32, "host");
    const wanted = local(I64, "wanted");
    const fault = label("fault");
    const denied = label("denied");
    const next = label("next");
    const bit = (n: number) => i64.and(pte, 1n << BigInt(n));
    return [
      S.walkLevel.set(h, 0),
      set(mode, i32.wrap(i64.shr_u(satp, 60))),
      iff(i32.eqz(mode), [
        iff(i64.lt_u(va, 1n << 56n), [ret(va, I64)]),
        ...raise(h, accessFault(access), va),
        ret(-1n, I64),
      ]),
      block(denied, [
        block(fault, [
          set(levels, i32.sub(mode, 5)), // 8 Sv39: 3; 9 Sv48: 4; 10 Sv57: 5
          set(shift, i64.sub(52, i64.extend_u(i32.mul(levels, 9)))),
          br(fault, i64.ne(i64.shr_s(i64.shl(va, shift), shift), va)),
          set(table, i64.shl(i64.and(satp, (1n << 44n) - 1n), 12)),
          set(i, i32.sub(levels, 1)),
          loop(next, [
            set(shift, i64.extend_u(i32.mul(i, 9))),
            set(pteAt, i64.add(table, i64.shl(i64.and(i64.shr_u(va, i64.add(shift, 12)), 511), 3))),
            br(denied, i32.eqz(call(I32, "pmpAllows", h, pteAt, i32.const(8), i32.const(ACCESS_READ), i32.const(1)))),
            set(pte, call(I64, "physLoad64", h, pteAt)),
            br(denied, S.ioFault.get(h)),
            br(fault, i64.eqz(bit(0))),
            br(fault, i64.eq(i64.and(pte, 6), 4)), // W without R
            br(fault, i64.ne(i64.and(pte, S.pteReserved.get(h)), 0)),
            // PBMT (61, 62): only with menvcfg.PBMTE; 3 is reserved.
            iff(i64.ne(i64.and(pte, 3n << 61n), 0), [
              br(fault, i64.eqz(i64.and(S.menvcfg.get(h), 1n << 62n))),
              br(fault, i64.eq(i64.and(pte, 3n << 61n), 3n << 61n)),
            ]),
            set(ppn, i64.and(i64.shr_u(pte, 10), (1n << 44n) - 1n)),
            iff(i64.eqz(i64.and(pte, 0xa)), [
              // A pointer to the next table: D, A, U, PBMT, N are reserved there.
              br(fault, i64.ne(i64.and(pte, 0xe0000000000000d0n), 0)),
              br(fault, i32.eqz(i)),
              set(table, i64.shl(ppn, 12)),
              set(i, i32.sub(i, 1)),
              br(next),
            ]),
          ]),
          // A leaf. Rights first.
          iff(
            i64.ne(bit(4), 0),
            [
              iff(i32.eq(i32.and(key, 3), 1), [
                br(fault, i32.eq(access, ACCESS_FETCH)),
                br(fault, i32.eqz(i32.and(key, 4))),
              ]),
            ],
            [br(fault, i32.eqz(i32.and(key, 3)))],
          ),
          iff(i32.eq(access, ACCESS_READ), [
            br(fault, i64.eqz(i64.and(pte, select(i32.and(key, 8), i64.const(0xa), i64.const(2))))),
          ]),
          iff(i32.eq(access, ACCESS_WRITE), [br(fault, i64.eqz(bit(2)))]),
          iff(i32.eq(access, ACCESS_FETCH), [br(fault, i64.eqz(bit(3)))]),
          // Misaligned superpage.
          br(fault, i64.ne(i64.and(ppn, i64.sub(i64.shl(1, shift), 1)), 0)),
          // Svnapot: 64 KiB (ppn[3:0] = 8) at level 0 only.
          iff(i64.ne(bit(63), 0), [
            br(fault, i32.or(i, i64.ne(i64.and(ppn, 15), 8))),
            set(ppn, i64.or(i64.and(ppn, -16), i64.and(i64.shr_u(va, 12), 15))),
            set(shift, 4),
          ]),
          // A and D: set by the hart when menvcfg.ADUE says so (Svadu), else a page fault (Svade).
          set(wanted, select(i32.eq(access, ACCESS_WRITE), i64.const(0xc0), i64.const(0x40))),
          iff(i64.ne(i64.and(pte, wanted), wanted), [
            br(fault, i64.eqz(i64.and(S.menvcfg.get(h), 1n << 61n))),
            br(denied, i32.eqz(call(I32, "pmpAllows", h, pteAt, i32.const(8), i32.const(ACCESS_WRITE), i32.const(1)))),
            set(host, call(I32, "ramAt", pteAt, i32.const(1))),
            br(denied, i32.eqz(host)),
            i64.store(host, i64.or(pte, wanted)),
            callStmt("ramStored", host, i32.const(8)),
          ]),
          S.walkLevel.set(h, i32.wrap(shift)),
          set(wanted, i64.sub(i64.shl(1, i64.add(i64.extend_u(i32.mul(i, 9)), 12)), 1)),
          ret(
            i64.or(
              i64.and(i64.shl(ppn, 12), i64.xor(wanted, -1)),
              i64.and(
                select(i64.ne(bit(63), 0), i64.or(i64.and(i64.shl(ppn, 12), wanted), i64.and(va, 4095)), va),
                wanted,
              ),
            ),
            I64,
          ),
        ]),
        ...raise(h, pageFault(access), va),
        ret(-1n, I64),
      ]),
      ...raise(h, accessFault(access), va),
      ret(-1n, I64),
    ];
  });

  /** Marks a stored range in RAM: dirty page; decoded instructions on it are dropped. `host` is a place in this memory. */
  define("ramStored", { host: I32, size: I32 }, [], ({ host, size }) => {
    const flags = local(I32, "flags");
    const page = local(I32, "page");
    return [
      set(page, i32.shr_u(host, 12)),
      set(flags, i32.load8_u(page, m.pageFlags)),
      iff(i32.eqz(i32.and(flags, PAGE_DIRTY)), [i32.store8(page, i32.or(flags, PAGE_DIRTY), m.pageFlags)]),
      iff(i32.and(flags, PAGE_CODE), [callStmt("codeStored", host, size)]),
    ];
  });

  /** A store to a page with decoded code: tells the host only if its 64-byte chunks hold decoded instructions. */
  define("codeStored", { host: I32, size: I32 }, [], ({ host, size }) => {
    const code = local(I32, "code");
    const first = local(I32, "first");
    const last = local(I32, "last");
    return [
      set(code, i32.load(i32.shl(i32.shr_u(host, 12), 2), m.codePage)),
      iff(code, [
        // A four-byte instruction may begin two bytes before the store.
        set(first, i32.and(host, 4095)),
        set(first, select(first, i32.sub(first, select(i32.eq(first, 1), i32.const(1), i32.const(2))), first)),
        set(last, i32.and(i32.sub(i32.add(host, size), 1), 4095)),
        set(last, select(i32.lt_u(last, first), i32.const(4095), last)),
        iff(
          i64.ne(
            i64.and(
              i64.load(i32.add(code, CODE.chunks)),
              i64.or(i64.shl(1, i64.extend_u(i32.shr_u(first, 6))), i64.shl(1, i64.extend_u(i32.shr_u(last, 6)))),
            ),
            0,
          ),
          [callStmt("codeWritten", host, size)],
        ),
      ]),
    ];
  });

  /** Fills a TLB entry of context `c` (read: table 0, write: CTX.write). */
  define("fill", { h: I32, c: I32, table: I32, va: I64, host: I32 }, [], ({ h, c, table, va, host }) => {
    const entry = local(I32, "entry");
    const n = local(I32, "n");
    const lo = local(I64, "lo");
    const hi = local(I64, "hi");
    const page = local(I32, "page");
    return [
      set(entry, entryOf(i32.add(c, table), va)),
      i64.store(entry, pageOf(va)),
      i32.store(entry, i32.sub(host, i32.wrap(va)), 8),
      callStmt("logFill", c, entry),
      // Superpages: remember which virtual range they span, so that sfence.vma of one address in it flushes it all.
      iff(S.walkLevel.get(h), [
        set(lo, i64.add(12, i64.extend_u(S.walkLevel.get(h)))),
        set(hi, i64.or(va, i64.sub(i64.shl(1, lo), 1))),
        set(lo, i64.and(va, i64.shl(-1, lo))),
        iff(i64.lt_u(lo, i64.load(c, CTX.superLo)), [i64.store(c, lo, CTX.superLo)]),
        iff(i64.gt_u(hi, i64.load(c, CTX.superHi)), [i64.store(c, hi, CTX.superHi)]),
      ]),
      iff(i32.eq(table, CTX.write), [
        set(page, i32.shr_u(host, 12)),
        i32.store8(page, i32.or(i32.load8_u(page, m.pageFlags), PAGE_DIRTY), m.pageFlags),
        // Which entry may write the page: one place, or -1 for several. `purgeWrites` uses it.
        set(page, i32.shl(page, 2)),
        set(n, i32.load(page, m.writeEntry)),
        iff(
          i32.eqz(n),
          [i32.store(page, entry, m.writeEntry)],
          [iff(i32.ne(n, entry), [i32.store(page, -1, m.writeEntry)])],
        ),
      ]),
    ];
  });

  define("logFill", { c: I32, entry: I32 }, [], ({ c, entry }) => {
    const n = local(I32, "n");
    return [
      set(n, i32.load(c, CTX.fills)),
      iff(i32.lt_u(n, FILL_LOG), [i32.store(i32.add(c, i32.shl(n, 2)), entry, CTX.log)]),
      i32.store(c, i32.add(n, 1), CTX.fills),
    ];
  });

  /** Empties context `c`. */
  define("flushContext", { c: I32 }, [], ({ c }) => {
    const n = local(I32, "n");
    const next = label("next");
    const all = label("all");
    const e = local(I32, "e");
    return [
      set(n, i32.load(c, CTX.fills)),
      i32.store(c, 0, CTX.fills),
      i64.store(c, -1, CTX.superLo),
      i64.store(c, 0, CTX.superHi),
      block(all, [
        br(all, i32.gt_u(n, FILL_LOG)),
        loop(next, [
          iff(n, [
            set(n, i32.sub(n, 1)),
            set(e, i32.load(i32.add(c, i32.shl(n, 2)), CTX.log)),
            callStmt("clearEntry", c, e),
            br(next),
          ]),
        ]),
        ret(),
      ]),
      { k: "fill", addr: c, value: i32.const(0), size: i32.const(CTX.log) },
      ...clearEnds(c, CTX.read),
      ...clearEnds(c, CTX.write),
      ...clearEnds(c, CTX.fetch, XTLB_ENTRIES),
    ];
  });

  /** Makes one entry invalid: a tag that belongs to another index. */
  define("clearEntry", { c: I32, e: I32 }, [], ({ c, e }) => {
    const ends = [CTX.read, CTX.write - 16, CTX.write, CTX.fetch - 16, CTX.fetch, CTX.log - 16].map((at) =>
      i32.eq(e, i32.add(c, at)),
    );
    return [i64.store(e, select(ends.reduce(i32.or), i64.const(NO_PAGE), i64.const(0)))];
  });

  /** Runs `body` for each of hart `h`'s contexts. */
  const eachContext = (h: Expr, body: (c: Expr) => Stmt[]): Stmt[] => {
    const c = local(I32, "c");
    const n = local(I32, "n");
    const next = label("next");
    return [
      set(c, S.contexts.get(h)),
      set(n, CONTEXTS_PER_HART),
      loop(next, [...body(c), set(c, i32.add(c, CTX.stride)), set(n, i32.sub(n, 1)), br(next, n)]),
    ];
  };

  define("flushAll", { h: I32 }, [], ({ h }) => eachContext(h, (c) => [callStmt("flushContext", c)]));

  /** sfence.vma with an address: drops its page from every context, or the whole context if a superpage may hold it. */
  define("flushPage", { h: I32, va: I64 }, [], ({ h, va }) =>
    eachContext(h, (c) => {
      const e = local(I32, "e");
      const one = (table: number, entries: number): Stmt[] => [
        set(e, entryOf(i32.add(c, table), va, entries)),
        iff(i64.eq(i64.load(e), pageOf(va)), [callStmt("clearEntry", c, e)]),
      ];
      return [
        iff(
          i32.and(i64.ge_u(va, i64.load(c, CTX.superLo)), i64.le_u(va, i64.load(c, CTX.superHi))),
          [callStmt("flushContext", c)],
          [...one(CTX.read, TLB_ENTRIES), ...one(CTX.write, TLB_ENTRIES), ...one(CTX.fetch, XTLB_ENTRIES)],
        ),
      ];
    }),
  );

  /** sfence.vma with an ASID: empties the contexts of that ASID (global mappings may go too: allowed). */
  define("flushAsid", { h: I32, asid: I64 }, [], ({ h, asid }) =>
    eachContext(h, (c) => [
      iff(i64.eq(i64.and(i64.shr_u(i64.load(c, CTX.satp), 44), 0xffff), i64.and(asid, 0xffff)), [
        callStmt("flushContext", c),
      ]),
    ]),
  );

  /** Drops every fetch entry: decoded pages went away. */
  define("flushFetch", { h: I32 }, [], ({ h }) =>
    eachContext(h, (c) => [
      { k: "fill", addr: i32.add(c, CTX.fetch), value: i32.const(0), size: i32.const(XTLB_ENTRIES * 16) },
      ...clearEnds(c, CTX.fetch, XTLB_ENTRIES),
    ]),
  );

  /** Drops every write entry of hart `h` (a snapshot wants to see the next write to each page). */
  define("flushWrites", { h: I32 }, [], ({ h }) =>
    eachContext(h, (c) => [
      { k: "fill", addr: i32.add(c, CTX.write), value: i32.const(0), size: i32.const(TLB_ENTRIES * 16) },
      ...clearEnds(c, CTX.write),
    ]),
  );

  /** Drops hart `h`'s write entries for the page at `host` (a place in this memory, page aligned). */
  define("purgeWrites", { h: I32, host: I32 }, [], ({ h, host }) =>
    eachContext(h, (c) => {
      const e = local(I32, "e");
      const end = local(I32, "end");
      const next = label("next");
      return [
        iff(i32.load(c, CTX.fills), [
          set(e, i32.add(c, CTX.write)),
          set(end, i32.add(e, TLB_ENTRIES * 16)),
          loop(next, [
            iff(i32.eq(i32.add(i32.wrap(i64.load(e)), i32.load(e, 8)), host), [callStmt("clearEntry", c, e)]),
            set(e, i32.add(e, 16)),
            br(next, i32.lt_u(e, end)),
          ]),
        ]),
      ];
    }),
  );

  /** Finds or makes the context for a key; returns its base. */
  define("contextFor", { h: I32, satp: I64, key: I32 }, [I32], ({ h, satp, key }) => {
    const oldest = local(I32, "oldest");
    const clock = local(I32, "clock");
    return [
      set(clock, i32.add(S.useClock.get(h), 1)),
      // When the clock starts anew so must its users: the context just chosen for fetches would look the oldest.
      iff(i32.eqz(clock), [...eachContext(h, (c) => [i32.store(c, 0, CTX.lastUse)]), set(clock, 1)]),
      S.useClock.set(h, clock),
      set(oldest, S.contexts.get(h)),
      ...eachContext(h, (c) => [
        iff(i32.and(i32.eq(i32.load(c, CTX.key), key), i64.eq(i64.load(c, CTX.satp), satp)), [
          i32.store(c, clock, CTX.lastUse),
          ret(c),
        ]),
        iff(i32.lt_u(i32.load(c, CTX.lastUse), i32.load(oldest, CTX.lastUse)), [set(oldest, c)]),
      ]),
      callStmt("flushContext", oldest),
      i32.store(oldest, clock, CTX.lastUse),
      i64.store(oldest, satp, CTX.satp),
      i32.store(oldest, key, CTX.key),
      ret(oldest),
    ];
  });

  /** Chooses the contexts for data and for fetches after a change of privilege, mstatus or satp. */
  define("selectContexts", { h: I32 }, [], ({ h }) => {
    const status = local(I64, "status");
    const priv = local(I32, "priv");
    const dpriv = local(I32, "dpriv");
    const key = (p: Expr, withBits: boolean): Expr =>
      withBits
        ? i32.or(
            i32.or(p, 16),
            select(
              i32.eq(p, 1),
              i32.and(i32.shr_u(i32.wrap(status), 16), 12),
              i32.and(i32.shr_u(i32.wrap(status), 16), select(i32.eq(p, 3), i32.const(0), i32.const(8))),
            ),
          )
        : i32.or(p, 16);
    const satp = (p: Expr): Expr => select(i32.eq(p, 3), i64.const(0), S.satp.get(h));
    return [
      set(status, S.mstatus.get(h)),
      set(priv, S.priv.get(h)),
      set(dpriv, priv),
      // MPRV: loads and stores as MPP would do them (3.1.6.3).
      iff(i64.ne(i64.and(status, 1n << 17n), 0), [set(dpriv, i32.and(i32.wrap(i64.shr_u(status, 11)), 3))]),
      S.tlbX.set(h, call(I32, "contextFor", h, satp(priv), key(priv, false))),
      S.tlb.set(h, call(I32, "contextFor", h, satp(dpriv), key(dpriv, true))),
    ];
  });

  /** The physical address of a data access through context `c`, or -1 with a fault; checks PMP for `size` bytes. */
  define("dataAddress", { h: I32, c: I32, va: I64, size: I32, access: I32 }, [I64], ({ h, c, va, size, access }) => {
    const pa = local(I64, "pa");
    const key = local(I32, "key");
    return [
      set(key, i32.load(c, CTX.key)),
      set(pa, call(I64, "translate", h, va, access, key, i64.load(c, CTX.satp))),
      iff(i64.eq(pa, -1), [ret(-1n, I64)]),
      iff(i32.eqz(call(I32, "pmpAllows", h, pa, size, access, i32.and(key, 3))), [
        ...raise(h, accessFault(access), va),
        ret(-1n, I64),
      ]),
      ret(pa, I64),
    ];
  });

  /** An access that crosses a page end. */
  const crosses = (va: Expr, size: Expr): Expr => i32.gt_u(i32.add(i32.and(i32.wrap(va), 4095), size), 4096);

  /** A load that missed the TLB: the value, zero extended; S.fault says whether it traps instead. */
  define("loadSlow", { h: I32, va: I64, size: I32 }, [I64], ({ h, va, size }) => {
    const pa = local(I64, "pa");
    const host = local(I32, "host");
    const c = local(I32, "c");
    const i = local(I32, "i");
    const v = local(I64, "v");
    const next = label("next");
    const entry = local(I32, "entry");
    return [
      set(c, S.tlb.get(h)),
      // Translated code that looked for a range of accesses, and missed, comes here for each.
      set(entry, entryOf(c, va)),
      iff(i64.lt_u(i64.xor(i64.add(va, i64.sub(i64.extend_u(size), 1)), i64.load(entry)), 4096), [
        set(host, i32.add(i32.wrap(va), i32.load(entry, 8))),
        ...sized(size, (s) => ret(loadOf(s, host), I64)),
      ]),
      iff(crosses(va, size), [
        // Both pages are checked before anything is read; the fault's address is the first byte it concerns.
        iff(i64.eq(call(I64, "dataAddress", h, c, va, i32.const(1), i32.const(ACCESS_READ)), -1), [ret(0, I64)]),
        iff(
          i64.eq(call(I64, "dataAddress", h, c, pageOf(i64.add(va, 4095)), i32.const(1), i32.const(ACCESS_READ)), -1),
          [ret(0, I64)],
        ),
        set(i, 0),
        set(v, 0),
        loop(next, [
          set(
            v,
            i64.or(
              v,
              i64.shl(
                call(I64, "loadSlow", h, i64.add(va, i64.extend_u(i)), i32.const(1)),
                i64.extend_u(i32.shl(i, 3)),
              ),
            ),
          ),
          set(i, i32.add(i, 1)),
          br(next, i32.and(i32.lt_u(i, size), i32.eqz(S.fault.get(h)))),
        ]),
        ret(v, I64),
      ]),
      set(pa, call(I64, "dataAddress", h, c, va, size, i32.const(ACCESS_READ))),
      iff(i64.eq(pa, -1), [ret(0, I64)]),
      set(host, call(I32, "ramAt", pa, i32.const(0))),
      iff(host, [
        iff(
          call(
            I32,
            "pmpAllows",
            h,
            pageOf(pa),
            i32.const(4096),
            i32.const(ACCESS_READ),
            i32.and(i32.load(c, CTX.key), 3),
          ),
          [callStmt("fill", h, c, i32.const(CTX.read), va, host)],
        ),
        ...sized(size, (s) => ret(loadOf(s, host), I64)),
      ]),
      S.ioFault.set(h, 0),
      set(v, i64.extend_u(call(I32, "mmioLoad", h, f64.convert_i64_u(pa), size))),
      iff(S.ioFault.get(h), [...raise(h, 5, failedPart(h, va)), ret(0, I64)]),
      iff(i32.eq(size, 8), [set(v, i64.or(v, i64.shl(i64.extend_u(S.ioHigh.get(h)), 32)))]),
      ret(v, I64),
    ];
  });

  /** A store that missed the TLB, or that goes to a page with code. */
  define("storeSlow", { h: I32, va: I64, v: I64, size: I32 }, [], ({ h, va, v, size }) => {
    const pa = local(I64, "pa");
    const host = local(I32, "host");
    const c = local(I32, "c");
    const i = local(I32, "i");
    const next = label("next");
    const entry = local(I32, "entry");
    return [
      set(c, S.tlb.get(h)),
      set(entry, entryOf(c, va)),
      iff(i64.lt_u(i64.xor(i64.add(va, i64.sub(i64.extend_u(size), 1)), i64.load(entry, CTX.write)), 4096), [
        set(host, i32.add(i32.wrap(va), i32.load(entry, CTX.write + 8))),
        ...sized(size, (s) => storeOf(s, host, v)),
        ret(),
      ]),
      iff(crosses(va, size), [
        iff(i64.eq(call(I64, "dataAddress", h, c, va, i32.const(1), i32.const(ACCESS_WRITE)), -1), [ret()]),
        iff(
          i64.eq(call(I64, "dataAddress", h, c, pageOf(i64.add(va, 4095)), i32.const(1), i32.const(ACCESS_WRITE)), -1),
          [ret()],
        ),
        set(i, 0),
        loop(next, [
          callStmt(
            "storeSlow",
            h,
            i64.add(va, i64.extend_u(i)),
            i64.shr_u(v, i64.extend_u(i32.shl(i, 3))),
            i32.const(1),
          ),
          set(i, i32.add(i, 1)),
          br(next, i32.and(i32.lt_u(i, size), i32.eqz(S.fault.get(h)))),
        ]),
        ret(),
      ]),
      set(pa, call(I64, "dataAddress", h, c, va, size, i32.const(ACCESS_WRITE))),
      iff(i64.eq(pa, -1), [ret()]),
      set(host, call(I32, "ramAt", pa, i32.const(1))),
      iff(host, [
        callStmt("fillWrite", h, c, va, pa, host),
        ...sized(size, (s) => storeOf(s, host, v)),
        callStmt("ramStored", host, size),
        ret(),
      ]),
      S.ioFault.set(h, 0),
      S.ioValue.set(h, v),
      callStmt("mmioStore", h, f64.convert_i64_u(pa), size),
      iff(S.ioFault.get(h), [...raise(h, 7, failedPart(h, va))]),
    ];
  });

  /** Fills a write entry if the page may have one: no decoded code, PMP uniform. */
  define("fillWrite", { h: I32, c: I32, va: I64, pa: I64, host: I32 }, [], ({ h, c, va, pa, host }) => [
    iff(i32.and(i32.load8_u(i32.shr_u(host, 12), m.pageFlags), PAGE_CODE), [ret()]),
    iff(
      call(I32, "pmpAllows", h, pageOf(pa), i32.const(4096), i32.const(ACCESS_WRITE), i32.and(i32.load(c, CTX.key), 3)),
      [callStmt("fill", h, c, i32.const(CTX.write), va, host)],
    ),
  ]);

  /**
   * The place in this memory for an atomic access (aligned, so within a page), or 0 with a fault. `access` is a write
   * for AMO and SC, a read for LR. Atomics reach RAM only: devices answer with an access fault (PMA, 3.6.3).
   */
  define("atomicAddress", { h: I32, va: I64, size: I32, access: I32 }, [I32], ({ h, va, size, access }) => {
    const pa = local(I64, "pa");
    const host = local(I32, "host");
    const c = local(I32, "c");
    return [
      set(c, S.tlb.get(h)),
      iff(i64.ne(i64.and(va, i64.extend_u(i32.sub(size, 1))), 0), [
        ...raise(h, i32.add(4, i32.shl(access, 1)), va),
        ret(0),
      ]),
      set(pa, call(I64, "dataAddress", h, c, va, size, access)),
      iff(i64.eq(pa, -1), [ret(0)]),
      set(host, call(I32, "ramAt", pa, access)),
      iff(i32.eqz(host), [...raise(h, accessFault(access), va), ret(0)]),
      iff(i32.eq(access, ACCESS_WRITE), [callStmt("fillWrite", h, c, va, pa, host)]),
      ret(host),
    ];
  });

  /**
   * The decoded page for a fetch at `pc`, or 0 with a fault. Fills the fetch entry {tag, decoded page}.
   */
  define("fetchPage", { h: I32, pc: I64 }, [I32], ({ h, pc }) => {
    const pa = local(I64, "pa");
    const host = local(I32, "host");
    const c = local(I32, "c");
    const code = local(I32, "code");
    const e = local(I32, "e");
    return [
      set(c, S.tlbX.get(h)),
      set(host, call(I32, "fetchAddress", h, pc)),
      iff(i32.eqz(host), [ret(0)]),
      set(host, i32.and(host, -4096)),
      set(code, i32.load(i32.shl(i32.shr_u(host, 12), 2), m.codePage)),
      iff(i32.eqz(code), [set(code, call(I32, "newCodePage", host))]),
      set(pa, i64.load(c, CTX.satp)),
      // Where PMP does not allow the whole page, instructions come one at a time, each checked.
      set(pa, call(I64, "translate", h, pc, i32.const(ACCESS_FETCH), i32.load(c, CTX.key), pa)),
      iff(
        i32.eqz(
          call(
            I32,
            "pmpAllows",
            h,
            pageOf(pa),
            i32.const(4096),
            i32.const(ACCESS_FETCH),
            i32.and(i32.load(c, CTX.key), 3),
          ),
        ),
        [S.pc.set(h, pc), ret(call(I32, "fetchSingle", h))],
        [
          set(e, entryOf(i32.add(c, CTX.fetch), pc, XTLB_ENTRIES)),
          i64.store(e, pageOf(pc)),
          i32.store(e, code, 8),
          callStmt("logFill", c, e),
          iff(S.walkLevel.get(h), [
            set(pa, i64.add(12, i64.extend_u(S.walkLevel.get(h)))),
            iff(i64.lt_u(i64.and(pc, i64.shl(-1, pa)), i64.load(c, CTX.superLo)), [
              i64.store(c, i64.and(pc, i64.shl(-1, pa)), CTX.superLo),
            ]),
            iff(i64.gt_u(i64.or(pc, i64.sub(i64.shl(1, pa), 1)), i64.load(c, CTX.superHi)), [
              i64.store(c, i64.or(pc, i64.sub(i64.shl(1, pa), 1)), CTX.superHi),
            ]),
          ]),
        ],
      ),
      ret(code),
    ];
  });

  /** The place in this memory of the halfword at `pc`, checked for execution, or 0 with a fault. Devices do not execute. */
  define("fetchAddress", { h: I32, pc: I64 }, [I32], ({ h, pc }) => {
    const pa = local(I64, "pa");
    const host = local(I32, "host");
    const c = local(I32, "c");
    return [
      set(c, S.tlbX.get(h)),
      set(pa, call(I64, "translate", h, pc, i32.const(ACCESS_FETCH), i32.load(c, CTX.key), i64.load(c, CTX.satp))),
      iff(i64.eq(pa, -1), [ret(0)]),
      set(host, call(I32, "ramAt", pa, i32.const(0))),
      iff(
        i32.or(
          i32.eqz(host),
          i32.eqz(
            call(I32, "pmpAllows", h, pa, i32.const(2), i32.const(ACCESS_FETCH), i32.and(i32.load(c, CTX.key), 3)),
          ),
        ),
        [...raise(h, 1, pc), ret(0)],
      ),
      ret(host),
    ];
  });

  return functions;
}

/** One statement for each access size, chosen at run time. */
function sized(size: Expr, body: (bytes: 1 | 2 | 4 | 8) => Stmt): Stmt[] {
  const done: Label = label("sized");
  return [
    block(done, [
      iff(i32.eq(size, 8), [body(8), br(done)]),
      iff(i32.eq(size, 4), [body(4), br(done)]),
      iff(i32.eq(size, 2), [body(2), br(done)]),
      body(1),
    ]),
  ];
}

/** A zero-extending load of 1, 2, 4 or 8 bytes. */
export const loadOf = (bytes: number, addr: Expr, offset = 0): Expr =>
  (bytes === 8 ? i64.load : bytes === 4 ? i64.load32_u : bytes === 2 ? i64.load16_u : i64.load8_u)(addr, offset);

/** A store of the low 1, 2, 4 or 8 bytes. */
export const storeOf = (bytes: number, addr: Expr, v: Expr, offset = 0): Stmt =>
  (bytes === 8 ? i64.store : bytes === 4 ? i64.store32 : bytes === 2 ? i64.store16 : i64.store8)(addr, v, offset);
