// The device alone: no processor, no Linux, a millisecond each.

import { testbench } from "plantain/testing";
import { expect, test } from "vitest";
import "plantain/testing/matchers";
import { myDevice } from "./my-device.ts";

test("tells who it is", () => {
  expect(testbench(myDevice)).toHaveRegister("ID", { MAGIC: 0xdec0de, VERSION: 1 });
});

test("counts, interrupts, and is acknowledged by writing one", () => {
  const d = testbench(myDevice, { nsPerTick: 10 });
  d.write("COUNT", 5);
  d.write("CTRL", { START: true, IRQ_EN: true });
  d.run(49);
  expect(d).toHaveRegister("STATUS", { BUSY: true, DONE: false });
  d.run(1);
  expect(d).toHaveRegister("STATUS", { BUSY: false, DONE: true });
  expect(d.irq.done).toBe(true);
  d.write("STATUS", { DONE: true });
  expect(d.irq.done).toBe(false);
  expect(d).toHaveRaisedIrq("done", { times: 1 });
  expect(d).not.toHaveGuestErrors();
});

test("START while BUSY is the driver's mistake", () => {
  const d = testbench(myDevice);
  d.write("COUNT", 5);
  d.write("CTRL", { START: true });
  d.write("CTRL", { START: true });
  expect(d).toHaveGuestErrors(["START while BUSY"]);
});
