// What a person is told whose device file is wrong in what it does while the guest runs: each kind of mistake, with its message and the line it points to.
// Not beside the code: lines of src are Plantain's own, and are never the ones that a message names.

import { defineDevice, pulse, reg8, reg32, reg64, rw, w1c } from "plantain/device";
import { testbench } from "plantain/testing";
import { describe, expect, test } from "vitest";
import { any, markedLines, thrownBy } from "./mistake.ts";

const { file, at } = markedLines(import.meta.url);
const mmio = { size: 0x100 };

describe("while it runs", () => {
  const registers = {
    CTRL: reg32(0x0, { fields: { START: pulse(0), MODE: rw([3, 2], { COPY: 0, FILL: 1 }), ACK: w1c(4) } }),
    COUNT: reg8(0x4),
    SRC: reg64(0x8),
    LEVEL: reg32(0x10, { access: "ro" }),
  };
  /** What a write to CTRL.START, or the timer that it starts, ends in. */
  // biome-ignore lint/suspicious/noExplicitAny: what code without types would do
  const onStart = (run: (context: any) => unknown) =>
    defineDevice({
      type: "banana",
      mmio,
      registers,
      setup(context) {
        const timer = context.timer("tick", () => {});
        context.on.write(
          "CTRL.START",
          any(() => run({ ...context, timer })),
        );
      },
    });
  const START = 'banana: on.write("CTRL.START"): ';

  test.each<[what: string, device: ReturnType<typeof onStart>, message: string, marker: string]>([
    [
      "an exception",
      onStart(({ nothing }) => {
        nothing.at.all; // @exception
      }),
      `${START}Cannot read properties of undefined (reading 'at')`,
      "exception",
    ],
    [
      "a value too wide for the register",
      onStart(({ regs: { COUNT } }) => {
        COUNT.value = 300; // @toowide
      }),
      `${START}COUNT = 0x12c does not fit in 8 bits`,
      "toowide",
    ],
    [
      "a value that is none",
      onStart(({ regs: { COUNT } }) => {
        COUNT.value = Number.NaN; // @nan
      }),
      `${START}COUNT = NaN: expected a whole number`,
      "nan",
    ],
    [
      "a number for 64 bits",
      onStart(({ regs: { SRC } }) => {
        SRC.value = 1; // @number
      }),
      `${START}SRC = 1: expected a bigint`,
      "number",
    ],
    [
      "a value that is no member",
      onStart(({ regs: { CTRL } }) => {
        CTRL.MODE = "MOVE"; // @member
      }),
      `${START}CTRL.MODE = "MOVE" is none of COPY=0, FILL=1`,
      "member",
    ],
    [
      "a field that is not there",
      onStart(({ regs: { CTRL } }) => {
        CTRL.MOD = "COPY"; // @nosuchfield
      }),
      `${START}Cannot add property MOD, object is not extensible`,
      "nosuchfield",
    ],
    [
      "a timer in the past",
      onStart(({ timer, now }) => {
        timer.at(now() - 5); // @past
      }),
      `${START}timer "tick".at(95): that was 5 ns ago, it is 100 ns now`,
      "past",
    ],
    [
      "a negative delay",
      onStart(({ timer }) => {
        timer.after(-1); // @negative
      }),
      `${START}timer "tick".after(-1): a delay cannot be negative`,
      "negative",
    ],
    [
      "a delay that is none",
      onStart(({ timer }) => {
        timer.after(Number.NaN); // @nodelay
      }),
      `${START}timer "tick".after(NaN): expected a number of nanoseconds`,
      "nodelay",
    ],
    [
      "a period of 0",
      onStart(({ timer }) => {
        timer.every(0); // @period
      }),
      `${START}timer "tick".every(0): expected a period of more than 0 ns`,
      "period",
    ],
    [
      "DMA to nowhere",
      onStart(({ dma }) => {
        dma.write32(0x1000, 1); // @dma
      }),
      `${START}DMA write of 4 bytes at 0x1000: nothing is mapped there; catch BusError to tell the guest`,
      "dma",
    ],
    [
      "DMA of more than there is",
      onStart(({ dma }) => {
        dma.read(0x8000_0000, 2 ** 40); // @dmalength
      }),
      `${START}DMA read of 1099511627776 bytes at 0x80000000: nothing is mapped there, at 0x80010000; catch BusError to tell the guest`,
      "dmalength",
    ],
    [
      "DMA to no address",
      onStart(({ dma }) => {
        dma.read8(Number.NaN); // @dmanan
      }),
      `${START}dma.read: NaN is no address`,
      "dmanan",
    ],
    [
      "an endless loop",
      onStart(({ regs: { LEVEL } }) => {
        while (LEVEL.value === 0); // @loop
      }),
      `${START}more than 10000000 uses of registers and services: is this an endless loop?`,
      "loop",
    ],
    [
      "something thrown that is no error",
      onStart(() => {
        throw "banana"; // no stack, no line
      }),
      `${START}threw banana`,
      "",
    ],
  ])("%s", (_what, device, message, marker) => {
    const d = testbench(device);
    d.run(100);
    const error = thrownBy(() => d.write("CTRL", { START: true }));
    expect(error.name).toBe("DeviceError");
    expect(error.message).toBe(message + (marker === "" ? "" : at(marker)));
    expect(error.message).not.toContain("\n");
    // The stack is the author's.
    if (marker !== "") expect(error.stack).toContain(file);
    // The bench goes on: a machine shows the error and may go on with another model.
    expect(d.read("COUNT")).toBe(0);
  });

  test("a promise from a function that was not declared async", () => {
    const d = testbench(onStart(() => Promise.resolve()));
    expect(() => d.write("CTRL", 1)).toThrow(
      `${START}returned a promise: a callback cannot be async, nobody would wait for it`,
    );
  });

  test("in a timer, a condition, a derived value, a read, a reset, mmio", () => {
    const definition = defineDevice({
      type: "banana",
      mmio: { size: 0x100, read: () => any(undefined) },
      irqs: ["done"],
      registers: { ...registers, NOW: reg32(0x14), STATE: reg32(0x18, { access: "ro" }) },
      state: () => ({ wrong: "" }),
      setup({ regs: { CTRL, LEVEL }, timer, irq, derive, on, state }) {
        const tick = timer("tick", () => {
          throw new Error("in the timer"); // @intimer
        });
        on.write("CTRL.START", () => tick.after(10));
        irq.done(() => (state.wrong === "irq" ? any(1) : CTRL.ACK));
        derive("LEVEL", () => (state.wrong === "derive" ? 2 ** 32 : 1));
        on.read("NOW", () => (state.wrong === "read" ? -1 : 1));
        on.reset((before) => {
          if (before.wrong === "reset") LEVEL.value = 1; // @inreset
        });
      },
    });
    const d = testbench(definition);
    d.write("CTRL", 1);
    expect(thrownBy(() => d.run(10)).message).toBe(`banana: timer "tick": in the timer${at("intimer")}`);
    d.state.wrong = "irq";
    expect(() => d.write("COUNT", 1)).not.toThrow("in the timer");
    expect(() => d.write("COUNT", 1)).toThrow("banana: irq.done: gave 1: expected true or false");
    d.state.wrong = "derive";
    expect(() => d.read("LEVEL")).toThrow('banana: derive("LEVEL"): LEVEL = 0x100000000 does not fit in 32 bits');
    d.state.wrong = "read";
    expect(() => d.read("NOW")).toThrow('banana: on.read("NOW"): NOW = -1 does not fit in 32 bits');
    d.state.wrong = "reset";
    const unreset = thrownBy(() => d.reset());
    expect(unreset.message).toBe(`banana: on.reset: LEVEL is derived: it cannot be assigned${at("inreset")}`);
    expect(() => d.read32(0x80)).toThrow("banana: mmio.read: gave undefined for offset 0x80: expected a number");
  });

  test("setup, with the properties as they are", () => {
    const definition = defineDevice({
      type: "banana",
      mmio,
      setup() {
        throw new Error("no"); // @insetup
      },
    });
    expect(thrownBy(() => testbench(definition)).message).toBe(`banana: setup: no${at("insetup")}`);
  });
});
