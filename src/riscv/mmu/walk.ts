/** The page walk: Sv39, Sv48, Sv57 with Svadu, Svnapot and Svpbmt; privileged specification 12.3-12.6. */
import {
  block,
  br,
  call,
  callStmt,
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
  select,
  set,
} from "../../wasm/ir.ts";
import { ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, S } from "../layout.ts";
import { accessFault, pageFault, raise } from "./faults.ts";

export const walkFunctions: readonly Func[] = [
  /**
   * Translates `va` for an access by the context key (bits 0-1 privilege, 2 SUM, 3 MXR). Returns the physical address,
   * or -1 with the fault in the hart state. S.walkLevel becomes the leaf's level (0 for 4 KiB and for no translation).
   */
  fn("translate", { h: I32, va: I64, access: I32, key: I32, satp: I64 }, [I64], ({ h, va, access, key, satp }) => {
    const levels = local(I32, "levels");
    const i = local(I32, "i");
    const table = local(I64, "table");
    const pteAt = local(I64, "pteAt");
    const pte = local(I64, "pte");
    const mode = local(I32, "mode");
    const shift = local(I64, "shift");
    const ppn = local(I64, "ppn");
    const host = local(I32, "host");
    const wanted = local(I64, "wanted");
    const fault = label("fault");
    const denied = label("denied");
    const next = label("next");
    const bit = (n: number) => i64.and(pte, 1n << BigInt(n));
    return [
      S.walkLevel.set(h, 0),
      set(mode, i32.wrap(i64.shr_u(satp, 60))),
      iff(i32.eqz(mode), [
        iff(i64.lt_u(va, 1n << 56n), [ret(va, I64)]),
        ...raise(h, accessFault(access), va),
        ret(-1n, I64),
      ]),
      block(denied, [
        block(fault, [
          set(levels, i32.sub(mode, 5)), // 8 Sv39: 3; 9 Sv48: 4; 10 Sv57: 5
          set(shift, i64.sub(52, i64.extend_u(i32.mul(levels, 9)))),
          br(fault, i64.ne(i64.shr_s(i64.shl(va, shift), shift), va)),
          set(table, i64.shl(i64.and(satp, (1n << 44n) - 1n), 12)),
          set(i, i32.sub(levels, 1)),
          loop(next, [
            set(shift, i64.extend_u(i32.mul(i, 9))),
            set(pteAt, i64.add(table, i64.shl(i64.and(i64.shr_u(va, i64.add(shift, 12)), 511), 3))),
            br(denied, i32.eqz(call(I32, "pmpAllows", h, pteAt, i32.const(8), i32.const(ACCESS_READ), i32.const(1)))),
            set(pte, call(I64, "physLoad64", h, pteAt)),
            br(denied, S.ioFault.get(h)),
            br(fault, i64.eqz(bit(0))),
            br(fault, i64.eq(i64.and(pte, 6), 4)), // W without R
            br(fault, i64.ne(i64.and(pte, S.pteReserved.get(h)), 0)),
            // PBMT (61, 62): only with menvcfg.PBMTE; 3 is reserved.
            iff(i64.ne(i64.and(pte, 3n << 61n), 0), [
              br(fault, i64.eqz(i64.and(S.menvcfg.get(h), 1n << 62n))),
              br(fault, i64.eq(i64.and(pte, 3n << 61n), 3n << 61n)),
            ]),
            set(ppn, i64.and(i64.shr_u(pte, 10), (1n << 44n) - 1n)),
            iff(i64.eqz(i64.and(pte, 0xa)), [
              // A pointer to the next table: D, A, U, PBMT, N are reserved there.
              br(fault, i64.ne(i64.and(pte, 0xe0000000000000d0n), 0)),
              br(fault, i32.eqz(i)),
              set(table, i64.shl(ppn, 12)),
              set(i, i32.sub(i, 1)),
              br(next),
            ]),
          ]),
          // A leaf. Rights first.
          iff(
            i64.ne(bit(4), 0),
            [
              iff(i32.eq(i32.and(key, 3), 1), [
                br(fault, i32.eq(access, ACCESS_FETCH)),
                br(fault, i32.eqz(i32.and(key, 4))),
              ]),
            ],
            [br(fault, i32.eqz(i32.and(key, 3)))],
          ),
          iff(i32.eq(access, ACCESS_READ), [
            br(fault, i64.eqz(i64.and(pte, select(i32.and(key, 8), i64.const(0xa), i64.const(2))))),
          ]),
          iff(i32.eq(access, ACCESS_WRITE), [br(fault, i64.eqz(bit(2)))]),
          iff(i32.eq(access, ACCESS_FETCH), [br(fault, i64.eqz(bit(3)))]),
          // Misaligned superpage.
          br(fault, i64.ne(i64.and(ppn, i64.sub(i64.shl(1, shift), 1)), 0)),
          // Svnapot: 64 KiB (ppn[3:0] = 8) at level 0 only.
          iff(i64.ne(bit(63), 0), [
            br(fault, i32.or(i, i64.ne(i64.and(ppn, 15), 8))),
            set(ppn, i64.or(i64.and(ppn, -16), i64.and(i64.shr_u(va, 12), 15))),
            set(shift, 4),
          ]),
          // A and D: set by the hart when menvcfg.ADUE says so (Svadu), else a page fault (Svade).
          set(wanted, select(i32.eq(access, ACCESS_WRITE), i64.const(0xc0), i64.const(0x40))),
          iff(i64.ne(i64.and(pte, wanted), wanted), [
            br(fault, i64.eqz(i64.and(S.menvcfg.get(h), 1n << 61n))),
            br(denied, i32.eqz(call(I32, "pmpAllows", h, pteAt, i32.const(8), i32.const(ACCESS_WRITE), i32.const(1)))),
            set(host, call(I32, "ramAt", pteAt, i32.const(1))),
            br(denied, i32.eqz(host)),
            i64.store(host, i64.or(pte, wanted)),
            callStmt("ramStored", host, i32.const(8)),
          ]),
          S.walkLevel.set(h, i32.wrap(shift)),
          set(wanted, i64.sub(i64.shl(1, i64.add(i64.extend_u(i32.mul(i, 9)), 12)), 1)),
          ret(
            i64.or(
              i64.and(i64.shl(ppn, 12), i64.xor(wanted, -1)),
              i64.and(
                select(i64.ne(bit(63), 0), i64.or(i64.and(i64.shl(ppn, 12), wanted), i64.and(va, 4095)), va),
                wanted,
              ),
            ),
            I64,
          ),
        ]),
        ...raise(h, pageFault(access), va),
        ret(-1n, I64),
      ]),
      ...raise(h, accessFault(access), va),
      ret(-1n, I64),
    ];
  }),
];
