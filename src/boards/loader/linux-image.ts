// The header of a RISC-V Linux kernel Image. Linux, Documentation/arch/riscv/boot-image-header.rst.

import { UserError } from "../../util/user-error.ts";
import type { BootFile } from "./boot-file.ts";

const HEADER_SIZE = 64;

/** What the header says that a loader needs. */
export interface LinuxImage {
  /** Bytes of memory that the kernel takes from its load address on, bss included. */
  readonly memorySize: number;
}

/**
 * Reads the header of a Linux Image; undefined if the file is something else (a raw binary).
 *
 * @throws UserError when it is a kernel that this machine cannot run.
 */
export function parseLinuxImage(file: BootFile): LinuxImage | undefined {
  const { bytes, source } = file;
  if (bytes.length < HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (magicAt(bytes, 4) === "zimg") {
    throw new UserError(`${source}: a kernel packed as an EFI program (zboot): expected the Image inside of it`);
  }
  if (magicAt(bytes, 56) === "ARMd") {
    throw new UserError(`${source}: a Linux Image for AArch64: expected one for RISC-V`);
  }
  if (magicAt(bytes, 56) !== "RSC\x05") return undefined;
  const flags = view.getUint32(24, true);
  if ((flags & 1) !== 0) {
    throw new UserError(`${source}: a big-endian Linux Image: expected little-endian`);
  }
  // Beyond 2^53 the number is inexact, but still far larger than any RAM.
  return { memorySize: Math.max(Number(view.getBigUint64(16, true)), bytes.length) };
}

function magicAt(bytes: Uint8Array, offset: number): string {
  return String.fromCharCode(...bytes.subarray(offset, offset + 4));
}
