// Devices that a program adds to a machine.

import { afterEach, beforeEach, expect, test } from "vitest";
import { defineDevice, prop, reg32, rw } from "../device/index.ts";
import { decodeFdt } from "../fdt/decode.ts";
import { assemble } from "../isa/assembler.ts";
import type { Machine } from "./machine.ts";
import { bareMachine } from "./machine-for-tests.ts";

const gadget = defineDevice({
  type: "gadget",
  compatible: "acme,gadget",
  mmio: { size: 0x100 },
  irqs: ["on"],
  properties: { start: prop(5 as number, "the first value") },
  registers: { CTRL: reg32(0, { fields: { ON: rw(0) } }), LEFT: reg32(4) },
  setup({ regs: { CTRL, LEFT }, props, on, irq }) {
    irq.on(() => CTRL.ON);
    on.reset(() => {
      LEFT.value = props.start;
    });
  },
});

let machine: Machine;
beforeEach(() => {
  machine = bareMachine();
});
afterEach(() => machine.close());

const nodes = () => [...decodeFdt(machine.board.deviceTree, "the board").root.find("/soc")!.children.keys()];

test("a device is there for the guest, and in the device tree", async () => {
  const device = machine.add(gadget, { addr: 0x500_0000, irq: 40, properties: { start: 9 } });
  expect(nodes()).toContain("gadget@5000000");
  const program = `
    li s0, 0x5000000
    lw s1, 4(s0)
    li t0, 1
    sw t0, 0(s0)
    1: j 1b`;
  machine.memory.writeBytes(0x8000_0000n, assemble(program, { base: 0x8000_0000n }).bytes);
  machine.events.timer("end", () => machine.stop()).at(1e6);
  await machine.run();
  expect(machine.engine.harts[0]!.x(9)).toBe(9n);
  expect(device.registers.CTRL.ON).toBe(true);
});

test("the board finds places and interrupts", () => {
  machine.add(gadget);
  machine.add(gadget);
  expect(nodes().filter((name) => name.startsWith("gadget"))).toEqual(["gadget@4002000", "gadget@4001000"]);
  expect(() => machine.add(gadget, { irq: 33 })).toThrow(
    /^machine.add\(gadget\): gadget: interrupt 33 is taken by gadget/,
  );
  machine.add(gadget, { irq: 34 });
});

test.each([
  [{ addr: 0x400_0000 }, /^machine.add\(gadget\): gadget at 0x4000000-0x40000ff overlaps banana-rom/],
  [{ irq: 11 }, /interrupt 11 is taken by goldfish-rtc/],
  [{ properties: { strat: 1 } }, /gadget has no property "strat" \(did you mean "start"\?\)/],
])("%j is refused, and nothing of it stays", (options, message) => {
  expect(() => machine.add(gadget, options)).toThrow(message);
  expect(machine.add(gadget).realized).toBe(true);
  expect(nodes().filter((name) => name.startsWith("gadget"))).toEqual(["gadget@4001000"]);
});

test("none is added when the machine has run", async () => {
  machine.events.timer("end", () => machine.stop()).at(1000);
  await machine.run();
  expect(() => machine.add(gadget)).toThrow("machine.add(gadget): the machine has run: its devices are what they are");
});
