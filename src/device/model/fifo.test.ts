// Queues, and streams that feed them.

import { expect, test } from "vitest";
import { BenchLine } from "../../testing/bench-line.ts";
import { testbench } from "../../testing/testbench.ts";
import { defineDevice, prop, reg32, UserError } from "../index.ts";
import { ModelFifo } from "./fifo.ts";

const made = (depth: number, width?: 8 | 16 | 32) =>
  new ModelFifo("q", { depth, ...(width !== undefined && { width }) }, () => {});

test("first in, first out, round and round", () => {
  const fifo = made(3);
  let next = 0;
  let expected = 0;
  for (const pushes of [1, 2, 3, 4, 0, 5, 1, 3]) {
    for (let i = 0; i < pushes; i++) {
      const room = fifo.free > 0;
      expect(fifo.push(next)).toBe(room);
      if (room) next++;
    }
    expect(fifo.length).toBe(next - expected);
    expect([fifo.empty, fifo.full]).toEqual([next === expected, next - expected === 3]);
    for (let i = 0; i < 2 && !fifo.empty; i++) {
      expect(fifo.peek()).toBe(expected);
      expect(fifo.pop()).toBe(expected++);
    }
  }
  fifo.clear();
  expect([fifo.pop(), fifo.peek(), fifo.length, fifo.depth]).toEqual([undefined, undefined, 0, 3]);
});

test("holds items of its width only", () => {
  expect(() => made(1).push(256)).toThrow("q.push(0x100): expected 0 to 0xff");
  expect(() => made(1, 16).push(-1)).toThrow("q.push(-0x1): expected 0 to 0xffff");
  expect(() => made(1).push(Number.NaN)).toThrow("q.push(NaN): expected 0 to 0xff");
  const wide = made(1, 32);
  wide.push(0xffff_ffff);
  expect(wide.pop()).toBe(0xffff_ffff);
});

test("is saved in its order, wherever in the ring it begins", () => {
  const fifo = made(3);
  for (const item of [1, 2, 3]) fifo.push(item);
  fifo.pop();
  fifo.push(4);
  expect(fifo.save()).toEqual([2, 3, 4]);
  const other = made(3);
  other.load(other.check(fifo.save()));
  expect([other.pop(), other.pop(), other.pop()]).toEqual([2, 3, 4]);
  expect(() => other.check("abc")).toThrow(UserError);
});

const echo = defineDevice({
  type: "echo",
  mmio: { size: 0x10 },
  properties: { line: prop.chardev() },
  registers: { RX: reg32(0x0, { access: "ro" }), TX: reg32(0x4) },
  setup({ on, fifo, stream }) {
    const rx = fifo("rx", { depth: 2 });
    const line = stream("line", rx);
    on.read("RX", () => rx.pop() ?? 0);
    on.write("TX", (value) => line.write(value === 0 ? "text" : value === 1 ? Uint8Array.of(1, 2) : value));
  },
});

test("a stream sends bytes and text, and nothing that is no byte", () => {
  const d = testbench(echo);
  for (const value of [0, 1, 0x41]) d.write("TX", value);
  expect([...d.lines.line.bytes]).toEqual([...Buffer.from("text"), 1, 2, 0x41]);
  expect(() => d.write("TX", 256)).toThrow(
    'echo: on.write("TX"): write(256) to stream "line": expected a byte from 0 to 255',
  );
});

test("the host waits for room, and goes on when there is some; also after a reset and a load", () => {
  const d = testbench(echo);
  d.lines.line.send("abcdef");
  expect([d.read("RX"), d.lines.line.waiting]).toEqual([0x61, 3]);
  d.reset();
  expect([d.read("RX"), d.read("RX"), d.lines.line.waiting]).toEqual([0x64, 0x65, 0]);
  const state = d.save();
  d.lines.line.send("xyz");
  d.load(state);
  expect(d.lines.line.waiting).toBe(2);
  d.run(0);
  expect(d.lines.line.waiting).toBe(1);
  expect([d.read("RX"), d.read("RX")]).toEqual([0x66, 0x79]);
});

test("without a chardev nothing comes, and what is sent is gone", () => {
  const d = testbench(echo, { line: undefined });
  d.write("TX", 0);
  expect(d.read("RX")).toBe(0);
});

test("a device that has left takes nothing more", () => {
  const line = new BenchLine("line");
  const d = testbench(echo, { line });
  d.device.unrealize();
  line.send("abc");
  expect(line.waiting).toBe(3);
});
