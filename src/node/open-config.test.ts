// Opening what a configuration names, and one line for each thing that cannot be had.

import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseUserNetOptions } from "../backend/net/user-net-options.ts";
import { type DriveConfig, defaultConfig, type MachineConfig } from "../machine/config.ts";
import { UserError } from "../util/user-error.ts";
import { bytes, RecordingFrontend, until } from "./chardev-for-tests.ts";
import { type HostContext, type OpenedHost, openConfig } from "./open-config.ts";
import { Terminal } from "./tty.ts";

let folder: string;
let notices: string[];
let input: PassThrough;
const hosts: OpenedHost[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-open-"));
  notices = [];
  input = new PassThrough();
});

afterEach(() => {
  for (const host of hosts.splice(0)) host.close();
  rmSync(folder, { recursive: true });
});

function context(): HostContext {
  return {
    terminal: new Terminal(() => input as unknown as NodeJS.ReadStream),
    commands: { quit: () => notices.push("quit"), syncDisks: () => "synced" },
    abandoned: () => notices.push("abandoned"),
    notice: (line) => notices.push(line),
  };
}

async function open(changes: Partial<MachineConfig>): Promise<OpenedHost> {
  const host = await openConfig({ ...defaultConfig, firmware: { kind: "none" }, ...changes }, context());
  hosts.push(host);
  return host;
}

function file(name: string, content: string | Uint8Array = name): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const drive = (id: string, path: string, changes: Partial<DriveConfig> = {}): DriveConfig => ({
  id,
  path,
  format: "raw",
  readOnly: false,
  snapshot: false,
  cache: "writeback",
  where: `-drive id=${id}`,
  ...changes,
});

describe("files to boot", () => {
  test("are read, and keep the option in their name", async () => {
    const [bios, kernel, initrd, dtb, item] = ["b", "k", "i", "d", "f"].map((name) => file(name)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    const host = await open({
      firmware: { kind: "file", path: bios },
      kernel,
      initrd,
      dtb,
      fwCfg: [
        { name: "opt/a", content: { path: item }, where: "" },
        { name: "opt/b", content: { text: "grün" }, where: "" },
      ],
    });
    expect(host.firmware).toEqual({ source: `-bios ${bios}`, bytes: Buffer.from("b") });
    expect(host.kernel).toMatchObject({ source: `-kernel ${kernel}`, bytes: Buffer.from("k") });
    expect(host.initrd).toEqual({ source: `-initrd ${initrd}`, bytes: Buffer.from("i") });
    expect(host.dtb).toEqual({ source: `-dtb ${dtb}`, bytes: Buffer.from("d") });
    expect(host.fwCfg.map((entry) => new TextDecoder().decode(entry.bytes))).toEqual(["f", "grün"]);
  });

  test("firmware is looked for where -L says", async () => {
    mkdirSync(join(folder, "data"));
    const path = file("data/fw_dynamic.bin", "default");
    file("data/other.bin", "other");
    const dataPaths = [join(folder, "nowhere"), join(folder, "data")];
    expect((await open({ firmware: { kind: "default" }, dataPaths })).firmware).toMatchObject({
      source: `-bios ${path}`,
    });
    const named = await open({ firmware: { kind: "file", path: "other.bin" }, dataPaths });
    expect(named.firmware?.bytes).toEqual(Buffer.from("other"));
  });

  test("gzip is unpacked up to a size", async () => {
    const { gunzip } = await open({});
    const packed = gzipSync(Buffer.alloc(100_000));
    expect(gunzip?.(packed, 100_000)).toHaveLength(100_000);
    expect(() => gunzip?.(packed, 99_999)).toThrow();
  });

  test.each([
    ["-kernel", "kernel"],
    ["-initrd", "initrd"],
    ["-dtb", "dtb"],
  ] as const)("%s that is missing, a folder or a device", async (option, key) => {
    const refused = async (path: string, message: string) => {
      await expect(open({ [key]: path })).rejects.toThrow(new UserError(`${option} ${path}: ${message}`));
    };
    await refused(join(folder, "none"), "there is no such file");
    await refused(folder, "this is a folder: expected a file");
    await refused("/dev/zero", "this is a device: expected a file");
  });

  test.skipIf(process.getuid?.() === 0)("a file that may not be read (not as root)", async () => {
    const path = file("secret");
    chmodSync(path, 0);
    await expect(open({ kernel: path })).rejects.toThrow(
      `-kernel ${path}: the file cannot be read (permission denied)`,
    );
  });

  test("firmware that is missing", async () => {
    await expect(open({ firmware: { kind: "file", path: "no.bin" } })).rejects.toThrow(
      "-bios no.bin: there is no such file",
    );
  });
});

describe("drives", () => {
  test("are written, unless they are read-only or snapshots", async () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => file(name, new Uint8Array(512))) as [string, string, string];
    const host = await open({
      drives: [drive("a", a), drive("b", b, { snapshot: true }), drive("c", c, { readOnly: true })],
    });
    const disks = ["a", "b", "c"].map((id) => host.drives.get(id)!.attach("test"));
    expect(disks.map((disk) => disk.readOnly)).toEqual([false, false, true]);
    await disks[0]!.write(0, bytes("x"));
    await disks[1]!.write(0, bytes("y"));
    const back = new Uint8Array(1);
    await disks[1]!.read(0, back);
    expect(back).toEqual(bytes("y"));
    await host.flushDisks();
    expect([a, b, c].map((path) => readFileSync(path)[0])).toEqual([0x78, 0, 0]);
  });

  test("one image in two drives", async () => {
    const path = file("a", new Uint8Array(512));
    const link = join(folder, "link");
    symlinkSync(path, link);
    const refused = open({ drives: [drive("a", path), drive("b", link)] });
    await expect(refused).rejects.toThrow(UserError);
    await expect(refused).rejects.toThrow(
      /^-drive id=b: .*link is the image of the drive "a" too: one image can be in two/,
    );
    await expect(open({ drives: [drive("a", path, { readOnly: true }), drive("b", link)] })).rejects.toThrow(/"a" too/);
    const shared = await open({ drives: [drive("a", path, { readOnly: true }), drive("b", link, { snapshot: true })] });
    expect([...shared.drives.keys()]).toEqual(["a", "b"]);
  });

  test("an image that cannot be used", async () => {
    const refused = (path: string) => expect(open({ drives: [drive("a", path)] })).rejects;
    await refused(join(folder, "none")).toThrow(/^-drive id=a: disk image .*none: there is no such file$/);
    await refused(folder).toThrow(/^-drive id=a: disk image .* is a directory: expected a file$/);
    await refused(file("empty", "")).toThrow(/^-drive id=a: disk image .* is empty: /);
  });

  test.each([
    ["qcow2", "QFI\xfb"],
    ["VMDK", "KDMV"],
    ["VHDX", "vhdxfile"],
    ["LUKS", "LUKS\xba\xbe"],
  ])("an image of unsaid format that looks like %s", async (name, magic) => {
    const path = file("image", Buffer.from(magic.padEnd(512, "\0"), "latin1"));
    await expect(open({ drives: [drive("a", path, { format: "auto" })] })).rejects.toThrow(
      `looks like a ${name} image`,
    );
    await open({ drives: [drive("a", path, { format: "raw" })] });
  });
});

describe("networks", () => {
  const net = (rule: string) => ({
    type: "user" as const,
    id: "n",
    user: parseUserNetOptions([
      ["id", "n"],
      ["hostfwd", rule],
    ]),
    where: "-netdev user,id=n",
  });

  test("are opened by id", async () => {
    const host = await open({ netdevs: [net("tcp:127.0.0.1:0-:22")] });
    expect(host.netdevs.get("n")?.id).toBe("n");
  });

  test("a port in use", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const refused = open({ netdevs: [net(`tcp:127.0.0.1:${port}-:22`)] });
    await expect(refused).rejects.toThrow(UserError);
    await expect(refused).rejects.toThrow(
      new RegExp(`hostfwd=tcp:127.0.0.1:${port}-:22: tcp port ${port} .* is in use`),
    );
    server.close();
  });
});

describe("character devices", () => {
  const chardev = (target: MachineConfig["chardevs"][number]["target"], changes = {}) => ({
    chardevs: [{ id: "c", target, mux: false, logAppend: false, where: "-chardev c", ...changes }],
    serials: ["c"],
  });

  test("a file is new or gets longer", async () => {
    const path = file("out", "old\n");
    for (const append of [true, false]) {
      const host = await open(chardev({ type: "file", path, append }));
      host.serials[0]?.write(bytes("new\n"));
      host.close();
      expect(readFileSync(path, "utf8")).toBe(append ? "old\nnew\n" : "new\n");
    }
  });

  test("output goes out without being asked", async () => {
    const path = join(folder, "out");
    const host = await open(chardev({ type: "file", path, append: false }));
    for (const letter of "abc") host.serials[0]?.write(bytes(letter));
    await until(() => readFileSync(path, "utf8") === "abc");
    host.serials[0]?.write(new Uint8Array(10_000).fill(0x64));
    // Whole buffers do not wait.
    expect(readFileSync(path)).toHaveLength(3 + 8192);
  });

  test("a log file has a copy of the output", async () => {
    const logPath = join(folder, "log");
    const host = await open(chardev({ type: "null" }, { logPath }));
    host.serials[0]?.write(bytes("seen"));
    host.close();
    expect(readFileSync(logPath, "utf8")).toBe("seen");
  });

  test("standard input leads to the guest; a mux takes its commands out", async () => {
    const host = await open(chardev({ type: "stdio", signal: false }, { mux: true }));
    const frontend = new RecordingFrontend();
    host.serials[0]?.attach(frontend);
    input.write("ls\n\x01x");
    await until(() => notices.length > 0);
    expect(frontend.received).toBe("ls\n");
    expect(notices).toEqual(["quit"]);
  });

  test("piped input with Ctrl-C in it is data, even where Ctrl-C would be Plantain's", async () => {
    const host = await open(chardev({ type: "stdio", signal: true }));
    const frontend = new RecordingFrontend();
    host.serials[0]?.attach(frontend);
    input.write("a\x03b");
    await until(() => frontend.received === "a\x03b");
  });

  test("files that cannot be written", async () => {
    const missing = join(folder, "no", "out");
    await expect(open(chardev({ type: "file", path: missing, append: false }))).rejects.toThrow(
      `-chardev c: ${missing} cannot be written: there is no such folder`,
    );
    await expect(open(chardev({ type: "null" }, { logPath: folder }))).rejects.toThrow(
      `-chardev c: ${folder} cannot be written: this is a folder: expected a file`,
    );
  });

  test.skipIf(!existsSync("/dev/full"))(
    "a full disk loses output, tells it once, and the guest lives on (needs /dev/full)",
    async () => {
      const host = await open(chardev({ type: "file", path: "/dev/full", append: true }));
      host.serials[0]?.write(new Uint8Array(9000));
      host.serials[0]?.write(new Uint8Array(9000));
      expect(notices).toHaveLength(1);
      expect(notices[0]).toMatch(/^-chardev c: \/dev\/full: the rest of the output is lost: ENOSPC/);
    },
  );
});

describe("the log", () => {
  test("has the items that were asked for", async () => {
    const path = join(folder, "log");
    const host = await open({ log: { items: ["guest_errors"], path } });
    expect([host.log.enabled("guest_errors"), host.log.enabled("unimp")]).toEqual([true, false]);
    host.log.write("guest_errors", "a line");
    host.log.write("unimp", "not this");
    expect(readFileSync(path, "utf8")).toBe("a line\n");
  });

  test("cannot be a folder", async () => {
    await expect(open({ log: { items: [], path: folder } })).rejects.toThrow(`-D ${folder}: the log cannot be written`);
  });
});

describe("random numbers and time", () => {
  test("sources by id", async () => {
    const path = file("dice", Uint8Array.of(1, 2, 3));
    const host = await open({
      rngs: [
        { type: "rng-random", id: "r", path, where: "-object r" },
        { type: "rng-builtin", id: "b", where: "-object b" },
      ],
    });
    const drawn = new Uint8Array(40);
    host.rngs.get("r")?.fill(drawn);
    // The file's three bytes, then the host's: all the same only once in 2^296.
    expect(drawn.subarray(0, 3)).toEqual(Uint8Array.of(1, 2, 3));
    expect(drawn.subarray(3).some((byte) => byte !== 0)).toBe(true);
    const large = new Uint8Array(200_000);
    host.rngs.get("b")?.fill(large);
    expect(large.subarray(-32).some((byte) => byte !== 0)).toBe(true);
  });

  test("a source that is none", async () => {
    const rng = { type: "rng-random" as const, id: "r", path: join(folder, "none"), where: "-object r" };
    await expect(open({ rngs: [rng] })).rejects.toThrow(/^-object r: .*none cannot be read: expected a source/);
  });

  test("the time of day begins where it was set", async () => {
    const start = Date.UTC(2006, 5, 17);
    const host = await open({ rtcBase: start });
    const ms = Number(host.wallClock() / 1_000_000n);
    expect(ms).toBeGreaterThanOrEqual(start);
    expect(ms).toBeLessThan(start + 3_600_000);
    const [a, b] = [host.monotonic(), host.monotonic()];
    expect(b).toBeGreaterThanOrEqual(a);
  });
});

test("what was opened before a mistake is closed again", async () => {
  const before = openFiles();
  const chardev = (id: string, path: string) => ({
    id,
    target: { type: "file" as const, path, append: false },
    mux: false,
    logAppend: false,
    where: "-chardev c",
  });
  const config = {
    drives: [drive("a", file("a", new Uint8Array(512)))],
    log: { items: [], path: join(folder, "log") },
    chardevs: [chardev("a", join(folder, "out")), chardev("b", join(folder, "no", "out"))],
  };
  await expect(open(config)).rejects.toThrow(UserError);
  expect(openFiles()).toBe(before);
});

/** How many files this process has open, as far as the system tells. */
function openFiles(): number {
  return existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;
}
