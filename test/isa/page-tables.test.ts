// Address translation on our harts and on QEMU: random page tables for Sv39, Sv48 and Sv57, accesses of every kind from
// S-mode, U-mode and M-mode with MPRV. Values, faults, and the tables themselves (A and D) must agree.

import { expect, test } from "vitest";
import { encodeImmediate } from "../../src/isa/insn.ts";
import { insns } from "../../src/isa/table.ts";
import { type Case, type CompareOptions, type CsrSlot, compareCases, RAM } from "./cases.ts";
import { hasQemu, needsQemu } from "./qemu.ts";
import { Random } from "./random.ts";

const ROUNDS = process.env.PLANTAIN_LONG_TESTS === "1" ? 30 : 1;

/** Physical layout, from the start of RAM. */
const TABLES = 0x20_0000;
const POOLS = 0x40_0000; // 64 pages to be written, then 64 with code, then the same again up to 2 MiB
const POOL_PAGES = 128;

/** Nothing is mapped at this physical address. */
const NOTHING = 0x80_0000;

const V = 1n;
const R = 2n;
const W = 4n;
const X = 8n;
const U = 16n;
const G = 32n;
const A = 64n;
const D = 128n;
const leafOf = (physical: number | bigint, flags: bigint): bigint => ((BigInt(physical) >> 12n) << 10n) | flags;

/** The virtual addresses of the tested tables: a gigabyte of small and large pages, and gigabyte pages. */
const SMALL = 0xc000_0000n;
const TABLE_COUNT = 48;
const LARGE_COUNT = 64;
const POINTER_COUNT = 32;
const HUGE = 0x1_0000_0000n;
const HUGE_COUNT = 64;

interface Tables {
  /** Roots by mode (39, 48, 57) and by whether the code's own page belongs to U-mode. */
  root(levels: 3 | 4 | 5, user: boolean): bigint;
}

function randomLeaf(random: Random, level: number, group: number): bigint {
  let flags = V | A | D | (random.pick([R, R | W, R | W | X, R | W | X, R | X, X]) as bigint);
  if (random.chance(0.5)) flags |= U;
  if (random.chance(0.2)) flags |= G;
  if (random.chance(0.25)) flags &= ~A;
  if (random.chance(0.25)) flags &= ~D;
  if (random.chance(0.05)) flags &= ~V;
  if (random.chance(0.05)) flags = (flags & ~(R | W | X)) | random.pick(level === 0 ? [W, W | X, 0n] : [W, W | X]);
  if (random.chance(0.1)) flags |= BigInt(1 + random.below(3)) << 8n;
  // QEMU 7.2 looks neither at the reserved bits 54 to 60, nor at menvcfg.PBMTE, nor whether a memory type is reserved;
  // src/riscv/mmu.test.ts does.
  if (random.chance(0.05)) flags |= BigInt(1 + random.below(2)) << 61n;
  // A page of the pool that the group of virtual pages has; groups take turns.
  let page = (group % 2) * 64 + random.below(64);
  if (level === 0 && random.chance(0.1)) {
    flags |= 1n << 63n;
    page = (page & ~15) | (random.chance(0.7) ? 8 : random.below(16));
  } else if (level > 0 && random.chance(0.03)) flags |= 1n << 63n;
  let physical = BigInt(RAM + (level === 2 ? 0 : POOLS) + (level === 0 ? page * 4096 : 0));
  if (level > 0 && random.chance(0.1)) physical += BigInt(1 + random.below(4)) << 12n;
  if (random.chance(0.02)) {
    // Nothing is there. QEMU 7.2 dies of an instruction that begins in RAM and goes on in such a page.
    physical = BigInt(NOTHING);
    flags = (flags & ~X) | R;
  }
  return leafOf(physical, flags);
}

function buildTables(ram: DataView, random: Random): Tables {
  let next = TABLES;
  const table = (): number => {
    next += 4096;
    return next - 4096;
  };
  const put = (at: number, index: number, pte: bigint): void =>
    ram.setBigUint64(at + index * 8, BigInt.asUintN(64, pte), true);
  const pointer = (at: number): bigint => leafOf(RAM + at, V);

  // Level 1: small pages, 2 MiB pages, strange pointers.
  const middle = table();
  for (let t = 0; t < TABLE_COUNT; t++) {
    const at = table();
    for (let i = 0; i < 512; i++) put(at, i, randomLeaf(random, 0, i >> 4));
    put(middle, t, pointer(at));
  }
  for (let t = 0; t < LARGE_COUNT; t++) put(middle, TABLE_COUNT + t, randomLeaf(random, 1, 0));
  const lowest = table();
  for (let i = 0; i < 512; i++)
    put(lowest, i, leafOf(RAM + POOLS + (((i >> 4) % 2) * 64 + (i % 64)) * 4096, V | R | W | X | A | D));
  for (let t = 0; t < POINTER_COUNT; t++) {
    let pte = pointer(random.chance(0.3) ? NOTHING - RAM : lowest);
    if (random.chance(0.5)) pte |= random.pick([A, D, U, G, 1n << 8n, 1n << 9n, 1n << 61n, 1n << 62n, 1n << 63n]);
    put(middle, TABLE_COUNT + LARGE_COUNT + t, pte);
  }
  const huge = Array.from({ length: HUGE_COUNT }, () => randomLeaf(random, 2, 0));

  const roots = new Map<string, number>();
  for (const user of [false, true]) {
    const upper = table();
    put(upper, 2, leafOf(RAM, V | R | W | X | A | D | (user ? U : 0n)));
    put(upper, 3, pointer(middle));
    for (const [i, pte] of huge.entries()) put(upper, 4 + i, pte);
    put(upper, 511, pointer(middle)); // the top of the address space
    put(upper, 256, pointer(middle)); // Sv39: the first address of the upper half
    roots.set(`3${user}`, upper);
    let below = upper;
    for (const levels of [4, 5]) {
      const root = table();
      put(root, 0, pointer(below));
      put(root, 511, pointer(below));
      put(root, 1, A | pointer(below));
      roots.set(`${levels}${user}`, root);
      below = root;
    }
  }
  if (next > POOLS) throw new Error("the tables do not fit");
  fillPools(ram, random);
  return { root: (levels, user) => BigInt(roots.get(`${levels}${user}`)! + RAM) >> 12n };
}

/** `ret` everywhere that code may be entered; an `addi a0, a0, 1` whose halves lie in two pages. */
function fillPools(ram: DataView, random: Random): void {
  for (let page = 0; page < 512; page++) {
    const at = POOLS + page * 4096;
    for (let o = 0; o < 4096; o += 2)
      ram.setUint16(at + o, page % POOL_PAGES < 64 ? random.below(65536) : 0x8082, true);
    if (page % POOL_PAGES < 64) continue;
    ram.setUint16(at, 0x0015, true);
    ram.setUint16(at + 0xffe, 0x0513, true);
  }
}

const byName = new Map(insns.map((insn) => [insn.name, insn]));
const encode = (name: string, fields: { rd?: number; rs1?: number; rs2?: number; imm?: number }): number => {
  const insn = byName.get(name)!;
  return (
    (insn.match |
      ((fields.rd ?? 0) << 7) |
      ((fields.rs1 ?? 0) << 15) |
      ((fields.rs2 ?? 0) << 20) |
      encodeImmediate(insn.format, fields.imm ?? 0)) >>>
    0
  );
};

/** Registers that hold virtual addresses; a0 gathers what was loaded, a1 is what a load goes to. */
const ADDRESSES = [5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30];

/** A page's virtual address, whether code lies there, and whether the next page is of the other kind. */
function randomPage(random: Random, levels: number): { va: bigint; code: boolean; lastOfGroup: boolean } {
  const kind = random.below(20);
  let va: bigint;
  let code: boolean;
  let lastOfGroup: boolean;
  if (kind < 12) {
    const t = random.below(TABLE_COUNT);
    const i = random.below(512);
    va = SMALL + BigInt(t * 512 + i) * 4096n;
    code = (i >> 4) % 2 === 1;
    lastOfGroup = i % 16 === 15;
  } else if (kind < 15) {
    const page = random.below(POOL_PAGES);
    va = SMALL + BigInt(TABLE_COUNT + random.below(LARGE_COUNT)) * 0x20_0000n + BigInt(page) * 4096n;
    code = page >= 64;
    lastOfGroup = page % 64 === 63;
  } else if (kind < 17) {
    const i = random.below(512);
    va = SMALL + BigInt(TABLE_COUNT + LARGE_COUNT + random.below(POINTER_COUNT)) * 0x20_0000n + BigInt(i) * 4096n;
    code = (i >> 4) % 2 === 1;
    lastOfGroup = i % 16 === 15;
  } else {
    const page = random.below(POOL_PAGES);
    va = HUGE + BigInt(random.below(HUGE_COUNT)) * 0x4000_0000n + BigInt(POOLS + page * 4096);
    code = page >= 64;
    lastOfGroup = page % 64 === 63;
  }
  // The upper half, where the same tables hang; addresses whose upper bits are no sign extension; unmapped ones.
  const bits = BigInt(levels * 9 + 12);
  if (kind < 17 && random.chance(0.1)) va = BigInt.asUintN(64, (va & 0x3fff_ffffn) - 0x4000_0000n);
  if (random.chance(0.03)) va ^= 1n << bits;
  if (random.chance(0.03)) va ^= 1n << (bits - 1n);
  if (random.chance(0.02)) va ^= 1n << 63n;
  return { va, code, lastOfGroup };
}

function randomCase(random: Random, tables: Tables): Case {
  const levels = random.pick([3, 4, 5] as const);
  const mode = random.pick([0, 0, 1, 1, 1, 3]);
  let mstatus = 0x6000n | (BigInt(mode) << 11n) | 0x80n;
  const sum = random.chance(0.5);
  if (sum) mstatus |= 1n << 18n;
  if (random.chance(0.5)) mstatus |= 1n << 19n;
  if (mode === 3) mstatus |= 1n << 17n;
  // QEMU 7.2 lets S-mode execute a page of U-mode's after a load from it with SUM.
  const jumps = mode !== 3 && !(mode === 1 && sum);
  const x = new BigUint64Array(32);
  const words: number[] = [];
  const pages = new Map<number, ReturnType<typeof randomPage>>();
  for (const r of ADDRESSES) {
    const page = randomPage(random, levels);
    pages.set(r, page);
    x[r] = page.va;
  }
  x[11] = random.bits64();
  // M-mode: MPP is what MPRV goes by; the runner's mret left U there.
  if (mode === 3 && random.chance(0.7))
    words.push(
      encode("lui", { rd: 11, imm: 0x1000 }),
      encode("sraiw", { rd: 11, rs1: 11, imm: 1 }),
      encode("csrrs", { rs1: 11, imm: 0x300 }),
    );
  for (let n = 0; n < 13; n++) {
    const base = random.pick(ADDRESSES);
    const { code, lastOfGroup } = pages.get(base)!;
    const kind = random.below(10);
    // Code is entered where a `ret` is, or at the instruction that lies in two pages.
    if (code && jumps && kind < 6) {
      words.push(encode("jalr", { rd: 1, rs1: base, imm: random.pick([0, 2, 0x100, 0x400, 0x7f0]) }));
      if (!lastOfGroup && random.chance(0.5))
        words.push(
          encode("addi", { rd: 11, rs1: base, imm: 0x7ff }),
          encode("addi", { rd: 11, rs1: 11, imm: 0x7ff }),
          encode("jalr", { rd: 1, rs1: 11, imm: 0 }),
        );
      continue;
    }
    // Loads anywhere, also across the page's end; stores only to pages without code.
    const crossing = random.chance(0.25) && !lastOfGroup;
    const size = random.pick([1, 2, 4, 8]);
    const aligned = random.chance(0.7);
    let at = base;
    let imm = random.below(2047 - 8) & (aligned ? -size : -1);
    if (crossing) {
      words.push(encode("addi", { rd: 11, rs1: base, imm: 2047 }), encode("addi", { rd: 11, rs1: 11, imm: 2047 }));
      at = 11;
      imm = 2 - random.below(size);
    }
    const width = Math.log2(size);
    if (kind < 5 || code) {
      words.push(
        encode(
          random.pick([
            ["lb", "lh", "lw", "ld"],
            ["lbu", "lhu", "lwu", "ld"],
          ])[width]!,
          { rd: 11, rs1: at, imm },
        ),
      );
      words.push(encode("xor", { rd: 10, rs1: 10, rs2: 11 }), encode("rori", { rd: 10, rs1: 10, imm: 7 }));
    } else if (kind < 8) words.push(encode(["sb", "sh", "sw", "sd"][width]!, { rs1: at, rs2: 10, imm }));
    else if (kind < 9)
      words.push(
        encode(random.pick(["lr.w", "lr.d"]), { rd: 11, rs1: at }),
        encode("xor", { rd: 10, rs1: 10, rs2: 11 }),
      );
    else
      words.push(
        encode(random.pick(["amoadd.w", "amoswap.d", "amomaxu.d"]), { rd: 11, rs1: at, rs2: 10 }),
        encode("xor", { rd: 10, rs1: 10, rs2: 11 }),
      );
  }
  const code = new Uint8Array(new Uint32Array(words).buffer);
  const menvcfg = 3n << 61n;
  const asid = BigInt(random.below(3)) << 44n;
  const satp = (BigInt(levels + 5) << 60n) | asid | tables.root(levels, mode === 0);
  const csrs: Partial<Record<CsrSlot, bigint>> = { mstatus, satp, menvcfg };
  return {
    name: `mode ${mode} Sv${levels * 9 + 12} mstatus ${mstatus.toString(16)} menvcfg ${menvcfg.toString(16)}`,
    x,
    f: new BigUint64Array(32),
    code,
    csrs,
  };
}

const accept: CompareOptions["accept"] = (part, ours, theirs, outcome) => {
  const [, index, field] = /^trap (\d+) (tval|cause)$/.exec(part) ?? [];
  const trap = index === undefined ? undefined : outcome.traps[Number(index)];
  // A misaligned load where nothing is: QEMU names the aligned load that it did, which may begin before ours.
  if (field === "tval" && trap?.cause === 5n) return ours! > theirs! && ours! - theirs! < 8n;
  // A load that begins where nothing is and ends in a page that faults: we translate both pages first.
  const second = trap !== undefined && trap.tval % 4096n === 0n;
  if (field === "tval" && trap?.cause === 13n) return second && ours! > theirs! && ours! - theirs! <= 8n;
  if (field === "cause" && ours === 13n && theirs === 5n) return second;
  if (field !== "cause" || trap === undefined || ours === undefined || theirs === undefined) return false;
  // The exceptions of an AMO are those of stores (unprivileged 14.4); QEMU says load.
  if ([6n, 7n, 15n].includes(ours) && (theirs === ours - 2n || (ours === 15n && theirs === 5n))) return true;
  // A table where nothing is mapped: an access fault (privileged 12.3.2, step 2); QEMU says page fault.
  const index2 = Number((trap.tval >> 21n) & 511n) - TABLE_COUNT - LARGE_COUNT;
  if (index2 < 0 || index2 >= POINTER_COUNT) return false;
  return [
    [1n, 12n],
    [5n, 13n],
    [7n, 15n],
    [7n, 13n],
  ].some(([x, y]) => ours === x && theirs === y);
};

/** The page table entries that an address goes through, for the report of a difference. */
function walk(va: bigint, c: Case, image: Uint8Array): string {
  const view = new DataView(image.buffer);
  const satp = c.csrs!.satp!;
  let table = Number((satp & ((1n << 44n) - 1n)) << 12n);
  const path: string[] = [];
  for (let level = Number(satp >> 60n) - 6; level >= 0; level--) {
    if (table < RAM || table >= RAM + image.length) return `(${va.toString(16)}: ${path.join(" ")} outside)`;
    const pte = view.getBigUint64(table - RAM + Number((va >> BigInt(12 + 9 * level)) & 511n) * 8, true);
    path.push(pte.toString(16));
    if ((pte & 1n) === 0n || pte & 0xen) break;
    table = Number(((pte >> 10n) & ((1n << 44n) - 1n)) << 12n);
  }
  return `(${va.toString(16)}: ${path.join(" ")})`;
}

/** Entries that differ where they must not. */
function tableDifferences(ours: Uint8Array, theirs: Uint8Array): string[] {
  const found: string[] = [];
  const entries = (ram: Uint8Array) => new BigUint64Array(ram.buffer, ram.byteOffset + TABLES, (POOLS - TABLES) / 8);
  const b = entries(theirs);
  for (const [n, pte] of entries(ours).entries()) {
    // Either may mark as accessed what it looked at in vain (privileged 12.3.1). QEMU marks reserved NAPOT sizes too.
    const changed = pte ^ b[n]!;
    const reserved = pte >> 63n === 1n && ((pte >> 10n) & 15n) !== 8n;
    // A store that begins in one page and ends where nothing is: both are translated first, or only the first is.
    const nothing = BigInt.asUintN(44, pte >> 10n) << 12n === BigInt(NOTHING);
    if (changed & ~A && !((reserved || nothing) && (changed & ~(A | D)) === 0n))
      found.push(`${(RAM + TABLES + n * 8).toString(16)}: ${pte.toString(16)} instead of ${b[n]!.toString(16)}`);
  }
  return found;
}

function check(title: string, count: number, compare: Pick<CompareOptions, "repeat" | "translate"> = {}): void {
  test.skipIf(!hasQemu)(
    `${title}${needsQemu}`,
    () => {
      for (let round = 0; round < ROUNDS; round++) {
        // The tables' content does not decide where they lie: the cases can be made before they are.
        const layout = buildTables(new DataView(new ArrayBuffer(0x100_0000)), new Random(round + 1));
        const random = new Random(1000 + round);
        const cases = Array.from({ length: count }, () => randomCase(random, layout));
        const prepare = (ram: DataView): void => void buildTables(ram, new Random(round + 1));
        const { differences, ours, theirs, causes } = compareCases(cases, {
          prepare,
          accept,
          explain: walk,
          ...compare,
        });
        expect(differences.join("\n")).toBe("");
        for (const cause of [1n, 4n, 5n, 6n, 7n, 12n, 13n, 15n])
          expect([cause, (causes.get(cause) ?? 0) > count / 100]).toEqual([cause, true]);
        expect(tableDifferences(ours, theirs).slice(0, 10)).toEqual([]);
        const pools = (ram: Uint8Array): Buffer => Buffer.from(ram.slice(POOLS, POOLS + 0x20_0000));
        expect(pools(ours).equals(pools(theirs))).toBe(true);
      }
    },
    ROUNDS * 60_000,
  );
}

check("random page tables", 2000);
check("random page tables, translated", 400, { repeat: 5, translate: true });
