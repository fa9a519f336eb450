/**
 * A small typed language for code that becomes WebAssembly.
 *
 * Instruction semantics (src/isa) and the engine's runtime (src/riscv) are written in it once; `lower.ts` turns it into
 * bytes, for the interpreter as for the translator. Expressions are trees without side effects (but for calls and
 * loads, which happen in the order in which they are written); statements are lists. Operation codes are those of the
 * WebAssembly core specification, appendix "Index of Instructions".
 */

/** Value types by their binary code. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export type ValType = typeof I32 | typeof I64 | typeof F32 | typeof F64;

export type Expr =
  | { readonly k: "const"; readonly t: ValType; readonly v: number | bigint }
  | { readonly k: "un"; readonly t: ValType; readonly op: number; readonly a: Expr }
  | { readonly k: "bin"; readonly t: ValType; readonly op: number; readonly a: Expr; readonly b: Expr }
  | { readonly k: "select"; readonly t: ValType; readonly c: Expr; readonly a: Expr; readonly b: Expr }
  | { readonly k: "load"; readonly t: ValType; readonly op: number; readonly offset: number; readonly addr: Expr }
  | { readonly k: "call"; readonly t: ValType; readonly fn: string; readonly args: readonly Expr[] }
  /** A call through table 0. */
  | {
      readonly k: "calli";
      readonly t: ValType;
      readonly sig: Signature;
      readonly index: Expr;
      readonly args: readonly Expr[];
    }
  /** SIMD multiply-add on lane 0 (`f64x2.relaxed_madd`); a*b+c. */
  | { readonly k: "madd"; readonly t: ValType; readonly a: Expr; readonly b: Expr; readonly c: Expr }
  | Local
  | Operand;

/** A variable of the function that uses it; an index is given to it when it is first met. */
export interface Local {
  readonly k: "local";
  readonly t: ValType;
  readonly name: string;
}

/** A leaf that the back end resolves: an operand of the instruction being lowered, or a piece of the hart's context. */
export interface Operand {
  readonly k: "operand";
  readonly t: ValType;
  readonly name: string;
}

export interface Label {
  readonly label: string;
}

export type Stmt =
  | { readonly k: "set"; readonly local: Local; readonly e: Expr }
  | { readonly k: "store"; readonly op: number; readonly offset: number; readonly addr: Expr; readonly e: Expr }
  | { readonly k: "if"; readonly c: Expr; readonly then: readonly Stmt[]; readonly else: readonly Stmt[] }
  | { readonly k: "loop" | "block"; readonly label: Label; readonly body: readonly Stmt[] }
  | { readonly k: "br"; readonly label: Label; readonly c?: Expr }
  | { readonly k: "br_table"; readonly index: Expr; readonly labels: readonly Label[]; readonly otherwise: Label }
  | { readonly k: "return"; readonly e?: Expr }
  | { readonly k: "call"; readonly fn: string; readonly args: readonly Expr[] }
  | { readonly k: "calli"; readonly sig: Signature; readonly index: Expr; readonly args: readonly Expr[] }
  | { readonly k: "drop"; readonly e: Expr }
  | { readonly k: "fill"; readonly addr: Expr; readonly value: Expr; readonly size: Expr }
  | { readonly k: "unreachable" }
  /** Runs `body`; where it throws, `cleanup`, and throws on. */
  | { readonly k: "cleanup"; readonly body: readonly Stmt[]; readonly cleanup: readonly Stmt[] }
  /** A statement that only a back end knows (set a guest register, jump, trap...). */
  | { readonly k: "effect"; readonly name: string; readonly args: readonly Expr[]; readonly data?: unknown };

export interface Signature {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

/** A function written in the language. */
export interface Func extends Signature {
  readonly name: string;
  readonly args: readonly Local[];
  readonly body: readonly Stmt[];
}

type Num = number | bigint;
export type Arg = Expr | Num;

const wrap =
  (t: ValType) =>
  (a: Arg): Expr =>
    typeof a === "object" ? a : { k: "const", t, v: a };
const bin =
  (t: ValType, op: number, from: ValType = t) =>
  (a: Arg, b: Arg): Expr => ({ k: "bin", t, op, a: wrap(from)(a), b: wrap(from)(b) });
const un =
  (t: ValType, op: number, from: ValType = t) =>
  (a: Arg): Expr => ({ k: "un", t, op, a: wrap(from)(a) });
const load =
  (t: ValType, op: number) =>
  (addr: Arg, offset = 0): Expr => ({ k: "load", t, op, offset, addr: wrap(I32)(addr) });
const store =
  (t: ValType, op: number) =>
  (addr: Arg, e: Arg, offset = 0): Stmt => ({ k: "store", op, offset, addr: wrap(I32)(addr), e: wrap(t)(e) });

/** Operations named as in the WebAssembly text format. Plain numbers become constants. */
export const i32 = {
  const: (v: number): Expr => ({ k: "const", t: I32, v }),
  load: load(I32, 0x28),
  load8_s: load(I32, 0x2c),
  load8_u: load(I32, 0x2d),
  load16_s: load(I32, 0x2e),
  load16_u: load(I32, 0x2f),
  store: store(I32, 0x36),
  store8: store(I32, 0x3a),
  store16: store(I32, 0x3b),
  eqz: un(I32, 0x45),
  eq: bin(I32, 0x46),
  ne: bin(I32, 0x47),
  lt_s: bin(I32, 0x48),
  lt_u: bin(I32, 0x49),
  gt_s: bin(I32, 0x4a),
  gt_u: bin(I32, 0x4b),
  le_s: bin(I32, 0x4c),
  le_u: bin(I32, 0x4d),
  ge_s: bin(I32, 0x4e),
  ge_u: bin(I32, 0x4f),
  clz: un(I32, 0x67),
  ctz: un(I32, 0x68),
  popcnt: un(I32, 0x69),
  add: bin(I32, 0x6a),
  sub: bin(I32, 0x6b),
  mul: bin(I32, 0x6c),
  div_s: bin(I32, 0x6d),
  div_u: bin(I32, 0x6e),
  rem_s: bin(I32, 0x6f),
  rem_u: bin(I32, 0x70),
  and: bin(I32, 0x71),
  or: bin(I32, 0x72),
  xor: bin(I32, 0x73),
  shl: bin(I32, 0x74),
  shr_s: bin(I32, 0x75),
  shr_u: bin(I32, 0x76),
  rotl: bin(I32, 0x77),
  rotr: bin(I32, 0x78),
  wrap: un(I32, 0xa7, I64),
  trunc_f64_u: un(I32, 0xab, F64),
  reinterpret: un(I32, 0xbc, F32),
  extend8_s: un(I32, 0xc0),
  extend16_s: un(I32, 0xc1),
};

export const i64 = {
  const: (v: Num): Expr => ({ k: "const", t: I64, v }),
  load: load(I64, 0x29),
  load8_s: load(I64, 0x30),
  load8_u: load(I64, 0x31),
  load16_s: load(I64, 0x32),
  load16_u: load(I64, 0x33),
  load32_s: load(I64, 0x34),
  load32_u: load(I64, 0x35),
  store: store(I64, 0x37),
  store8: store(I64, 0x3c),
  store16: store(I64, 0x3d),
  store32: store(I64, 0x3e),
  eqz: un(I32, 0x50, I64),
  eq: bin(I32, 0x51, I64),
  ne: bin(I32, 0x52, I64),
  lt_s: bin(I32, 0x53, I64),
  lt_u: bin(I32, 0x54, I64),
  gt_s: bin(I32, 0x55, I64),
  gt_u: bin(I32, 0x56, I64),
  le_s: bin(I32, 0x57, I64),
  le_u: bin(I32, 0x58, I64),
  ge_s: bin(I32, 0x59, I64),
  ge_u: bin(I32, 0x5a, I64),
  clz: un(I64, 0x79),
  ctz: un(I64, 0x7a),
  popcnt: un(I64, 0x7b),
  add: bin(I64, 0x7c),
  sub: bin(I64, 0x7d),
  mul: bin(I64, 0x7e),
  div_s: bin(I64, 0x7f),
  div_u: bin(I64, 0x80),
  rem_s: bin(I64, 0x81),
  rem_u: bin(I64, 0x82),
  and: bin(I64, 0x83),
  or: bin(I64, 0x84),
  xor: bin(I64, 0x85),
  shl: bin(I64, 0x86),
  shr_s: bin(I64, 0x87),
  shr_u: bin(I64, 0x88),
  rotl: bin(I64, 0x89),
  rotr: bin(I64, 0x8a),
  extend_s: un(I64, 0xac, I32),
  extend_u: un(I64, 0xad, I32),
  trunc_f64_s: un(I64, 0xb0, F64),
  trunc_f64_u: un(I64, 0xb1, F64),
  /** Saturating conversions: `0xfc06`, `0xfc07` are written as two bytes by the lowering. */
  trunc_sat_f64_s: un(I64, 0xfc06, F64),
  trunc_sat_f64_u: un(I64, 0xfc07, F64),
  reinterpret: un(I64, 0xbd, F64),
  extend8_s: un(I64, 0xc2),
  extend16_s: un(I64, 0xc3),
  extend32_s: un(I64, 0xc4),
};

export const f32 = {
  eq: bin(I32, 0x5b, F32),
  lt: bin(I32, 0x5d, F32),
  le: bin(I32, 0x5f, F32),
  ne: bin(I32, 0x5c, F32),
  abs: un(F32, 0x8b),
  neg: un(F32, 0x8c),
  sqrt: un(F32, 0x91),
  add: bin(F32, 0x92),
  sub: bin(F32, 0x93),
  mul: bin(F32, 0x94),
  div: bin(F32, 0x95),
  demote: un(F32, 0xb6, F64),
  reinterpret: un(F32, 0xbe, I32),
};

export const f64 = {
  const: (v: number): Expr => ({ k: "const", t: F64, v }),
  load: load(F64, 0x2b),
  store: store(F64, 0x39),
  eq: bin(I32, 0x61, F64),
  ne: bin(I32, 0x62, F64),
  lt: bin(I32, 0x63, F64),
  gt: bin(I32, 0x64, F64),
  le: bin(I32, 0x65, F64),
  ge: bin(I32, 0x66, F64),
  abs: un(F64, 0x99),
  neg: un(F64, 0x9a),
  ceil: un(F64, 0x9b),
  floor: un(F64, 0x9c),
  trunc: un(F64, 0x9d),
  nearest: un(F64, 0x9e),
  sqrt: un(F64, 0x9f),
  add: bin(F64, 0xa0),
  sub: bin(F64, 0xa1),
  mul: bin(F64, 0xa2),
  div: bin(F64, 0xa3),
  copysign: bin(F64, 0xa6),
  convert_i32_u: un(F64, 0xb8, I32),
  convert_i32_s: un(F64, 0xb7, I32),
  convert_i64_s: un(F64, 0xb9, I64),
  convert_i64_u: un(F64, 0xba, I64),
  promote: un(F64, 0xbb, F32),
  reinterpret: un(F64, 0xbf, I64),
  /** a*b+c with one rounding where the host fuses; the engine probes that before it uses it. */
  relaxed_madd: (a: Expr, b: Expr, c: Expr): Expr => ({ k: "madd", t: F64, a, b, c }),
};

/** `a` where `c` is not zero, else `b`; both are computed. */
export const select = (c: Expr, a: Expr, b: Expr): Expr => ({ k: "select", t: a.t, c, a, b });
export const local = (t: ValType, name = ""): Local => ({ k: "local", t, name });
export const operand = (t: ValType, name: string): Operand => ({ k: "operand", t, name });
export const label = (name: string): Label => ({ label: name });
export const set = (l: Local, e: Arg): Stmt => ({ k: "set", local: l, e: wrap(l.t)(e) });
export const iff = (c: Expr, then: readonly Stmt[], otherwise: readonly Stmt[] = []): Stmt => ({
  k: "if",
  c,
  then,
  else: otherwise,
});
export const loop = (l: Label, body: readonly Stmt[]): Stmt => ({ k: "loop", label: l, body });
export const block = (l: Label, body: readonly Stmt[]): Stmt => ({ k: "block", label: l, body });
export const br = (l: Label, c?: Expr): Stmt => (c ? { k: "br", label: l, c } : { k: "br", label: l });
export const ret = (e?: Arg, t: ValType = I32): Stmt =>
  e === undefined ? { k: "return" } : { k: "return", e: wrap(t)(e) };
export const call = (t: ValType, fn: string, ...args: Expr[]): Expr => ({ k: "call", t, fn, args });
export const callStmt = (fn: string, ...args: Expr[]): Stmt => ({ k: "call", fn, args });
export const effect = (name: string, args: readonly Expr[] = [], data?: unknown): Stmt => ({
  k: "effect",
  name,
  args,
  data,
});

/** Declares a function: `fn("f", { a: I32 }, [I32], ({ a }) => [ret(i32.add(a, 1))])`. */
export function fn<const P extends Record<string, ValType>>(
  name: string,
  params: P,
  results: readonly ValType[],
  body: (p: { [K in keyof P]: Local }) => readonly Stmt[],
): Func {
  const args = Object.entries(params).map(([n, t]) => local(t, n));
  const byName = Object.fromEntries(args.map((a) => [a.name, a])) as { [K in keyof P]: Local };
  return { name, params: Object.values(params), results, args, body: body(byName) };
}
