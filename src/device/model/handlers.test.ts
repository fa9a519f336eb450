// Callbacks around accesses, and complaints about the guest.

import { describe, expect, test } from "vitest";
import { testbench } from "../../testing/testbench.ts";
import {
  bank,
  constant,
  defineDevice,
  pulse,
  reg8,
  reg32,
  reg64,
  regs,
  reserved,
  ro,
  rw,
  unimplemented,
  wo,
} from "../index.ts";

const mmio = { size: 0x100 };

describe("handlers", () => {
  const log: unknown[][] = [];
  const device = defineDevice({
    type: "handlers",
    mmio,
    registers: {
      CTRL: reg32(0x0, {
        fields: { GO: pulse(0), CMD: pulse([7, 4], { STOP: 1, RUN: 2 }), ON: rw(8), HIGH: rw([31, 16]) },
      }),
      WIDE: reg64(0x8, { fields: { ACROSS: rw([39, 24]) } }),
      KICK: reg32(0x10, { access: "pulse" }),
      DATA: regs(3, 4, reg32(0x20)),
      CH: bank(2, 0x20, 0x40, { CTRL: reg32(0x0, { fields: { ON: rw(0) } }), Q: regs(2, 4, reg32(0x8)) }),
      COUNT: reg32(0x80, { access: "ro" }),
      LEVEL: reg32(0x84, { fields: { NOW: ro([7, 0]), FULL: ro(8) } }),
      A: reg8(0x90),
      B: reg8(0x91),
    },
    setup({ regs: { COUNT, LEVEL }, on, derive }) {
      for (const name of [
        "CTRL",
        "CTRL.GO",
        "CTRL.CMD",
        "CTRL.ON",
        "CTRL.HIGH",
        "WIDE",
        "WIDE.ACROSS",
        "KICK",
        "A",
        "B",
      ] as const) {
        on.write(name, (value) => log.push([name, value]));
      }
      on.change("CTRL.ON", (value, old) => log.push(["change", value, old]));
      on.change("WIDE", (value, old) => log.push(["change", value, old]));
      on.write("DATA", (value, index) => log.push(["DATA", value, index]));
      on.write("CH.CTRL.ON", (value, channel) => log.push(["CH.CTRL.ON", value, channel]));
      on.change("CH.Q", (value, old, channel, index) => log.push(["CH.Q", value, old, channel, index]));
      on.read("COUNT", () => COUNT.value + 1);
      derive("LEVEL.NOW", () => COUNT.value * 2);
      derive("LEVEL.FULL", () => LEVEL.NOW > 3);
    },
  });

  function bench() {
    log.length = 0;
    return testbench(device);
  }

  test("of a register see the new value, pulses in it; of a field theirs", () => {
    bench().write("CTRL", { GO: true, CMD: "RUN", ON: true });
    expect(log).toEqual([
      ["CTRL", 0x121],
      ["CTRL.GO", true],
      ["CTRL.CMD", "RUN"],
      ["CTRL.ON", true],
      ["CTRL.HIGH", 0],
      ["change", true, false],
    ]);
  });

  test("of a pulse run only when something is written to it, and a member", () => {
    const d = bench();
    d.write("CTRL", 0);
    d.write("CTRL", 0x30);
    expect(log.filter(([name]) => name === "CTRL.GO" || name === "CTRL.CMD")).toEqual([]);
    expect(d.guestErrors).toEqual(["CTRL.CMD: 3 is none of STOP=1, RUN=2"]);
  });

  test("of a field run only for writes that reach it", () => {
    bench().write8(1, 1);
    expect(log).toEqual([
      ["CTRL", 0x100],
      ["CTRL.ON", true],
      ["change", true, false],
    ]);
  });

  test("of 64 bits run once for a whole write, and for each half", () => {
    const d = bench();
    d.write("WIDE", 0x12_3456_7890n);
    d.write32(0xc, 0x12);
    d.write32(0xc, 0x1);
    expect(log).toEqual([
      ["WIDE", 0x12_3400_0000n],
      ["WIDE.ACROSS", 0x1234],
      ["change", 0x12_3400_0000n, 0n],
      ["WIDE", 0x12_3400_0000n],
      ["WIDE.ACROSS", 0x1234],
      ["WIDE", 0x1_3400_0000n],
      ["WIDE.ACROSS", 0x0134],
      ["change", 0x1_3400_0000n, 0x12_3400_0000n],
    ]);
  });

  test("of a register that is one pulse run for any value", () => {
    const d = bench();
    d.write("KICK", 0);
    d.write("KICK", 5);
    expect(log).toEqual([
      ["KICK", 0],
      ["KICK", 5],
    ]);
    expect(d.read("KICK")).toBe(0);
  });

  test("of arrays and banks get indices", () => {
    const d = bench();
    d.write("DATA[2]", 7);
    d.write("CH[1].CTRL", { ON: true });
    d.write("CH[1].Q[0]", 9);
    d.write("CH[1].Q[0]", 9);
    expect(log).toEqual([
      ["DATA", 7, 2],
      ["CH.CTRL.ON", true, 1],
      ["CH.Q", 9, 0, 1, 0],
    ]);
    expect(d.registers.CH.at(1).Q.at(0).value).toBe(9);
    expect(d.registers.DATA[2]?.value).toBe(7);
    expect([...d.registers.DATA].map((register) => register.value)).toEqual([0, 0, 7]);
    expect(() => d.registers.DATA.at(3)).toThrow("DATA[3]: there are DATA[0] to DATA[2]");
  });

  test("of registers in one access run in the order of their offsets", () => {
    bench().write16(0x90, 0x0201);
    expect(log).toEqual([
      ["A", 1],
      ["B", 2],
    ]);
  });

  test("of reads give the value; derived values are the same to guest and model", () => {
    const d = bench();
    expect([d.read("COUNT"), d.read("COUNT")]).toEqual([1, 2]);
    expect(d.registers.COUNT.value).toBe(2);
    expect(d.registers.LEVEL.NOW).toBe(4);
    expect(d.read("LEVEL")).toBe(0x104);
    d.registers.COUNT.value = 1;
    expect(d.read("LEVEL")).toBe(0x002);
    expect(() => {
      d.registers.LEVEL.NOW = 1;
    }).toThrow("LEVEL.NOW is derived: it cannot be assigned");
  });
});

test("complaints: read-only, write-only, reserved, unimplemented, enums, nothing there", () => {
  const d = testbench(
    defineDevice({
      type: "complaints",
      mmio,
      registers: {
        RO: reg32(0x0, { fields: { A: ro(0), B: constant([7, 4], 3) } }),
        WO: reg32(0x4, { fields: { A: wo(0), B: pulse(1) } }),
        MIX: reg32(0x8, {
          fields: { A: rw(0), R: reserved([15, 8]), U: unimplemented([19, 16]), E: rw([25, 24], { X: 0, Y: 2 }) },
          reset: 0x100,
        }),
        RES: reg32(0xc, { access: "reserved", reset: 5 }),
        UNIMP: reg32(0x10, { access: "unimplemented" }),
      },
    }),
  );
  d.write("RO", 1);
  expect(d.read("RO")).toBe(0x30);
  d.read("WO");
  d.write("WO", 3);
  expect(d.registers.WO.A).toBe(true);
  d.write("MIX", 0x101);
  d.write("MIX", 0x300);
  d.write8(0x9, 0x1);
  d.write("MIX", 0x0300_0100);
  expect(d.registers.MIX.E).toBe("X");
  d.write("MIX", 0x0205_0100);
  expect(d.registers.MIX.E).toBe("Y");
  d.write("RES", 5);
  d.write("RES", 6);
  expect(d.read("RES")).toBe(5);
  d.write("UNIMP", 7);
  d.write("UNIMP", 7);
  expect(d.read("UNIMP")).toBe(7);
  d.write32(0x40, 1);
  d.read16(0x42);
  expect(d.guestErrors).toEqual([
    "write to read-only RO",
    "read of write-only WO",
    "MIX.R is reserved: written as 0x3",
    "MIX.E: 3 is none of X=0, Y=2",
    "RES is reserved: written as 0x6",
    "write of 0x1 (4 bytes) at 0x40: no register is there",
    "read of 2 bytes at 0x42: no register is there",
  ]);
  expect(d.unimplemented).toEqual([
    "MIX.U is not implemented: written as 0x5",
    "UNIMP is not implemented: written as 0x7",
  ]);
});
