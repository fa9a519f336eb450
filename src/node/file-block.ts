// Disk images in host files.

import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  openSync,
  readvSync,
  type Stats,
  writeSync,
  writevSync,
} from "node:fs";
import { BlockError, type BlockErrorCode } from "../backend/block.ts";
import { type ByteStore, RawBlock } from "../backend/block-raw.ts";
import { UserError } from "../util/user-error.ts";

/**
 * Opens a raw disk image.
 *
 * @param path of a regular file with at least one byte
 * @param options.readOnly the guest must not write, and the file need not be writable
 * @param options.writeThrough every write is safe from a crash of the host when it returns, not only after a flush
 * @throws UserError if the file cannot be opened like that
 * @example const disk = openFileBlock("rootfs.ext2", { readOnly: true });
 */
export function openFileBlock(
  path: string,
  options: { readonly readOnly: boolean; readonly writeThrough?: boolean },
): RawBlock {
  const { readOnly, writeThrough = false } = options;
  let fd: number;
  try {
    // Non-blocking, so that a named pipe is told apart below instead of waited for. It means nothing to files.
    const flags = constants.O_NONBLOCK | (writeThrough ? constants.O_DSYNC : 0);
    fd = openSync(path, flags | (readOnly ? constants.O_RDONLY : constants.O_RDWR));
  } catch (error) {
    throw new UserError(openProblem(path, codeOf(error), readOnly), { cause: error });
  }
  try {
    const stats = fstatSync(fd);
    const problem = contentProblem(path, stats);
    if (problem !== undefined) throw new UserError(problem);
    return new RawBlock(new FileStore(fd, path, stats.size, readOnly));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The bytes of an open file. */
export class FileStore implements ByteStore {
  readonly size: number;
  readonly readOnly: boolean;
  readonly #path: string;
  #fd: number | undefined;

  constructor(fd: number, path: string, size: number, readOnly: boolean) {
    this.#fd = fd;
    this.#path = path;
    this.size = size;
    this.readOnly = readOnly;
  }

  read(offset: number, into: readonly Uint8Array[]): number {
    return this.#transfer("read", offset, into, (fd, views, at) => readvSync(fd, views, at));
  }

  write(offset: number, bytes: readonly Uint8Array[]): void {
    this.#transfer("write", offset, bytes, (fd, views, at) => {
      // One buffer is the common case, and cheaper without a list.
      const [view] = views;
      const written = views.length === 1 ? writeSync(fd, view!, 0, view!.length, at) : writevSync(fd, views, at);
      if (written === 0) throw new BlockError("nospace", `${this.#path}: the host wrote none of the bytes`);
      return written;
    });
  }

  sync(): void {
    this.#do("flush", fdatasyncSync);
  }

  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Calls `step` until all buffers are done or it moves nothing more; returns the number of bytes moved. */
  #transfer(
    what: string,
    offset: number,
    views: readonly Uint8Array[],
    step: (fd: number, views: readonly Uint8Array[], at: number) => number,
  ): number {
    let length = 0;
    for (const view of views) length += view.length;
    let moved = 0;
    let rest = views;
    while (moved < length) {
      const now = this.#do(what, (fd) => step(fd, rest, offset + moved));
      if (now === 0) break;
      moved += now;
      if (moved < length) rest = skip(views, moved);
    }
    return moved;
  }

  #do<T>(what: string, operation: (fd: number) => T): T {
    if (this.#fd === undefined) throw new BlockError("io", `${this.#path}: cannot ${what}: the file is closed`);
    try {
      return operation(this.#fd);
    } catch (error) {
      if (error instanceof BlockError || codeOf(error) === undefined) throw error;
      const message = `${this.#path}: cannot ${what}: ${(error as Error).message}`;
      throw new BlockError(blockErrorCode(codeOf(error)), message, { cause: error });
    }
  }
}

function blockErrorCode(code: string | undefined): BlockErrorCode {
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") return "nospace";
  return code === "EROFS" || code === "EBADF" || code === "EPERM" ? "readonly" : "io";
}

/** What is left of the buffers after their first `count` bytes. */
function skip(views: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let left = count;
  for (const view of views) {
    if (left < view.length) rest.push(view.subarray(left));
    left = Math.max(0, left - view.length);
  }
  return rest;
}

function openProblem(path: string, code: string | undefined, readOnly: boolean): string {
  switch (code) {
    case "ENOENT":
      return `disk image ${path}: there is no such file`;
    case "EISDIR":
      return `disk image ${path} is a directory: expected a file`;
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "ETXTBSY":
      return readOnly
        ? `disk image ${path} cannot be read: permission denied`
        : `disk image ${path} cannot be opened for writing (${code}): make it writable, or say readonly=on or snapshot=on`;
    default:
      return `disk image ${path} cannot be opened: ${code}`;
  }
}

function contentProblem(path: string, stats: Stats): string | undefined {
  if (stats.isDirectory()) return `disk image ${path} is a directory: expected a file`;
  if (!stats.isFile()) return `disk image ${path} is no regular file: expected a raw image`;
  if (stats.size === 0)
    return `disk image ${path} is empty: expected at least one byte (make one with truncate -s 64M)`;
  return undefined;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
