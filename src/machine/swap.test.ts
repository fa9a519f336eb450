// Another definition for a device of a machine: while its guest runs, sleeps, repeats itself, is saved and boots again.

import { afterEach, expect, test } from "vitest";
import { defineDevice, reg32, rw } from "../device/index.ts";
import { decodeFdt } from "../fdt/decode.ts";
import { assemble } from "../isa/assembler.ts";
import type { Machine } from "./machine.ts";
import { bareMachine } from "./machine-for-tests.ts";

const BASE = 0x500_0000;
const IRQ = 40;

/** Counts its reads and ticks; `step` is its behaviour. */
const gadget = (step: number, compatible = "acme,gadget") =>
  defineDevice({
    type: "gadget",
    compatible,
    mmio: { size: 0x100 },
    irqs: ["on"],
    registers: {
      READS: reg32(0),
      TICKS: reg32(4),
      CTRL: reg32(8, { fields: { ON: rw(0) } }),
      STEP: reg32(12, { access: "constant", reset: step }),
    },
    setup({ regs: { READS, TICKS, CTRL }, on, irq, timer }) {
      irq.on(() => (CTRL.ON || step < 0x100 ? CTRL.ON : true));
      on.read("READS", () => READS.value + step);
      const tick = timer("tick", () => {
        TICKS.value += step;
      });
      on.reset(() => tick.every(1000));
    },
  });

/** Reads all the time, and keeps what it read. */
const READER = `
  li s0, ${BASE}
  li s1, 0x80001000
  loop:
  lw t0, 0(s0)
  sw t0, 0(s1)
  lw t1, 12(s0)
  j loop`;

/** Sleeps until interrupt 40 comes, and says so. */
const SLEEPER = `
  la t0, trap
  csrw mtvec, t0
  li t0, 0xc000000
  li t1, 1
  sw t1, ${4 * IRQ}(t0)
  li t0, 0xc002004
  li t1, ${1 << (IRQ - 32)}
  sw t1, 0(t0)
  li t0, 0x800
  csrw mie, t0
  csrsi mstatus, 8
  sleep:
  wfi
  j sleep
  .balign 4
  trap:
  li s1, 0x80001000
  li t0, 1
  sw t0, 0(s1)
  done: j done`;

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.close();
});

function make(program: string, config: Parameters<typeof bareMachine>[0] = {}) {
  const machine = bareMachine(config);
  machines.push(machine);
  const device = machine.add(gadget(1), { addr: BASE, irq: IRQ });
  machine.memory.writeBytes(0x8000_0000n, assemble(program, { base: 0x8000_0000n }).bytes);
  const word = () => {
    const bytes = new Uint8Array(4);
    machine.memory.readBytes(0x8000_1000n, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  };
  return { machine, device, word };
}

async function runTo(machine: Machine, ns: number): Promise<void> {
  machine.events.timer("end of the test's run", () => machine.stop()).at(ns);
  await machine.run();
}

/** Waits, in the turns that the machine leaves others. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

const REAL_TIME = { icount: undefined } as never;

test.each(["interp", "jit"] as const)("the guest's next read is the new device's (%s)", async (accel) => {
  const { machine, device, word } = make(READER, { ...(REAL_TIME as object), accel });
  const end = machine.run();
  await until(() => word() > 1000);
  const { device: swapped, changes } = machine.swap(device, gadget(0));
  expect(swapped).toBe(device);
  expect(changes).toEqual(["STEP: reset 0x1 -> 0x0"]);
  const reads = device.registers.READS.value;
  expect(reads).toBeGreaterThan(1000);
  const { instret } = machine.engine.harts[0]!;
  await until(() => machine.engine.harts[0]!.instret > instret + 10_000n);
  expect(device.registers.READS.value).toBe(reads);
  expect([...machine.board.object.resolve("peripheral-anon")!.children.values()]).toEqual([device]);
  machine.swap(device, gadget(2));
  await until(() => word() > reads + 1000);
  machine.stop();
  await end;
});

test("a line that rises by a swap wakes a guest that sleeps", async () => {
  const { machine, device, word } = make(SLEEPER, REAL_TIME);
  const end = machine.run();
  await until(() => machine.engine.harts[0]!.waiting);
  machine.swap(device, gadget(0x100));
  await until(() => word() === 1);
  machine.stop();
  await end;
});

test("with -icount, runs with the same swap at the same time are the same", async () => {
  const seen = [];
  for (let run = 0; run < 2; run++) {
    const { machine, device, word } = make(READER);
    await runTo(machine, 50_500);
    machine.swap(device, gadget(5));
    await runTo(machine, 90_000);
    seen.push({ read: word(), instret: machine.engine.harts[0]!.instret, state: device.save(), now: machine.now });
  }
  expect(seen[1]).toEqual(seen[0]);
  // 50 ticks of 1, 39 or 40 of 5: the timer went on from where it was.
  expect([50 + 39 * 5, 50 + 40 * 5]).toContain((seen[0]!.state.registers as { TICKS: number }).TICKS);
});

test("a snapshot after a swap goes into a machine that has the new definition, and only there", async () => {
  const better = defineDevice({ type: "gadget", mmio: { size: 0x100 }, registers: { OTHER: reg32(0, { reset: 5 }) } });
  const { machine, device } = make(READER);
  await runTo(machine, 10_000);
  const before = machine.save();
  machine.swap(device, better);
  await runTo(machine, 20_000);
  const after = machine.save();
  const { machine: other, device: others, word } = make(READER);
  expect(() => other.load(after)).toThrow(/does not fit .*gadget.*: there is no register OTHER/);
  other.swap(others, better);
  other.load(after);
  await runTo(other, 30_000);
  expect(word()).toBe(5);
  // And the one from before has registers that are gone.
  expect(() => machine.load(before)).toThrow(/there is no register READS/);
});

test("of two machines in a process, one is swapped", async () => {
  const [one, other] = [make(READER), make(READER)];
  one.machine.swap(one.device, gadget(3));
  for (const { machine } of [one, other]) await runTo(machine, 10_000);
  expect(one.word() % 3).toBe(0);
  expect(one.word()).toBe(3 * other.word());
});

test("the guest is told of the new device when it boots again", async () => {
  const { machine, device } = make(READER);
  const compatible = () => {
    const node = decodeFdt(machine.board.deviceTree, "the board").root.find(`/soc/gadget@${BASE.toString(16)}`)!;
    return new TextDecoder().decode(node.properties.get("compatible")!);
  };
  await runTo(machine, 10_000);
  const next = gadget(1, "acme,better");
  expect(machine.swap(device, next).untold).toEqual(['compatible was "acme,gadget" and is "acme,better"']);
  expect(compatible()).toBe("acme,gadget\0");
  machine.reset();
  await runTo(machine, 20_000);
  expect(compatible()).toBe("acme,better\0");
  expect(machine.swap(device, next).untold).toEqual([]);
});

test("none while a hart runs", async () => {
  const { machine, device } = make(READER);
  let refused: unknown;
  device.observe({
    access() {
      try {
        machine.swap(device, gadget(2));
      } catch (error) {
        refused ??= error;
      }
    },
  });
  await runTo(machine, 1000);
  expect(String(refused)).toContain("cannot be saved, loaded or changed while one of its harts runs");
});
