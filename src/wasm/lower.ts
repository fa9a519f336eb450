/** Lowers the language of `ir.ts` to WebAssembly code bytes. */
import { ByteWriter, type CompiledFunc, type SignatureTable } from "./encoder.ts";
import type { Expr, Func, Label, Local, Operand, Signature, Stmt, ValType } from "./ir.ts";
import { F32, F64, I32, I64 } from "./ir.ts";

/** What the lowering asks of a back end: where operands come from and what effects do. */
export interface Backend {
  /** Returns the expression that stands for an operand. */
  operand(o: Operand): Expr;
  /** Returns the statements that carry out an effect. */
  effect(s: Extract<Stmt, { k: "effect" }>): readonly Stmt[];
}

/** Function indices by name, for calls inside the module. */
export type FuncIndex = ReadonlyMap<string, number>;

/** Lowers one function. Locals that a `scope` uses are free again after it. */
export class FuncLowering {
  readonly w = new ByteWriter(1024);
  readonly types: ValType[] = [];
  private readonly slots = new Map<Local, number>();
  private readonly free: Record<ValType, number[]> = { [I32]: [], [I64]: [], [F32]: [], [F64]: [] };
  private scoped: Local[] | undefined;
  private readonly labels: Label[] = [];
  private readonly params: number;
  private readonly funcs: FuncIndex;
  private readonly signatures: SignatureTable;
  private readonly backend: Backend | undefined;

  constructor(args: readonly Local[], funcs: FuncIndex, signatures: SignatureTable, backend?: Backend) {
    this.params = args.length;
    this.funcs = funcs;
    this.signatures = signatures;
    this.backend = backend;
    args.forEach((a, i) => {
      this.slots.set(a, i);
    });
  }

  /** The index of a local, given on first use. */
  slot(l: Local): number {
    let s = this.slots.get(l);
    if (s === undefined) {
      s = this.free[l.t].pop();
      if (s === undefined) s = this.params + this.types.push(l.t) - 1;
      this.slots.set(l, s);
      this.scoped?.push(l);
    }
    return s;
  }

  /** Gives a local its index for as long as nobody releases it, whatever scope is open. */
  pin(l: Local): void {
    const outer = this.scoped;
    this.scoped = undefined;
    this.slot(l);
    this.scoped = outer;
  }

  /** Ends the use of a pinned local. */
  release(l: Local): void {
    this.free[l.t].push(this.slots.get(l)!);
    this.slots.delete(l);
  }

  /** Lowers statements whose new locals are not used afterwards. */
  scope(body: readonly Stmt[]): void {
    const outer = this.scoped;
    const mine: Local[] = [];
    this.scoped = mine;
    this.stmts(body);
    this.scoped = outer;
    for (const l of mine) {
      this.free[l.t].push(this.slots.get(l)!);
      this.slots.delete(l);
    }
  }

  expr(e: Expr): void {
    const w = this.w;
    switch (e.k) {
      case "const":
        this.constant(e.t, e.v);
        return;
      case "local":
        w.byte(0x20);
        w.u32(this.slot(e));
        return;
      case "operand":
        this.expr(this.backend!.operand(e));
        return;
      case "un":
        this.expr(e.a);
        this.opcode(e.op);
        return;
      case "bin":
        this.expr(e.a);
        this.expr(e.b);
        this.opcode(e.op);
        return;
      case "select":
        this.expr(e.a);
        this.expr(e.b);
        this.expr(e.c);
        w.byte(0x1b);
        return;
      case "load":
        this.expr(e.addr);
        w.byte(e.op);
        w.byte(0); // alignment is a hint only; guests may misalign
        w.u32(e.offset);
        return;
      case "call":
        this.callFunc(e.fn, e.args);
        return;
      case "calli":
        this.callIndirect(e);
        return;
      case "madd":
        for (const x of [e.a, e.b, e.c]) {
          this.expr(x);
          w.byte(0xfd); // f64x2.splat
          w.u32(0x14);
        }
        w.byte(0xfd); // f64x2.relaxed_madd
        w.u32(0x107);
        w.byte(0xfd); // f64x2.extract_lane 0
        w.u32(0x21);
        w.byte(0);
        return;
    }
  }

  private opcode(op: number): void {
    if (op > 0xff) {
      this.w.byte(op >> 8);
      this.w.byte(op & 0xff);
    } else this.w.byte(op);
  }

  private constant(t: ValType, v: number | bigint): void {
    if (t === I32) {
      this.w.byte(0x41);
      this.w.s32(Number(v));
    } else if (t === I64) {
      this.w.byte(0x42);
      this.w.s64(v);
    } else if (t === F64) {
      this.w.byte(0x44);
      this.w.f64(Number(v));
    } else throw new Error("f32 constants are not in the language");
  }

  private callFunc(name: string, args: readonly Expr[]): void {
    for (const a of args) this.expr(a);
    const index = this.funcs.get(name);
    if (index === undefined) throw new Error(`no function ${name}`);
    this.w.byte(0x10);
    this.w.u32(index);
  }

  private callIndirect(c: { readonly sig: Signature; readonly index: Expr; readonly args: readonly Expr[] }): void {
    for (const a of c.args) this.expr(a);
    this.expr(c.index);
    this.w.byte(0x11);
    this.w.u32(this.signatures.of(c.sig));
    this.w.byte(0);
  }

  private depth(l: Label): number {
    const i = this.labels.lastIndexOf(l);
    if (i < 0) throw new Error(`label ${l.label} is not in scope`);
    return this.labels.length - 1 - i;
  }

  stmts(list: readonly Stmt[]): void {
    for (const s of list) this.stmt(s);
  }

  /** Opens a block, loop or if (`opcode` 0x02, 0x03, 0x04) named `l`; close it with `end`. */
  begin(opcode: number, l: Label): void {
    this.w.byte(opcode);
    this.w.byte(0x40);
    this.labels.push(l);
  }

  end(): void {
    this.w.byte(0x0b);
    this.labels.pop();
  }

  stmt(s: Stmt): void {
    const w = this.w;
    switch (s.k) {
      case "set":
        this.expr(s.e);
        w.byte(0x21);
        w.u32(this.slot(s.local));
        return;
      case "store":
        this.expr(s.addr);
        this.expr(s.e);
        w.byte(s.op);
        w.byte(0);
        w.u32(s.offset);
        return;
      case "if":
        this.expr(s.c);
        this.begin(0x04, { label: "if" });
        this.stmts(s.then);
        if (s.else.length) {
          w.byte(0x05);
          this.stmts(s.else);
        }
        this.end();
        return;
      case "loop":
      case "block":
        this.begin(s.k === "loop" ? 0x03 : 0x02, s.label);
        this.stmts(s.body);
        this.end();
        return;
      case "br":
        if (s.c) this.expr(s.c);
        w.byte(s.c ? 0x0d : 0x0c);
        w.u32(this.depth(s.label));
        return;
      case "br_table":
        this.expr(s.index);
        w.byte(0x0e);
        w.u32(s.labels.length);
        for (const l of s.labels) w.u32(this.depth(l));
        w.u32(this.depth(s.otherwise));
        return;
      case "return":
        if (s.e) this.expr(s.e);
        w.byte(0x0f);
        return;
      case "call":
        this.callFunc(s.fn, s.args);
        return;
      case "calli":
        this.callIndirect(s);
        return;
      case "drop":
        this.expr(s.e);
        w.byte(0x1a);
        return;
      case "fill":
        this.expr(s.addr);
        this.expr(s.value);
        this.expr(s.size);
        w.byte(0xfc);
        w.byte(11);
        w.byte(0);
        return;
      case "unreachable":
        w.byte(0x00);
        return;
      case "cleanup":
        // The form of exception handling that all hosts have: try, catch_all, rethrow.
        this.begin(0x06, { label: "try" });
        this.stmts(s.body);
        w.byte(0x19);
        this.stmts(s.cleanup);
        w.byte(0x09);
        w.u32(0);
        this.end();
        return;
      case "effect":
        this.stmts(this.backend!.effect(s));
        return;
    }
  }

  finish(sig: Signature, exportName?: string): CompiledFunc {
    const base = { sig, locals: this.types, code: this.w.take() };
    return exportName === undefined ? base : { ...base, export: exportName };
  }
}

/** Lowers a function that has no operands or effects. Its last statement must return where it has a result. */
export function lowerFunc(f: Func, funcs: FuncIndex, signatures: SignatureTable, exported: boolean): CompiledFunc {
  const l = new FuncLowering(f.args, funcs, signatures);
  l.stmts(f.body);
  if (f.results.length) l.w.byte(0x00);
  return l.finish({ params: f.params, results: f.results }, exported ? f.name : undefined);
}
