/**
 * Zicsr, privileged instructions, cache-block operations; unprivileged specification chapters 6, 7 and 19,
 * privileged specification chapters 3.3, 12.2.1 and Svinval.
 */
import { definer } from "./insn.ts";
import { rs1, rs2, system } from "./semantics.ts";

const zicsr = definer("zicsr");
for (const [n, name] of ["csrrw", "csrrs", "csrrc"].entries()) {
  zicsr.def(`${name} rd, csr, rs1`, "CSR", 0x73 | ((n + 1) << 12), [system("csr", [rs1], { operation: n })]);
  zicsr.def(`${name}i rd, csr, zimm`, "CSRI", 0x73 | ((n + 5) << 12), [system("csr-imm", [], { operation: n })]);
}

const priv = definer("i");
priv.def("mret", "SYS", 0x30200073, [system("mret")]);
priv.def("sret", "SYS", 0x10200073, [system("sret")]);
priv.def("wfi", "SYS", 0x10500073, [system("wfi")]);
priv.def("sfence.vma rs1, rs2", "SFENCE", 0x12000073, [system("sfence.vma", [rs1, rs2])]);

// Svinval: SINVAL.VMA does all of SFENCE.VMA's work at once, so the two fences around it have none left.
const svinval = definer("svinval");
svinval.def("sinval.vma rs1, rs2", "SFENCE", 0x16000073, [system("sfence.vma", [rs1, rs2])]);
svinval.def("sfence.w.inval", "SYS", 0x18000073, [system("sfence.inval")]);
svinval.def("sfence.inval.ir", "SYS", 0x18100073, [system("sfence.inval")]);

const zicbom = definer("zicbom");
zicbom.def("cbo.inval (rs1)", "CBO", 0x0000200f, [system("cbo.inval", [rs1])]);
zicbom.def("cbo.clean (rs1)", "CBO", 0x0010200f, [system("cbo.clean", [rs1])]);
zicbom.def("cbo.flush (rs1)", "CBO", 0x0020200f, [system("cbo.clean", [rs1])]);
const zicboz = definer("zicboz");
zicboz.def("cbo.zero (rs1)", "CBO", 0x0040200f, [system("cbo.zero", [rs1])]);

export const systemInsns = [...zicsr.list, ...priv.list, ...svinval.list, ...zicbom.list, ...zicboz.list];
