// Interrupts, delegation and returns from traps (privileged specification 3.1.6 to 3.1.9, 3.3.2, 12.1.3).

import { describe, expect, test } from "vitest";
import { enter, FINISH, OPEN, RAM, TestMachine, trapOf } from "./machine-for-tests.ts";

const INTERRUPT = 1n << 63n;

/** A machine whose traps are noted: cause, epc, tval, the mode that takes them, in s2 to s6 of the first one. */
function traps(body: string, handlers = "", machine = new TestMachine()): TestMachine {
  machine.hart.reset(BigInt(RAM));
  return machine
    .load(`${OPEN} la t0, m; csrw mtvec, t0; la t0, s; csrw stvec, t0; ${body} ${FINISH} ${handlers}
      .align 2
m:    csrr s2, mcause; csrr s3, mepc; csrr s4, mtval; csrr s5, mstatus; li s6, 3; ${FINISH}
      .align 2
s:    csrr s2, scause; csrr s3, sepc; csrr s4, stval; csrr s5, sstatus; li s6, 1; ${FINISH}`)
    .run();
}
const noted = (machine: TestMachine) => {
  const [cause, epc, tval, status, mode] = [18, 19, 20, 21, 22].map((n) => machine.hart.x(n));
  return { cause, epc, tval, status, mode };
};

describe("delegation", () => {
  const causes: readonly (readonly [string, number, string, bigint])[] = [
    ["a breakpoint", 3, "ebreak", 0n],
    ["a compressed breakpoint", 3, ".half 0x9002; nop", 0n],
    ["an illegal instruction", 2, ".word 0xffffffff", 0xffffffffn],
    ["an illegal compressed instruction", 2, ".half 0, 0", 0n],
    ["a load access fault", 5, "lw a0, 0(zero)", 0n],
    ["a store access fault", 7, "sw a0, 4(zero)", 4n],
    ["a misaligned LR", 4, "la a0, below; addi a0, a0, 2; trap: lr.w a1, (a0)", 2n],
    ["a misaligned AMO", 6, "la a0, below; addi a0, a0, 4; trap: amoadd.d a1, a1, (a0)", 4n],
    ["a misaligned SC", 6, "la a0, below; addi a0, a0, 1; trap: sc.w a1, a1, (a0)", 1n],
    ["a fetch access fault", 1, "li a0, 4; jr a0", 4n],
  ];
  test.each(causes)("%s (cause %d) goes where medeleg sends it", (_, cause, code, tval) => {
    for (const [delegated, from, mode] of [
      [true, 1, 1n],
      [true, 0, 1n],
      [false, 1, 3n],
      [false, 0, 3n],
      [true, 3, 3n],
    ] as const) {
      const machine = traps(
        `li t0, ${delegated ? 1 << cause : ~(1 << cause)}; csrw medeleg, t0; ${enter(from)} .balign 8; below: ${code};`,
      );
      const at = machine.symbols.get("trap") ?? (cause === 1 ? 4n : machine.at("below"));
      const wanted = cause === 3 ? at : cause === 4 || cause === 6 ? machine.at("below") + tval : tval;
      expect(noted(machine)).toMatchObject({ cause: BigInt(cause), epc: at, tval: wanted, mode });
    }
  });

  test("an ecall's cause says where it came from; M-mode's cannot be delegated", () => {
    const call = (from: 0 | 1 | 3, medeleg: string) =>
      noted(traps(`li t0, ${medeleg}; csrw medeleg, t0; ${enter(from)} below: ecall;`));
    expect(call(0, "0")).toMatchObject({ cause: 8n, mode: 3n, tval: 0n });
    expect(call(0, "-1")).toMatchObject({ cause: 8n, mode: 1n });
    expect(call(1, "0")).toMatchObject({ cause: 9n, mode: 3n });
    expect(call(1, "-1")).toMatchObject({ cause: 9n, mode: 1n });
    expect(call(3, "-1")).toMatchObject({ cause: 11n, mode: 3n });
  });

  test("the stack of modes and interrupt enables", () => {
    // To M-mode from U-mode with MIE set: MPIE, MPP = 0.
    const toM = noted(traps(`csrwi medeleg, 0; li t0, 0x80; csrs mstatus, t0; ${enter(0)} below: ecall;`));
    expect(toM.status! & 0x1888n).toBe(0x80n);
    // To S-mode from S-mode with SIE set: SPIE, SPP = 1, SIE = 0.
    const toS = noted(traps(`li t0, -1; csrw medeleg, t0; ${enter(1)} below: csrsi sstatus, 2; ecall;`));
    expect(toS.status! & 0x122n).toBe(0x120n);
    const fromU = noted(traps(`li t0, -1; csrw medeleg, t0; csrsi mstatus, 2; ${enter(0)} below: ecall;`));
    expect(fromU.status! & 0x122n).toBe(0x20n);
  });
});

describe("returns", () => {
  test("MRET: MIE from MPIE, MPIE 1, MPP U; MPRV stays only where it goes to M-mode", () => {
    const returned = (mpp: number, label = "below") =>
      traps(
        `li t0, 0x21880; csrc mstatus, t0; li t0, ${0x20000 | (mpp << 11)}; csrs mstatus, t0; la t0, ${label}; csrw mepc, t0; mret; below: csrr a0, mstatus; li t0, 0x20000; csrc mstatus, t0;`,
      ).hart;
    expect(returned(3).x(10) & 0x21888n).toBe(0x20080n);
    // S-mode may not read mstatus; the trap shows what it was.
    expect(returned(1).x(21) & 0x21888n).toBe(0x800n | 0x0n);
  });

  test("SRET: SIE from SPIE, SPIE 1, SPP U, MPRV 0", () => {
    const machine = traps(
      `li t0, 0x20120; csrs mstatus, t0; la t0, below; csrw sepc, t0; sret; below: csrr a0, sstatus; ecall;`,
    );
    expect(machine.hart.x(10) & 0x122n).toBe(0x22n);
    expect(noted(machine)).toMatchObject({ cause: 9n });
    expect(noted(machine).status! & 0x20000n).toBe(0n);
  });

  test("are illegal where they may not be: MRET below M, SRET in U, SRET in S with TSR", () => {
    expect(noted(traps(`${enter(1)} below: mret;`))).toMatchObject({ cause: 2n, tval: 0x30200073n });
    expect(noted(traps(`${enter(0)} below: mret;`))).toMatchObject({ cause: 2n });
    expect(noted(traps(`${enter(0)} below: sret;`))).toMatchObject({ cause: 2n, tval: 0x10200073n });
    expect(noted(traps(`li t0, 1 << 22; csrs mstatus, t0; ${enter(1)} below: sret;`))).toMatchObject({ cause: 2n });
  });
});

describe("interrupts", () => {
  const order = [11, 3, 7, 9, 1, 5];

  test("are taken by priority: MEI, MSI, MTI, SEI, SSI, STI (3.1.9)", () => {
    for (const [n] of order.entries()) {
      const machine = new TestMachine();
      const pending = order.slice(n);
      for (const i of [3, 7, 9, 11] as const) if (pending.includes(i)) machine.hart.irqLine(i)(true);
      const soft = pending.filter((i) => i === 1 || i === 5).reduce((bits, i) => bits | (1 << i), 0);
      traps(`li t0, ${soft}; csrs mip, t0; li t0, -1; csrw mie, t0; csrsi mstatus, 8; here: nop; nop;`, "", machine);
      expect(noted(machine)).toMatchObject({ cause: INTERRUPT | BigInt(order[n]!), tval: 0n, mode: 3n });
      expect(noted(machine).epc).toBe(machine.at("here"));
    }
  });

  test("of M-mode come before delegated ones, whatever their number", () => {
    const machine = new TestMachine();
    machine.hart.irqLine(9)(true);
    machine.hart.irqLine(7)(true);
    traps(`li t0, 0x222; csrw mideleg, t0; li t0, -1; csrw mie, t0; ${enter(0)} below: nop;`, "", machine);
    expect(noted(machine)).toMatchObject({ cause: INTERRUPT | 7n, mode: 3n, epc: machine.at("below") });
  });

  test("delegated ones go to S-mode: from U-mode always, from S-mode with SIE, from M-mode never", () => {
    const run = (body: string) => {
      const machine = new TestMachine();
      machine.hart.irqLine(9)(true);
      return noted(
        traps(`li t0, 0x222; csrw mideleg, t0; li t0, -1; csrw mie, t0; csrsi mstatus, 8; ${body}`, "", machine),
      );
    };
    expect(run(`${enter(0)} below: nop; nop; ecall;`)).toMatchObject({ cause: INTERRUPT | 9n, mode: 1n });
    expect(run(`${enter(1)} below: nop; nop; ecall;`)).toMatchObject({ cause: 9n, mode: 3n });
    expect(run(`${enter(1)} below: csrsi sstatus, 2; nop; ecall;`)).toMatchObject({ cause: INTERRUPT | 9n, mode: 1n });
    expect(run("nop; nop; ecall;")).toMatchObject({ cause: 11n, mode: 3n });
  });

  test("vectored mode: base + 4 * cause for interrupts, the base for exceptions", () => {
    const table = `.balign 128; table: j 1f; j 2f; j 3f; j 4f; 1: li s2, 100; ${FINISH} 2: li s2, 101; ${FINISH} 3: li s2, 102; ${FINISH} 4: li s2, 103; ${FINISH}`;
    const setup = "la t0, table; ori t0, t0, 1; csrw mtvec, t0; csrw stvec, t0;";
    const machine = new TestMachine();
    machine.hart.irqLine(3)(true);
    expect(traps(`${setup} csrsi mie, 8; csrsi mstatus, 8; nop;`, table, machine).hart.x(18)).toBe(103n);
    expect(traps(`${setup} ecall;`, table).hart.x(18)).toBe(100n);
    expect(
      traps(`${setup} csrwi mideleg, 2; csrwi mie, 2; csrwi mip, 2; ${enter(0)} below: nop;`, table).hart.x(18),
    ).toBe(101n);
  });

  test("are seen right after what lets them in: writes of mstatus, sstatus, mie, mideleg, mip, MRET, SRET", () => {
    const epcOf = (body: string) => {
      const machine = traps(body);
      return noted(machine).epc! - machine.at("here");
    };
    expect(epcOf("csrwi mip, 2; csrwi mie, 2; csrsi mstatus, 8; here: nop;")).toBe(0n);
    expect(epcOf("csrwi mip, 2; csrsi mstatus, 8; csrwi mie, 2; here: nop;")).toBe(0n);
    expect(epcOf("csrwi mie, 2; csrsi mstatus, 8; csrwi mip, 2; here: nop;")).toBe(0n);
    expect(epcOf("csrwi mideleg, 2; csrwi mie, 2; csrwi mip, 2; csrsi mstatus, 8; csrwi mideleg, 0; here: nop;")).toBe(
      0n,
    );
    expect(
      epcOf(`csrwi mideleg, 2; csrwi mie, 2; csrwi mip, 2; ${enter(1, "low")} low: csrsi sstatus, 2; here: nop;`),
    ).toBe(0n);
    expect(
      epcOf(`csrwi mideleg, 2; csrwi mie, 2; ${enter(1, "low")} low: csrsi sstatus, 2; csrsi sip, 2; here: nop;`),
    ).toBe(0n);
    expect(epcOf(`csrwi mie, 2; csrwi mip, 2; ${enter(0, "here")} here: nop;`)).toBe(0n);
    expect(
      epcOf(
        `csrwi mideleg, 2; csrwi mie, 2; csrwi mip, 2; la t0, here; csrw sepc, t0; li t0, 0x20; csrs mstatus, t0; li t0, 0x100; csrs mstatus, t0; sret; here: nop;`,
      ),
    ).toBe(0n);
  });

  test("of a device that the hart's own store raised is taken after that store", () => {
    const machine = new TestMachine();
    machine.io(
      "line",
      0x5000_0000,
      0x1000,
      () => 0,
      (_, value) => machine.hart.irqLine(11)(value !== 0),
    );
    traps(
      `li t0, -1; csrw mie, t0; csrsi mstatus, 8; li a0, 0x50000000; li a1, 1; sw a1, 0(a0); here: nop; nop;`,
      "",
      machine,
    );
    expect(noted(machine)).toMatchObject({ cause: INTERRUPT | 11n, epc: machine.at("here") });
  });

  test("of a device that a load raised is taken after the load, which is done", () => {
    const machine = new TestMachine();
    machine.io(
      "line",
      0x5000_0000,
      0x1000,
      () => {
        machine.hart.irqLine(11)(true);
        return 0x1234;
      },
      () => {},
    );
    traps(`li t0, -1; csrw mie, t0; csrsi mstatus, 8; li a0, 0x50000000; lw a1, 0(a0); here: nop; nop;`, "", machine);
    expect(noted(machine)).toMatchObject({ cause: INTERRUPT | 11n, epc: machine.at("here") });
    expect(machine.hart.x(11)).toBe(0x1234n);
  });

  test("nested traps: M-mode's registers keep what the inner trap wrote", () => {
    const machine = traps(
      `la t0, first; csrw mtvec, t0; outer: ecall; .balign 4; first: csrr a0, mepc; csrr a1, mcause; la t0, m; csrw mtvec, t0; inner: .word 0;`,
    );
    expect(noted(machine)).toMatchObject({ cause: 2n, epc: machine.at("inner"), mode: 3n });
    expect([machine.hart.x(10), machine.hart.x(11)]).toEqual([machine.at("outer"), 11n]);
  });
});

describe("instret", () => {
  const count = (body: string): bigint => {
    const { a } = trapOf(`csrr a0, minstret; ${body} csrr a1, minstret;`);
    return a[1]! - a[0]!;
  };

  test("counts what retires: reads, branches, compressed instructions, loads that miss, stores to code", () => {
    expect(count("")).toBe(1n);
    expect(count("nop; nop; nop;")).toBe(4n);
    expect(count(".half 1, 1, 1, 1;")).toBe(5n);
    expect(count("j 1f; nop; 1: nop;")).toBe(3n);
    expect(count("li t0, 10; 1: addi t0, t0, -1; bnez t0, 1b;")).toBe(22n);
    expect(count(`li t0, ${RAM + 0x50000}; ld t1, 0(t0); sd t1, 0(t0); ld t1, -4(t0);`)).toBe(7n); // li is three
    expect(count(`la t0, 1f; lw t1, 0(t0); sw t1, 0(t0); 1: nop;`)).toBe(6n);
    expect(count("fence.i; sfence.vma; csrr t0, mstatus; csrw mscratch, t0; fence;")).toBe(6n);
  });

  test("does not count what traps", () => {
    // Each trap: nothing for the instruction itself; four for the handler.
    const handler = ".balign 4; skip: csrr t0, mepc; addi t0, t0, 4; csrw mepc, t0; mret; 2:";
    const setup = "la t0, skip; csrw mtvec, t0; j 2f;";
    const counted = (code: string): bigint => {
      const { a } = trapOf(
        `${setup} ${handler} la t6, skip; csrr a0, minstret; ${code} csrr a1, minstret; la t0, handler; csrw mtvec, t0;`,
      );
      return a[1]! - a[0]!;
    };
    expect(counted("ecall;")).toBe(5n);
    expect(counted("ebreak; ecall;")).toBe(9n);
    expect(counted(".word 0;")).toBe(5n);
    expect(counted("lw t1, 0(zero);")).toBe(5n);
    expect(counted("sw t1, 0(zero);")).toBe(5n);
    expect(counted("csrr t1, 0x7ff;")).toBe(5n);
    expect(counted("addi t1, t6, 2; amoadd.d t1, t1, (t1);")).toBe(6n);
    expect(counted("nop; ecall; nop;")).toBe(7n);
  });

  test("a write is what the next instruction reads; mcycle goes with it", () => {
    const { a } = trapOf(
      "li t0, 1000; csrw minstret, t0; csrr a0, minstret; csrr a1, instret; csrw mcycle, t0; nop; csrr a2, mcycle; csrwi minstret, 0; csrr a3, minstret; csrrw a4, minstret, t0; csrr a5, minstret;",
    );
    expect(a.slice(0, 6)).toEqual([1000n, 1001n, 1001n, 0n, 1n, 1000n]);
  });

  test("is what the hart's slices add up to, however they are cut", () => {
    const totals = [1, 2, 3, 7, 1000].map((slice) => {
      const machine = new TestMachine();
      machine.load(
        `la t0, h; csrw mtvec, t0; li s0, 20; 1: addi s0, s0, -1; ecall; sw s0, -4(zero); bnez s0, 1b; csrr a0, minstret; ${FINISH} .balign 4; h: csrr t0, mepc; addi t0, t0, 4; csrw mepc, t0; mret`,
      );
      let budget = 0;
      for (; budget < 10_000 && !machine.finished; budget += slice) machine.hart.run(slice);
      return [machine.hart.x(10), machine.finished];
    });
    for (const total of totals) expect(total).toEqual(totals[0]);
    // 3 + 1 to begin with; each round 2 that retire and 2 that trap, with 4 in the handler for each.
    expect(totals[0]).toEqual([4n + 20n * (2n + 8n), true]);
  });
});
