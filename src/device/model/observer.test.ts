// What those who listen to a device hear.

import { describe, expect, test, vi } from "vitest";
import { createObject } from "../../qom/type-registry.ts";
import { testbench } from "../../testing/testbench.ts";
import { testHost } from "../host-for-tests.ts";
import { type DeviceObserver, defineDevice, edge, pulse, rc, reg32, reg64, ro, rw } from "../index.ts";
import { resetTree } from "../reset.ts";

const mmio = { size: 0x100 };

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

  test("hear of derived values when they change, not when somebody looks", () => {
    const counter = defineDevice({
      type: "counter",
      mmio,
      registers: { LEVEL: reg32(0, { access: "ro" }), PUSH: reg32(4, { fields: { GO: pulse(0) } }) },
      setup({ derive, fifo, on, timer }) {
        const items = fifo("items", { depth: 4 });
        derive("LEVEL", () => items.length);
        on.write("PUSH.GO", () => {
          items.push(1);
          drain.after(10);
        });
        const drain = timer("drain", () => items.clear());
      },
    });
    const d = testbench(counter);
    d.write("PUSH", { GO: true });
    const heard: (string | number | bigint)[][] = [];
    d.device.observe({ change: ({ name, old, new: now, time }) => heard.push([name, old, now, time]) });
    d.write("PUSH", { GO: true });
    d.run(10);
    expect(heard).toEqual([
      ["LEVEL", 1, 2, 0],
      ["LEVEL", 2, 0, 10],
    ]);
  });
});
