// boot: where devices go, and machines whose runs repeat.

import { afterAll, beforeAll, expect, test } from "vitest";
import { bananaDma } from "../examples/banana-dma/banana-dma.ts";
import { boot } from "../src/node/boot.ts";
import type { Vm } from "../src/testing/vm.ts";
import { describeWithGuest } from "./guest.ts";

describeWithGuest("boot with icount, and devices wherever there is room", (guest) => {
  const start = (): Promise<Vm> =>
    boot({
      images: guest,
      icount: 3,
      spares: 0,
      devices: [{ device: bananaDma, properties: { nsPerByte: 7 }, id: "dma0" }],
    });
  let vm: Vm;
  beforeAll(async () => {
    vm = await start();
  });
  afterAll(() => vm?.dispose());

  test("a device gets a free address, a free interrupt, and its properties", async () => {
    const dma = vm.device("dma0");
    expect(dma).toBe(vm.device(bananaDma));
    expect(dma.get("nsPerByte")).toBe(7);
    await using machine = await vm.fork();
    const { output } = await machine.console.run("cat /proc/device-tree/soc/dma-controller@*/name; dmesg | head -n 1");
    expect(output).toContain("dma-controller");
    expect(machine.device(bananaDma).registers.STATUS.BUSY).toBe(false);
  });

  test("two machines come to the same time, and so do two forks; time stands still while nobody waits", async () => {
    const other = await start();
    await using _ = other;
    expect(other.machine.now).toBe(vm.machine.now);
    const times = [];
    for (const parent of [vm, other, vm]) {
      await using machine = await parent.fork();
      const { output } = await machine.console.run("head -c 8 /dev/urandom | od -A n -t x1; cat /proc/uptime");
      const now = machine.machine.now;
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(machine.machine.now).toBe(now);
      times.push({ output, now });
    }
    expect(times[1]).toEqual(times[0]);
    expect(times[2]).toEqual(times[0]);
  });

  test("vm.run lets time pass; what never comes still ends by the host's clock", async () => {
    await using machine = await vm.fork();
    const before = machine.machine.now;
    await machine.run(1_000_000);
    expect(machine.machine.now - before).toBeGreaterThanOrEqual(1_000_000);
    expect(machine.machine.now - before).toBeLessThan(1_000_100);
    await expect(machine.console.run("sleep 1000000", { timeout: 100 })).rejects.toThrow(/100 ms passed/);
    await expect(machine.run(-1)).rejects.toThrow("vm.run(-1): expected a number of nanoseconds");
    const other = await vm.fork();
    const ran = other.run(1e15);
    await other.dispose();
    await expect(ran).rejects.toThrow(/the machine ended while/);
  });
});

test.each([
  [{ icount: 1.5 }, "boot: icount: 1.5 is no shift: expected a whole number from 0 to 20"],
  [{ memory: "12X" }, 'boot: memory: 12X is no size: expected bytes, or text such as "256M"'],
])("%j: one line", async (config, message) => {
  await expect(boot({ images: { kernel: "/nonexistent" }, ...config })).rejects.toThrow(message);
});
