/** Instruction fetches: from a pc to decoded code. */
import { call, callStmt, type Func, fn, I32, I64, i32, i64, iff, local, ret, set } from "../../wasm/ir.ts";
import { ACCESS_FETCH, CTX, type MemoryLayout, S, XTLB_ENTRIES } from "../layout.ts";
import { entryOf, pageOf } from "./entry.ts";
import { raise } from "./faults.ts";

/** Builds the functions for a memory layout. */
export const fetchFunctions = (m: MemoryLayout): Func[] => [
  /**
   * The decoded page for a fetch at `pc`, or 0 with a fault. Fills the fetch entry {tag, decoded page}.
   */
  fn("fetchPage", { h: I32, pc: I64 }, [I32], ({ h, pc }) => {
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
  }),

  /** The place in this memory of the halfword at `pc`, checked for execution, or 0 with a fault. Devices do not execute. */
  fn("fetchAddress", { h: I32, pc: I64 }, [I32], ({ h, pc }) => {
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
  }),
];
