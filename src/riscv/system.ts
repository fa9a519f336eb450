/**
 * What system instructions do, as generated code: privilege checks, fences, cache blocks, and the CSRs that software
 * touches most. All other CSRs are the host's (csr.ts), by the import `csrSlow`.
 */
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
} from "../wasm/ir.ts";
import { CAUSE, type MemoryLayout, S } from "./layout.ts";
import { interruptPossible } from "./traps.ts";

/** Kinds of CSR, as `csrKind` in memory tells: by the host; plain storage at `csrOffset` with a write mask. */
const CSR_HOST = 0;
export const CSR_PLAIN = 1;
export const CSR_SSTATUS = 2;

/** Results of a CSR access. */
export const CSR_OK = 0;
export const CSR_ILLEGAL = 1;
export const CSR_RESYNC = 2;

const bit = (v: Expr, n: number): Expr => i64.ne(i64.and(v, 1n << BigInt(n)), 0);
/** Bits of mstatus that sstatus shows: SIE SPIE UBE SPP VS FS XS SUM MXR UXL (SD is computed). */
const SSTATUS_READ = 0x3000de762n;
/** Bits of it that may be written: SIE SPIE SPP FS SUM MXR. */
const SSTATUS_WRITE = 0xc6122n;

export function systemFunctions(m: MemoryLayout): Func[] {
  /** 1 where the instruction is illegal now: 0 WFI (TW, or U-mode), 1 SRET (TSR), 2 SFENCE.VMA (TVM); 3.1.6.6. */
  const privileged = fn("privileged", { h: I32, what: I32 }, [I32], ({ h, what }) => {
    const priv = local(I32, "priv");
    const status = local(I64, "status");
    return [
      set(priv, S.priv.get(h)),
      set(status, S.mstatus.get(h)),
      iff(i32.eq(priv, 3), [ret(0)]),
      // WFI in U-mode might wait for ever; where there is an S-mode it must not (3.3.3).
      iff(i32.eqz(what), [ret(i32.or(i32.eqz(priv), bit(status, 21)))]),
      iff(i32.eqz(priv), [ret(1)]),
      ret(select(i32.eq(what, 1), bit(status, 22), bit(status, 20))),
    ];
  });

  const sfence = fn(
    "sfence",
    { h: I32, address: I64, asid: I64, allAddresses: I32, allAsids: I32 },
    [],
    ({ h, address, asid, allAddresses, allAsids }) => [
      iff(i32.eqz(allAddresses), [callStmt("flushPage", h, address), ret()]),
      iff(i32.eqz(allAsids), [callStmt("flushAsid", h, asid), ret()]),
      callStmt("flushAll", h),
    ],
  );

  /** Are cache-block operations allowed here? `n` is the bit of menvcfg and senvcfg (CMO 19.3.1). */
  const cboAllowed = fn("cboAllowed", { h: I32, n: I32 }, [I32], ({ h, n }) => {
    const env = local(I64, "env");
    return [
      iff(i32.eq(S.priv.get(h), 3), [ret(1)]),
      set(env, S.menvcfg.get(h)),
      iff(i32.eqz(S.priv.get(h)), [set(env, i64.and(env, S.senvcfg.get(h)))]),
      ret(i32.and(i32.wrap(i64.shr_u(env, i64.extend_u(n))), 1)),
    ];
  });

  /** Zeroes the 64-byte block of an address; a fault's tval is the address itself. */
  const cboZero = fn("cboZero", { h: I32, address: I64 }, [], ({ h, address }) => {
    const n = local(I32, "n");
    const at = local(I64, "at");
    const next = label("next");
    return [
      set(at, i64.and(address, -64)),
      set(n, 8),
      loop(next, [
        callStmt("storeSlow", h, at, i64.const(0), i32.const(8)),
        iff(S.fault.get(h), [S.faultTval.set(h, address), ret()]),
        set(at, i64.add(at, 8)),
        set(n, i32.sub(n, 1)),
        br(next, n),
      ]),
    ];
  });

  /** Management operations need a translation that may be read or written; their faults are store faults. */
  const cboCheck = fn("cboCheck", { h: I32, address: I64 }, [], ({ h, address }) => [
    iff(i64.eq(call(I64, "dataAddress", h, S.tlb.get(h), address, i32.const(1), i32.const(0)), -1), [
      S.fault.set(
        h,
        select(
          i32.eq(S.fault.get(h), CAUSE.loadAccess + 1),
          i32.const(CAUSE.storeAccess + 1),
          i32.const(CAUSE.storePage + 1),
        ),
      ),
    ]),
  ]);

  const combine = (operation: Expr, old: Expr, source: Expr): Expr =>
    select(
      i32.eqz(operation),
      source,
      select(i32.eq(operation, 1), i64.or(old, source), i64.and(old, i64.xor(source, -1))),
    );

  /** Merges fsDirty into mstatus.FS (and SD), so that mstatus in memory is what software sees. */
  const syncStatus = fn("syncStatus", { h: I32 }, [], ({ h }) => {
    const status = local(I64, "status");
    return [
      iff(S.fsDirty.get(h), [
        S.fsDirty.set(h, 0),
        set(status, S.mstatus.get(h)),
        S.mstatus.set(h, i64.or(status, (3n << 13n) | (1n << 63n))),
      ]),
    ];
  });

  /** Writes the bits of `mask` in mstatus and everything that follows from them. */
  const writeStatus = fn("writeStatus", { h: I32, value: I64, mask: I64 }, [], ({ h, value, mask }) => {
    const status = local(I64, "status");
    const old = local(I64, "old");
    return [
      set(old, S.mstatus.get(h)),
      set(status, i64.or(i64.and(old, i64.xor(mask, -1)), i64.and(value, mask))),
      set(status, i64.and(status, (1n << 63n) - 1n)),
      iff(i64.eq(i64.and(status, 3n << 13n), 3n << 13n), [set(status, i64.or(status, 1n << 63n))]),
      S.mstatus.set(h, status),
      S.fsOff.set(h, i64.eqz(i64.and(status, 3n << 13n))),
      // MPRV, MPP, SUM, MXR choose translations.
      iff(i64.ne(i64.and(i64.xor(old, status), (1n << 17n) | (3n << 11n) | (1n << 18n) | (1n << 19n)), 0), [
        callStmt("selectContexts", h),
      ]),
    ];
  });

  /**
   * A CSR instruction: `operation` 0 write, 1 set, 2 clear of S.fa; `writes` is 0 for csrrs/csrrc with x0.
   * The old value is left in S.result.
   */
  const csrAccess = fn(
    "csrAccess",
    { h: I32, csr: I32, operation: I32, writes: I32 },
    [I32],
    ({ h, csr, operation, writes }) => {
      const kind = local(I32, "kind");
      const at = local(I32, "at");
      const old = local(I64, "old");
      const mask = local(I64, "mask");
      const value = local(I64, "value");
      const slow: Stmt = ret(call(I32, "csrSlow", h, csr, operation, writes));
      return [
        set(kind, i32.load8_u(csr, m.csrKind)),
        iff(i32.eq(kind, CSR_HOST), [slow]),
        iff(i32.lt_u(S.priv.get(h), i32.and(i32.shr_u(csr, 8), 3)), [ret(CSR_ILLEGAL)]),
        iff(i32.eq(kind, CSR_SSTATUS), [
          callStmt("syncStatus", h),
          set(old, i64.and(S.mstatus.get(h), SSTATUS_READ | (1n << 63n))),
          iff(writes, [callStmt("writeStatus", h, combine(operation, old, S.fa.get(h)), i64.const(SSTATUS_WRITE))]),
          S.result.set(h, old),
          // Setting SIE may let an interrupt in that waits. One that comes later asks for attention.
          ret(i32.shl(i32.and(i32.and(writes, bit(S.mstatus.get(h), 1)), interruptPossible(h)), 1)),
        ]),
        set(at, i32.add(h, i32.load16_u(i32.shl(csr, 1), m.csrOffset))),
        set(old, i64.load(at)),
        iff(writes, [
          set(mask, i64.load(i32.shl(csr, 3), m.csrMask)),
          set(value, combine(operation, old, S.fa.get(h))),
          i64.store(at, i64.or(i64.and(old, i64.xor(mask, -1)), i64.and(value, mask))),
        ]),
        S.result.set(h, old),
        ret(CSR_OK),
      ];
    },
  );

  return [privileged, sfence, cboAllowed, cboZero, cboCheck, syncStatus, writeStatus, csrAccess];
}
