/**
 * Floating point as generated code. Each instruction is a function of its name (`fadd.d`, `fcvt.w.s`), from the hart's
 * base, raw registers and the rounding mode to the destination register; exceptions go to the hart's fflags.
 * docs/design/floating-point.md has the method and its proofs.
 *
 * Names with `slow.` and `fp.` in front are functions that those call.
 */
import type { Func } from "../wasm/ir.ts";
import { compareFunctions } from "./fp/compare.ts";
import { convertFunctions } from "./fp/convert.ts";
import { doubleFunctions } from "./fp/double.ts";
import { narrowFunctions } from "./fp/narrow.ts";
import { double, half, invalidFunction, single } from "./fp/parts.ts";
import { roundingFunctions } from "./fp/rounding.ts";

/**
 * Builds the floating-point functions.
 *
 * @param fused whether the host's `f64x2.relaxed_madd` rounds once, as a probe at start-up found
 */
export const fpFunctions = (fused: boolean): Func[] => [
  ...[single, double, half].map(invalidFunction),
  ...roundingFunctions,
  ...doubleFunctions(fused),
  ...narrowFunctions,
  ...compareFunctions,
  ...convertFunctions,
];
