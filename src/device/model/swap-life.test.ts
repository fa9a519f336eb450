// What of a device's life goes on when its definition is another: timers, queues, variables, lines, streams, those who
// listen. And that a definition that cannot take over changes nothing.

import { describe, expect, test } from "vitest";
import { MemoryRegion } from "../../memory/region.ts";
import { createObject } from "../../qom/type-registry.ts";
import { testbench } from "../../testing/testbench.ts";
import { testHost } from "../host-for-tests.ts";
import {
  BusError,
  cHeader,
  type DeviceDefinition,
  type DeviceObserver,
  defineDevice,
  edge,
  prop,
  pulse,
  reg32,
  ro,
  rw,
  type SwapEvent,
} from "../index.ts";
import { resetTree } from "../reset.ts";

const mmio = { size: 0x100 };

// biome-ignore lint/suspicious/noExplicitAny: each test has names of its own
type Any = any;
/** A definition whose names no type knows. */
const define = (spec: Any): DeviceDefinition<Any, Any, Any, Any> =>
  defineDevice({ type: "gadget", mmio, ...spec }) as unknown as DeviceDefinition<Any, Any, Any, Any>;
const benchOf = (spec: Any, properties: Any = {}): Any => testbench(define(spec), properties);

describe("timers", () => {
  const TICKS = { TICKS: reg32(0), GO: reg32(4, { fields: { ON: pulse(0), EVERY: pulse(1), OFF: pulse(2) } }) };
  const ticking = (add: number, name = "tick") =>
    define({
      registers: TICKS,
      setup({ regs, timer, on }: Any) {
        const tick = timer(name, () => {
          regs.TICKS.value += add;
        });
        on.write("GO.ON", () => tick.after(100));
        on.write("GO.EVERY", () => tick.every(100));
        on.write("GO.OFF", () => tick.cancel());
      },
    });

  test("fire by the new code at the moment they were set for", () => {
    const d = testbench(ticking(1)) as Any;
    d.write32(4, 1);
    d.run(60);
    d.device.swap(ticking(10));
    d.run(39);
    expect(d.read32(0)).toBe(0);
    d.run(1);
    expect(d.read32(0)).toBe(10);
    d.run(1000);
    expect(d.read32(0)).toBe(10);
  });

  test("keep their period, and are the new code's to cancel", () => {
    const d = testbench(ticking(1)) as Any;
    d.write32(4, 2);
    d.run(150);
    d.device.swap(ticking(10));
    d.run(150);
    expect(d.read32(0)).toBe(21);
    d.write32(4, 4);
    d.run(1000);
    expect(d.read32(0)).toBe(21);
  });

  test("that are gone do not fire, and that is told", () => {
    const d = testbench(ticking(1)) as Any;
    d.write32(4, 1);
    d.run(60);
    expect(d.device.swap(ticking(10, "other"))).toMatchObject({
      changes: ['+ timer "other"', '- timer "tick"'],
      losses: ['there is no timer "tick" any more: it was to fire in 40 ns'],
    });
    d.run(1000);
    expect(d.read32(0)).toBe(0);
  });

  test("time does not go back for the model", () => {
    const late = (add: number) =>
      define({
        registers: { AT: reg32(0) },
        setup({ regs, timer, on, now }: Any) {
          const tick = timer("tick", () => {
            regs.AT.value = now() + add;
          });
          on.write("AT", () => tick.after(regs.AT.value));
        },
      });
    const d = testbench(late(0)) as Any;
    d.write32(0, 5);
    d.device.swap(late(1000));
    d.run(10);
    expect(d.read32(0)).toBe(1005);
  });
});

describe("queues", () => {
  const queued = (options: Any, name = "rx") =>
    define({
      registers: { DATA: reg32(0), LEVEL: reg32(4, { access: "ro" }) },
      setup({ fifo, on, derive }: Any) {
        const rx = fifo(name, options);
        on.write("DATA", (item: number) => rx.push(item));
        on.read("DATA", () => rx.pop() ?? 0);
        derive("LEVEL", () => rx.length);
      },
    });

  test("keep their items, the oldest where they have become shorter", () => {
    const d = testbench(queued({ depth: 8, width: 32 })) as Any;
    for (const item of [1, 2, 3, 4]) d.write32(0, item);
    expect(d.device.swap(queued({ depth: 16, width: 8 })).losses).toEqual([]);
    expect(d.read32(4)).toBe(4);
    expect(d.device.swap(queued({ depth: 2, width: 8 })).losses).toEqual([
      'fifo "rx" lost the newest 2 items: it holds 2 now',
    ]);
    expect([d.read32(0), d.read32(0), d.read32(0)]).toEqual([1, 2, 0]);
  });

  test("are empty where items do not fit", () => {
    const d = testbench(queued({ depth: 8, width: 32 })) as Any;
    d.write32(0, 256);
    expect(d.device.swap(queued({ depth: 8, width: 8 }))).toMatchObject({
      changes: ['fifo "rx": width 32 -> 8'],
      losses: ['fifo "rx" had items of more than 8 bits: it is empty'],
    });
    expect(d.read32(4)).toBe(0);
  });
});

describe("variables", () => {
  const counting = (state: () => object) => define({ state, registers: { A: reg32(0) } });

  test("keep what has changed; the rest begins as the new definition says", () => {
    const d = testbench(counting(() => ({ count: 0, limit: 5, gone: 1, list: [1], deep: { a: 1 } }))) as Any;
    Object.assign(d.state, { count: 3, gone: 2, list: [1, 2], deep: { a: 2 }, added: "by the model" });
    const { changes, losses } = d.device.swap(
      counting(() => ({ count: 100, limit: 7, list: [1], deep: { a: 0, b: 9 }, fresh: new Map([[1, 2]]) })),
    );
    expect(d.device.state).toEqual({
      count: 3,
      limit: 7,
      list: [1, 2],
      deep: { a: 2, b: 9 },
      added: "by the model",
      fresh: new Map([[1, 2]]),
    });
    expect(losses).toEqual([]);
    expect(changes).toEqual([
      "state.count: begins otherwise",
      "state.limit: begins otherwise",
      "state.deep: begins otherwise",
      "+ state.fresh",
      "- state.gone",
    ]);
  });

  test("of another kind begin anew; what is nothing may become anything", () => {
    const d = testbench(counting(() => ({ a: 0, b: null as unknown, bytes: new Uint8Array(4) }))) as Any;
    d.state.a = 1;
    d.state.b = { x: 1 };
    d.state.bytes[2] = 9;
    const { losses } = d.device.swap(
      counting(() => ({ a: [] as number[], b: null as unknown, bytes: new Uint8Array(2) })),
    );
    expect(losses).toEqual(["state.a was a number and is an Array: it begins anew"]);
    expect(d.device.state).toEqual({ a: [], b: { x: 1 }, bytes: Uint8Array.of(0, 0, 9, 0) });
  });

  test("the old ones are not those of the new model", () => {
    const d = testbench(counting(() => ({ list: [] as number[] }))) as Any;
    const before = d.state;
    before.list.push(1);
    d.device.swap(counting(() => ({ list: [] as number[] })));
    before.list.push(2);
    expect(d.device.state.list).toEqual([1]);
  });
});

describe("interrupt lines", () => {
  const CTRL = { CTRL: reg32(0, { fields: { A: rw(0), B: rw(1) } }) };
  const lines = (irqs: readonly string[], conditions: Record<string, (regs: Any) => boolean>) =>
    define({
      irqs,
      registers: CTRL,
      setup({ regs, irq }: Any) {
        for (const [name, condition] of Object.entries(conditions)) irq[name](() => condition(regs));
      },
    });
  const a = ({ CTRL }: Any) => CTRL.A;
  const b = ({ CTRL }: Any) => CTRL.B;

  test("follow the new condition at once", () => {
    const d = testbench(lines(["done"], { done: a })) as Any;
    d.write32(0, 1);
    expect(d.irq.done).toBe(true);
    d.device.swap(lines(["done"], { done: b }));
    expect(d.irq.done).toBe(false);
    d.device.swap(lines(["done"], { done: ({ CTRL }) => CTRL.A || CTRL.B }));
    expect(d.irq.done).toBe(true);
    expect(d.edges.map(({ level }: Any) => level)).toEqual([true, false, true]);
  });

  test("are those of their names, in whatever order; a name in another's place takes over its line", () => {
    const d = testbench(lines(["one", "two"], { one: a, two: b })) as Any;
    d.write32(0, 1);
    expect(d.irq).toEqual({ one: true, two: false });
    d.device.swap(lines(["two", "one"], { one: b, two: a }));
    expect(d.irq).toEqual({ one: false, two: true });
    // "one" has become "uno", at its place.
    d.device.swap(lines(["two", "uno"], { uno: a, two: b }));
    expect(d.irq).toEqual({ one: true, two: false });
  });

  test("that are new lead nowhere, those that are gone are low", () => {
    const d = testbench(lines(["one", "two"], { one: a, two: a })) as Any;
    d.write32(0, 1);
    expect(d.device.swap(lines(["one"], { one: a })).changes).toEqual(["- irq two"]);
    expect(d.irq).toEqual({ one: true, two: false });
    expect(d.device.swap(lines(["one", "more"], { one: a, more: a }))).toMatchObject({
      changes: ["+ irq more (level)"],
      losses: ["irq more leads nowhere: lines are given out when the machine is made"],
    });
    expect(d.irq).toEqual({ one: true, two: false });
  });

  test("of pulses are low", () => {
    const d = testbench(lines(["tick"], { tick: a })) as Any;
    d.write32(0, 1);
    d.device.swap(define({ irqs: [edge("tick")], registers: CTRL }));
    expect(d.irq.tick).toBe(false);
  });
});

describe("streams", () => {
  const line = (factor: number, streams = true) =>
    define({
      properties: { line: prop.chardev() },
      registers: { DATA: reg32(0) },
      setup({ fifo, stream, on }: Any) {
        const rx = fifo("rx", { depth: 2 });
        if (!streams) return;
        const port = stream("line", rx);
        on.write("DATA", (byte: number) => port.write(byte * factor));
        on.read("DATA", () => rx.pop() ?? 0);
      },
    });

  test("stay connected: what waits outside comes when there is room", () => {
    const d = testbench(line(1)) as Any;
    d.lines.line.send([1, 2, 3, 4]);
    d.device.swap(line(2));
    d.write32(0, 5);
    expect([...d.lines.line.bytes]).toEqual([10]);
    expect([1, 2, 3, 4].map(() => d.read32(0))).toEqual([1, 2, 3, 4]);
  });

  test("that go and come back", () => {
    const d = testbench(line(1)) as Any;
    d.device.swap(line(1, false));
    d.lines.line.send([7]);
    d.device.swap(line(1));
    d.run(1);
    expect(d.read32(0)).toBe(7);
  });
});

test("a transfer that has begun is ended by the new code", () => {
  const dma = (add: number) =>
    define({
      registers: { GO: reg32(0), STATUS: reg32(4, { fields: { BUSY: ro(0), ERROR: ro(1) } }), TO: reg32(8) },
      setup({ regs, timer, on, dma }: Any) {
        const transfer = timer("transfer", () => {
          regs.STATUS.BUSY = false;
          try {
            dma.write32(regs.TO.value, regs.GO.value + add);
          } catch (error) {
            if (!(error instanceof BusError)) throw error;
            regs.STATUS.ERROR = true;
          }
        });
        on.write("GO", () => {
          regs.STATUS.BUSY = true;
          transfer.after(100);
        });
      },
    });
  const d = testbench(dma(0)) as Any;
  d.write32(8, 0x8000_0000);
  d.write32(0, 40);
  d.device.swap(dma(2));
  expect(d.read32(4)).toBe(1);
  d.run(100);
  expect(d.read32(4)).toBe(0);
  expect([...d.ram.at(0x8000_0000, 4)]).toEqual([42, 0, 0, 0]);
});

test("properties keep what the user gave, and follow the definition otherwise", () => {
  const having = (properties: Any) =>
    define({
      properties,
      registers: { A: reg32(0) },
      setup: ({ props, on }: Any) => on.read("A", () => props.given + props.free),
    });
  const d = testbench(having({ given: prop(1), free: prop(10), kind: prop(1), gone: prop(1) }), {
    given: 2,
    kind: 300,
    gone: 7,
  }) as Any;
  const { changes, losses } = d.device.swap(
    having({ given: prop(5n as never), free: prop(20), kind: prop.choice(["x"]) }),
  );
  expect(() => d.read32(0)).toThrow(/Cannot mix BigInt/);
  expect(losses).toEqual(['the property kind: "300" is not one of x', "there is no property gone any more: it was 7"]);
  expect(changes).toEqual([
    "property given: uint32 -> uint64, default 1 -> 5",
    "property free: default 10 -> 20",
    "property kind: uint32 -> enum, default 1 -> x",
    "- property gone",
  ]);
  d.device.swap(having({ given: prop(5), free: prop(30) }));
  expect(d.read32(0)).toBe(32);
  // What is gone for a while comes back as the user gave it.
  expect(d.device.swap(having({ given: prop(5), free: prop(30) })).losses).toEqual([]);
  d.device.swap(having({ given: prop(5), free: prop(1), gone: prop(1) }));
  expect(d.device.get("gone")).toBe(7);
  expect(d.device.swap(having({ given: prop(5), free: prop(1) })).losses).toEqual([
    "there is no property gone any more: it was 7",
  ]);
});

describe("the region", () => {
  test("has another size, other limits, other callbacks", () => {
    const d = benchOf({ registers: { A: reg32(0) } });
    d.write32(0, 5);
    d.device.swap(
      define({
        mmio: { size: 0x2000, valid: { min: 4 }, read: (offset: number) => offset },
        registers: { A: reg32(0x1ffc) },
      }),
    );
    expect([d.read32(0x1ffc), d.read32(0x1000)]).toEqual([5, 0x1000]);
    expect(() => d.read8(0)).toThrow("access fault");
    d.device.swap(define({ mmio: { size: 4 }, registers: { A: reg32(0) } }));
    expect(d.read32(0)).toBe(5);
    expect(() => d.read32(0x1000)).toThrow("access fault");
  });

  test("does not grow into another one: nothing has changed then", () => {
    const host = testHost();
    const { system, memory } = host;
    const device = createObject(define({ registers: { A: reg32(0) } }).typeInfo) as Any;
    device.realize(host);
    resetTree(device);
    system.addSubregion(0x1000n, device.mmio[0]);
    system.addSubregion(0x1800n, MemoryRegion.io("neighbour", 0x100, { read: () => 7 }));
    memory.store(0x1000, 4, 5, 0);
    expect(() => device.swap(define({ mmio: { size: 0x1000 }, registers: { B: reg32(0) } }))).toThrow(
      "gadget at 0x1000-0x1fff overlaps neighbour at 0x1800-0x18ff: give one of them another address",
    );
    expect([memory.load(0x1000, 4), memory.load(0x1800, 4)]).toEqual([5, 7]);
    expect(device.registers.A.value).toBe(5);
  });
});

describe("what cannot take over changes nothing", () => {
  const good = (more: object = {}) =>
    define({
      irqs: ["on"],
      registers: { CTRL: reg32(0, { fields: { ON: rw(0) } }), COUNT: reg32(4) },
      state: () => ({ count: 0 }),
      setup({ regs, irq, timer, state, on }: Any) {
        irq.on(() => regs.CTRL.ON);
        const tick = timer("tick", () => {
          regs.COUNT.value = ++state.count;
        });
        on.write("CTRL", () => tick.every(100));
      },
      ...more,
    });
  const CTRL = { CTRL: reg32(0, { fields: { ON: rw(0) } }), COUNT: reg32(4) };
  const fail = () => {
    throw new Error("no luck");
  };

  test.each<[what: string, next: () => DeviceDefinition<Any, Any, Any, Any>, message: RegExp]>([
    [
      "setup that throws",
      () => good({ setup: ({ irq }: Any) => [irq.on(() => false), fail()] }),
      /^gadget: setup: no luck/,
    ],
    ["a condition that throws", () => good({ setup: ({ irq }: Any) => irq.on(fail) }), /^gadget: irq.on: no luck/],
    [
      "a condition that is none",
      () => good({ setup: ({ irq }: Any) => irq.on(() => 1) }),
      /irq.on: gave 1: expected true or false/,
    ],
    [
      "a derived value that throws",
      () =>
        good({
          registers: { ...CTRL, NOW: reg32(8, { access: "ro" }) },
          setup: ({ irq, derive }: Any) => [irq.on(() => true), derive("NOW", fail)],
        }),
      /^gadget: derive\("NOW"\): no luck/,
    ],
    [
      "variables that it cannot make",
      () => {
        let calls = 0;
        return good({ state: () => (++calls > 2 ? fail() : { count: 0 }) });
      },
      /^gadget: state: no luck/,
    ],
    [
      "a device tree that throws",
      () => good({ compatible: "acme,gadget", deviceTree: { properties: fail } }),
      /^gadget: deviceTree: no luck/,
    ],
  ])("%s", (_what, next, message) => {
    const d = testbench(good()) as Any;
    d.write32(0, 1);
    d.run(150);
    const before = d.save();
    const definition = next();
    expect(() => d.device.swap(definition)).toThrow(message);
    expect(d.save()).toEqual(before);
    d.run(100);
    expect(d.read32(4)).toBe(2);
    expect(d.irq.on).toBe(true);
    d.write32(0, 0);
    expect(d.irq.on).toBe(false);
    // And a good one is taken after all.
    d.device.swap(good());
    d.run(100);
    expect(d.read32(4)).toBe(3);
  });

  test("a callback's own device", () => {
    const device: Any = benchOf({ registers: { A: reg32(0) }, setup: ({ on }: Any) => on.write("A", () => swap()) });
    const swap = () => device.device.swap(good());
    expect(() => device.write32(0, 1)).toThrow("gadget: there is no swap while one of its callbacks runs");
  });

  test("what is no definition", () => {
    const d = benchOf({ registers: { A: reg32(0) } });
    expect(() => d.device.swap({ typeInfo: { name: "other", create: () => ({}) } })).toThrow(
      "other is not made by defineDevice",
    );
  });
});

describe("what the guest was told", () => {
  const told = (more: object) => define({ compatible: "acme,gadget", registers: { A: reg32(0) }, ...more });

  test("stays said until it is told otherwise", () => {
    const d = testbench(told({ deviceTree: { properties: { "acme,level": 1 } } })) as Any;
    expect(d.device.swap(told({ deviceTree: { properties: { "acme,level": 1 } } })).untold).toEqual([]);
    const next = told({ compatible: ["acme,gadget2", "acme,gadget"], mmio: { size: 0x200 } });
    const untold = [
      'compatible was "acme,gadget" and is "acme,gadget2", "acme,gadget"',
      "reg was 0x100 bytes and is 0x200 bytes",
      "acme,level was <0x1> and is missing",
    ];
    expect(d.device.swap(next).untold).toEqual(untold);
    expect(d.device.swap(next).untold).toEqual(untold);
    // Back again: the guest knows it as it is.
    expect(d.device.swap(told({ deviceTree: { properties: { "acme,level": 1 } } })).untold).toEqual([]);
    expect(d.device.swap(define({ registers: { A: reg32(0) } })).untold).toEqual([
      "it has no node gadget@1000000000 any more",
    ]);
  });
});

describe("what is told of changes", () => {
  const device = (more: object) => define({ registers: { A: reg32(0) }, ...more });

  test.each<[before: object, after: object, changes: string[]]>([
    [{}, {}, []],
    [{}, { registers: { A: reg32(0, { doc: "only words" }) } }, []],
    [{}, { registers: { B: reg32(0, { fields: { X: rw(0) } }) } }, ["+ B (at 0x0)", "- A"]],
    [
      {},
      { registers: { A: reg32(0, { access: "ro", reset: 7, sticky: true }) } },
      ["A: rw -> ro, reset 0x0 -> 0x7, sticky none -> sticky"],
    ],
    [{}, { mmio: { size: 0x200, unmapped: 0xff } }, ["mmio: size 0x100 -> 0x200, unmapped none -> 0xff"]],
    [{}, { type: "widget" }, ["the device: type gadget -> widget"]],
    [
      { registers: { A: reg32(0, { fields: { M: rw([1, 0], { X: 0, Y: 1 }) } }) } },
      { registers: { A: reg32(0, { fields: { M: rw([1, 0], { Y: 0, X: 1 }) } }) } },
      ["A.M: reset X -> Y, X=0, Y=1 -> Y=0, X=1"],
    ],
    [
      { setup: ({ on }: Any) => on.write("A", () => 1) },
      { setup: ({ on }: Any) => on.write("A", () => 2) },
      ['on.write("A")'],
    ],
    [
      { setup: ({ on }: Any) => on.write("A", () => 1) },
      { setup: ({ on }: Any) => on.read("A", () => 1) },
      ['+ on.read("A")', '- on.write("A")'],
    ],
    [{ setup: () => 1 }, { setup: () => 2 }, ["setup"]],
    // Its layout is nobody's concern.
    // biome-ignore format: on purpose
    [{ setup: ({ on }: Any) => on.write("A", () => 1) }, { setup: ({ on }: Any) => on.write("A",   () => 1) }, []],
  ])("%#", (before, after, changes) => {
    const d = testbench(device(before)) as Any;
    expect(d.device.swap(device(after)).changes).toEqual(changes);
  });
});

describe("those who listen", () => {
  test("hear of the swap, then of edges, and go on with the new names", () => {
    const heard: unknown[] = [];
    const d = benchOf({
      irqs: ["on"],
      registers: { A: reg32(0), ID: reg32(4, { access: "constant", reset: 1 }) },
      setup: ({ irq, regs }: Any) => irq.on(() => regs.A.value === 1),
    });
    const observer: DeviceObserver = {
      swap: ({ changes, registers, registerMap }: SwapEvent) =>
        heard.push({ changes, registers, names: registerMap.registers.map(({ name }) => name) }),
      irq: ({ level }) => heard.push(level),
      access: ({ registers }) => heard.push(registers.map(({ name }) => name)),
    };
    const end = d.device.observe(observer);
    d.write32(0, 1);
    d.device.swap(
      define({
        irqs: ["on"],
        registers: { B: reg32(0), A: reg32(8), ID: reg32(4, { access: "constant", reset: 2 }) },
        setup: ({ irq, regs }: Any) => irq.on(() => regs.A.value !== 1),
      }),
    );
    d.read32(0);
    end();
    d.read32(0);
    expect(heard).toEqual([
      ["A"],
      true,
      {
        changes: ["+ B (rw at 0x0)", "ID: reset 0x1 -> 0x2", "A: at 0x0 -> 0x8", "irq.on"],
        registers: { A: 1, B: 0, ID: 2 },
        names: ["B", "ID", "A"],
      },
      false,
      ["B"],
    ]);
  });

  test("read register map and header of the definition that there is", () => {
    const d = benchOf({ registers: { A: reg32(0) } });
    d.device.swap(define({ registers: { BETTER: reg32(4) } }));
    expect(cHeader(d.device.registerMap)).toContain("BETTER");
    expect(cHeader(d.device.registerMap)).not.toContain("_A ");
  });

  test("a view of the old registers reaches no line any more", () => {
    const one = (level: number) =>
      define({
        irqs: ["on"],
        registers: { A: reg32(0) },
        setup: ({ irq, regs }: Any) => irq.on(() => regs.A.value === level),
      });
    const d = testbench(one(1)) as Any;
    const before = d.device.registers;
    d.device.swap(one(2));
    before.A.value = 1;
    expect(d.irq.on).toBe(false);
    expect(d.read32(0)).toBe(0);
  });
});

test("a device that is taken off and realized again is the new one", () => {
  const host = testHost();
  const device = createObject(define({ registers: { A: reg32(0) } }).typeInfo) as Any;
  device.realize(host);
  device.swap(define({ irqs: ["x"], registers: { B: reg32(0) }, setup: ({ irq }: Any) => irq.x(() => false) }));
  device.unrealize();
  device.realize(host);
  expect(Object.keys(device.registers)).toEqual(["B"]);
  expect(device.irqNames).toEqual(["x"]);
});

test("a bench's copy has the definition of the bench", () => {
  const d = benchOf({ registers: { A: reg32(0) } });
  d.write32(0, 5);
  d.device.swap(define({ registers: { A: reg32(4) } }));
  expect(d.clone().read32(4)).toBe(5);
});
