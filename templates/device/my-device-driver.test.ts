// The driver in driver/, built as a module and tried with the device in a booted Linux, which each test has a copy of.

import { join } from "node:path";
import { cHeader } from "plantain/device";
import { boot, buildModule, missingGuest, type Vm } from "plantain/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "plantain/testing/matchers";
import { myDevice } from "./my-device.ts";

const missing = missingGuest("modules");
const MODULE = "/lib/my_device.ko";
const SYSFS = "/sys/bus/platform/devices/5000000.my-device";
const TIMEOUT = 120_000;

describe.skipIf(missing !== undefined)(`the Linux driver of my-device${missing ? ` (${missing})` : ""}`, () => {
  let vm: Vm;
  beforeAll(async () => {
    const headers = { "my-device-regs.h": cHeader(myDevice.registerMap) };
    vm = await boot({
      devices: [{ device: myDevice, addr: 0x5000000, irq: 40 }],
      files: { [MODULE]: await buildModule(join(import.meta.dirname, "driver"), { headers }) },
    });
    await vm.console.run(`insmod ${MODULE}`);
  }, TIMEOUT);
  afterAll(() => vm?.dispose());

  const interrupts = async (machine: Vm): Promise<number> =>
    Number((await machine.console.run("grep my-device /proc/interrupts")).output.split(/\s+/)[2]);

  test(
    "is bound by the device-tree node of the device",
    async () => {
      await using machine = await vm.fork();
      expect((await machine.console.run(`readlink ${SYSFS}/driver`)).output).toMatch(/\/my-device\n$/);
      expect(await interrupts(machine)).toBe(0);
    },
    TIMEOUT,
  );

  test(
    "counts, and returns when the device has interrupted",
    async () => {
      await using machine = await vm.fork();
      const trace = await machine.trace(myDevice, async () => {
        expect(await machine.console.run(`echo 1000 > ${SYSFS}/count`)).toEqual({ output: "", status: 0 });
      });
      expect(trace).toHaveAccessed([
        { write: "COUNT", value: 1000 },
        { write: "CTRL", value: { START: true, IRQ_EN: true } },
        { read: "STATUS", value: { BUSY: false, DONE: true } },
        { write: "STATUS" },
      ]);
      expect(trace).not.toHaveWrittenWhile(["COUNT", "CTRL"], { STATUS: { BUSY: true } });
      expect(trace).toHaveAcknowledgedIrqs();
      expect(trace).not.toHaveMisuse();
      expect(await interrupts(machine)).toBe(1);
      expect(machine.guestErrors).toEqual([]);
    },
    TIMEOUT,
  );

  test(
    "goes, and comes back",
    async () => {
      await using machine = await vm.fork();
      const again = await machine.console.run(
        `rmmod my_device && insmod ${MODULE} && echo 1 > ${SYSFS}/count && echo good`,
      );
      expect(again.output).toMatch(/^good$/m);
    },
    TIMEOUT,
  );
});
