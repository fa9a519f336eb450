// What the compiler knows of a device: names and values as their author wrote them. Each misuse is an error on its own
// line, which `tsc` checks here (@ts-expect-error); nothing of it has to run.

import { expect, expectTypeOf, test } from "vitest";
import type { BenchLine } from "../../testing/bench-line.ts";
import { testbench } from "../../testing/testbench.ts";
import {
  bank,
  constant,
  type DeviceDefinition,
  defineDevice,
  edge,
  prop,
  pulse,
  reg8,
  reg32,
  reg64,
  regs,
  reserved,
  ro,
  rw,
  sticky,
  w1c,
  wo,
} from "../index.ts";

const banana = defineDevice({
  type: "banana",
  mmio: { size: 0x200 },
  irqs: ["done", edge("tick")],
  properties: {
    speed: prop(10),
    size: prop.size(64n),
    fast: prop(true),
    name: prop("x"),
    parity: prop.choice(["even", "odd"]),
    line: prop.chardev(),
  },
  registers: {
    CTRL: reg32(0x0, {
      reset: { MODE: "FILL", LEVEL: 3 },
      fields: {
        START: pulse(0, "go"),
        IRQ_EN: rw(1),
        MODE: rw([3, 2], { COPY: 0, FILL: 1 }, "what"),
        LEVEL: rw([7, 4], "how much"),
        ID: constant([11, 8], 5),
        KEY: wo(12),
        DONE: sticky(w1c(13)),
        KEPT: sticky(14),
        REST: reserved([31, 16]),
      },
    }),
    SRC: reg64(0x8),
    DATA: regs(4, 1, reg8(0x10, { fields: { LOW: ro([3, 0]) } })),
    CH: bank(2, 0x40, 0x100, { CTRL: reg32(0x0, { fields: { ON: rw(0) } }), ADDR: regs(2, 8, reg64(0x10)) }),
  },
  state: () => ({ count: 0, last: "" }),
  setup({ regs: { CTRL, SRC, DATA, CH }, on, irq, derive, state, props, stream, timer, guestError }) {
    expectTypeOf(CTRL.IRQ_EN).toEqualTypeOf<boolean>();
    expectTypeOf(CTRL.MODE).toEqualTypeOf<"COPY" | "FILL">();
    expectTypeOf(CTRL.LEVEL).toEqualTypeOf<number>();
    expectTypeOf(CTRL.ID).toEqualTypeOf<number>();
    expectTypeOf(CTRL.DONE).toEqualTypeOf<boolean>();
    expectTypeOf(CTRL.KEPT).toEqualTypeOf<boolean>();
    expectTypeOf(CTRL.value).toEqualTypeOf<number>();
    expectTypeOf(SRC.value).toEqualTypeOf<bigint>();
    expectTypeOf(DATA.at(0).LOW).toEqualTypeOf<number>();
    expectTypeOf(CH.at(0).CTRL.ON).toEqualTypeOf<boolean>();
    expectTypeOf(CH.at(0).ADDR.at(1).value).toEqualTypeOf<bigint>();
    expectTypeOf(props.speed).toEqualTypeOf<number>();
    expectTypeOf(props.size).toEqualTypeOf<bigint>();
    expectTypeOf(props.fast).toEqualTypeOf<boolean>();
    expectTypeOf(props.name).toEqualTypeOf<string>();
    expectTypeOf(props.parity).toEqualTypeOf<"even" | "odd">();
    expectTypeOf(state).toEqualTypeOf<{ count: number; last: string }>();

    on.write("CTRL", (value) => expectTypeOf(value).toEqualTypeOf<number>());
    on.write("CTRL.START", (value) => expectTypeOf(value).toEqualTypeOf<boolean>());
    on.write("CTRL.MODE", (value) => expectTypeOf(value).toEqualTypeOf<"COPY" | "FILL">());
    on.write("SRC", (value) => expectTypeOf(value).toEqualTypeOf<bigint>());
    on.change("CTRL.LEVEL", (value, old) => expectTypeOf([value, old]).toEqualTypeOf<number[]>());
    on.read("DATA", (index) => {
      expectTypeOf(index).toEqualTypeOf<number>();
      return 1;
    });
    on.write("CH.CTRL.ON", (value, channel) => {
      expectTypeOf(value).toEqualTypeOf<boolean>();
      expectTypeOf(channel).toEqualTypeOf<number>();
    });
    on.change("CH.ADDR", (value, old, channel, index) => {
      expectTypeOf([value, old]).toEqualTypeOf<bigint[]>();
      expectTypeOf([channel, index]).toEqualTypeOf<number[]>();
    });
    on.reset((before) => expectTypeOf(before.count).toEqualTypeOf<number>());
    // What a callback returns does not matter, as long as nobody would have to wait for it.
    on.write("CTRL.KEY", () => guestError("no"));
    on.write("CTRL.KEY", () => new Map().set(1, 2));
    on.write("CTRL.KEY", (value) => value && (CTRL.LEVEL = 1));
    irq.done(() => CTRL.IRQ_EN && CTRL.DONE);
    expectTypeOf(irq.tick.pulse).toEqualTypeOf<() => void>();
    stream("line");
    timer("t", () => {});

    () => {
      // @ts-expect-error a pulse holds nothing
      CTRL.START = true;
      // @ts-expect-error reserved bits are nobody's
      CTRL.REST = 1;
      // @ts-expect-error a constant is nobody's to change
      CTRL.ID = 1;
      // @ts-expect-error not a member of the enum
      CTRL.MODE = "MOVE";
      // @ts-expect-error a bit is a boolean
      CTRL.IRQ_EN = 1;
      // @ts-expect-error several bits are a number
      CTRL.LEVEL = true;
      // @ts-expect-error no such field
      CTRL.LEVL = 1;
      // @ts-expect-error 64 bits are a bigint
      SRC.value = 1;
      // @ts-expect-error no such register
      on.write("CTLR", () => {});
      // @ts-expect-error no such field
      on.write("CTRL.STRT", () => {});
      // @ts-expect-error the register has no fields
      on.write("SRC.FIELD", () => {});
      // @ts-expect-error the register has no fields
      SRC.FIELD;
      // @ts-expect-error no such field in the bank
      on.write("CH.CTRL.OFF", () => {});
      // @ts-expect-error the name goes without index
      on.write("CH[0].CTRL", () => {});
      // @ts-expect-error callbacks cannot be async
      on.write("CTRL.START", async () => {});
      // @ts-expect-error neither can timers
      timer("t", async () => {});
      // @ts-expect-error the field is a boolean
      on.read("CTRL.IRQ_EN", () => 1);
      // @ts-expect-error the field is a number
      derive("DATA.LOW", () => "1");
      // @ts-expect-error no such interrupt
      irq.don(() => true);
      // @ts-expect-error an edge follows no condition
      irq.tick(() => true);
      // @ts-expect-error a level has no pulses
      irq.done.pulse();
      // @ts-expect-error a condition is true or false
      irq.done(() => CTRL.LEVEL);
      // @ts-expect-error not a chardev
      stream("name");
      // @ts-expect-error no such property
      props.sped;
      // @ts-expect-error no such variable
      state.cont = 1;
    };
  },
});

test("a definition", () => {
  // Any definition, for lists of them.
  const all: readonly DeviceDefinition[] = [banana];
  expect(all).toHaveLength(1);
  () => {
    // @ts-expect-error setup cannot be async
    defineDevice({ type: "b", mmio: { size: 4 }, async setup() {} });
    // @ts-expect-error a misspelled part
    defineDevice({ type: "b", mmio: { size: 4 }, register: {} });
    // @ts-expect-error a misspelled option
    reg32(0, { acess: "ro" });
    // @ts-expect-error an access that there is not
    reg32(0, { access: "read" });
    // @ts-expect-error no such field to reset
    reg32(0, { reset: { MOD: "FILL" }, fields: { MODE: rw([3, 2], { COPY: 0, FILL: 1 }) } });
    // @ts-expect-error not a member
    reg32(0, { reset: { MODE: "FIL" }, fields: { MODE: rw([3, 2], { COPY: 0, FILL: 1 }) } });
    // @ts-expect-error 64 bits are a bigint
    reg64(0, { reset: 1 });
    // @ts-expect-error a constant has a value
    constant([3, 0]);
    // @ts-expect-error a bank has no banks in it
    bank(2, 0x40, 0, { A: bank(2, 4, 0, { B: reg32(0) }) });
  };
});

test("a bench", () => {
  const d = testbench(banana, { speed: 1, parity: "odd" });
  expectTypeOf(d.irq).toEqualTypeOf<{ readonly done: boolean; readonly tick: boolean }>();
  expectTypeOf(d.registers.CTRL.MODE).toEqualTypeOf<"COPY" | "FILL">();
  expectTypeOf(d.device.registers.SRC.value).toEqualTypeOf<bigint>();
  expectTypeOf(d.state.count).toEqualTypeOf<number>();
  expectTypeOf(d.lines.line).toEqualTypeOf<BenchLine>();
  expectTypeOf(d.read("CTRL")).toEqualTypeOf<number>();
  expectTypeOf(d.read("SRC")).toEqualTypeOf<bigint>();
  expectTypeOf(d.read("CTRL.MODE")).toEqualTypeOf<"COPY" | "FILL">();
  expectTypeOf(d.read("DATA[3]")).toEqualTypeOf<number>();
  expectTypeOf(d.read("CH[1].ADDR[0]")).toEqualTypeOf<bigint>();
  expectTypeOf(d.read("CH[1].CTRL.ON")).toEqualTypeOf<boolean>();
  d.write("CTRL", { MODE: "COPY", START: true });
  d.write("CH[1].CTRL", 1);
  () => {
    // @ts-expect-error no such register
    d.read("STATS");
    // @ts-expect-error no such field
    d.read("CTRL.MOD");
    // @ts-expect-error an array's registers have an index
    d.read("DATA");
    // @ts-expect-error no such register in the bank
    d.read("CH[0].CTLR");
    // @ts-expect-error 64 bits are a bigint
    d.write("SRC", 1);
    // @ts-expect-error not a member
    d.write("CTRL", { MODE: "MOVE" });
    // @ts-expect-error no such field
    d.write("CTRL", { MOD: "COPY" });
    // @ts-expect-error no such interrupt
    d.irq.don;
    // @ts-expect-error no such property
    testbench(banana, { sped: 1 });
    // @ts-expect-error not one of them
    testbench(banana, { parity: "none" });
    // @ts-expect-error not a chardev
    d.lines.name;
  };
});
