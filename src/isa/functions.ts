/** Functions that instruction semantics call and that need no hart: written once, in every module that uses them. */
import { br, call, type Expr, type Func, fn, I64, i64, iff, label, local, loop, ret, select, set } from "../wasm/ir.ts";

const low = (e: Expr): Expr => i64.and(e, 0xffffffff);
const high = (e: Expr): Expr => i64.shr_u(e, 32);
const binary = { a: I64, b: I64 } as const;

/** The high 64 bits of an unsigned product, by 32-bit halves. */
const mulhu = fn("mulhu", binary, [I64], ({ a, b }) => {
  const mid = local(I64, "mid");
  const mid2 = local(I64, "mid2");
  return [
    set(mid, i64.add(i64.mul(high(a), low(b)), high(i64.mul(low(a), low(b))))),
    set(mid2, i64.add(i64.mul(low(a), high(b)), low(mid))),
    ret(i64.add(i64.add(i64.mul(high(a), high(b)), high(mid)), high(mid2)), I64),
  ];
});

/** Signed operands: what a negative one counts too much is taken off. */
const ifNegative = (a: Expr, b: Expr): Expr => i64.and(i64.shr_s(a, 63), b);
const mulh = fn("mulh", binary, [I64], ({ a, b }) => {
  const product = local(I64, "product");
  return [
    set(product, call(I64, "mulhu", a, b)),
    ret(i64.sub(i64.sub(product, ifNegative(a, b)), ifNegative(b, a)), I64),
  ];
});
const mulhsu = fn("mulhsu", binary, [I64], ({ a, b }) => {
  const product = local(I64, "product");
  return [set(product, call(I64, "mulhu", a, b)), ret(i64.sub(product, ifNegative(a, b)), I64)];
});

const div = fn("div", binary, [I64], ({ a, b }) => [
  iff(i64.eqz(b), [ret(-1n, I64)]),
  // The only overflow is -2^63 / -1; negation gives the same answer for every dividend.
  iff(i64.eq(b, -1), [ret(i64.sub(0, a), I64)]),
  ret(i64.div_s(a, b), I64),
]);
const divu = fn("divu", binary, [I64], ({ a, b }) => [iff(i64.eqz(b), [ret(-1n, I64)]), ret(i64.div_u(a, b), I64)]);
const rem = fn("rem", binary, [I64], ({ a, b }) => [iff(i64.eqz(b), [ret(a, I64)]), ret(i64.rem_s(a, b), I64)]);
const remu = fn("remu", binary, [I64], ({ a, b }) => [iff(i64.eqz(b), [ret(a, I64)]), ret(i64.rem_u(a, b), I64)]);

/** Swaps groups of `n` bits where `mask` selects the lower of each pair. */
const swap = (e: Expr, n: number, mask: bigint): Expr =>
  i64.or(i64.shl(i64.and(e, mask), n), i64.and(i64.shr_u(e, n), mask));

const rev8 = fn("rev8", { a: I64 }, [I64], ({ a }) => [
  set(a, swap(a, 8, 0x00ff00ff00ff00ffn)),
  set(a, swap(a, 16, 0x0000ffff0000ffffn)),
  ret(i64.rotl(a, 32), I64),
]);
const brev8 = fn("brev8", { a: I64 }, [I64], ({ a }) => [
  set(a, swap(a, 1, 0x5555555555555555n)),
  set(a, swap(a, 2, 0x3333333333333333n)),
  ret(swap(a, 4, 0x0f0f0f0f0f0f0f0fn), I64),
]);
/** Each byte becomes 0xff unless it is 0. */
const orcb = fn("orcb", { a: I64 }, [I64], ({ a }) => [
  set(a, i64.or(a, i64.and(i64.shr_u(a, 4), 0x0f0f0f0f0f0f0f0fn))),
  set(a, i64.or(a, i64.and(i64.shr_u(a, 2), 0x3333333333333333n))),
  set(a, i64.and(i64.or(a, i64.and(i64.shr_u(a, 1), 0x5555555555555555n)), 0x0101010101010101n)),
  ret(i64.mul(a, 0xff), I64),
]);

/** Looks up each `bits`-wide index of b in the elements of a; indices out of range give 0. */
const xperm = (name: string, bits: number): Func =>
  fn(name, binary, [I64], ({ a, b }) => {
    const n = local(I64, "n");
    const r = local(I64, "r");
    const index = local(I64, "index");
    const next = label("next");
    const mask = (1 << bits) - 1;
    const elements = 64 / bits;
    return [
      set(n, 0),
      set(r, 0),
      loop(next, [
        set(index, i64.and(i64.shr_u(b, n), mask)),
        set(
          r,
          i64.or(
            r,
            select(
              i64.lt_u(index, elements),
              i64.shl(i64.and(i64.shr_u(a, i64.mul(index, bits)), mask), n),
              i64.const(0),
            ),
          ),
        ),
        set(n, i64.add(n, bits)),
        br(next, i64.lt_u(n, 64)),
      ]),
      ret(r, I64),
    ];
  });

/** Carry-less product: the sum of `term(n)` over the bits n that are set in b. */
const carryless = (name: string, term: (a: Expr, n: Expr) => Expr): Func =>
  fn(name, binary, [I64], ({ a, b }) => {
    const n = local(I64, "n");
    const r = local(I64, "r");
    const next = label("next");
    return [
      set(r, 0),
      loop(next, [
        iff(i64.ne(b, 0), [
          set(n, i64.ctz(b)),
          set(r, i64.xor(r, term(a, n))),
          set(b, i64.and(b, i64.sub(b, 1))),
          br(next),
        ]),
      ]),
      ret(r, I64),
    ];
  });
const clmul = carryless("clmul", (a, n) => i64.shl(a, n));
// A shift by 64 must give 0, not a: bit 0 of b adds nothing to the high half.
const clmulh = carryless("clmulh", (a, n) => select(i64.eqz(n), i64.const(0), i64.shr_u(a, i64.sub(64, n))));
const clmulr = carryless("clmulr", (a, n) => i64.shr_u(a, i64.sub(63, n)));

export const isaFunctions: readonly Func[] = [
  mulhu,
  mulh,
  mulhsu,
  div,
  divu,
  rem,
  remu,
  rev8,
  brev8,
  orcb,
  xperm("xperm4", 4),
  xperm("xperm8", 8),
  clmul,
  clmulh,
  clmulr,
];
