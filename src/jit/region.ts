/**
 * Finds a region: the basic blocks that control can reach from a hot entry without leaving direct jumps, branches and
 * the return points of calls. Positions are relative to the page of the entry ("rel"), so that code which several
 * address spaces map at different addresses is translated once.
 */
import { expandCompressed } from "../isa/compressed.ts";
import { immediateOf } from "../isa/insn.ts";
import { insns } from "../isa/table.ts";

/** One instruction of a region. */
export interface RegionInsn {
  readonly rel: number;
  readonly length: 2 | 4;
  /** Number in the instruction table. */
  readonly n: number;
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly rs3: number;
  readonly imm: number;
  /** Rounding mode or CSR write flag, as in a decoded operation. */
  readonly rm: number;
}

/** How a block ends. `leave` hands the instruction at `to` to the interpreter. */
export type Terminator =
  | { readonly k: "branch"; readonly taken: number; readonly fall: number }
  | { readonly k: "jump"; readonly to: number }
  | { readonly k: "call"; readonly to: number | undefined; readonly ret: number }
  | { readonly k: "indirect" }
  | { readonly k: "leave"; readonly to: number };

export interface Block {
  readonly rel: number;
  /** Without the jump or branch that ends it, unless that has an effect of its own (jal, jalr write rd). */
  readonly insns: readonly RegionInsn[];
  readonly end: Terminator;
}

export interface Region {
  readonly entry: number;
  readonly blocks: ReadonlyMap<number, Block>;
  readonly size: number;
  /** Byte ranges of code that it was made from, by relative page. */
  readonly pages: ReadonlySet<number>;
}

/** Where code is read from: the halfword at a relative position, or undefined where the page is not known. */
export type CodeReader = (rel: number) => number | undefined;

/** Instructions that a region never contains: what changes privilege, translation or the flow to a trap. */
const LEAVE = new Set(["ecall", "ebreak", "mret", "sret", "wfi", "sfence.vma", "sinval.vma", "sfence.w.inval", "sfence.inval.ir", "wrs.nto", "wrs.sto", "cbo.inval", "cbo.clean", "cbo.flush", "cbo.zero"]);
const leaves = insns.map((i) => LEAVE.has(i.name));
const names = insns.map((i) => i.name);
const formats = insns.map((i) => i.format);
/** Instructions of a region at most. */
export const REGION_LIMIT = 480;

/** Decodes the instruction at `rel`, or undefined where a region must stop. */
function decodeAt(read: CodeReader, find: (word: number) => number, rel: number): RegionInsn | undefined {
  const low = read(rel);
  if (low === undefined) return undefined;
  let word: number;
  let length: 2 | 4 = 2;
  if ((low & 3) === 3) {
    // An instruction across two pages is left to the interpreter: its second half may change by itself.
    if ((rel & 4095) === 4094) return undefined;
    word = low | (read(rel + 2)! << 16);
    length = 4;
  } else word = expandCompressed(low);
  const n = find(word);
  if (n < 0 || leaves[n]) return undefined;
  const format = formats[n]!;
  const rs1 = (word >>> 15) & 31;
  const csr = format === "CSR" || format === "CSRI";
  return {
    rel,
    length,
    n,
    rd: (word >>> 7) & 31,
    rs1,
    rs2: (word >>> 20) & 31,
    rs3: word >>> 27,
    imm: immediateOf(format, word),
    rm: csr ? (names[n]!.startsWith("csrrw") || rs1 !== 0 ? 1 : 0) : (word >>> 12) & 7,
  };
}

/** Finds the region that begins at `entry`. Undefined where there is nothing worth translating. */
export function findRegion(entry: number, read: CodeReader, find: (word: number) => number): Region | undefined {
  const code = new Map<number, RegionInsn>();
  const leaders = new Set<number>([entry]);
  const work = [entry];
  while (work.length > 0) {
    let rel = work.shift()!;
    for (;;) {
      if (code.has(rel) || code.size >= REGION_LIMIT) break;
      const insn = decodeAt(read, find, rel);
      if (insn === undefined) break;
      code.set(rel, insn);
      const next = rel + insn.length;
      const name = names[insn.n]!;
      if (formats[insn.n] === "B") {
        for (const to of [next, rel + insn.imm]) {
          leaders.add(to);
          work.push(to);
        }
        break;
      }
      if (name === "jal") {
        const to = insn.rd === 0 ? rel + insn.imm : next;
        leaders.add(to);
        work.push(to);
        break;
      }
      if (name === "jalr") {
        if (insn.rd !== 0) {
          leaders.add(next);
          work.push(next);
        }
        break;
      }
      // A page of its own for every block: crossing into the next one is checked.
      if ((next ^ rel) & ~4095) {
        leaders.add(next);
        work.push(next);
        break;
      }
      rel = next;
    }
  }
  if (!code.has(entry)) return undefined;
  const blocks = new Map<number, Block>();
  for (const leader of leaders) if (code.has(leader)) blocks.set(leader, makeBlock(leader, code, leaders));
  const pages = new Set<number>();
  for (const rel of code.keys()) pages.add(rel >> 12);
  return { entry, blocks, size: code.size, pages };
}

function makeBlock(leader: number, code: ReadonlyMap<number, RegionInsn>, leaders: ReadonlySet<number>): Block {
  const list: RegionInsn[] = [];
  for (let rel = leader; ; ) {
    const insn = code.get(rel);
    if (insn === undefined) return { rel: leader, insns: list, end: { k: "leave", to: rel } };
    if (rel !== leader && leaders.has(rel)) return { rel: leader, insns: list, end: { k: "jump", to: rel } };
    list.push(insn);
    const next = rel + insn.length;
    const name = names[insn.n]!;
    if (formats[insn.n] === "B") return { rel: leader, insns: list, end: { k: "branch", taken: rel + insn.imm, fall: next } };
    if (name === "jal") {
      return { rel: leader, insns: list, end: insn.rd === 0 ? { k: "jump", to: rel + insn.imm } : { k: "call", to: rel + insn.imm, ret: next } };
    }
    if (name === "jalr") return { rel: leader, insns: list, end: insn.rd === 0 ? { k: "indirect" } : { k: "call", to: undefined, ret: next } };
    rel = next;
  }
}

/** Successors of a block inside the region, in the order in which they are laid out. */
export function successors(block: Block, blocks: ReadonlyMap<number, Block>): number[] {
  const { end } = block;
  const to = end.k === "branch" ? [end.fall, end.taken] : end.k === "jump" ? [end.to] : end.k === "call" ? [end.ret] : [];
  return to.filter((t) => blocks.has(t));
}
