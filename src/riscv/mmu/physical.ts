/** Physical memory: where RAM is in this memory, and what stores to it mean for decoded code and snapshots. */
import {
  block,
  br,
  call,
  callStmt,
  type Func,
  f64,
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
  select,
  set,
} from "../../wasm/ir.ts";
import { CODE, type MemoryLayout, PAGE_CODE, PAGE_DIRTY, RANGE, S, STALE_STORES } from "../layout.ts";

/** Builds the functions for a memory layout. */
export const physicalFunctions = (m: MemoryLayout): Func[] => [
  /** The place in this memory of physical address `pa`, or 0 where it is not RAM or ROM. For writes ROM counts as none. */
  fn("ramAt", { pa: I64, write: I32 }, [I32], ({ pa, write }) => {
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
  }),

  /** A 64-bit read of physical memory for the page walk: RAM, or a device; S.ioFault says whether it failed. */
  fn("physLoad64", { h: I32, pa: I64 }, [I64], ({ h, pa }) => {
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
  }),

  /** Marks a stored range in RAM: dirty page; decoded instructions on it are dropped. `host` is a place in this memory. */
  fn("ramStored", { host: I32, size: I32 }, [], ({ host, size }) => {
    const flags = local(I32, "flags");
    const page = local(I32, "page");
    return [
      set(page, i32.shr_u(host, 12)),
      set(flags, i32.load8_u(page, m.pageFlags)),
      iff(i32.eqz(i32.and(flags, PAGE_DIRTY)), [i32.store8(page, i32.or(flags, PAGE_DIRTY), m.pageFlags)]),
      iff(i32.and(flags, PAGE_CODE), [callStmt("codeStored", host, size)]),
    ];
  }),

  /** A store to a page with decoded code: tells the host only if its 64-byte chunks hold decoded instructions. */
  fn("codeStored", { host: I32, size: I32 }, [], ({ host, size }) => {
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
        // Such stores are slow, and what was code once may be data for a long time.
        set(code, i32.add(code, CODE.stores)),
        set(first, i32.add(i32.load(code), 1)),
        i32.store(code, first),
        iff(i32.eqz(i32.and(first, STALE_STORES - 1)), [callStmt("codeStale", host)]),
      ]),
    ];
  }),
];
