/**
 * Finds a region: the basic blocks that control can reach from a hot entry without leaving direct jumps, branches, the
 * return points of calls, and small functions that are called (they are taken in whole, once for each call). Positions
 * are relative to the page of the entry ("rel"), so that code which several address spaces map at different addresses
 * is translated once.
 */
import { expandCompressed } from "../isa/compressed.ts";
import { immediateOf } from "../isa/insn.ts";
import { insns } from "../isa/table.ts";
import type { Rounds } from "./rounds.ts";

/** One instruction of a region. */
export interface RegionInsn {
  readonly rel: number;
  readonly length: 2 | 4;
  /** The encoding as it stands in memory, 16 bits if compressed. */
  readonly raw: number;
  /** Number in the instruction table. */
  readonly n: number;
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly rs3: number;
  readonly imm: number;
  /** Rounding mode or CSR write flag, as in a decoded operation. */
  readonly rm: number;
  /** Whether it is translated as an access to devices, having been seen to make them. */
  readonly device: boolean;
}

/**
 * How a block ends; numbers are ids of blocks, but for `pc` and `rel`, which are positions.
 * `leave` hands the instruction at `rel` to the interpreter. `call` goes to another function and comes back to `ret`;
 * `inline` goes on in a called function's blocks, after checking a guess where the target was computed; `return` ends
 * such a function: the computed target should be `rel`, and is for `sure` if the function leaves ra alone.
 * The rest is of unchecked rounds (rounds.ts): `guess` goes on at `to` or leaves; `rounds` looks how many there are, and
 * `again` goes to the next one.
 */
type Terminator =
  | { readonly k: "branch"; readonly taken: number; readonly fall: number }
  | { readonly k: "jump"; readonly to: number }
  | { readonly k: "call"; readonly rel: number | undefined; readonly ret: number }
  | { readonly k: "inline"; readonly to: number; readonly guess: number | undefined; readonly ret: number }
  | { readonly k: "return"; readonly to: number; readonly rel: number; readonly sure: boolean }
  | { readonly k: "guess"; readonly to: number; readonly guess: number }
  | { readonly k: "rounds"; readonly unchecked: number; readonly checked: number; readonly rounds: Rounds }
  | { readonly k: "again"; readonly to: number; readonly otherwise: number }
  | { readonly k: "indirect" }
  | { readonly k: "leave"; readonly rel: number };

export interface Block {
  readonly id: number;
  readonly rel: number;
  /** All of its instructions, the branch or jump that ends it included. */
  readonly insns: readonly RegionInsn[];
  readonly end: Terminator;
  /** For a copy of a block, whose accesses are not all checked. */
  readonly rounds?: Rounds;
}

export interface Region {
  readonly entry: number;
  readonly blocks: ReadonlyMap<number, Block>;
  /** Instructions, those of functions taken in counted each time. */
  readonly size: number;
}

/** Where code is read from, and what is known of its past. */
export interface CodeReader {
  /** The halfword at a relative position, or undefined where the page is not known. */
  half(rel: number): number | undefined;
  /** The number in the table of the instruction that a 32-bit word is on this hart, or -1. */
  find(word: number): number;
  /** Whether a breakpoint may be at `rel`: a region ends before it. */
  stops(rel: number): boolean;
  /** Whether the instruction at `rel` was seen to reach devices. */
  device(rel: number): boolean;
  /** Where the computed jump at `rel` went last, if that is known. */
  lastTarget(rel: number): number | undefined;
}

/** Instructions that a region never contains: what changes privilege, translation or the flow to a trap. */
const LEAVE = new Set([
  "ecall",
  "ebreak",
  "mret",
  "sret",
  "wfi",
  "sfence.vma",
  "sinval.vma",
  "sfence.w.inval",
  "sfence.inval.ir",
  "wrs.nto",
  "wrs.sto",
  "cbo.inval",
  "cbo.clean",
  "cbo.flush",
  "cbo.zero",
]);
const leaves = insns.map((i) => LEAVE.has(i.name));
const names = insns.map((i) => i.name);
const formats = insns.map((i) => i.format);
const writesX = insns.map((i) => /\brd\b/.test(i.operands.join(" ")));
/**
 * By number in the table: loads and stores that may be translated as accesses to devices. Loads of floating point have
 * more to do than to write a register, and a device takes 8 bytes in two calls.
 */
export const mayReachDevices: readonly boolean[] = insns.map(({ body }) =>
  body.some(
    (s) =>
      s.k === "effect" &&
      (s.name === "store" || (s.name === "load" && body.length === 2)) &&
      (s.data as { size: number }).size < 8,
  ),
);
/** Instructions of a region at most; of a function that is taken in; of all that are. */
export const REGION_LIMIT = 240;
const INLINE_LIMIT = 32;
const INLINE_TOTAL = 100;
/** Ids of blocks: the position plus this for each function taken in. */
const CONTEXT = 2 ** 32;

/** Decodes the instruction at `rel`, or undefined where a region must stop. */
function decodeAt(read: CodeReader, rel: number): RegionInsn | undefined {
  const low = read.half(rel);
  if (low === undefined || read.stops(rel)) return undefined;
  let word: number;
  let length: 2 | 4 = 2;
  if ((low & 3) === 3) {
    // An instruction across two pages is left to the interpreter: its second half may change by itself.
    if ((rel & 4095) === 4094) return undefined;
    word = low | (read.half(rel + 2)! << 16);
    length = 4;
  } else word = expandCompressed(low);
  const n = read.find(word);
  if (n < 0 || leaves[n]) return undefined;
  const format = formats[n]!;
  const rs1 = (word >>> 15) & 31;
  const csr = format === "CSR" || format === "CSRI";
  return {
    rel,
    length,
    raw: length === 2 ? low : word,
    n,
    rd: (word >>> 7) & 31,
    rs1,
    rs2: (word >>> 20) & 31,
    rs3: word >>> 27,
    imm: immediateOf(format, word),
    rm: csr ? (names[n]!.startsWith("csrrw") || rs1 !== 0 ? 1 : 0) : (word >>> 12) & 7,
    device: mayReachDevices[n]! && read.device(rel),
  };
}

/** Blocks of one function by position: a scan from its entry, before ids and calls are settled. */
function scan(entry: number, read: CodeReader, limit: number): Map<number, Block> {
  const code = new Map<number, RegionInsn>();
  const leaders = new Set<number>([entry]);
  const work = [entry];
  const reach = (to: number) => {
    leaders.add(to);
    work.push(to);
  };
  for (let start = work.shift(); start !== undefined; start = work.shift()) {
    for (let rel = start; !code.has(rel) && code.size < limit; ) {
      const insn = decodeAt(read, rel);
      if (insn === undefined) break;
      code.set(rel, insn);
      const next = rel + insn.length;
      const name = names[insn.n]!;
      if (formats[insn.n] === "B") {
        reach(next);
        reach(rel + insn.imm);
        break;
      }
      if (name === "jal" || name === "jalr") {
        if (insn.rd !== 0) reach(next);
        else if (name === "jal") reach(rel + insn.imm);
        break;
      }
      // A page of its own for every block: crossing into the next one is checked.
      if ((next ^ rel) & ~4095) {
        reach(next);
        break;
      }
      rel = next;
    }
  }
  const blocks = new Map<number, Block>();
  for (const leader of leaders) if (code.has(leader)) blocks.set(leader, makeBlock(leader, code, leaders));
  return blocks;
}

function makeBlock(leader: number, code: ReadonlyMap<number, RegionInsn>, leaders: ReadonlySet<number>): Block {
  const list: RegionInsn[] = [];
  const block = (end: Terminator): Block => ({ id: leader, rel: leader, insns: list, end });
  for (let rel = leader; ; ) {
    const insn = code.get(rel);
    if (insn === undefined) return block({ k: "leave", rel });
    if (rel !== leader && leaders.has(rel)) return block({ k: "jump", to: rel });
    list.push(insn);
    const next = rel + insn.length;
    const name = names[insn.n]!;
    if (formats[insn.n] === "B") return block({ k: "branch", taken: rel + insn.imm, fall: next });
    if (name === "jal")
      return block(insn.rd === 0 ? { k: "jump", to: rel + insn.imm } : { k: "call", rel: rel + insn.imm, ret: next });
    if (name === "jalr") return block(insn.rd === 0 ? { k: "indirect" } : { k: "call", rel: undefined, ret: next });
    rel = next;
  }
}

/** `jalr x0, 0(ra)`: the return of a function that was called with ra. */
const isReturn = (insn: RegionInsn): boolean =>
  names[insn.n] === "jalr" && insn.rd === 0 && insn.rs1 === 1 && insn.imm === 0;
const linksRa = (insn: RegionInsn): boolean => insn.rd === 1;
const sizeOf = (blocks: Iterable<Block>): number => {
  let size = 0;
  for (const block of blocks) size += block.insns.length;
  return size;
};

/** A function small and simple enough to be taken in: known to its end, calling nothing. */
function inlineable(entry: number, read: CodeReader): Map<number, Block> | undefined {
  const blocks = scan(entry, read, INLINE_LIMIT);
  let returns = false;
  for (const { insns: list, end } of blocks.values()) {
    if (end.k === "call" || end.k === "leave") return undefined;
    if (end.k === "indirect") {
      if (!isReturn(list[list.length - 1]!)) return undefined;
      returns = true;
    }
  }
  return returns && sizeOf(blocks.values()) < INLINE_LIMIT ? blocks : undefined;
}

/** Finds the region that begins at `entry`. Undefined where there is nothing worth translating. */
export function findRegion(entry: number, read: CodeReader, limit = REGION_LIMIT): Region | undefined {
  const blocks = scan(entry, read, limit);
  if (!blocks.has(entry)) return undefined;
  let taken = 0;
  let context = 0;
  for (const block of [...blocks.values()]) {
    const { end, insns: list } = block;
    const call = list[list.length - 1];
    if (end.k !== "call" || !linksRa(call!)) continue;
    const guess = end.rel === undefined ? read.lastTarget(call!.rel) : undefined;
    const target = end.rel ?? guess;
    if (target === undefined || !blocks.has(end.ret)) continue;
    const callee = inlineable(target, read);
    if (callee === undefined || taken + sizeOf(callee.values()) > Math.min(limit, INLINE_TOTAL)) continue;
    taken += sizeOf(callee.values());
    context += CONTEXT;
    const sure = [...callee.values()].every(
      ({ insns: list }) => !list.some((insn) => writesX[insn.n] && linksRa(insn)),
    );
    for (const inner of callee.values())
      blocks.set(inner.rel + context, inContext(inner, context, callee, end.ret, sure));
    blocks.set(block.id, { ...block, end: { k: "inline", to: target + context, guess, ret: end.ret } });
  }
  return { entry, blocks, size: sizeOf(blocks.values()) };
}

/** A callee's block with ids of its own; its returns go to `ret`. */
function inContext(
  block: Block,
  context: number,
  callee: ReadonlyMap<number, Block>,
  ret: number,
  sure: boolean,
): Block {
  const { end } = block;
  const id = (rel: number) => rel + context;
  const inside = (to: number): Terminator => (callee.has(to) ? { k: "jump", to: id(to) } : { k: "leave", rel: to });
  const moved: Terminator =
    end.k === "indirect"
      ? { k: "return", to: ret, rel: ret, sure }
      : end.k === "branch"
        ? { k: "branch", taken: id(end.taken), fall: id(end.fall) }
        : end.k === "jump"
          ? inside(end.to)
          : end;
  return { ...block, id: id(block.rel), end: moved };
}

/** Successors of a block inside the region, in the order in which they are laid out. */
export function successors(block: Block, blocks: ReadonlyMap<number, Block>): number[] {
  const { end } = block;
  switch (end.k) {
    case "branch":
      return [end.fall, end.taken].filter((to) => blocks.has(to));
    case "jump":
    case "guess":
    case "return":
      return blocks.has(end.to) ? [end.to] : [];
    case "rounds":
      return [end.checked, end.unchecked];
    case "again":
      return [end.otherwise, end.to];
    case "call":
      return blocks.has(end.ret) ? [end.ret] : [];
    case "inline":
      // A wrong guess makes a call, which comes back to the same place.
      return end.guess === undefined ? [end.to] : [end.to, end.ret];
    default:
      return [];
  }
}

/** The position of a block that may not be in the region. */
export const relOf = (id: number): number => (id >= CONTEXT / 2 ? ((id + 2 ** 31) % CONTEXT) - 2 ** 31 : id);
