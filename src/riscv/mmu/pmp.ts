/** Physical memory protection: privileged specification 3.7. */
import { block, br, type Func, fn, I32, I64, i32, i64, iff, label, local, loop, ret, set } from "../../wasm/ir.ts";
import { PMP_ENTRIES, S } from "../layout.ts";

export const pmpFunctions: readonly Func[] = [
  /** PMP: may `priv` do `access` on all of [pa, pa+size)? An entry that covers only a part of it denies (3.7.1). */
  fn("pmpAllows", { h: I32, pa: I64, size: I32, access: I32, priv: I32 }, [I32], ({ h, pa, size, access, priv }) => {
    const i = local(I32, "i");
    const last = local(I64, "last");
    const cfg = local(I32, "cfg");
    const e = local(I32, "e");
    const next = label("next");
    const done = label("done");
    return [
      iff(i32.eqz(S.pmpActive.get(h)), [ret(i32.or(i32.eq(priv, 3), i32.eqz(S.pmpCount.get(h))))]),
      set(last, i64.add(pa, i64.sub(i64.extend_u(size), 1))),
      set(i, 0),
      block(done, [
        loop(next, [
          br(done, i32.eq(i, PMP_ENTRIES)),
          set(cfg, i32.load(i32.add(h, i32.shl(i, 2)), S.pmpCfg.offset)),
          set(e, i32.add(h, i32.shl(i, 3))),
          // A field of 0 in A (bits 3-4) means off; its range is empty (lo > hi).
          iff(i32.and(i64.ge_u(last, i64.load(e, S.pmpLo.offset)), i64.le_u(pa, i64.load(e, S.pmpHi.offset))), [
            iff(i32.or(i64.lt_u(pa, i64.load(e, S.pmpLo.offset)), i64.gt_u(last, i64.load(e, S.pmpHi.offset))), [
              ret(0),
            ]),
            // M-mode obeys locked entries only.
            iff(i32.and(i32.eq(priv, 3), i32.eqz(i32.and(cfg, 0x80))), [ret(1)]),
            ret(i32.and(i32.shr_u(cfg, access), 1)),
          ]),
          set(i, i32.add(i, 1)),
          br(next),
        ]),
      ]),
      ret(i32.eq(priv, 3)),
    ];
  }),
];
