// What the guest consists of: which Debian packages, which kernel modules, and the few files of our own around BusyBox that
// make it behave like a small Buildroot system (login on the console, DHCP at start, poweroff that powers off).

import { UserError } from "../../util/user-error.ts";
import { encodeCpio } from "./cpio.ts";
import { encodeExt2 } from "./ext2.ts";
import { readModuleInfo, slimModule } from "./kernel-module.ts";
import type { TreeEntry } from "./tree.ts";

/** Part of the name of the cached guest. Raise it when the code of this folder makes another guest of the same texts. */
const GENERATION = 1;

/** The Debian release that the guest comes from: the first that has riscv64. */
export const GUEST_SUITE = "trixie";
/** Depends on the newest kernel of the release. */
export const KERNEL_META_PACKAGE = "linux-image-riscv64";
export const GUEST_PACKAGES = ["busybox-static", "opensbi"] as const;

/**
 * Kernel options that make Debian's kernel boot in a fraction of the instructions: it leaves out the self-test of an entropy
 * source, the self-tests of every cipher, and the check of Debian's module signing certificate.
 */
const QUICK_OPTIONS = "initcall_blacklist=jent_mod_init,load_system_certificate_list cryptomgr.notests=1";
/** The kernel command line for the guest's own disk. */
export const GUEST_APPEND = `root=/dev/vda ro ${QUICK_OPTIONS}`;

/** Loaded by the initramfs, in this order, each after what it depends on: the road to the disk. */
const BOOT_MODULES = ["virtio_mmio", "virtio_blk", "crc32c_generic", "ext4"];
/** On the disk for `modprobe`, which also loads what a virtio device's identity asks for. */
const DISK_MODULES = [
  "virtio_net",
  "virtio_rng",
  "virtio_balloon",
  "virtio_input",
  "9p",
  "9pnet_virtio",
  "uio",
  "overlay",
  "loop",
];

/** The serial number of the disk whose files the guest takes (files.ts). */
export const FILES_SERIAL = "plantain-files";

/** Unpacks the files that come along with the machine. */
export const TAKE_FILES = `for disk in /sys/block/vd*; do
  [ "$(cat $disk/serial 2> /dev/null)" != ${FILES_SERIAL} ] || (cd / && cpio -idu --quiet < /dev/\${disk##*/})
done
`;

const DISK_SIZE = 64 * 1024 * 1024;

const INITRAMFS_INIT = `#!/bin/busybox sh
# Loads the drivers of the disk, mounts it and hands over to its init.
/bin/busybox mount -t proc proc /proc
mount -t devtmpfs dev /dev

while read -r module; do insmod /lib/modules/$module; done < /lib/modules/order

root= init=/sbin/init mode=ro wait=
read -r cmdline < /proc/cmdline
for word in $cmdline; do
  case $word in
    root=*) root=\${word#root=} ;;
    init=*) init=\${word#init=} ;;
    ro | rw) mode=$word ;;
    rootwait) wait=yes ;;
  esac
done

[ -z "$wait" ] || until [ -b "$root" ]; do sleep 1; done
if mount -t ext4 -o $mode "$root" /mnt; then
  mount -o move /dev /mnt/dev
  mount -o move /proc /mnt/proc
  exec /bin/busybox switch_root /mnt $init
fi
echo "plantain: cannot mount root=$root, here is a shell" > /dev/console
exec setsid cttyhack sh
`;

const RC_SCRIPT = `#!/bin/sh
[ -d /proc/1 ] || mount -t proc proc /proc
[ -c /dev/null ] || mount -t devtmpfs dev /dev
mount -o remount,rw / 2> /dev/null || echo "The root file system stays read-only."
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
hostname -F /etc/hostname

${TAKE_FILES}
for identity in /sys/bus/virtio/devices/*/modalias; do
  read -r name 2> /dev/null < $identity && modprobe -q "$name"
done
ifconfig lo up
[ ! -e /sys/class/net/eth0 ] || udhcpc -i eth0 -n -q -t 3 -T 2 -s /etc/udhcpc.sh
`;

const DHCP_SCRIPT = `#!/bin/sh
case $1 in
  deconfig)
    ip address flush dev $interface
    ip link set $interface up
    ;;
  bound | renew)
    ip address replace $ip/$mask dev $interface
    [ -z "$router" ] || ip route replace default via \${router%% *} dev $interface
    for server in $dns; do echo "nameserver $server"; done > /run/resolv.conf
    ;;
esac
`;

const INITTAB = `::sysinit:/etc/init.d/rcS
console::respawn:/sbin/getty -L console 0 vt100
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
`;

const MOTD = "\nThe banana ROM is at 0x4000000: devmem 0x4000000 reads it. poweroff ends the machine.\n\n";
const PROFILE = "export PATH=/bin:/sbin:/usr/bin:/usr/sbin PS1='# '\n";

/** Names a guest's folder in the cache: another recipe is another guest. */
export function recipeIdentity(): string {
  const parts = [GENERATION, GUEST_SUITE, GUEST_APPEND, BOOT_MODULES, DISK_MODULES, DISK_SIZE];
  const texts = [INITRAMFS_INIT, RC_SCRIPT, DHCP_SCRIPT, INITTAB, MOTD, PROFILE];
  return hash(JSON.stringify([...parts, ...texts]));
}

/** 64-bit FNV-1a: enough to tell recipes apart, and nothing to load at every start. */
function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  }
  return value.toString(16).padStart(16, "0");
}

/** What the recipe takes from the unpacked packages. */
export interface Ingredients {
  readonly busybox: Uint8Array;
  readonly kernelRelease: string;
  /** The module of that name (`virtio_blk`, either spelling of the dash), or undefined if it is built in or unknown. */
  readonly module: (name: string) => Promise<{ path: string; data: Uint8Array } | undefined>;
}

/** The initramfs and the disk image, the latter without the zeros at its end. */
export interface Images {
  readonly initrd: Uint8Array;
  readonly disk: Uint8Array;
  readonly diskSize: number;
}

/** Makes the guest's two images. */
export async function makeImages(ingredients: Ingredients): Promise<Images> {
  const boot = await collectModules(BOOT_MODULES, ingredients);
  const all = await collectModules([...BOOT_MODULES, ...DISK_MODULES], ingredients);
  return {
    initrd: encodeCpio(initramfsTree(ingredients.busybox, boot)),
    disk: encodeExt2(diskTree(ingredients, all), DISK_SIZE),
    diskSize: DISK_SIZE,
  };
}

interface Module {
  readonly name: string;
  /** Below `lib/modules/<release>/`. */
  readonly path: string;
  readonly data: Uint8Array;
  readonly depends: readonly string[];
  readonly aliases: readonly string[];
}

/** The modules and all that they need, each after what it depends on. */
async function collectModules(names: readonly string[], { module }: Ingredients): Promise<Module[]> {
  const modules = new Map<string, Module>();
  const visit = async (name: string): Promise<void> => {
    if (modules.has(name)) return;
    const found = await module(name);
    if (found === undefined)
      throw new UserError(`Debian's kernel package has no module ${name}, which the guest needs`);
    const info = readModuleInfo(found.data);
    const depends = (info.get("depends")?.[0] ?? "").split(",").filter((dependency) => dependency !== "");
    for (const dependency of depends) await visit(dependency);
    const path = found.path.replace(/\.xz$/, "");
    modules.set(name, { name, path, data: slimModule(found.data), depends, aliases: info.get("alias") ?? [] });
  };
  for (const name of names) await visit(name);
  return [...modules.values()];
}

function initramfsTree(busybox: Uint8Array, modules: readonly Module[]): TreeEntry[] {
  return [
    ...folders("bin", "dev", "lib", "lib/modules", "mnt", "proc"),
    { kind: "character", path: "dev/console", major: 5, minor: 1 },
    { kind: "file", path: "bin/busybox", data: busybox, mode: 0o755 },
    { kind: "file", path: "init", data: INITRAMFS_INIT, mode: 0o755 },
    { kind: "file", path: "lib/modules/order", data: modules.map(({ name }) => `${name}.ko\n`).join("") },
    ...modules.map(({ name, data }) => ({ kind: "file" as const, path: `lib/modules/${name}.ko`, data })),
  ];
}

function diskTree({ busybox, kernelRelease }: Ingredients, modules: readonly Module[]): TreeEntry[] {
  const moduleRoot = `lib/modules/${kernelRelease}`;
  return [
    ...folders("bin", "dev", "etc", "etc/init.d", "lib", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var"),
    { kind: "symlink", path: "sbin", target: "bin" },
    { kind: "symlink", path: "usr/bin", target: "../bin" },
    { kind: "symlink", path: "usr/sbin", target: "../bin" },
    { kind: "symlink", path: "var/run", target: "../run" },
    { kind: "character", path: "dev/console", major: 5, minor: 1 },
    { kind: "file", path: "bin/busybox", data: busybox, mode: 0o755 },
    ...appletNames(busybox).map((name) => ({ kind: "symlink" as const, path: `bin/${name}`, target: "busybox" })),
    { kind: "file", path: "etc/init.d/rcS", data: RC_SCRIPT, mode: 0o755 },
    { kind: "file", path: "etc/udhcpc.sh", data: DHCP_SCRIPT, mode: 0o755 },
    { kind: "file", path: "etc/inittab", data: INITTAB },
    { kind: "file", path: "etc/passwd", data: "root::0:0:root:/root:/bin/sh\n" },
    { kind: "file", path: "etc/group", data: "root:x:0:\n" },
    { kind: "file", path: "etc/hostname", data: "plantain\n" },
    { kind: "file", path: "etc/hosts", data: "127.0.0.1 localhost\n127.0.1.1 plantain\n" },
    { kind: "file", path: "etc/issue", data: "Welcome to Plantain\n" },
    { kind: "file", path: "etc/motd", data: MOTD },
    { kind: "file", path: "etc/profile", data: PROFILE },
    { kind: "symlink", path: "etc/resolv.conf", target: "../run/resolv.conf" },
    ...moduleFolders(moduleRoot, modules),
    ...modules.map(({ path, data }) => ({ kind: "file" as const, path: `${moduleRoot}/${path}`, data })),
    ...moduleIndex(moduleRoot, modules),
  ];
}

const folders = (...paths: string[]): TreeEntry[] =>
  paths.map((path) => ({ kind: "directory", path, mode: path === "tmp" ? 0o1777 : 0o755 }));

function moduleFolders(root: string, modules: readonly Module[]): TreeEntry[] {
  const paths = new Set(["lib/modules", root]);
  for (const { path } of modules) {
    const parts = path.split("/").slice(0, -1);
    parts.forEach((_, i) => {
      paths.add(`${root}/${parts.slice(0, i + 1).join("/")}`);
    });
  }
  return folders(...paths);
}

/** `modules.dep` and `modules.alias`, as `modprobe` reads them (man 5 modules.dep): all that a module needs, last first. */
function moduleIndex(root: string, modules: readonly Module[]): TreeEntry[] {
  const byName = new Map(modules.map((module) => [module.name, module]));
  const needed = ({ depends }: Module): Module[] =>
    depends.flatMap((name) => {
      const module = byName.get(name)!;
      return [...needed(module), module];
    });
  const dependencies = modules.map((module) => {
    const paths = [...new Set(needed(module))].reverse().map(({ path }) => path);
    return `${[`${module.path}:`, ...paths].join(" ")}\n`;
  });
  const aliases = modules.flatMap(({ name, aliases }) => aliases.map((alias) => `alias ${alias} ${name}\n`));
  return [
    { kind: "file", path: `${root}/modules.dep`, data: dependencies.join("") },
    { kind: "file", path: `${root}/modules.alias`, data: aliases.join("") },
  ];
}

/**
 * The programs that this BusyBox is. It prints them when run, but it is a riscv64 program: so read them where it looks them
 * up itself, in its sorted table of NUL-ended names, which begins with `[` and `[[` and ends with an empty name.
 */
function appletNames(busybox: Uint8Array): string[] {
  const bytes = Buffer.from(busybox.buffer, busybox.byteOffset, busybox.byteLength);
  const start = bytes.indexOf("[\0[[\0");
  const names = bytes.toString("latin1", start, bytes.indexOf("\0\0", start)).split("\0");
  for (const name of ["init", "sh", "getty", "login", "mount", "modprobe", "udhcpc", "devmem", "poweroff"]) {
    if (!names.includes(name)) throw new UserError(`Debian's busybox-static has no ${name}, which the guest needs`);
  }
  return names.filter((name) => name !== "busybox");
}
