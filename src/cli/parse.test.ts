// Command lines that work: what they mean, as QEMU 7.2 means it.

import { describe, expect, test } from "vitest";
import { defaultConfig } from "../machine/config.ts";
import { configOf, words } from "./config-for-tests.ts";

const MiB = 1024 * 1024;
const parse = (line: string) => configOf(words(line)).config;
const warnings = (line: string) => configOf(words(line)).warnings;

test("nothing: the virt board with its console on the terminal", () => {
  const { chardevs, serials, ...rest } = parse("");
  const { chardevs: _chardevs, serials: _serials, ...defaults } = defaultConfig;
  expect(rest).toEqual(defaults);
  expect(serials).toEqual(["serial0"]);
  expect(chardevs).toMatchObject([{ id: "serial0", target: { type: "stdio", signal: false }, mux: true }]);
});

test("the article's line", () => {
  const line =
    '-M virt -bios fw_jump.elf -kernel Image -append "rootwait root=/dev/vda ro" -drive file=rootfs.ext2,format=raw,id=hd0 ' +
    "-device virtio-blk-device,drive=hd0 -netdev user,id=net0 -device virtio-net-device,netdev=net0 -nographic";
  expect(warnings(line)).toEqual([]);
  expect(parse(line)).toMatchObject({
    machine: { type: "virt", properties: {} },
    firmware: { kind: "file", path: "fw_jump.elf" },
    kernel: "Image",
    append: "rootwait root=/dev/vda ro",
    drives: [{ id: "hd0", path: "rootfs.ext2", format: "raw", readOnly: false, snapshot: false }],
    devices: [
      { type: "virtio-blk-device", properties: { drive: "hd0" } },
      { type: "virtio-net-device", properties: { netdev: "net0" } },
    ],
    netdevs: [{ type: "user", id: "net0" }],
    serials: ["serial0"],
  });
});

test("two dashes, repeated options, -M by its long name", () => {
  expect(parse("--machine virt -M virt,banana-rom=off -m 64 -m 256 -smp 1 --smp 1").memory).toBe(256 * MiB);
  expect(parse("-machine type=virt,banana-rom=on -machine banana-rom=off").machine.properties).toEqual({
    "banana-rom": "off",
  });
});

test("a value may look like an option of nobody's; a kernel's command line like one of ours", () => {
  expect(parse("-kernel -x -append -nographic")).toMatchObject({ kernel: "-x", append: "-nographic" });
});

describe("-m", () => {
  test.each([
    ["64", 64 * MiB],
    ["64M", 64 * MiB],
    ["1G", 1024 * MiB],
    ["1.5G", 1536 * MiB],
    ["131072k", 128 * MiB],
    ["size=32", 32 * MiB],
    ["64M,slots=2,maxmem=128M", 64 * MiB],
    // Rounded up to 8 KiB, as in QEMU.
    ["33555000b", 4097 * 8192],
  ])("%s", (text, expected) => {
    expect(parse(`-m ${text}`).memory).toBe(expected);
  });
});

describe("-smp, with QEMU's way of filling in", () => {
  test.each([
    ["1", [1, 1, 1, 1, 1]],
    ["cpus=1", [1, 1, 1, 1, 1]],
    ["cores=2,sockets=2", [4, 4, 2, 2, 1]],
    ["4,cores=2", [4, 4, 2, 2, 1]],
    ["8,threads=2", [8, 8, 1, 4, 2]],
    ["1,maxcpus=4", [1, 4, 1, 4, 1]],
    ["1,maxcpus=8,sockets=2", [1, 8, 2, 4, 1]],
    ["1,maxcpus=8,cores=2", [1, 8, 4, 2, 1]],
    ["1,maxcpus=8,cores=2,sockets=2", [1, 8, 2, 2, 2]],
  ] as const)("%s", (text, [cpus, maxCpus, sockets, cores, threads]) => {
    expect(parse(`-smp ${text}`).smp).toEqual({ cpus, maxCpus, sockets, cores, threads });
  });
});

test("-cpu", () => {
  expect(parse("-cpu max").cpu).toEqual({ type: "max", properties: {} });
  expect(parse("-cpu rv64,zba=off,Zfh=false").cpu.properties).toEqual({ zba: "off", zfh: "false" });
});

describe("firmware", () => {
  test.each([
    ["-bios none", { kind: "none" }],
    ["-bios default", { kind: "default" }],
    ["", { kind: "default" }],
    ["-bios x.elf", { kind: "file", path: "x.elf" }],
    ["-M virt,firmware=x.elf", { kind: "file", path: "x.elf" }],
  ])("%s", (line, expected) => {
    expect(parse(line).firmware).toEqual(expected);
  });

  test("machine properties that are options too", () => {
    const line = '-M "virt,kernel=k,append=a b,initrd=i,dtb=d,dumpdtb=o.dtb,accel=kvm:tcg,usb=off,mem-merge=on"';
    expect(parse(line)).toMatchObject({ kernel: "k", append: "a b", initrd: "i", dtb: "d", dumpDtb: "o.dtb" });
    expect(parse(line).machine.properties).toEqual({});
  });
});

describe("drives", () => {
  test("if=none as newer QEMUs want it", () => {
    const config = parse("-drive file=x,format=raw,if=none,id=hd0 -device virtio-blk-device,drive=hd0");
    expect(config.drives).toMatchObject([{ id: "hd0", path: "x", format: "raw" }]);
    expect(config.devices).toHaveLength(1);
  });

  test("if=virtio brings its device", () => {
    const config = parse("-drive file=x,if=virtio -drive file=y,if=virtio");
    expect(config.drives.map((drive) => drive.id)).toEqual(["virtio0", "virtio1"]);
    expect(config.devices).toMatchObject([
      { type: "virtio-blk-device", properties: { drive: "virtio0" } },
      { type: "virtio-blk-device", properties: { drive: "virtio1" } },
    ]);
  });

  test("without a device a drive is not seen by the guest, as in QEMU 7.2; a warning says so", () => {
    for (const line of ["-drive file=x", "-hda x", "x", "-drive file=x,if=none"]) {
      expect(parse(line).devices).toEqual([]);
      expect(parse(line).drives).toMatchObject([{ id: "none0", path: "x", format: "auto" }]);
      expect(warnings(line).join()).toMatch(/no device uses this drive: -device virtio-blk-device,drive=none0 shows/);
    }
  });

  test("modes", () => {
    const line =
      "-drive file=a,id=a,readonly=on,cache=none,aio=native,werror=report,discard=unmap -drive file=b,id=b,snapshot=on " +
      "-drive file=c,id=c,media=cdrom -drive file=d,id=d,readonly";
    expect(parse(line).drives.map(({ readOnly, snapshot }) => [readOnly, snapshot])).toEqual([
      [true, false],
      [false, true],
      [true, false],
      [true, false],
    ]);
    expect(parse(`${line} -snapshot`).drives.every((drive) => drive.snapshot)).toBe(true);
  });

  test("a comma in a file name", () => {
    expect(parse("-drive file=a,,b,id=x").drives[0]?.path).toBe("a,b");
  });
});

describe("networks", () => {
  test("hostfwd, restrict", () => {
    const { user } = parse("-netdev user,id=n,hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-:53,restrict=on")
      .netdevs[0]!;
    expect(user.restricted).toBe(true);
    // Loopback unless another address is named; QEMU would listen everywhere.
    expect(user.forwards).toMatchObject([
      { protocol: "tcp", hostAddress: "127.0.0.1", hostPort: 2222, guestPort: 22 },
      { protocol: "udp", hostAddress: "127.0.0.1", hostPort: 53, guestPort: 53 },
    ]);
  });

  test("-nic user is a network and its card", () => {
    const config = parse("-nic user,mac=52:54:00:00:00:01,hostfwd=tcp::80-:80");
    expect(config.netdevs).toMatchObject([{ id: "nic0", user: { forwards: [{ hostPort: 80 }] } }]);
    expect(config.devices).toMatchObject([
      { type: "virtio-net-device", properties: { netdev: "nic0", mac: "52:54:00:00:00:01" } },
    ]);
  });

  test("none of them", () => {
    expect(parse("-nic none -net none")).toMatchObject({ netdevs: [], devices: [] });
    expect(warnings("-netdev user,id=n").join()).toMatch(/no card uses this network/);
  });
});

describe("the console", () => {
  const console = (line: string) => {
    const { serials, chardevs } = parse(line);
    return serials
      .map((id) => chardevs.find((chardev) => chardev.id === id))
      .map((c) => c && { ...c.target, mux: c.mux });
  };
  const terminal = { type: "stdio", signal: false, mux: true };

  test.each([
    ["-nographic", [terminal]],
    ["-nographic -monitor none", [{ type: "stdio", signal: true, mux: false }]],
    ["-nographic -serial mon:stdio", [terminal]],
    ["-serial mon:stdio -display none", [terminal]],
    ["-serial stdio", [{ type: "stdio", signal: true, mux: false }]],
    ["-serial stdio -display none -monitor none", [{ type: "stdio", signal: true, mux: false }]],
    // A display that is none shows nothing, and nothing was asked for.
    ["-display none", []],
    ["-nodefaults", []],
    ["-nodefaults -nographic", []],
    ["-serial none", [undefined]],
    ["-serial null", [{ type: "null", mux: false }]],
    ["-nographic -serial null", [{ type: "null", mux: false }]],
    ["-serial file:out.txt", [{ type: "file", path: "out.txt", append: false, mux: false }]],
    ["-serial pipe:p", [{ type: "pipe", path: "p", mux: false }]],
    [
      "-serial tcp::5555,server,nowait",
      [
        {
          type: "tcp",
          host: "127.0.0.1",
          port: 5555,
          server: true,
          wait: false,
          noDelay: false,
          reconnect: 0,
          mux: false,
        },
      ],
    ],
    [
      "-serial tcp:example.org:5555,server=on,nodelay",
      [
        {
          type: "tcp",
          host: "example.org",
          port: 5555,
          server: true,
          wait: true,
          noDelay: true,
          reconnect: 0,
          mux: false,
        },
      ],
    ],
    [
      "-serial tcp:[::1]:99,reconnect=5",
      [{ type: "tcp", host: "::1", port: 99, server: false, wait: false, noDelay: false, reconnect: 5, mux: false }],
    ],
    [
      "-serial mon:unix:/tmp/s,server=on,wait=off",
      [{ type: "unix", path: "/tmp/s", server: true, wait: false, reconnect: 0, mux: true }],
    ],
    ["-chardev stdio,id=c,mux=on,signal=off -serial chardev:c", [terminal]],
    [
      "-chardev socket,id=c,host=localhost,port=1,server=on,wait=off -serial chardev:c",
      [
        {
          type: "tcp",
          host: "localhost",
          port: 1,
          server: true,
          wait: false,
          noDelay: false,
          reconnect: 0,
          mux: false,
        },
      ],
    ],
    [
      "-chardev file,id=c,path=o,append=on -serial chardev:c -nographic",
      [{ type: "file", path: "o", append: true, mux: false }],
    ],
    // The terminal is for something else.
    ["-chardev stdio,id=c", []],
  ])("%s", (line, expected) => {
    expect(console(line)).toEqual(expected);
  });

  test("a log file beside it", () => {
    expect(parse("-chardev stdio,id=c,logfile=l,logappend=on").chardevs).toMatchObject([
      { logPath: "l", logAppend: true },
    ]);
  });

  test("more ports than the board has", () => {
    expect(parse("-serial null -serial null").serials).toEqual(["serial0"]);
    expect(warnings("-serial null -serial null").join()).toMatch(/the virt board has 1 serial port/);
    expect(warnings("-serial null -serial none")).toEqual([]);
  });
});

describe("running", () => {
  test.each([
    ["-no-reboot", { rebootAction: "shutdown", shutdownAction: "poweroff" }],
    ["-no-shutdown", { rebootAction: "reset", shutdownAction: "pause" }],
    ["-action reboot=shutdown,shutdown=pause", { rebootAction: "shutdown", shutdownAction: "pause" }],
    ["-d guest_errors,unimp -d int -D f", { log: { items: ["guest_errors", "unimp", "int"], path: "f" } }],
    ["-echr 0x14", { escapeCharacter: 20 }],
    ["-rtc base=localtime,clock=host", { rtcBase: "localtime" }],
    ["-rtc base=2006-06-17T16:01:21", { rtcBase: Date.UTC(2006, 5, 17, 16, 1, 21) }],
    ["-rtc base=2006-06-17", { rtcBase: Date.UTC(2006, 5, 17) }],
    ["-object rng-random,id=r", { rngs: [{ type: "rng-random", id: "r", path: "/dev/urandom" }] }],
    ["-object rng-builtin,id=r", { rngs: [{ type: "rng-builtin", id: "r" }] }],
    ["-L /a -L /b", { dataPaths: ["/a", "/b"] }],
    ["-fw_cfg name=opt/a,string=x", { fwCfg: [{ name: "opt/a", content: { text: "x" } }] }],
    ["-fw_cfg opt/a,file=f", { fwCfg: [{ name: "opt/a", content: { path: "f" } }] }],
    [
      "-global virtio-mmio.force-legacy=false",
      { globals: [{ driver: "virtio-mmio", property: "force-legacy", value: "false" }] },
    ],
    ["-accel tcg,thread=single -name x,debug-threads=on -no-user-config -parallel none -vga none", {}],
  ])("%s", (line, expected) => {
    expect(parse(line)).toMatchObject(expected);
    expect(warnings(line)).toEqual([]);
  });
});

describe("help instead of a machine", () => {
  test.each([
    ["-M help", { kind: "machines" }],
    ["-machine ?", { kind: "machines" }],
    ["-M virt,help", { kind: "machine-properties" }],
    ["-cpu help", { kind: "cpus" }],
    ["-cpu rv64,help", { kind: "cpus" }],
    ["-device help", { kind: "devices" }],
    ["-device virtio-blk-device,help", { kind: "type-properties", type: "virtio-blk-device" }],
    ["-netdev help", { kind: "netdevs" }],
    ["-nic help", { kind: "netdevs" }],
    ["-chardev help", { kind: "chardevs" }],
    ["-drive help", { kind: "drives" }],
    ["-drive file=x,format=help", { kind: "drives" }],
    ["-object help", { kind: "objects" }],
    ["-d help", { kind: "log-items" }],
    ["-accel help", { kind: "accelerators" }],
    ["-display help", { kind: "displays" }],
    ["-h", { kind: "usage" }],
    ["--help", { kind: "usage" }],
    ["--version", { kind: "version" }],
  ])("%s", (line, expected) => {
    expect(configOf(words(line)).draft.help).toMatchObject(expected);
  });
});
