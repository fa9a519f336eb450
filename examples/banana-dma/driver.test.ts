// The Linux driver in driver/, built as a module for the guest's kernel and tried in the booted guest: a fork for each test.

import { join } from "node:path";
import { cHeader } from "plantain/device";
import { boot, buildModule, missingGuest, type Vm } from "plantain/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "plantain/testing/matchers";
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

  const traceDma = (machine: Vm) => machine.trace(bananaDma);

  /** What every driver of the device owes it, whatever the user wants. */
  function expectConduct(trace: ReturnType<typeof traceDma>): void {
    expect(trace).not.toHaveMisuse();
    expect(trace).not.toHaveGuestErrors();
    expect(trace).not.toHaveTouched(["CTRL", "SRC", "DST", "LEN"], { by: "read" });
    expect(trace).not.toHaveWrittenWhile(["SRC", "DST", "LEN", "CTRL"], { STATUS: { BUSY: true } });
    expect(trace).toHaveAcknowledgedIrqs();
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
    const trace = traceDma(machine);
    // BusyBox begins with 64 KiB that are no pattern.
    const copy = (length: number) =>
      `head -c ${length} /bin/busybox > /tmp/in; dd if=/tmp/in of=/dev/banana-dma bs=${length} 2>/dev/null; ` +
      "cat /dev/banana-dma > /tmp/out; cmp /tmp/in /tmp/out && echo equal";
    const lengths = [1, 4096, 5001, 65536];
    for (const length of lengths) expect(await output(machine, copy(length))).toBe("equal\n");
    const moved = [...trace].flatMap((record) => (record.kind === "dma" && record.write ? record.length : []));
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
    expectConduct(trace);
    expect(machine.guestErrors).toEqual([]);
  });

  test("the write returns when the device is done, not before", async () => {
    await using machine = await vm.fork();
    const trace = await machine.trace(bananaDma, async () => {
      expect(await output(machine, "echo hello > /dev/banana-dma; cat /dev/banana-dma")).toBe("hello\n");
    });
    const events = [...trace].flatMap((record) => {
      if (record.kind === "timer") return record.timer;
      if (record.kind === "irq") return `${record.irq} ${record.level ? "raised" : "lowered"}`;
      return record.kind === "change" && record.name === "STATUS" ? `STATUS = ${record.new}` : [];
    });
    expect(events).toEqual(["STATUS = 1", "transfer", "STATUS = 2", "done raised", "done lowered"]);
    expect(trace).toHaveAccessed(
      [
        { read: "STATUS", value: { BUSY: false } },
        ...[{ write: "SRC" }, { write: "SRC" }, { write: "DST" }, { write: "DST" }, { write: "LEN", value: 6 }],
        { write: "CTRL", value: { START: true, IRQ_EN: true, MODE: "COPY" } },
        { read: "STATUS", value: { DONE: true, ERROR: false } },
        { write: "STATUS" },
      ] as const,
      { exactly: true },
    );
    expect(machine.device(bananaDma).registers.STATUS.value).toBe(0);
  });

  test("fills", async () => {
    await using machine = await vm.fork();
    const trace = traceDma(machine);
    expect(await output(machine, `echo 0x2a > ${SYSFS}/fill; tr -d '*' < /dev/banana-dma | wc -c`)).toBe("0\n");
    expect(await output(machine, "wc -c < /dev/banana-dma")).toBe("65536\n");
    const refused = await machine.console.run(`echo 256 > ${SYSFS}/fill`);
    expect(refused).toEqual({ output: expect.stringContaining("out of range"), status: 1 });
    expectConduct(trace);
  });

  test("an address where nothing is gives an I/O error by interrupt, and the next transfer is good again", async () => {
    await using machine = await vm.fork();
    const trace = traceDma(machine);
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
    expectConduct(trace);
  });

  test("a device that is still busy is left alone", async () => {
    await using machine = await vm.fork();
    const trace = traceDma(machine);
    const { registers } = machine.device(bananaDma);
    registers.STATUS.BUSY = true;
    const busy = await machine.console.run("echo hello > /dev/banana-dma");
    expect(busy).toEqual({ output: expect.stringContaining("Device or resource busy"), status: 1 });
    registers.STATUS.BUSY = false;
    expectConduct(trace);
    expect(await output(machine, "echo hello > /dev/banana-dma; cat /dev/banana-dma")).toBe("hello\n");
  });

  test("goes when nobody uses it, and comes back", async () => {
    await using machine = await vm.fork();
    const trace = traceDma(machine);
    const kept = await machine.console.run("exec 3<>/dev/banana-dma; rmmod banana_dma");
    expect(kept).toEqual({ output: expect.stringContaining("temporarily unavailable"), status: 1 });
    expect(await output(machine, "exec 3>&-; rmmod banana_dma; ls /dev/banana-dma 2>/dev/null; echo gone")).toBe(
      "gone\n",
    );
    expect(await output(machine, "grep -c dma-controller /proc/interrupts")).toBe("0\n");
    await machine.console.run(`insmod ${MODULE}`);
    expect(await output(machine, "echo again > /dev/banana-dma; cat /dev/banana-dma")).toBe("again\n");
    expect(await interrupts(machine)).toBe(1);
    expectConduct(trace);
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
    // The kernel keeps others away from what a driver has.
    await machine.console.run("rmmod banana_dma");
    const misdeed = async (command: string) => {
      const trace = await machine.trace(bananaDma, () => machine.console.run(command));
      return () => expectConduct(trace);
    };
    expect(await misdeed("devmem 0x5000004")).not.toThrow();
    expect(await misdeed("devmem 0x5000000")).toThrow(/CTRL/);
    expect(await misdeed("devmem 0x5000020")).toThrow(/no register is there/);
    expect(await misdeed("devmem 0x5000019 8")).toThrow(/LEN/);
    expect(await misdeed("devmem 0x5000000 32 0x10")).toThrow(/reserved bits/);
    // The transfer takes its time; the interrupt stands when it has ended.
    expect(await misdeed("devmem 0x5000000 32 3; sleep 0.1")).toThrow(/done/);
  });
});
