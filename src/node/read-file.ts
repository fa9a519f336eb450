// Files that the user named to boot from: read whole, with one line about what is wrong.

import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { BootFile } from "../boards/loader/boot-file.ts";
import { UserError } from "../util/user-error.ts";

/** @throws UserError if it cannot be read */
export function readUserFile(option: string, path: string): BootFile {
  const source = `${option} ${path}`;
  try {
    const stats = statSync(path);
    // Reading a device could go on for ever; a pipe (from a shell's process substitution) ends.
    if (!stats.isFile() && !stats.isFIFO()) {
      throw new UserError(`${source}: this is ${stats.isDirectory() ? "a folder" : "a device"}: expected a file`);
    }
    return { source, bytes: readFileSync(path) };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${source}: ${readProblem(error as NodeJS.ErrnoException)}`, { cause: error });
  }
}

function readProblem(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return "there is no such file";
  if (error.code === "EACCES") return "the file cannot be read (permission denied)";
  if (error.code === "ERR_FS_FILE_TOO_LARGE") return "the file is too large: expected less than 2 GiB";
  return `the file cannot be read (${error.code ?? error.message})`;
}

/** Where systems keep OpenSBI: QEMU's own copy, and the packages called opensbi. */
const FIRMWARE_FOLDERS = [
  "/usr/share/qemu",
  "/usr/local/share/qemu",
  "/opt/homebrew/share/qemu",
  "/usr/lib/riscv64-linux-gnu/opensbi/generic",
  "/usr/share/opensbi/lp64/generic/firmware",
];

const FIRMWARE_NAMES = ["opensbi-riscv64-generic-fw_dynamic.bin", "fw_dynamic.bin"];

/**
 * Reads `-bios NAME`, which is a file here or in a folder where firmware is kept.
 * @throws UserError if it cannot be read
 */
export function readFirmware(path: string, dataPaths: readonly string[]): BootFile {
  if (!existsSync(path) && !path.includes("/")) {
    for (const folder of [...dataPaths, ...FIRMWARE_FOLDERS]) {
      const candidate = join(folder, path);
      if (existsSync(candidate)) return readUserFile("-bios", candidate);
    }
  }
  return readUserFile("-bios", path);
}

/** Reads the OpenSBI that is installed on this system. @throws UserError if there is none */
export function readDefaultFirmware(dataPaths: readonly string[]): BootFile {
  for (const folder of [...dataPaths, ...FIRMWARE_FOLDERS]) {
    for (const name of FIRMWARE_NAMES) {
      const candidate = join(folder, name);
      if (existsSync(candidate)) return readUserFile("-bios", candidate);
    }
  }
  throw new UserError(
    "-bios default: no OpenSBI is installed here: expected -bios FILE (Debian's package opensbi has one) or -bios none",
  );
}

/** The System.map that lies beside a kernel: of the same name behind the first hyphen (`vmlinuz-6.1`), or of none. */
export function readSystemMap(kernel: string): Uint8Array | undefined {
  const version = /^[^-]+(-.+)$/.exec(basename(kernel))?.[1];
  const names = version === undefined ? ["System.map"] : [`System.map${version}`, "System.map"];
  for (const name of names) {
    try {
      return readFileSync(join(dirname(kernel), name));
    } catch {
      // There is none of this name.
    }
  }
  return undefined;
}
