/** Floating-point registers of a region, in f64 locals, and the instructions that use them. docs/design/jit.md. */
import { insns } from "../isa/table.ts";
import { CTX, S } from "../riscv/layout.ts";
import { type Expr, F64, f64, I32, i32, i64, iff, type Local, local, type Stmt, set } from "../wasm/ir.ts";
import type { FuncLowering } from "../wasm/lower.ts";
import type { Accesses } from "./accesses.ts";
import { EASY, inlineFloat } from "./float.ts";
import type { Place } from "./place.ts";

export class FloatRegisters {
  private readonly place: Place;
  private readonly accesses: Accesses;
  private readonly f: FuncLowering;
  private readonly fused: boolean;
  private readonly registers = new Map<number, Local>();
  private readonly written = new Set<number>();
  /** EASY where NX is set and frm is nearest even, so that the usual case needs no flags; else 0. */
  private readonly easy = local(I32, "easyFloat");
  private usesMode = false;
  /** In this block floating point was seen to be on, and was marked dirty. */
  private knownOn = false;
  private dirty = false;
  /** The case is known to be easy. */
  private knownMode = false;

  constructor(place: Place, accesses: Accesses, f: FuncLowering, fused: boolean) {
    this.place = place;
    this.accesses = accesses;
    this.f = f;
    this.fused = fused;
  }

  /** The region uses register `n`. Before any code. */
  use(n: number, written: boolean): void {
    if (!this.registers.has(n)) {
      const register = local(F64, `f${n}`);
      this.f.slot(register);
      this.registers.set(n, register);
    }
    if (written) this.written.add(n);
  }

  /** The region has instructions that round or raise flags. Before any code. */
  useMode(): void {
    this.f.slot(this.easy);
    this.usesMode = true;
  }

  /**
   * Begins a block, or goes on where the state may have changed.
   * @param known floating point was seen to be on, easy where it rounds, and was marked dirty
   */
  begin(known = false): void {
    this.knownMode = known;
    this.knownOn = known;
    this.dirty = known;
  }

  get(n: number): Local {
    return this.registers.get(n)!;
  }

  load(): Stmt[] {
    const { h } = this.place;
    return [...[...this.registers].map(([n, l]) => set(l, f64.load(h, S.f.offset + n * 8))), ...this.loadMode()];
  }

  store(): Stmt[] {
    return [...this.written].map((n) => f64.store(this.place.h, this.get(n), S.f.offset + n * 8));
  }

  loadMode(): Stmt[] {
    const { h } = this.place;
    return this.usesMode ? [set(this.easy, i32.mul(i32.and(S.fflags.get(h), i32.eqz(S.frm.get(h))), EASY))] : [];
  }

  /** The value of `e` goes to the instruction's rd. */
  set(e: Expr): Stmt[] {
    const to = this.registers.get(this.place.insn.rd)!;
    const dirty: Stmt[] = this.dirty ? [] : [S.fsDirty.set(this.place.h, 1)];
    this.dirty = true;
    const write = (v: Expr): Stmt =>
      set(to, v.t === F64 ? v : v.k === "un" && v.a.t === F64 && v.op === 0xbd ? v.a : f64.reinterpret(v));
    if (e.k === "call") {
      const inline = this.inline(e);
      if (inline) return [...dirty, ...inline(write)];
    }
    return [...dirty, write(e)];
  }

  /** Floating point in the easy case without a call. */
  inline(e: Extract<Expr, { k: "call" }>): ((write: (v: Expr) => Stmt) => Stmt[]) | undefined {
    const { insn } = this.place;
    const name = e.fn;
    const operands = [insn.rs1, insn.rs2, insn.rs3].map((n) => this.registers.get(n));
    const nearest = insn.rm === 7 || insn.rm === 0;
    const easy = nearest ? (this.knownMode ? i32.const(EASY) : this.easy) : i32.const(0);
    const float = inlineFloat(name, operands, this.fused, easy);
    if (!float) {
      // Not inline: a call may still change the flags.
      return this.usesMode && /^f/.test(name) ? (write) => [write(e), ...this.loadMode()] : undefined;
    }
    return (write) => {
      return [...float.before, iff(float.valid, [write(float.value)], [write(e), ...this.loadMode()])];
    };
  }

  guard(rounding: boolean): Stmt[] {
    const { h, insn } = this.place;
    const out: Stmt[] = [];
    if (!this.knownOn) out.push(iff(S.fsOff.get(h), this.place.leaveBefore()));
    this.knownOn = true;
    // A reserved dynamic mode makes the instruction illegal; the easy case has frm = 0.
    if (rounding && insn.rm === 7 && !this.knownMode)
      out.push(iff(i32.and(i32.eqz(this.easy), i32.gt_u(S.frm.get(h), 4)), this.place.leaveBefore()));
    return out;
  }

  /** Loads and stores of doubles go straight between memory and the floating-point local. */
  access(): Stmt[] | undefined {
    const { insn } = this.place;
    const { name } = insns[insn.n]!;
    if (name !== "fld" && name !== "fsd") return undefined;
    const address = i64.add(this.place.x.get(insn.rs1), insn.imm);
    const guard = this.guard(false);
    if (name === "fsd")
      return [
        ...guard,
        ...this.accesses.access(address, 8, CTX.write, (host, offset) =>
          f64.store(host, this.registers.get(insn.rs2)!, offset),
        ),
      ];
    const to = this.registers.get(insn.rd)!;
    const dirty: Stmt[] = this.dirty ? [] : [S.fsDirty.set(this.place.h, 1)];
    this.dirty = true;
    return [
      ...guard,
      ...this.accesses.access(address, 8, CTX.read, (host, offset) => set(to, f64.load(host, offset))),
      ...dirty,
    ];
  }
}
