/** Traps that an address gives: causes of the privileged specification, table 3.6. */
import { type Expr, i32, i64, type Stmt, select } from "../../wasm/ir.ts";
import { ACCESS_FETCH, S } from "../layout.ts";

/** A trap to take: 1 + cause and tval go into the hart state; the slow path's caller looks at `fault`. */
export const raise = (h: Expr, cause: Expr | number, tval: Expr): Stmt[] => [
  S.fault.set(h, typeof cause === "number" ? cause + 1 : i32.add(cause, 1)),
  S.faultTval.set(h, tval),
];

/** Where the part of an access begins that a device refused. */
export const failedPart = (h: Expr, va: Expr): Expr => i64.add(va, i64.extend_u(i32.sub(S.ioFault.get(h), 1)));

/** cause of a page fault (12, 13, 15) or an access fault (1, 5, 7) for an access kind (0 R, 1 W, 2 X). */
export const pageFault = (access: Expr): Expr =>
  select(i32.eq(access, ACCESS_FETCH), i32.const(12), i32.add(13, i32.shl(access, 1)));
export const accessFault = (access: Expr): Expr =>
  select(i32.eq(access, ACCESS_FETCH), i32.const(1), i32.add(5, i32.shl(access, 1)));
