// Reads ELF64 little-endian RISC-V executables that nobody vouches for.
// System V ABI (gABI) chapters 4 and 5; RISC-V psABI, "ELF object files".

import { UserError } from "../../util/user-error.ts";
import type { BootFile } from "./boot-file.ts";
import { type FunctionSymbol, readFunctionSymbols } from "./elf-symbols.ts";

/** A piece of an executable to load. */
export interface ElfSegment {
  /** Physical address (`p_paddr`), before any move. */
  readonly address: number;
  /** The bytes from the file, a view on it. */
  readonly data: Uint8Array;
  /** Bytes in memory, at least `data.length`; the rest is zero. */
  readonly size: number;
  /** How many of the bytes at the beginning are the file's own headers. */
  readonly headerBytes: number;
}

/** An executable, parsed; addresses are those in the file. */
export interface ElfProgram {
  /** Linked at 0 to run anywhere: the loader chooses the place, the program relocates itself. */
  readonly movable: boolean;
  /** Physical address of the first instruction. */
  readonly entry: number;
  /** In file order, none empty, at least one. */
  readonly segments: readonly ElfSegment[];
  /** The functions, by rising address. Read from the file at each call. */
  functions(): FunctionSymbol[];
}

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;

const ET_EXEC = 2;
const ET_DYN = 3;
const EM_RISCV = 243;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PN_XNUM = 0xffff;

const OTHER_MACHINES: Readonly<Record<number, string>> = {
  3: "x86",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC 64",
  40: "Arm",
  62: "x86-64",
  183: "AArch64",
  258: "LoongArch",
};

const OTHER_TYPES: Readonly<Record<number, string>> = {
  1: "a relocatable object file, not yet linked",
  4: "a core dump",
};

/** Whether the bytes begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/**
 * Parses an executable; copies nothing.
 *
 * @throws UserError when it is no complete ELF64 little-endian RISC-V executable.
 * @example
 * const { segments, entry } = parseElf({ source: "-bios fw_jump.elf", bytes });
 */
export function parseElf(file: BootFile): ElfProgram {
  const { bytes, source } = file;
  const fail = (problem: string): never => {
    throw new UserError(`${source}: ${problem}`);
  };
  // The class and the byte order come first: they decide how to read the rest.
  if (bytes.length > 5) {
    if (bytes[4] !== 2) fail("32-bit ELF file: expected ELF64 for RISC-V, compile with -march=rv64gc -mabi=lp64d");
    if (bytes[5] !== 1) fail("big-endian ELF file: expected little-endian ELF64 for RISC-V");
  }
  if (bytes.length < EHDR_SIZE) fail(`truncated ELF file: ${bytes.length} bytes, the header alone has ${EHDR_SIZE}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine = view.getUint16(18, true);
  if (machine !== EM_RISCV) {
    fail(
      `ELF file for ${OTHER_MACHINES[machine] ?? `machine ${machine}`}: expected one for RISC-V (machine ${EM_RISCV})`,
    );
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    fail(`${OTHER_TYPES[type] ?? `ELF file of type ${type}`}: expected a linked executable`);
  }

  const phOffset = toNumber(view.getBigUint64(32, true));
  const phSize = view.getUint16(54, true);
  const phCount = view.getUint16(56, true);
  if (phCount === 0) fail("ELF file without program headers: expected a linked executable");
  if (phSize !== PHDR_SIZE || phCount === PN_XNUM) {
    fail(`damaged ELF file: ${phCount} program headers of ${phSize} bytes, expected ${PHDR_SIZE} bytes each`);
  }
  if (phOffset + phCount * PHDR_SIZE > bytes.length) {
    fail(
      `truncated ELF file: the program headers end at byte ${phOffset + phCount * PHDR_SIZE}, the file at ${bytes.length}`,
    );
  }

  const entryAddress = view.getBigUint64(24, true);
  let entry: number | undefined;
  const segments: ElfSegment[] = [];
  for (let i = 0; i < phCount; i++) {
    const at = phOffset + i * PHDR_SIZE;
    const kind = view.getUint32(at, true);
    if (kind === PT_INTERP) fail("a Linux user program (it asks for a dynamic linker): expected firmware or a kernel");
    if (kind !== PT_LOAD) continue;
    const offset = toNumber(view.getBigUint64(at + 8, true));
    const virtualAddress = view.getBigUint64(at + 16, true);
    const address = toNumber(view.getBigUint64(at + 24, true));
    const fileSize = toNumber(view.getBigUint64(at + 32, true));
    const size = toNumber(view.getBigUint64(at + 40, true));
    if (size === 0) continue;
    if (fileSize > size)
      fail(`damaged ELF file: segment ${i} has more bytes in the file (${fileSize}) than in memory (${size})`);
    if (offset + fileSize > bytes.length) {
      fail(`truncated ELF file: segment ${i} ends at byte ${offset + fileSize}, the file at ${bytes.length}`);
    }
    const data = bytes.subarray(offset, offset + fileSize);
    const headerBytes = offset === 0 ? Math.min(Math.max(EHDR_SIZE, phOffset + phCount * PHDR_SIZE), fileSize) : 0;
    segments.push({ address, data, size, headerBytes });
    const distance = entryAddress - virtualAddress;
    if (distance >= 0n && distance < BigInt(size)) entry ??= address + Number(distance);
  }
  if (segments.length === 0) fail("ELF file without anything to load: it has no PT_LOAD segment");

  // An entry outside of the virtual addresses may still be a physical one; if it is neither, the lowest address is
  // where hand-made files begin.
  entry ??= physicalEntry(entryAddress, segments) ?? lowestAddress(segments);
  return {
    movable: type === ET_DYN && lowestAddress(segments) === 0,
    entry,
    segments,
    functions: () => readFunctionSymbols(bytes),
  };
}

function physicalEntry(entry: bigint, segments: readonly ElfSegment[]): number | undefined {
  const address = toNumber(entry);
  const holds = (segment: ElfSegment) => address >= segment.address && address < segment.address + segment.size;
  return segments.some(holds) ? address : undefined;
}

/** The lowest physical address of any segment. */
export function lowestAddress(segments: readonly { readonly address: number }[]): number {
  return segments.reduce((lowest, segment) => Math.min(lowest, segment.address), Number.POSITIVE_INFINITY);
}

/**
 * A 64-bit value of the file as a number. Values beyond 2^53 lose low bits, but stay larger than any file or RAM, so
 * every comparison with those comes out right.
 */
function toNumber(value: bigint): number {
  return Number(value);
}
