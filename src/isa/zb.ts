/** Bit manipulation: Zba, Zbb, Zbc, Zbs, Zbkb, Zbkx; unprivileged specification chapters 28 and 31. */
import { call, type Expr, I64, i32, i64, select } from "../wasm/ir.ts";
import { definer } from "./insn.ts";
import { imm, imm32, rd, rdw, rs1, rs2, w1, w2 } from "./semantics.ts";

const uw = (e: Expr): Expr => i64.and(e, 0xffffffff);

const zba = definer("zba");
zba.def("add.uw rd, rs1, rs2", "R", 0x0800003b, [rd(i64.add(uw(rs1), rs2))]);
zba.def("slli.uw rd, rs1, shamt", "SH6", 0x0800101b, [rd(i64.shl(uw(rs1), imm))]);
for (const n of [1, 2, 3]) {
  zba.def(`sh${n}add rd, rs1, rs2`, "R", 0x20000033 | (n << 13), [rd(i64.add(i64.shl(rs1, n), rs2))]);
  zba.def(`sh${n}add.uw rd, rs1, rs2`, "R", 0x2000003b | (n << 13), [rd(i64.add(i64.shl(uw(rs1), n), rs2))]);
}

// Zbkb has these too.
const shared = definer("zbb", "zbkb");
shared.def("andn rd, rs1, rs2", "R", 0x40007033, [rd(i64.and(rs1, i64.xor(rs2, -1)))]);
shared.def("orn rd, rs1, rs2", "R", 0x40006033, [rd(i64.or(rs1, i64.xor(rs2, -1)))]);
shared.def("xnor rd, rs1, rs2", "R", 0x40004033, [rd(i64.xor(i64.xor(rs1, rs2), -1))]);
shared.def("rol rd, rs1, rs2", "R", 0x60001033, [rd(i64.rotl(rs1, rs2))]);
shared.def("ror rd, rs1, rs2", "R", 0x60005033, [rd(i64.rotr(rs1, rs2))]);
shared.def("rori rd, rs1, shamt", "SH6", 0x60005013, [rd(i64.rotr(rs1, imm))]);
shared.def("rolw rd, rs1, rs2", "R", 0x6000103b, [rdw(i32.rotl(w1, w2))]);
shared.def("rorw rd, rs1, rs2", "R", 0x6000503b, [rdw(i32.rotr(w1, w2))]);
shared.def("roriw rd, rs1, shamt", "SH5", 0x6000501b, [rdw(i32.rotr(w1, imm32))]);
shared.def("rev8 rd, rs1", "R1", 0x6b805013, [rd(call(I64, "rev8", rs1))]);

const zbb = definer("zbb");
zbb.def("clz rd, rs1", "R1", 0x60001013, [rd(i64.clz(rs1))]);
zbb.def("ctz rd, rs1", "R1", 0x60101013, [rd(i64.ctz(rs1))]);
zbb.def("cpop rd, rs1", "R1", 0x60201013, [rd(i64.popcnt(rs1))]);
zbb.def("clzw rd, rs1", "R1", 0x6000101b, [rd(i64.extend_u(i32.clz(w1)))]);
zbb.def("ctzw rd, rs1", "R1", 0x6010101b, [rd(i64.extend_u(i32.ctz(w1)))]);
zbb.def("cpopw rd, rs1", "R1", 0x6020101b, [rd(i64.extend_u(i32.popcnt(w1)))]);
zbb.def("max rd, rs1, rs2", "R", 0x0a006033, [rd(select(i64.gt_s(rs1, rs2), rs1, rs2))]);
zbb.def("maxu rd, rs1, rs2", "R", 0x0a007033, [rd(select(i64.gt_u(rs1, rs2), rs1, rs2))]);
zbb.def("min rd, rs1, rs2", "R", 0x0a004033, [rd(select(i64.lt_s(rs1, rs2), rs1, rs2))]);
zbb.def("minu rd, rs1, rs2", "R", 0x0a005033, [rd(select(i64.lt_u(rs1, rs2), rs1, rs2))]);
zbb.def("sext.b rd, rs1", "R1", 0x60401013, [rd(i64.extend8_s(rs1))]);
zbb.def("sext.h rd, rs1", "R1", 0x60501013, [rd(i64.extend16_s(rs1))]);
// zext.h is packw with rs2 = x0: defined first, it wins in the decoder and the disassembler.
shared.def("zext.h rd, rs1", "R1", 0x0800403b, [rd(i64.and(rs1, 0xffff))]);
zbb.def("orc.b rd, rs1", "R1", 0x28705013, [rd(call(I64, "orcb", rs1))]);

const zbkb = definer("zbkb");
zbkb.def("pack rd, rs1, rs2", "R", 0x08004033, [rd(i64.or(uw(rs1), i64.shl(rs2, 32)))]);
zbkb.def("packh rd, rs1, rs2", "R", 0x08007033, [rd(i64.or(i64.and(rs1, 0xff), i64.shl(i64.and(rs2, 0xff), 8)))]);
zbkb.def("packw rd, rs1, rs2", "R", 0x0800403b, [rdw(i32.or(i32.and(w1, 0xffff), i32.shl(w2, 16)))]);
zbkb.def("brev8 rd, rs1", "R1", 0x68705013, [rd(call(I64, "brev8", rs1))]);

const zbkx = definer("zbkx");
zbkx.def("xperm4 rd, rs1, rs2", "R", 0x28002033, [rd(call(I64, "xperm4", rs1, rs2))]);
zbkx.def("xperm8 rd, rs1, rs2", "R", 0x28004033, [rd(call(I64, "xperm8", rs1, rs2))]);

const zbc = definer("zbc");
zbc.def("clmul rd, rs1, rs2", "R", 0x0a001033, [rd(call(I64, "clmul", rs1, rs2))]);
zbc.def("clmulh rd, rs1, rs2", "R", 0x0a003033, [rd(call(I64, "clmulh", rs1, rs2))]);
zbc.def("clmulr rd, rs1, rs2", "R", 0x0a002033, [rd(call(I64, "clmulr", rs1, rs2))]);

const zbs = definer("zbs");
const one = (n: Expr): Expr => i64.shl(1, n);
for (const [name, funct, op] of [
  ["bclr", 0x48001033, (n: Expr) => i64.and(rs1, i64.xor(one(n), -1))],
  ["bset", 0x28001033, (n: Expr) => i64.or(rs1, one(n))],
  ["binv", 0x68001033, (n: Expr) => i64.xor(rs1, one(n))],
  ["bext", 0x48005033, (n: Expr) => i64.and(i64.shr_u(rs1, n), 1)],
] as const) {
  zbs.def(`${name} rd, rs1, rs2`, "R", funct, [rd(op(rs2))]);
  zbs.def(`${name}i rd, rs1, shamt`, "SH6", funct & ~0x20, [rd(op(imm))]);
}

export const zb = [...zba.list, ...shared.list, ...zbb.list, ...zbkb.list, ...zbkx.list, ...zbc.list, ...zbs.list];
