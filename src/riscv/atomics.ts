/**
 * LR, SC and AMOs as generated code, for the interpreter and for translated code (unprivileged specification, chapter 14). A
 * reservation is a place in this memory and the value read there; SC succeeds if both are still so.
 */
import type { AmoInfo, LoadInfo } from "../isa/semantics.ts";
import { callStmt, type Expr, I32, I64, i32, i64, iff, type Local, local, type Stmt, set } from "../wasm/ir.ts";
import { ACCESS_READ, ACCESS_WRITE, CTX, PAGE_CODE, PAGE_DIRTY, S } from "./layout.ts";
import { entryOf } from "./mmu/entry.ts";
import { signedLoadOf, storeOf } from "./mmu/sized.ts";

/** What differs between those who generate it. */
export interface AtomicContext {
  /** The hart's state. */
  readonly h: Expr;
  /** The TLBs of the hart's context for data. */
  readonly tlb: Expr;
  readonly pageFlags: number;
  /** Where the TLB does not know the place of `ea`: sets `host`, or goes elsewhere. */
  missed(ea: Local, host: Local, size: number, access: number): readonly Stmt[];
}

/** `host` becomes the place of an aligned access in this memory. */
function place(c: AtomicContext, host: Local, address: Expr, size: number, access: number): Stmt[] {
  const ea = local(I64, "ea");
  const entry = local(I32, "entry");
  const table = access === ACCESS_WRITE ? CTX.write : CTX.read;
  return [
    set(ea, address),
    set(entry, entryOf(c.tlb, ea)),
    iff(
      // Same page, and no bit set below the access size.
      i64.eq(i64.sub(ea, i64.load(entry, table)), i64.and(ea, 4096 - size)),
      [set(host, i32.add(i32.wrap(ea), i32.load(entry, table + 8)))],
      c.missed(ea, host, size, access),
    ),
  ];
}

/** After a store: pages with code, or that PMP keeps out of the TLB, are looked after. */
const stored = (c: AtomicContext, host: Local, size: number): Stmt =>
  iff(i32.ne(i32.and(i32.load8_u(i32.shr_u(host, 12), c.pageFlags), PAGE_DIRTY | PAGE_CODE), PAGE_DIRTY), [
    callStmt("ramStored", host, i32.const(size)),
  ]);

export function amo(c: AtomicContext, address: Expr, { size, to, next }: AmoInfo): Stmt[] {
  const host = local(I32, "host");
  return [
    ...place(c, host, address, size, ACCESS_WRITE),
    set(to, signedLoadOf(size, host)),
    storeOf(size, host, next(to)),
    stored(c, host, size),
  ];
}

export function loadReserved(c: AtomicContext, address: Expr, { size, to }: LoadInfo): Stmt[] {
  const host = local(I32, "host");
  return [
    ...place(c, host, address, size, ACCESS_READ),
    set(to, signedLoadOf(size, host)),
    S.resAddr.set(c.h, i64.extend_u(host)),
    S.resValue.set(c.h, to),
  ];
}

export function storeConditional(c: AtomicContext, address: Expr, value: Expr, { size, to }: LoadInfo): Stmt[] {
  const host = local(I32, "host");
  const reserved = i32.and(
    i64.eq(S.resAddr.get(c.h), i64.extend_u(host)),
    i64.eq(S.resValue.get(c.h), signedLoadOf(size, host)),
  );
  return [
    ...place(c, host, address, size, ACCESS_WRITE),
    set(to, 1),
    iff(reserved, [storeOf(size, host, value), stored(c, host, size), set(to, 0)]),
    S.resAddr.set(c.h, -1n),
  ];
}
