// A folder that `plantain new` has made, used as its owner would: types, tests, driver, and Linux with all of it.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeModules } from "../src/node/guest/build-module.ts";
import { describeWithKernelBuild } from "./guest.ts";
import { PLANTAIN, Session } from "./session.ts";

describe("a folder made by plantain new", () => {
  // A name that is a word of TypeScript's and of C's.
  const NAME = "switch";
  let parent: string;
  let folder: string;
  beforeAll(() => {
    parent = realpathSync(mkdtempSync(join(tmpdir(), "plantain-new,")));
    folder = join(parent, NAME);
    const { status, stderr } = spawnSync(PLANTAIN, ["new", NAME], { cwd: parent, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
  afterAll(() => rmSync(parent, { recursive: true, force: true }));

  /** Runs a script of package.json. */
  function script(name: string): ReturnType<typeof shell> {
    return shell(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).scripts[name]);
  }

  /** Runs a command as npm does: the folder's own programs come first. */
  function shell(command: string, where = folder): { status: number | null; output: string } {
    const { PATH = "", HOME = "", PLANTAIN_CACHE } = process.env;
    const { status, stdout, stderr } = spawnSync(command, {
      cwd: where,
      shell: true,
      encoding: "utf8",
      env: {
        PATH: [join(where, "node_modules", ".bin"), PATH].join(delimiter),
        HOME,
        ...(PLANTAIN_CACHE === undefined ? {} : { PLANTAIN_CACHE }),
        NO_COLOR: "1",
      },
    });
    return { status, output: stdout + stderr };
  }

  test("its types are right, and wrong ones are seen", () => {
    expect(script("types")).toEqual({ status: 0, output: "" });
    writeFileSync(
      join(folder, "wrong.ts"),
      'import { testbench } from "plantain/testing";\nimport { switchDevice } from "./switch.ts";\ntestbench(switchDevice).read("CONTROL");\n',
    );
    expect(script("types")).toEqual({ status: 1, output: expect.stringMatching(/wrong\.ts.*"CONTROL"/) });
    rmSync(join(folder, "wrong.ts"));
  });

  test("what docs/first-device.md changes in it works", () => {
    const page = readFileSync(new URL("../docs/first-device.md", import.meta.url), "utf8");
    const [whole, register, setUp, example] = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);
    const mine = join(parent, "my-device");
    spawnSync(PLANTAIN, ["new", "my-device"], { cwd: parent });
    const device = readFileSync(join(mine, "my-device.ts"), "utf8");
    expect(device).toContain(whole!.replace("    ...\n", ""));
    const [setUpWas] = /^ {2}setup.*\n/m.exec(device)!;
    const changed = device.replace(/^ {4}COUNT: .*\n/m, (line) => line + register).replace(setUpWas, setUp!);
    writeFileSync(join(mine, "my-device.ts"), changed);
    writeFileSync(join(mine, "my-device.test.ts"), example!, { flag: "a" });
    const tests = shell("vitest run my-device.test.ts", mine);
    expect(tests.output).toMatch(/Tests +4 passed \(4\)/);
    expect(shell("tsc", mine)).toEqual({ status: 0, output: "" });
    expect(shell("plantain header my-device.ts", mine).output).toMatch(/^#define MY_DEVICE_LEFT +0x10 /m);
  });

  describeWithKernelBuild("with a Linux guest", (guest, build) => {
    test("its tests pass: the device's alone, and the driver's in a booted Linux", () => {
      const { status, output } = script("test");
      expect(output).toMatch(/Tests +6 passed \(6\)/);
      expect(status).toBe(0);
    });

    test("plantain there boots Linux with the device, and the driver that was built", async () => {
      expect(script("driver")).toEqual({ status: 0, output: `driver/switch.ko for Linux ${guest.kernelRelease}\n` });
      const session = new Session(PLANTAIN, [], { cwd: folder });
      try {
        await session.logIn();
        expect((await session.run("devmem 0x5000000")).output).toBe("0xDEC0DE01\n");
        const byHand = "devmem 0x500000C 32 3; devmem 0x5000004 32 1; usleep 10000; devmem 0x5000008";
        expect((await session.run(byHand)).output).toBe("0x00000002\n");
        const counted = await session.run(
          "insmod /root/driver/switch.ko && echo 10 > /sys/bus/platform/devices/5000000.switch/count",
        );
        expect(counted.status).toBe(0);
        expect((await session.run("grep -c ' 5000000.switch' /proc/interrupts")).output).toBe("1\n");
        session.type("poweroff\r");
        expect((await session.end()).status).toBe(0);
      } finally {
        session.kill();
      }
    });

    test("a mistake in the driver is the compiler's first line, in terms of the folder", async () => {
      const source = join(folder, "driver", "switch.c");
      const text = readFileSync(source, "utf8");
      writeFileSync(source, text.replace("mutex_init(", "mutex_innit("));
      await expect(makeModules(join(folder, "driver"), build)).rejects.toThrow(
        RegExp(`^${source}:\\d+:\\d+: error: implicit declaration of function .mutex_innit.[^\n]*$`),
      );
      writeFileSync(source, text);
      await expect(makeModules(join(folder, "gone"), build)).rejects.toThrow(/there is no folder .*gone$/);
      await expect(makeModules(folder, build)).rejects.toThrow(
        /has no Makefile: expected one with "obj-m := NAME\.o"$/,
      );
    });
  });
});
