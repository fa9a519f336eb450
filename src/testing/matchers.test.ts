// What matchers say of a driver's accesses, on a bench and in a trace of a machine: when they pass, and why they do not.

import { afterEach, describe, expect, test } from "vitest";
import { bank, defineDevice, pulse, reg32, reg64, reserved, ro, rw, w1c } from "../device/index.ts";
import { assemble } from "../isa/assembler.ts";
import type { Machine } from "../machine/machine.ts";
import { bareMachine } from "../machine/machine-for-tests.ts";
import { DeviceTrace } from "./device-trace.ts";
import { misuses, testbench } from "./index.ts";
import "./matchers.ts";

const widget = defineDevice({
  type: "widget",
  irqs: ["done"],
  mmio: { size: 0x100 },
  registers: {
    CTRL: reg32(0x00, {
      fields: { START: pulse(0), IRQ_EN: rw(1), MODE: rw([3, 2], { COPY: 0, FILL: 1 }), REST: reserved([31, 16]) },
    }),
    STATUS: reg32(0x04, { fields: { BUSY: ro(0), DONE: w1c(1) } }),
    LEN: reg32(0x08),
    KEY: reg32(0x0c, { access: "wo" }),
    ID: reg32(0x10, { access: "ro", reset: 7 }),
    SRC: reg64(0x18),
    CH: bank(2, 0x10, 0x40, { GO: reg32(0), COUNT: reg32(4, { access: "ro" }) }),
  },
  setup({ regs: { CTRL, STATUS, LEN }, on, irq, timer }) {
    irq.done(() => CTRL.IRQ_EN && STATUS.DONE);
    const end = timer("end", () => {
      STATUS.BUSY = false;
      STATUS.DONE = true;
    });
    on.write("CTRL.START", () => {
      STATUS.BUSY = true;
      end.after(LEN.value);
    });
  },
});

function failure(run: () => void): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it passed");
}

/** A transfer with everything done right. */
function good() {
  const d = testbench(widget);
  d.write("SRC", 0x1000n);
  d.write("LEN", 100);
  d.write("CTRL", { START: true, IRQ_EN: true });
  for (let n = 0; n < 3; n++) d.read("STATUS");
  d.run(100);
  d.read("STATUS");
  d.write("STATUS", { DONE: true });
  return d;
}

describe("toHaveAccessed", () => {
  test("wildcards, polling, values that functions and Vitest's own decide about", () => {
    const d = good();
    expect(d).toHaveAccessed([
      { write: "*", value: (value) => value === 100 },
      { write: "CTRL", value: { START: true, MODE: (mode) => mode !== "FILL" } },
    ]);
    expect(d).toHaveAccessed([{ write: "LEN", value: expect.any(Number) }]);
    expect(d).not.toHaveAccessed([{ write: "LEN", value: (value) => value > 100 }]);
    expect(d).toHaveAccessed(
      ["...", { write: "CTRL" }, { read: "STATUS", repeat: true }, { write: "STATUS", value: { DONE: true } }],
      { exactly: true },
    );
    expect(d).toHaveAccessed([{ write: "SRC" }, "...", { write: "STATUS" }], { exactly: true });
    expect(d).toHaveAccessed(["..."], { exactly: true });
    expect(d).not.toHaveAccessed(["...", { read: "STATUS", repeat: true }], { exactly: true });
    expect(d).not.toHaveAccessed([{ write: "SRC" }, { write: "CTRL" }, "..."], { exactly: true });
    d.write("CH[1].GO", 5);
    expect(d).toHaveAccessed([{ write: "CH[*].GO", value: 5 }]);
    expect(d).not.toHaveAccessed([{ read: "CH[*].*" }]);
    expect(() => expect(d).toHaveAccessed([{ write: "DH[*].GO" }])).toThrow('widget has no register "DH[*].GO"');
    // @ts-expect-error the field is a boolean
    expect(d).not.toHaveAccessed([{ write: "CTRL", value: { START: 1 } }]);
    // @ts-expect-error the value is a number
    expect(d).not.toHaveAccessed([{ write: "LEN", value: "100" }]);
  });

  test("exactly: the first difference, or what is missing at the end, or what is too much", () => {
    const d = good();
    const expected = [{ write: "SRC" }, { write: "CTRL", value: { START: true } }, "..."] as const;
    expect(failure(() => expect(d).toHaveAccessed(expected, { exactly: true }))).toBe(
      [
        "expected exactly these accesses:",
        "  ✓ write SRC",
        "  ✗ write CTRL with START=true",
        "  ✗ ...",
        "",
        "made:",
        "  ✓ write SRC = 0x1000",
        "  ✗ write LEN = 0x64",
        "    write CTRL = 0x3 (START, IRQ_EN, MODE=COPY)",
        "    read STATUS = 0x1 (BUSY)",
        "    read STATUS = 0x1 (BUSY)",
        "    read STATUS = 0x1 (BUSY)",
        "    read STATUS = 0x2 (DONE)",
        "    write STATUS = 0x2 (DONE)",
        "",
        "first difference, at access 2: expected write CTRL with START=true; got write LEN = 0x64",
      ].join("\n"),
    );
    expect(failure(() => expect(d).toHaveAccessed(["...", { read: "ID" }], { exactly: true }))).toContain(
      "first difference, at access 9: expected read ID; there are no more",
    );
    expect(failure(() => expect(d).toHaveAccessed([{ write: "SRC" }], { exactly: true }))).toContain(
      "first difference, at access 2: expected no more accesses; got write LEN = 0x64",
    );
    const polled = [
      { write: "*", repeat: true },
      { read: "STATUS", repeat: true },
    ] as const;
    expect(failure(() => expect(d).toHaveAccessed(polled, { exactly: true }))).toContain(
      "at access 8: expected read STATUS, once or more; got write STATUS = 0x2 (DONE)",
    );
    expect(failure(() => expect(d).not.toHaveAccessed(["..."], { exactly: true }))).toMatch(
      /^expected not exactly these accesses:\n {2}✓ \.\.\./,
    );
  });

  test("of many accesses those around the difference are shown", () => {
    const d = testbench(widget);
    for (let n = 0; n < 1000; n++) d.read("STATUS");
    d.write("LEN", 1);
    const message = failure(() => expect(d).toHaveAccessed([{ read: "STATUS", repeat: true }], { exactly: true }));
    expect(message).toContain("made:\n    ... 970 more\n");
    expect(message).toContain("at access 1001: expected read STATUS, once or more; got write LEN = 0x1");
    expect(message.split("\n").length).toBeLessThan(50);
  });
});

describe("toHaveTouched", () => {
  test("registers, fields, reads, writes", () => {
    const d = good();
    expect(d).toHaveTouched("LEN");
    expect(d).not.toHaveTouched("KEY");
    expect(d).not.toHaveTouched(["KEY", "CH[*].*", "ID"]);
    expect(d).toHaveTouched("*");
    expect(d).not.toHaveTouched("LEN", { by: "read" });
    expect(d).toHaveTouched("STATUS", { by: "read" });
    expect(d).toHaveTouched("CTRL.IRQ_EN", { by: "write" });
    expect(d).not.toHaveTouched("CTRL.MODE");
    expect(failure(() => expect(d).not.toHaveTouched(["ID", "LEN"]))).toBe(
      "expected ID, LEN never to be touched, but there is:\n  write LEN = 0x64",
    );
    expect(failure(() => expect(d).toHaveTouched("KEY", { by: "write" }))).toBe(
      "expected KEY to be written, but nobody did",
    );
    // @ts-expect-error no such register
    expect(() => expect(d).not.toHaveTouched("KEZ")).toThrow('widget has no register or field "KEZ"');
  });
});

describe("toHaveWrittenWhile", () => {
  test("registers and fields, as the device was before the write", () => {
    const d = good();
    expect(d).not.toHaveWrittenWhile(["SRC", "LEN", "CTRL"], { STATUS: { BUSY: true } });
    expect(d).toHaveWrittenWhile("STATUS", { STATUS: { DONE: true }, LEN: 100 });
    expect(d).not.toHaveWrittenWhile("STATUS", { STATUS: { DONE: true }, LEN: 99 });
    d.write("CTRL", { START: true });
    d.write("LEN", 5);
    d.write("CTRL", { MODE: "COPY", IRQ_EN: true });
    expect(failure(() => expect(d).not.toHaveWrittenWhile(["LEN", "SRC"], { STATUS: { BUSY: true } }))).toBe(
      "expected LEN, SRC never to be written while STATUS has BUSY=true, but there is:\n  write LEN = 0x5 while STATUS = 0x1 (BUSY)",
    );
    expect(d).toHaveWrittenWhile("CTRL.IRQ_EN", { STATUS: { BUSY: true } });
    expect(d).not.toHaveWrittenWhile("CTRL.MODE", { STATUS: { BUSY: true } });
    expect(d).not.toHaveWrittenWhile("CTRL.START", { STATUS: { BUSY: true } });
    expect(d).toHaveWrittenWhile("*", ({ STATUS, LEN }) => STATUS.BUSY && LEN === 5);
    expect(failure(() => expect(d).toHaveWrittenWhile("SRC", ({ STATUS }) => STATUS.BUSY))).toMatch(
      /^expected SRC to be written while \(\(\{ STATUS \}\) => STATUS\.BUSY\), but nobody did$/,
    );
    // @ts-expect-error no such field
    expect(() => expect(d).not.toHaveWrittenWhile("LEN", { STATUS: { BUSI: true } })).toThrow(
      'toHaveWrittenWhile: STATUS has no field "BUSI" (did you mean "BUSY"?)',
    );
  });
});

describe("toHaveAcknowledgedIrqs", () => {
  test("by the end, and within a time", () => {
    const d = good();
    expect(d).toHaveRaisedIrq("done", { times: 1 });
    expect(d).toHaveAcknowledgedIrqs();
    d.write("CTRL", { START: true, IRQ_EN: true });
    d.run(150);
    expect(failure(() => expect(d).toHaveAcknowledgedIrqs())).toBe(
      "expected all interrupts to be acknowledged:\n  done, raised at 200 ns, is still up at the end, 50 ns later",
    );
    d.run(50);
    d.write("STATUS", { DONE: true });
    expect(d).toHaveAcknowledgedIrqs();
    expect(d).toHaveAcknowledgedIrqs({ irq: "done", within: 100 });
    expect(d).not.toHaveAcknowledgedIrqs({ irq: "done", within: 99 });
    expect(failure(() => expect(d).toHaveAcknowledgedIrqs({ irq: "done", within: 99 }))).toBe(
      "expected irq done to be acknowledged within 99 ns:\n  done, raised at 200 ns, falls after 100 ns",
    );
    expect(failure(() => expect(d).not.toHaveAcknowledgedIrqs())).toBe(
      "expected all interrupts not to be acknowledged, but all 2 were",
    );
    d.write("CTRL", { START: true, IRQ_EN: true });
    d.run(200);
    d.forget();
    expect(d).not.toHaveAcknowledgedIrqs();
    d.write("STATUS", { DONE: true });
    expect(d).toHaveAcknowledgedIrqs();
    // @ts-expect-error no such interrupt
    expect(() => expect(d).toHaveAcknowledgedIrqs({ irq: "don" })).toThrow('widget has no irq "don"');
  });
});

describe("toHaveMisuse", () => {
  test("nothing wrong", () => {
    const d = good();
    d.write32(0x18, 1);
    d.write32(0x1c, 1);
    d.write("KEY", 1);
    expect(d).not.toHaveMisuse();
    expect(misuses(d)).toEqual([]);
    expect(failure(() => expect(d).toHaveMisuse())).toBe("expected misuse of registers, but there is none");
  });

  test.each([
    ["write-only", (d) => d.read("KEY"), "reads write-only KEY: read KEY = 0x0"],
    ["read-only", (d) => d.write("ID", 1), "writes read-only ID: write ID = 0x1"],
    ["undefined", (d) => d.read32(0x20), "no register is there: read 0x20 (4 bytes) = 0x0"],
    ["width", (d) => d.read8(0x05), "1 byte at 0x5, but STATUS has 4: read STATUS (1 bytes at 0x5) = 0x0"],
    ["reserved", (d) => d.write("CTRL", 0x10_0002), "changes reserved bits 0x100000 of CTRL: write CTRL = 0x100002"],
    ["reserved", (d) => d.write("STATUS", 0x80), "changes reserved bits 0x80 of STATUS: write STATUS = 0x80"],
  ] satisfies [string, (d: ReturnType<typeof good>) => void, string][])("%s", (kind, misuse, text) => {
    const d = good();
    misuse(d);
    expect(d).toHaveMisuse();
    expect(d).toHaveMisuse(kind as "width");
    expect(d).not.toHaveMisuse(kind === "width" ? "refused" : "width");
    const message = failure(() => expect(d).not.toHaveMisuse());
    expect(message).toContain(`expected no misuse of registers, there is:\n  ${kind}: ${text}`);
  });
});

/** Takes nothing but whole words. */
const narrow = defineDevice({
  type: "narrow",
  mmio: { size: 0x10, valid: { min: 4, max: 4 } },
  registers: { STATUS: reg32(0x04) },
});

test("toHaveMisuse: what the bus refused, though the device never saw it", () => {
  const d = testbench(narrow);
  d.read("STATUS");
  expect(d).not.toHaveMisuse();
  expect(() => d.write8(0x04, 1)).toThrow("access fault");
  expect(d).toHaveMisuse("refused");
  expect(d).not.toHaveTouched("STATUS", { by: "write" });
  expect(failure(() => expect(d).not.toHaveMisuse())).toMatch(
    /\n {2}refused: the bus refused it: write STATUS \(1 bytes at 0x4\) refused: .*the region takes 4 bytes at a time$/,
  );
});

describe("a trace of a machine", () => {
  let machine: Machine;
  afterEach(() => machine.close());

  async function trace(program: string, limit?: number): Promise<DeviceTrace> {
    machine = bareMachine();
    machine.add(widget, { addr: 0x500_0000, irq: 40, id: "w0" });
    machine.add(narrow, { addr: 0x500_1000, id: "n0" });
    machine.memory.writeBytes(
      0x8000_0000n,
      assemble(`li s0, 0x5000000\n${program}\nend: j end`, { base: 0x8000_0000n }).bytes,
    );
    const made = DeviceTrace.start(machine, ["w0"], limit === undefined ? {} : { limit });
    machine.events.timer("end", () => machine.stop()).at(1e5);
    await machine.run();
    return made.stop();
  }

  test("has what a bench has, with the guest's place", async () => {
    const made = await trace(`
      li t0, 500
      sw t0, 8(s0)
      li t0, 3
      sw t0, 0(s0)
      sw t0, 8(s0)
      poll: lw t1, 4(s0)
      andi t1, t1, 2
      beqz t1, poll
      ld t1, 0(s0)
      lb t1, 12(s0)`);
    expect(made).toHaveAccessed(
      [{ write: "LEN", value: 500 }, { write: "CTRL" }, { write: "LEN" }, { read: "STATUS", repeat: true }, "..."],
      { exactly: true },
    );
    expect(failure(() => expect(made).toHaveAccessed([{ write: "CTRL" }, "..."], { exactly: true }))).toContain(
      "first difference, at access 1: expected write CTRL; got write LEN = 0x1f4 [hart 0 0x80000008]",
    );
    expect(failure(() => expect(made).not.toHaveWrittenWhile("LEN", { STATUS: { BUSY: true } }))).toContain(
      "  write LEN = 0x3 [hart 0 0x80000014] while STATUS = 0x1 (BUSY)",
    );
    expect(made).toHaveRaisedIrq("done", { times: 1 });
    expect(failure(() => expect(made).toHaveAcknowledgedIrqs())).toMatch(
      /done, raised at \d+ ns, is still up at the end/,
    );
    expect(made).not.toHaveTouched("ID");
    expect(made).toHaveRegister("STATUS", { DONE: true });
    expect(misuses(made).map(({ kind, text }) => [kind, text.split(":")[0]])).toEqual([
      ["width", "8 bytes at 0x0, but CTRL has 4"],
      ["width", "8 bytes at 0x0, but STATUS has 4"],
      ["write-only", "reads write-only KEY"],
      ["width", "1 byte at 0xc, but KEY has 4"],
    ]);
  });

  test("is iterated, filtered, printed as -trace does, and stays as it is when stopped", async () => {
    const made = await trace("li t0, 1\nsw t0, 8(s0)\nlw t0, 4(s0)\nsw t0, 0x44(s0)\nlw t0, 2(s0)");
    expect([...made].map(({ kind }) => kind)).toContain("guestError");
    expect(made.filter({ kind: "access", write: true }).accesses.map(({ register }) => register)).toEqual([
      "LEN",
      "CH[0].COUNT",
    ]);
    expect(made.filter({ register: "CH[*].*" }).records).toHaveLength(1);
    expect(made.filter((record) => record.origin?.pc === 0x8000_0008n).records).toHaveLength(1);
    expect(made.filter({ symbol: /./ }).records).toEqual([]);
    const text = String(made.filter({ register: "LEN" }));
    expect(text).toMatch(/^0\.\d{9} w0: write LEN = 0x00000001 \(was 0x00000000\) \[hart 0 0x80000008\]\n$/);
    const count = made.records.length;
    machine.memory.store(0x500_0008, 4, 7, 0);
    expect(made.records.length).toBe(count);
    expect(made.of("w0").accesses).toEqual(made.accesses);
    expect(() => made.of("w1")).toThrow('the trace has no device "w1" (did you mean "w0"?)');
  });

  test("that is full is no witness; several devices are asked one by one", async () => {
    const made = await trace("loop: lw t0, 4(s0)\nj loop", 10);
    expect(made.records).toHaveLength(10);
    expect(made.dropped).toBeGreaterThan(0);
    expect(() => expect(made).not.toHaveTouched("ID")).toThrow(/the trace is not whole: \d+ records found no room/);
    const both = DeviceTrace.start(machine, ["w0", "uart0"]);
    machine.memory.load(0x500_0010, 4);
    machine.memory.load(0x1000_0005, 1);
    both.stop();
    expect(() => expect(both).toHaveTouched("LSR")).toThrow("the trace is of w0, uart0: say of which device");
    expect(both.of("uart0")).toHaveTouched("LSR");
    expect(both.of("w0")).not.toHaveTouched("STATUS");
  });

  test("refused accesses", async () => {
    await trace("la t1, trap\ncsrw mtvec, t1\n.p2align 2\ntrap: j trap");
    const made = DeviceTrace.start(machine, ["n0"]);
    machine.memory.load(0x500_1004, 2);
    expect(made.accesses).toEqual([]);
    expect(made).toHaveMisuse("refused");
    expect(String(made)).toMatch(
      /n0: refused read of 2 bytes at 0x4 \(STATUS\): the region takes 4 bytes at a time\n$/,
    );
    machine.memory.load(0x500_1004, 4);
    expect(made.accesses).toHaveLength(1);
    made.stop();
  });
});
