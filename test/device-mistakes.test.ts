// What a person is told whose device file is wrong: each kind of mistake, with its message and the line it points to.
// Not beside the code: lines of src are Plantain's own, and are never the ones that a message names.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  bank,
  constant,
  defineDevice,
  edge,
  prop,
  pulse,
  reg8,
  reg16,
  reg32,
  reg64,
  regs,
  reserved,
  ro,
  rw,
  UserError,
  w1c,
  wo,
} from "plantain/device";
import { testbench } from "plantain/testing";
import { describe, expect, test } from "vitest";

const FILE = fileURLToPath(import.meta.url);
const LINES = readFileSync(FILE, "utf8").split("\n");

/** ` (file:line)` of the line of this file that ends with the comment `// @marker`. */
function at(marker: string): string {
  const line = LINES.findIndex((text) => text.endsWith(`// @${marker}`));
  if (line < 0) throw new Error(`no line ends with // @${marker}`);
  return ` (${FILE}:${line + 1})`;
}

/** The error that `run` throws. Its column is left out: the marked line is what a test is about. */
function thrownBy(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) {
      error.message = error.message.replace(/(:\d+):\d+\)$/, "$1)");
      return error;
    }
  }
  throw new Error("nothing was thrown");
}

/** For what only untyped code can write. */
// biome-ignore lint/suspicious/noExplicitAny: that is its purpose
const any = (value: unknown): any => value;
const mmio = { size: 0x100 };
/** A device with these registers. */
const withRegisters = (registers: object) => () => defineDevice({ type: "banana", mmio, registers: any(registers) });

describe("when the file is read", () => {
  const FIELDS = {
    A: rw([3, 0]),
    OVER: rw([4, 3]), // @overlap
    WIDE: rw(32), // @wide
    BACK: rw([0, 3]), // @backwards
    ONE: rw([3, 3]), // @one
    HUGE: rw([60, 0]), // @huge
    HALF: rw(1.5), // @half
    ENUM: rw([1, 0], { COPY: 0, FILL: 4 }), // @enumwide
    TWICE: rw([1, 0], { COPY: 1, FILL: 1 }), // @enumtwice
    MODE: rw([1, 0], { COPY: 1, FILL: 2 }), // @enumreset
    WIRED: constant([3, 0], 16), // @constant
    value: rw(0), // @value
    START: pulse(0), // @pulse
  };
  const plain = reg32(0x0); // @plain
  const next = reg32(0x0); // @next
  const odd = reg32(0x2); // @odd
  const out = reg64(0x100); // @out
  const big = reg8(0x0, { reset: 0x100 }); // @big
  const array = regs(4, 2, reg32(0x10)); // @array
  const typo = reg32(0x0, any({ acess: "ro" })); // @typo
  const kind = reg32(0x0, any({ access: "read" })); // @kind
  const both = reg32(0x0, { access: "ro", fields: { A: rw(0) } }); // @both
  const unnamed = reg32(0x0, any({ fields: { A: rw(0) }, reset: { B: 1 } })); // @unnamed
  const none = regs(0, 4, reg32(0x0)); // @none
  const empty = bank(2, 0x10, 0x0, {}); // @empty

  test.each<[what: string, define: () => unknown, message: string, marker: string]>([
    [
      "fields overlap",
      withRegisters({ CTRL: reg32(0, { fields: { A: FIELDS.A, OVER: FIELDS.OVER } }) }),
      "banana.CTRL.OVER: bits 4..3 overlap A (bits 3..0)",
      "overlap",
    ],
    [
      "a field outside the register",
      withRegisters({ CTRL: reg32(0, { fields: { WIDE: FIELDS.WIDE } }) }),
      "banana.CTRL.WIDE: bit 32 is outside a register of 32 bits",
      "wide",
    ],
    [
      "bits the wrong way round",
      withRegisters({ CTRL: reg32(0, { fields: { BACK: FIELDS.BACK } }) }),
      "banana.CTRL.BACK: [0, 3]: the highest bit comes first: [3, 0]",
      "backwards",
    ],
    [
      "one bit as two numbers",
      withRegisters({ CTRL: reg32(0, { fields: { ONE: FIELDS.ONE } }) }),
      "banana.CTRL.ONE: [3, 3] is one bit: write 3, and it is a boolean",
      "one",
    ],
    [
      "a field that no number holds",
      withRegisters({ CTRL: reg64(0, { fields: { HUGE: FIELDS.HUGE } }) }),
      "banana.CTRL.HUGE: 61 bits are too many for a field: at most 53",
      "huge",
    ],
    [
      "half a bit",
      withRegisters({ CTRL: reg32(0, { fields: { HALF: FIELDS.HALF } }) }),
      "banana.CTRL.HALF: [1.5, 1.5] are not bits: write 3, or [7, 4] for several",
      "half",
    ],
    [
      "an enum's value that does not fit",
      withRegisters({ CTRL: reg32(0, { fields: { ENUM: FIELDS.ENUM } }) }),
      "banana.CTRL.ENUM: FILL = 4 does not fit in 2 bits",
      "enumwide",
    ],
    [
      "an enum's value twice",
      withRegisters({ CTRL: reg32(0, { fields: { TWICE: FIELDS.TWICE } }) }),
      "banana.CTRL.TWICE: COPY and FILL are both 1",
      "enumtwice",
    ],
    [
      "an enum that resets to nothing",
      withRegisters({ CTRL: reg32(0, { fields: { MODE: FIELDS.MODE } }) }),
      "banana.CTRL.MODE: reset: 0 is none of COPY=1, FILL=2",
      "enumreset",
    ],
    [
      "reset to a name that is none",
      withRegisters({ CTRL: reg32(0, any({ fields: { MODE: FIELDS.MODE }, reset: { MODE: "FIL" } })) }),
      'banana.CTRL.MODE: reset: "FIL" is none of COPY=1, FILL=2 (did you mean "FILL"?)',
      "enumreset",
    ],
    [
      "reset wider than the field",
      withRegisters({ CTRL: reg32(0, { fields: { A: FIELDS.A }, reset: { A: 0x10 } }) }),
      "banana.CTRL.A: reset: 0x10 does not fit in 4 bits",
      "",
    ],
    [
      "reset of a pulse",
      withRegisters({ CTRL: reg32(0, { fields: { START: FIELDS.START }, reset: 1 }) }),
      "banana.CTRL.START: reset: 0x1: a pulse holds no value",
      "pulse",
    ],
    [
      "a constant that does not fit",
      withRegisters({ CTRL: reg32(0, { fields: { WIRED: FIELDS.WIRED } }) }),
      "banana.CTRL.WIRED: the constant 16 does not fit in 4 bits",
      "constant",
    ],
    [
      "a field named value",
      withRegisters({ CTRL: reg32(0, { fields: { value: FIELDS.value } }) }),
      `banana.CTRL.value: "value" is the register's own value: give the field another name`,
      "value",
    ],
    [
      "reset wider than the register",
      withRegisters({ CTRL: big }),
      "banana.CTRL: reset: 0x100 does not fit in 8 bits",
      "big",
    ],
    [
      "reset of a field that is not there",
      withRegisters({ CTRL: unnamed }),
      'banana.CTRL: reset: there is no field "B" (did you mean "A"?)',
      "unnamed",
    ],
    [
      "a misspelled option",
      withRegisters({ CTRL: typo }),
      'banana.CTRL: there is no option "acess" (did you mean "access"?)',
      "typo",
    ],
    ["an access that there is not", withRegisters({ CTRL: kind }), 'banana.CTRL: there is no access "read"', "kind"],
    [
      "an access beside fields",
      withRegisters({ CTRL: both }),
      "banana.CTRL: give an access to the register or to its fields, not to both",
      "both",
    ],
    [
      "registers overlap",
      withRegisters({ A: plain, B: next }),
      "banana.B: bytes 0x0 to 0x3 overlap A (bytes 0x0 to 0x3)",
      "next",
    ],
    [
      "a misaligned register",
      withRegisters({ A: odd }),
      "banana.A: the offset 0x2 is misaligned: expected a multiple of 4",
      "odd",
    ],
    [
      "a register outside the region",
      withRegisters({ A: out }),
      "banana.A: bytes 0x100 to 0x107 are outside the region of 0x100 bytes",
      "out",
    ],
    [
      "an array whose elements do not fit",
      withRegisters({ A: array }),
      "banana.A[1]: the offset 0x12 is misaligned: expected a multiple of 4",
      "array",
    ],
    ["an array of nothing", withRegisters({ A: none }), "banana.A: a count of 0: expected 1 or more", "none"],
    ["a bank of nothing", withRegisters({ A: empty }), "banana.A: the bank has no registers", "empty"],
  ])("%s", (_what, define, message, marker) => {
    const error = thrownBy(define);
    expect(error).toBeInstanceOf(UserError);
    if (marker === "") expect(error.message).toContain(message);
    else expect(error.message).toBe(message + at(marker));
    expect(error.message).not.toContain("\n");
  });

  test.each<[what: string, define: () => unknown, message: string]>([
    [
      "no register",
      withRegisters({ A: 4 }),
      "banana.A: is no register: make it with reg32(...), regs(...) or bank(...)",
    ],
    [
      "a name with a space",
      withRegisters({ "A B": reg16(0) }),
      'banana.A B: "A B" is no name: expected letters, digits and _, the first one no digit',
    ],
    [
      "a misspelled part",
      () => defineDevice(any({ type: "banana", mmio, register: {} })),
      'banana: there is no part of a device "register" (did you mean "registers"?)',
    ],
    ["no type", () => defineDevice(any({ mmio })), "defineDevice: undefined is no type: expected a name such as"],
    ["no mmio", () => defineDevice(any({ type: "banana" })), "banana: mmio is missing: mmio: { size: 0x100 }"],
    [
      "a region without size",
      () => defineDevice({ type: "banana", mmio: { size: 0 } }),
      "banana: mmio.size: 0 is not between 1 and 0x100000000 bytes",
    ],
    [
      "an access size that there is not",
      () => defineDevice({ type: "banana", mmio: { size: 4, valid: { max: any(3) } } }),
      "banana: mmio.valid: 3 is no size of an access: expected 1, 2, 4 or 8",
    ],
    [
      "the smallest above the largest",
      () => defineDevice({ type: "banana", mmio: { size: 4, impl: { min: 4, max: 2 } } }),
      "banana: mmio: the smallest access is larger than the largest",
    ],
    [
      "unmapped and read",
      () => defineDevice({ type: "banana", mmio: { size: 4, unmapped: 1, read: () => 0 } }),
      "banana: mmio.unmapped and mmio.read both say what reads give",
    ],
    [
      "an interrupt twice",
      () => defineDevice({ type: "banana", mmio, irqs: ["done", edge("done")] }),
      'banana: irqs: there are two named "done"',
    ],
    [
      "an interrupt that is never driven",
      () => defineDevice({ type: "banana", mmio, irqs: ["done"], setup: () => {} }),
      "banana: irq.done is declared but never driven: setup never says irq.done(() => condition)",
    ],
    [
      "an interrupt and no setup",
      () => defineDevice({ type: "banana", mmio, irqs: ["done"] }),
      "banana: irq.done is declared but never driven: there is no setup irq.done(() => condition)",
    ],
    [
      "a property whose default does not fit",
      () => defineDevice({ type: "banana", mmio, properties: { speed: prop(1.5) } }),
      "banana.speed: the default: 1.5 is not a whole number from 0 to 4294967295",
    ],
    [
      "a property that every device has",
      () => defineDevice({ type: "banana", mmio, properties: { addr: prop(1) } }),
      'banana.addr: every device has an option "addr": use another name',
    ],
    [
      "state that cannot be saved",
      () => defineDevice({ type: "banana", mmio, state: () => ({ run: () => {} }) }),
      "banana: state cannot be saved: ",
    ],
    [
      "state without names",
      () => defineDevice({ type: "banana", mmio, state: () => [1] }),
      "banana: state gives no object with names: state: () => ({ count: 0 })",
    ],
    [
      "an async setup",
      () => defineDevice({ type: "banana", mmio, setup: any(async () => {}) }),
      "banana: setup cannot be async: a device is there at once",
    ],
    [
      "a device tree without a name for drivers",
      () => defineDevice({ type: "banana", mmio, deviceTree: { node: "dma" } }),
      "banana: deviceTree without compatible: there would be no node",
    ],
  ])("%s", (_what, define, message) => {
    const error = thrownBy(define);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/ \(.*\/device-mistakes\.test\.ts:\d+\)$/);
  });
});

describe("what setup says, when the file is read", () => {
  const registers = {
    CTRL: reg32(0x0, { fields: { START: pulse(0), ON: rw(1), READY: ro(2), KEY: wo(3), REST: reserved([31, 8]) } }),
    STATUS: reg32(0x4, { access: "ro" }),
    CH: bank(2, 0x10, 0x40, { DATA: regs(2, 4, reg32(0x0, { fields: { LOW: rw([7, 0]) } })) }),
  };
  // biome-ignore lint/suspicious/noExplicitAny: what code without types would do
  const withSetup = (setup: (context: any) => void) => () =>
    defineDevice({
      type: "banana",
      mmio,
      registers,
      irqs: [edge("tick")],
      properties: { speed: prop(1) },
      setup: any(setup),
    });

  test.each<[what: string, define: () => unknown, message: string, marker: string]>([
    [
      "a register that is not there",
      withSetup(({ on }) => {
        on.write("CTRLS", () => {}); // @noregister
      }),
      'banana: on.write("CTRLS"): there is no register or field of that name (did you mean "CTRL"?)',
      "noregister",
    ],
    [
      "a field that is not there",
      withSetup(({ on }) => {
        on.write("CTRL.STRT", () => {}); // @nofield
      }),
      'banana: on.write("CTRL.STRT"): there is no register or field of that name (did you mean "CTRL.START"?)',
      "nofield",
    ],
    [
      "a field of a bank that is not there",
      withSetup(({ on }) => {
        on.change("CH.DATA.HIGH", () => {}); // @nobankfield
      }),
      'banana: on.change("CH.DATA.HIGH"): there is no register or field of that name (did you mean "CH.DATA.LOW"?)',
      "nobankfield",
    ],
    [
      "a register that is not there, by destructuring",
      withSetup(({ regs: { CTLR } }) => {
        void CTLR;
      }),
      'banana: there is no register "CTLR" (did you mean "CTRL"?)',
      "",
    ],
    [
      "an interrupt that is not declared",
      withSetup(({ irq }) => {
        irq.done(() => true); // @noirq
      }),
      'banana: there is no irq "done"',
      "noirq",
    ],
    [
      "a property that is not there",
      withSetup(({ props }) => {
        void props.sped; // @noprop
      }),
      'banana: there is no property "sped" (did you mean "speed"?)',
      "noprop",
    ],
    [
      "two timers of one name",
      withSetup(({ timer }) => {
        timer("tick", () => {});
        timer("tick", () => {}); // @twotimers
      }),
      'banana: there are two timers named "tick"',
      "twotimers",
    ],
    [
      "two FIFOs of one name",
      withSetup(({ fifo }) => {
        fifo("rx", { depth: 4 });
        fifo("rx", { depth: 4 }); // @twofifos
      }),
      'banana: there are two fifos named "rx"',
      "twofifos",
    ],
    [
      "a FIFO without depth",
      withSetup(({ fifo }) => {
        fifo("rx", { depth: 0 }); // @nodepth
      }),
      'banana: fifo "rx": a depth of 0: expected 1 to 1048576',
      "nodepth",
    ],
    [
      "an async callback",
      withSetup(({ on }) => {
        on.write("CTRL.START", async () => {}); // @async
      }),
      'banana: on.write("CTRL.START"): a callback cannot be async, nobody would wait for it',
      "async",
    ],
    [
      "an async timer",
      withSetup(({ timer }) => {
        timer("tick", async () => {}); // @asynctimer
      }),
      'banana: timer "tick": a callback cannot be async, nobody would wait for it',
      "asynctimer",
    ],
    [
      "a callback that is none",
      withSetup(({ on }) => {
        on.write("CTRL.START", 1); // @nofunction
      }),
      'banana: on.write("CTRL.START") takes a function',
      "nofunction",
    ],
    [
      "waiting for writes that cannot be",
      withSetup(({ on }) => {
        on.write("STATUS", () => {}); // @readonly
      }),
      'banana: on.write("STATUS"): the guest cannot write it',
      "readonly",
    ],
    [
      "a change of a pulse",
      withSetup(({ on }) => {
        on.change("CTRL.START", () => {}); // @pulsechange
      }),
      'banana: on.change("CTRL.START"): a pulse has no value to change: use on.write',
      "pulsechange",
    ],
    [
      "a value for what reads as 0",
      withSetup(({ on }) => {
        on.read("CTRL.KEY", () => true); // @writeonly
      }),
      'banana: on.read("CTRL.KEY"): the guest cannot read a value of it',
      "writeonly",
    ],
    [
      "two who say what it reads as",
      withSetup(({ on, derive }) => {
        derive("CTRL.READY", () => true);
        on.read("CTRL.READY", () => true); // @tworeads
      }),
      'banana: on.read("CTRL.READY"): derive("CTRL.READY") already says what it reads as',
      "tworeads",
    ],
    [
      "deriving what the guest writes",
      withSetup(({ derive }) => {
        derive("CTRL.ON", () => true); // @derive
      }),
      'banana: derive("CTRL.ON"): the guest can write it: only what is ro can be derived',
      "derive",
    ],
    [
      "assigning a register in setup",
      withSetup(({ regs: { CTRL } }) => {
        CTRL.ON = true; // @assign
      }),
      "banana: assigning a register in setup: a reset follows and undoes it; do it in on.reset(() => ...)",
      "assign",
    ],
    [
      "arming a timer in setup",
      withSetup(({ timer }) => {
        timer("tick", () => {}).every(1000); // @arm
      }),
      'banana: arming timer "tick" in setup: a reset follows and undoes it; do it in on.reset(() => ...)',
      "arm",
    ],
    [
      "DMA in setup",
      withSetup(({ dma }) => {
        dma.read32(0x8000_0000); // @dmasetup
      }),
      "banana: dma in setup: the machine does not run yet",
      "dmasetup",
    ],
    [
      "a stream without property",
      withSetup(({ stream }) => {
        stream("chardev"); // @stream
      }),
      'banana: stream "chardev": there is no such property',
      "stream",
    ],
  ])("%s", (_what, define, message, marker) => {
    const error = thrownBy(define);
    expect(error).toBeInstanceOf(UserError);
    if (marker === "") expect(error.message).toContain(message);
    else expect(error.message).toBe(message + at(marker));
  });

  test("an error of the author's own is not ours to report then: it may be for want of properties", () => {
    const definition = defineDevice({
      type: "banana",
      mmio,
      properties: { file: prop("") },
      setup({ props }) {
        if (props.file === "") throw new UserError("banana.file: give a file");
        null as unknown as { x: number };
      },
    });
    expect(() => testbench(definition)).toThrow("banana.file: give a file");
    expect(() => testbench(definition, { file: "x" })).not.toThrow();
  });
});

describe("while it runs", () => {
  const registers = {
    CTRL: reg32(0x0, { fields: { START: pulse(0), MODE: rw([3, 2], { COPY: 0, FILL: 1 }), ACK: w1c(4) } }),
    COUNT: reg8(0x4),
    SRC: reg64(0x8),
    LEVEL: reg32(0x10, { access: "ro" }),
  };
  /** What a write to CTRL.START, or the timer that it starts, ends in. */
  // biome-ignore lint/suspicious/noExplicitAny: what code without types would do
  const onStart = (run: (context: any) => unknown) =>
    defineDevice({
      type: "banana",
      mmio,
      registers,
      setup(context) {
        const timer = context.timer("tick", () => {});
        context.on.write(
          "CTRL.START",
          any(() => run({ ...context, timer })),
        );
      },
    });
  const START = 'banana: on.write("CTRL.START"): ';

  test.each<[what: string, device: ReturnType<typeof onStart>, message: string, marker: string]>([
    [
      "an exception",
      onStart(({ nothing }) => {
        nothing.at.all; // @exception
      }),
      `${START}Cannot read properties of undefined (reading 'at')`,
      "exception",
    ],
    [
      "a value too wide for the register",
      onStart(({ regs: { COUNT } }) => {
        COUNT.value = 300; // @toowide
      }),
      `${START}COUNT = 0x12c does not fit in 8 bits`,
      "toowide",
    ],
    [
      "a value that is none",
      onStart(({ regs: { COUNT } }) => {
        COUNT.value = Number.NaN; // @nan
      }),
      `${START}COUNT = NaN: expected a whole number`,
      "nan",
    ],
    [
      "a number for 64 bits",
      onStart(({ regs: { SRC } }) => {
        SRC.value = 1; // @number
      }),
      `${START}SRC = 1: expected a bigint`,
      "number",
    ],
    [
      "a value that is no member",
      onStart(({ regs: { CTRL } }) => {
        CTRL.MODE = "MOVE"; // @member
      }),
      `${START}CTRL.MODE = "MOVE" is none of COPY=0, FILL=1`,
      "member",
    ],
    [
      "a field that is not there",
      onStart(({ regs: { CTRL } }) => {
        CTRL.MOD = "COPY"; // @nosuchfield
      }),
      `${START}Cannot add property MOD, object is not extensible`,
      "nosuchfield",
    ],
    [
      "a timer in the past",
      onStart(({ timer, now }) => {
        timer.at(now() - 5); // @past
      }),
      `${START}timer "tick".at(95): that was 5 ns ago, it is 100 ns now`,
      "past",
    ],
    [
      "a negative delay",
      onStart(({ timer }) => {
        timer.after(-1); // @negative
      }),
      `${START}timer "tick".after(-1): a delay cannot be negative`,
      "negative",
    ],
    [
      "a delay that is none",
      onStart(({ timer }) => {
        timer.after(Number.NaN); // @nodelay
      }),
      `${START}timer "tick".after(NaN): expected a number of nanoseconds`,
      "nodelay",
    ],
    [
      "a period of 0",
      onStart(({ timer }) => {
        timer.every(0); // @period
      }),
      `${START}timer "tick".every(0): expected a period of more than 0 ns`,
      "period",
    ],
    [
      "DMA to nowhere",
      onStart(({ dma }) => {
        dma.write32(0x1000, 1); // @dma
      }),
      `${START}DMA write of 4 bytes at 0x1000: nothing is mapped there; catch BusError to tell the guest`,
      "dma",
    ],
    [
      "DMA of more than there is",
      onStart(({ dma }) => {
        dma.read(0x8000_0000, 2 ** 40); // @dmalength
      }),
      `${START}DMA read of 1099511627776 bytes at 0x80000000: nothing is mapped there, at 0x80010000; catch BusError to tell the guest`,
      "dmalength",
    ],
    [
      "DMA to no address",
      onStart(({ dma }) => {
        dma.read8(Number.NaN); // @dmanan
      }),
      `${START}dma.read: NaN is no address`,
      "dmanan",
    ],
    [
      "an endless loop",
      onStart(({ regs: { LEVEL } }) => {
        while (LEVEL.value === 0); // @loop
      }),
      `${START}more than 10000000 uses of registers and services: is this an endless loop?`,
      "loop",
    ],
    [
      "something thrown that is no error",
      onStart(() => {
        throw "banana"; // no stack, no line
      }),
      `${START}threw banana`,
      "",
    ],
  ])("%s", (_what, device, message, marker) => {
    const d = testbench(device);
    d.run(100);
    const error = thrownBy(() => d.write("CTRL", { START: true }));
    expect(error.name).toBe("DeviceError");
    expect(error.message).toBe(message + (marker === "" ? "" : at(marker)));
    expect(error.message).not.toContain("\n");
    // The stack is the author's.
    if (marker !== "") expect(error.stack).toContain(FILE);
    // The bench goes on: a machine shows the error and may go on with another model.
    expect(d.read("COUNT")).toBe(0);
  });

  test("a promise from a function that was not declared async", () => {
    const d = testbench(onStart(() => Promise.resolve()));
    expect(() => d.write("CTRL", 1)).toThrow(
      `${START}returned a promise: a callback cannot be async, nobody would wait for it`,
    );
  });

  test("in a timer, a condition, a derived value, a read, a reset, mmio", () => {
    const definition = defineDevice({
      type: "banana",
      mmio: { size: 0x100, read: () => any(undefined) },
      irqs: ["done"],
      registers: { ...registers, NOW: reg32(0x14), STATE: reg32(0x18, { access: "ro" }) },
      state: () => ({ wrong: "" }),
      setup({ regs: { CTRL, LEVEL }, timer, irq, derive, on, state }) {
        const tick = timer("tick", () => {
          throw new Error("in the timer"); // @intimer
        });
        on.write("CTRL.START", () => tick.after(10));
        irq.done(() => (state.wrong === "irq" ? any(1) : CTRL.ACK));
        derive("LEVEL", () => (state.wrong === "derive" ? 2 ** 32 : 1));
        on.read("NOW", () => (state.wrong === "read" ? -1 : 1));
        on.reset((before) => {
          if (before.wrong === "reset") LEVEL.value = 1; // @inreset
        });
      },
    });
    const d = testbench(definition);
    d.write("CTRL", 1);
    expect(thrownBy(() => d.run(10)).message).toBe(`banana: timer "tick": in the timer${at("intimer")}`);
    d.state.wrong = "irq";
    expect(() => d.write("COUNT", 1)).not.toThrow("in the timer");
    expect(() => d.write("COUNT", 1)).toThrow("banana: irq.done: gave 1: expected true or false");
    d.state.wrong = "derive";
    expect(() => d.read("LEVEL")).toThrow('banana: derive("LEVEL"): LEVEL = 0x100000000 does not fit in 32 bits');
    d.state.wrong = "read";
    expect(() => d.read("NOW")).toThrow('banana: on.read("NOW"): NOW = -1 does not fit in 32 bits');
    d.state.wrong = "reset";
    const unreset = thrownBy(() => d.reset());
    expect(unreset.message).toBe(`banana: on.reset: LEVEL is derived: it cannot be assigned${at("inreset")}`);
    expect(() => d.read32(0x80)).toThrow("banana: mmio.read: gave undefined for offset 0x80: expected a number");
  });

  test("setup, with the properties as they are", () => {
    const definition = defineDevice({
      type: "banana",
      mmio,
      setup() {
        throw new Error("no"); // @insetup
      },
    });
    expect(thrownBy(() => testbench(definition)).message).toBe(`banana: setup: no${at("insetup")}`);
  });
});
