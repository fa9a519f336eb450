// The Linux guest: Debian's riscv64 kernel, firmware and BusyBox, made into files that the board boots, in the cache folder.

import { copyFile, open, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../util/user-error.ts";
import { foreignPackages, PrivateApt } from "./apt.ts";
import { type CacheEntry, cacheFolder, findEntry, makeEntry } from "./cache.ts";
import { inStep, type Progress, type Step } from "./progress.ts";
import {
  GUEST_APPEND,
  GUEST_PACKAGES,
  GUEST_SUITE,
  KERNEL_META_PACKAGE,
  makeImages,
  recipeIdentity,
} from "./recipe.ts";

/** A guest that is ready to boot: absolute paths, and what goes with them. */
export interface Guest {
  /** OpenSBI as a position-independent ELF file. */
  readonly firmware: string;
  /** The same OpenSBI as a raw binary for the start of RAM. */
  readonly firmwareBinary: string;
  readonly kernel: string;
  readonly initrd: string;
  /** A raw ext2 image; boot it with `snapshot=on`, so that it stays as it is. */
  readonly disk: string;
  /** The kernel command line: `root=/dev/vda ro` and what makes this kernel boot quickly. */
  readonly append: string;
  /** As `uname -r` tells it. */
  readonly kernelRelease: string;
}

const FILES = {
  firmware: "fw_jump.elf",
  firmwareBinary: "fw_jump.bin",
  kernel: "Image",
  initrd: "initrd.cpio",
  disk: "rootfs.ext2",
} as const;

/** Names a guest in the cache. */
const entryName = (): string => `guest-${recipeIdentity()}`;

/** The guest, if an earlier set-up made it; a few milliseconds. */
export function findGuest(env: NodeJS.ProcessEnv): Guest | undefined {
  const entry = findEntry(cacheFolder(env), entryName());
  return entry === undefined ? undefined : describe(entry);
}

/**
 * The guest, made now if need be.
 *
 * @throws NotObtained where Debian's packages cannot be had
 */
export async function obtainGuest(env: NodeJS.ProcessEnv, progress: Progress): Promise<Guest> {
  const found = findGuest(env);
  if (found !== undefined) return found;
  const entry = await makeEntry(cacheFolder(env), entryName(), progress, async (folder, scratch) => {
    const { apt, packages, kernelPackage } = await inStep(
      progress,
      "Asking Debian for its riscv64 packages",
      async (step) => {
        const request = await foreignPackages(GUEST_SUITE, "riscv64");
        const apt = await PrivateApt.open(join(scratch, "apt"), request, (fraction) => step.update(fraction));
        const kernelPackage = await newestKernel(apt);
        const packages = await apt.records([kernelPackage, ...GUEST_PACKAGES]);
        return { apt, packages, kernelPackage };
      },
    );
    const root = join(scratch, "root");
    await inStep(progress, "Downloading Linux, BusyBox and OpenSBI", async (step) => {
      const total = [...packages.values()].reduce((sum, record) => sum + Number(record.get("Size")), 0);
      const megabytes = (fraction: number): string =>
        `${((fraction * total) / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`;
      await apt.unpack([...packages.keys()], root, (fraction) => step.update(fraction, megabytes(fraction)));
    });
    const kernelRelease = kernelPackage.replace(/^linux-image-/, "");
    await inStep(progress, "Making the guest's disk and initramfs", async (step) => {
      await build(root, kernelRelease, folder, apt, step);
    });
    const versions = [...packages].map(([name, record]) => [`package ${name}`, record.get("Version") ?? ""]);
    return { files: Object.values(FILES), facts: { kernelRelease, ...Object.fromEntries(versions) } };
  });
  return describe(entry);
}

function describe({ folder, facts }: CacheEntry): Guest {
  const path = (name: keyof typeof FILES): string => join(folder, FILES[name]);
  return {
    firmware: path("firmware"),
    firmwareBinary: path("firmwareBinary"),
    kernel: path("kernel"),
    initrd: path("initrd"),
    disk: path("disk"),
    append: GUEST_APPEND,
    kernelRelease: facts["kernelRelease"] ?? "",
  };
}

async function newestKernel(apt: PrivateApt): Promise<string> {
  const meta = (await apt.records([KERNEL_META_PACKAGE])).get(KERNEL_META_PACKAGE);
  const kernel = /\blinux-image-\d\S*-riscv64\b/.exec(meta?.get("Depends") ?? "")?.[0];
  if (kernel === undefined) throw new UserError(`the Debian mirror has no ${KERNEL_META_PACKAGE} in ${GUEST_SUITE}`);
  return kernel;
}

async function build(root: string, kernelRelease: string, folder: string, apt: PrivateApt, step: Step): Promise<void> {
  const modules = new Map<string, string>();
  const moduleRoot = join(root, "usr/lib/modules", kernelRelease);
  for (const path of await readdir(moduleRoot, { recursive: true })) {
    const name = /(?<name>[^/]+)\.ko(\.xz)?$/.exec(path)?.groups?.["name"];
    if (name !== undefined) modules.set(name.replaceAll("-", "_"), path);
  }
  let count = 0;
  const images = await makeImages({
    busybox: await readFile(join(root, "usr/bin/busybox")),
    kernelRelease,
    module: async (name) => {
      const path = modules.get(name.replaceAll("-", "_"));
      if (path === undefined) return undefined;
      step.update(1 - 1 / ++count, name);
      return { path, data: await apt.decompressed(join(moduleRoot, path)) };
    },
  });
  const target = (name: keyof typeof FILES): string => join(folder, FILES[name]);
  const kernel = join(root, "boot", `vmlinux-${kernelRelease}`);
  await checkKernel(kernel);
  await copyFile(kernel, target("kernel"));
  const firmware = join(root, "usr/lib/riscv64-linux-gnu/opensbi/generic");
  await copyFile(join(firmware, "fw_jump.elf"), target("firmware"));
  await copyFile(join(firmware, "fw_jump.bin"), target("firmwareBinary"));
  await writeFile(target("initrd"), images.initrd);
  await writeFile(target("disk"), images.disk);
  await truncate(target("disk"), images.diskSize); // zeros that take no space
}

/** Debian's riscv64 kernel is a plain Image, neither compressed nor an ELF file (kernel documentation, arch/riscv/boot-image-header). */
async function checkKernel(path: string): Promise<void> {
  const header = Buffer.alloc(64);
  await using file = await open(path);
  await file.read(header, 0, header.length, 0);
  if (header.toString("latin1", 0x38, 0x3c) !== "RSC\x05") {
    throw new UserError(`${path} of Debian's kernel package is not a plain RISC-V Image`);
  }
}
