// Physical memory protection on our harts and on QEMU: random entries over a small area, accesses of every kind from
// S-mode, U-mode and M-mode with MPRV.

import { expect, test } from "vitest";
import { assemble } from "../../src/isa/assembler.ts";
import { type Case, type CompareOptions, type CsrSlot, compareCases, pageOf, RAM } from "./cases.ts";
import { hasQemu, needsQemu } from "./qemu.ts";
import { Random } from "./random.ts";

const ROUNDS = process.env.PLANTAIN_LONG_TESTS === "1" ? 30 : 1;

/** Four pages of data and four of code, protected at random. */
const AREA = RAM + 0x40_0000;
const DATA_BYTES = 0x4000;
const AREA_BYTES = 0x8000;

/** Code in groups of 16 bytes: `ret` but for an aligned and a misaligned `addi a0, a0, 1`. */
function fillArea(ram: DataView): void {
  const at = AREA - RAM;
  const random = new Random(3);
  for (let o = 0; o < DATA_BYTES; o += 2) ram.setUint16(at + o, random.below(65536), true);
  for (let o = DATA_BYTES; o < AREA_BYTES; o += 2) ram.setUint16(at + o, 0x8082, true);
  for (let o = DATA_BYTES; o < AREA_BYTES; o += 16) {
    ram.setUint32(at + o + 4, 0x00150513, true);
    ram.setUint32(at + o + 10, 0x00150513, true);
  }
}

/** Registers that hold addresses in the area. */
const BASES = ["s0", "s1", "s2", "s3", "s4", "s5"];
const NUMBERS = [8, 9, 18, 19, 20, 21];

function randomCase(random: Random, n: number): Case {
  const mode = random.pick([0, 1, 1, 3]);
  const x = new BigUint64Array(32);
  const bounds: number[] = [];
  const csrs: Partial<Record<CsrSlot, bigint>> = {};
  // Entry 0 lets the case's own code run; 1 to 5 are the test's; the runner's last entry lets everything else through.
  let cfg = 0x1dn;
  csrs.pmpaddr0 = BigInt(pageOf(n) >>> 2) | 0x1ffn;
  for (let e = 1; e < 6; e++) {
    let kind = random.below(4);
    const permissions = random.pick([0, 1, 3, 4, 5, 7]);
    // QEMU 7.2 does not look at every instruction of a page that is protected in parts; src/riscv/pmp.test.ts does.
    const code = random.chance(0.4);
    const at = code ? AREA + DATA_BYTES + random.below(5) * 4096 : AREA + random.below(DATA_BYTES / 4) * 4;
    bounds.push(at);
    let address = BigInt(at) >> 2n;
    if (code && kind === 2) kind = 3;
    if (kind === 3) {
      // NAPOT from 8 bytes to 16 KiB; for code from a page on.
      const size = code ? 4096 << random.below(3) : 8 << random.below(12);
      address = BigInt((at & -size) >>> 2) | (BigInt(size / 8) - 1n);
      bounds.push((at & -size) >>> 0, ((at & -size) >>> 0) + size);
    }
    csrs[`pmpaddr${e}` as CsrSlot] = address;
    cfg |= BigInt(permissions | (kind << 3)) << BigInt(e * 8);
  }
  csrs.pmpcfg0 = cfg;
  csrs.mstatus = 0x6080n | (BigInt(mode) << 11n) | (mode === 3 ? 1n << 17n : 0n);
  const lines: string[] = [];
  for (const r of NUMBERS) {
    // Near a bound, more often than not.
    const at = random.chance(0.7) ? random.pick(bounds) + random.below(16) - 8 : AREA + random.below(AREA_BYTES);
    x[r] = BigInt(at);
  }
  for (let i = 0; i < 14; i++) {
    const base = random.below(BASES.length);
    const at = Number(x[NUMBERS[base]!]);
    const imm = random.below(24) - 12;
    const code = at + imm >= AREA + DATA_BYTES - 16 && at + imm < AREA + AREA_BYTES;
    if (code && mode !== 3 && random.chance(0.8)) {
      // An entry point: any halfword but the second halves of the two long instructions.
      const target = at + imm - ((at + imm) % 2);
      const clear = [6, 12].includes(target & 15) ? 2 : 0;
      if (target + clear >= AREA + DATA_BYTES && target + clear < AREA + AREA_BYTES)
        lines.push(`jalr ra, ${target + clear - at}(${BASES[base]})`);
      continue;
    }
    const size = random.below(4);
    const offset = random.chance(0.6) ? imm - ((((at + imm) % (1 << size)) + (1 << size)) % (1 << size)) : imm;
    // QEMU 7.2 does not see an entry that lies inside an access without touching its ends; src/riscv/pmp.test.ts does.
    if (size === 3 && (at + offset) % 4 !== 0) continue;
    // Into how many accesses one across a page's end falls is an implementation's choice.
    if (((at + offset) & 4095) + (1 << size) > 4096) continue;
    if (random.chance(0.5))
      lines.push(`l${"bhwd"[size]} a1, ${offset}(${BASES[base]})`, "xor a0, a0, a1", "rori a0, a0, 7");
    else if (!code && random.chance(0.2)) lines.push(`lr.w a1, (${BASES[base]})`, "xor a0, a0, a1");
    else if (!code && at + offset < AREA + DATA_BYTES - 8 && at + offset >= AREA)
      lines.push(`s${"bhwd"[size]} a0, ${offset}(${BASES[base]})`);
  }
  const { bytes } = assemble(lines.join("\n"));
  return {
    name: `mode ${mode} cfg ${cfg.toString(16)} ${Object.values(csrs).map((v) => (v << 2n).toString(16))}`,
    x,
    f: new BigUint64Array(32),
    code: bytes,
    csrs,
  };
}

function check(title: string, count: number, compare: Pick<CompareOptions, "repeat" | "translate"> = {}): void {
  test.skipIf(!hasQemu)(
    `${title}${needsQemu}`,
    () => {
      for (let round = 0; round < ROUNDS; round++) {
        const random = new Random(77 + round);
        const cases = Array.from({ length: count }, (_, n) => randomCase(random, n));
        const { differences, causes } = compareCases(cases, { prepare: fillArea, ...compare });
        expect(differences.join("\n")).toBe("");
        for (const cause of [1n, 5n, 7n]) expect([cause, (causes.get(cause) ?? 0) > count / 20]).toEqual([cause, true]);
      }
    },
    ROUNDS * 60_000,
  );
}

check("random PMP entries", 1500);
check("random PMP entries, translated", 300, { repeat: 5, translate: true });
