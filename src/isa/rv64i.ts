/** RV64I and RV64M: unprivileged specification chapters 2, 4 and 13. */
import { call, type Expr, I64, i32, i64, select, set } from "../wasm/ir.ts";
import { definer } from "./insn.ts";
import {
  branch,
  imm,
  imm32,
  jump,
  jumpImm,
  load,
  next,
  pc,
  rd,
  rdw,
  rs1,
  rs2,
  store,
  system,
  temp,
  trap,
  w1,
  w2,
} from "./semantics.ts";

const i = definer("i");
const { def } = i;
const bool = (c: Expr): Expr => i64.extend_u(c);

def("lui rd, imm", "U", 0x37, [rd(imm)]);
def("auipc rd, imm", "U", 0x17, [rd(i64.add(pc, imm))]);
def("jal rd, target", "J", 0x6f, [rd(next), jumpImm()]);
{
  const t = temp("target");
  def("jalr rd, imm(rs1)", "I", 0x67, [set(t, i64.and(i64.add(rs1, imm), -2)), rd(next), jump(t)]);
}
const branches: [string, number, (a: Expr, b: Expr) => Expr][] = [
  ["beq", 0, i64.eq],
  ["bne", 1, i64.ne],
  ["blt", 4, i64.lt_s],
  ["bge", 5, i64.ge_s],
  ["bltu", 6, i64.lt_u],
  ["bgeu", 7, i64.ge_u],
];
for (const [name, f3, test] of branches)
  def(`${name} rs1, rs2, target`, "B", 0x63 | (f3 << 12), [branch(test(rs1, rs2))]);

const loads: [string, number, 1 | 2 | 4 | 8, boolean][] = [
  ["lb", 0, 1, true],
  ["lh", 1, 2, true],
  ["lw", 2, 4, true],
  ["ld", 3, 8, true],
  ["lbu", 4, 1, false],
  ["lhu", 5, 2, false],
  ["lwu", 6, 4, false],
];
for (const [name, f3, size, signed] of loads) {
  const t = temp();
  def(`${name} rd, imm(rs1)`, "I", 0x03 | (f3 << 12), [load(t, size, signed, i64.add(rs1, imm)), rd(t)]);
}
for (const [n, name] of ["sb", "sh", "sw", "sd"].entries())
  def(`${name} rs2, imm(rs1)`, "S", 0x23 | (n << 12), [store((1 << n) as 1 | 2 | 4 | 8, i64.add(rs1, imm), rs2)]);

const alu: [string, number, number, (a: Expr, b: Expr) => Expr][] = [
  ["add", 0, 0, i64.add],
  ["slt", 2, 0, (a, b) => bool(i64.lt_s(a, b))],
  ["sltu", 3, 0, (a, b) => bool(i64.lt_u(a, b))],
  ["xor", 4, 0, i64.xor],
  ["or", 6, 0, i64.or],
  ["and", 7, 0, i64.and],
];
for (const [name, f3, , op] of alu) {
  def(`${name} rd, rs1, rs2`, "R", 0x33 | (f3 << 12), [rd(op(rs1, rs2))]);
  // sltu's immediate form is sltiu.
  def(`${name === "sltu" ? "sltiu" : `${name}i`} rd, rs1, imm`, "I", 0x13 | (f3 << 12), [rd(op(rs1, imm))]);
}
def("sub rd, rs1, rs2", "R", 0x40000033, [rd(i64.sub(rs1, rs2))]);
// WebAssembly takes shift amounts modulo the width, as RISC-V does.
def("sll rd, rs1, rs2", "R", 0x1033, [rd(i64.shl(rs1, rs2))]);
def("srl rd, rs1, rs2", "R", 0x5033, [rd(i64.shr_u(rs1, rs2))]);
def("sra rd, rs1, rs2", "R", 0x40005033, [rd(i64.shr_s(rs1, rs2))]);
def("slli rd, rs1, shamt", "SH6", 0x1013, [rd(i64.shl(rs1, imm))]);
def("srli rd, rs1, shamt", "SH6", 0x5013, [rd(i64.shr_u(rs1, imm))]);
def("srai rd, rs1, shamt", "SH6", 0x40005013, [rd(i64.shr_s(rs1, imm))]);
def("addiw rd, rs1, imm", "I", 0x1b, [rdw(i32.add(w1, imm32))]);
def("slliw rd, rs1, shamt", "SH5", 0x101b, [rdw(i32.shl(w1, imm32))]);
def("srliw rd, rs1, shamt", "SH5", 0x501b, [rdw(i32.shr_u(w1, imm32))]);
def("sraiw rd, rs1, shamt", "SH5", 0x4000501b, [rdw(i32.shr_s(w1, imm32))]);
def("addw rd, rs1, rs2", "R", 0x3b, [rdw(i32.add(w1, w2))]);
def("subw rd, rs1, rs2", "R", 0x4000003b, [rdw(i32.sub(w1, w2))]);
def("sllw rd, rs1, rs2", "R", 0x103b, [rdw(i32.shl(w1, w2))]);
def("srlw rd, rs1, rs2", "R", 0x503b, [rdw(i32.shr_u(w1, w2))]);
def("sraw rd, rs1, rs2", "R", 0x4000503b, [rdw(i32.shr_s(w1, w2))]);
// One hart runs at a time and each sees memory in program order, so fences order nothing; PAUSE (Zihintpause) is one too.
def("fence", "FENCE", 0x0f, []);
def("ecall", "SYS", 0x73, [system("ecall")]);
def("ebreak", "SYS", 0x00100073, [trap(3, pc)]);

const zifencei = definer("zifencei");
zifencei.def("fence.i", "FENCE", 0x100f, [system("fence.i")]);

const m = definer("m");
m.def("mul rd, rs1, rs2", "R", 0x02000033, [rd(i64.mul(rs1, rs2))]);
m.def("mulh rd, rs1, rs2", "R", 0x02001033, [rd(call(I64, "mulh", rs1, rs2))]);
m.def("mulhsu rd, rs1, rs2", "R", 0x02002033, [rd(call(I64, "mulhsu", rs1, rs2))]);
m.def("mulhu rd, rs1, rs2", "R", 0x02003033, [rd(call(I64, "mulhu", rs1, rs2))]);
m.def("mulw rd, rs1, rs2", "R", 0x0200003b, [rdw(i32.mul(w1, w2))]);
// Division never traps (M 13.2): by zero gives all ones and the dividend; overflow gives the dividend and 0.
for (const [name, f3, fn] of [
  ["div", 4, "div"],
  ["divu", 5, "divu"],
  ["rem", 6, "rem"],
  ["remu", 7, "remu"],
] as const) {
  m.def(`${name} rd, rs1, rs2`, "R", 0x02000033 | (f3 << 12), [rd(call(I64, fn, rs1, rs2))]);
  const extend = name.endsWith("u") ? (e: Expr) => i64.and(e, 0xffffffff) : i64.extend32_s;
  m.def(`${name}w rd, rs1, rs2`, "R", 0x0200003b | (f3 << 12), [
    rd(i64.extend32_s(call(I64, fn, extend(rs1), extend(rs2)))),
  ]);
}

const zicond = definer("zicond");
zicond.def("czero.eqz rd, rs1, rs2", "R", 0x0e005033, [rd(select(i64.eqz(rs2), i64.const(0), rs1))]);
zicond.def("czero.nez rd, rs1, rs2", "R", 0x0e007033, [rd(select(i64.eqz(rs2), rs1, i64.const(0)))]);

export const rv64im = [...i.list, ...zifencei.list, ...m.list, ...zicond.list];
