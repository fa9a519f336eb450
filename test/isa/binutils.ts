/** The GNU tools as oracles: assembles, links without relaxation, disassembles. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PREFIX = "riscv64-linux-gnu-";
export const hasBinutils = ["as", "ld", "objcopy", "objdump"].every(
  (tool) => spawnSync(`${PREFIX}${tool}`, ["--version"]).status === 0,
);
/** The extensions of our table that binutils 2.40 knows. */
const MARCH = "rv64gc_zba_zbb_zbc_zbs_zbkb_zbkx_zicsr_zifencei_zicbom_zicboz_zfh_svinval_zihintpause_zawrs";

export interface GnuAssembly {
  readonly bytes: Uint8Array;
  /** Lines of `objdump -d -M no-aliases,numeric`: mnemonic and operands, without addresses' symbols and comments. */
  readonly text: readonly string[];
}

/** Assembles with `as`, links at `base` and reads both the bytes and the disassembly back. */
export function gnuAssemble(source: string, base: bigint): GnuAssembly {
  const dir = mkdtempSync(join(tmpdir(), "plantain-as-"));
  try {
    const path = (name: string): string => join(dir, name);
    writeFileSync(path("a.s"), source);
    execFileSync(`${PREFIX}as`, [`-march=${MARCH}`, "-mno-relax", "-mno-arch-attr", "-o", path("a.o"), path("a.s")]);
    execFileSync(`${PREFIX}ld`, [
      "--no-relax",
      `-Ttext=0x${base.toString(16)}`,
      "-e",
      `0x${base.toString(16)}`,
      "-o",
      path("a.elf"),
      path("a.o"),
    ]);
    execFileSync(`${PREFIX}objcopy`, ["-O", "binary", "-j", ".text", path("a.elf"), path("a.bin")]);
    const listing = execFileSync(`${PREFIX}objdump`, ["-D", "-j", ".text", "-M", "no-aliases,numeric", path("a.elf")], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    const text = [...listing.matchAll(/^\s*[0-9a-f]+:\t[0-9a-f ]+\t(.*)$/gm)].map(([, line]) =>
      line!
        .replace(/\s*#.*$/, "")
        .replace(/ <.*$/, "")
        .trim(),
    );
    return { bytes: new Uint8Array(readFileSync(path("a.bin"))), text };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
