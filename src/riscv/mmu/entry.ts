/** A TLB entry and how it is asked; src/riscv/mmu.ts says what it stands for. */
import { type Expr, i32, i64, type Stmt } from "../../wasm/ir.ts";
import { TLB_ENTRIES } from "../layout.ts";

/** The base of the TLB entry for an address, in a table at `base` (an i32) with `entries` entries. */
export const entryOf = (base: Expr, address: Expr, entries = TLB_ENTRIES): Expr =>
  i32.add(base, i32.and(i32.wrap(i64.shr_u(address, 8)), (entries - 1) << 4));

/**
 * True where an access of `size` bytes at `address` lies wholly in the page of the entry: the tag is then 0 to 4096 - size
 * below it. The tag comes first in the subtraction because V8 makes a memory operand of what comes second, and loads
 * it a second time.
 */
export const tagHits = (entry: Expr, address: Expr, size: number, offset = 0): Expr =>
  i64.lt_u(i64.add(i64.sub(i64.load(entry, offset), address), 4096 - size), 4097 - size);

/** The tag of an invalid entry at the ends of a table; all others have 0. */
export const NO_PAGE = 0x2000;
/** Marks both end entries of a table invalid. */
export const clearEnds = (c: Expr, table: number, entries = TLB_ENTRIES): Stmt[] => [
  i64.store(c, NO_PAGE, table),
  i64.store(c, NO_PAGE, table + (entries - 1) * 16),
];

export const pageOf = (a: Expr): Expr => i64.and(a, -4096);
