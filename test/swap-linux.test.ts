// A device swapped under a running Linux: what a process sees that has it mapped, what the device tree says after a reboot,
// and that forks have the new one.

import { afterAll, beforeAll, expect, test } from "vitest";
import { defineDevice, reg32, rw } from "../src/device/index.ts";
import { boot } from "../src/node/boot.ts";
import type { Vm } from "../src/testing/vm.ts";
import { describeWithGuest } from "./guest.ts";

const ADDRESS = 0x500_0000;

const gadget = (id: number, compatible = "acme,gadget") =>
  defineDevice({
    type: "gadget",
    compatible,
    mmio: { size: 0x100 },
    registers: {
      ID: reg32(0, { access: "constant", reset: id }),
      KEPT: reg32(4),
      CTRL: reg32(8, { fields: { ON: rw(0) } }),
    },
    setup({ regs: { KEPT }, on }) {
      on.write("KEPT", (value) => {
        KEPT.value = value + id;
      });
    },
  });

describeWithGuest("a device under Linux", () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await boot({ devices: [{ device: gadget(1), addr: ADDRESS }] });
  });
  afterAll(() => vm?.dispose());

  const read = async (of: Vm, offset: number) =>
    Number((await of.console.run(`devmem 0x${(ADDRESS + offset).toString(16)}`)).output);
  const compatible = async (of: Vm) =>
    (await of.console.run(`tr '\\0' '\\n' < /proc/device-tree/soc/gadget@${ADDRESS.toString(16)}/compatible`)).output;

  test("is another one between two accesses, and keeps what was written", async () => {
    await vm.console.run(`devmem 0x${(ADDRESS + 4).toString(16)} 32 0x100`);
    expect([await read(vm, 0), await read(vm, 4)]).toEqual([1, 0x101]);
    await using before = await vm.fork();
    expect(vm.swap("gadget", gadget(2)).changes).toEqual(["ID: reset 0x1 -> 0x2"]);
    expect([await read(vm, 0), await read(vm, 4)]).toEqual([2, 0x101]);
    await vm.console.run(`devmem 0x${(ADDRESS + 4).toString(16)} 32 0x200`);
    expect(await read(vm, 4)).toBe(0x202);
    expect([await read(before, 0), await read(before, 4)]).toEqual([1, 0x101]);
    await using after = await vm.fork();
    expect([await read(after, 0), await read(after, 4)]).toEqual([2, 0x202]);
    expect(vm.guestErrors).toEqual([]);
  });

  test("what its device tree says, Linux knows from its boot", async () => {
    await using fork = await vm.fork();
    const { untold } = fork.swap("gadget", gadget(3, "acme,better"));
    expect(untold).toEqual(['compatible was "acme,gadget" and is "acme,better"']);
    expect(await compatible(fork)).toBe("acme,gadget\n");
    expect(await read(fork, 0)).toBe(3);
  });
});
