// boot: where devices go, and machines whose runs repeat.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
    expect(vm.device<typeof bananaDma>("dma0").registers.CTRL.MODE).toBe("COPY");
    // @ts-expect-error no such register
    expect(vm.device<typeof bananaDma>("dma0").registers.STATSU).toBeUndefined();
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

describe("boot with a configuration file", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "plantain-boot-"));
    const device = fileURLToPath(new URL("../examples/banana-rom/banana-rom.ts", import.meta.url));
    writeFileSync(join(folder, "device.ts"), `export { bananaRom } from ${JSON.stringify(device)};`);
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const configOf = (name: string, config: object): string => {
    const path = join(folder, `${name}.config.ts`);
    writeFileSync(path, `export default ${JSON.stringify(config)};\n`);
    return path;
  };

  describeWithGuest("of a Linux", (guest) => {
    test("has its board, devices and files; what the test says is added", async () => {
      const config = configOf("good", {
        guest: "linux",
        board: "virt,banana-rom=off",
        memory: "192M",
        append: "one=1",
        netdevs: ["user,id=net0"],
        devices: [
          { device: "./device.ts", addr: 0x400_0000 },
          { device: "virtio-net-device", properties: { netdev: "net0" } },
        ],
      });
      await using vm = await boot({ config, images: guest, append: "two=2", devices: [{ device: bananaDma }] });
      const { output } = await vm.console.run(
        "cat /proc/cmdline; devmem 0x4000000; grep MemTotal /proc/meminfo; ls /sys/class/net",
      );
      expect(output).toMatch(/one=1 two=2\n0xBA000001\nMemTotal: +1[0-9]{5} kB\n[\s\S]*eth0/);
      expect(vm.device("banana-rom").path).toContain("peripheral");
      expect(vm.device(bananaDma).registers.LEN.value).toBe(0);
    });
  });

  test.each([
    ["drives", { drives: [{ file: "a" }, { file: "b" }] }, /2 drives: a machine of boot has one at most$/],
    [
      "netdev",
      { netdevs: ["user,id=n,hostfwd=tcp::2222-:22"] },
      /netdevs: user,id=n,hostfwd=.*: a machine of boot has a network of its own/,
    ],
    [
      "type",
      { devices: [{ device: "virtio-blk-devise" }] },
      /expected a file that defines one, .* \(did you mean "virtio-blk-device"\?\)$/,
    ],
    ["missing", { devices: [{ device: "./none.ts" }] }, /there is no file .*none\.ts$/],
    ["bios", { bios: "none" }, /a machine of boot starts with firmware$/],
  ])("%s: one line with the file", async (name, config, message) => {
    const path = configOf(name, { kernel: "Image", ...config });
    await expect(boot({ config: path })).rejects.toThrow(message);
    await expect(boot({ config: pathToFileURL(path) })).rejects.toThrow(path);
  });
});

test.each([
  [{ icount: 1.5 }, "boot: icount: 1.5 is no shift: expected a whole number from 0 to 20"],
  [{ memory: "12X" }, 'boot: memory: 12X is no size: expected bytes, or text such as "256M"'],
])("%j: one line", async (config, message) => {
  await expect(boot({ images: { kernel: "/nonexistent" }, ...config })).rejects.toThrow(message);
});
