// Machines of a family after a swap: forks have the definition of the one that they are copied from.

import { afterEach, expect, test } from "vitest";
import { MemoryChardev } from "../backend/chardev-memory.ts";
import { defineDevice, reg32 } from "../device/index.ts";
import { bareMachine } from "../machine/machine-for-tests.ts";
import { Vm } from "./vm.ts";

const gadget = (value: number, name = "KEPT") =>
  defineDevice({
    type: "gadget",
    mmio: { size: 0x100 },
    registers: { ID: reg32(0, { access: "constant", reset: value }), [name]: reg32(4) },
  });
const first = gadget(1);

let made = 0;
let vm: Vm;
afterEach(() => vm.dispose());

async function start(): Promise<Vm> {
  made = 0;
  vm = await Vm.start({
    async make() {
      made++;
      const machine = bareMachine({ icount: undefined } as never);
      machine.add(first, { addr: 0x500_0000 });
      return {
        machine,
        console: new MemoryChardev("console"),
        disks: new Map(),
        guestErrors: [],
        close: () => machine.close(),
      };
    },
    close() {},
  });
  return vm;
}

const id = (of: Vm) => new DataView(of.memory.read(0x500_0000, 4).buffer).getUint32(0, true);

test("forks have the new device, also in machines that were made ready before", async () => {
  await start();
  await vm.prepareForks(1);
  vm.memory.write(0x500_0004, Uint8Array.of(7, 0, 0, 0));
  const { device, changes } = vm.swap("gadget", gadget(2, "OTHER"));
  expect(changes).toEqual(["ID: reset 0x1 -> 0x2", "+ OTHER (rw at 0x4)", "- KEPT"]);
  expect(vm.device("gadget")).toBe(device);
  vm.memory.write(0x500_0004, Uint8Array.of(9, 0, 0, 0));
  await using fork = await vm.fork();
  await using second = await vm.fork();
  expect(made).toBe(3);
  for (const each of [vm, fork, second]) {
    expect(id(each)).toBe(2);
    expect([...each.memory.read(0x500_0004, 4)]).toEqual([9, 0, 0, 0]);
  }
});

test("a fork's own swap is nobody else's, not of the next fork in its machine either", async () => {
  await start();
  const fork = await vm.fork();
  fork.swap(first, gadget(3, "OTHER"));
  expect([id(vm), id(fork)]).toEqual([1, 3]);
  await fork.dispose();
  await using next = await vm.fork();
  expect(made).toBe(2);
  expect(id(next)).toBe(1);
});

test("what cannot be swapped is one line", async () => {
  await start();
  expect(() => vm.swap("gadgte", first)).toThrow('the machine has no device "gadgte" (did you mean "gadget"?)');
  expect(() => vm.swap("goldfish-rtc", first)).toThrow(
    "goldfish-rtc is no device that defineDevice made: only those can be swapped",
  );
});
