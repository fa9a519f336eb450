// Snapshots of a bare machine that computes, waits for its timer and writes to its console; repeatable by -icount.

import { createHash } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { MemoryChardev } from "../backend/chardev-memory.ts";
import { virtBoard } from "../boards/virt.ts";
import { assemble } from "../isa/assembler.ts";
import { UserError } from "../util/user-error.ts";
import { defaultConfig, type MachineConfig } from "./config.ts";
import { createMachine, type Machine } from "./machine.ts";

const RAM = 0x8000_0000n;

/**
 * Every tick of the timer: mixes a number, writes it to the next page, changes the code of `changing`, runs that, and
 * says a letter. `lr` leaves a reservation.
 */
const PROGRAM = `
  la t0, trap
  csrw mtvec, t0
  li s0, 0x02004000
  li s1, 0x0200bff8
  li s2, 0x80100000
  li s3, 1
  li s4, 0x10000000
  li s5, 6364136223846793005
  li s7, 0
  ld t0, 0(s1)
  addi t0, t0, 1000
  sd t0, 0(s0)
  li t0, 0x80
  csrw mie, t0
  csrsi mstatus, 8
  loop:
  wfi
  j loop
  .balign 4
  trap:
  ld t0, 0(s1)
  addi t0, t0, 1000
  sd t0, 0(s0)
  mul s3, s3, s5
  addi s3, s3, 1
  sd s3, 0(s2)
  li t0, 4096
  add s2, s2, t0
  la t1, changing
  lw t2, 0(t1)
  li t3, 0x100000
  add t2, t2, t3
  sw t2, 0(t1)
  fence.i
  call changing
  lr.d t0, (s2)
  li t0, 2000
  spin:
  addi t0, t0, -1
  bnez t0, spin
  andi t0, s3, 15
  addi t0, t0, 65
  sb t0, 0(s4)
  mret
  .balign 4
  changing:
  addi s7, s7, 1
  ret
`;

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.close();
});

interface Subject {
  readonly machine: Machine;
  output: string;
}

function make(change: Partial<MachineConfig> = {}): Subject {
  const console = new MemoryChardev("console");
  const config: MachineConfig = {
    ...defaultConfig,
    memory: 16 << 20,
    firmware: { kind: "none" },
    icount: { shift: 3, sleep: false },
    ...change,
  };
  const machine = createMachine(
    config,
    {
      fwCfg: [],
      drives: new Map(),
      netdevs: new Map(),
      chardevs: new Map(),
      serials: [console],
      rngs: new Map(),
      log: { enabled: () => false, write: () => {} },
      monotonic: () => performance.now() * 1e6,
      wallClock: () => 1n,
      random: (bytes) => bytes.fill(7),
    },
    [virtBoard],
  );
  machines.push(machine);
  machine.memory.writeBytes(RAM, assemble(PROGRAM, { base: RAM }).bytes);
  const subject: Subject = { machine, output: "" };
  console.onOutput = (bytes) => {
    subject.output += new TextDecoder().decode(bytes);
  };
  return subject;
}

/** Runs to a virtual time. */
async function runTo({ machine }: Subject, ns: number): Promise<void> {
  machine.events.timer("end of the test's run", () => machine.stop()).at(ns);
  await machine.run();
}

/** All that a guest can see of itself. */
function stateOf({ machine }: Subject): unknown {
  const hart = machine.engine.harts[0]!;
  const ram = new Uint8Array(machine.config.memory);
  machine.memory.readBytes(RAM, ram);
  return {
    registers: Array.from({ length: 32 }, (_, n) => [hart.x(n), hart.f(n)]),
    csrs: Array.from({ length: 4096 }, (_, n) => hart.csr(n)),
    pc: hart.pc,
    instret: hart.instret,
    now: machine.now,
    ram: createHash("sha256").update(ram).digest("hex"),
  };
}

const MIDDLE = 3_050_000;
const END = 9_000_000;

test.each(["interp", "jit"] as const)("a machine goes on from a snapshot as it did, bit by bit (%s)", async (accel) => {
  const original = make({ accel });
  await runTo(original, MIDDLE);
  const before = stateOf(original);
  const state = structuredClone(original.machine.save());
  expect(stateOf(original)).toEqual(before);
  original.output = "";
  await runTo(original, END);
  const said = original.output;
  const after = stateOf(original);
  expect(said.length).toBeGreaterThan(20);

  // Another machine, which has done something else; then the same one again, from where it is.
  const other = make({ accel });
  await runTo(other, END / 2);
  for (const subject of [other, other, original]) {
    subject.output = "";
    subject.machine.load(state);
    expect(stateOf(subject)).toEqual(before);
    await runTo(subject, END);
    expect(subject.output).toBe(said);
    expect(stateOf(subject)).toEqual(after);
  }
});

test("a snapshot copies what was written since the last one, and shares the rest with it", async () => {
  const subject = make();
  await runTo(subject, MIDDLE);
  const first = subject.machine.save();
  expect(subject.machine.save().memory).toBe(first.memory);
  await runTo(subject, MIDDLE + 350_000);
  const second = subject.machine.save();
  const changed = second.memory.filter((page, n) => page !== first.memory[n]).length;
  // One or two pages for each of three ticks, and the page of the code.
  expect(changed).toBeGreaterThan(2);
  expect(changed).toBeLessThan(9);
});

test("in real time, virtual time goes on from the snapshot's", async () => {
  const { icount: _, ...real } = { ...defaultConfig, memory: 16 << 20, firmware: { kind: "none" } as const };
  const subject = make({ ...real, icount: undefined as never });
  const state = { ...subject.machine.save(), time: 5e12 };
  subject.machine.load(state);
  expect(subject.machine.now).toBeGreaterThanOrEqual(5e12);
  expect(subject.machine.now).toBeLessThan(6e12);
  subject.machine.load({ ...state, time: 0 });
  expect(subject.machine.now).toBeLessThan(1e12);
});

test.each([
  [{ memory: 32 << 20 }, /size of RAM in bytes is 33554432, this machine's is 16777216/],
  [{ smp: { cpus: 2, maxCpus: 2, sockets: 1, cores: 2, threads: 1 } }, /number of harts is 2, this machine's is 1/],
  [{ icount: { shift: 4, sleep: false } }, /-icount shift is 4, this machine's is 3/],
] as const)("a snapshot of another machine is refused: %j", (change, message) => {
  const state = make(change as Partial<MachineConfig>).machine.save();
  const { machine } = make();
  expect(() => machine.load(state)).toThrow(message);
  expect(() => machine.load(state)).toThrow(UserError);
});

test("a snapshot of another version, or with other devices, is refused", () => {
  const { machine } = make();
  const state = machine.save();
  expect(() => machine.load({ ...state, version: 2 })).toThrow(/another version/);
  expect(() => machine.load({ ...state, hartFields: "x@0" })).toThrow(/another version/);
  expect(() => machine.load({ ...state, devices: { ...state.devices, "/machine/uart1": {} } })).toThrow(
    /has a device \/machine\/uart1 that is not there/,
  );
});

test("a machine that was about to reset gives no snapshot", () => {
  const { machine } = make();
  machine.reset();
  expect(() => machine.save()).toThrow(/about to reset/);
});
