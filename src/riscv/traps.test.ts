// Traps, tested with small programs: what is trapped, with which cause, epc and tval.

import { describe, expect, test } from "vitest";
import { MemoryRegion } from "../memory/region.ts";
import { allExtensions } from "./extensions.ts";
import { FINISH, RAM, TestMachine, type TestMachineOptions } from "./machine-for-tests.ts";

/** A handler that leaves cause, tval and epc in s2, s3 and s4 and ends the program; `setup` installs it. */
const HANDLER = `
      .align 2
handler: csrr s2, mcause; csrr s3, mtval; csrr s4, mepc
      ${FINISH}`;
const SETUP = "la t0, handler; csrw mtvec, t0; li s2, -1;";
/** All of memory for S and U, by the last entry of PMP. */
const OPEN = "li t0, -1; csrw pmpaddr15, t0; li t0, 0x1f << 56; csrw pmpcfg2, t0;";
/** Goes to the label `below` in the mode with the number in `mode`. */
const enter = (mode: 0 | 1): string =>
  `la t0, below; csrw mepc, t0; li t0, 0x1800; csrc mstatus, t0; li t0, ${mode << 11}; csrs mstatus, t0; mret;`;

/** Runs a program that begins with SETUP and ends with FINISH; says what it trapped with. */
function trapOf(body: string, options: TestMachineOptions = {}, prepare?: (machine: TestMachine) => void) {
  const machine = new TestMachine(options);
  prepare?.(machine);
  machine.load(`${SETUP}${body}${FINISH}${HANDLER}`).run();
  const [cause, tval, epc] = [18, 19, 20].map((n) => machine.hart.x(n));
  return { cause: BigInt.asIntN(64, cause!), tval, epc, machine };
}

describe("tval", () => {
  test("cbo.zero: the value of rs1, not the start of its block (CMO 19.3.4)", () => {
    expect(trapOf("li a0, 0x1234; cbo.zero (a0);")).toMatchObject({ cause: 7n, tval: 0x1234n });
  });

  test("a misaligned access to devices: where the part that failed begins (privileged 3.1.16)", () => {
    const device = ({ root }: TestMachine): void =>
      root.addSubregion(0x5000n, MemoryRegion.io("half a page", 0x800, { read: () => 0, write: () => {} }));
    expect(trapOf("li a0, 0x57fe; lw a1, 0(a0);", {}, device)).toMatchObject({ cause: 5n, tval: 0x5800n });
    expect(trapOf("li a0, 0x57fe; sw a1, 0(a0);", {}, device)).toMatchObject({ cause: 7n, tval: 0x5800n });
    expect(trapOf("li a0, 0x5ffe; lw a1, 0(a0);", {}, device)).toMatchObject({ cause: 5n, tval: 0x5ffen });
  });
});

describe("WFI (privileged 3.3.3)", () => {
  test("is illegal in U-mode: it might wait for ever there", () => {
    const { cause, tval, epc, machine } = trapOf(`${OPEN}${enter(0)} below: wfi;`);
    expect({ cause, tval, epc }).toEqual({ cause: 2n, tval: 0x10500073n, epc: machine.at("below") });
  });

  test("is illegal in S-mode with TW", () => {
    expect(trapOf(`${OPEN} li t0, 1 << 21; csrs mstatus, t0; ${enter(1)} below: wfi;`)).toMatchObject({ cause: 2n });
  });

  test("goes on at once where an interrupt is pending that mie enables, whatever mstatus and mideleg say", () => {
    const { cause, machine } = trapOf(
      `${OPEN} csrwi mie, 2; csrwi mideleg, 2; csrwi mip, 2; ${enter(1)} below: wfi; li a0, 7;`,
    );
    expect(cause).toBe(-1n);
    expect(machine.hart.x(10)).toBe(7n);
  });
});

describe("extensions that a hart does not have", () => {
  const without = (...names: string[]): TestMachineOptions => ({
    extensions: new Set([...allExtensions].filter((name) => !names.includes(name))),
  });

  test.each([
    ["zbb", "clz a0, a1", "zbb"],
    ["zba", "sh1add a0, a1, a2", "zba"],
    ["d", "fld f0, 0(a0)", "d"],
    ["c.fld", ".half 0x2000; nop", "d"],
    ["zicond", "czero.eqz a0, a1, a2", "zicond"],
    ["zicboz", "cbo.zero (a0)", "zicboz"],
  ])("%s is illegal", (_, code, ...names) => {
    expect(trapOf(`li t0, 3 << 13; csrs mstatus, t0; la a0, handler; ${code};`, without(...names))).toMatchObject({
      cause: 2n,
    });
  });

  test("what Zbb and Zbkb share stays where one of them is left", () => {
    const body = "li a1, 0x1234; rev8 a0, a1; zext.h a2, a1; pack a3, a1, a1;";
    expect(trapOf(body, without("zbb"))).toMatchObject({ cause: -1n });
    expect(trapOf("li a1, 0x1234; rev8 a0, a1; zext.h a2, a1;", without("zbkb"))).toMatchObject({ cause: -1n });
    expect(trapOf("li a1, 0x1234; rev8 a0, a1;", without("zbb", "zbkb"))).toMatchObject({ cause: 2n });
  });

  test("without F there are no floating-point CSRs", () => {
    expect(trapOf("li t0, 3 << 13; csrs mstatus, t0; csrr a0, fcsr;", without("f", "d", "zfh"))).toMatchObject({
      cause: 2n,
    });
  });
});

describe("regions that are no whole pages", () => {
  const small = (machine: TestMachine): void => {
    // Both lie in one page of the bus; each in a page of its own in the machine's memory.
    machine.root.addSubregion(0x6100n, MemoryRegion.ram("small", machine.engine.allocateRam(0x100)));
    machine.root.addSubregion(0x6300n, MemoryRegion.ram("other", machine.engine.allocateRam(0x100)));
  };
  const options = { spareBytes: 1 << 16 };

  test("the bytes around them are not theirs", () => {
    const inside =
      "li a0, 0x6100; li a1, 0x55; sd a1, 0(a0); ld a2, 0(a0); sd a1, 0xf8(a0); lw a4, 0xfc(a0); ld a5, 0x200(a0);";
    const { cause, machine } = trapOf(inside, options, small);
    expect(cause).toBe(-1n);
    expect([12, 14, 15].map((n) => machine.hart.x(n))).toEqual([0x55n, 0n, 0n]);
    for (const [offset, tval] of [
      [-8, 0x60f8n],
      [0x100, 0x6200n],
      [0x1f8, 0x62f8n],
      [0x300, 0x6400n],
    ] as const) {
      expect(trapOf(`${inside} ld a3, ${offset}(a0);`, options, small)).toMatchObject({ cause: 5n, tval });
      expect(trapOf(`${inside} sd a1, ${offset}(a0);`, options, small)).toMatchObject({ cause: 7n, tval });
    }
  });
});

test("a machine's memory begins where it says", () => {
  expect(new TestMachine().hart.pc).toBe(BigInt(RAM));
});
