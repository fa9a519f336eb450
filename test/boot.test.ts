// The main promise on whole machines: the article's command line boots OpenSBI, Linux and a root file system, and what it
// promises of the banana ROM, the network, the disk and the end is so.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { findCommand } from "../src/node/guest/command.ts";
import { describeWithGuest } from "./guest.ts";
import { PLANTAIN, Session } from "./session.ts";

/** What `devmem` in Linux on QEMU 7.2 with the article's device answers: offset in the ROM and width to the text. */
const DEVMEM: readonly (readonly [args: string, answer: string])[] = [
  ["0x4000000", "0xBA000001"],
  ["0x4000004", "0xDEADBEEF"],
  ["0x40000fc", "0xDEADBEEF"],
  ["0x4000000 64", "0xDEADBEEFBA000001"],
  ["0x4000004 64", "0xDEADBEEFDEADBEEF"],
  ["0x4000008 64", "0xDEADBEEFDEADBEEF"],
  ["0x40000f8 64", "0xDEADBEEFDEADBEEF"],
  ["0x4000000 16", "0x0001"],
  ["0x4000000 8", "0x01"],
  ["0x4000001 8", "0xEF"],
  ["0x4000002 16", "0xBEEF"],
  ["0x4000002 32", "0xBEEFBA00"],
  ["0x4000003 32", "0xADBEEFBA"],
  ["0x4000001 16", "0xEF00"],
  ["0x4000001 64", "0xEFDEADBEEFBA0000"],
];
/** `$?` after a signal: 128 and SIGSEGV's or SIGBUS's number. */
const KILLED = /^(139|135)$/;
const GREETING = "hello from the host";

const folder = mkdtempSync(join(tmpdir(), "plantain-boot-"));
const sessions: Session[] = [];
const start = (args: readonly string[], cwd = folder, command = PLANTAIN, env = process.env): Session => {
  const session = new Session(command, args, { cwd, env });
  sessions.push(session);
  return session;
};
afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(`The machine's last words:\n${sessions.at(-1)?.lastWords}\n`);
});
afterAll(() => {
  for (const session of sessions) session.kill();
  rmSync(folder, { recursive: true });
});

/** A server on this host that greets whoever connects, and the port it is at. */
async function greeter(): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(`${GREETING}\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as { port: number }).port };
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const { server, port } = await greeter();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** All that the other side sends; nothing if it refuses. */
function receive(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1");
    socket.setEncoding("utf8").on("data", (data: string) => {
      text += data;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

async function expectBananaRom(guest: Session): Promise<void> {
  const { output } = await guest.run(`for a in ${DEVMEM.map(([args]) => `"${args}"`).join(" ")}; do devmem $a; done`);
  expect(output.trim().split("\n")).toEqual(DEVMEM.map(([, answer]) => answer));
}

async function expectFault(guest: Session, address: string): Promise<void> {
  const { status } = await guest.run(`devmem ${address}`);
  expect(String(status)).toMatch(KILLED);
  expect(await guest.run("echo alive")).toMatchObject({ output: expect.stringContaining("alive\n"), status: 0 });
}

describeWithGuest("Linux on the virt board", (guest) => {
  const boot = (disk: string, more: readonly string[] = [], firmware = guest.firmware): string[] => [
    ...["-bios", firmware, "-kernel", guest.kernel, "-initrd", guest.initrd, "-append", guest.append],
    ...["-drive", `file=${disk},format=raw,id=hd0`, "-device", "virtio-blk-device,drive=hd0", "-nographic", ...more],
  ];
  const net = (options = ""): string[] => [
    ...["-netdev", `user,id=net0${options}`, "-device", "virtio-net-device,netdev=net0"],
  ];
  const disk = join(folder, "rootfs.ext2");

  describe("as in the article, with OpenSBI as a position-independent ELF file", () => {
    let machine: Session;
    let server: Server;
    let port = 0;
    let inward = 0;
    beforeAll(async () => {
      copyFileSync(guest.disk, disk);
      ({ server, port } = await greeter());
      inward = await freePort();
      const forward = `,hostfwd=tcp:127.0.0.1:${inward}-:2000`;
      machine = start(["-M", "virt", ...boot("rootfs.ext2", ["-d", "guest_errors"]), ...net(forward)]);
      await machine.logIn();
    });
    afterAll(() => server?.close());

    test("OpenSBI is the one that was given", () => {
      expect(machine.output).toMatch(/OpenSBI v1\.[6-9]/);
    });

    test("every row of the devmem table", () => expectBananaRom(machine));

    test("a write is told as a guest error and ignored", async () => {
      expect(await machine.run("devmem 0x4000000 32 1")).toEqual({ output: "", status: 0 });
      expect(machine.errors).toMatch(/^invalid write of 4 bytes at banana-rom\+0x0 .*ignored/m);
      expect((await machine.run("devmem 0x4000000")).output).toBe("0xBA000001\n");
    });

    test("past the region devmem dies and the guest lives on", () => expectFault(machine, "0x4000100 32"));

    test("the network has its lease", async () => {
      const { output } = await machine.run("ip -4 address show eth0; ip route; cat /etc/resolv.conf");
      expect(output).toContain("inet 10.0.2.15/24");
      expect(output).toContain("default via 10.0.2.2 dev eth0");
      expect(output).toContain("nameserver 10.0.2.3");
    });

    test("a server on the host answers at 10.0.2.2", async () => {
      expect(await machine.run(`nc 10.0.2.2 ${port} < /dev/null`)).toEqual({ output: `${GREETING}\n`, status: 0 });
    });

    test("a port that nobody listens on refuses", async () => {
      expect((await machine.run(`nc 10.0.2.2 ${await freePort()} < /dev/null`)).status).toBe(1);
    });

    test("hostfwd: the host reaches a server in the guest", async () => {
      await machine.run("(echo hello from the guest | nc -l -p 2000 &)");
      // The guest's server may not listen yet: then the connection is reset.
      let answer = "";
      while (answer === "") answer = await receive(inward);
      expect(answer).toBe("hello from the guest\n");
    });

    test("the gateway answers pings, the name server knows this host's own name", async () => {
      expect((await machine.run("ping -c 1 10.0.2.2")).output).toContain("1 packets received");
      expect((await machine.run("nslookup -type=a localhost")).output).toMatch(/Address: 127\.0\.0\.1/);
    });

    test("what the guest writes is in the image, reboot reboots, poweroff ends with status 0", async () => {
      expect((await machine.run("echo persistent-words > /root/note; sync")).status).toBe(0);
      expect(readFileSync(disk).includes("persistent-words\n")).toBe(true);
      machine.type("reboot\r");
      await machine.until(/OpenSBI v1/);
      await machine.logIn();
      expect((await machine.run("cat /root/note; devmem 0x4000000")).output).toBe("persistent-words\n0xBA000001\n");
      machine.type("poweroff\r");
      expect((await machine.end()).status).toBe(0);
    });
  });

  test("readonly=on, restrict=on, -no-reboot, firmware as a raw binary, if=none", async () => {
    copyFileSync(guest.disk, join(folder, "ro.ext2"));
    const { server, port } = await greeter();
    const machine = start([
      ...boot("ro.ext2,if=none,readonly=on", ["-no-reboot"], guest.firmwareBinary),
      ...net(",restrict=on"),
    ]);
    await machine.logIn();
    expect((await machine.run("cat /sys/block/vda/ro; touch /root/x 2> /dev/null")).output).toBe("1\n");
    expect((await machine.run("touch /root/x 2> /dev/null")).status).toBe(1);
    expect((await machine.run("ip route")).output).toContain("dev eth0");
    expect((await machine.run(`nc -w 2 10.0.2.2 ${port} < /dev/null`)).output).not.toContain(GREETING);
    server.close();
    machine.type("reboot -f\r");
    expect(await machine.end()).toMatchObject({ status: 0 });
    expect(machine.output.match(/OpenSBI v/g)).toHaveLength(1);
    expect(readFileSync(join(folder, "ro.ext2")).equals(readFileSync(guest.disk))).toBe(true);
  });

  test("-snapshot keeps the image as it is; without the ROM its address faults; Ctrl-A h helps, Ctrl-A x ends", async () => {
    const image = join(folder, "snapshot.ext2");
    copyFileSync(guest.disk, image);
    const machine = start(["-M", "virt,banana-rom=off", ...boot("snapshot.ext2", ["-snapshot"])]);
    await machine.logIn();
    expect((await machine.run("echo gone > /root/note; sync; cat /root/note")).output).toBe("gone\n");
    await expectFault(machine, "0x4000000");
    machine.type("\x01h");
    await machine.until(/x +end the machine/);
    machine.type("\x01x");
    expect((await machine.end()).status).toBe(0);
    expect(readFileSync(image).equals(readFileSync(guest.disk))).toBe(true);
  });

  const hasShell = findCommand("sh", process.env) !== undefined;
  test.skipIf(!hasShell)("a write that the host refuses is an I/O error in the guest (needs sh)", async () => {
    const full = join(folder, "full.img");
    writeFileSync(full, "");
    truncateSync(full, 64 << 20);
    // Files may not grow, or be written, beyond 32 MiB here: `ulimit` counts half or whole KiB.
    const limited = ["-c", `ulimit -f 32768; trap '' XFSZ; exec "$0" "$@"`, PLANTAIN];
    const second = ["-drive", "file=full.img,format=raw,id=full", "-device", "virtio-blk-device,drive=full"];
    const machine = start([...limited, ...boot(`${guest.disk},snapshot=on`), ...second], folder, "sh");
    await machine.logIn();
    const { output, status } = await machine.run("dd if=/dev/zero of=/dev/vdb bs=1M seek=60 count=1 conv=fsync");
    expect(output).toMatch(/I\/O error|Input\/output error/);
    expect(status).toBe(1);
    expect((await machine.run("dd if=/dev/zero of=/dev/vdb bs=1M count=1 conv=fsync 2> /dev/null")).status).toBe(0);
    machine.type("poweroff -f\r");
    expect((await machine.end()).status).toBe(0);
  });
});

/** A folder with what the article's Buildroot makes: fw_jump.elf, Image, rootfs.ext2. */
const buildroot = process.env["PLANTAIN_TEST_GUEST"] ?? "";
const article =
  buildroot === "" ? " (PLANTAIN_TEST_GUEST names no folder with fw_jump.elf, Image and rootfs.ext2)" : "";

describe.skipIf(buildroot === "")(`the article's command line, word for word${article}`, () => {
  const ARTICLE = [
    ...["-M", "virt", "-bios", "fw_jump.elf", "-kernel", "Image", "-append", "rootwait root=/dev/vda ro"],
    ...["-drive", "file=rootfs.ext2,format=raw,id=hd0", "-device", "virtio-blk-device,drive=hd0"],
    ...["-netdev", "user,id=net0", "-device", "virtio-net-device,netdev=net0", "-nographic"],
  ];
  const files = ["fw_jump.elf", "Image", "rootfs.ext2"];
  let home = "";
  beforeAll(() => {
    home = mkdtempSync(join(folder, "buildroot-"));
    for (const file of files) copyFileSync(join(buildroot, file), join(home, file));
  });
  afterEach(() => copyFileSync(join(buildroot, "rootfs.ext2"), join(home, "rootfs.ext2")));

  test("boots to a login, and the banana ROM, the network and the ends are as promised", async () => {
    const { server, port } = await greeter();
    const machine = start(ARTICLE, home);
    await machine.logIn();
    await expectBananaRom(machine);
    await machine.run("devmem 0x4000000 32 1");
    await expectBananaRom(machine);
    await expectFault(machine, "0x4000100 32");
    expect((await machine.run("ip -4 address show eth0")).output).toContain("inet 10.0.2.15/24");
    expect((await machine.run(`nc 10.0.2.2 ${port} < /dev/null`)).output).toBe(`${GREETING}\n`);
    server.close();
    machine.type("reboot\r");
    await machine.until(/OpenSBI v/);
    await machine.logIn();
    machine.type("poweroff\r");
    expect(await machine.end()).toEqual({ status: 0, errors: "" });
  });

  test("Buildroot's start-qemu.sh, with only PATH changed", async () => {
    const words = ARTICLE.map((word) => `'${word}'`).join(" ");
    writeFileSync(
      join(home, "start-qemu.sh"),
      `#!/bin/sh\ncd "\${0%/*}/" || exit 1\nexec qemu-system-riscv64 ${words} "$@"\n`,
    );
    const env = { ...process.env, PATH: `${dirname(PLANTAIN)}:${process.env["PATH"]}` };
    const machine = start([join(home, "start-qemu.sh")], "/", "sh", env);
    await machine.logIn();
    machine.type("poweroff -f\r");
    expect((await machine.end()).status).toBe(0);
  });
});
