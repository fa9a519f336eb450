/** Translation contexts: which one serves the hart as it is. */
import {
  br,
  call,
  callStmt,
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
  select,
  set,
} from "../../wasm/ir.ts";
import { CONTEXTS_PER_HART, CTX, S } from "../layout.ts";

/** Runs `body` for each of hart `h`'s contexts. */
export const eachContext = (h: Expr, body: (c: Expr) => Stmt[]): Stmt[] => {
  const c = local(I32, "c");
  const n = local(I32, "n");
  const next = label("next");
  return [
    set(c, S.contexts.get(h)),
    set(n, CONTEXTS_PER_HART),
    loop(next, [...body(c), set(c, i32.add(c, CTX.stride)), set(n, i32.sub(n, 1)), br(next, n)]),
  ];
};

/**
 * After a fill of context `c`: if `va` lies in a superpage, remembers which virtual range that spans, so that
 * sfence.vma of one address in it flushes it all.
 */
export const noteSuperpage = (h: Expr, c: Expr, va: Expr): Stmt[] => {
  const lo = local(I64, "lo");
  const hi = local(I64, "hi");
  return [
    iff(S.walkLevel.get(h), [
      set(lo, i64.add(12, i64.extend_u(S.walkLevel.get(h)))),
      set(hi, i64.or(va, i64.sub(i64.shl(1, lo), 1))),
      set(lo, i64.and(va, i64.shl(-1, lo))),
      iff(i64.lt_u(lo, i64.load(c, CTX.superLo)), [i64.store(c, lo, CTX.superLo)]),
      iff(i64.gt_u(hi, i64.load(c, CTX.superHi)), [i64.store(c, hi, CTX.superHi)]),
    ]),
  ];
};

export const contextFunctions: readonly Func[] = [
  /** Finds or makes the context for a key; returns its base. */
  fn("contextFor", { h: I32, satp: I64, key: I32 }, [I32], ({ h, satp, key }) => {
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
  }),

  /** Chooses the contexts for data and for fetches after a change of privilege, mstatus or satp. */
  fn("selectContexts", { h: I32 }, [], ({ h }) => {
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
  }),
];
