// Traps, tested with small programs: what is trapped, with which cause, epc and tval.

import { describe, expect, test } from "vitest";
import { MemoryRegion } from "../memory/region.ts";
import { allExtensions } from "./extensions.ts";
import { enter, OPEN, TestMachine, trapOf } from "./machine-for-tests.ts";

describe("tval", () => {
  test("cbo.zero: the value of rs1, not the start of its block (CMO 19.3.4)", () => {
    expect(trapOf("li a0, 0x1234; cbo.zero (a0);")).toMatchObject({ cause: 7n, tval: 0x1234n });
  });

  test("a misaligned access to devices: where the part that failed begins (privileged 3.1.16)", () => {
    const withDevice = (): TestMachine => {
      const machine = new TestMachine();
      machine.root.addSubregion(0x5000n, MemoryRegion.io("half a page", 0x800, { read: () => 0, write: () => {} }));
      return machine;
    };
    expect(trapOf("li a0, 0x57fe; lw a1, 0(a0);", withDevice())).toMatchObject({ cause: 5n, tval: 0x5800n });
    expect(trapOf("li a0, 0x57fe; sw a1, 0(a0);", withDevice())).toMatchObject({ cause: 7n, tval: 0x5800n });
    expect(trapOf("li a0, 0x5ffe; lw a1, 0(a0);", withDevice())).toMatchObject({ cause: 5n, tval: 0x5ffen });
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
  const without = (...names: string[]): TestMachine =>
    new TestMachine({ extensions: new Set([...allExtensions].filter((name) => !names.includes(name))) });

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
  const small = (): TestMachine => {
    const machine = new TestMachine({ spareBytes: 1 << 16 });
    // Both lie in one page of the bus; each in a page of its own in the machine's memory.
    machine.root.addSubregion(0x6100n, MemoryRegion.ram("small", machine.engine.allocateRam(0x100)));
    machine.root.addSubregion(0x6300n, MemoryRegion.ram("other", machine.engine.allocateRam(0x100)));
    return machine;
  };

  test("the bytes around them are not theirs", () => {
    const inside =
      "li a0, 0x6100; li a1, 0x55; sd a1, 0(a0); ld a2, 0(a0); sd a1, 0xf8(a0); lw a4, 0xfc(a0); ld a5, 0x200(a0);";
    const { cause, machine } = trapOf(inside, small());
    expect(cause).toBe(-1n);
    expect([12, 14, 15].map((n) => machine.hart.x(n))).toEqual([0x55n, 0n, 0n]);
    for (const [offset, tval] of [
      [-8, 0x60f8n],
      [0x100, 0x6200n],
      [0x1f8, 0x62f8n],
      [0x300, 0x6400n],
    ] as const) {
      expect(trapOf(`${inside} ld a3, ${offset}(a0);`, small())).toMatchObject({ cause: 5n, tval });
      expect(trapOf(`${inside} sd a1, ${offset}(a0);`, small())).toMatchObject({ cause: 7n, tval });
    }
  });
});
