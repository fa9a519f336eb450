import { testbench } from "plantain/testing";
import { expect, test } from "vitest";
import "plantain/testing/matchers";
import { bananaDma } from "./banana-dma.ts";

const FROM = 0x8000_0000n;
const TO = 0x8000_0100n;

/** A bench where the driver has asked for a copy of four bytes. */
function copying() {
  const d = testbench(bananaDma, { nsPerByte: 1 });
  d.ram.at(FROM, 4).set([1, 2, 3, 4]);
  d.write("SRC", FROM);
  d.write("DST", TO);
  d.write("LEN", 4);
  d.write("CTRL", { START: true, IRQ_EN: true });
  return d;
}

test("copies, raises done, and is acknowledged by writing one", () => {
  const d = copying();
  expect(d).toHaveRegister("STATUS", { BUSY: true, DONE: false });
  expect(d.read("CTRL")).toBe(0b10);
  d.run(3);
  expect(d.irq.done).toBe(false);
  d.run(1);
  expect(d.irq.done).toBe(true);
  expect([...d.ram.at(TO, 4)]).toEqual([1, 2, 3, 4]);
  d.write("STATUS", { DONE: true });
  expect(d.irq.done).toBe(false);
  expect(d).toHaveRaisedIrq("done", { times: 1 });
  expect(d).not.toHaveGuestErrors();
});

test("the driver's accesses", () => {
  expect(copying()).toHaveAccessed([
    { write: "SRC", value: FROM },
    { write: "DST", value: TO },
    { write: "CTRL", value: { START: true, MODE: "COPY" } },
  ]);
});

test("fills", () => {
  const d = testbench(bananaDma);
  d.write("SRC", 0xabn);
  d.write("DST", TO);
  d.write("LEN", 3);
  d.write("CTRL", { START: true, MODE: "FILL" });
  d.run(30);
  expect([...d.ram.at(TO, 4)]).toEqual([0xab, 0xab, 0xab, 0]);
  expect(d.irq.done).toBe(false);
});

test("an address where nothing is sets ERROR and interrupts too", () => {
  const d = testbench(bananaDma);
  d.write("LEN", 0xffff_ffff);
  d.write("CTRL", { START: true, IRQ_EN: true });
  d.run(0xffff_ffff * 10);
  expect(d).toHaveRegister("STATUS", { BUSY: false, DONE: false, ERROR: true });
  expect(d.irq.done).toBe(true);
});

test("START while BUSY is the driver's mistake", () => {
  const d = copying();
  d.write("CTRL", { START: true });
  expect(d).toHaveGuestErrors(["START while BUSY"]);
});

test("no other mode than those there are", () => {
  const d = testbench(bananaDma);
  d.write("CTRL", 0b1100);
  expect(d).toHaveRegister("CTRL.MODE", "COPY");
  expect(d).toHaveGuestErrors(["CTRL.MODE: 3 is none of COPY=0, FILL=1"]);
});

test("a reset ends everything", () => {
  const d = copying();
  d.reset();
  d.run(1000);
  expect(d).toHaveRegister("STATUS", 0);
  expect([...d.ram.at(TO, 4)]).toEqual([0, 0, 0, 0]);
});

test("a snapshot in the middle of a transfer goes on", () => {
  const d = copying();
  d.run(2);
  const copy = d.clone();
  for (const bench of [d, copy]) {
    bench.run(1);
    expect(bench.irq.done).toBe(false);
    bench.run(1);
    expect(bench.irq.done).toBe(true);
    expect([...bench.ram.at(TO, 4)]).toEqual([1, 2, 3, 4]);
  }
});
