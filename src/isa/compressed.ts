/** RV64C (with D): each 16-bit encoding stands for one 32-bit instruction; unprivileged specification chapter 27. */

const r = (word: number, shift: number): number => (word >>> shift) & 31;
/** The three-bit register fields name x8-x15. */
const rc = (word: number, shift: number): number => ((word >>> shift) & 7) + 8;
const bits = (word: number, hi: number, lo: number): number => (word >>> lo) & ((1 << (hi - lo + 1)) - 1);
const bit = (word: number, n: number): number => (word >>> n) & 1;
const sext = (value: number, width: number): number => (value << (32 - width)) >> (32 - width);

const iType = (opcode: number, f3: number, rd: number, rs1: number, imm: number) =>
  opcode | (rd << 7) | (f3 << 12) | (rs1 << 15) | (imm << 20);
const sType = (opcode: number, f3: number, rs1: number, rs2: number, imm: number) =>
  opcode | ((imm & 31) << 7) | (f3 << 12) | (rs1 << 15) | (rs2 << 20) | ((imm >> 5) << 25);
const rType = (opcode: number, f3: number, f7: number, rd: number, rs1: number, rs2: number) =>
  opcode | (rd << 7) | (f3 << 12) | (rs1 << 15) | (rs2 << 20) | (f7 << 25);

const OP_IMM = 0x13;
const OP_IMM_32 = 0x1b;
const OP = 0x33;
const OP_32 = 0x3b;

const jumpImm = (h: number): number =>
  sext(
    (bit(h, 12) << 11) |
      (bit(h, 11) << 4) |
      (bits(h, 10, 9) << 8) |
      (bit(h, 8) << 10) |
      (bit(h, 7) << 6) |
      (bit(h, 6) << 7) |
      (bits(h, 5, 3) << 1) |
      (bit(h, 2) << 5),
    12,
  );
const jal = (rd: number, imm: number): number =>
  0x6f |
  (rd << 7) |
  (((imm >> 12) & 0xff) << 12) |
  (((imm >> 11) & 1) << 20) |
  (((imm >> 1) & 0x3ff) << 21) |
  (((imm >> 20) & 1) << 31);
const branchImm = (h: number): number =>
  sext((bit(h, 12) << 8) | (bits(h, 11, 10) << 3) | (bits(h, 6, 5) << 6) | (bits(h, 4, 3) << 1) | (bit(h, 2) << 5), 9);
const branch = (f3: number, rs1: number, imm: number): number =>
  0x63 |
  (((imm >> 11) & 1) << 7) |
  (((imm >> 1) & 15) << 8) |
  (f3 << 12) |
  (rs1 << 15) |
  (((imm >> 5) & 63) << 25) |
  (((imm >> 12) & 1) << 31);

/** Quadrant 0: stack-less loads and stores. */
function quadrant0(h: number): number {
  const rd = rc(h, 2);
  const rs1 = rc(h, 7);
  const uimm8 = (bits(h, 12, 10) << 3) | (bits(h, 6, 5) << 6);
  const uimm4 = (bits(h, 12, 10) << 3) | (bit(h, 6) << 2) | (bit(h, 5) << 6);
  switch (h >>> 13) {
    case 0: {
      const imm = (bits(h, 12, 11) << 4) | (bits(h, 10, 7) << 6) | (bit(h, 6) << 2) | (bit(h, 5) << 3);
      return imm === 0 ? 0 : iType(OP_IMM, 0, rd, 2, imm); // c.addi4spn
    }
    case 1:
      return iType(0x07, 3, rd, rs1, uimm8); // c.fld
    case 2:
      return iType(0x03, 2, rd, rs1, uimm4); // c.lw
    case 3:
      return iType(0x03, 3, rd, rs1, uimm8); // c.ld
    case 5:
      return sType(0x27, 3, rs1, rd, uimm8); // c.fsd
    case 6:
      return sType(0x23, 2, rs1, rd, uimm4); // c.sw
    case 7:
      return sType(0x23, 3, rs1, rd, uimm8); // c.sd
    default:
      return 0;
  }
}

/** Quadrant 1: immediates, arithmetic, jumps. */
function quadrant1(h: number): number {
  const rd = r(h, 7);
  const imm6 = sext((bit(h, 12) << 5) | bits(h, 6, 2), 6);
  switch (h >>> 13) {
    case 0:
      return iType(OP_IMM, 0, rd, rd, imm6); // c.nop, c.addi
    case 1:
      return rd === 0 ? 0 : iType(OP_IMM_32, 0, rd, rd, imm6); // c.addiw
    case 2:
      return iType(OP_IMM, 0, rd, 0, imm6); // c.li
    case 3: {
      if (rd === 2) {
        const imm = sext(
          (bit(h, 12) << 9) | (bit(h, 6) << 4) | (bit(h, 5) << 6) | (bits(h, 4, 3) << 7) | (bit(h, 2) << 5),
          10,
        );
        return imm === 0 ? 0 : iType(OP_IMM, 0, 2, 2, imm); // c.addi16sp
      }
      return imm6 === 0 ? 0 : 0x37 | (rd << 7) | (imm6 << 12); // c.lui
    }
    case 4:
      return arithmetic(h, imm6);
    case 5:
      return jal(0, jumpImm(h)); // c.j
    default:
      return branch(h >>> 13 === 6 ? 0 : 1, rc(h, 7), branchImm(h)); // c.beqz, c.bnez
  }
}

function arithmetic(h: number, imm6: number): number {
  const rd = rc(h, 7);
  const rs2 = rc(h, 2);
  const shamt = imm6 & 63;
  switch (bits(h, 11, 10)) {
    case 0:
      return iType(OP_IMM, 5, rd, rd, shamt); // c.srli
    case 1:
      return iType(OP_IMM, 5, rd, rd, shamt | 0x400); // c.srai
    case 2:
      return iType(OP_IMM, 7, rd, rd, imm6); // c.andi
    default:
      switch ((bit(h, 12) << 2) | bits(h, 6, 5)) {
        case 0:
          return rType(OP, 0, 0x20, rd, rd, rs2); // c.sub
        case 1:
          return rType(OP, 4, 0, rd, rd, rs2); // c.xor
        case 2:
          return rType(OP, 6, 0, rd, rd, rs2); // c.or
        case 3:
          return rType(OP, 7, 0, rd, rd, rs2); // c.and
        case 4:
          return rType(OP_32, 0, 0x20, rd, rd, rs2); // c.subw
        case 5:
          return rType(OP_32, 0, 0, rd, rd, rs2); // c.addw
        default:
          return 0;
      }
  }
}

/** Quadrant 2: stack-relative loads and stores, register jumps and moves. */
function quadrant2(h: number): number {
  const rd = r(h, 7);
  const rs2 = r(h, 2);
  const load8 = (bit(h, 12) << 5) | (bits(h, 6, 5) << 3) | (bits(h, 4, 2) << 6);
  const load4 = (bit(h, 12) << 5) | (bits(h, 6, 4) << 2) | (bits(h, 3, 2) << 6);
  const store8 = (bits(h, 12, 10) << 3) | (bits(h, 9, 7) << 6);
  const store4 = (bits(h, 12, 9) << 2) | (bits(h, 8, 7) << 6);
  switch (h >>> 13) {
    case 0:
      return iType(OP_IMM, 1, rd, rd, (bit(h, 12) << 5) | rs2); // c.slli
    case 1:
      return iType(0x07, 3, rd, 2, load8); // c.fldsp
    case 2:
      return rd === 0 ? 0 : iType(0x03, 2, rd, 2, load4); // c.lwsp
    case 3:
      return rd === 0 ? 0 : iType(0x03, 3, rd, 2, load8); // c.ldsp
    case 4:
      if (bit(h, 12) === 0) {
        if (rs2 !== 0) return rType(OP, 0, 0, rd, 0, rs2); // c.mv
        return rd === 0 ? 0 : iType(0x67, 0, 0, rd, 0); // c.jr
      }
      if (rs2 !== 0) return rType(OP, 0, 0, rd, rd, rs2); // c.add
      return rd === 0 ? 0x00100073 : iType(0x67, 0, 1, rd, 0); // c.ebreak, c.jalr
    case 5:
      return sType(0x27, 3, 2, rs2, store8); // c.fsdsp
    case 6:
      return sType(0x23, 2, 2, rs2, store4); // c.swsp
    default:
      return sType(0x23, 3, 2, rs2, store8); // c.sdsp
  }
}

/** The 32-bit word that a 16-bit instruction stands for, or 0 where it is illegal. The caller knows that it is compressed. */
export function expandCompressed(half: number): number {
  switch (half & 3) {
    case 0:
      return quadrant0(half) >>> 0;
    case 1:
      return quadrant1(half) >>> 0;
    default:
      return quadrant2(half) >>> 0;
  }
}
