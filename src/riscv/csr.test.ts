// Control and status registers: which bits software can write, and what a write does.

import { describe, expect, test } from "vitest";
import { enter, FINISH, OPEN, TestMachine, trapOf } from "./machine-for-tests.ts";

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

describe("the timer comparator (Sstc)", () => {
  const STCE = "li t1, 1 << 63; csrs menvcfg, t1;";
  const at = (time: bigint): TestMachine => new TestMachine({ time: () => time });

  test("holds STIP while the time has reached it; software cannot", () => {
    const body = `${STCE} li t0, 100; csrw stimecmp, t0; csrr a0, mip; csrr a1, sip; li t0, 101; csrw stimecmp, t0; csrr a2, mip; li t0, 0x20; csrs mip, t0; csrr a3, mip; csrwi stimecmp, 0; csrc mip, t0; csrr a4, mip;`;
    expect(trapOf(`csrwi mideleg, 0; li t0, 0x222; csrw mideleg, t0; ${body}`, at(100n)).a.slice(0, 5)).toEqual([
      0x20n,
      0x20n,
      0n,
      0n,
      0x20n,
    ]);
  });

  test("counts only where menvcfg.STCE says so", () => {
    const machine = at(100n);
    const deadlines: (bigint | undefined)[] = [];
    machine.hart.onTimerChanged = (deadline) => deadlines.push(deadline);
    expect(
      trapOf(`csrwi stimecmp, 5; csrr a0, mip; ${STCE} csrr a1, mip; csrc menvcfg, t1; csrr a2, mip;`, machine).a.slice(
        0,
        3,
      ),
    ).toEqual([0n, 0x20n, 0n]);
    // The reset, the comparator without effect, then with it, then without.
    expect(deadlines).toEqual([undefined, undefined, 5n, undefined]);
  });

  test("is S-mode's where M-mode gave it and the time away", () => {
    const causes = ["", STCE, "csrwi mcounteren, 2;", `${STCE} csrwi mcounteren, 2;`].map(
      (setup) => trapOf(`${OPEN} ${setup} ${enter(1)} below: csrr a0, stimecmp;`).cause,
    );
    expect(causes).toEqual([2n, 2n, 2n, -1n]);
    expect(trapOf(`${OPEN} ${STCE} csrwi mcounteren, 2; ${enter(0)} below: csrr a0, stimecmp;`).cause).toBe(2n);
  });

  test("interrupts S-mode", () => {
    const body = `${OPEN} ${STCE} li t0, 0x20; csrw mideleg, t0; csrw mie, t0; csrwi stimecmp, 1; la t0, handler; csrw stvec, t0; ${enter(0)} below: nop;`;
    const { machine } = trapOf(body, at(100n));
    expect([machine.hart.csr(0x142), machine.hart.csr(0x141)]).toEqual([(1n << 63n) | 5n, machine.at("below")]);
  });
});

describe("floating-point state (3.1.6.6)", () => {
  const fs = (body: string) =>
    trapOf(`li t0, 1 << 13; csrs mstatus, t0; ${body} csrr a0, mstatus;`).a[0]! & ((1n << 63n) | 0x6000n);

  test("is dirty after what changes a register, a flag or the rounding mode, and SD says so", () => {
    const DIRTY = (1n << 63n) | 0x6000n;
    expect(fs("")).toBe(0x2000n);
    for (const body of [
      "fmv.w.x f0, x0;",
      "la t1, handler; flw f0, 0(t1);",
      "csrwi frm, 1;",
      "csrsi fflags, 1;",
      "csrrwi x0, fcsr, 0;",
      "fadd.d f0, f1, f2;",
    ])
      expect([body, fs(body)]).toEqual([body, DIRTY]);
    for (const body of ["fmv.x.w a0, f0;", "csrr a0, fcsr;", "la t1, handler; fsw f0, 0(t1);", "feq.d a0, f0, f1;"])
      expect([body, fs(body)]).toEqual([body, 0x2000n]);
  });

  test("sstatus shows it as mstatus does; switched off, everything of it is illegal", () => {
    expect(
      trapOf("li t0, 1 << 13; csrs sstatus, t0; fmv.w.x f0, x0; csrr a0, sstatus;").a[0]! & ((1n << 63n) | 0x6000n),
    ).toBe((1n << 63n) | 0x6000n);
    for (const body of [
      "fadd.s f0, f0, f0",
      "flw f0, 0(zero)",
      "fsd f0, 0(zero)",
      "csrr a0, fcsr",
      "csrwi frm, 0",
      "fmv.x.d a0, f0",
      "fclass.h a0, f0",
      ".half 0x2000; nop",
    ])
      expect([body, trapOf(`li t0, 3 << 13; csrc mstatus, t0; ${body};`).cause]).toEqual([body, 2n]);
  });

  test("reserved rounding modes are illegal, in the instruction and in frm", () => {
    const on = "li t0, 1 << 13; csrs mstatus, t0;";
    const withMode = (rm: number): string => `.word ${0x53 | (rm << 12)};`; // fadd.s f0, f0, f0
    expect([0, 4, 5, 6, 7].map((rm) => trapOf(`${on}${withMode(rm)}`).cause)).toEqual([-1n, -1n, 2n, 2n, -1n]);
    expect([4, 5, 6, 7].map((frm) => trapOf(`${on} csrwi frm, ${frm}; ${withMode(7)}`).cause)).toEqual([
      -1n,
      2n,
      2n,
      2n,
    ]);
    // A mode of its own, or none at all, does not look at frm.
    expect(
      trapOf(`${on} csrwi frm, 5; ${withMode(0)} fsgnj.s f0, f0, f0; feq.s a0, f0, f0; flw f0, 0(sp);`).cause,
    ).toBe(5n);
  });
});
