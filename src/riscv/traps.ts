/**
 * Traps, returns from traps, and the choice of an interrupt, as generated code.
 * Privileged specification 3.1.6-3.1.9 (mstatus, delegation, mip), 3.3.2 (xRET), 12.1.3.
 */
import {
  block,
  br,
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
  ret,
  type Stmt,
  select,
  set,
} from "../wasm/ir.ts";
import { S } from "./layout.ts";

const INTERRUPT = 1n << 63n;
/** Interrupts by priority, highest first (3.1.9): MEI, MSI, MTI, SEI, SSI, STI. */
const PRIORITY = [11, 3, 7, 9, 1, 5];

const bit = (v: Expr, n: number): Expr => i64.and(i64.shr_u(v, n), 1);
const isSet = (v: Expr, n: number): Expr => i32.wrap(bit(v, n));

/** The vector's address: BASE, plus 4 * cause for an interrupt in vectored mode. */
const vector = (tvec: Expr, cause: Expr): Expr =>
  i64.add(
    i64.and(tvec, -4),
    select(i32.and(i32.wrap(i64.and(tvec, 1)), i32.wrap(i64.shr_u(cause, 63))), i64.shl(cause, 2), i64.const(0)),
  );

export function trapFunctions(): Func[] {
  /**
   * Enters a trap: cause with the interrupt bit, tval, and the pc of the instruction that trapped or would have been
   * next. Sets S.pc to the handler. mstatus.FS is not touched here: `fsDirty` is merged whenever mstatus is read.
   */
  const trapEnter = fn("trapEnter", { h: I32, pc: I64, cause: I64, tval: I64 }, [], ({ h, pc, cause, tval }) => {
    const status = local(I64, "status");
    const deleg = local(I64, "deleg");
    const priv = local(I32, "priv");
    const next = label("m-mode");
    return [
      S.fault.set(h, 0),
      // A trap ends a reservation's sequence; SC after it must not succeed by chance.
      S.resAddr.set(h, -1n),
      iff(S.traceTraps.get(h), [S.pc.set(h, pc), S.fa.set(h, cause), S.fb.set(h, tval), callStmt("traceTrap", h)]),
      set(status, S.mstatus.get(h)),
      set(priv, S.priv.get(h)),
      set(deleg, select(i64.lt_s(cause, 0), S.mideleg.get(h), S.medeleg.get(h))),
      block(next, [
        br(next, i32.eq(priv, 3)),
        br(next, i32.eqz(i32.wrap(i64.and(i64.shr_u(deleg, i64.and(cause, 63)), 1)))),
        S.sepc.set(h, pc),
        S.scause.set(h, cause),
        S.stval.set(h, tval),
        // SPIE = SIE, SIE = 0, SPP = priv.
        S.mstatus.set(
          h,
          i64.or(
            i64.and(status, ~((1n << 5n) | (1n << 1n) | (1n << 8n))),
            i64.or(i64.shl(bit(status, 1), 5), i64.shl(i64.extend_u(i32.and(priv, 1)), 8)),
          ),
        ),
        S.priv.set(h, 1),
        S.pc.set(h, vector(S.stvec.get(h), cause)),
        callStmt("selectContexts", h),
        ret(),
      ]),
      S.mepc.set(h, pc),
      S.mcause.set(h, cause),
      S.mtval.set(h, tval),
      // MPIE = MIE, MIE = 0, MPP = priv.
      S.mstatus.set(
        h,
        i64.or(
          i64.and(status, ~((1n << 7n) | (1n << 3n) | (3n << 11n))),
          i64.or(i64.shl(bit(status, 3), 7), i64.shl(i64.extend_u(priv), 11)),
        ),
      ),
      S.priv.set(h, 3),
      S.pc.set(h, vector(S.mtvec.get(h), cause)),
      callStmt("selectContexts", h),
    ];
  });

  /** Takes the most urgent enabled interrupt, if any, before the instruction at `pc`; returns 1 if it did. */
  const takeInterrupt = fn("takeInterrupt", { h: I32, pc: I64 }, [I32], ({ h, pc }) => {
    const pending = local(I64, "pending");
    const enabled = local(I64, "enabled");
    const status = local(I64, "status");
    const priv = local(I32, "priv");
    const choose = (): Stmt[] =>
      PRIORITY.map((n) =>
        iff(isSet(enabled, n), [callStmt("trapEnter", h, pc, i64.const(INTERRUPT | BigInt(n)), i64.const(0)), ret(1)]),
      );
    return [
      set(pending, i64.and(i64.or(S.mipLines.get(h), S.mipSoft.get(h)), S.mie.get(h))),
      iff(i64.eqz(pending), [ret(0)]),
      set(status, S.mstatus.get(h)),
      set(priv, S.priv.get(h)),
      // Those not delegated: always below M-mode, in M-mode only with MIE.
      set(
        enabled,
        select(
          i32.or(i32.lt_u(priv, 3), isSet(status, 3)),
          i64.and(pending, i64.xor(S.mideleg.get(h), -1)),
          i64.const(0),
        ),
      ),
      ...choose(),
      set(
        enabled,
        select(
          i32.or(i32.eqz(priv), i32.and(i32.eq(priv, 1), isSet(status, 1))),
          i64.and(pending, S.mideleg.get(h)),
          i64.const(0),
        ),
      ),
      ...choose(),
      ret(0),
    ];
  });

  /** MRET and SRET (`from` 3 or 1), legality checked by the caller. Sets S.pc. */
  const trapReturn = fn("trapReturn", { h: I32, from: I32 }, [], ({ h, from }) => {
    const status = local(I64, "status");
    const to = local(I32, "to");
    return [
      set(status, S.mstatus.get(h)),
      iff(
        i32.eq(from, 3),
        [
          set(to, i32.and(i32.wrap(i64.shr_u(status, 11)), 3)),
          S.pc.set(h, S.mepc.get(h)),
          // MIE = MPIE, MPIE = 1, MPP = U.
          set(
            status,
            i64.or(i64.and(status, ~((1n << 3n) | (3n << 11n))), i64.or(i64.shl(bit(status, 7), 3), 1n << 7n)),
          ),
        ],
        [
          set(to, i32.and(i32.wrap(i64.shr_u(status, 8)), 1)),
          S.pc.set(h, S.sepc.get(h)),
          set(
            status,
            i64.or(i64.and(status, ~((1n << 1n) | (1n << 8n))), i64.or(i64.shl(bit(status, 5), 1), 1n << 5n)),
          ),
        ],
      ),
      // A return to a mode below M clears MPRV.
      iff(i32.ne(to, 3), [set(status, i64.and(status, ~(1n << 17n)))]),
      S.mstatus.set(h, status),
      S.priv.set(h, to),
      S.resAddr.set(h, -1n),
      callStmt("selectContexts", h),
    ];
  });

  return [trapEnter, takeInterrupt, trapReturn];
}

/** True where an enabled interrupt may be pending: cheap test before `takeInterrupt`. */
export const interruptPossible = (h: Expr): Expr =>
  i64.ne(i64.and(i64.or(S.mipLines.get(h), S.mipSoft.get(h)), S.mie.get(h)), 0);
