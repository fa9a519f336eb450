// What makes the host work lets a hart leave in the middle of its slice, and loses or repeats no instruction.

import { describe, expect, test } from "vitest";
import { EXIT } from "./layout.ts";
import { RAM, TestMachine } from "./machine-for-tests.ts";

/** Endless programs that need the host in each round; a0 counts rounds. */
const programs: Readonly<Record<string, string>> = {
  "device loads": "li s0, 0x50000000; 1: lw a1, 0(s0); addi a0, a0, 1; j 1b",
  "device stores": "li s0, 0x50000000; 1: sw a1, 0(s0); addi a0, a0, 1; j 1b",
  "CSRs that are only read": "1: csrr a1, time; addi a0, a0, 1; j 1b",
  "CSRs that are written": "1: csrw pmpaddr0, a1; addi a0, a0, 1; j 1b",
  "stores to code": "la s0, 1f; lw a2, 0(s0); 1: addi a0, a0, 1; sw a2, 0(s0); j 1b",
  "instructions across pages":
    "la s0, 9f; 1: jalr s0; addi a0, a0, 1; j 1b; .balign 4096; .space 4094; 9: li a3, 1; ret",
  "more code pages than are kept": `li s1, 0x80010000; li t0, 0x8082; li t1, 4096; li s2, 0x80090000; mv s0, s1; 1: sh t0, 0(s0); add s0, s0, t1; bne s0, s2, 1b;
    2: mv s0, s1; 3: jalr s0; addi a0, a0, 1; add s0, s0, t1; bne s0, s2, 3b; j 2b`,
};

function machineWith(program: string): TestMachine {
  const machine = new TestMachine({ codePages: 8 });
  machine.io(
    "device",
    0x5000_0000,
    0x1000,
    () => 0,
    () => {},
  );
  return machine.load(program, BigInt(RAM));
}

describe.each(Object.entries(programs))("%s", (_name, program) => {
  test("end the slice when the machine wants it, and all is as in one go", () => {
    const machine = machineWith(program);
    let asked = 0;
    machine.engine.onSlow = () => {
      asked++;
      machine.hart.leave();
    };
    let left = 20_000;
    let slices = 0;
    for (; left > 0; slices++) {
      const exit = machine.hart.run(left);
      if (machine.hart.remaining() > 0) expect(exit).toBe(EXIT.attention);
      expect(machine.hart.remaining()).toBeLessThan(left);
      left = machine.hart.remaining();
    }
    expect(slices).toBeGreaterThan(10);
    expect(asked).toBeGreaterThanOrEqual(slices - 1);

    const other = machineWith(program);
    other.hart.run(20_000);
    for (const m of [machine, other]) expect(m.hart.instret).toBe(20_000n);
    expect([machine.hart.pc, machine.hart.x(10)]).toEqual([other.hart.pc, other.hart.x(10)]);
  });
});
