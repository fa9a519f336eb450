/** Loads and stores of memory by their size. */
import { block, br, type Expr, i32, i64, iff, type Label, label, type Stmt } from "../../wasm/ir.ts";

/** One statement for each access size, chosen at run time. */
export function sized(size: Expr, body: (bytes: 1 | 2 | 4 | 8) => Stmt): Stmt[] {
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

/** A sign-extending load of 1, 2, 4 or 8 bytes. */
export const signedLoadOf = (bytes: number, addr: Expr, offset = 0): Expr =>
  (bytes === 8 ? i64.load : bytes === 4 ? i64.load32_s : bytes === 2 ? i64.load16_s : i64.load8_s)(addr, offset);

/** A store of the low 1, 2, 4 or 8 bytes. */
export const storeOf = (bytes: number, addr: Expr, v: Expr, offset = 0): Stmt =>
  (bytes === 8 ? i64.store : bytes === 4 ? i64.store32 : bytes === 2 ? i64.store16 : i64.store8)(addr, v, offset);
