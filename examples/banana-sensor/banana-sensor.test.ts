import { testbench } from "plantain/testing";
import { expect, test } from "vitest";
import "plantain/testing/matchers";
import { bananaSensor } from "./banana-sensor.ts";

const MS = 1e6;

/** A bench that takes a sample every millisecond. */
function sampling(properties = {}) {
  const d = testbench(bananaSensor, properties);
  d.write("PERIOD", 1000);
  d.write("CTRL", { ENABLE: true, IRQ_EN: true });
  return d;
}

test("says who it is", () => {
  expect(testbench(bananaSensor).read("ID")).toBe(0xba5e0002);
});

test("is as warm as its surroundings", () => {
  const d = sampling({ ambient: -12_500 });
  d.run(1 * MS);
  expect(d.read("TEMP") | 0).toBe(-12_500);
  expect(d).toHaveRegister("STATUS", { READY: true, ABOVE: false });
});

test("takes no samples while it is off", () => {
  const d = sampling();
  d.write("CTRL", { ENABLE: false });
  d.run(10 * MS);
  expect(d).toHaveRegister("STATUS.READY", false);
});

test("the heater warms it exponentially", () => {
  const d = sampling({ tau: 100 });
  d.write("HEATER", { POWER: 500 });
  d.run(100 * MS);
  expect(d.read("TEMP") / 1000).toBeCloseTo(25 + 50 * (1 - 1 / Math.E), 2);
  d.run(1900 * MS);
  expect(d.read("TEMP") / 1000).toBeCloseTo(75, 2);
  d.write("HEATER", 0);
  d.run(100 * MS);
  expect(d.read("TEMP") / 1000).toBeCloseTo(25 + 50 / Math.E, 2);
});

test("raises alarm once above LIMIT, until the driver acknowledges it below", () => {
  const d = sampling({ tau: 100 });
  d.write("LIMIT", 30_000);
  d.write("HEATER", { POWER: 500 });
  // 25 + 50 (1 - e^-t) passes 30 degrees at t = 0.1054 of tau.
  d.run(10 * MS);
  expect(d.irq.alarm).toBe(false);
  d.run(1 * MS);
  expect(d.irq.alarm).toBe(true);
  d.write("STATUS", { ABOVE: true });
  expect(d.irq.alarm).toBe(false);
  d.run(1 * MS);
  expect(d).toHaveRaisedIrq("alarm", { times: 2 });
});

test("a reset turns the heater off and leaves it warm", () => {
  const d = sampling({ tau: 100 });
  d.write("HEATER", { POWER: 500 });
  d.run(2000 * MS);
  d.reset();
  expect(d).toHaveRegister("HEATER", 0);
  d.write("PERIOD", 1000);
  d.write("CTRL", { ENABLE: true });
  d.run(1 * MS);
  expect(d.read("TEMP") / 1000).toBeCloseTo(25 + 50 * Math.exp(-0.01), 2);
});

test("a snapshot goes on at the same temperature", () => {
  const d = sampling();
  d.write("HEATER", { POWER: 300 });
  d.run(333 * MS);
  const copy = d.clone();
  for (const bench of [d, copy]) bench.run(700 * MS);
  expect(copy.read("TEMP")).toBe(d.read("TEMP"));
  expect(copy.save()).toEqual(d.save());
});
