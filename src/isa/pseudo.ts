/**
 * Pseudo-instructions: what each stands for, as text of real instructions.
 * RISC-V assembly programmer's manual, "pseudo instructions"; unprivileged specification chapter 37.
 */

/** Stands for one or more lines, each a mnemonic and its operands; undefined where the operands do not fit. */
export type Pseudo = (operands: readonly string[]) => readonly (readonly [string, ...string[]])[] | undefined;

const table = new Map<string, Pseudo>();

/** `syntax` names the operands; `lines` use those names. One mnemonic may have several forms with different counts. */
function define(syntax: string, ...lines: string[]): void {
  const [mnemonic, formal = ""] = syntax.split(" ") as [string, string?];
  const names = formal === "" ? [] : formal.split(",");
  const parts = lines.map((line) => line.split(/[ ;]/) as [string, ...string[]]);
  const before = table.get(mnemonic);
  table.set(mnemonic, (operands) => {
    if (operands.length !== names.length) return before?.(operands);
    // An operand's name stands alone or inside parentheses and quotes of a relocation.
    const replace = (text: string): string =>
      text.replaceAll(/\$(\w+)/g, (_, name: string) => operands[names.indexOf(name)]!);
    return parts.map(([op, ...args]) => [op, ...args.map(replace)] as const);
  });
}

define("nop", "addi x0;x0;0");
define("mv d,s", "addi $d;$s;0");
define("not d,s", "xori $d;$s;-1");
define("neg d,s", "sub $d;x0;$s");
define("negw d,s", "subw $d;x0;$s");
define("sext.w d,s", "addiw $d;$s;0");
define("zext.b d,s", "andi $d;$s;255");
define("zext.w d,s", "add.uw $d;$s;x0");
define("seqz d,s", "sltiu $d;$s;1");
define("snez d,s", "sltu $d;x0;$s");
define("sltz d,s", "slt $d;$s;x0");
define("sgtz d,s", "slt $d;x0;$s");
define("sgt d,s,t", "slt $d;$t;$s");
define("sgtu d,s,t", "sltu $d;$t;$s");
for (const [name, real] of [
  ["beqz", "beq $s;x0"],
  ["bnez", "bne $s;x0"],
  ["blez", "bge x0;$s"],
  ["bgez", "bge $s;x0"],
  ["bltz", "blt $s;x0"],
  ["bgtz", "blt x0;$s"],
] as const)
  define(`${name} s,o`, `${real};$o`);
for (const [name, real] of [
  ["bgt", "blt"],
  ["ble", "bge"],
  ["bgtu", "bltu"],
  ["bleu", "bgeu"],
] as const)
  define(`${name} s,t,o`, `${real} $t;$s;$o`);

define("j o", "jal x0;$o");
define("jal o", "jal x1;$o");
define("jr s", "jalr x0;$s");
define("ret", "jalr x0;0(x1)");
// Always two instructions: there is no linker to shorten them.
define("la d,o", "auipc $d;%pcrel_hi($o)", "addi $d;$d;%pcrel_lo(.-4)");
define("lla d,o", "auipc $d;%pcrel_hi($o)", "addi $d;$d;%pcrel_lo(.-4)");
define("call o", "auipc x1;%pcrel_hi($o)", "jalr x1;%pcrel_lo(.-4)(x1)");
define("call d,o", "auipc x6;%pcrel_hi($o)", "jalr $d;%pcrel_lo(.-4)(x6)");
define("tail o", "auipc x6;%pcrel_hi($o)", "jalr x0;%pcrel_lo(.-4)(x6)");

define("csrr d,c", "csrrs $d;$c;x0");
for (const [name, real] of [
  ["csrw", "csrrw"],
  ["csrs", "csrrs"],
  ["csrc", "csrrc"],
] as const) {
  define(`${name} c,s`, `${real} x0;$c;$s`);
  define(`${name}i c,s`, `${real}i x0;$c;$s`);
}
for (const name of ["cycle", "time", "instret"]) define(`rd${name} d`, `csrrs $d;${name};x0`);
for (const [name, csr] of [
  ["csr", "fcsr"],
  ["rm", "frm"],
  ["flags", "fflags"],
] as const) {
  define(`fr${name} d`, `csrrs $d;${csr};x0`);
  define(`fs${name} s`, `csrrw x0;${csr};$s`);
  define(`fs${name} d,s`, `csrrw $d;${csr};$s`);
}

for (const f of ["h", "s", "d"]) {
  define(`fmv.${f} d,s`, `fsgnj.${f} $d;$s;$s`);
  define(`fabs.${f} d,s`, `fsgnjx.${f} $d;$s;$s`);
  define(`fneg.${f} d,s`, `fsgnjn.${f} $d;$s;$s`);
  define(`fgt.${f} d,s,t`, `flt.${f} $d;$t;$s`);
  define(`fge.${f} d,s,t`, `fle.${f} $d;$t;$s`);
}
define("fmv.x.s d,s", "fmv.x.w $d;$s");
define("fmv.s.x d,s", "fmv.w.x $d;$s");

define("fence", "fence iorw;iorw");
define("pause", "fence w;0");
define("sfence.vma", "sfence.vma x0;x0");
define("sfence.vma s", "sfence.vma $s;x0");
// A write to a read-only register: illegal on every hart.
define("unimp", "csrrw x0;cycle;x0");

/** The pseudo-instruction of a name, if there is one. Real instructions of the same name come into play where its operands do not fit. */
export const pseudoOf = (mnemonic: string): Pseudo | undefined => table.get(mnemonic);
export const pseudoNames = (): Iterable<string> => table.keys();

/** The instructions that `li rd, value` becomes: the fewest that the usual lui-addiw-slli-addi scheme needs. */
export function loadImmediate(rd: string, value: bigint): readonly (readonly [string, ...string[]])[] {
  if (value === BigInt.asIntN(12, value)) return [["addi", rd, "x0", `${value}`]];
  const low = BigInt.asIntN(12, value);
  if (value === BigInt.asIntN(32, value)) return word(rd, value);
  // Everything above the low 12 bits, less its trailing zeros, is a shorter constant.
  let rest = BigInt.asIntN(64, value - low);
  let shift = 0n;
  while ((rest & 1n) === 0n) {
    rest >>= 1n;
    shift++;
  }
  const high = rest === BigInt.asIntN(32, rest) ? word(rd, rest) : loadImmediate(rd, rest);
  return [...high, ["slli", rd, rd, `${shift}`], ...(low === 0n ? [] : [["addi", rd, rd, `${low}`] as const])];
}

function word(rd: string, value: bigint): readonly (readonly [string, ...string[]])[] {
  const low = BigInt.asIntN(12, value);
  const upper = BigInt.asUintN(20, (value - low) >> 12n);
  return [
    ...(upper === 0n ? [] : [["lui", rd, `${upper}`] as const]),
    ...(low === 0n && upper !== 0n ? [] : [["addiw", rd, upper === 0n ? "x0" : rd, `${low}`] as const]),
  ];
}
