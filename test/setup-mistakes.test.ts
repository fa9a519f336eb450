// What a person is told whose device file is wrong in what its setup says: each kind of mistake, with its message and the line it points to.
// Not beside the code: lines of src are Plantain's own, and are never the ones that a message names.

import { bank, defineDevice, edge, prop, pulse, reg32, regs, reserved, ro, rw, UserError, wo } from "plantain/device";
import { testbench } from "plantain/testing";
import { describe, expect, test } from "vitest";
import { any, markedLines, thrownBy } from "./mistake.ts";

const { at } = markedLines(import.meta.url);
const mmio = { size: 0x100 };

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
