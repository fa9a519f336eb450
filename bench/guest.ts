// The Linux that boots: the cached one of `npm start`, or files that were named.

import { existsSync } from "node:fs";
import type { BootImages } from "../src/node/boot.ts";
import { obtainGuest } from "../src/node/guest/guest.ts";
import type { Progress } from "../src/node/guest/progress.ts";
import { UserError } from "../src/util/user-error.ts";
import { Skipped } from "./benchmark.ts";

/** The options that name files of a guest, and its kernel command line. */
export interface GuestOptions {
  readonly kernel?: string | undefined;
  readonly bios?: string | undefined;
  readonly initrd?: string | undefined;
  readonly rootfs?: string | undefined;
  readonly append?: string | undefined;
}

/** What the article's command line says to the kernel. */
const ARTICLE_APPEND = "rootwait root=/dev/vda ro";

export class BenchGuest {
  readonly #files: GuestOptions;
  /** Which Linux this is, for the report. */
  readonly title: string;

  constructor(files: GuestOptions, title: string) {
    this.#files = files;
    this.title = title;
  }

  /** Boots to a login prompt, as the article does; what the guest writes is thrown away. */
  articleOptions(): string[] {
    const { initrd, rootfs, append } = this.#files;
    if (rootfs === undefined) throw new Skipped("--kernel is given, but no --rootfs to boot to a login prompt");
    return [
      ...this.#kernelOptions(append ?? ARTICLE_APPEND),
      ...(initrd === undefined ? [] : ["-initrd", initrd]),
      ...["-drive", `file=${rootfs.replaceAll(",", ",,")},format=raw,id=hd0,if=none,snapshot=on`],
      ...["-device", "virtio-blk-device,drive=hd0", "-netdev", "user,id=net0"],
      ...["-device", "virtio-net-device,netdev=net0", "-nographic"],
    ];
  }

  /** The same files for `boot`. */
  bootImages(): BootImages {
    const { kernel, bios, initrd, rootfs, append } = this.#files;
    if (rootfs === undefined) throw new Skipped("--kernel is given, but no --rootfs to boot to a login prompt");
    return {
      kernel: kernel!,
      disk: rootfs,
      append: append ?? ARTICLE_APPEND,
      ...(bios === undefined ? {} : { firmware: bios }),
      ...(initrd === undefined ? {} : { initrd }),
    };
  }

  /** Boots into a given initramfs, with three levels of page tables (Sv39). */
  initramfsOptions(initramfs: string, memory: string): string[] {
    const words = (this.#files.append ?? "").split(/\s+/);
    const kept = words.filter((word) => !/^(root=.*|rootwait|ro|rw|)$/.test(word));
    const append = [...kept, "no5lvl", "no4lvl", "quiet"].join(" ");
    return ["-m", memory, ...this.#kernelOptions(append), "-initrd", initramfs, "-nographic", "-monitor", "none"];
  }

  #kernelOptions(append: string): string[] {
    const { bios, kernel } = this.#files;
    return ["-M", "virt", ...(bios === undefined ? [] : ["-bios", bios]), "-kernel", kernel!, "-append", append];
  }
}

/**
 * The guest to measure with. Options replace the cached guest's files one by one; with a kernel of one's own nothing of the
 * cached guest is used.
 *
 * @throws NotObtained when there is none and it cannot be had, UserError when a file is not there
 */
export async function findBenchGuest(
  options: GuestOptions,
  env: NodeJS.ProcessEnv,
  progress: Progress,
): Promise<BenchGuest> {
  for (const name of ["kernel", "bios", "initrd", "rootfs"] as const) {
    const path = options[name];
    if (path !== undefined && path !== "none" && !existsSync(path))
      throw new UserError(`--${name} ${path}: no such file`);
  }
  if (options.kernel !== undefined) return new BenchGuest(options, `of ${options.kernel}`);
  const cached = await obtainGuest(env, progress);
  // The raw firmware: QEMU 7.2 does not take the position-independent ELF file.
  const { firmwareBinary: bios, kernel, initrd, disk: rootfs, append } = cached;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return new BenchGuest({ bios, kernel, initrd, rootfs, append, ...given }, `${cached.kernelRelease} (Debian)`);
}
