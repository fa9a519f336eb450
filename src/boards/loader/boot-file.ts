// A file to boot from, as bytes with the name that messages use.

import { UserError } from "../../util/user-error.ts";
import { formatSize } from "./message-format.ts";

/** A file that the user named, already read. */
export interface BootFile {
  /** What to call it in messages: option and path, `-kernel Image`. */
  readonly source: string;
  readonly bytes: Uint8Array;
  /** For a kernel: the System.map beside it, if there is one. */
  readonly systemMap?: () => Uint8Array | undefined;
}

/** Unpacks gzip data; throws any error when it is damaged or larger than `maxSize` bytes. */
export type Gunzip = (bytes: Uint8Array, maxSize: number) => Uint8Array;

/**
 * The file itself, or what is in it when it is gzip-compressed (Image.gz, an ELF file in gzip).
 *
 * @throws UserError when the file is empty, or compressed and there is no `gunzip` or it fails.
 */
export function unpacked(file: BootFile, maxSize: number, gunzip: Gunzip | undefined): BootFile {
  const { source, bytes } = file;
  if (bytes.length === 0) throw new UserError(`${source}: the file is empty: expected an ELF file or raw code`);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return file;
  if (!gunzip) throw new UserError(`${source}: the file is gzip-compressed: unpack it first with gunzip`);
  let content: Uint8Array;
  try {
    content = gunzip(bytes, maxSize);
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
    throw new UserError(
      `${source}: cannot unpack the gzip data (${reason}): expected a whole file of at most ${formatSize(maxSize)} unpacked`,
    );
  }
  if (content.length === 0) throw new UserError(`${source}: there is nothing in this gzip file`);
  return { ...file, bytes: content };
}
