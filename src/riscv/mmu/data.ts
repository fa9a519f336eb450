/** Data accesses that the TLB does not serve: loads, stores, atomics. */
import {
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
  label,
  local,
  loop,
  ret,
  set,
} from "../../wasm/ir.ts";
import { ACCESS_READ, ACCESS_WRITE, CTX, S } from "../layout.ts";
import { entryOf, pageOf } from "./entry.ts";
import { accessFault, failedPart, raise } from "./faults.ts";
import { loadOf, sized, storeOf } from "./sized.ts";

/** An access that crosses a page end. */
const crosses = (va: Expr, size: Expr): Expr => i32.gt_u(i32.add(i32.and(i32.wrap(va), 4095), size), 4096);

export const dataFunctions: readonly Func[] = [
  /** The physical address of a data access through context `c`, or -1 with a fault; checks PMP for `size` bytes. */
  fn("dataAddress", { h: I32, c: I32, va: I64, size: I32, access: I32 }, [I64], ({ h, c, va, size, access }) => {
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
  }),

  /** A load that missed the TLB: the value, zero extended; S.fault says whether it traps instead. */
  fn("loadSlow", { h: I32, va: I64, size: I32 }, [I64], ({ h, va, size }) => {
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
      set(entry, call(I32, "ioFind", c, i32.const(CTX.ioRead), va, size)),
      iff(entry, [ret(call(I64, "loadDevice", h, entry, va, size), I64)]),
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
      callStmt("ioFill", h, c, i32.const(CTX.ioRead), va, pa),
      set(entry, call(I32, "ioFind", c, i32.const(CTX.ioRead), va, size)),
      iff(entry, [ret(call(I64, "loadDevice", h, entry, va, size), I64)]),
      S.ioFault.set(h, 0),
      set(v, i64.extend_u(call(I32, "mmioLoad", h, f64.convert_i64_u(pa), size))),
      iff(S.ioFault.get(h), [...raise(h, 5, failedPart(h, va)), ret(0, I64)]),
      iff(i32.eq(size, 8), [set(v, i64.or(v, i64.shl(i64.extend_u(S.ioHigh.get(h)), 32)))]),
      ret(v, I64),
    ];
  }),

  /** A store that missed the TLB, or that goes to a page with code. */
  fn("storeSlow", { h: I32, va: I64, v: I64, size: I32 }, [], ({ h, va, v, size }) => {
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
      set(entry, call(I32, "ioFind", c, i32.const(CTX.ioWrite), va, size)),
      iff(entry, [callStmt("storeDevice", h, entry, va, v, size), ret()]),
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
      callStmt("ioFill", h, c, i32.const(CTX.ioWrite), va, pa),
      set(entry, call(I32, "ioFind", c, i32.const(CTX.ioWrite), va, size)),
      iff(entry, [callStmt("storeDevice", h, entry, va, v, size), ret()]),
      S.ioFault.set(h, 0),
      S.ioValue.set(h, v),
      callStmt("mmioStore", h, f64.convert_i64_u(pa), size),
      iff(S.ioFault.get(h), [...raise(h, 7, failedPart(h, va))]),
    ];
  }),

  /**
   * The place in this memory for an atomic access (aligned, so within a page), or 0 with a fault. `access` is a write
   * for AMO and SC, a read for LR. Atomics reach RAM only: devices answer with an access fault (PMA, 3.6.3).
   */
  fn("atomicAddress", { h: I32, va: I64, size: I32, access: I32 }, [I32], ({ h, va, size, access }) => {
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
  }),
];
