// Control and status registers: which bits software can write, and what a write does.

import { describe, expect, test } from "vitest";
import { FINISH, TestMachine } from "./machine-for-tests.ts";

/** Runs code in M-mode and gives a0 to a7. */
function run(code: string, prepare?: (machine: TestMachine) => void): bigint[] {
  const machine = new TestMachine();
  prepare?.(machine);
  machine.load(`${code}${FINISH}`).run();
  return [10, 11, 12, 13, 14, 15, 16, 17].map((n) => machine.hart.x(n));
}

describe("mip", () => {
  test("STIP that software set is gone once the comparator drives it (Sstc)", () => {
    const set = "li t0, 0x20; csrs mip, t0; csrr a0, mip; li t1, 1 << 63;";
    const [before, during, written, after] = run(
      `${set} csrs menvcfg, t1; csrr a1, mip; csrs mip, t0; csrr a2, mip; csrc menvcfg, t1; csrr a3, mip;`,
    );
    expect([before, during, written, after]).toEqual([0x20n, 0n, 0n, 0n]);
  });

  test("SEIP reads as line or software bit, and setting other bits does not keep the line's", () => {
    const code = "csrrsi a0, mip, 2; csrr a1, mip; li t0, 0x200; csrs mip, t0; csrr a2, mip;";
    const machine = new TestMachine();
    machine.hart.irqLine(9)(true);
    machine.load(`${code}${FINISH}`).run();
    machine.hart.irqLine(9)(false);
    // The software bit was set by the csrs of SEIP alone.
    expect([10, 11, 12].map((n) => machine.hart.x(n))).toEqual([0x200n, 0x202n, 0x202n]);
    expect(machine.hart.csr(0x344)).toBe(0x202n);
  });
});
