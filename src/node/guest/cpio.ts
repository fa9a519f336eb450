// Writer of cpio archives in the "new ASCII" (newc) format, the one that Linux unpacks as an initramfs
// (kernel documentation, driver-api/early-userspace/buffer-format). The same entries always give the same bytes:
// inode numbers count from 1, times are the epoch.

import { contentOf, modeOf, type TreeEntry } from "./tree.ts";

const padTo = (length: number, unit: number): number => Math.ceil(length / unit) * unit;

/** Encodes the entries and the closing trailer as one archive, padded to whole blocks of 512 bytes. */
export function encodeCpio(entries: readonly TreeEntry[]): Uint8Array {
  const text = new TextEncoder();
  const pieces: { offset: number; bytes: Uint8Array }[] = [];
  let offset = 0;
  const append = (bytes: Uint8Array): void => {
    pieces.push({ offset, bytes });
    offset = padTo(offset + bytes.length, 4);
  };
  const record = (
    path: string,
    inode: number,
    mode: number,
    links: number,
    data: Uint8Array,
    device = [0, 0],
  ): void => {
    const name = text.encode(path);
    // c_ino c_mode c_uid c_gid c_nlink c_mtime c_filesize c_devmajor c_devminor c_rdevmajor c_rdevminor c_namesize c_check
    const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, ...device, name.length + 1, 0];
    const header = text.encode(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    const head = new Uint8Array(header.length + name.length + 1);
    head.set(header);
    head.set(name, header.length);
    append(head);
    append(data);
  };

  entries.forEach((entry, index) => {
    const device = entry.kind === "character" ? [entry.major, entry.minor] : undefined;
    record(entry.path, index + 1, modeOf(entry), entry.kind === "directory" ? 2 : 1, contentOf(entry), device);
  });
  record("TRAILER!!!", 0, 0, 1, new Uint8Array());

  const archive = new Uint8Array(padTo(offset, 512));
  for (const piece of pieces) archive.set(piece.bytes, piece.offset);
  return archive;
}
