/** How many rounds of a loop need no checks (rounds.ts): the budget and the TLB are asked before the first one. */
import { CTX, S } from "../riscv/layout.ts";
import { entryOf, tagHits } from "../riscv/mmu/entry.ts";
import {
  type Expr,
  I32,
  I64,
  i32,
  i64,
  iff,
  type Label,
  type Local,
  label,
  local,
  type Stmt,
  set,
} from "../wasm/ir.ts";
import type { Place } from "./place.ts";
import type { Rounds, Stream } from "./rounds.ts";

/**
 * Sets `left` to a number of rounds after which `spare` is left of `budget` still, and in which no access of a stream
 * can miss: 0 where one would at once.
 */
export function beginRounds(rounds: Rounds, place: Place, left: Local, budget: Local, spare: number): Stmt[] {
  const { h } = place;
  const count = local(I32, "count");
  const none = label("none");
  return [
    set(left, 0),
    {
      k: "block",
      label: none,
      body: [
        ...(rounds.usesFloat ? [leave(none, S.fsOff.get(h))] : []),
        // NX set, and nearest even: what the copy takes for granted.
        ...(rounds.roundsFloat ? [leave(none, i32.or(S.frm.get(h), i32.eqz(i32.and(S.fflags.get(h), 1))))] : []),
        set(count, i32.div_u(i32.sub(budget, spare), rounds.length)),
        ...wordChecks(rounds.words, place, none),
        ...rounds.streams.flatMap((stream) => lookUp(stream, place, count, none)),
        set(left, count),
        ...(rounds.writesFloat ? [S.fsDirty.set(h, 1)] : []),
      ],
    },
  ];
}

/** Whether the registers are words that the copy takes for words. */
function wordChecks(words: number, { x }: Place, none: Label): Stmt[] {
  const checks: Stmt[] = [];
  for (let n = 1; n < 32; n++)
    if ((words >>> n) & 1 && x.word(n) === undefined)
      checks.push(leave(none, i64.ne(x.get(n), i64.extend32_s(x.get(n)))));
  return checks;
}

const leave = (none: Label, c: Expr): Stmt => ({ k: "br", label: none, c });

/** Looks a stream's page up; `count` becomes no more than the rounds that stay in the page. */
function lookUp({ base, store, low, high, step, distance }: Stream, place: Place, count: Local, none: Label): Stmt[] {
  const table = store ? CTX.write : CTX.read;
  const size = high - low;
  const first = local(I64, "first");
  const entry = local(I32, "entry");
  const within = local(I32, "within");
  const offset = i32.and(i32.wrap(first), 4095);
  const room = step > 0 ? i32.sub(4096 - size, offset) : offset;
  return [
    set(first, i64.add(place.x.get(base), low)),
    set(entry, entryOf(place.tlb, first)),
    leave(none, i32.eqz(tagHits(entry, first, size, table))),
    set(distance, i32.load(entry, table + 8)),
    ...(step === 0
      ? []
      : [set(within, i32.add(i32.div_u(room, Math.abs(step)), 1)), iff(i32.lt_u(within, count), [set(count, within)])]),
  ];
}
