// Files that the guest finds when it has booted: a cpio archive on a disk of its own, which the guest's start script
// unpacks. docs/design/set-up.md.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, posix, resolve } from "node:path";
import { UserError } from "../../util/user-error.ts";
import { encodeCpio } from "./cpio.ts";
import type { TreeEntry } from "./tree.ts";

/**
 * What the guest shall have: absolute paths in the guest, and for each a file or folder of the host's, or the bytes.
 * @example { "/root/driver": "driver", "/lib/banana_dma.ko": await buildModule("driver") }
 */
export type GuestFiles = Readonly<Record<string, string | Uint8Array>>;

/** In bytes: the archive is made in memory. */
const MAX_TOTAL = 256 << 20;

/**
 * Packs files into the image of a disk. All of them are executable: whose they are on the host says nothing here.
 *
 * @param folder what paths of the host are relative to
 * @param where whose mistake it would be
 * @throws UserError in one line for a path that is none, and for what cannot be read
 */
export function packFiles(files: GuestFiles, folder: string, where: string): Uint8Array {
  const entries: TreeEntry[] = [];
  let total = 0;
  const add = (path: string, data: Uint8Array): void => {
    entries.push({ kind: "file", path, data, mode: 0o755 });
  };
  // Asked before a file's bytes are read.
  const grow = (bytes: number, path: string): void => {
    total += bytes;
    if (total > MAX_TOTAL)
      throw new UserError(`${where}: with ${path} it is more than ${MAX_TOTAL >> 20} MiB of files`);
  };
  for (const [path, source] of Object.entries(files)) {
    const target = posix.normalize(path);
    if (!path.startsWith("/") || target.endsWith("/") || target.includes("\0")) {
      throw new UserError(
        `${where}: "${path}" is no path of a file in the guest: expected one such as "/root/driver.ko"`,
      );
    }
    if (typeof source !== "string") {
      grow(source.length, path);
      add(target.slice(1), source);
      continue;
    }
    for (const file of filesAt(resolve(folder, source), where)) add(`${target.slice(1)}${file.below}`, read(file.path));
  }
  return encodeCpio(entries);

  function read(path: string): Uint8Array {
    try {
      grow(statSync(path).size, path);
      return readFileSync(path);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw unreadable(path, where, error);
    }
  }
}

/** A file, and its path below the folder that was asked for: empty for a file that was. */
interface HostFile {
  readonly path: string;
  readonly below: string;
}

/** A file itself, or all that are in a folder and its folders; links to files count as files, other links are left out. */
function filesAt(path: string, where: string): HostFile[] {
  try {
    return statSync(path).isDirectory() ? filesBelow(path, "") : [{ path, below: "" }];
  } catch (error) {
    throw unreadable(path, where, error);
  }
}

/** Links to folders are not followed: they may lead in circles. */
function filesBelow(folder: string, prefix: string): HostFile[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const file = { path: join(folder, entry.name), below: `${prefix}/${entry.name}` };
      if (entry.isDirectory()) return filesBelow(file.path, file.below);
      return statSync(file.path, { throwIfNoEntry: false })?.isFile() ? [file] : [];
    });
}

function unreadable(path: string, where: string, error: unknown): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new UserError(`${where}: ${path} cannot be read (${code ?? message})`, { cause: error });
}
