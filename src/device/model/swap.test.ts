// Another definition in the place of a device's: what goes on, what begins anew, and that nothing happens if it fails.

import { describe, expect, test } from "vitest";
import { testbench } from "../../testing/testbench.ts";
import {
  bank,
  constant,
  type DeviceDefinition,
  defineDevice,
  pulse,
  rc,
  reg8,
  reg16,
  reg32,
  reg64,
  regs,
  reserved,
  ro,
  rs,
  rw,
  sticky,
  unimplemented,
  w1c,
  w1s,
  w1t,
  wo,
} from "../index.ts";

const mmio = { size: 0x100 };
// biome-ignore lint/suspicious/noExplicitAny: definitions of all kinds of registers
type Registers = any;

/** A device with nothing but registers. */
const withRegisters = (registers: Registers): DeviceDefinition =>
  defineDevice({ type: "gadget", mmio, registers }) as unknown as DeviceDefinition;

/** A bench with a device of some registers, and a function that gives it others. */
function bench(registers: Registers) {
  // biome-ignore lint/suspicious/noExplicitAny: names of registers that no type knows
  const d = testbench(withRegisters(registers)) as any;
  return { d, swap: (others: Registers) => d.device.swap(withRegisters(others)) };
}

describe("registers", () => {
  test("keep what the guest wrote, where there still is one of their name", () => {
    const { d, swap } = bench({ A: reg32(0), B: reg16(4), GONE: reg8(6), WIDE: reg64(8) });
    d.write32(0, 0x12345678);
    d.write16(4, 0xbeef);
    d.write8(6, 7);
    d.write64(8, 0x1122334455667788n);
    // Elsewhere, and of other widths.
    swap({ B: reg32(0), A: reg64(8), NEW: reg8(4, { reset: 9 }), WIDE: reg64(0x10) });
    expect([d.read32(0), d.read64(8), d.read8(4), d.read64(0x10)]).toEqual([
      0xbeef,
      0x12345678n,
      9,
      0x1122334455667788n,
    ]);
  });

  test("that only ever held their reset value begin as the new definition says", () => {
    const { d, swap } = bench({ A: reg32(0, { reset: 1 }), B: reg32(4, { reset: 1 }), C: reg32(8, { reset: 1 }) });
    d.write32(4, 2);
    d.write32(4, 1);
    d.write32(8, 1);
    expect(swap({ A: reg32(0, { reset: 5 }), B: reg32(4, { reset: 5 }), C: reg32(8, { reset: 5 }) }).changes).toEqual([
      "A: reset 0x1 -> 0x5",
      "B: reset 0x1 -> 0x5",
      "C: reset 0x1 -> 0x5",
    ]);
    // What B holds is its reset value again, but it has held another.
    expect([d.read32(0), d.read32(4), d.read32(8)]).toEqual([5, 1, 5]);
    d.reset();
    expect([d.read32(0), d.read32(4), d.read32(8)]).toEqual([5, 5, 5]);
    swap({ A: reg32(0, { reset: 6 }), B: reg32(4, { reset: 6 }), C: reg32(8, { reset: 6 }) });
    expect([d.read32(0), d.read32(4), d.read32(8)]).toEqual([6, 6, 6]);
  });

  test("know after a snapshot what they have held", () => {
    const { d, swap } = bench({ A: reg32(0, { reset: 1 }), W: reg64(8), B: reg8(0x11) });
    for (const value of [2, 1]) d.write32(0, value);
    for (const value of [1n << 40n, 0n]) d.write64(8, value);
    for (const value of [3, 0]) d.write8(0x11, value);
    const state = d.save();
    expect(state.moved).toEqual({ A: 3, W: 1n << 40n, B: 3 });
    d.reset();
    expect(d.save().moved).toBeUndefined();
    d.load(state);
    expect(d.save()).toEqual(state);
    swap({ A: reg32(0, { reset: 5 }), W: reg64(8, { reset: 5n }), B: reg8(0x11, { reset: 5 }) });
    expect([d.read32(0), d.read64(8), d.read8(0x11)]).toEqual([1, 0n, 0]);
  });

  test("that do not fit begin anew, and that is told", () => {
    const { d, swap } = bench({ A: reg64(0), F: reg32(8, { fields: { N: rw([7, 0]) } }) });
    d.write64(0, 1n << 32n);
    d.write32(8, 0x91);
    const { losses } = swap({ A: reg32(0, { reset: 3 }), F: reg32(8, { fields: { N: rw([3, 0]) } }) });
    expect(losses).toEqual([
      "A was 0x100000000, which does not fit in 32 bits: it begins anew",
      "F.N was 0x91, which does not fit in 4 bits: it begins anew",
    ]);
    expect([d.read32(0), d.read32(8)]).toEqual([3, 0]);
  });

  test("of arrays and banks go one by one", () => {
    const { d, swap } = bench({
      DATA: regs(3, 4, reg32(0)),
      CH: bank(2, 0x20, 0x40, { CTRL: reg32(0), BUF: regs(2, 4, reg32(8)) }),
    });
    for (const [n, offset] of [0, 4, 8, 0x40, 0x48, 0x4c, 0x60, 0x68, 0x6c].entries()) d.write32(offset, n + 1);
    const { changes } = swap({
      DATA: regs(4, 8, reg32(0)),
      CH: bank(3, 0x10, 0x40, { CTRL: reg32(8), BUF: regs(2, 4, reg32(0)) }),
    });
    expect([0, 8, 16, 24].map((offset) => d.read32(offset))).toEqual([1, 2, 3, 0]);
    expect([0x48, 0x40, 0x44, 0x58, 0x50, 0x54, 0x68].map((offset) => d.read32(offset))).toEqual([4, 5, 6, 7, 8, 9, 0]);
    expect(changes).toEqual([
      "DATA: count 3 -> 4, stride 0x4 -> 0x8",
      "CH: count 2 -> 3, stride 0x20 -> 0x10",
      "CH.BUF: at 0x8 -> 0x0",
      "CH.CTRL: at 0x0 -> 0x8",
    ]);
  });

  test("of 64 bits of a big-endian device", () => {
    const big = (registers: Registers) =>
      defineDevice({ type: "big", mmio: { size: 0x20, endianness: "big" }, registers }) as unknown as DeviceDefinition;
    // biome-ignore lint/suspicious/noExplicitAny: names of registers that no type knows
    const d = testbench(big({ A: reg64(8), B: reg8(1) })) as any;
    d.write("A", 0x1122334455667788n);
    d.write("B", 0xab);
    d.device.swap(big({ A: reg64(8, { fields: { HIGH: rw([63, 32]), LOW: rw([31, 0]) } }), B: reg16(2) }));
    expect(d.device.registers.A.HIGH).toBe(0x11223344);
    expect(d.device.registers.A.LOW).toBe(0x55667788);
    expect(d.read64(8)).toBe(0x1122334455667788n);
    expect(d.device.registers.B.value).toBe(0xab);
  });
});

describe("fields", () => {
  test.each([
    ["rw", rw([3, 0]), 5],
    ["wo", wo([3, 0]), 5],
    ["w1s", w1s([3, 0]), 5],
    ["w1t", w1t([3, 0]), 5],
    ["unimplemented", unimplemented([3, 0]), 5],
    ["sticky", sticky([3, 0]), 5],
  ])("%s keeps what the guest wrote", (_access, field, value) => {
    const { d, swap } = bench({ R: reg32(0, { fields: { F: field } }) });
    d.write32(0, value);
    swap({ R: reg32(4, { fields: { F: { ...field, msb: 11, lsb: 8 } } }) });
    expect(d.device.registers.R.F).toBe(value);
  });

  test.each([
    ["ro", ro(0)],
    ["w1c", w1c(0)],
    ["rc", rc(0)],
    ["rs", rs(0)],
  ])("%s keeps what the model assigned", (_access, field) => {
    const { d, swap } = bench({ R: reg32(0, { fields: { F: field } }) });
    d.device.registers.R.F = true;
    swap({ R: reg32(4, { fields: { NEW: rw(0), F: { ...field, msb: 3, lsb: 3 } } }) });
    expect(d.device.registers.R.F).toBe(true);
    expect(d.read32(4)).toBe(8);
  });

  test("that hold nothing follow the definition", () => {
    const { d, swap } = bench({
      R: reg32(0, {
        fields: { VERSION: constant([7, 0], 1), REST: reserved([15, 8]), GO: pulse(16), ON: rw(17) },
        reset: { REST: 2 },
      }),
      ID: reg32(4, { access: "constant", reset: 1 }),
    });
    d.write32(0, 0xffff_ffff);
    swap({
      R: reg32(0, {
        fields: { VERSION: constant([7, 0], 9), REST: reserved([15, 8]), GO: pulse(16), ON: rw(17) },
        reset: { REST: 4 },
      }),
      ID: reg32(4, { access: "constant", reset: 2 }),
    });
    expect([d.read32(0), d.read32(4)]).toEqual([0x20409, 2]);
  });

  test("become what their new access says", () => {
    const { d, swap } = bench({ R: reg32(0, { fields: { A: rw([7, 0]), B: rw([15, 8]), C: rw([23, 16]) } }) });
    d.write32(0, 0x030201);
    const { changes } = swap({
      R: reg32(0, { fields: { A: ro([7, 0]), B: constant([15, 8], 7), C: pulse([23, 16]) } }),
    });
    expect(d.read32(0)).toBe(0x0701);
    d.write32(0, 0);
    expect(d.read32(0)).toBe(0x0701);
    expect(changes).toEqual(["R.A: rw -> ro", "R.B: rw -> constant, reset 0x0 -> 0x7", "R.C: rw -> pulse"]);
  });

  test("that come and go among others", () => {
    const { d, swap } = bench({ R: reg32(0, { fields: { A: rw(0), B: rw([7, 4]) } }) });
    d.write32(0, 0x51);
    const { changes } = swap({ R: reg32(0, { fields: { B: rw([3, 0]), C: rw(8) }, reset: { C: true } }) });
    expect(d.read32(0)).toBe(0x105);
    expect(changes).toEqual(["R.B: at bits 7..4 -> bits 3..0", "+ R.C (rw at bit 8)", "- R.A"]);
  });

  test("of an enum are what their names say", () => {
    const { d, swap } = bench({
      R: reg32(0, { fields: { M: rw([1, 0], { A: 0, B: 1, C: 2 }), N: rw([5, 4], { X: 0, Y: 1 }), O: rw([9, 8]) } }),
    });
    d.write32(0, 0x112);
    d.device.registers.R.N = "Y";
    const { losses } = swap({
      R: reg32(0, {
        fields: { M: rw([1, 0], { C: 0, A: 3 }), N: rw([5, 4], { X: 0 }), O: rw([9, 8], { P: 0, Q: 1 }) },
      }),
    });
    expect(d.device.registers.R).toMatchObject({ M: "C", N: "X", O: "Q" });
    expect(losses).toEqual(["R.N was Y, none of X=0: it begins anew"]);
  });

  test("of a register that had none, and none of one that had", () => {
    const { d, swap } = bench({ R: reg16(2), S: reg16(4, { fields: { A: rw([3, 0]), B: rw([7, 4]) } }) });
    d.write16(2, 0xabcd);
    d.write16(4, 0x42);
    swap({ R: reg16(2, { fields: { LOW: rw([7, 0]), HIGH: rw([15, 8]) } }), S: reg16(6) });
    expect(d.device.registers.R).toMatchObject({ LOW: 0xcd, HIGH: 0xab });
    expect(d.read16(6)).toBe(0x42);
  });
});
