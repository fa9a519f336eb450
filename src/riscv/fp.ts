/**
 * Floating point as generated code: the common case of each operation, computed by the host's own IEEE arithmetic with
 * RISC-V's flags, and a call of the exact unit (softfloat/) for all the rest. docs/design/floating-point.md proves the
 * conditions; the short form is:
 *
 * - The host rounds to nearest even. An answer that is finite and safely inside the normal range is the right one, and
 *   can raise NX only.
 * - NX is sticky. While it is set nobody needs to know whether an operation was exact; while it is not, a test tells.
 *
 * Registers come and go raw: 64 bits, single precision NaN-boxed.
 */
import { callStmt, type Expr, f32, f64, F64, type Func, fn, I32, I64, i32, i64, iff, local, type Local, ret, select, set, type Stmt } from "../wasm/ir.ts";
import { unbox32 } from "../isa/semantics.ts";
import { S } from "./layout.ts";
import { SoftFloatOp } from "./softfloat/index.ts";

const NX = 1;
const MAX64 = Number.MAX_VALUE;
const MIN64 = 2 ** -1022;
const MAX32 = (2 - 2 ** -23) * 2 ** 127;
const MIN32 = 2 ** -126;

type Body = (h: Local, a: Local, b: Local, c: Local, rm: Local, exact: () => Stmt[]) => Stmt[];

const setNX = (h: Expr): Stmt[] => [S.fflags.set(h, i32.or(S.fflags.get(h), NX)), S.fsDirty.set(h, 1)];
const nxSet = (h: Expr): Expr => i32.and(S.fflags.get(h), NX);
const bits64 = (e: Expr): Expr => i64.reinterpret(e);
const bits32 = (e: Expr): Expr => i64.or(i64.extend_u(i32.reinterpret(e)), 0xffffffff00000000n);
const double = (e: Expr): Expr => f64.reinterpret(e);
const single = (e: Expr): Expr => f64.promote(f32.reinterpret(i32.wrap(unbox32(e))));

/** Returns `value` (a register), with NX raised where `inexact` holds. */
const finish = (h: Expr, inexact: Expr, value: Expr): Stmt[] => [iff(inexact, setNX(h)), ret(value, I64)];

/** The odd part of a normal double's significand. */
const oddPart = (to: Local, x: Expr): Stmt[] => [
  set(to, i64.or(i64.and(bits64(x), (1n << 52n) - 1n), 1n << 52n)),
  set(to, i64.shr_u(to, i64.ctz(to))),
];

/** `to` = 1 where x*y of normal doubles is exact: the odd parts' product fits in 53 bits. */
function productExact(to: Local, x: Expr, y: Expr): Stmt[] {
  const ox = local(I64, "ox");
  const oy = local(I64, "oy");
  return [
    ...oddPart(ox, x),
    ...oddPart(oy, y),
    // Lengths that sum to 54 bits at most: the product is below 2^54, so it can be looked at.
    set(to, i64.ge_u(i64.add(i64.clz(ox), i64.clz(oy)), 128 - 54)),
    set(to, i32.and(to, i64.lt_u(i64.mul(ox, oy), 1n << 53n))),
  ];
}

const isNormal = (x: Expr): Expr => i32.and(f64.ge(f64.abs(x), f64.const(MIN64)), f64.le(f64.abs(x), f64.const(MAX64)));

/** Double-precision sum of `x` and `y`. */
function addDouble(h: Local, x: Expr, y: Expr, exact: () => Stmt[]): Stmt[] {
  const [p, q, s, t, e] = ["p", "q", "s", "t", "e"].map((n) => local(F64, n)) as [Local, Local, Local, Local, Local];
  return [
    set(p, x),
    set(q, y),
    set(s, f64.add(p, q)),
    // A sum never underflows with a rounding error, so only overflow and NaN are left to the exact unit.
    iff(f64.le(f64.abs(s), f64.const(MAX64)), [
      iff(nxSet(h), [ret(bits64(s), I64)]),
      ...twoSum(p, q, s, t, e),
      iff(f64.le(f64.abs(e), f64.const(MAX64)), finish(h, f64.ne(e, f64.const(0)), bits64(s))),
    ]),
    ...exact(),
  ];
}

/** Knuth: e = the error of s = p + q, exactly. */
const twoSum = (p: Expr, q: Expr, s: Expr, t: Local, e: Local): Stmt[] => [
  set(t, f64.sub(s, p)),
  set(e, f64.add(f64.sub(p, f64.sub(s, t)), f64.sub(q, t))),
];

const inside = (r: Expr): Expr => i32.and(f64.gt(f64.abs(r), f64.const(MIN64)), f64.le(f64.abs(r), f64.const(MAX64)));
const inside32 = (r: Expr): Expr => i32.and(f64.gt(f64.abs(r), f64.const(MIN32)), f64.le(f64.abs(r), f64.const(MAX32)));

const mulDouble: Body = (h, a, b, _c, _rm, exact) => {
  const x = local(F64, "x");
  const y = local(F64, "y");
  const r = local(F64, "r");
  const ok = local(I32, "ok");
  return [
    set(x, double(a)),
    set(y, double(b)),
    set(r, f64.mul(x, y)),
    iff(inside(r), [
      iff(nxSet(h), [ret(bits64(r), I64)]),
      iff(i32.and(isNormal(x), isNormal(y)), [...productExact(ok, x, y), ...finish(h, i32.eqz(ok), bits64(r))]),
    ]),
    // Zero times a finite number is an exact zero.
    iff(i32.and(f64.eq(r, f64.const(0)), i32.or(f64.eq(x, f64.const(0)), f64.eq(y, f64.const(0)))), [ret(bits64(r), I64)]),
    ...exact(),
  ];
};

const divDouble: Body = (h, a, b, _c, _rm, exact) => {
  const [x, y, r] = ["x", "y", "r"].map((n) => local(F64, n)) as [Local, Local, Local];
  const ok = local(I32, "ok");
  return [
    set(x, double(a)),
    set(y, double(b)),
    set(r, f64.div(x, y)),
    iff(inside(r), [
      iff(nxSet(h), [ret(bits64(r), I64)]),
      iff(i32.and(isNormal(x), isNormal(y)), [
        ...productExact(ok, r, y),
        ...finish(h, i32.eqz(i32.and(ok, f64.eq(f64.mul(r, y), x))), bits64(r)),
      ]),
    ]),
    iff(i32.and(f64.eq(r, f64.const(0)), f64.eq(x, f64.const(0))), [ret(bits64(r), I64)]),
    ...exact(),
  ];
};

const sqrtDouble: Body = (h, a, _b, _c, _rm, exact) => {
  const x = local(F64, "x");
  const r = local(F64, "r");
  const ok = local(I32, "ok");
  return [
    set(x, double(a)),
    iff(i32.and(f64.ge(x, f64.const(MIN64)), f64.le(x, f64.const(MAX64))), [
      set(r, f64.sqrt(x)),
      iff(nxSet(h), [ret(bits64(r), I64)]),
      ...productExact(ok, r, r),
      ...finish(h, i32.eqz(i32.and(ok, f64.eq(f64.mul(r, r), x))), bits64(r)),
    ]),
    iff(f64.eq(x, f64.const(0)), [ret(a, I64)]),
    ...exact(),
  ];
};

/** x*y + z in double precision; `fused` says that the host's relaxed_madd rounds once. */
const fmaDouble =
  (negateProduct: boolean, negateAddend: boolean, fused: boolean): Body =>
  (h, a, b, c, _rm, exact) => {
    const [x, y, z, p, s, t, e] = ["x", "y", "z", "p", "s", "t", "e"].map((n) => local(F64, n)) as [Local, Local, Local, Local, Local, Local, Local];
    const ok = local(I32, "ok");
    return [
      set(x, negateProduct ? f64.neg(double(a)) : double(a)),
      set(y, double(b)),
      set(z, negateAddend ? f64.neg(double(c)) : double(c)),
      ...(fused
        ? [iff(nxSet(h), [set(s, f64.relaxed_madd(x, y, z)), iff(inside(s), [ret(bits64(s), I64)])])]
        : []),
      // An exact product leaves one rounding, the sum's.
      set(p, f64.mul(x, y)),
      iff(i32.and(i32.and(isNormal(x), isNormal(y)), inside(p)), [
        ...productExact(ok, x, y),
        iff(ok, [
          set(s, f64.add(p, z)),
          iff(f64.le(f64.abs(s), f64.const(MAX64)), [
            ...twoSum(p, z, s, t, e),
            iff(f64.le(f64.abs(e), f64.const(MAX64)), finish(h, f64.ne(e, f64.const(0)), bits64(s))),
          ]),
        ]),
      ]),
      ...exact(),
    ];
  };

/** Single precision: computed in double, rounded again; harmless for + - * / sqrt since 53 >= 2*24 + 2. */
function roundSingle(h: Local, wide: Local, inexact: Expr, underflows: boolean): Stmt[] {
  const r = local(F64, "r");
  const narrow = f32.demote(wide);
  return [
    set(r, f64.promote(narrow)),
    iff(underflows ? inside32(r) : f64.le(f64.abs(r), f64.const(MAX32)), finish(h, i32.and(i32.eqz(nxSet(h)), i32.or(f64.ne(r, wide), inexact)), bits32(narrow))),
  ];
}

const addSingle =
  (negate: boolean): Body =>
  (h, a, b, _c, _rm, exact) => {
    const [x, y, s, t, e] = ["x", "y", "s", "t", "e"].map((n) => local(F64, n)) as [Local, Local, Local, Local, Local];
    return [
      set(x, single(a)),
      set(y, negate ? f64.neg(single(b)) : single(b)),
      set(s, f64.add(x, y)),
      ...twoSum(x, y, s, t, e),
      // The double sum of two singles is inexact at most where the single one is: the error shows there too.
      ...roundSingle(h, s, f64.ne(e, f64.const(0)), false),
      ...exact(),
    ];
  };

const mulSingle: Body = (h, a, b, _c, _rm, exact) => {
  const [x, y, s] = ["x", "y", "s"].map((n) => local(F64, n)) as [Local, Local, Local];
  return [
    set(x, single(a)),
    set(y, single(b)),
    set(s, f64.mul(x, y)), // 48 bits: exact
    ...roundSingle(h, s, i32.const(0), true),
    iff(f64.eq(s, f64.const(0)), [ret(bits32(f32.demote(s)), I64)]),
    ...exact(),
  ];
};

const divSingle: Body = (h, a, b, _c, _rm, exact) => {
  const [x, y, s] = ["x", "y", "s"].map((n) => local(F64, n)) as [Local, Local, Local];
  return [
    set(x, single(a)),
    set(y, single(b)),
    set(s, f64.div(x, y)),
    // Exact where the rounded quotient times y, 48 bits and so itself exact, gives x back.
    ...roundSingle(h, s, f64.ne(f64.mul(f64.promote(f32.demote(s)), y), x), true),
    iff(i32.and(f64.eq(s, f64.const(0)), f64.eq(x, f64.const(0))), [ret(bits32(f32.demote(s)), I64)]),
    ...exact(),
  ];
};

const sqrtSingle: Body = (h, a, _b, _c, _rm, exact) => {
  const [x, s, r] = ["x", "s", "r"].map((n) => local(F64, n)) as [Local, Local, Local];
  return [
    set(x, single(a)),
    iff(i32.and(f64.gt(x, f64.const(0)), f64.le(x, f64.const(MAX32))), [
      set(s, f64.sqrt(x)),
      set(r, f64.promote(f32.demote(s))),
      ...finish(h, f64.ne(f64.mul(r, r), x), bits32(f32.demote(s))),
    ]),
    iff(f64.eq(x, f64.const(0)), [ret(bits32(f32.demote(x)), I64)]),
    ...exact(),
  ];
};

/** The product of singles is exact in double; the sum is made odd where it was rounded, so that the second rounding is right. */
const fmaSingle =
  (negateProduct: boolean, negateAddend: boolean): Body =>
  (h, a, b, c, _rm, exact) => {
    const [p, z, s, t, e] = ["p", "z", "s", "t", "e"].map((n) => local(F64, n)) as [Local, Local, Local, Local, Local];
    const v = local(I64, "v");
    const product = f64.mul(single(a), single(b));
    return [
      set(p, negateProduct ? f64.neg(product) : product),
      set(z, negateAddend ? f64.neg(single(c)) : single(c)),
      set(s, f64.add(p, z)),
      ...twoSum(p, z, s, t, e),
      iff(i32.and(f64.ne(e, f64.const(0)), inside(s)), [
        set(v, bits64(s)),
        iff(i64.eqz(i64.and(v, 1)), [
          // One step towards the true value in magnitude: up where the error has the sum's sign.
          set(v, select(i32.eq(f64.gt(e, f64.const(0)), f64.gt(s, f64.const(0))), i64.add(v, 1), i64.sub(v, 1))),
          set(s, f64.reinterpret(v)),
        ]),
      ]),
      ...roundSingle(h, s, f64.ne(e, f64.const(0)), true),
      iff(i32.and(f64.eq(s, f64.const(0)), f64.eq(e, f64.const(0))), [ret(bits32(f32.demote(s)), I64)]),
      ...exact(),
    ];
  };

/** Comparisons: NaNs go to the exact unit, which knows which of them signal. */
const compare =
  (convert: (e: Expr) => Expr, test: (x: Expr, y: Expr) => Expr): Body =>
  (_h, a, b, _c, _rm, exact) => {
    const x = local(F64, "x");
    const y = local(F64, "y");
    return [
      set(x, convert(a)),
      set(y, convert(b)),
      iff(i32.and(f64.eq(x, x), f64.eq(y, y)), [ret(i64.extend_u(test(x, y)), I64)]),
      ...exact(),
    ];
  };

/** Minimum and maximum; equal numbers differ at most in the sign of zero. */
const minMax =
  (convert: (e: Expr) => Expr, boxed: (e: Expr) => Expr, max: boolean): Body =>
  (_h, a, b, _c, _rm, exact) => {
    const x = local(F64, "x");
    const y = local(F64, "y");
    const first = max ? f64.gt : f64.lt;
    return [
      set(x, convert(a)),
      set(y, convert(b)),
      iff(first(x, y), [ret(boxed(a), I64)]),
      iff(first(y, x), [ret(boxed(b), I64)]),
      iff(f64.eq(x, y), [ret(max ? i64.and(boxed(a), boxed(b)) : i64.or(boxed(a), boxed(b)), I64)]),
      ...exact(),
    ];
  };

/** To an integer in any rounding mode but RMM. */
const toInteger =
  (convert: (e: Expr) => Expr, name: string): Body =>
  (h, a, _b, _c, rm, exact) => {
    const x = local(F64, "x");
    const t = local(F64, "t");
    const range: Record<string, [number, number]> = { w: [-(2 ** 31), 2 ** 31], wu: [0, 2 ** 32], l: [-(2 ** 63), 2 ** 63], lu: [0, 2 ** 64] };
    const [low, high] = range[name]!;
    const result = name === "lu" ? i64.trunc_sat_f64_u(t) : name === "wu" ? i64.extend32_s(i64.trunc_sat_f64_s(t)) : i64.trunc_sat_f64_s(t);
    return [
      set(x, convert(a)),
      set(t, f64.trunc(x)),
      iff(i32.ne(rm, 1), [
        iff(i32.eqz(rm), [set(t, f64.nearest(x))]),
        iff(i32.eq(rm, 2), [set(t, f64.floor(x))]),
        iff(i32.eq(rm, 3), [set(t, f64.ceil(x))]),
        iff(i32.eq(rm, 4), exact()),
      ]),
      iff(i32.and(f64.ge(t, f64.const(low)), f64.lt(t, f64.const(high))), finish(h, f64.ne(t, x), result)),
      ...exact(),
    ];
  };

/** From a 64-bit integer; below 2^53 in magnitude a double holds it. */
const fromInteger =
  (name: string, to: "s" | "d"): Body =>
  (h, a, _b, _c, rm, exact) => {
    const v = local(I64, "v");
    const x = local(F64, "x");
    const r = local(F64, "r");
    const extended = name === "w" ? i64.extend32_s(a) : name === "wu" ? i64.and(a, 0xffffffff) : a;
    // An unsigned number with its top bit set is a large one, not a negative one.
    const small = name === "lu" ? i64.lt_u(v, 1n << 53n) : i64.lt_u(i64.add(v, 1n << 53n), (1n << 54n) + 1n);
    const convert: Stmt[] = [set(x, f64.convert_i64_s(v))];
    if (to === "d") return [set(v, extended), iff(small, [...convert, ret(bits64(x), I64)]), ...exact()];
    return [
      set(v, extended),
      iff(small, [
        ...convert,
        set(r, f64.promote(f32.demote(x))),
        iff(f64.eq(r, x), [ret(bits32(f32.demote(x)), I64)]),
        iff(i32.eqz(rm), [...setNX(h), ret(bits32(f32.demote(x)), I64)]),
      ]),
      ...exact(),
    ];
  };

const toSingle: Body = (h, a, _b, _c, _rm, exact) => {
  const x = local(F64, "x");
  return [set(x, double(a)), ...roundSingle(h, x, i32.const(0), true), iff(f64.eq(x, f64.const(0)), [ret(bits32(f32.demote(x)), I64)]), ...exact()];
};

const toDouble: Body = (_h, a, _b, _c, _rm, exact) => {
  const x = local(F64, "x");
  return [set(x, single(a)), iff(f64.eq(x, x), [ret(bits64(x), I64)]), ...exact()];
};

interface Operation {
  readonly op: number;
  readonly args: 1 | 2 | 3;
  /** The fast way; `nearest` ones hold for rounding to nearest even only. */
  readonly body?: Body;
  readonly nearest?: boolean;
}

/** Every floating-point function by the name that the instruction table calls. */
function operations(fused: boolean): Map<string, Operation & { fmt: number }> {
  const all = new Map<string, Operation & { fmt: number }>();
  const FORMATS = { s: 0, d: 1, h: 2 } as const;
  for (const [letter, fmt] of Object.entries(FORMATS) as ["s" | "d" | "h", 0 | 1 | 2][]) {
    const add = (name: string, op: number, args: 1 | 2 | 3, fast: Partial<Record<"s" | "d", Body>> = {}, nearest = true) => {
      const body = letter === "h" ? undefined : fast[letter];
      all.set(name, body ? { op, args, fmt, body, nearest } : { op, args, fmt });
    };
    const convert = letter === "d" ? double : single;
    const boxed = (e: Expr): Expr => (letter === "d" ? e : i64.or(unbox32(e), 0xffffffff00000000n));
    add(`fadd.${letter}`, SoftFloatOp.add, 2, { d: (h, a, b, _c, _rm, exact) => addDouble(h, double(a), double(b), exact), s: addSingle(false) });
    add(`fsub.${letter}`, SoftFloatOp.sub, 2, { d: (h, a, b, _c, _rm, exact) => addDouble(h, double(a), f64.neg(double(b)), exact), s: addSingle(true) });
    add(`fmul.${letter}`, SoftFloatOp.mul, 2, { d: mulDouble, s: mulSingle });
    add(`fdiv.${letter}`, SoftFloatOp.div, 2, { d: divDouble, s: divSingle });
    add(`fsqrt.${letter}`, SoftFloatOp.sqrt, 1, { d: sqrtDouble, s: sqrtSingle });
    for (const [name, np, na] of [["fmadd", false, false], ["fmsub", false, true], ["fnmsub", true, false], ["fnmadd", true, true]] as const)
      add(`${name}.${letter}`, SoftFloatOp[name], 3, { d: fmaDouble(np, na, fused), s: fmaSingle(np, na) });
    const both = (body: Body) => ({ s: body, d: body });
    add(`fmin.${letter}`, SoftFloatOp.min, 2, both(minMax(convert, boxed, false)), false);
    add(`fmax.${letter}`, SoftFloatOp.max, 2, both(minMax(convert, boxed, true)), false);
    add(`feq.${letter}`, SoftFloatOp.feq, 2, both(compare(convert, f64.eq)), false);
    add(`flt.${letter}`, SoftFloatOp.flt, 2, both(compare(convert, f64.lt)), false);
    add(`fle.${letter}`, SoftFloatOp.fle, 2, both(compare(convert, f64.le)), false);
    add(`fclass.${letter}`, SoftFloatOp.classify, 1);
    for (const [name, to, from] of [["w", "toW", "fromW"], ["wu", "toWu", "fromWu"], ["l", "toL", "fromL"], ["lu", "toLu", "fromLu"]] as const) {
      add(`fcvt.${name}.${letter}`, SoftFloatOp[to], 1, both(toInteger(convert, name)), false);
      add(`fcvt.${letter}.${name}`, SoftFloatOp[from], 1, letter === "h" ? {} : both(fromInteger(name, letter)), false);
    }
    for (const [from, op] of [["s", "toS"], ["d", "toD"], ["h", "toH"]] as const)
      if (from !== letter)
        // fcvt.TO.FROM: the format given to the exact unit is the source's.
        add(`fcvt.${from}.${letter}`, SoftFloatOp[op], 1, letter === "d" && from === "s" ? { d: toSingle } : letter === "s" && from === "d" ? { s: toDouble } : {}, from === "s");
  }
  return all;
}

/** Builds the floating-point functions; `fused` as the start-up probe found the host's relaxed_madd. */
export function fpFunctions(fused: boolean): Func[] {
  const functions: Func[] = [];
  for (const [name, { op, fmt, args, body, nearest }] of operations(fused)) {
    const params = { h: I32, a: I64, ...(args > 1 ? { b: I64 } : {}), ...(args > 2 ? { c: I64 } : {}), rm: I32 } as { h: typeof I32; a: typeof I64; b: typeof I64; c: typeof I64; rm: typeof I32 };
    functions.push(
      fn(name, params, [I64], ({ h, a, b, c, rm }) => {
        const exact = (): Stmt[] => [
          S.fa.set(h, a),
          ...(args > 1 ? [S.fb.set(h, b)] : []),
          ...(args > 2 ? [S.fc.set(h, c)] : []),
          callStmt("softfloat", h, i32.const(op | (fmt << 8)), rm),
          ret(S.result.get(h), I64),
        ];
        if (!body) return exact();
        const fast = body(h, a, b, c, rm, exact);
        return nearest ? [iff(i32.eqz(rm), fast), ...exact()] : fast;
      }),
    );
  }
  return functions;
}

