import { testbench } from "plantain/testing";
import { expect, test } from "vitest";
import "plantain/testing/matchers";
import { bananaUart } from "./banana-uart.ts";

/** A bench at a speed where a byte takes 1 µs. */
const fast = () => testbench(bananaUart, { baud: 10_000_000 });

test("sends, one byte after the other", () => {
  const d = fast();
  for (const byte of Buffer.from("banana")) d.write("TX", byte);
  expect(d.lines.chardev.text).toBe("");
  d.run(1_000);
  expect(d.lines.chardev.text).toBe("b");
  expect(d.read("STATUS.TX_EMPTY")).toBe(false);
  d.run(5_000);
  expect(d.lines.chardev.text).toBe("banana");
  expect(d.read("STATUS.TX_EMPTY")).toBe(true);
});

test("receives", () => {
  const d = fast();
  d.lines.chardev.send("hi");
  expect(d).toHaveRegister("STATUS", { RX_READY: true, RX_LEVEL: 2 });
  expect([d.read("RX"), d.read("RX"), d.read("RX")]).toEqual([0x68, 0x69, 0]);
  expect(d).toHaveRegister("STATUS.RX_READY", false);
});

test("what finds no room waits at the host, and comes when the driver reads", () => {
  const d = fast();
  const text = "a line that is longer than the FIFO";
  d.lines.chardev.send(text);
  expect(d.lines.chardev.waiting).toBe(text.length - 16);
  let received = "";
  while (d.read("STATUS.RX_READY")) received += String.fromCharCode(d.read("RX.BYTE"));
  expect(received).toBe(text);
});

test("writing while TX_FULL is an overrun, until it is acknowledged", () => {
  const d = fast();
  for (let i = 0; i < 17; i++) d.write("TX", 0x30 + i);
  expect(d).toHaveRegister("STATUS", { TX_FULL: true, OVERRUN: true });
  d.write("STATUS", { OVERRUN: true });
  expect(d).toHaveRegister("STATUS.OVERRUN", false);
  d.run(16_000);
  expect(d.lines.chardev.bytes).toHaveLength(16);
});

test("interrupts while a byte waits", () => {
  const d = fast();
  d.write("CTRL", { RX_IE: true });
  expect(d.irq.irq).toBe(false);
  d.lines.chardev.send("x");
  expect(d.irq.irq).toBe(true);
  d.read("RX");
  expect(d.irq.irq).toBe(false);
  expect(d).toHaveRaisedIrq("irq", { times: 1 });
});

test("interrupts while there is nothing to send", () => {
  const d = fast();
  d.write("CTRL", { TX_IE: true });
  expect(d.irq.irq).toBe(true);
  d.write("TX", 1);
  expect(d.irq.irq).toBe(false);
  d.run(1_000);
  expect(d.irq.irq).toBe(true);
});

test("interrupts at the levels that the driver wants", () => {
  const d = fast();
  d.write("TRIGGER", { RX: 8, TX: 4 });
  d.write("CTRL", { RX_IE: true });
  d.lines.chardev.send("1234567");
  expect(d.irq.irq).toBe(false);
  d.lines.chardev.send("8");
  expect(d.irq.irq).toBe(true);
  d.read("RX");
  expect(d.irq.irq).toBe(false);

  for (const byte of Buffer.from("banana")) d.write("TX", byte);
  d.write("CTRL", { TX_IE: true });
  expect(d).toHaveRegister("STATUS.TX_LEVEL", 6);
  d.run(1_000);
  expect(d.irq.irq).toBe(false);
  d.run(1_000);
  expect(d).toHaveRegister("STATUS.TX_LEVEL", 4);
  expect(d.irq.irq).toBe(true);
});

test("a few bytes are told of too, when no more come", () => {
  const d = fast();
  d.write("TRIGGER", { RX: 8 });
  d.write("CTRL", { RX_IE: true });
  d.lines.chardev.send("12");
  d.run(3_000);
  d.lines.chardev.send("3");
  d.run(3_999);
  expect(d.irq.irq).toBe(false);
  d.run(1);
  expect(d).toHaveRegister("STATUS.RX_IDLE", true);
  expect(d.irq.irq).toBe(true);
  for (const byte of "123") {
    expect(d.read("RX")).toBe(byte.charCodeAt(0));
    expect(d.irq.irq).toBe(false);
  }
  d.run(100_000);
  expect(d).toHaveRegister("STATUS.RX_IDLE", false);
  expect(d).toHaveRaisedIrq("irq", { times: 1 });
});

test("a snapshot holds both FIFOs and the byte that is going out", () => {
  const d = fast();
  d.lines.chardev.send("in");
  for (const byte of Buffer.from("out")) d.write("TX", byte);
  d.run(1_500);
  const copy = d.clone();
  for (const bench of [d, copy]) {
    bench.run(2_000);
    expect(bench.lines.chardev.text).toBe("out");
    expect([bench.read("RX"), bench.read("RX")]).toEqual([0x69, 0x6e]);
  }
});

test("a speed of 0 is refused", () => {
  expect(() => testbench(bananaUart, { baud: 0 })).toThrow("banana-uart.baud: 0 bits per second never end");
});
