import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { bank, defineDevice, edge, prop, pulse, reg16, reg32, reg64, regs, ro, rw, w1c } from "../device/index.ts";
import "./matchers.ts";
import { testbench } from "./testbench.ts";

const device = defineDevice({
  type: "banana",
  mmio: { size: 0x100 },
  irqs: ["done", edge("tick")],
  properties: { line: prop.chardev(), speed: prop(1) },
  registers: {
    CTRL: reg32(0x0, { fields: { GO: pulse(0), ON: rw(1), MODE: rw([3, 2], { COPY: 0, FILL: 1 }) } }),
    STATUS: reg32(0x4, { fields: { BUSY: ro(0), DONE: w1c(1), LEVEL: ro([15, 8]) } }),
    SRC: reg64(0x8),
    CH: bank(2, 0x10, 0x40, { Q: regs(2, 4, reg16(0x0)) }),
  },
  setup({ regs: { CTRL, STATUS }, on, irq, timer, random, wallClock, shutdown, guestError, stream }) {
    const line = stream("line", { free: 4, push: (byte) => line.write(byte + 1) }, (event) => line.write(`<${event}>`));
    irq.done(() => CTRL.ON && STATUS.DONE);
    const work = timer("work", () => {
      STATUS.BUSY = false;
      STATUS.DONE = true;
      irq.tick.pulse();
    });
    on.write("CTRL.GO", () => {
      if (STATUS.BUSY) guestError("GO while BUSY");
      STATUS.BUSY = true;
      STATUS.LEVEL = random(1)[0]! & 0xff;
      work.after(10);
    });
    on.write("CH.Q", (value) => {
      if (value === 1) shutdown({ kind: "poweroff", status: Number(wallClock() % 7n) });
    });
  },
});

describe("a bench", () => {
  test("reads and writes by name, by field and by offset", () => {
    const d = testbench(device);
    d.write("CTRL", { ON: true, MODE: "FILL" });
    expect([d.read("CTRL"), d.read("CTRL.MODE"), d.read("CTRL.ON"), d.read8(0)]).toEqual([6, "FILL", true, 6]);
    d.write("SRC", 0x1_0000_0002n);
    expect([d.read("SRC"), d.read32(0xc), d.read64(8)]).toEqual([0x1_0000_0002n, 1, 0x1_0000_0002n]);
    d.write("CH[1].Q[1]", 5);
    expect([d.read("CH[1].Q[1]"), d.read16(0x54)]).toEqual([5, 5]);
    expect(() => d.write("CH[0].Q[0]", 0x1_0000)).toThrow("CH[0].Q[0]: 65536 does not fit in 16 bits");
    const untyped = d as unknown as { read(name: string): unknown; write(name: string, value: object): void };
    expect(() => untyped.read("STATSU")).toThrow('banana has no register "STATSU" (did you mean "STATUS"?)');
    expect(() => untyped.write("CTRL", { MODE: "MOVE" })).toThrow("CTRL.MODE: MOVE is no value of the field");
    expect(() => untyped.write("CTRL", { MOD: 1 })).toThrow('CTRL has no field "MOD" (did you mean "MODE"?)');
  });

  test("notes accesses, edges, complaints, and forgets them", () => {
    const d = testbench(device);
    d.write("CTRL", { GO: true });
    d.write("CTRL", { GO: true });
    d.run(10);
    d.write32(0x80, 1);
    expect(
      d.accesses.map(({ write, register, offset, value, time }) => [write, register, offset, value, time]),
    ).toEqual([
      [true, "CTRL", 0, 1, 0],
      [true, "CTRL", 0, 1, 0],
      [true, undefined, 0x80, 1, 10],
    ]);
    expect(d.edges).toEqual([
      { irq: "tick", level: true, time: 10 },
      { irq: "tick", level: false, time: 10 },
    ]);
    expect(d.guestErrors).toEqual(["GO while BUSY", "write of 0x1 (4 bytes) at 0x80: no register is there"]);
    d.forget();
    expect([d.accesses, d.edges, d.guestErrors]).toEqual([[], [], []]);
    expect(() => d.run(-1)).toThrow("run(-1): expected a number of nanoseconds");
  });

  test("is a machine that always does the same", () => {
    const [a, b] = [testbench(device), testbench(device)];
    for (const d of [a, b]) {
      d.write("CTRL", { GO: true });
      d.write("CH[0].Q[0]", 1);
    }
    expect(a.read("STATUS.LEVEL")).toBe(b.read("STATUS.LEVEL"));
    expect(a.shutdowns).toEqual(b.shutdowns);
    expect(a.shutdowns).toHaveLength(1);
  });

  test("has the other end of each chardev", () => {
    const d = testbench(device);
    d.lines.line.send("HAL");
    d.lines.line.signal("break");
    expect(d.lines.line.text).toBe("IBM<break>");
    expect(d.lines.line.waiting).toBe(0);
  });

  test("has RAM where a test says", () => {
    const d = testbench(device, {}, { ram: 0x100 });
    d.ram.at(0x8000_00f0, 4).set([1, 2, 3, 4]);
    expect([...d.ram.at(d.ram.base + 0xf1n, 2)]).toEqual([2, 3]);
    expect(() => d.ram.at(0x8000_00ff, 2)).toThrow("ram.at(0x800000ff, 2): RAM is 0x80000000 to 0x800000ff");
  });

  test("copies itself", () => {
    const d = testbench(device, { speed: 3 });
    d.write("CTRL", { GO: true });
    d.ram.at(0x8000_0000, 1)[0] = 5;
    d.run(4);
    const copy = d.clone();
    expect([copy.now, copy.ram.bytes[0], copy.accesses]).toEqual([4, 5, []]);
    copy.run(6);
    expect(copy.registers.STATUS.DONE).toBe(true);
    expect(d.registers.STATUS.DONE).toBe(false);
  });
});

/** The message with which an expectation fails. */
function failure(run: () => void): string {
  try {
    run();
  } catch (error) {
    return stripVTControlCharacters((error as Error).message);
  }
  throw new Error("nothing failed");
}

describe("matchers", () => {
  function used() {
    const d = testbench(device);
    d.write("SRC", 5n);
    d.write("CTRL", { GO: true, ON: true });
    d.read("STATUS");
    d.run(10);
    d.write("STATUS", { DONE: true });
    return d;
  }

  test("toHaveRegister", () => {
    const d = used();
    expect(d).toHaveRegister("CTRL", 2);
    expect(d).toHaveRegister("SRC", 5n);
    expect(d).toHaveRegister("CTRL", { ON: true, MODE: "COPY" });
    expect(d).toHaveRegister("STATUS.DONE", false);
    expect(d).toHaveRegister("CH[1].Q[0]", 0);
    expect(d).not.toHaveRegister("CTRL.MODE", "FILL");
    expect(failure(() => expect(d).toHaveRegister("CTRL", 6))).toBe(
      "expected CTRL to be 0x6 (ON, MODE=FILL), but it is 0x2 (ON, MODE=COPY)",
    );
    expect(failure(() => expect(d).toHaveRegister("CTRL.MODE", "FILL"))).toBe(
      'expected CTRL.MODE to be "FILL", but it is "COPY"',
    );
    expect(failure(() => expect(d).toHaveRegister("CTRL", { ON: false, MODE: "COPY" }))).toMatch(
      /^expected CTRL to have\n[\s\S]*- +"ON": false,\n\+ +"ON": true,/,
    );
    expect(failure(() => expect(d).not.toHaveRegister("CTRL", 2))).toContain("expected CTRL not to be 0x2");
    // @ts-expect-error no such register
    expect(() => expect(d).toHaveRegister("CTLR", 1)).toThrow(
      'banana has no register or field "CTLR" (did you mean "CTRL"?)',
    );
    // @ts-expect-error no such field
    expect(() => expect(d).toHaveRegister("CTRL", { MOD: "COPY" })).toThrow('CTRL has no field "MOD"');
    // @ts-expect-error not a member
    expect(d).not.toHaveRegister("CTRL.MODE", "MOVE");
    // @ts-expect-error the field is a boolean
    expect(d).not.toHaveRegister("CTRL.ON", 1);
    expect(() => expect({}).toHaveRegister("CTRL", 1)).toThrow("toHaveRegister takes a testbench(...)");
  });

  test("toHaveRaisedIrq", () => {
    const d = used();
    expect(d).toHaveRaisedIrq("done");
    expect(d).toHaveRaisedIrq("tick", { times: 1 });
    expect(d).not.toHaveRaisedIrq("done", { times: 2 });
    expect(testbench(device)).not.toHaveRaisedIrq("done");
    expect(failure(() => expect(d).toHaveRaisedIrq("done", { times: 2 }))).toBe(
      "expected irq done to have risen 2 times, but it rose once\n\nall edges:\n" +
        "  10 ns: tick rises\n  10 ns: tick falls\n  10 ns: done rises\n  10 ns: done falls",
    );
    expect(failure(() => expect(testbench(device)).toHaveRaisedIrq("done"))).toBe(
      "expected irq done to have risen, but it rose never",
    );
    // @ts-expect-error no such interrupt
    expect(() => expect(d).toHaveRaisedIrq("don")).toThrow('banana has no irq "don" (did you mean "done"?)');
  });

  test("toHaveAccessed", () => {
    const d = used();
    expect(d).toHaveAccessed([
      { write: "SRC", value: 5n },
      { read: "STATUS" },
      { write: "STATUS", value: { DONE: true } },
    ]);
    expect(d).toHaveAccessed([
      { write: "CTRL", value: { GO: true } },
      { read: 4, value: 1 + (d.registers.STATUS.LEVEL << 8) },
    ]);
    expect(d).not.toHaveAccessed([{ read: "STATUS" }, { write: "CTRL" }]);
    expect(d).not.toHaveAccessed([{ write: "CTRL", value: { GO: false } }]);
    expect(d).toHaveAccessed([{ write: "SRC" }, { write: "CTRL" }, { read: "STATUS" }, { write: "STATUS" }], {
      exactly: true,
    });
    expect(d).not.toHaveAccessed([{ write: "SRC" }, { write: "CTRL" }, { read: "STATUS" }], { exactly: true });
    expect(d).not.toHaveAccessed([{ write: "SRC" }, { read: "STATUS" }], { exactly: true });
    const level = d.registers.STATUS.LEVEL;
    expect(
      failure(() =>
        expect(d).toHaveAccessed([{ write: "SRC" }, { write: "CTRL", value: { MODE: "FILL" } }, { read: 0x40 }]),
      ),
    ).toBe(
      [
        "expected these accesses in this order:",
        "  ✓ write SRC",
        "  ✗ write CTRL with MODE=FILL",
        "  ✗ read 0x40",
        "",
        "made:",
        "  ✓ write SRC = 0x5",
        "    write CTRL = 0x3 (GO, ON, MODE=COPY)",
        `    read STATUS = 0x${(1 + (level << 8)).toString(16)} (BUSY, LEVEL=${level})`,
        "    write STATUS = 0x2 (DONE, LEVEL=0)",
        "",
        "first difference: write CTRL with MODE=FILL does not come after access 1",
      ].join("\n"),
    );
    // @ts-expect-error no such register
    expect(() => expect(d).toHaveAccessed([{ read: "STATSU" }])).toThrow('banana has no register "STATSU"');
    // @ts-expect-error 64 bits are a bigint
    expect(d).toHaveAccessed([{ write: "SRC", value: 5 }]);
    // @ts-expect-error no such field
    expect(() => expect(d).not.toHaveAccessed([{ write: "CTRL", value: { MOD: 1 } }])).toThrow(
      'CTRL has no field "MOD" (did you mean "MODE"?)',
    );
  });

  test("toHaveGuestErrors", () => {
    const d = used();
    expect(d).not.toHaveGuestErrors();
    d.write("CTRL", { GO: true });
    d.write("CTRL", { GO: true });
    expect(d).toHaveGuestErrors();
    expect(d).toHaveGuestErrors(["GO while BUSY"]);
    expect(d).toHaveGuestErrors([/BUSY$/]);
    expect(d).not.toHaveGuestErrors([]);
    expect(failure(() => expect(d).not.toHaveGuestErrors())).toBe(
      "expected no guest errors, there are:\n  GO while BUSY",
    );
    expect(failure(() => expect(d).toHaveGuestErrors(["x", /y/]))).toBe(
      "expected these guest errors:\n  x\n  /y/\n\nthere are:\n  GO while BUSY",
    );
  });
});
