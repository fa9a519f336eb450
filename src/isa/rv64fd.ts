/** F, D and Zfh: unprivileged specification chapters 21, 22 and 26. */
import { call, type Expr, I64, i64, type Stmt } from "../wasm/ir.ts";
import { definer, type Insn } from "./insn.ts";
import {
  box16,
  box32,
  fp,
  frd,
  frs1,
  frs2,
  frs3,
  hart,
  imm,
  load,
  rd,
  rm,
  rs1,
  store,
  temp,
  unbox16,
  unbox32,
} from "./semantics.ts";

/** Formats by their code in an instruction's fmt field (bits 25-26) and their letter. */
const FORMATS = [
  { fmt: 0, letter: "s", extension: "f", bits: 32 },
  { fmt: 1, letter: "d", extension: "d", bits: 64 },
  { fmt: 2, letter: "h", extension: "zfh", bits: 16 },
] as const;

/** A floating-point operation is a function of the engine named `operation.letter`; rounding mode last. */
const op = (name: string, ...args: Expr[]): Expr => call(I64, name, hart, ...args, rm);

export const rv64fd: Insn[] = [];
for (const { fmt, letter, extension, bits } of FORMATS) {
  const { list, def } = definer(extension);
  const f = (funct5: number): number => (0x53 | (fmt << 25) | (funct5 << 27)) >>> 0;
  const plain = (body: Stmt): Stmt[] => [fp(), body];
  const rounded = (body: Stmt): Stmt[] => [fp(true), body];

  const width = { 16: 1, 32: 2, 64: 3 }[bits];
  const size = (bits / 8) as 2 | 4 | 8;
  const letterOf = { 16: "h", 32: "w", 64: "d" }[bits];
  const box = { 16: box16, 32: box32, 64: (e: Expr) => e }[bits];
  const unbox = { 16: unbox16, 32: unbox32, 64: (e: Expr) => e }[bits];
  {
    const t = temp();
    def(`fl${letterOf} frd, imm(rs1)`, "I", 0x07 | (width << 12), [
      fp(),
      load(t, size, false, i64.add(rs1, imm)),
      frd(box(t)),
    ]);
    def(`fs${letterOf} frs2, imm(rs1)`, "S", 0x27 | (width << 12), [fp(), store(size, i64.add(rs1, imm), frs2)]);
  }
  for (const [n, name] of ["fadd", "fsub", "fmul", "fdiv"].entries())
    def(`${name}.${letter} frd, frs1, frs2`, "FR", f(n), rounded(frd(op(`${name}.${letter}`, frs1, frs2))));
  def(`fsqrt.${letter} frd, frs1`, "FR1", f(0x0b), rounded(frd(op(`fsqrt.${letter}`, frs1))));
  for (const [n, name] of ["fmadd", "fmsub", "fnmsub", "fnmadd"].entries())
    def(
      `${name}.${letter} frd, frs1, frs2, frs3`,
      "R4",
      0x43 | (n << 2) | (fmt << 25),
      rounded(frd(op(`${name}.${letter}`, frs1, frs2, frs3))),
    );

  const sign = 1n << BigInt(bits - 1);
  const injected = (s: Expr): Expr => box(i64.or(i64.and(unbox(frs1), sign - 1n), i64.and(s, sign)));
  def(`fsgnj.${letter} frd, frs1, frs2`, "R", f(0x04), plain(frd(injected(unbox(frs2)))));
  def(`fsgnjn.${letter} frd, frs1, frs2`, "R", f(0x04) | 0x1000, plain(frd(injected(i64.xor(unbox(frs2), -1)))));
  def(
    `fsgnjx.${letter} frd, frs1, frs2`,
    "R",
    f(0x04) | 0x2000,
    plain(frd(injected(i64.xor(unbox(frs1), unbox(frs2))))),
  );
  def(`fmin.${letter} frd, frs1, frs2`, "R", f(0x05), plain(frd(op(`fmin.${letter}`, frs1, frs2))));
  def(`fmax.${letter} frd, frs1, frs2`, "R", f(0x05) | 0x1000, plain(frd(op(`fmax.${letter}`, frs1, frs2))));
  for (const [n, name] of ["fle", "flt", "feq"].entries())
    def(`${name}.${letter} rd, frs1, frs2`, "R", f(0x14) | (n << 12), plain(rd(op(`${name}.${letter}`, frs1, frs2))));
  def(`fclass.${letter} rd, frs1`, "R1", f(0x1c) | 0x1000, plain(rd(op(`fclass.${letter}`, frs1))));

  for (const [n, name] of ["w", "wu", "l", "lu"].entries()) {
    def(
      `fcvt.${name}.${letter} rd, frs1`,
      "FR1",
      (f(0x18) | (n << 20)) >>> 0,
      rounded(rd(op(`fcvt.${name}.${letter}`, frs1))),
    );
    def(
      `fcvt.${letter}.${name} frd, rs1`,
      "FR1",
      (f(0x1a) | (n << 20)) >>> 0,
      rounded(frd(op(`fcvt.${letter}.${name}`, rs1))),
    );
  }
  for (const from of FORMATS)
    if (from.fmt !== fmt)
      def(
        `fcvt.${letter}.${from.letter} frd, frs1`,
        "FR1",
        (f(0x08) | (from.fmt << 20)) >>> 0,
        rounded(frd(op(`fcvt.${letter}.${from.letter}`, frs1))),
      );

  // Moves take the bits as they are: no unboxing check.
  const raw = { 16: i64.extend16_s, 32: i64.extend32_s, 64: (e: Expr) => e }[bits];
  const name = { 16: "h", 32: "w", 64: "d" }[bits];
  def(`fmv.x.${name} rd, frs1`, "R1", f(0x1c), plain(rd(raw(frs1))));
  def(
    `fmv.${name}.x frd, rs1`,
    "R1",
    f(0x1e),
    plain(frd(bits === 64 ? rs1 : box(i64.and(rs1, (1n << BigInt(bits)) - 1n)))),
  );
  rv64fd.push(...list);
}
