// The one table of options: names, forms, help, and what each does. Parser, help, suggestions and the user's page
// (docs/command-line.md, by a test) all come from it.

import * as chardev from "./chardev.ts";
import * as devices from "./devices.ts";
import type { Apply, Draft } from "./draft.ts";
import * as machine from "./machine.ts";
import * as run from "./run.ts";
import * as storage from "./storage.ts";

/** The headings under which help lists the options, in its order. */
export const GROUPS = ["Board", "What to boot", "Disks", "Networks", "Devices", "Console", "Running", "Help"] as const;

export interface OptionSpec {
  /** Without dashes. One dash or two may precede it on the command line. */
  readonly name: string;
  readonly alias?: string;
  readonly group: (typeof GROUPS)[number];
  /** The form of its value; an option without one takes none. */
  readonly argument?: string;
  readonly help: string;
  readonly apply: Apply;
}

const helpTopic =
  (kind: "usage" | "version"): Apply =>
  (draft: Draft) => {
    draft.help ??= { kind };
  };

export const OPTIONS: readonly OptionSpec[] = [
  {
    name: "machine",
    alias: "M",
    group: "Board",
    argument: "TYPE[,PROPERTY=VALUE...]",
    help: "the board (virt) and its properties; dumpdtb=FILE writes the device tree and ends; help lists",
    apply: machine.machine,
  },
  {
    name: "cpu",
    group: "Board",
    argument: "TYPE[,PROPERTY=on|off...]",
    help: "the harts' type (rv64 or max) and extensions; help lists",
    apply: machine.cpu,
  },
  {
    name: "smp",
    group: "Board",
    argument: "N[,maxcpus=N][,sockets=N][,cores=N][,threads=N]",
    help: "the number of harts, up to 8 (1)",
    apply: machine.smp,
  },
  {
    name: "m",
    group: "Board",
    argument: "SIZE[,slots=N][,maxmem=SIZE]",
    help: "memory, in MiB or with a unit: 512, 512M, 2G (128M)",
    apply: machine.memory,
  },
  {
    name: "accel",
    group: "Board",
    argument: "NAME",
    help: "how guest code is run: jit, which also goes by QEMU's name tcg, or interp (jit)",
    apply: machine.accel,
  },
  {
    name: "icount",
    group: "Board",
    argument: "[shift=]N[,sleep=on|off]",
    help: "time by instructions, 2^N ns each: every run is the same",
    apply: machine.icount,
  },
  {
    name: "global",
    group: "Board",
    argument: "DRIVER.PROPERTY=VALUE",
    help: "a default for a property of all devices of a type",
    apply: machine.global,
  },
  {
    name: "rtc",
    group: "Board",
    argument: "base=utc|localtime|DATE[,clock=host]",
    help: "the time of day at the start (utc)",
    apply: machine.rtc,
  },
  {
    name: "bios",
    group: "What to boot",
    argument: "FILE|none|default",
    help: "the firmware: an ELF file or raw code for the beginning of RAM; default looks for an installed OpenSBI",
    apply: machine.bios,
  },
  {
    name: "kernel",
    group: "What to boot",
    argument: "FILE",
    help: "the kernel: a Linux Image, an ELF file or raw code",
    apply: machine.file("kernel"),
  },
  {
    name: "initrd",
    group: "What to boot",
    argument: "FILE",
    help: "the kernel's initial file system",
    apply: machine.initrd,
  },
  {
    name: "append",
    group: "What to boot",
    argument: "TEXT",
    help: "the kernel's command line",
    apply: machine.append,
  },
  {
    name: "dtb",
    group: "What to boot",
    argument: "FILE",
    help: "a device tree to use in place of the board's own",
    apply: machine.file("dtb"),
  },
  {
    name: "L",
    group: "What to boot",
    argument: "FOLDER",
    help: "look for firmware here first",
    apply: machine.dataPath,
  },
  {
    name: "fw_cfg",
    group: "What to boot",
    argument: "[name=]NAME,file=FILE|string=TEXT",
    help: "an item for the guest's firmware configuration device",
    apply: machine.fwCfg,
  },
  {
    name: "drive",
    group: "Disks",
    argument: "file=FILE[,id=ID][,format=raw][,if=none|virtio][,readonly=on][,snapshot=on][,cache=MODE]...",
    help: "a disk image for a device to use (drive=ID); if=virtio adds the device too",
    apply: storage.drive,
  },
  { name: "hda", group: "Disks", argument: "FILE", help: "-drive file=FILE,index=0", apply: storage.disk(0) },
  { name: "hdb", group: "Disks", argument: "FILE", help: "-drive file=FILE,index=1", apply: storage.disk(1) },
  { name: "hdc", group: "Disks", argument: "FILE", help: "-drive file=FILE,index=2", apply: storage.disk(2) },
  { name: "hdd", group: "Disks", argument: "FILE", help: "-drive file=FILE,index=3", apply: storage.disk(3) },
  {
    name: "cdrom",
    group: "Disks",
    argument: "FILE",
    help: "-drive file=FILE,index=2,media=cdrom (read-only)",
    apply: storage.disk(2, "cdrom"),
  },
  {
    name: "snapshot",
    group: "Disks",
    help: "keep all disk images as they are: what the guest writes is forgotten at the end",
    apply: storage.snapshot,
  },
  {
    name: "netdev",
    group: "Networks",
    argument: "user,id=ID[,hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT...][,restrict=on][,net=NET]...",
    help: "a network for a card to use (netdev=ID); host ports listen on 127.0.0.1 unless HOST says otherwise",
    apply: devices.netdev,
  },
  {
    name: "nic",
    group: "Networks",
    argument: "user|none[,model=DEVICE][,mac=MAC]...",
    help: "a network and a card for it (virtio-net-device); none changes nothing",
    apply: devices.nic,
  },
  { name: "net", group: "Networks", argument: "none", help: "taken for the sake of scripts", apply: devices.net },
  {
    name: "device",
    group: "Devices",
    argument: "TYPE|FILE[#EXPORT][,addr=ADDRESS][,irq=N][,id=ID][,PROPERTY=VALUE...]",
    help: "add a device, or one that a file (./my-device.ts) defines; help lists the types, TYPE,help properties",
    apply: devices.device,
  },
  {
    name: "object",
    group: "Devices",
    argument: "rng-random,id=ID[,filename=FILE] | rng-builtin,id=ID",
    help: "a source of random numbers for virtio-rng-device,rng=ID",
    apply: machine.object,
  },
  {
    name: "nodefaults",
    group: "Devices",
    help: "no console that was not asked for",
    apply: run.noDefaults,
  },
  {
    name: "nographic",
    group: "Console",
    help: "the serial port on this terminal; Ctrl-A h shows the keys, Ctrl-A x ends",
    apply: chardev.nographic,
  },
  {
    name: "serial",
    group: "Console",
    argument:
      "mon:stdio|stdio|null|none|file:FILE|pipe:FILE|tcp:[HOST]:PORT[,server=on]|unix:FILE[,server=on]|chardev:ID",
    help: "where the serial port leads",
    apply: chardev.serial,
  },
  {
    name: "chardev",
    group: "Console",
    argument: "stdio|null|file|pipe|socket,id=ID[,mux=on][,logfile=FILE]...",
    help: "a character device to refer to with chardev:ID; help lists the types",
    apply: chardev.chardev,
  },
  { name: "monitor", group: "Console", argument: "none", help: "there is no monitor yet", apply: chardev.monitor },
  {
    name: "parallel",
    group: "Console",
    argument: "none",
    help: "taken for the sake of scripts",
    apply: chardev.parallel,
  },
  { name: "display", group: "Console", argument: "none", help: "no console by itself", apply: chardev.display },
  { name: "vga", group: "Console", argument: "none", help: "taken for the sake of scripts", apply: chardev.vga },
  {
    name: "echr",
    group: "Console",
    argument: "CODE",
    help: "the character that begins a command, by its code: 20 makes it Ctrl-T (1)",
    apply: run.escapeCharacter,
  },
  { name: "no-reboot", group: "Running", help: "end when the guest reboots", apply: run.noReboot },
  { name: "no-shutdown", group: "Running", help: "stay when the guest shuts down", apply: run.noShutdown },
  {
    name: "action",
    group: "Running",
    argument: "[reboot=reset|shutdown][,shutdown=poweroff|pause]",
    help: "what a reboot and a shutdown of the guest do",
    apply: run.action,
  },
  {
    name: "d",
    group: "Running",
    argument: "ITEM[,ITEM...]",
    help: "what to log: guest_errors, unimp, ...; help lists",
    apply: run.log,
  },
  { name: "D", group: "Running", argument: "FILE", help: "log to a file (standard error)", apply: run.logFile },
  {
    name: "trace",
    group: "Running",
    argument: "DEVICE[,format=text|jsonl|vcd|perfetto][,file=FILE]",
    help: "write down every access to a device, its interrupts, DMA and timers (on standard error)",
    apply: run.trace,
  },
  {
    name: "watch",
    group: "Running",
    help: "when the file of a device (-device ./my-device.ts) is saved, go on by it at once; a mistake changes nothing",
    apply: run.watch,
  },
  {
    name: "config",
    group: "Running",
    argument: "FILE",
    help: "begin with this configuration (plantain.config.ts, found where nothing else says what the machine is)",
    // Read before the options: src/cli/config-file.ts.
    apply: run.nothingToDo,
  },
  { name: "name", group: "Running", argument: "TEXT", help: "taken for the sake of scripts", apply: run.nothingToDo },
  { name: "no-user-config", group: "Running", help: "taken for the sake of scripts", apply: run.nothingToDo },
  { name: "enable-kvm", group: "Running", help: "refused: Plantain always emulates", apply: machine.enableKvm },
  { name: "help", alias: "h", group: "Help", help: "this text", apply: helpTopic("usage") },
  { name: "version", group: "Help", help: "Plantain's version", apply: helpTopic("version") },
];

/** QEMU's options that are not here yet, so that they can be told from misspellings. */
export const LATER_OPTIONS: readonly string[] = [
  ...["S", "add-fd", "async-teardown", "audio", "audio-help", "audiodev", "blockdev", "boot", "chroot"],
  ...["compat", "daemonize", "debugcon", "dfilter", "dump-vmstate", "enable-sync-profile", "fda", "fdb", "fsdev"],
  ...["full-screen", "gdb", "incoming", "iscsi", "k", "loadvm", "mem-path", "mem-prealloc", "mon", "msg"],
  ...["mtdblock", "numa", "only-migratable", "option-rom", "overcommit", "pflash", "pidfile", "plugin", "portrait"],
  ...["preconfig", "qmp", "qmp-pretty", "qtest", "qtest-log", "readconfig", "rotate", "run-with", "runas", "s"],
  ...["sandbox", "sd", "seed", "semihosting", "semihosting-config", "set", "singlestep", "smbios", "spice", "tpmdev"],
  ...["usb", "usbdevice", "uuid", "virtfs", "vnc", "watchdog", "watchdog-action", "xen-attach"],
];
