/**
 * Rounds of inner loops without checks (docs/design/jit.md, "Unchecked rounds"). Where a loop reaches memory through
 * registers that stand still or move by a constant each round, one look at the TLB tells for many rounds that nothing
 * can miss, and one at the budget that it lasts. Such a loop gets a second copy of its blocks for those rounds:
 *
 *     before:  ... -> head ... back to head        after:  ... -> entry: how many rounds can go unchecked?
 *                                                            none -> head ... back to entry
 *                                                            some -> head' ... next: one less; head' or entry
 *
 * Ways out of the copy go where those of the loop go. What the copy gains most is that it has few exits or none: what a
 * round computes and the next one computes anew need not be kept for them.
 */
import { insns } from "../isa/table.ts";
import type { Expr, Stmt } from "../wasm/ir.ts";
import { I32, type Local, local } from "../wasm/ir.ts";
import { type Block, type Region, type RegionInsn, relOf, successors } from "./region.ts";
import { type Structure, structureOf } from "./structure.ts";
import { wordsAfter } from "./words.ts";

/** The accesses of a round through one register: bytes `low` to `high` from where it stands when the round begins. */
export interface Stream {
  readonly base: number;
  readonly store: boolean;
  low: number;
  high: number;
  /** What a round adds to the register. */
  readonly step: number;
  /** The distance from guest addresses to places in this memory. */
  readonly distance: Local;
}

/** What the copy of a loop needs to know. */
export interface Rounds {
  readonly streams: readonly Stream[];
  /** The stream of each instruction that loads or stores without a check. */
  readonly streamOf: ReadonlyMap<RegionInsn, Stream>;
  /** Registers (words.ts) that are words after each round if they are before it, and that the next one needs. */
  readonly words: number;
  /** Instructions of a round at most. */
  readonly length: number;
  readonly usesFloat: boolean;
  readonly roundsFloat: boolean;
  readonly writesFloat: boolean;
}

/** A longer loop has enough to do between its checks, and would be translated twice. */
const MAX_LENGTH = 100;
/** More streams, or wider ones, seldom stay in their pages for two rounds. */
const MAX_STREAMS = 6;
const MAX_RANGE = 1024;
const MAX_STEP = 512;
/** Ids of copies: those of the blocks, inlined ones included, and this for each loop. */
const COPY = 2 ** 44;

/** What an instruction of the table does that matters here; undefined where a copy would not be worth while. */
interface Behaviour {
  /** Bytes that it loads or stores at rs1 + imm. */
  readonly size: number;
  readonly store: boolean;
  readonly writesX: boolean;
  readonly float: boolean;
  readonly rounds: boolean;
  readonly writesFloat: boolean;
}

const behaviours: readonly (Behaviour | undefined)[] = insns.map((insn) => {
  let size = 0;
  let store = false;
  let float = false;
  let rounds = false;
  let writesFloat = false;
  for (const s of insn.body) {
    if (s.k !== "effect") continue;
    switch (s.name) {
      case "rd":
      case "branch":
      case "jump":
      case "jump-imm":
        break;
      case "fp":
        float = true;
        rounds = (s.data as { rounding: boolean }).rounding;
        break;
      case "frd":
        writesFloat = true;
        break;
      case "store":
      case "load":
        if (!isBaseAndOffset(s)) return undefined;
        size = (s.data as { size: number }).size;
        store = s.name === "store";
        break;
      default:
        return undefined;
    }
  }
  return { size, store, writesX: /\brd\b/.test(insn.operands.join(" ")), float, rounds, writesFloat };
});

/** Whether an access is at rs1 + imm. */
function isBaseAndOffset(s: Extract<Stmt, { k: "effect" }>): boolean {
  const is = (e: Expr, name: string) => e.k === "operand" && e.name === name;
  const [address] = s.args;
  return address!.k === "bin" && is(address!.a, "rs1") && is(address!.b, "imm");
}

/** Whether an instruction has the integer operands rd, rs1 and rs2. */
const operandsOf = insns.map(({ operands }) => {
  const text = operands.join(" ");
  return [/\brd\b/, /\brs1\b/, /\brs2\b/].map((name) => name.test(text));
});

const ADDI = insns.findIndex(({ name }) => name === "addi");
const ADD = insns.findIndex(({ name }) => name === "add");

/** Where a register stands: a constant beyond what one held when the round began. */
interface Position {
  readonly base: number;
  readonly offset: number;
}
type Positions = readonly (Position | undefined)[];

/** Where an instruction leaves its destination. */
function positionAfter(insn: RegionInsn, at: Positions): Position | undefined {
  const from = at[insn.rs1];
  if (insn.n === ADDI) return from && { base: from.base, offset: from.offset + insn.imm };
  // `c.mv` is an addition to x0.
  return insn.n === ADD && insn.rs1 === 0 ? at[insn.rs2] : undefined;
}

const samePosition = (a: Position | undefined, b: Position | undefined): Position | undefined =>
  a && b && a.base === b.base && a.offset === b.offset ? a : undefined;
const meet = (a: Positions | undefined, b: Positions): Positions =>
  a === undefined ? b : a.map((position, n) => samePosition(position, b[n]));

/** A loop's blocks in an order in which each comes after those before it in a round; the head is the first. */
type Loop = readonly Block[];

/** The loops that contain no other, and no call. */
function innerLoops({ blocks }: Region, structure: Structure): Loop[] {
  const before = new Map<number, number[]>();
  for (const from of structure.order)
    for (const to of successors(blocks.get(from)!, blocks)) before.set(to, [...(before.get(to) ?? []), from]);
  /** The blocks from which control may come back to `head` through `back`. */
  const bodyOf = (head: number, back: number): Set<number> => {
    const inside = new Set([head]);
    const work = [back];
    for (let id = work.pop(); id !== undefined; id = work.pop()) {
      if (inside.has(id)) continue;
      inside.add(id);
      work.push(...before.get(id)!);
    }
    return inside;
  };
  const isSimple = (id: number, head: number): boolean =>
    (id === head || !structure.loops.has(id)) &&
    blocks.get(id)!.end.k !== "call" &&
    successors(blocks.get(id)!, blocks).every((to) => !structure.isIrreducible(id, to));
  const loops: Loop[] = [];
  for (const head of structure.loops) {
    // A region that begins with an inner loop has the same head for the loop around it, which comes from further up.
    const bodies = before
      .get(head)!
      .filter((from) => structure.isBack(from, head) && !structure.isIrreducible(from, head))
      .map((from) => ({ below: relOf(from) >= relOf(head), inside: bodyOf(head, from) }))
      .sort((a, b) => a.inside.size - b.inside.size);
    const inside = new Set<number>();
    for (const [i, body] of bodies.entries())
      if ((i === 0 || body.below) && [...body.inside].every((id) => isSimple(id, head)))
        for (const id of body.inside) inside.add(id);
    if (inside.size > 0) loops.push(structure.order.filter((id) => inside.has(id)).map((id) => blocks.get(id)!));
  }
  return loops;
}

/** The accesses of a loop that follow from each other. Undefined where unchecked rounds would gain nothing. */
function roundsOf(loop: Loop, blocks: Region["blocks"]): Rounds | undefined {
  const head = loop[0]!.id;
  let length = 0;
  for (const { insns: list } of loop) length += list.length;
  if (length > MAX_LENGTH) return undefined;
  const before = new Map<number, Positions>([[head, Array.from({ length: 32 }, (_, n) => ({ base: n, offset: 0 }))]]);
  const accesses: { insn: RegionInsn; position: Position | undefined; store: boolean; size: number }[] = [];
  let usesFloat = false;
  let roundsFloat = false;
  let writesFloat = false;
  let end: Positions | undefined;
  for (const block of loop) {
    const at = [...before.get(block.id)!];
    for (const insn of block.insns) {
      const behaviour = behaviours[insn.n];
      if (behaviour === undefined || insn.device) return undefined;
      const { size, store } = behaviour;
      usesFloat ||= behaviour.float;
      roundsFloat ||= behaviour.rounds;
      writesFloat ||= behaviour.writesFloat;
      if (size !== 0) {
        const from = at[insn.rs1];
        accesses.push({ insn, position: from && { ...from, offset: from.offset + insn.imm }, store, size });
      }
      if (behaviour.writesX && insn.rd !== 0) at[insn.rd] = positionAfter(insn, at);
    }
    for (const to of successors(block, blocks)) {
      if (to === head) end = meet(end, at);
      else before.set(to, meet(before.get(to), at));
    }
  }
  const streams: Stream[] = [];
  const streamOf = new Map<RegionInsn, Stream>();
  for (const { insn, position, store, size } of accesses) {
    // x0 as a base has no register to speak of.
    if (position === undefined || position.base === 0) continue;
    const { base, offset } = position;
    const moved = end![base];
    if (moved?.base !== base || Math.abs(moved.offset) > MAX_STEP) continue;
    let stream = streams.find((s) => s.base === base && s.store === store);
    if (!stream) {
      if (streams.length === MAX_STREAMS) continue;
      stream = { base, store, low: offset, high: offset + size, step: moved.offset, distance: local(I32, "distance") };
      streams.push(stream);
    }
    const low = Math.min(stream.low, offset);
    const high = Math.max(stream.high, offset + size);
    if (high - low > MAX_RANGE) continue;
    stream.low = low;
    stream.high = high;
    streamOf.set(insn, stream);
  }
  if (streamOf.size * 2 < accesses.length) return undefined;
  return { streams, streamOf, words: wordsOfRound(loop, blocks), length, usesFloat, roundsFloat, writesFloat };
}

/** What `Rounds.words` stands for: the registers that a round reads before it writes them, less those that do not stay. */
function wordsOfRound(loop: Loop, blocks: Region["blocks"]): number {
  const head = loop[0]!.id;
  let read = 0;
  let everWritten = 0;
  const writtenBefore = new Map<number, number>([[head, 0]]);
  for (const block of loop) {
    let written = writtenBefore.get(block.id)!;
    for (const insn of block.insns) {
      const [rd, rs1, rs2] = operandsOf[insn.n]!;
      if (rs1) read |= (1 << insn.rs1) & ~written;
      if (rs2) read |= (1 << insn.rs2) & ~written;
      if (rd) written |= 1 << insn.rd;
    }
    everWritten |= written;
    for (const to of successors(block, blocks))
      if (to !== head) writtenBefore.set(to, written & (writtenBefore.get(to) ?? -1));
  }
  for (let assumed = read & everWritten; ; ) {
    const before = new Map<number, number>([[head, assumed | 1]]);
    let end = assumed;
    for (const block of loop) {
      let words = before.get(block.id)!;
      for (const insn of block.insns) words = wordsAfter(insn, words);
      for (const to of successors(block, blocks)) {
        if (to === head) end &= words;
        else before.set(to, words & (before.get(to) ?? -1));
      }
    }
    if (end === assumed) return assumed;
    assumed = end;
  }
}

/** The region with unchecked rounds for the inner loops that gain from them. */
export function withUncheckedRounds(region: Region): Region {
  const structure = structureOf(region.entry, (id) => successors(region.blocks.get(id)!, region.blocks));
  const blocks = new Map(region.blocks);
  let { entry } = region;
  let copy = 0;
  for (const loop of innerLoops(region, structure)) {
    const rounds = roundsOf(loop, region.blocks);
    if (!rounds) continue;
    copy += COPY;
    const head = loop[0]!;
    const first = head.id + copy;
    const next = first + COPY / 4;
    const start = first + COPY / 2;
    const inside = new Set(loop.map(({ id }) => id));
    const copied = (to: number) => (to === head.id ? next : inside.has(to) ? to + copy : to);
    for (const { id } of loop) {
      const block = blocks.get(id)!;
      blocks.set(id + copy, { ...block, id: id + copy, end: redirected(withoutCall(block.end), copied), rounds });
    }
    blocks.set(next, { id: next, rel: head.rel, insns: [], end: { k: "again", to: first, otherwise: start } });
    // Whoever came to the head comes to the entry first.
    const toStart = (to: number) => (to === head.id ? start : to);
    for (const block of blocks.values())
      if (block.id !== next) blocks.set(block.id, { ...block, end: redirected(block.end, toStart) });
    blocks.set(start, {
      id: start,
      rel: head.rel,
      insns: [],
      end: { k: "rounds", unchecked: first, checked: head.id, rounds },
    });
    entry = toStart(entry);
  }
  return { ...region, entry, blocks };
}

/** A copy has no calls: where a guess is wrong it leaves the region. */
const withoutCall = (end: Block["end"]): Block["end"] =>
  end.k !== "inline"
    ? end
    : end.guess === undefined
      ? { k: "jump", to: end.to }
      : { k: "guess", to: end.to, guess: end.guess };

/** The end of a block, with other numbers for the blocks it goes to. */
function redirected(end: Block["end"], map: (id: number) => number): Block["end"] {
  switch (end.k) {
    case "branch":
      return { ...end, taken: map(end.taken), fall: map(end.fall) };
    case "jump":
    case "guess":
    case "return":
      return { ...end, to: map(end.to) };
    case "call":
      return { ...end, ret: map(end.ret) };
    case "inline":
      return { ...end, to: map(end.to), ret: map(end.ret) };
    default:
      return end;
  }
}
