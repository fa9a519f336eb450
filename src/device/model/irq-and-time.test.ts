// Interrupt outputs and timers.

import { describe, expect, test } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { testbench } from "../../testing/testbench.ts";
import { testHost } from "../host-for-tests.ts";
import { defineDevice, edge, pulse, rc, reg32, rs, rw, w1c } from "../index.ts";
import { resetTree } from "../reset.ts";

const mmio = { size: 0x100 };

describe("interrupts", () => {
  const device = defineDevice({
    type: "irqs",
    mmio,
    irqs: ["level", edge("tick")],
    registers: {
      STATUS: reg32(0x0, { fields: { A: w1c(0), B: rc(1), C: rs(2) } }),
      CTRL: reg32(0x4, { fields: { EN: rw(0), TICK: pulse(1) } }),
      PLAIN: reg32(0x8),
    },
    state: () => ({ evaluated: 0 }),
    setup({ regs: { STATUS, CTRL }, irq, on, timer, state }) {
      irq.level(() => {
        state.evaluated++;
        return CTRL.EN && (STATUS.A || STATUS.B);
      });
      on.write("CTRL.TICK", () => irq.tick.pulse());
      const later = timer("later", () => {
        STATUS.A = true;
      });
      on.reset(() => later.after(100));
    },
  });

  test("a level follows its condition: after writes, reads with effects, timers, assignments, resets", () => {
    const d = testbench(device);
    d.write("CTRL", { EN: true });
    expect(d.irq.level).toBe(false);
    d.run(100);
    expect(d.irq.level).toBe(true);
    d.write("STATUS", { A: true });
    expect(d.irq.level).toBe(false);
    d.registers.STATUS.B = true;
    expect(d.irq.level).toBe(true);
    d.read("STATUS");
    expect(d.irq.level).toBe(false);
    d.registers.STATUS.A = true;
    d.reset();
    expect(d.irq.level).toBe(false);
    expect(d.edges.map(({ irq, level, time }) => [irq, level, time])).toEqual([
      ["level", true, 100],
      ["level", false, 100],
      ["level", true, 100],
      ["level", false, 100],
      ["level", true, 100],
      ["level", false, 100],
    ]);
  });

  test("conditions are not evaluated for reads without effects", () => {
    const d = testbench(device);
    const before = d.state.evaluated;
    d.read("PLAIN");
    d.read("CTRL");
    expect(d.state.evaluated).toBe(before + 1); // CTRL has a pulse, which reads as 0: it goes the long way
    d.read("PLAIN");
    expect(d.state.evaluated).toBe(before + 1);
  });

  test("an edge is a rise and a fall", () => {
    const d = testbench(device);
    d.write("CTRL", { TICK: true });
    d.write("CTRL", { TICK: true });
    expect(d.edges.map(({ irq, level }) => [irq, level])).toEqual([
      ["tick", true],
      ["tick", false],
      ["tick", true],
      ["tick", false],
    ]);
  });
});

describe("time", () => {
  const device = defineDevice({
    type: "timers",
    mmio,
    registers: { GO: reg32(0x0, { access: "pulse" }), STOP: reg32(0x4, { access: "pulse" }) },
    state: () => ({ fired: [] as number[] }),
    setup({ on, timer, now, state }) {
      const chain = timer("chain", () => {
        state.fired.push(now());
        if (state.fired.length < 3) chain.after(10);
      });
      const beat = timer("beat", () => {
        state.fired.push(now());
        if (state.fired.length === 5) beat.cancel();
      });
      on.write("GO", (how) => {
        if (how === 1) chain.after(10);
        if (how === 2) beat.every(7);
        if (how === 3) chain.at(now() + 5);
        if (how === 4) beat.after(Number.POSITIVE_INFINITY);
      });
      on.write("STOP", () => {
        chain.cancel();
        expect([chain.armed, chain.deadline]).toEqual([false, Number.POSITIVE_INFINITY]);
      });
    },
  });

  test("after, every, at, cancel", () => {
    const d = testbench(device);
    d.run(5);
    d.write("GO", 1);
    d.run(100);
    expect(d.state.fired).toEqual([15, 25, 35]);
    d.reset();
    d.write("GO", 2);
    d.run(100);
    expect(d.state.fired).toEqual([112, 119, 126, 133, 140]);
    d.reset();
    d.write("GO", 3);
    d.write("STOP", 1);
    d.write("GO", 4);
    d.run(100);
    expect(d.state.fired).toEqual([]);
  });

  test("a timer that fires late does not drift, and time does not go back for the model", () => {
    const host = testHost();
    let now = 0;
    const late = Object.create(host.clock, { now: { get: () => now } });
    const timers: { deadline: number; fire: () => void }[] = [];
    late.timer = (_name: string, fire: () => void) => {
      const timer = {
        deadline: Number.POSITIVE_INFINITY,
        fire,
        armed: false,
        at: (ns: number) => (timer.deadline = ns),
        cancel: () => (timer.deadline = Number.POSITIVE_INFINITY),
      };
      timers.push(timer);
      return timer;
    };
    const made = createObject(device.typeInfo);
    made.realize({ ...host, clock: late });
    host.system.addSubregion(0n, made.mmio[0]!);
    resetTree(made);
    host.memory.store(0, 4, 1, 0);
    const [chain] = timers;
    expect(chain!.deadline).toBe(10);
    // The host comes late; the guest has looked at the device meanwhile.
    now = 14;
    host.memory.store(4, 4, 1, 0);
    host.memory.store(0, 4, 3, 0);
    expect(chain!.deadline).toBe(19);
    now = 25;
    chain!.fire();
    expect(made.state.fired).toEqual([19]);
    expect(chain!.deadline).toBe(29);
    now = 27;
    host.memory.store(0, 4, 0, 0);
    chain!.fire();
    expect(made.state.fired).toEqual([19, 29]);
  });
});
