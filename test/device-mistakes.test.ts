// What a person is told whose device file is wrong when it is read: each kind of mistake, with its message and the line it points to.
// Not beside the code: lines of src are Plantain's own, and are never the ones that a message names.

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
  rw,
  UserError,
} from "plantain/device";
import { describe, expect, test } from "vitest";
import { any, markedLines, thrownBy } from "./mistake.ts";

const { at } = markedLines(import.meta.url);
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
