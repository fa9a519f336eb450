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
import { CTX, type MemoryLayout, PAGE_CODE, PAGE_DIRTY, S, XTLB_ENTRIES } from "../riscv/layout.ts";
import { entryOf, tagHits } from "../riscv/mmu/entry.ts";
import { ioEntryOf, ioHits, readDevice, writeDevice } from "../riscv/mmu/io.ts";
import { loadOf, storeOf } from "../riscv/mmu/sized.ts";
import { REGION_SIGNATURE } from "../riscv/regions.ts";
import type { CompiledFunc, SignatureTable } from "../wasm/encoder.ts";
import {
  call,
  callStmt,
  type Expr,
  F64,
  f64,
  I32,
  I64,
  i32,
  i64,
  iff,
  type Label,
  type Local,
  label,
  local,
  ret,
  type Stmt,
  set,
} from "../wasm/ir.ts";
import { type Backend, type FuncIndex, FuncLowering } from "../wasm/lower.ts";
import { inlineFloat } from "./float.ts";
import { type AccessGroup, groupAccesses } from "./groups.ts";
import { type Block, type Region, type RegionInsn, relOf, successors } from "./region.ts";
import { IntegerRegisters } from "./registers.ts";
import { type Structure, structureOf } from "./structure.ts";
import { compareWords, loadedBy, type WordContext, wordsAfter, wordsOf } from "./words.ts";

/** Nested guest calls on the host's stack at most; beyond that calls go through the interpreter. */
const MAX_DEPTH = 160;
/** A set of registers (words.ts) that are words: none. */
const NO_WORDS = 1;

/** What the translator must know of the surroundings of a region. */
export interface Surroundings {
  readonly layout: MemoryLayout;
  /** The decoded page (its address) that a relative page must still be, for edges that enter it. */
  codePageOf(relPage: number): number;
  /** The function in this module for a call to `rel`, if there is one. */
  calleeAt(rel: number): string | undefined;
  readonly fused: boolean;
}

const signedLoad = (size: number, addr: Expr, offset = 0): Expr =>
  (size === 8 ? i64.load : size === 4 ? i64.load32_s : size === 2 ? i64.load16_s : i64.load8_s)(addr, offset);
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

class RegionTranslator implements Backend {
  private readonly region: Region;
  private readonly around: Surroundings;
  private readonly f: FuncLowering;
  private readonly structure: Structure;
  private readonly h = local(I32, "h");
  private readonly depth = local(I32, "depth");
  private readonly base = local(I64, "base");
  private readonly budget = local(I32, "budget");
  private readonly tlb = local(I32, "tlb");
  private readonly exitPc = local(I64, "exitPc");
  private readonly target = local(I64, "target");
  /** NX is set and frm is nearest even: the usual case of floating point needs no flags. */
  private readonly easyFloat = local(I32, "easyFloat");
  private readonly x: IntegerRegisters;
  private readonly fr = new Map<number, Local>();
  private readonly writtenF = new Set<number>();
  private readonly leaveLabel = label("leave");
  private readonly loopLabels = new Map<number, Label>();
  private readonly mergeLabels = new Map<number, Label>();
  /** The instruction being lowered, and how many of its block came before it. */
  private insn!: RegionInsn;
  private done = 0;
  private groups: ReadonlyMap<RegionInsn, AccessGroup> = new Map();
  private floatKnownOn = false;
  private floatDirty = false;
  private hasFloat = false;
  /** Registers that hold sign-extended words: before each block, and before the instruction being lowered. */
  private readonly wordsBefore: ReadonlyMap<number, number>;
  private words = 0;

  constructor(region: Region, around: Surroundings, funcs: FuncIndex, signatures: SignatureTable) {
    this.region = region;
    this.around = around;
    this.f = new FuncLowering([this.h, this.depth], funcs, signatures, this);
    this.x = new IntegerRegisters(this.f);
    this.wordsBefore = wordsOf(region.entry, region.blocks);
    this.structure = structureOf(region.entry, (node) => successors(region.blocks.get(node)!, region.blocks));
  }

  translate(): CompiledFunc {
    const { f, h, region } = this;
    this.collectRegisters();
    for (const l of [this.base, this.budget, this.tlb, this.exitPc, this.target, this.easyFloat]) f.slot(l);
    f.stmts([set(this.base, i64.sub(S.pc.get(h), region.entry)), set(this.budget, S.budget.get(h)), ...this.reload()]);
    f.begin(0x02, this.leaveLabel);
    f.stmts(this.checkBudget(region.entry));
    this.node(region.entry);
    f.end();
    f.stmts([...this.spill(), S.pc.set(h, this.exitPc), S.budget.set(h, this.budget)]);
    return f.finish(REGION_SIGNATURE);
  }

  // --- registers

  private collectRegisters(): void {
    for (const block of this.region.blocks.values()) {
      for (const i of block.insns) {
        if (usesFloat[i.n]) this.hasFloat = true;
        const files = operandsOf[i.n]!;
        this.useRegister(files[0]!, i.rd, true);
        this.useRegister(files[1]!, i.rs1, false);
        this.useRegister(files[2]!, i.rs2, false);
        this.useRegister(files[3]!, i.rs3, false);
      }
    }
    for (const l of this.fr.values()) this.f.slot(l);
  }

  private useRegister(file: "x" | "f" | "", n: number, written: boolean): void {
    if (file === "f") {
      if (!this.fr.has(n)) this.fr.set(n, local(F64, `f${n}`));
      if (written) this.writtenF.add(n);
    } else if (file === "x") this.x.use(n, written);
  }

  /** Loads every register that the region uses, and what else is kept in locals. */
  private reload(): Stmt[] {
    const { h } = this;
    return [
      set(this.tlb, S.tlb.get(h)),
      ...this.x.load(h, S.x.offset),
      ...[...this.fr].map(([n, l]) => set(l, f64.load(h, S.f.offset + n * 8))),
      ...this.reloadFloatMode(),
    ];
  }

  private reloadFloatMode(): Stmt[] {
    return this.hasFloat ? [set(this.easyFloat, i32.and(S.fflags.get(this.h), i32.eqz(S.frm.get(this.h))))] : [];
  }

  private spill(): Stmt[] {
    return [
      ...this.x.store(this.h, S.x.offset),
      ...[...this.writtenF].map((n) => f64.store(this.h, this.fr.get(n)!, S.f.offset + n * 8)),
    ];
  }

  // --- leaving

  private pcOf(rel: number): Expr {
    return rel === 0 ? this.base : i64.add(this.base, rel);
  }

  /** Leaves the region for `pc`, `count` instructions of the block having retired, with `result` of the last one. */
  private leaveTo(pc: Expr, count: number, result: readonly Stmt[] = []): Stmt[] {
    return [
      ...this.x.goHome(NO_WORDS),
      ...result,
      set(this.exitPc, pc),
      ...(count ? [set(this.budget, i32.sub(this.budget, count))] : []),
      { k: "br", label: this.leaveLabel },
    ];
  }
  private leaveBefore = (): Stmt[] => this.leaveTo(this.pcOf(this.insn.rel), this.done);
  private leaveAfter = (result: readonly Stmt[] = []): Stmt[] =>
    this.leaveTo(this.pcOf(this.insn.rel + this.insn.length), this.done + 1, result);

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
      f.stmts(this.checkBudget(relOf(id)));
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
    this.floatKnownOn = false;
    this.floatDirty = false;
    this.groups = groupAccesses(block.insns);
    // They outlive the instruction that sets them.
    for (const group of this.groups.values()) f.slot(group.host);
    const { end } = block;
    let condition: Expr | undefined;
    this.words = this.wordsBefore.get(block.id)!;
    const outer = this.x.begin();
    this.x.atHome(this.words);
    for (const [i, insn] of block.insns.entries()) {
      this.insn = insn;
      this.done = i;
      if (end.k === "branch" && i === block.insns.length - 1) {
        const effect = insns[insn.n]!.body[0]!;
        if (effect.k !== "effect") throw new Error("a branch is an effect");
        condition = this.x.resolve(compareWords(effect.args[0]!, this.wordContext()), insn);
      } else f.scope(this.doubleAccess() ?? insns[insn.n]!.body);
      this.words = wordsAfter(insn, this.words);
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
      case "branch": {
        f.expr(condition!);
        const values = this.x.save();
        f.begin(0x04, label("taken"));
        this.goTo(block.id, end.taken);
        f.end();
        this.x.restore(values);
        this.goTo(block.id, end.fall);
        break;
      }
      case "call":
        this.call(block.id, end.rel, end.ret);
        break;
      case "return":
        f.stmts([iff(i64.ne(this.target, this.pcOf(end.rel)), this.leaveTo(this.target, 0))]);
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
    }
    this.x.end(outer);
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
      ...this.x.goHome(NO_WORDS),
      ...this.spill(),
      S.pc.set(h, target),
      S.budget.set(h, this.budget),
      callStmt(callee ?? "callGuest", h, i32.add(depth, 1)),
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
        return this.xr(insn.rs1);
      case "rs2":
        return this.xr(insn.rs2);
      case "frs1":
        return i64.reinterpret(this.fr.get(insn.rs1)!);
      case "frs2":
        return i64.reinterpret(this.fr.get(insn.rs2)!);
      case "frs3":
        return i64.reinterpret(this.fr.get(insn.rs3)!);
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

  private xr(n: number): Expr {
    return this.x.get(n);
  }

  effect(s: Extract<Stmt, { k: "effect" }>): readonly Stmt[] {
    const { h, insn } = this;
    const [a, b] = s.args;
    switch (s.name) {
      case "rd":
        return insn.rd === 0 ? [] : this.setX(insn.rd, a!);
      case "frd":
        return this.setF(a!);
      case "fp":
        return this.floatGuard((s.data as { rounding: boolean }).rounding);
      case "load":
        return this.load(a!, s.data as LoadInfo);
      case "store":
        return this.store(a!, b!, (s.data as { size: number }).size);
      case "amo": {
        const { size, to, next } = s.data as AmoInfo;
        const host = local(I32, "host");
        return [
          ...this.atomicHost(host, a!, size, CTX.write),
          set(to, signedLoad(size, host)),
          storeOf(size, host, next(to)),
          ...this.stored(host, size),
        ];
      }
      case "lr": {
        const { size, to } = s.data as LoadInfo;
        const host = local(I32, "host");
        return [
          ...this.atomicHost(host, a!, size, CTX.read),
          set(to, signedLoad(size, host)),
          S.resAddr.set(h, i64.extend_u(host)),
          S.resValue.set(h, to),
        ];
      }
      case "sc": {
        const { size, to } = s.data as LoadInfo;
        const host = local(I32, "host");
        return [
          ...this.atomicHost(host, a!, size, CTX.write),
          set(to, 1),
          iff(
            i32.and(i64.eq(S.resAddr.get(h), i64.extend_u(host)), i64.eq(S.resValue.get(h), signedLoad(size, host))),
            [storeOf(size, host, b!), ...this.stored(host, size), set(to, 0)],
          ),
          S.resAddr.set(h, -1n),
        ];
      }
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
      const inline = this.inlineCall(this.x.resolve(e, this.insn) as typeof e);
      if (inline) {
        const to = this.x.fresh(n);
        return inline((v) => set(to, v));
      }
    }
    return this.x.set(n, e, this.wordContext());
  }

  private wordContext(): WordContext {
    const { insn, words } = this;
    return { insn, words, loaded: loadedBy[insn.n] };
  }

  private setF(e: Expr): Stmt[] {
    const to = this.fr.get(this.insn.rd)!;
    const dirty: Stmt[] = this.floatDirty ? [] : [S.fsDirty.set(this.h, 1)];
    this.floatDirty = true;
    const write = (v: Expr): Stmt =>
      set(to, v.t === F64 ? v : v.k === "un" && v.a.t === F64 && v.op === 0xbd ? v.a : f64.reinterpret(v));
    if (e.k === "call") {
      const inline = this.inlineCall(e);
      if (inline) return [...dirty, ...inline(write)];
    }
    return [...dirty, write(e)];
  }

  /** Floating point in the easy case without a call. */
  private inlineCall(e: Extract<Expr, { k: "call" }>): ((write: (v: Expr) => Stmt) => Stmt[]) | undefined {
    const { insn } = this;
    const name = e.fn;
    const operands = [insn.rs1, insn.rs2, insn.rs3].map((n) => this.fr.get(n));
    const float = inlineFloat(name, operands, this.around.fused);
    if (!float) {
      // Not inline: a call may still change the flags.
      return this.hasFloat && /^f/.test(name) ? (write) => [write(e), ...this.reloadFloatMode()] : undefined;
    }
    return (write) => {
      const r = float.value;
      const condition = float.anyMode
        ? float.valid
        : i32.and(insn.rm === 7 || insn.rm === 0 ? this.easyFloat : i32.const(0), float.valid);
      return [...float.before, iff(condition, [write(r)], [write(e), ...this.reloadFloatMode()])];
    };
  }

  private floatGuard(rounding: boolean): Stmt[] {
    const { h, insn } = this;
    const out: Stmt[] = [];
    if (!this.floatKnownOn) out.push(iff(S.fsOff.get(h), this.leaveBefore()));
    this.floatKnownOn = true;
    // A reserved dynamic mode makes the instruction illegal; the easy case has frm = 0.
    if (rounding && insn.rm === 7)
      out.push(iff(i32.and(i32.eqz(this.easyFloat), i32.gt_u(S.frm.get(h), 4)), this.leaveBefore()));
    return out;
  }

  // --- memory

  private load(address: Expr, info: LoadInfo): Stmt[] {
    const { size, signed, to } = info;
    if (this.insn.device) return this.loadDevice(address, info);
    return this.access(address, size, CTX.read, (host, offset) =>
      set(to, signed && size < 8 ? signedLoad(size, host, offset) : loadOf(size, host, offset)),
    );
  }

  private store(address: Expr, value: Expr, size: number): Stmt[] {
    if (this.insn.device) return this.storeDevice(address, value, size);
    return this.access(address, size, CTX.write, (host, offset) => storeOf(size, host, value, offset));
  }

  /** Loads and stores of doubles go straight between memory and the floating-point local. */
  private doubleAccess(): Stmt[] | undefined {
    const { insn } = this;
    const { name } = insns[insn.n]!;
    if (name !== "fld" && name !== "fsd") return undefined;
    const address = i64.add(this.xr(insn.rs1), insn.imm);
    const guard = this.floatGuard(false);
    if (name === "fsd")
      return [
        ...guard,
        ...this.access(address, 8, CTX.write, (host, offset) => f64.store(host, this.fr.get(insn.rs2)!, offset)),
      ];
    const to = this.fr.get(insn.rd)!;
    const dirty: Stmt[] = this.floatDirty ? [] : [S.fsDirty.set(this.h, 1)];
    this.floatDirty = true;
    return [
      ...guard,
      ...this.access(address, 8, CTX.read, (host, offset) => set(to, f64.load(host, offset))),
      ...dirty,
    ];
  }

  /**
   * An access to memory where the TLB knows the place. Everything else (a miss, a device, a page end in the middle, a
   * fault) is the interpreter's: a call here would make V8 keep the loop's registers on the stack.
   */
  private access(address: Expr, size: number, table: number, fast: (host: Expr, offset: number) => Stmt): Stmt[] {
    const group = this.groups.get(this.insn);
    const ea = local(I64, "ea");
    const alone: Stmt[] = [set(ea, address), ...this.accessRam(ea, size, table, (host) => fast(host, 0))];
    if (group === undefined) return alone;
    const { imm, rs1 } = this.insn;
    const out: Stmt[] = [];
    if (group.first === this.insn) {
      // One look-up for the whole range: `host` becomes the base register's place, or 0 for "each for itself".
      const low = local(I64, "low");
      const entry = local(I32, "entry");
      out.push(
        set(low, i64.add(this.xr(rs1), group.low)),
        set(entry, entryOf(this.tlb, low)),
        set(group.host, 0),
        iff(tagHits(entry, low, group.high - group.low, table), [
          set(group.host, i32.add(i32.wrap(this.xr(rs1)), i32.load(entry, table + 8))),
        ]),
      );
    }
    out.push(iff(group.host, [imm >= 0 ? fast(group.host, imm) : fast(i32.add(group.host, imm), 0)], alone));
    return out;
  }

  /** The look-up of one access in the TLB. */
  private accessRam(ea: Local, size: number, table: number, fast: (host: Expr) => Stmt): Stmt[] {
    const entry = local(I32, "entry");
    return [
      set(entry, entryOf(this.tlb, ea)),
      iff(i32.eqz(tagHits(entry, ea, size, table)), this.leaveBefore()),
      fast(i32.add(i32.wrap(ea), i32.load(entry, table + 8))),
    ];
  }

  /**
   * An access of an instruction that was seen to reach devices: through the I/O TLB, and the device is asked from here.
   * V8 keeps registers on the stack around the call, which is why other accesses have none.
   *
   * @param ask the device
   * @param cleanup where it throws
   * @param result what else the instruction does, where it leaves the region because somebody wants attention
   * @param otherwise for RAM
   */
  private device(
    address: Expr,
    table: number,
    size: number,
    ask: (entry: Expr, ea: Expr, cleanup: readonly Stmt[]) => readonly Stmt[],
    result: readonly Stmt[],
    otherwise: (ea: Local) => readonly Stmt[],
  ): Stmt[] {
    const ea = local(I64, "ea");
    const entry = local(I32, "entry");
    return [
      set(ea, address),
      set(entry, ioEntryOf(this.tlb, ea, table)),
      iff(
        ioHits(entry, ea, size),
        [
          ...this.spillPc(),
          ...ask(entry, ea, [...this.x.goHome(NO_WORDS), ...this.spill()]),
          iff(S.attention.get(this.h), this.leaveAfter(result)),
        ],
        otherwise(ea),
      ),
    ];
  }

  private loadDevice(address: Expr, { size, signed, to }: LoadInfo): Stmt[] {
    const v = local(I32, "v");
    const extended =
      size === 4
        ? (signed ? i64.extend_s : i64.extend_u)(v)
        : signed
          ? i64.extend_s((size === 2 ? i32.extend16_s : i32.extend8_s)(v))
          : i64.extend_u(i32.and(v, size === 2 ? 0xffff : 0xff));
    return this.device(
      address,
      CTX.ioRead,
      size,
      (entry, ea, cleanup) => [...readDevice(this.h, entry, ea, i32.const(size), v, cleanup), set(to, extended)],
      this.x.setHome(this.insn.rd, to),
      (ea) =>
        this.accessRam(ea, size, CTX.read, (host) => set(to, signed ? signedLoad(size, host) : loadOf(size, host))),
    );
  }

  private storeDevice(address: Expr, value: Expr, size: number): Stmt[] {
    const low = size === 4 ? i32.wrap(value) : i32.and(i32.wrap(value), size === 2 ? 0xffff : 0xff);
    return this.device(
      address,
      CTX.ioWrite,
      size,
      (entry, ea, cleanup) => writeDevice(this.h, entry, ea, low, i32.const(size), cleanup),
      [],
      (ea) => this.accessRam(ea, size, CTX.write, (host) => storeOf(size, host, value)),
    );
  }

  /** What the host may look at during a slow access: where the hart is. */
  private spillPc(): Stmt[] {
    return [S.pc.set(this.h, this.pcOf(this.insn.rel)), S.budget.set(this.h, i32.sub(this.budget, this.done + 1))];
  }

  private atomicHost(host: Local, address: Expr, size: number, table: number): Stmt[] {
    const ea = local(I64, "ea");
    const entry = local(I32, "entry");
    return [
      set(ea, address),
      set(entry, entryOf(this.tlb, ea)),
      iff(
        i64.eq(i64.sub(ea, i64.load(entry, table)), i64.and(ea, 4096 - size)),
        [set(host, i32.add(i32.wrap(ea), i32.load(entry, table + 8)))],
        this.leaveBefore(),
      ),
    ];
  }

  private stored(host: Local, size: number): Stmt[] {
    const { pageFlags } = this.around.layout;
    return [
      iff(i32.ne(i32.and(i32.load8_u(i32.shr_u(host, 12), pageFlags), PAGE_DIRTY | PAGE_CODE), PAGE_DIRTY), [
        callStmt("ramStored", host, i32.const(size)),
      ]),
    ];
  }

  private csr(data: unknown, source: Expr): Stmt[] {
    const { h, insn } = this;
    const status = local(I32, "status");
    this.floatKnownOn = false;
    this.floatDirty = false;
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
      ...this.reloadFloatMode(),
    ];
  }
}
