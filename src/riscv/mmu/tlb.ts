/** TLBs: entries are filled, and dropped for every reason there is. */
import {
  block,
  br,
  call,
  callStmt,
  type Func,
  fn,
  I32,
  I64,
  i32,
  i64,
  iff,
  label,
  local,
  loop,
  ret,
  type Stmt,
  select,
  set,
} from "../../wasm/ir.ts";
import {
  ACCESS_WRITE,
  CTX,
  FILL_LOG,
  IO,
  IO_ENTRIES,
  type MemoryLayout,
  PAGE_CODE,
  PAGE_DIRTY,
  TLB_ENTRIES,
  XTLB_ENTRIES,
} from "../layout.ts";
import { eachContext, noteSuperpage } from "./contexts.ts";
import { clearEnds, entryOf, NO_PAGE, pageOf } from "./entry.ts";
import { ioEntryOf } from "./io.ts";

/** Builds the functions for a memory layout. */
export const tlbFunctions = (m: MemoryLayout): Func[] => [
  /** Fills a TLB entry of context `c` (read: table 0, write: CTX.write). */
  fn("fill", { h: I32, c: I32, table: I32, va: I64, host: I32 }, [], ({ h, c, table, va, host }) => {
    const entry = local(I32, "entry");
    const n = local(I32, "n");
    const page = local(I32, "page");
    return [
      set(entry, entryOf(i32.add(c, table), va)),
      i64.store(entry, pageOf(va)),
      i32.store(entry, i32.sub(host, i32.wrap(va)), 8),
      callStmt("logFill", c, entry),
      ...noteSuperpage(h, c, va),
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
  }),

  /** Fills a write entry if the page may have one: no decoded code, PMP uniform. */
  fn("fillWrite", { h: I32, c: I32, va: I64, pa: I64, host: I32 }, [], ({ h, c, va, pa, host }) => [
    iff(i32.and(i32.load8_u(i32.shr_u(host, 12), m.pageFlags), PAGE_CODE), [ret()]),
    iff(
      call(I32, "pmpAllows", h, pageOf(pa), i32.const(4096), i32.const(ACCESS_WRITE), i32.and(i32.load(c, CTX.key), 3)),
      [callStmt("fill", h, c, i32.const(CTX.write), va, host)],
    ),
  ]),

  fn("logFill", { c: I32, entry: I32 }, [], ({ c, entry }) => {
    const n = local(I32, "n");
    return [
      set(n, i32.load(c, CTX.fills)),
      iff(i32.lt_u(n, FILL_LOG), [i32.store(i32.add(c, i32.shl(n, 2)), entry, CTX.log)]),
      i32.store(c, i32.add(n, 1), CTX.fills),
    ];
  }),

  /** Empties context `c`. */
  fn("flushContext", { c: I32 }, [], ({ c }) => {
    const n = local(I32, "n");
    const next = label("next");
    const all = label("all");
    const e = local(I32, "e");
    return [
      set(n, i32.load(c, CTX.fills)),
      i32.store(c, 0, CTX.fills),
      iff(i32.load(c, CTX.ioFills), [
        { k: "fill", addr: i32.add(c, CTX.ioRead), value: i32.const(0), size: i32.const(2 * IO_ENTRIES * IO.size) },
        i32.store(c, 0, CTX.ioFills),
      ]),
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
  }),

  /** Makes one entry invalid: a tag that belongs to another index. */
  fn("clearEntry", { c: I32, e: I32 }, [], ({ c, e }) => {
    const ends = [CTX.read, CTX.write - 16, CTX.write, CTX.fetch - 16, CTX.fetch, CTX.log - 16].map((at) =>
      i32.eq(e, i32.add(c, at)),
    );
    return [i64.store(e, select(ends.reduce(i32.or), i64.const(NO_PAGE), i64.const(0)))];
  }),

  fn("flushAll", { h: I32 }, [], ({ h }) => eachContext(h, (c) => [callStmt("flushContext", c)])),

  /** sfence.vma with an address: drops its page from every context, or the whole context if a superpage may hold it. */
  fn("flushPage", { h: I32, va: I64 }, [], ({ h, va }) =>
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
          [
            ...one(CTX.read, TLB_ENTRIES),
            ...one(CTX.write, TLB_ENTRIES),
            ...one(CTX.fetch, XTLB_ENTRIES),
            ...[CTX.ioRead, CTX.ioWrite].map(
              (table): Stmt => ({
                k: "fill",
                addr: ioEntryOf(c, va, table),
                value: i32.const(0),
                size: i32.const(IO.size),
              }),
            ),
          ],
        ),
      ];
    }),
  ),

  /** sfence.vma with an ASID: empties the contexts of that ASID (global mappings may go too: allowed). */
  fn("flushAsid", { h: I32, asid: I64 }, [], ({ h, asid }) =>
    eachContext(h, (c) => [
      iff(i64.eq(i64.and(i64.shr_u(i64.load(c, CTX.satp), 44), 0xffff), i64.and(asid, 0xffff)), [
        callStmt("flushContext", c),
      ]),
    ]),
  ),

  /** Drops every fetch entry: decoded pages went away. */
  fn("flushFetch", { h: I32 }, [], ({ h }) =>
    eachContext(h, (c) => [
      { k: "fill", addr: i32.add(c, CTX.fetch), value: i32.const(0), size: i32.const(XTLB_ENTRIES * 16) },
      ...clearEnds(c, CTX.fetch, XTLB_ENTRIES),
    ]),
  ),

  /** Drops every write entry of hart `h` (a snapshot wants to see the next write to each page). */
  fn("flushWrites", { h: I32 }, [], ({ h }) =>
    eachContext(h, (c) => [
      { k: "fill", addr: i32.add(c, CTX.write), value: i32.const(0), size: i32.const(TLB_ENTRIES * 16) },
      ...clearEnds(c, CTX.write),
    ]),
  ),

  /** Drops hart `h`'s write entries for the page at `host` (a place in this memory, page aligned). */
  fn("purgeWrites", { h: I32, host: I32 }, [], ({ h, host }) =>
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
  ),
];
