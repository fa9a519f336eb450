// A defined device's life: resets, snapshots, its device-tree node, realize and unrealize.

import { describe, expect, test } from "vitest";
import { FdtNode } from "../../fdt/fdt-node.ts";
import { createObject } from "../../qom/type-registry.ts";
import { testbench } from "../../testing/testbench.ts";
import { testHost } from "../host-for-tests.ts";
import { defineDevice, edge, prop, reg8, reg32, reg64, regs, rw, sticky, w1c } from "../index.ts";
import { resetTree } from "../reset.ts";
import { loadTree, saveTree } from "../snapshot.ts";

const mmio = { size: 0x100 };

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
    // Low after the reset, high by the write, low when the device leaves.
    expect(levels).toEqual([false, true, false, false, true, false, false, true, false]);
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
