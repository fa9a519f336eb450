// What a boot puts into RAM: ranges that lie inside of RAM and do not overlap.

import type { AddressSpace } from "../../memory/address-space.ts";
import { UserError } from "../../util/user-error.ts";
import { formatSize, hex } from "./message-format.ts";

/** RAM, in bytes. */
export interface RamRange {
  readonly base: number;
  readonly size: number;
}

/** Bytes for guest memory. */
export interface BootBlob {
  /** Where it comes from, for messages. */
  readonly source: string;
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Bytes in memory, at least `bytes.length`; the rest is zero. */
  readonly size: number;
  /** Whether its place depends on the size of RAM and not on the file, which decides what a message advises. */
  readonly placedByUs: boolean;
}

/** The blobs of a boot by rising address. */
export class BlobList {
  readonly ram: RamRange;
  #blobs: readonly BootBlob[] = [];

  constructor(ram: RamRange) {
    this.ram = ram;
  }

  /** The blobs by rising address. */
  get blobs(): readonly BootBlob[] {
    return this.#blobs;
  }

  /** @throws UserError when a blob is not in RAM or overlaps another one. */
  add(added: readonly BootBlob[]): void {
    for (const blob of added) this.#checkInRam(blob);
    const blobs = [...this.#blobs, ...added].sort((a, b) => a.address - b.address);
    for (const [i, blob] of blobs.entries()) {
      const before = blobs[i - 1];
      if (before && blob.address < before.address + before.size) throw overlap(blob, before);
    }
    this.#blobs = blobs;
  }

  #checkInRam(blob: BootBlob): void {
    const { base, size } = this.ram;
    if (blob.address >= base && blob.address + blob.size <= base + size) return;
    if (blob.placedByUs) {
      throw new UserError(
        `${blob.source}: ${formatSize(blob.size)} at ${hex(blob.address)} do not fit into the ${formatSize(size)} of RAM ` +
          `(${range(base, size)}): give the machine more memory with -m`,
      );
    }
    throw new UserError(
      `${blob.source}: its segment ${range(blob.address, blob.size)} lies outside of RAM (${range(base, size)}): ` +
        "link it for an address in RAM or give the machine more memory with -m",
    );
  }
}

/** Writes the blobs, zeros behind them included. The machine calls this at every reset. */
export function writeBlobs(memory: AddressSpace, blobs: readonly BootBlob[]): void {
  for (const { source, address, bytes, size } of blobs) {
    memory.writeBytes(address, bytes);
    const tail = size - bytes.length;
    if (tail === 0) continue;
    const ram = memory.ramAt(address + bytes.length, tail);
    if (!ram) throw new Error(`${source}: ${range(address, size)} is not in one RAM region`);
    ram.fill(0);
    memory.ramWritten(address + bytes.length, tail);
  }
}

function overlap(a: BootBlob, b: BootBlob): UserError {
  if (a.source === b.source) {
    const both = `${range(b.address, b.size)} and ${range(a.address, a.size)}`;
    return new UserError(`${a.source}: damaged ELF file: its segments ${both} overlap`);
  }
  const advice =
    a.placedByUs && b.placedByUs
      ? "give the machine more memory with -m"
      : "link one of them for another address or give the machine more memory with -m";
  return new UserError(
    `${a.source} (${range(a.address, a.size)}) overlaps ${b.source} (${range(b.address, b.size)}): ${advice}`,
  );
}

function range(address: number, size: number): string {
  return `${hex(address)}-${hex(address + size - 1)}`;
}
