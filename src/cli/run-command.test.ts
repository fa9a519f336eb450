// Whole runs of the command inside this process, with the real board where a machine is made.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BlockError } from "../backend/block.ts";
import { virtBoard } from "../boards/virt.ts";
import type { ShutdownReason } from "../device/device.ts";
import { decodeFdt } from "../fdt/decode.ts";
import type { MachineConfig, MachineHost } from "../machine/config.ts";
import { createMachine } from "../machine/machine.ts";
import { Terminal } from "../node/tty.ts";
import { UserError } from "../util/user-error.ts";
import { catalog, words } from "./config-for-tests.ts";
import { LATER_OPTIONS, OPTIONS } from "./options/table.ts";
import { type CommandEnvironment, runCommand } from "./run-command.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-run-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly status: number;
  readonly output: string;
  readonly error: string;
}

async function run(line: string | readonly string[], changes: Partial<CommandEnvironment> = {}): Promise<Result> {
  let output = "";
  let error = "";
  const status = await runCommand(typeof line === "string" ? words(line) : line, {
    catalog,
    createMachine: (config, host) => createMachine(config, host, [virtBoard]),
    terminal: new Terminal(() => new PassThrough() as unknown as NodeJS.ReadStream),
    version: () => "1.2.3",
    writeOutput: (text) => {
      output += text;
    },
    writeError: (text) => {
      error += text;
    },
    writeFile: writeFileSync,
    colour: { output: false, error: false },
    ...changes,
  });
  return { status, output, error };
}

/** A machine that does nothing but end. */
const ending = (end: (host: MachineHost) => ShutdownReason | undefined | Error) => ({
  createMachine: (_config: MachineConfig, host: MachineHost) => ({
    board: { deviceTree: new Uint8Array() },
    engine: { harts: [{ pc: 0x80001234n }, { pc: 0x1000n }] },
    stop: () => {},
    run: async () => {
      const reason = end(host);
      if (reason instanceof Error) throw reason;
      return reason;
    },
  }),
});

describe("help", () => {
  test("-version", async () => {
    expect(await run("-version")).toEqual({ status: 0, output: "Plantain emulator version 1.2.3\n", error: "" });
  });

  test("-help tells of every option and of the banana ROM", async () => {
    const { status, output } = await run("-help");
    expect(status).toBe(0);
    for (const { name, help } of OPTIONS) {
      expect(output).toMatch(new RegExp(`^  (-\\w+, )?-${name}( |$)`, "m"));
      expect(output.replace(/\s+/g, " ")).toContain(help);
    }
    for (const name of LATER_OPTIONS) expect(output).toMatch(new RegExp(` -${name}( |$)`, "m"));
    expect(output).toContain("devmem 0x4000000");
    expect(output.split("\n").filter((text) => text.length > 120)).toEqual([]);
    expect(output).not.toContain("\x1b");
  });

  test("headings are bold where that is wanted", async () => {
    const { output } = await run("-help", { colour: { output: true, error: false } });
    expect(output).toContain("\x1b[1mBoard\x1b[0m\n");
  });

  test.each([
    ["-M help", /^Machines:\n {2}virt {2,}\S/],
    ["-M virt,help", /^machine virt: .*\n(.*\n)*? {2}banana-rom=on\|off {2,}.*\(on\)/],
    ["-cpu help", /^rv64: .*\n(.*\n)* {2}zba=on\|off .*\n(.*\n)*\nmax: /],
    ["-device help", /^Devices for the virt board:\n(.*\n)* {2}virtio-blk-device {2,}\S/],
    ["-device virtio-blk-device,help", /^virtio-blk-device: .*\n(.*\n)* {2}drive=DRIVE {2,}\S/],
    ["-netdev help", /^Networks:\n {2}user /],
    ["-chardev help", /^Character devices:\n(.*\n)* {2}stdio /],
    ["-drive help", /^Image formats:\n {2}raw /],
    ["-object help", /^Objects:\n {2}rng-builtin /],
    ["-d help", /^Log items:\n(.*\n)* {2}unimp /],
    ["-accel help", /^Accelerators:\n {2}jit /],
    ["-display help", /^Displays:\n {2}none /],
  ])("%s", async (line, expected) => {
    const { status, output, error } = await run(line);
    expect([status, error]).toEqual([0, ""]);
    expect(output).toMatch(expected);
    expect(output.endsWith("\n")).toBe(true);
  });

  test("board parts are not for -device", async () => {
    expect((await run("-device help")).output).not.toMatch(/plic|serial|banana/);
  });

  test("of a device that is none", async () => {
    expect(await run("-device virtio-blk-devcie,help")).toEqual({
      status: 1,
      output: "",
      error:
        'plantain: -device virtio-blk-devcie,help: there is no device "virtio-blk-devcie" (did you mean "virtio-blk-device"?)\n',
    });
  });
});

describe("mistakes end with status 1 and one line", () => {
  test.each([
    ["-nographics", "plantain: -nographics: there is no such option (did you mean -nographic?)\n"],
    ["-bios none -kernel /no/kernel", "plantain: -kernel /no/kernel: there is no such file\n"],
    [
      "-bios none -drive file=/no/disk,id=a",
      "plantain: -drive file=/no/disk,id=a: disk image /no/disk: there is no such file\n",
    ],
  ])("%s", async (line, expected) => {
    const { status, error } = await run(line);
    // Warnings may come before.
    expect(
      error
        .split("\n")
        .filter((text) => !text.includes(" warning: "))
        .join("\n"),
    ).toBe(expected);
    expect(status).toBe(1);
  });

  test("what only the machine can find", async () => {
    const { status, error } = await run("-bios none -serial null -m 1E");
    expect(status).toBe(1);
    expect(error).toMatch(/^plantain: -m: .* of RAM are more than .*: expected a multiple of 4K up to 3 GiB, .*\n$/);
    const disk = await run("-bios none -serial null -device virtio-blk-device");
    expect(disk).toMatchObject({ status: 1, error: expect.stringMatching(/^plantain: .*drive=ID.*\n$/) });
  });

  test("a message of several lines becomes one, control characters are not sent to the terminal", async () => {
    const { error } = await run(["-M", "vi\nrt\x1b[31m"]);
    expect(error).toMatch(/^plantain: -M vi rt \[31m: there is no machine .*\n$/);
  });

  test("the name is bold on a terminal", async () => {
    const { error } = await run("-bogus", { colour: { output: false, error: true } });
    expect(error).toContain("\x1b[1mplantain:\x1b[0m -bogus: ");
  });
});

test("warnings come first and end nothing", async () => {
  const result = await run(
    "-bios none -serial null -netdev user,id=n",
    ending(() => ({ kind: "poweroff", status: 0 })),
  );
  expect(result.status).toBe(0);
  expect(result.error).toBe(
    "plantain: warning: -netdev user,id=n: no card uses this network: -device virtio-net-device,netdev=n adds one\n",
  );
});

describe("dumpdtb", () => {
  test("writes the device tree and ends", async () => {
    const path = join(folder, "virt.dtb");
    expect(await run(`-M virt,dumpdtb=${path} -bios none -m 64 -nographic`)).toEqual({
      status: 0,
      output: "",
      error: "",
    });
    const { root } = decodeFdt(readFileSync(path), path);
    expect(root.find("/memory@80000000")).toBeDefined();
  });

  test("cannot write everywhere", async () => {
    const path = join(folder, "no", "virt.dtb");
    const { status, error } = await run(`-M virt,dumpdtb=${path} -bios none -serial null`);
    expect([status, error]).toEqual([1, `plantain: -M dumpdtb=${path}: the file cannot be written (ENOENT)\n`]);
  });
});

describe("the end of a machine", () => {
  const QUIET = "-bios none -serial null";

  test.each([
    [{ kind: "poweroff", status: 0 }, 0],
    [{ kind: "poweroff", status: 5 }, 5],
    [{ kind: "panic", status: 3 }, 3],
    [undefined, 0],
  ] as const)("%o", async (reason, status) => {
    expect(
      await run(
        QUIET,
        ending(() => reason),
      ),
    ).toEqual({ status, output: "", error: "" });
  });

  test("a bug has its stack and the guest's place, and status 70", async () => {
    const { status, error } = await run(
      QUIET,
      ending(() => new TypeError("x is not a function")),
    );
    expect(status).toBe(70);
    expect(error).toMatch(/^plantain: internal error: TypeError: x is not a function\n {4}at .*run-command\.test\.ts/);
    expect(error).toMatch(/\nguest: hart 0 at pc 0x80001234, hart 1 at pc 0x1000\n$/);
  });

  test("a mistake that shows only while it runs", async () => {
    const result = await run(
      QUIET,
      ending(() => new UserError("the image has shrunk")),
    );
    expect(result).toMatchObject({ status: 1, error: "plantain: the image has shrunk\n" });
  });

  test("a device's code that does not end: disks and consoles have what they should before there is a word of it", async () => {
    const [path, said] = [join(folder, "disk"), join(folder, "said")];
    writeFileSync(path, new Uint8Array(512));
    let at = "";
    const line = `-bios none -monitor none -display none -serial file:${said} -drive file=${path},id=a,format=raw -device virtio-blk-device,drive=a`;
    const { status, error } = await run(line, {
      createMachine: (_config, host, _tell, endless) => {
        host.drives.get("a")!.attach("test").write(0, Uint8Array.of(0x42));
        host.serials[0]!.write(new TextEncoder().encode("last words"));
        expect(endless('dma: timer "tick" has not ended\n  1 | for (;;) {}')).toBe(70);
        // At once: nothing else runs in such a process.
        at = `${readFileSync(path)[0]} ${readFileSync(said, "utf8")}`;
        throw new UserError("the end");
      },
    });
    expect(at).toBe("66 last words");
    expect(error).toBe('plantain: dma: timer "tick" has not ended\n  1 | for (;;) {}\nplantain: the end\n');
    expect(status).toBe(1);
  });

  test("the disks have their data, also after a bug", async () => {
    const path = join(folder, "disk");
    writeFileSync(path, new Uint8Array(512));
    const line = `${QUIET} -drive file=${path},id=a,format=raw -device virtio-blk-device,drive=a`;
    const { status } = await run(
      line,
      ending((host) => {
        host.drives.get("a")!.attach("test").write(0, Uint8Array.of(0x42));
        return new Error("bug");
      }),
    );
    expect([status, readFileSync(path)[0]]).toEqual([70, 0x42]);
  });

  test("a disk that fails at the end fails the command", async () => {
    const path = join(folder, "disk");
    writeFileSync(path, new Uint8Array(512));
    const line = `${QUIET} -drive file=${path},id=a,format=raw -device virtio-blk-device,drive=a`;
    const { status, error } = await run(
      line,
      ending((host) => {
        const disk = host.drives.get("a")!.attach("test");
        disk.flush = () => {
          throw new BlockError("io", "disk: cannot flush: EIO");
        };
        return { kind: "poweroff", status: 0 };
      }),
    );
    expect([status, error]).toEqual([1, "plantain: disk: cannot flush: EIO\n"]);
  });
});

test("signals and errors are nobody's any more afterwards", async () => {
  const count = () =>
    ["SIGINT", "SIGTERM", "SIGTSTP", "exit", "uncaughtException"].map((event) => process.listenerCount(event));
  const before = count();
  await run(
    "-bios none -serial null",
    ending(() => undefined),
  );
  expect(count()).toEqual(before);
});
