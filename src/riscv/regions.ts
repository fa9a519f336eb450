/** Calls from translated code to translated code in other modules, as generated code. */
import {
  br,
  type Expr,
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
  set,
} from "../wasm/ir.ts";
import { CODE, CTX, HANDLER_REGION, OP, S, SIDE, XTLB_ENTRIES } from "./layout.ts";
import { entryOf } from "./mmu/entry.ts";

/** What translated code looks like from outside: (h, depth). */
export const REGION_SIGNATURE = { params: [I32, I32], results: [] } as const;

/** Calls the region at table slot `index`. */
export const callRegion = (index: Expr, h: Expr, depth: Expr): Stmt => ({
  k: "calli",
  sig: REGION_SIGNATURE,
  index,
  args: [h, depth],
});

export function regionFunctions(): Func[] {
  /**
   * Runs the region that begins at S.pc, and those that come after it, until the pc is `back`, or somebody wants attention, or
   * something is for the interpreter. A function too long for one region comes back like any other.
   */
  const callGuest = fn("callGuest", { h: I32, depth: I32, back: I64 }, [], ({ h, depth, back }) => {
    const entry = local(I32, "entry");
    const at = local(I32, "at");
    const page = local(I32, "page");
    const pc = local(I64, "pc");
    const budget = local(I32, "budget");
    const next = label("next");
    return [
      loop(next, [
        set(pc, S.pc.get(h)),
        set(entry, entryOf(i32.add(S.tlbX.get(h), CTX.fetch), pc, XTLB_ENTRIES)),
        iff(i64.ne(i64.load(entry), i64.and(pc, -4096)), [ret()]),
        set(page, i32.load(entry, 8)),
        set(at, i32.and(i32.wrap(pc), 4094)),
        iff(i32.ne(i32.load16_u(i32.add(page, i32.shl(at, 3)), OP.handler), HANDLER_REGION), [ret()]),
        set(budget, S.budget.get(h)),
        callRegion(i32.load(i32.add(page, i32.shl(at, 2)), CODE.side + SIDE.table), h, depth),
        // One that left before its first instruction would do so again.
        iff(i32.or(S.attention.get(h), i32.eq(S.budget.get(h), budget)), [ret()]),
        br(next, i64.ne(S.pc.get(h), back)),
      ]),
    ];
  });
  return [callGuest];
}
