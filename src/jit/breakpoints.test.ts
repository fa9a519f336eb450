// Breakpoints in both tiers: in translated code, in functions taken in, in rounds without checks, in every address space.

import { describe, expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { EXIT } from "../riscv/layout.ts";
import { END, machine, PROLOGUE, RAM } from "./compare-for-tests.ts";

const PROGRAM = `${PROLOGUE}
    li s1, 40
  outer: li s2, 0x80040000
    li s3, 300
  inner: lw a0, 0(s2)
  middle: addi s2, s2, 4
    mv a0, s2
    call function
    add s4, s4, a0
    addi s3, s3, -1
    bnez s3, inner
    li s3, 300
  simple: addi s5, s5, 3
    addi s3, s3, -1
    bnez s3, simple
    addi s1, s1, -1
    bnez s1, outer
    ${END}
  function: slli a0, a0, 1
  inside: addi a0, a0, 1
    ret`;

/** Where the program stops, by the addresses of `on`; each time with what makes the moment unmistakable. */
function stopsOf(tier: "interp" | "jit", on: readonly string[], most: number, late = 0): unknown[] {
  const run = machine(tier);
  const { bytes, symbols } = assemble(PROGRAM, { base: BigInt(RAM) });
  run.ram.set(bytes);
  const hart = run.engine.harts[0]!;
  hart.reset(BigInt(RAM));
  const slice = (): number => {
    run.cache?.poll();
    return hart.run(3000);
  };
  for (let n = 0; n < late; n++) slice();
  if (late > 0 && run.cache) expect(run.cache.regions).toBeGreaterThan(0);
  for (const name of on) run.engine.setBreakpoint(symbols.get(name)!, true);
  const stops: unknown[] = [];
  for (let n = 0; n < 3000 && !run.ram[0xff000] && stops.length < most; n++)
    if (slice() === EXIT.breakpoint)
      stops.push([hart.pc - BigInt(RAM), hart.instret, hart.x(18), hart.x(19), hart.x(20), hart.x(21)]);
  // Taken away again, they stop nothing.
  for (const name of on) run.engine.setBreakpoint(symbols.get(name)!, false);
  for (let n = 0; n < 3000 && !run.ram[0xff000]; n++) expect(slice()).not.toBe(EXIT.breakpoint);
  stops.push(["end", hart.x(20), hart.x(21)]);
  return stops;
}

describe("breakpoints", () => {
  test.each([
    [["middle"], 500, 0],
    [["middle"], 200, 20],
    [["inside"], 300, 20],
    [["simple", "outer"], 900, 20],
    [["inner", "function"], 700, 5],
  ])("at %j stop before the instruction, each time, in both tiers alike", (on, most, late) => {
    const interp = stopsOf("interp", on, most, late);
    expect(stopsOf("jit", on, most, late)).toEqual(interp);
    expect(interp.length).toBe(most + 1);
    expect(new Set(interp.slice(0, -1).map((stop) => (stop as bigint[])[1])).size).toBe(most);
    expect(interp.at(-1)).toEqual(stopsOf("interp", [], 0).at(-1));
  });

  test("on an instruction that lies in two pages", () => {
    for (const tier of ["interp", "jit"] as const) {
      const run = machine(tier);
      const source = `${PROLOGUE} li s1, 50; j 1f; .balign 4096; .space 4094; split: li a0, 0x123; 2: addi s1, s1, -1; 1: bnez s1, split; ${END}`;
      const { bytes, symbols } = assemble(source, { base: BigInt(RAM) });
      run.ram.set(bytes);
      const hart = run.engine.harts[0]!;
      hart.reset(BigInt(RAM));
      run.engine.setBreakpoint(symbols.get("split")!, true);
      let stops = 0;
      for (let n = 0; n < 500 && !run.ram[0xff000]; n++) {
        run.cache?.poll();
        if (hart.run(1000) === EXIT.breakpoint) {
          expect([hart.pc, hart.x(9)]).toEqual([symbols.get("split"), BigInt(50 - stops)]);
          stops++;
        }
      }
      expect([tier, stops, run.ram[0xff000]]).toEqual([tier, 50, 1]);
    }
  });

  test("stop again where the hart was sent elsewhere in between", () => {
    const run = machine("interp");
    const hart = run.engine.harts[0]!;
    const source = "here: addi a0, a0, 1; j here; there: addi a1, a1, 1; j here";
    const { bytes, symbols } = assemble(source, { base: BigInt(RAM) });
    run.ram.set(bytes);
    hart.reset(BigInt(RAM));
    run.engine.setBreakpoint(BigInt(RAM), true);
    expect(hart.run(100)).toBe(EXIT.breakpoint);
    hart.pc = symbols.get("there")!;
    expect(hart.run(100)).toBe(EXIT.breakpoint);
    expect([hart.pc, hart.x(10), hart.x(11)]).toEqual([BigInt(RAM), 0n, 1n]);
  });

  test("at the same offset of another page stop nothing", () => {
    const run = machine("interp");
    const { bytes, symbols } = assemble(PROGRAM, { base: BigInt(RAM) });
    run.ram.set(bytes);
    run.engine.harts[0]!.reset(BigInt(RAM));
    run.engine.setBreakpoint(symbols.get("middle")! + 4096n, true);
    for (let n = 0; n < 400 && !run.ram[0xff000]; n++) expect(run.engine.harts[0]!.run(3000)).not.toBe(EXIT.breakpoint);
    expect(run.ram[0xff000]).toBe(1);
  });
});
