/** RV64A (Zalrsc, Zaamo) and Zawrs: unprivileged specification chapters 14 and 15. */
import { type Expr, i32, i64, select } from "../wasm/ir.ts";
import { definer } from "./insn.ts";
import { amo, loadReserved, rd, rs1, rs2, storeConditional, system, temp } from "./semantics.ts";

const a = definer("a");

/** Operations on sign-extended old values; unsigned comparisons keep their order under sign extension. */
const operations: [string, number, (old: Expr) => Expr][] = [
  ["amoswap", 0x01, () => rs2],
  ["amoadd", 0x00, (old) => i64.add(old, rs2)],
  ["amoxor", 0x04, (old) => i64.xor(old, rs2)],
  ["amoand", 0x0c, (old) => i64.and(old, rs2)],
  ["amoor", 0x08, (old) => i64.or(old, rs2)],
];
const comparisons: [string, number, (x: Expr, y: Expr) => Expr, (x: Expr, y: Expr) => Expr][] = [
  ["amomin", 0x10, i64.lt_s, i32.lt_s],
  ["amomax", 0x14, i64.gt_s, i32.gt_s],
  ["amominu", 0x18, i64.lt_u, i32.lt_u],
  ["amomaxu", 0x1c, i64.gt_u, i32.gt_u],
];

for (const [size, suffix, f3] of [
  [4, "w", 2],
  [8, "d", 3],
] as const) {
  const code = (funct5: number) => (0x2f | (f3 << 12) | (funct5 << 27)) >>> 0;
  for (const [name, funct5, next] of operations) {
    const t = temp("old");
    a.def(`${name}.${suffix} rd, rs2, (rs1)`, "AMO", code(funct5), [amo(t, size, rs1, next), rd(t)]);
  }
  for (const [name, funct5, wide, narrow] of comparisons) {
    const t = temp("old");
    const keep = (old: Expr) => (size === 8 ? wide(old, rs2) : narrow(i32.wrap(old), i32.wrap(rs2)));
    a.def(`${name}.${suffix} rd, rs2, (rs1)`, "AMO", code(funct5), [
      amo(t, size, rs1, (old) => select(keep(old), old, rs2)),
      rd(t),
    ]);
  }
  const l = temp("loaded");
  a.def(`lr.${suffix} rd, (rs1)`, "LR", code(0x02), [loadReserved(l, size, rs1), rd(l)]);
  const s = temp("failed");
  a.def(`sc.${suffix} rd, rs2, (rs1)`, "AMO", code(0x03), [storeConditional(s, size, rs1, rs2), rd(s)]);
}

// WRS may end early at any time (Zawrs 15.1): it gives up the hart's turn, no more.
const zawrs = definer("zawrs");
zawrs.def("wrs.nto", "SYS", 0x00d00073, [system("yield")]);
zawrs.def("wrs.sto", "SYS", 0x01d00073, [system("yield")]);

export const rv64a = [...a.list, ...zawrs.list];
