// Whole machines in tests: the console, forks and what they do not share, snapshots of a Linux that boots.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Drive } from "../src/backend/block-drive.ts";
import { OverlayBlock } from "../src/backend/block-overlay.ts";
import { MemoryChardev } from "../src/backend/chardev-memory.ts";
import { virtBoard } from "../src/boards/virt.ts";
import { SysBusDevice, sysBusDeviceType } from "../src/device/device.ts";
import { defaultConfig, type MachineConfig } from "../src/machine/config.ts";
import { createMachine } from "../src/machine/machine.ts";
import { MemoryRegion } from "../src/memory/region.ts";
import { boot } from "../src/node/boot.ts";
import { openFileBlock } from "../src/node/file-block.ts";
import { openConfig } from "../src/node/open-config.ts";
import type { TypeInfo } from "../src/qom/type-info.ts";
import type { Vm } from "../src/testing/vm.ts";
import { describeWithGuest } from "./guest.ts";

/** Counts its reads. */
class Counter extends SysBusDevice {
  count = 0;

  constructor(type: TypeInfo) {
    super(type);
    this.initMmio(MemoryRegion.io("counter", 0x1000, { read: () => ++this.count }));
  }

  override save(): unknown {
    return { version: 1, count: this.count };
  }

  override load(state: unknown): void {
    this.count = (state as { count: number }).count;
  }
}

const counterType: TypeInfo<Counter> = {
  name: "counter",
  parent: sysBusDeviceType,
  create: (type) => new Counter(type),
};
const counter = { typeInfo: counterType };

const MARKER = 0x8f00_0000;

describeWithGuest("a booted Linux", (guest) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await boot({ images: guest, devices: [{ device: counter, addr: 0x500_0000 }], network: true });
  });
  afterAll(() => vm?.dispose());

  const forks: Vm[] = [];
  const fork = async (of = vm): Promise<Vm> => {
    const made = await of.fork();
    forks.push(made);
    return made;
  };
  afterEach(async () => {
    for (const made of forks.splice(0)) await made.dispose();
  });
  const output = async (machine: Vm, command: string): Promise<string> => (await machine.console.run(command)).output;

  describe("the console", () => {
    test.each([
      ["echo one; echo two >&2; (exit 3)", "one\ntwo\n", 3],
      ["printf 'no end of line'", "no end of line", 0],
      ["x='it'\\''s'; echo \"$x\"\necho '\\n'", "it's\n\\n\n", 0],
      ["printf 'a\tb' | cat -A", "a^Ib", 0],
      ["cat", "", 0],
      ["seq 1 300 | tail -n 300", Array.from({ length: 300 }, (_, n) => `${n + 1}\n`).join(""), 0],
      ["no-such-command", "-sh: eval: no-such-command: not found\n", 127],
    ])("run %j", async (command, wanted, status) => {
      const machine = await fork();
      expect(await machine.console.run(command)).toEqual({ output: wanted, status });
    });

    test("a command that the shell cannot read fails, and the next one runs", async () => {
      const machine = await fork();
      const { output: complaint, status } = await machine.console.run("if");
      expect(complaint).toContain("syntax error");
      expect(status).not.toBe(0);
      expect(await output(machine, "echo on")).toBe("on\n");
    });

    test("the shell keeps what commands change, several calls wait for each other, another shell learns", async () => {
      const machine = await fork();
      const [, , there] = await Promise.all(
        ["cd /sys", "v=7", "pwd; echo $v"].map((command) => machine.console.run(command)),
      );
      expect(there!.output).toBe("/sys\n7\n");
      machine.console.send("exec sh\n");
      expect(await output(machine, "echo $v-new")).toBe("-new\n");
    });

    test("send and expect talk to a program", async () => {
      const machine = await fork();
      machine.console.send("read -p 'Name: ' n; echo \"Hello, $n.\"\n");
      await machine.console.expect("Name: ");
      machine.console.send("Ada\n");
      const [, name] = await machine.console.expect(/Hello, (\w+)\./);
      expect(name).toBe("Ada");
    });

    test("what never comes is told with what did, and so is a guest that ended", async () => {
      const machine = await fork();
      await expect(machine.console.run("echo last words; sleep 1000", { timeout: 300 })).rejects.toThrow(
        /300 ms passed while waiting for the end of "echo last words; sleep 1000"[\s\S]*last words/,
      );
      const other = await fork();
      await expect(other.console.run("poweroff -f")).rejects.toThrow(/the guest ended \(poweroff\)/);
      expect(await other.ended).toEqual({ kind: "poweroff", status: 0 });
      await expect(other.fork()).rejects.toThrow(/has ended/);
    });

    test("a line that no shell would take is refused", async () => {
      await expect(vm.console.run(`echo ${"x".repeat(2000)}`)).rejects.toThrow(/longer than 900 characters/);
    });
  });

  describe("a device of one's own", () => {
    test("is reached by the guest, by its definition and by its name", async () => {
      const machine = await fork();
      const before = machine.device(counter).count;
      expect(await output(machine, "devmem 0x5000000; devmem 0x5000000")).toBe(
        [1, 2].map((n) => `0x${(before + n).toString(16).padStart(8, "0")}\n`).join(""),
      );
      expect(machine.device("counter")).toBe(machine.device(counter));
      expect(machine.device(counter).count).toBe(before + 2);
      expect(vm.device(counter).count).toBe(before);
    });

    test("that is not there is named with what is", () => {
      expect(() => vm.device("conter")).toThrow(/no device "conter".*counter/);
      expect(() => vm.device("virtio-mmio")).toThrow(/8 devices of type "virtio-mmio"/);
    });
  });

  test("forks that run at the same time share no memory, no file, no disk, no console", async () => {
    const machines = await Promise.all([fork(), fork(), fork()]);
    const image = createHash("sha256").update(readFileSync(guest.disk)).digest("hex");
    const answers = await Promise.all(
      machines.map(async (machine, n) => {
        machine.memory.write(MARKER, Uint8Array.of(n + 1));
        await machine.console.run(`mount -o remount,rw /; echo ${n} > /tmp/own; echo ${n} > /root/own; sync`);
        return output(machine, "cat /tmp/own /root/own; ip -4 -o addr show eth0 | grep -o 10.0.2.15 | head -n 1");
      }),
    );
    expect(answers).toEqual(machines.map((_, n) => `${n}\n${n}\n10.0.2.15\n`));
    expect(machines.map((machine) => machine.memory.read(MARKER, 1)[0])).toEqual([1, 2, 3]);
    expect(machines[0]!.console.transcript).not.toContain("echo 1 >");
    expect(vm.memory.read(MARKER, 1)[0]).toBe(0);
    expect(await output(vm, "ls /tmp/own /root/own 2>/dev/null")).toBe("");
    expect(createHash("sha256").update(readFileSync(guest.disk)).digest("hex")).toBe(image);
  });

  test("a fork of a fork has what the first did, and goes its own way; the first may be gone", async () => {
    const first = await vm.fork();
    await first.console.run("mount -o remount,rw /; echo first > /root/own; sync; v=first");
    const second = await fork(first);
    await first.console.run("echo changed > /root/own; sync");
    await first.dispose();
    expect(await output(second, "cat /root/own; echo $v")).toBe("first\nfirst\n");
    // From the disk this time.
    await second.console.run("echo 3 > /proc/sys/vm/drop_caches");
    expect(await output(second, "cat /root/own")).toBe("first\n");
  });

  test("a machine that was used is as good as new", async () => {
    const first = await vm.fork();
    await first.console.run("echo dirt > /tmp/own; devmem 0x8f000000 32 0x12345678; devmem 0x6000000");
    expect(first.guestErrors.length).toBeGreaterThan(0);
    const { machine } = first;
    await first.dispose();
    const second = await fork();
    expect(second.machine).toBe(machine);
    expect(second.guestErrors).toEqual([]);
    expect(second.memory.read(MARKER, 4)).toEqual(new Uint8Array(4));
    expect(await output(second, "ls /tmp/own 2>/dev/null; echo done")).toBe("done\n");
    await expect(first.fork()).rejects.toThrow(/disposed of/);
  });

  test("hundreds of forks, one after the other, need one machine", async () => {
    const machines = new Set<unknown>();
    const handles = process.getActiveResourcesInfo().length;
    for (let n = 0; n < 200; n++) {
      await using copy = await vm.fork();
      machines.add(copy.machine);
      expect(await output(copy, `echo ${n}`)).toBe(`${n}\n`);
    }
    // Those of the tests before lie there too; no others are made.
    expect(machines.size).toBeLessThanOrEqual(4);
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(handles + 2);
  });
});

describeWithGuest("a Linux that boots under -icount", (guest) => {
  test.each(["interp", "jit"] as const)("goes on from a snapshot as it did, bit by bit (%s)", async (accel) => {
    const config: MachineConfig = {
      ...defaultConfig,
      accel,
      memory: 256 << 20,
      icount: { shift: 3, sleep: false },
      firmware: { kind: "file", path: guest.firmware },
      kernel: guest.kernel,
      initrd: guest.initrd,
      append: guest.append,
      devices: [{ type: "virtio-blk-device", properties: { drive: "hd0" }, where: "test" }],
    };
    const host = await openConfig(config, {} as Parameters<typeof openConfig>[1]);
    const closing: { close(): void }[] = [host];
    const make = () => {
      const disk = new OverlayBlock(openFileBlock(guest.disk, { readOnly: true }));
      const console = new MemoryChardev("console");
      const drives = new Map([["hd0", new Drive("hd0", disk)]]);
      const machine = createMachine(config, { ...host, drives, serials: [console] }, [virtBoard]);
      closing.push(machine, disk);
      const made = { machine, disk, output: "" };
      console.onOutput = (bytes) => {
        made.output += Buffer.from(bytes).toString("latin1");
      };
      return made;
    };
    const runTo = async ({ machine }: ReturnType<typeof make>, ns: number): Promise<void> => {
      machine.events.timer("end of the test's run", () => machine.stop()).at(ns);
      await machine.run();
    };
    const stateOf = ({ machine, output }: ReturnType<typeof make>): unknown => {
      const hart = machine.engine.harts[0]!;
      const ram = new Uint8Array(config.memory);
      machine.memory.readBytes(0x8000_0000, ram);
      return {
        registers: Array.from({ length: 32 }, (_, n) => [hart.x(n), hart.f(n)]),
        csrs: Array.from({ length: 4096 }, (_, n) => hart.csr(n)),
        pc: hart.pc,
        instret: hart.instret,
        ram: createHash("sha1").update(ram).digest("hex"),
        output,
      };
    };
    try {
      const original = make();
      await runTo(original, 1.8e9);
      const state = { machine: original.machine.save(), disk: original.disk.save() };
      original.output = "";
      await runTo(original, 3.2e9);
      expect(original.output).toMatch(/EXT4-fs/);
      const other = make();
      other.machine.load(state.machine);
      other.disk.load(state.disk);
      await runTo(other, 3.2e9);
      expect(stateOf(other)).toEqual(stateOf(original));
    } finally {
      for (const resource of closing.reverse()) resource.close();
    }
  });
});
