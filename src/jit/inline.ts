/**
 * The engine's small functions in the place of calls: what an instruction needs several steps for, such as the high half of
 * a product. A call to another module costs more than most of them do.
 */
import { isaFunctions } from "../isa/functions.ts";
import { type Expr, type Func, iff, type Label, type Local, label, type Stmt, set } from "../wasm/ir.ts";

const INLINE: ReadonlyMap<string, Func> = new Map(
  isaFunctions
    .filter(({ name }) => /^(mulh|mulhsu|mulhu|divu?w?|remu?w?)$/.test(name))
    .map((func) => [func.name, func] as const),
);

/** Statements that put a call's result into `to`, or undefined where it stays a call. */
export function inlineFunction({ fn, args }: Extract<Expr, { k: "call" }>, to: Local): Stmt[] | undefined {
  const func = INLINE.get(fn);
  if (func === undefined) return undefined;
  const done = label(fn);
  // A function's locals are not in use before and after; its arguments are computed before the first of them is set.
  return [
    ...args.map((arg, i) => set(func.args[i]!, arg)),
    { k: "block", label: done, body: bodyOf(func.body, to, done) },
  ];
}

function bodyOf(body: readonly Stmt[], to: Local, done: Label): Stmt[] {
  return body.flatMap((s): Stmt[] => {
    switch (s.k) {
      case "return":
        return [set(to, s.e!), { k: "br", label: done }];
      case "if":
        return [iff(s.c, bodyOf(s.then, to, done), bodyOf(s.else, to, done))];
      case "set":
        return (s.e.k === "call" && inlineFunction(s.e, s.local)) || [s];
      default:
        throw new Error(`a function with a ${s.k} cannot be inline`);
    }
  });
}
