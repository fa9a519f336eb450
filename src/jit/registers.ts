/**
 * Integer registers of a region, in locals. Each has a *home* for 64 bits, and one for 32 where the analysis of
 * `words.ts` says that it holds a sign-extended word. A block finds its registers in their homes; what its instructions
 * compute goes to locals of its own, and back to the homes on the edges to other blocks. So a sign extension that only
 * an exit needs stays in the exit, where nobody waits for it.
 */
import { type Expr, I32, I64, i32, i64, type Local, local, type Stmt, set } from "../wasm/ir.ts";
import type { FuncLowering } from "../wasm/lower.ts";
import type { RegionInsn } from "./region.ts";
import { isWord, low, type WordContext } from "./words.ts";

/** A set of registers (words.ts) that are words: none. */
export const NO_WORDS = 1;

const I32_ADD = 0x6a;
const ZERO = i64.const(0);
const has = (words: number, register: number): boolean => ((words >>> register) & 1) === 1;

/** What a register holds: an i64, or an i32 to be sign-extended. Constants need no local. */
type Values = readonly (Expr | undefined)[];

export class IntegerRegisters {
  private readonly f: FuncLowering;
  private readonly wide: (Local | undefined)[] = [];
  private readonly narrow: (Local | undefined)[] = [];
  private readonly used: number[] = [];
  private readonly written: number[] = [];
  private values: (Expr | undefined)[] = [];
  private temps: Local[] = [];
  private readonly onTheWay: Record<typeof I32 | typeof I64, Local[]> = { [I32]: [], [I64]: [] };
  /** Locals that keep their value until the block ends: the homes, the block's own, and `base`. */
  private readonly stable: Set<Local>;

  /** @param base where the region begins: a local that never changes */
  constructor(f: FuncLowering, base: Local) {
    this.f = f;
    this.stable = new Set([base]);
  }

  /** The region uses register `n`. Before any code. */
  use(n: number, written: boolean): void {
    if (n === 0) return;
    if (this.wide[n] === undefined) {
      this.wide[n] = local(I64, `x${n}`);
      this.f.slot(this.wide[n]);
      this.stable.add(this.wide[n]);
      this.used.push(n);
    }
    if (written && !this.written.includes(n)) this.written.push(n);
  }

  /** Loads all from the hart's state, to their 64-bit homes. `at` is the address of x0, `h` + offset. */
  load(h: Expr, at: number): Stmt[] {
    this.atHome(NO_WORDS);
    return this.used.map((n) => set(this.wide[n]!, i64.load(h, at + n * 8)));
  }

  /** Stores those that the region writes to the hart's state, from where they are. */
  store(h: Expr, at: number): Stmt[] {
    return this.written.map((n) => i64.store(h, this.get(n), at + n * 8));
  }

  /** The registers that are kept as words now. */
  wordMask(): number {
    let mask = NO_WORDS;
    for (const n of this.used) if (this.values[n]!.t === I32) mask |= 1 << n;
    return mask;
  }

  /** All are in their homes, those of `words` in the narrow ones. */
  atHome(words: number): void {
    this.values = [];
    for (const n of this.used) this.values[n] = this.home(n, words);
  }

  private home(n: number, words: number): Local {
    if (!has(words, n)) return this.wide[n]!;
    let narrow = this.narrow[n];
    if (narrow === undefined) {
      narrow = local(I32, `w${n}`);
      this.f.pin(narrow);
      this.narrow[n] = narrow;
      this.stable.add(narrow);
    }
    return narrow;
  }

  /** What the registers hold now, for `restore`. */
  save(): Values {
    return [...this.values];
  }
  restore(values: Values): void {
    this.values = [...values];
  }

  /** A register's value, 64 bits. */
  get(n: number): Expr {
    if (n === 0) return ZERO;
    const value = this.values[n]!;
    if (value.t === I64) return value;
    return value.k === "const" ? i64.const(Number(value.v) | 0) : i64.extend_s(value);
  }

  /** A register's low 32 bits, where they are all of it. */
  word(n: number): Expr | undefined {
    if (n === 0) return i32.const(0);
    const value = this.values[n]!;
    return value.t === I32 ? value : undefined;
  }

  /** Register `insn.rd` becomes the value of `e`, whose operands are those of the instruction. */
  set(n: number, e: Expr, context: WordContext): Stmt[] {
    const value = this.resolve(isWord(e, context) ? low(e) : e, context.insn);
    if (this.isSimple(value)) {
      this.values[n] = value;
      return [];
    }
    const temp = this.temp(value.t === I32 ? I32 : I64);
    this.values[n] = temp;
    return [set(temp, value)];
  }

  /**
   * One operation at most, on what does not change before the block ends. It is done where the value is wanted, so what
   * only an exit wants is done there; where several want it V8 sees that they are the same.
   */
  private isSimple(e: Expr): boolean {
    switch (e.k) {
      case "un":
        return this.isStable(e.a);
      case "bin":
        return this.isStable(e.a) && this.isStable(e.b);
      default:
        return this.isStable(e);
    }
  }

  private isStable(e: Expr): boolean {
    return e.k === "const" || (e.k === "local" && this.stable.has(e));
  }

  /** Register `n` becomes what is put into the local that this returns. */
  fresh(n: number): Local {
    const temp = this.temp(I64);
    this.values[n] = temp;
    return temp;
  }

  private temp(t: typeof I32 | typeof I64): Local {
    const temp = local(t);
    this.f.pin(temp);
    this.temps.push(temp);
    this.stable.add(temp);
    return temp;
  }

  /** Begins a block, inside another one's code or after it. Returns what `end` wants to know. */
  begin(): readonly Local[] {
    const outer = this.temps;
    this.temps = [];
    return outer;
  }

  /** Ends a block: its own locals are free. */
  end(outer: readonly Local[]): void {
    for (const temp of this.temps) {
      this.f.release(temp);
      this.stable.delete(temp);
    }
    this.temps = [...outer];
  }

  /** Puts `value` into the 64-bit home of register `n`, for an exit. */
  setHome(n: number, value: Expr): Stmt[] {
    return n === 0 ? [] : [set(this.wide[n]!, value)];
  }

  /** Puts every register that is elsewhere into its home, for a block where those of `words` are words. */
  goHome(words: number): Stmt[] {
    const values: Stmt[] = [];
    const moves: Stmt[] = [];
    for (const n of this.used) {
      const home = this.home(n, words);
      const value = this.values[n]!;
      if (value === home) continue;
      // A word that is wide here is one all the same: the analysis has seen all ways to the block.
      const moved = home.t === I64 ? this.get(n) : (this.word(n) ?? i32.wrap(value));
      if (value.k === "const" || this.temps.includes(value as Local) || this.isHomeOf(n, value)) {
        moves.push(set(home, moved));
        continue;
      }
      // It may be made of homes that change now.
      const temp = this.passing(values.length, home.t === I64 ? I64 : I32);
      values.push(set(temp, moved));
      moves.push(set(home, temp));
    }
    return [...values, ...moves];
  }

  /** The local for the value number `i` on its way home. */
  private passing(i: number, t: typeof I32 | typeof I64): Local {
    const pool = this.onTheWay[t];
    let temp = pool[i];
    if (temp === undefined) {
      temp = local(t);
      this.f.pin(temp);
      pool[i] = temp;
    }
    return temp;
  }

  private isHomeOf(n: number, value: Expr): boolean {
    return value === this.wide[n] || value === this.narrow[n];
  }

  /** An expression with the instruction's registers put in, for a value that outlives them. */
  resolve(e: Expr, insn: RegionInsn): Expr {
    switch (e.k) {
      case "operand":
        if (e.name === "rs1") return this.get(insn.rs1);
        if (e.name === "rs2") return this.get(insn.rs2);
        if (e.name === "imm") return i64.const(insn.imm);
        if (e.name === "imm32") return i32.const(insn.imm);
        return e;
      case "un": {
        // The low half of what is a word already.
        if (e.op === 0xa7 && e.a.k === "operand" && (e.a.name === "rs1" || e.a.name === "rs2")) {
          const word = this.word(e.a.name === "rs1" ? insn.rs1 : insn.rs2);
          if (word !== undefined) return word;
        }
        return { ...e, a: this.resolve(e.a, insn) };
      }
      case "bin": {
        const a = this.resolve(e.a, insn);
        const b = this.resolve(e.b, insn);
        // `mv` and `li`.
        if (e.op === I32_ADD && b.k === "const" && b.v === 0) return a;
        if (e.op === I32_ADD && a.k === "const" && a.v === 0) return b;
        return { ...e, a, b };
      }
      case "select":
        return { ...e, a: this.resolve(e.a, insn), b: this.resolve(e.b, insn), c: this.resolve(e.c, insn) };
      case "call":
        return { ...e, args: e.args.map((a) => this.resolve(a, insn)) };
      case "load":
        return { ...e, addr: this.resolve(e.addr, insn) };
      case "madd":
        return { ...e, a: this.resolve(e.a, insn), b: this.resolve(e.b, insn), c: this.resolve(e.c, insn) };
      default:
        return e;
    }
  }
}
