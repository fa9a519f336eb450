/**
 * Tier 1: a region becomes one WebAssembly function (docs/design/jit.md has a worked example).
 *
 * The function is `(h, depth)`: it begins at S.pc and leaves with S.pc and S.budget set. Registers live in locals in
 * between. Whatever is not the common case (a TLB miss, a device, a trap) is left to the interpreter, which goes on at
 * that very instruction.
 * Every block takes its length off the budget when it ends; loop heads and the entry make sure that enough is left for
 * the longest way to the next check, so a slice never runs too far, and ends exactly where tier 0 would end it.
 */

import type { AmoInfo, LoadInfo } from "../isa/semantics.ts";
import { insns } from "../isa/table.ts";
import { CTX, type MemoryLayout, S, XTLB_ENTRIES } from "../riscv/layout.ts";
import { entryOf } from "../riscv/mmu/entry.ts";
import { REGION_SIGNATURE } from "../riscv/regions.ts";
import type { CompiledFunc, SignatureTable } from "../wasm/encoder.ts";
import {
  call,
  callStmt,
  type Expr,
  I32,
  I64,
  i32,
  i64,
  iff,
  type Label,
  label,
  local,
  ret,
  type Stmt,
  set,
} from "../wasm/ir.ts";
import { type Backend, type FuncIndex, FuncLowering } from "../wasm/lower.ts";
import { Accesses } from "./accesses.ts";
import { FloatRegisters } from "./float-registers.ts";
import { inlineFunction } from "./inline.ts";
import type { Place } from "./place.ts";
import { type Block, type Region, type RegionInsn, relOf, successors } from "./region.ts";
import { IntegerRegisters, NO_WORDS } from "./registers.ts";
import { withUncheckedRounds } from "./rounds.ts";
import { type Structure, structureOf } from "./structure.ts";
import { beginRounds } from "./unchecked.ts";
import { compareWords, loadedBy, type WordContext, wordsOf } from "./words.ts";

/** Nested guest calls on the host's stack at most; beyond that calls go through the interpreter. */
const MAX_DEPTH = 160;

/** What the translator must know of the surroundings of a region. */
export interface Surroundings {
  readonly layout: MemoryLayout;
  /** The decoded page (its address) that a relative page must still be, for edges that enter it. */
  codePageOf(relPage: number): number;
  /** The function in this module for a call to `rel`, if there is one. */
  calleeAt(rel: number): string | undefined;
  readonly fused: boolean;
}

const usesFloat = insns.map((i) =>
  JSON.stringify(i.body.filter((s) => s.k === "effect").map((s) => (s as { name: string }).name)).includes('"fp"'),
);

/** Which register files the operands of an instruction are in, by field. */
const operandsOf = insns.map((insn) => {
  const text = insn.operands.join(" ");
  return (["rd", "rs1", "rs2", "rs3"] as const).map((name) =>
    new RegExp(`\\bf${name}\\b`).test(text) ? "f" : new RegExp(`\\b${name}\\b`).test(text) ? "x" : "",
  );
});

/** Translates one region. */
export function translateRegion(
  region: Region,
  around: Surroundings,
  funcs: FuncIndex,
  signatures: SignatureTable,
): CompiledFunc {
  return new RegionTranslator(region, around, funcs, signatures).translate();
}

/** Ways out beside the one with all registers in their 64-bit homes: one for each of the commonest sets of words. */
const MORE_EXITS = 3;

function exitsOf(region: Region, wordsBefore: ReadonlyMap<number, number>): { words: number; label: Label }[] {
  const uses = new Map<number, number>();
  for (const [id, words] of wordsBefore) uses.set(words, (uses.get(words) ?? 0) + region.blocks.get(id)!.insns.length);
  uses.delete(NO_WORDS);
  const common = [...uses].sort((a, b) => b[1] - a[1]).slice(0, MORE_EXITS);
  return [NO_WORDS, ...common.map(([words]) => words)].map((words) => ({ words, label: label("leave") }));
}

const bitCount = (words: number): number => {
  let bits = 0;
  for (let w = words; w !== 0; w &= w - 1) bits++;
  return bits;
};

class RegionTranslator implements Backend, Place {
  private readonly region: Region;
  private readonly around: Surroundings;
  private readonly f: FuncLowering;
  private readonly structure: Structure;
  readonly h = local(I32, "h");
  private readonly depth = local(I32, "depth");
  private readonly base = local(I64, "base");
  private readonly budget = local(I32, "budget");
  readonly tlb = local(I32, "tlb");
  private readonly exitPc = local(I64, "exitPc");
  private readonly target = local(I64, "target");
  /** Unchecked rounds that are left. */
  private readonly left = local(I32, "left");
  readonly x: IntegerRegisters;
  private readonly fp: FloatRegisters;
  private readonly accesses: Accesses;
  /** Ways out: each stores the registers from their homes, those of `words` from the narrow ones. */
  private readonly exits: readonly { readonly words: number; readonly label: Label }[];
  private readonly loopLabels = new Map<number, Label>();
  private readonly mergeLabels = new Map<number, Label>();
  /** The instruction being lowered, and how many of its block came before it. */
  insn!: RegionInsn;
  private done = 0;
  /** Registers that hold sign-extended words before each block. */
  private readonly wordsBefore: ReadonlyMap<number, number>;

  constructor(region: Region, around: Surroundings, funcs: FuncIndex, signatures: SignatureTable) {
    this.region = withUncheckedRounds(region);
    this.around = around;
    this.f = new FuncLowering([this.h, this.depth], funcs, signatures, this);
    this.x = new IntegerRegisters(this.f, this.base);
    this.accesses = new Accesses(this, around.layout, this.f);
    this.fp = new FloatRegisters(this, this.accesses, this.f, around.fused);
    const { entry, blocks } = this.region;
    this.wordsBefore = wordsOf(entry, blocks);
    this.exits = exitsOf(this.region, this.wordsBefore);
    this.structure = structureOf(entry, (node) => successors(blocks.get(node)!, blocks));
  }

  translate(): CompiledFunc {
    const { f, h, region } = this;
    this.collectRegisters();
    for (const l of [this.base, this.budget, this.tlb, this.exitPc, this.target, this.left]) f.slot(l);
    for (const { end } of region.blocks.values())
      if (end.k === "rounds") for (const { distance } of end.rounds.streams) f.slot(distance);
    f.stmts([
      set(this.base, i64.sub(S.pc.get(h), relOf(region.entry))),
      set(this.budget, S.budget.get(h)),
      ...this.reload(),
    ]);
    const stored = label("stored");
    f.begin(0x02, stored);
    for (const exit of this.exits) f.begin(0x02, exit.label);
    f.stmts(this.checkBudget(relOf(region.entry)));
    this.node(region.entry);
    for (const { words } of this.exits.toReversed()) {
      f.end();
      this.x.atHome(words);
      f.stmts([...this.x.store(h, S.x.offset), { k: "br", label: stored }]);
    }
    f.end();
    f.stmts([...this.fp.store(), S.pc.set(h, this.exitPc), S.budget.set(h, this.budget)]);
    return f.finish(REGION_SIGNATURE);
  }

  // --- registers

  private collectRegisters(): void {
    for (const block of this.region.blocks.values()) {
      for (const i of block.insns) {
        const files = operandsOf[i.n]!;
        for (const [field, n] of [i.rd, i.rs1, i.rs2, i.rs3].entries()) {
          if (files[field] === "x") this.x.use(n, field === 0);
          else if (files[field] === "f") this.fp.use(n, field === 0);
        }
        if (usesFloat[i.n]) this.fp.useMode();
      }
    }
  }

  /** Loads every register that the region uses, and what else is kept in locals. */
  private reload(): Stmt[] {
    const { h } = this;
    return [set(this.tlb, S.tlb.get(h)), ...this.x.load(h, S.x.offset), ...this.fp.load()];
  }

  spill(): Stmt[] {
    return [...this.x.store(this.h, S.x.offset), ...this.fp.store()];
  }

  // --- leaving

  private pcOf(rel: number): Expr {
    return rel === 0 ? this.base : i64.add(this.base, rel);
  }

  /** Leaves the region for `pc`, `count` instructions of the block having retired, with `result` of the last one. */
  private leaveTo(pc: Expr, count: number, result: readonly Stmt[] = []): Stmt[] {
    const exit = this.exitFor(result.length ? NO_WORDS : this.x.wordMask());
    return [
      ...this.x.goHome(exit.words),
      ...result,
      set(this.exitPc, pc),
      ...(count ? [set(this.budget, i32.sub(this.budget, count))] : []),
      { k: "br", label: exit.label },
    ];
  }
  leaveBefore = (): Stmt[] => this.leaveTo(this.pcOf(this.insn.rel), this.done);
  leaveAfter = (result: readonly Stmt[] = []): Stmt[] =>
    this.leaveTo(this.pcOf(this.insn.rel + this.insn.length), this.done + 1, result);

  /** The way out that leaves the fewest registers to be extended. */
  private exitFor(words: number): { readonly words: number; readonly label: Label } {
    const fitting = this.exits.filter((exit) => (exit.words & ~words) === 0);
    return fitting.reduce((a, b) => (bitCount(b.words) > bitCount(a.words) ? b : a));
  }

  private checkBudget(rel: number): Stmt[] {
    return [iff(i32.lt_s(this.budget, this.region.size), this.leaveTo(this.pcOf(rel), 0))];
  }

  // --- control flow

  private node(id: number): void {
    const { structure, f } = this;
    const merges = structure.merges.get(id) ?? [];
    if (structure.loops.has(id)) {
      const l = label(`loop${id}`);
      this.loopLabels.set(id, l);
      f.begin(0x03, l);
      this.x.atHome(this.wordsBefore.get(id)!);
      // Where rounds go unchecked there is enough for all of them.
      if (!this.region.blocks.get(id)!.rounds) f.stmts(this.checkBudget(relOf(id)));
      this.within(id, merges, 0);
      f.end();
    } else this.within(id, merges, 0);
  }

  /** The node's own code inside blocks for those of its children that several edges reach. */
  private within(id: number, merges: readonly number[], from: number): void {
    const child = merges[from];
    if (child === undefined) {
      this.block(this.region.blocks.get(id)!);
      return;
    }
    const l = label(`merge${child}`);
    this.mergeLabels.set(child, l);
    this.f.begin(0x02, l);
    this.within(id, merges, from + 1);
    this.f.end();
    this.node(child);
  }

  /** Goes on at `to`, from the block at `from`. The budget has been settled. */
  private goTo(from: number, to: number, check = true): void {
    const { f, structure, region } = this;
    const rel = relOf(to);
    if (!region.blocks.has(to) || structure.isIrreducible(from, to)) {
      f.stmts(this.leaveTo(this.pcOf(rel), 0));
      return;
    }
    if (check && rel >> 12 !== relOf(from) >> 12) f.stmts(this.checkPage(rel));
    f.stmts(this.x.goHome(this.wordsBefore.get(to)!));
    if (structure.isBack(from, to)) f.stmt({ k: "br", label: this.loopLabels.get(to)! });
    else if (structure.isMerge(to)) f.stmt({ k: "br", label: this.mergeLabels.get(to)! });
    else this.node(to);
  }

  /** Leaves unless the page of `rel` is still mapped to the code that was translated. */
  private checkPage(rel: number): Stmt[] {
    const entry = local(I32, "entry");
    const page = rel & ~4095;
    const va = this.pcOf(page);
    return [
      set(entry, entryOf(i32.add(S.tlbX.get(this.h), CTX.fetch), i64.and(va, -4096), XTLB_ENTRIES)),
      iff(
        i32.or(
          i64.ne(i64.load(entry), i64.and(va, -4096)),
          i32.ne(i32.load(entry, 8), this.around.codePageOf(rel >> 12)),
        ),
        this.leaveTo(this.pcOf(rel), 0),
      ),
    ];
  }

  private block(block: Block): void {
    const { f } = this;
    this.fp.begin(block.rounds !== undefined);
    this.accesses.begin(block.insns, block.rounds);
    const { end } = block;
    let condition: Expr | undefined;
    const outer = this.x.begin();
    this.x.atHome(this.wordsBefore.get(block.id)!);
    for (const [i, insn] of block.insns.entries()) {
      this.insn = insn;
      this.done = i;
      if (end.k === "branch" && i === block.insns.length - 1) {
        const effect = insns[insn.n]!.body[0]!;
        if (effect.k !== "effect") throw new Error("a branch is an effect");
        condition = this.x.resolve(compareWords(effect.args[0]!, this.wordContext()), insn);
      } else f.scope(this.fp.access() ?? insns[insn.n]!.body);
    }
    const settle: Stmt[] = block.insns.length ? [set(this.budget, i32.sub(this.budget, block.insns.length))] : [];
    f.stmts(settle);
    switch (end.k) {
      case "leave":
        f.stmts(this.leaveTo(this.pcOf(end.rel), 0));
        break;
      case "jump":
        this.goTo(block.id, end.to);
        break;
      case "indirect":
        f.stmts(this.leaveTo(this.target, 0));
        break;
      case "branch":
        this.either(block.id, condition!, end.taken, end.fall);
        break;
      case "call":
        this.call(block.id, end.rel, end.ret);
        break;
      case "return":
        if (!end.sure) f.stmts([iff(i64.ne(this.target, this.pcOf(end.rel)), this.leaveTo(this.target, 0))]);
        // The page of the call was being run; where the call was at its end, the next page was not.
        this.goTo(block.id, end.to, (end.rel & 4095) === 0);
        break;
      case "inline":
        if (end.guess !== undefined) {
          f.expr(i64.ne(this.target, this.pcOf(end.guess)));
          const values = this.x.save();
          f.begin(0x04, label("wrong guess"));
          this.call(block.id, undefined, end.ret);
          f.end();
          this.x.restore(values);
        }
        this.goTo(block.id, end.to);
        break;
      case "guess":
        f.stmt(iff(i64.ne(this.target, this.pcOf(end.guess)), this.leaveTo(this.target, 0)));
        this.goTo(block.id, end.to);
        break;
      case "rounds":
        f.scope(beginRounds(end.rounds, this, this.left, this.budget, this.region.size));
        this.either(block.id, i32.gt_u(this.left, 1), end.unchecked, end.checked);
        break;
      case "again":
        f.stmt(set(this.left, i32.sub(this.left, 1)));
        this.either(block.id, this.left, end.to, end.otherwise);
    }
    this.x.end(outer);
  }

  /** Goes on at `then` or `otherwise`. */
  private either(from: number, condition: Expr, then: number, otherwise: number): void {
    const { f } = this;
    f.expr(condition);
    const values = this.x.save();
    f.begin(0x04, label("then"));
    this.goTo(from, then);
    f.end();
    this.x.restore(values);
    this.goTo(from, otherwise);
  }

  /** A guest call: a call on the host's stack where the callee is known, checked when it comes back. */
  private call(from: number, to: number | undefined, back: number): void {
    const { f, h, around, depth } = this;
    const target = to === undefined ? this.target : this.pcOf(to);
    const callee = to === undefined ? undefined : around.calleeAt(to);
    // Nothing is gained by coming back here when the return point is not in the region.
    if (!this.region.blocks.has(back) || (to !== undefined && callee === undefined)) {
      f.stmts(this.leaveTo(target, 0));
      return;
    }
    f.scope([
      iff(i32.gt_u(depth, MAX_DEPTH), this.leaveTo(target, 0)),
      ...(to !== undefined && to >> 12 !== relOf(from) >> 12 ? this.checkPage(to) : []),
      ...this.spill(),
      S.pc.set(h, target),
      S.budget.set(h, this.budget),
      ...(callee === undefined
        ? [callStmt("callGuest", h, i32.add(depth, 1), this.pcOf(back))]
        : [
            callStmt(callee, h, i32.add(depth, 1)),
            iff(i32.eqz(i32.or(S.attention.get(h), i64.eq(S.pc.get(h), this.pcOf(back)))), [
              callStmt("callGuest", h, i32.add(depth, 1), this.pcOf(back)),
            ]),
          ]),
      // Code that left early or returned elsewhere: its state is in memory, ours is spilled.
      iff(i32.or(S.attention.get(h), i64.ne(S.pc.get(h), this.pcOf(back))), [ret()]),
      set(this.budget, S.budget.get(h)),
      ...this.reload(),
      // The callee used some of it: the promise of the last check no longer holds.
      ...this.checkBudget(back),
    ]);
    this.goTo(from, back);
  }

  // --- instructions

  operand(o: { readonly name: string }): Expr {
    const { insn } = this;
    switch (o.name) {
      case "rs1":
        return this.x.get(insn.rs1);
      case "rs2":
        return this.x.get(insn.rs2);
      case "frs1":
        return i64.reinterpret(this.fp.get(insn.rs1));
      case "frs2":
        return i64.reinterpret(this.fp.get(insn.rs2));
      case "frs3":
        return i64.reinterpret(this.fp.get(insn.rs3));
      case "imm":
        return i64.const(insn.imm);
      case "imm32":
        return i32.const(insn.imm);
      case "pc":
        return this.pcOf(insn.rel);
      case "next":
        return this.pcOf(insn.rel + insn.length);
      case "hart":
        return this.h;
      case "rm":
        return insn.rm === 7 ? S.frm.get(this.h) : i32.const(insn.rm);
      default:
        throw new Error(`no operand ${o.name}`);
    }
  }

  effect(s: Extract<Stmt, { k: "effect" }>): readonly Stmt[] {
    const { insn } = this;
    const [a, b] = s.args;
    switch (s.name) {
      case "rd":
        return insn.rd === 0 ? [] : this.setX(insn.rd, a!);
      case "frd":
        return this.fp.set(a!);
      case "fp":
        return this.fp.guard((s.data as { rounding: boolean }).rounding);
      case "load":
        return this.accesses.load(a!, s.data as LoadInfo);
      case "store":
        return this.accesses.store(a!, b!, (s.data as { size: number }).size);
      case "amo":
        return this.accesses.amo(a!, s.data as AmoInfo);
      case "lr":
        return this.accesses.loadReserved(a!, s.data as LoadInfo);
      case "sc":
        return this.accesses.storeConditional(a!, b!, s.data as LoadInfo);
      case "csr":
        return this.csr(s.data, a!);
      case "csr-imm":
        return this.csr(s.data, i64.const(insn.rs1));
      case "jump":
        return [set(this.target, a!)];
      case "jump-imm":
      case "fence.i":
        // Stores to code are seen at once, so FENCE.I has nothing to do.
        return [];
      default:
        throw new Error(`the effect ${s.name} does not belong in a region`);
    }
  }

  private setX(n: number, e: Expr): Stmt[] {
    if (e.k === "call") {
      const resolved = this.x.resolve(e, this.insn) as typeof e;
      const to = this.x.fresh(n);
      return inlineFunction(resolved, to) ?? this.fp.inline(resolved)?.((v) => set(to, v)) ?? [set(to, resolved)];
    }
    // divw and its kin: the low half of what a function gives.
    if (e.k === "un" && e.a.k === "call") {
      const whole = local(I64, "whole");
      const inline = inlineFunction(this.x.resolve(e.a, this.insn) as typeof e.a, whole);
      if (inline) return [...inline, ...this.x.set(n, { ...e, a: whole }, this.wordContext())];
    }
    return this.x.set(n, e, this.wordContext());
  }

  private wordContext(): WordContext {
    const { insn } = this;
    return { insn, words: this.x.wordMask(), loaded: loadedBy[insn.n] };
  }

  /** What the host may look at during a slow access: where the hart is. */
  spillPc(): Stmt[] {
    return [S.pc.set(this.h, this.pcOf(this.insn.rel)), S.budget.set(this.h, i32.sub(this.budget, this.done + 1))];
  }

  private csr(data: unknown, source: Expr): Stmt[] {
    const { h, insn } = this;
    const status = local(I32, "status");
    // It may switch floating point off, or mark it clean.
    this.fp.begin();
    // The destination may be the source.
    const value = this.x.resolve(source, insn);
    return [
      ...this.spillPc(),
      S.fa.set(h, value),
      set(
        status,
        call(
          I32,
          "csrAccess",
          h,
          i32.const(insn.imm),
          i32.const((data as { operation: number }).operation),
          i32.const(insn.rm),
        ),
      ),
      iff(i32.eq(status, 1), this.leaveBefore()),
      ...(insn.rd ? [set(this.x.fresh(insn.rd), S.result.get(h))] : []),
      iff(i32.or(i32.eq(status, 2), S.attention.get(h)), [
        set(this.budget, i32.add(S.budget.get(h), this.done + 1)),
        ...this.leaveAfter(),
      ]),
      set(this.tlb, S.tlb.get(h)),
      ...this.fp.loadMode(),
    ];
  }
}
