// What happens around accesses: handlers, interrupts, timers, queues, DMA, resets, snapshots, the device tree.

import { describe, expect, test, vi } from "vitest";
import { FdtNode } from "../../fdt/fdt-node.ts";
import { createObject } from "../../qom/type-registry.ts";
import { testbench } from "../../testing/testbench.ts";
import { testHost } from "../host-for-tests.ts";
import {
  BusError,
  bank,
  constant,
  type DeviceObserver,
  defineDevice,
  edge,
  prop,
  pulse,
  rc,
  reg8,
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
  wo,
} from "../index.ts";
import { resetTree } from "../reset.ts";
import { loadTree, saveTree } from "../snapshot.ts";

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

describe("DMA", () => {
  const device = defineDevice({
    type: "dma",
    mmio,
    registers: { GO: reg32(0x0, { access: "pulse" }), ERRORS: reg32(0x4), SELF: reg32(0x8) },
    state: () => ({ seen: [] as unknown[] }),
    setup({ on, dma, regs: { ERRORS }, state }) {
      const R = 0x8000_0000;
      const steps: (() => unknown)[] = [
        () => dma.write(R, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)),
        () => [dma.read8(R), dma.read16(R), dma.read32(BigInt(R)), dma.read64(R + 1)],
        () => {
          dma.write8(R + 16, 0xff);
          dma.write16(R + 18, 0x1234);
          dma.write32(R + 20, 0xdead_beef);
          dma.write64(R + 24, 0x0123_4567_89ab_cdefn);
          return [...dma.read(R + 16, 16)];
        },
        () => {
          dma.copy(R + 2, R, 6);
          dma.fill(R + 8, 3, 9);
          return [...dma.read(R, 12)];
        },
        () => dma.write32(0x1000, 1),
        () => dma.read(R, 2 ** 50),
        () => dma.copy(0, R, 2 ** 20),
        () => dma.read(2n ** 64n - 1n, 2),
        () => dma.write32(0x10_0000_0008, 1),
      ];
      on.write("GO", (n) => {
        try {
          state.seen.push(steps[n]!());
        } catch (error) {
          if (!(error instanceof BusError)) throw error;
          ERRORS.value++;
          state.seen.push(`${error.kind} 0x${error.address.toString(16)}`);
        }
      });
      on.write("SELF", () => state.seen.push("self"));
    },
  });

  test("bytes, words, copies, fills; a BusError where nothing is, before anything is allocated", () => {
    const d = testbench(device);
    for (let n = 0; n < 8; n++) d.write("GO", n);
    expect(d.state.seen).toEqual([
      undefined,
      [1, 0x0201, 0x0403_0201, 0x0908_0706_0504_0302n & 0x00ff_ffff_ffff_ffffn],
      [0xff, 0, 0x34, 0x12, 0xef, 0xbe, 0xad, 0xde, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01],
      [1, 2, 1, 2, 3, 4, 5, 6, 9, 9, 9, 0],
      "decode 0x1000",
      "decode 0x80010000",
      "decode 0x80010000",
      "decode 0xffffffffffffffff",
    ]);
    expect(d.registers.ERRORS.value).toBe(4);
  });

  test("a device does not reach itself from a callback: the bus refuses", () => {
    const d = testbench(device);
    d.write("GO", 8);
    expect(d.state.seen).toEqual(["access 0x1000000008"]);
  });

  test("copies overlapping ranges as they were, larger than a piece", () => {
    const copier = defineDevice({
      type: "copier",
      mmio,
      registers: { TO: reg32(0x0), FROM: reg32(0x4), LEN: reg32(0x8) },
      setup: ({ on, dma, regs: { TO, FROM, LEN } }) => on.write("LEN", () => dma.copy(TO.value, FROM.value, LEN.value)),
    });
    for (const [to, from] of [
      [0x8000_1000, 0x8000_0000],
      [0x8000_0000, 0x8000_1000],
    ] as const) {
      const d = testbench(copier, {}, { ram: 0x4_0000 });
      for (let i = 0; i < d.ram.bytes.length; i++) d.ram.bytes[i] = (i * 7) ^ (i >> 8);
      const expected = d.ram.bytes.slice();
      expected.copyWithin(to - 0x8000_0000, from - 0x8000_0000, from - 0x8000_0000 + 0x3_0001);
      d.write("TO", to);
      d.write("FROM", from);
      d.write("LEN", 0x3_0001);
      expect(d.ram.bytes.every((byte, i) => byte === expected[i])).toBe(true);
    }
  });

  test("writes to RAM are announced", () => {
    const d = testbench(device);
    const written = vi.fn();
    d.device.host.memory.onRamWrite((region, offset, length) => written(region.name, offset, length));
    d.write("GO", 0);
    expect(written.mock.calls).toEqual([["ram", 0, 8]]);
  });
});

test("a BusError that the author throws refuses the access", () => {
  const d = testbench(
    defineDevice({
      type: "refuses",
      mmio: {
        size: 0x10,
        read(offset) {
          if (offset === 8) throw new BusError(offset, "access");
          return 1;
        },
      },
      registers: { A: reg32(0x0) },
      setup({ on }) {
        on.write("A", (value) => {
          if (value === 1) throw new BusError(0, "access");
        });
      },
    }),
  );
  expect(() => d.write("A", 1)).toThrow("access fault");
  expect(() => d.read32(8)).toThrow("access fault");
  d.write("A", 2);
  expect([d.read("A"), d.read32(4)]).toEqual([2, 1]);
});

describe("resets", () => {
  const device = defineDevice({
    type: "resets",
    mmio,
    registers: {
      A: reg32(0x0, { reset: 5 }),
      KEPT: reg32(0x4, { reset: 6, sticky: true }),
      MIX: reg32(0x8, { fields: { X: rw([3, 0]), Y: sticky([7, 4]), Z: sticky(w1c(8)) }, reset: { Y: 3, Z: true } }),
    },
    state: () => ({ n: 0, list: [1] }),
    setup({ state, on, fifo, timer, regs: { A } }) {
      const queue = fifo("q", { depth: 2 });
      const late = timer("late", () => {
        state.n = 100;
      });
      on.write("A", () => {
        state.n++;
        state.list.push(2);
        queue.push(1);
        late.after(10);
      });
      on.reset((before) => {
        A.value = before.n + 10 * queue.length;
      });
    },
  });

  test("a warm one keeps what is sticky, power-on nothing; queues, timers and variables are new", () => {
    const d = testbench(device);
    expect(d.save()).toMatchObject({ registers: { A: 0, KEPT: 6, MIX: 0x130 } });
    d.write("KEPT", 7);
    d.write("MIX", 0x1f5);
    d.write("A", 9);
    expect(d.save()).toMatchObject({ registers: { A: 9, KEPT: 7, MIX: 0x0f5 }, state: { n: 1 }, fifos: { q: [1] } });
    d.reset();
    expect(d.save()).toMatchObject({ registers: { A: 1, KEPT: 7, MIX: 0x0f0 }, fifos: { q: [] }, timers: {} });
    expect(d.state).toEqual({ n: 0, list: [1] });
    d.run(100);
    expect(d.state.n).toBe(0);
    d.reset("cold");
    expect(d.save()).toMatchObject({ registers: { A: 0, KEPT: 6, MIX: 0x130 } });
  });
});

describe("snapshots", () => {
  const device = defineDevice({
    type: "saved",
    mmio,
    irqs: ["irq"],
    registers: {
      A: reg8(0x0),
      B: reg64(0x8),
      E: reg32(0x10, { fields: { M: rw([1, 0], { X: 0, Y: 1 }) } }),
      C: regs(2, 4, reg32(0x14)),
    },
    state: () => ({ map: new Map<string, number>(), n: 0 }),
    setup({ on, state, fifo, timer, irq, regs: { A } }) {
      const queue = fifo("queue", { depth: 4, width: 16 });
      const once = timer("once", () => state.n++);
      const often = timer("often", () => state.n++);
      irq.irq(() => A.value > 1);
      on.write("A", (value) => {
        state.map.set("a", value);
        queue.push(0x100 + value);
        once.after(50);
        often.every(20);
      });
    },
  });

  test("hold everything, by name, and go on from there", () => {
    const d = testbench(device);
    d.write("A", 2);
    d.write("B", 0xffff_ffff_ffff_fff0n);
    d.write("C[1]", 7);
    d.run(30);
    expect(d.save()).toEqual({
      version: 1,
      registers: { A: 2, B: 0xffff_ffff_ffff_fff0n, E: 0, "C[0]": 0, "C[1]": 7 },
      timers: { once: { deadline: 50, period: 0 }, often: { deadline: 40, period: 20 } },
      fifos: { queue: [0x102] },
      state: { map: new Map([["a", 2]]), n: 1 },
    });
    const copy = d.clone();
    expect(copy.save()).toEqual(d.save());
    expect(copy.irq.irq).toBe(true);
    for (const bench of [d, copy]) bench.run(30);
    expect(copy.state.n).toBe(4);
    expect(copy.save()).toEqual(d.save());
  });

  test("through a machine's tree", () => {
    const [from, to] = [createObject(device.typeInfo), createObject(device.typeInfo)];
    for (const made of [from, to]) {
      made.realize(testHost());
      resetTree(made);
    }
    from.registers.B.value = 3n;
    loadTree(to, structuredClone(saveTree(from)));
    expect(to.registers.B.value).toBe(3n);
  });

  test("of something else are refused, and change nothing", () => {
    const d = testbench(device);
    d.write("A", 2);
    const good = d.save() as Record<string, object>;
    const wrong: [change: object, message: string][] = [
      [{ version: 2 }, "its state has version 2, expected 1"],
      [{ registers: { ...good.registers, D: 0 } }, 'there is no register D (did you mean "A"?)'],
      [{ registers: {} }, "the register A is missing"],
      [{ registers: { ...good.registers, A: 256 } }, "register A should be a number of 8 bits"],
      [{ registers: { ...good.registers, B: 1 } }, "register B should be a bigint of 64 bits"],
      [{ registers: { ...good.registers, A: 1, E: 2 } }, "E = 2: M would be 2, none of X=0, Y=1"],
      [{ timers: { onc: { deadline: 1, period: 0 } } }, 'there is no timer onc (did you mean "once"?)'],
      [{ timers: { once: { deadline: "1" } } }, "timer once should be a deadline and a period"],
      [{ fifos: {} }, "the fifo queue is missing"],
      [{ fifos: { queue: [0x1_0000] } }, "queue should be a list of items below 0x10000"],
      [{ fifos: { queue: [1, 2, 3, 4, 5] } }, "queue has room for 4 items"],
      [{ state: undefined }, "it has no variables by name"],
    ];
    for (const [change, message] of wrong) expect(() => d.load({ ...good, ...change })).toThrow(message);
    expect(d.save()).toEqual(good);
  });
});

describe("the device tree", () => {
  const context = (soc: FdtNode, irqs: number[]) => ({
    root: new FdtNode(""),
    soc,
    phandle: () => 1,
    interruptParent: 9,
    base: 0x400_0000n,
    size: 0x100n,
    irqs,
  });
  const cells = (bytes: Uint8Array | undefined) => {
    const view = new DataView(bytes!.buffer, bytes!.byteOffset, bytes!.length);
    return Array.from({ length: bytes!.length / 4 }, (_, i) => view.getUint32(4 * i));
  };
  const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

  test("has the device with compatible, reg, interrupts and what its author adds", () => {
    const device = defineDevice({
      type: "banana-dma",
      compatible: ["acme,banana-dma-2", "acme,banana-dma"],
      deviceTree: {
        node: "dma-controller",
        properties: ({ channels }) => ({ "dma-channels": channels }),
        describe: (node) => void node.child("port").prop("reg", 0),
      },
      properties: { channels: prop(4) },
      irqs: ["done", edge("error")],
      mmio,
      setup: ({ irq }) => irq.done(() => false),
    });
    const made = createObject(device.typeInfo, { channels: 8 });
    made.realize(testHost());
    const soc = new FdtNode("soc");
    made.describe(context(soc, [11, 12]));
    const node = soc.children.get("dma-controller@4000000")!;
    expect(text(node.properties.get("compatible"))).toBe("acme,banana-dma-2\0acme,banana-dma\0");
    expect(cells(node.properties.get("reg"))).toEqual([0, 0x400_0000, 0, 0x100]);
    expect(cells(node.properties.get("interrupt-parent"))).toEqual([9]);
    expect(cells(node.properties.get("interrupts"))).toEqual([11, 12]);
    expect(text(node.properties.get("interrupt-names"))).toBe("done\0error\0");
    expect(cells(node.properties.get("dma-channels"))).toEqual([8]);
    expect([...node.children.keys()]).toEqual(["port"]);
    const bare = new FdtNode("soc");
    made.describe(context(bare, []));
    expect([...bare.children.get("dma-controller@4000000")!.properties.keys()]).toEqual([
      "compatible",
      "reg",
      "dma-channels",
    ]);
  });

  test("does not have a device that no driver could bind to", () => {
    const made = createObject(defineDevice({ type: "hidden", mmio }).typeInfo);
    made.realize(testHost());
    const soc = new FdtNode("soc");
    made.describe(context(soc, []));
    expect(soc.children.size).toBe(0);
  });
});

describe("in a machine", () => {
  const device = defineDevice({
    type: "life",
    description: "lives",
    mmio,
    irqs: ["irq"],
    properties: { n: prop(1, "how many") },
    registers: { A: reg32(0x0) },
    setup: ({ irq, regs: { A }, props }) => irq.irq(() => A.value >= props.n),
  });

  test("is a type like others, realized and unrealized any number of times", () => {
    expect(device.typeInfo).toMatchObject({ name: "life", description: "lives" });
    const host = testHost();
    const made = createObject(device.typeInfo, { n: "3" });
    expect(made.isA("sys-bus-device")).toBe(true);
    expect(made.irqNames).toEqual(["irq"]);
    expect(() => made.registers).toThrow("life has no registers before it is realized");
    const levels: boolean[] = [];
    for (let round = 0; round < 3; round++) {
      made.connectIrq(0, (level) => levels.push(level));
      made.realize(host);
      resetTree(made);
      host.system.addSubregion(0x1000n, made.mmio[0]!);
      host.memory.store(0x1000, 4, 3, 0);
      expect(host.memory.load(0x1000, 4)).toBe(3);
      made.unrealize();
      host.memory.load(0x1000, 4);
      expect(host.memory.fault).toBe(true);
    }
    expect(levels).toEqual([true, true, true]);
    expect(() => createObject(device.typeInfo, { m: 1 })).toThrow('life has no property "m"');
  });

  test("two devices of one type have nothing in common", () => {
    const [a, b] = [testbench(device), testbench(device, { n: 5 })];
    a.write("A", 3);
    expect([a.irq.irq, b.irq.irq, b.read("A")]).toEqual([true, false, 0]);
  });

  test("one device's DMA reaches another's registers, and its errors are its own", () => {
    const host = testHost();
    const target = defineDevice({
      type: "target",
      mmio,
      registers: { A: reg32(0x0), BAD: reg32(0x4) },
      setup: ({ on }) =>
        on.write("BAD", () => {
          throw new Error("broken");
        }),
    });
    const source = defineDevice({
      type: "source",
      mmio,
      registers: { TO: reg32(0x0) },
      setup: ({ on, dma }) => on.write("TO", (address) => dma.write32(address, 7)),
    });
    const [to, from] = [createObject(target.typeInfo), createObject(source.typeInfo)];
    for (const [made, address] of [
      [to, 0x1000n],
      [from, 0x2000n],
    ] as const) {
      made.realize(host);
      host.system.addSubregion(address, made.mmio[0]!);
      resetTree(made);
    }
    host.memory.store(0x2000, 4, 0x1000, 0);
    expect(to.registers.A.value).toBe(7);
    expect(() => host.memory.store(0x2000, 4, 0x1004, 0)).toThrow('target: on.write("BAD"): broken');
    expect(from.registers.TO.value).toBe(0x1004);
  });
});

describe("observers", () => {
  const device = defineDevice({
    type: "watched",
    mmio,
    irqs: ["irq", edge("tick")],
    registers: {
      CTRL: reg32(0x0, { fields: { GO: pulse(0), ON: rw(1) } }),
      STATUS: reg32(0x4, { fields: { BUSY: ro(0), DONE: rc(1) } }),
      SRC: reg64(0x8),
    },
    setup({ regs: { CTRL, STATUS }, on, irq, timer, dma, guestError }) {
      irq.irq(() => CTRL.ON && STATUS.DONE);
      const work = timer("work", () => {
        STATUS.BUSY = false;
        STATUS.DONE = true;
        irq.tick.pulse();
      });
      on.write("CTRL.GO", () => {
        dma.write32(0x8000_0000, 7);
        if (STATUS.BUSY) guestError("busy");
        STATUS.BUSY = true;
        work.after(10);
      });
    },
  });

  test("hear accesses, DMA, changes, edges, timers and complaints in their order", () => {
    const d = testbench(device);
    const heard: unknown[] = [];
    const observer: DeviceObserver = {
      access: ({ write, offset, size, value, registers }) =>
        heard.push([
          write ? "write" : "read",
          offset,
          size,
          value,
          ...registers.map(({ name, old, new: now }) => [name, old, now]),
        ]),
      change: ({ name, old, new: now }) => heard.push(["change", name, old, now]),
      irq: ({ irq, level, time }) => heard.push(["irq", irq, level, time]),
      dma: ({ write, address, bytes, failed }) => heard.push(["dma", write, address, [...bytes], failed]),
      timer: ({ timer, time }) => heard.push(["timer", timer, time]),
      guestError: ({ message }) => heard.push(["guestError", message]),
    };
    const stop = d.device.observe(observer);
    d.write("CTRL", 3);
    d.write("CTRL", 1);
    d.run(10);
    d.read("STATUS");
    d.write("SRC", 5n);
    d.read32(0x40);
    stop();
    d.read("STATUS");
    d.write("CTRL", 1);
    expect(heard).toEqual([
      ["write", 0, 4, 3, ["CTRL", 0, 2]],
      ["dma", true, 0x8000_0000n, [7, 0, 0, 0], false],
      ["change", "STATUS", 0, 1],
      ["write", 0, 4, 1, ["CTRL", 2, 0]],
      ["dma", true, 0x8000_0000n, [7, 0, 0, 0], false],
      ["guestError", "busy"],
      ["timer", "work", 10],
      ["irq", "tick", true, 10],
      ["irq", "tick", false, 10],
      ["change", "STATUS", 1, 2],
      ["read", 4, 4, 2, ["STATUS", 2, 0]],
      ["write", 8, 8, 5n, ["SRC", 0n, 5n]],
      ["guestError", "read of 4 bytes at 0x40: no register is there"],
      ["read", 0x40, 4, 0],
    ]);
  });

  test("may come before the device is realized, and stay when it is realized again", () => {
    const made = createObject(device.typeInfo);
    const access = vi.fn();
    made.observe({ access });
    for (let round = 1; round <= 2; round++) {
      const host = testHost();
      made.realize(host);
      resetTree(made);
      host.system.addSubregion(0n, made.mmio[0]!);
      host.memory.load(8, 4);
      expect(access).toHaveBeenCalledTimes(round);
      made.unrealize();
    }
  });
});
