// The Linux driver in driver/, built as a module for the guest's kernel and tried in the booted guest: a fork for each test.

import { join } from "node:path";
import { type AccessEvent, cHeader } from "plantain/device";
import { boot, buildModule, missingGuest, type Vm } from "plantain/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bananaDma } from "./banana-dma.ts";

const missing = missingGuest("modules");
const MODULE = "/lib/banana_dma.ko";
const SYSFS = "/sys/bus/platform/devices/5000000.dma-controller";
const DESTINATION = "/sys/kernel/debug/banana-dma/destination";

describe.skipIf(missing !== undefined)(`the Linux driver of banana-dma${missing ? ` (${missing})` : ""}`, () => {
  let vm: Vm;
  beforeAll(async () => {
    const headers = { "banana-dma-regs.h": cHeader(bananaDma.registerMap) };
    vm = await boot({
      devices: [{ device: bananaDma, addr: 0x5000000, irq: 40 }],
      files: { [MODULE]: await buildModule(join(import.meta.dirname, "driver"), { headers }) },
    });
    await vm.console.run(`mount -t debugfs debugfs /sys/kernel/debug; insmod ${MODULE}`);
  });
  afterAll(() => vm?.dispose());

  const output = async (machine: Vm, command: string): Promise<string> => (await machine.console.run(command)).output;
  const interrupts = async (machine: Vm): Promise<number> =>
    Number((await output(machine, "grep dma-controller /proc/interrupts")).split(/\s+/)[2]);

  /** Listens to a machine's device: what its driver did wrongly, in words. */
  function misdeeds(machine: Vm): string[] {
    const device = machine.device(bananaDma);
    const found: string[] = [];
    const SETTINGS = ["CTRL", "SRC", "DST", "LEN"];
    const check = ({ write, offset, size, registers }: AccessEvent): void => {
      const [name] = registers.map((register) => register.name);
      const what = `${write ? "write" : "read"} of ${name ?? `offset ${offset}`}, ${size} bytes`;
      if (registers.length !== 1 || size !== 4) found.push(`${what}: no access that the driver makes`);
      else if (!write && name !== "STATUS") found.push(`${what}: only STATUS is to be read`);
      else if (write && SETTINGS.includes(name!) && device.registers.STATUS.BUSY && name !== "CTRL") {
        found.push(`${what} while BUSY`);
      }
    };
    device.observe({ access: check, guestError: ({ message }) => found.push(message) });
    return found;
  }

  test("is bound to the device by its device-tree node, and has its interrupt", async () => {
    await using machine = await vm.fork();
    expect(await output(machine, `readlink ${SYSFS}/driver; cat ${SYSFS}/of_node/compatible`)).toBe(
      "../../../../bus/platform/drivers/banana-dma\nacme,banana-dma\0",
    );
    expect(await output(machine, "grep dma-controller /proc/interrupts")).toMatch(
      /^ *\d+: +0 +SiFive PLIC +40 +\S+ +5000000\.dma-controller\n$/,
    );
    expect(machine.device(bananaDma).registers.CTRL.IRQ_EN).toBe(false);
  });

  test("moves what is written to the buffer that is read, one interrupt for each transfer", async () => {
    await using machine = await vm.fork();
    const wrong = misdeeds(machine);
    const moved: number[] = [];
    machine.device(bananaDma).observe({ dma: ({ write, length }) => write && moved.push(length) });
    // BusyBox begins with 64 KiB that are no pattern.
    const copy = (length: number) =>
      `head -c ${length} /bin/busybox > /tmp/in; dd if=/tmp/in of=/dev/banana-dma bs=${length} 2>/dev/null; ` +
      "cat /dev/banana-dma > /tmp/out; cmp /tmp/in /tmp/out && echo equal";
    const lengths = [1, 4096, 5001, 65536];
    for (const length of lengths) expect(await output(machine, copy(length))).toBe("equal\n");
    expect(moved).toEqual(lengths);
    expect(await interrupts(machine)).toBe(lengths.length);
    // More than the buffer takes several writes, of which the last one is read back.
    expect(
      await output(
        machine,
        "dd if=/bin/busybox of=/dev/banana-dma bs=65541 count=1 2>/dev/null; wc -c < /dev/banana-dma",
      ),
    ).toBe("5\n");
    expect(await interrupts(machine)).toBe(lengths.length + 2);
    expect(wrong).toEqual([]);
    expect(machine.guestErrors).toEqual([]);
  });

  test("the write returns when the device is done, not before", async () => {
    await using machine = await vm.fork();
    const device = machine.device(bananaDma);
    const events: string[] = [];
    device.observe({
      timer: ({ timer }) => events.push(timer),
      irq: ({ irq, level }) => events.push(`${irq} ${level ? "raised" : "lowered"}`),
      change: ({ name, new: value }) => name === "STATUS" && events.push(`STATUS = ${value}`),
    });
    expect(await output(machine, "echo hello > /dev/banana-dma; cat /dev/banana-dma")).toBe("hello\n");
    expect(events).toEqual(["STATUS = 1", "transfer", "STATUS = 2", "done raised", "done lowered"]);
    // The driver acknowledged it.
    expect(device.registers.STATUS.value).toBe(0);
  });

  test("fills", async () => {
    await using machine = await vm.fork();
    const wrong = misdeeds(machine);
    expect(await output(machine, `echo 0x2a > ${SYSFS}/fill; tr -d '*' < /dev/banana-dma | wc -c`)).toBe("0\n");
    expect(await output(machine, "wc -c < /dev/banana-dma")).toBe("65536\n");
    const refused = await machine.console.run(`echo 256 > ${SYSFS}/fill`);
    expect(refused).toEqual({ output: expect.stringContaining("out of range"), status: 1 });
    expect(wrong).toEqual([]);
  });

  test("an address where nothing is gives an I/O error by interrupt, and the next transfer is good again", async () => {
    await using machine = await vm.fork();
    const wrong = misdeeds(machine);
    const failed = await machine.console.run(`was=$(cat ${DESTINATION}); echo 0x100000000000 > ${DESTINATION}
      echo lost > /dev/banana-dma`);
    expect(failed.output).toContain("Input/output error");
    expect(failed.status).toBe(1);
    expect(await output(machine, "cat /dev/banana-dma")).toBe("");
    expect(await interrupts(machine)).toBe(1);
    expect(await output(machine, `echo $was > ${DESTINATION}; echo found > /dev/banana-dma; cat /dev/banana-dma`)).toBe(
      "found\n",
    );
    expect(await interrupts(machine)).toBe(2);
    expect(machine.guestErrors).toEqual([expect.stringMatching(/0x100000000000: nothing is mapped/)]);
    expect(wrong).toEqual([]);
  });

  test("a device that is still busy is left alone", async () => {
    await using machine = await vm.fork();
    const wrong = misdeeds(machine);
    const { registers } = machine.device(bananaDma);
    registers.STATUS.BUSY = true;
    const busy = await machine.console.run("echo hello > /dev/banana-dma");
    expect(busy).toEqual({ output: expect.stringContaining("Device or resource busy"), status: 1 });
    registers.STATUS.BUSY = false;
    expect(wrong).toEqual([]);
    expect(await output(machine, "echo hello > /dev/banana-dma; cat /dev/banana-dma")).toBe("hello\n");
  });

  test("goes when nobody uses it, and comes back", async () => {
    await using machine = await vm.fork();
    const wrong = misdeeds(machine);
    const kept = await machine.console.run("exec 3<>/dev/banana-dma; rmmod banana_dma");
    expect(kept).toEqual({ output: expect.stringContaining("temporarily unavailable"), status: 1 });
    expect(await output(machine, "exec 3>&-; rmmod banana_dma; ls /dev/banana-dma 2>/dev/null; echo gone")).toBe(
      "gone\n",
    );
    expect(await output(machine, "grep -c dma-controller /proc/interrupts")).toBe("0\n");
    await machine.console.run(`insmod ${MODULE}`);
    expect(await output(machine, "echo again > /dev/banana-dma; cat /dev/banana-dma")).toBe("again\n");
    expect(await interrupts(machine)).toBe(1);
    expect(wrong).toEqual([]);
  });

  test("a device that goes while its file is open is told to whoever has it", async () => {
    await using machine = await vm.fork();
    const unbind = "echo 5000000.dma-controller > /sys/bus/platform/drivers/banana-dma/unbind";
    const { output: said } = await machine.console.run(`exec 3<>/dev/banana-dma; ${unbind}; echo hello >&3; cat <&3
      exec 3>&-; rmmod banana_dma; dmesg | grep -c -e 'BUG:' -e 'Oops' -e 'WARNING:'`);
    expect(said.match(/No such device/g)).toHaveLength(2);
    expect(said).toMatch(/^0$/m);
  });

  test("the check sees a driver that touches what it should not", async () => {
    await using machine = await vm.fork();
    const wrong = misdeeds(machine);
    // The kernel keeps others away from what a driver has.
    await machine.console.run("rmmod banana_dma; devmem 0x5000000; devmem 0x5000020; devmem 0x5000008 64");
    expect(wrong).toEqual([
      "read of CTRL, 4 bytes: only STATUS is to be read",
      "read of 4 bytes at 0x20: no register is there",
      "read of offset 32, 4 bytes: no access that the driver makes",
      "read of SRC, 8 bytes: no access that the driver makes",
    ]);
  });
});
