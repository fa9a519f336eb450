// The sensor used from user space in the booted guest: the module in driver/ gives it to
// the program there by UIO. A fork
// for each test; time goes by instructions, so what is measured is the same each time.

import { join } from "node:path";
import { cHeader } from "plantain/device";
import { boot, buildModule, buildProgram, missingGuest, type Vm } from "plantain/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bananaSensor } from "./banana-sensor.ts";

const missing = missingGuest("modules");
const MODULE = "/lib/banana_sensor_uio.ko";
const AMBIENT = 21_500;
/** Milliseconds. */
const TAU = 400;
/** The program's, in nanoseconds. */
const PERIOD = 10e6;

describe.skipIf(missing !== undefined)(`banana-sensor from user space${missing ? ` (${missing})` : ""}`, () => {
  let vm: Vm;
  beforeAll(async () => {
    const headers = { "banana-sensor-regs.h": cHeader(bananaSensor.registerMap) };
    vm = await boot({
      devices: [{ device: bananaSensor, addr: 0x5000000, irq: 41, properties: { ambient: AMBIENT, tau: TAU } }],
      files: {
        [MODULE]: await buildModule(join(import.meta.dirname, "driver"), { headers }),
        "/bin/sensor": await buildProgram(join(import.meta.dirname, "driver/sensor.c"), { headers }),
      },
      icount: 3,
    });
    await vm.console.run(`modprobe uio; insmod ${MODULE}`);
  });
  afterAll(() => vm?.dispose());

  const output = async (machine: Vm, command: string): Promise<string> => (await machine.console.run(command)).output;
  /** What the kernel counted. */
  const interrupts = async (machine: Vm): Promise<number> =>
    Number((await output(machine, "grep banana-sensor /proc/interrupts")).split(/\s+/)[2]);

  test("is bound by its node, and its registers and interrupt are offered", async () => {
    await using machine = await vm.fork();
    expect(await output(machine, "cd /sys/class/uio/uio0; cat name maps/map0/name maps/map0/addr maps/map0/size")).toBe(
      "banana-sensor\nregisters\n0x0000000005000000\n0x0000000000001000\n",
    );
    expect(await output(machine, "readlink device/driver; cat device/of_node/compatible")).toBe(
      "../../../../bus/platform/drivers/banana-sensor\nacme,banana-sensor\0",
    );
    expect(await output(machine, "grep banana-sensor /proc/interrupts")).toMatch(
      /^ *\d+: +0 +SiFive PLIC +41 +\S+ +banana-sensor\n$/,
    );
  });

  test("polling: the temperature goes the way that physics has it", async () => {
    await using machine = await vm.fork();
    const device = machine.device(bananaSensor);
    const samples: { time: number; degrees: number }[] = [];
    let heated = 0;
    device.observe({
      access: ({ write, time, registers, value }) => {
        if (write && registers[0]?.name === "HEATER" && value === 500) heated = time;
      },
      change: ({ name, time, new: value }) => name === "TEMP" && samples.push({ time, degrees: Number(value) | 0 }),
    });
    const printed = (await output(machine, "sensor poll 100 500"))
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" ").map(Number) as [us: number, degrees: number]);
    expect(printed).toHaveLength(100);

    // The program saw every sample, and each is what an exponential from the surroundings' temperature to one that
    // half a watt makes 50 degrees warmer has at that moment.
    expect(printed.map(([, degrees]) => degrees)).toEqual(samples.map(({ degrees }) => degrees));
    for (const { time, degrees } of samples) {
      const gone = 1 - Math.exp(-(time - heated) / (TAU * 1e6));
      expect(degrees).toBe(Math.round(AMBIENT + 50_000 * gone));
    }
    // A second of it, by the guest's clock too, and what two and a half times tau leave to do.
    expect((samples.at(-1)!.time - samples[0]!.time) / PERIOD).toBeCloseTo(99, 5);
    for (const [n, [us]] of printed.entries()) {
      expect(us * 1000).toBeGreaterThanOrEqual((n + 1) * PERIOD);
      expect(us * 1000).toBeLessThan((n + 2) * PERIOD);
    }
    expect(printed.at(-1)![1] / 1000).toBeCloseTo(21.5 + 50 * (1 - Math.exp(-2.5)), 1);
    expect(device.registers.HEATER.value).toBe(0);
  });

  test("an interrupt when it becomes too warm, one each time", async () => {
    await using machine = await vm.fork();
    const device = machine.device(bananaSensor);
    let raised = 0;
    const above: number[] = [];
    device.observe({
      irq: ({ level }) => level && raised++,
      change: ({ name, new: value }) => name === "TEMP" && Number(value) > 40_000 && above.push(Number(value)),
    });
    const lines = (await output(machine, "sensor keep 5 40000 500")).trimEnd().split("\n");
    expect(lines).toHaveLength(5);
    for (const [n, line] of lines.entries()) {
      const [, count, at, until] = /^interrupt (\d+) at (\d+), off until (\d+)$/.exec(line)!.map(Number);
      expect(count).toBe(n + 1);
      // The first sample above the limit: 500 mW make at most 1.3 degrees between two.
      expect(at).toBeGreaterThan(40_000);
      expect(at).toBeLessThan(41_300);
      expect(until).toBeLessThanOrEqual(39_000);
      expect(until).toBeGreaterThan(37_500);
    }
    // The device, the kernel and the program agree; it was above the limit for longer than one sample.
    expect(raised).toBe(5);
    expect(await interrupts(machine)).toBe(5);
    expect(above.length).toBeGreaterThan(5);
    expect(machine.guestErrors).toEqual([]);
  });

  test("no interrupt where it does not become too warm", async () => {
    await using machine = await vm.fork();
    expect(await output(machine, `sensor wait 3000 ${AMBIENT}; sensor wait 3000 ${AMBIENT - 1}`)).toBe(
      "no interrupt\ninterrupt\n",
    );
    expect(await interrupts(machine)).toBe(1);
  });

  test("an interrupt that nobody has taken back is passed on once, and again when the program asks", async () => {
    await using machine = await vm.fork();
    const { registers } = machine.device(bananaSensor);
    await machine.console.run("exec 3<>/dev/uio0");
    registers.STATUS.ABOVE = true;
    const take = "dd bs=4 count=1 <&3 2>/dev/null | hexdump -e '\"%d\\n\"'";
    expect(await interrupts(machine)).toBe(0);
    expect(await output(machine, `printf '\\1\\0\\0\\0' >&3; ${take}; sleep 1`)).toBe("1\n");
    expect(await interrupts(machine)).toBe(1);
    expect(await output(machine, `printf '\\1\\0\\0\\0' >&3; ${take}; sleep 1`)).toBe("2\n");
    expect(await interrupts(machine)).toBe(2);
    registers.STATUS.ABOVE = false;
    await machine.console.run("printf '\\1\\0\\0\\0' >&3; sleep 1");
    expect(await interrupts(machine)).toBe(2);
    // Unwanted twice, wanted once: these are not counted.
    await machine.console.run("printf '\\0\\0\\0\\0' >&3; printf '\\0\\0\\0\\0' >&3; printf '\\1\\0\\0\\0' >&3");
    registers.STATUS.ABOVE = true;
    expect(await output(machine, take)).toBe("3\n");
  });

  test("one program at a time; one that is killed leaves the heater and the interrupt off", async () => {
    await using machine = await vm.fork();
    const { registers } = machine.device(bananaSensor);
    await machine.console.run("sensor keep 1 100000 999 & sleep 1");
    expect(registers.HEATER.POWER).toBe(999);
    expect(await machine.console.run("sensor wait 1 0")).toEqual({
      output: "sensor: opening /dev/uio0: error 16\n",
      status: 1,
    });
    expect(registers.HEATER.POWER).toBe(999);
    await machine.console.run("kill -9 %1; wait");
    expect(registers).toMatchObject({ HEATER: { POWER: 0 }, CTRL: { ENABLE: false, IRQ_EN: false } });
    expect(await output(machine, "sensor keep 1 40000 500")).toMatch(/^interrupt 1 at 4/);
  });

  test("the driver goes and comes back", async () => {
    await using machine = await vm.fork();
    const kept = await machine.console.run("exec 3<>/dev/uio0; rmmod banana_sensor_uio");
    expect(kept).toEqual({ output: expect.stringContaining("temporarily unavailable"), status: 1 });
    expect(await output(machine, "exec 3>&-; rmmod banana_sensor_uio; ls /dev/uio0 2>/dev/null; echo gone")).toBe(
      "gone\n",
    );
    expect(await output(machine, `insmod ${MODULE}; sensor keep 1 40000 500`)).toMatch(/^interrupt 1 at 4/);
    expect(await output(machine, "dmesg | grep -c -e BUG: -e Oops -e WARNING:")).toBe("0\n");
  });

  test.each([
    ["sensor", "expected poll TIMES MILLIWATTS, keep TIMES LIMIT MILLIWATTS, or wait MILLISECONDS LIMIT"],
    ["sensor poll 1 x", "this is no number that the sensor takes"],
    ["rmmod banana_sensor_uio; sensor poll 1 1", "opening /dev/uio0: error 2"],
  ])("%s: is refused in a line", async (command, message) => {
    await using machine = await vm.fork();
    expect(await machine.console.run(command)).toEqual({ output: `sensor: ${message}\n`, status: 1 });
  });
});
