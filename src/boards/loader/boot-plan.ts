// Decides where firmware, kernel, initrd and device tree go. The rules, and how they were measured:
// docs/design/loader.md.

import { UserError } from "../../util/user-error.ts";
import { BlobList, type BootBlob, type RamRange } from "./blob-list.ts";
import { type BootFile, type Gunzip, unpacked } from "./boot-file.ts";
import { type ElfSegment, isElf, lowestAddress, parseElf } from "./elf.ts";
import type { FunctionSymbol } from "./elf-symbols.ts";
import { type KernelSymbols, kernelSymbols } from "./kernel-symbols.ts";
import { parseLinuxImage } from "./linux-image.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

const KERNEL_ALIGNMENT = 2 * MiB;
const MAX_INITRD_DISTANCE = 128 * MiB;
const FDT_ALIGNMENT = 2 * MiB;
const FDT_ROOM = 1 * MiB;
/** The device tree stays below this address, so that 32-bit systems reach it. */
const FDT_LIMIT = 3 * 1024 * MiB;

/** What to boot. */
export interface BootRequest {
  readonly ram: RamRange;
  readonly firmware?: BootFile | undefined;
  readonly kernel?: BootFile | undefined;
  readonly initrd?: BootFile | undefined;
  /** Without it, gzip-compressed files are an error. */
  readonly gunzip?: Gunzip | undefined;
}

/**
 * Where everything goes. Addresses are physical.
 *
 * @example
 * const plan = planBoot({ ram: { base: 0x8000_0000, size: 0x800_0000 }, firmware, kernel });
 * const fdt = plan.placeFdt({ source: "the device tree", bytes: dtb });
 * writeBlobs(memory, plan.blobs);
 */
export class BootPlan {
  /** Where the reset vector jumps: firmware, or else the kernel, or else the start of RAM. */
  readonly start: number;
  /** Where firmware is told to go on: the kernel's first instruction, 0 without a kernel. */
  readonly next: number;
  /** The initrd, `end` being the first address behind it. */
  readonly initrd: { readonly start: number; readonly end: number } | undefined;
  /** The functions of firmware and kernel, at the addresses they are loaded to. Read from the files at each call. */
  readonly functions: () => FunctionSymbol[];
  /** The kernel's own symbols if it is an Image, and the address that it is loaded to. */
  readonly kernelImage: () => { readonly address: number; readonly symbols: KernelSymbols } | undefined;
  readonly #list: BlobList;

  /** Use `planBoot`. */
  constructor(
    list: BlobList,
    firmware: Program | undefined,
    kernel: Program | undefined,
    initrd: BootBlob | undefined,
  ) {
    this.#list = list;
    this.start = firmware?.entry ?? kernel?.entry ?? list.ram.base;
    this.next = kernel?.entry ?? 0;
    this.initrd = initrd && { start: initrd.address, end: initrd.address + initrd.size };
    this.kernelImage = () => {
      const symbols = kernel?.symbols?.();
      return kernel === undefined || symbols === undefined ? undefined : { address: kernel.lowest, symbols };
    };
    this.functions = () => [...(firmware?.functions() ?? []), ...(kernel?.functions() ?? [])];
  }

  /** What to write into RAM. */
  get blobs(): readonly BootBlob[] {
    return this.#list.blobs;
  }

  /**
   * Gives the device tree its place, which is returned.
   *
   * @throws UserError when RAM is too small for it.
   */
  placeFdt(fdt: BootFile): number {
    const { base, size: ramSize } = this.#list.ram;
    const size = Math.max(FDT_ROOM, fdt.bytes.length);
    const address = alignDown(Math.min(base + ramSize, Math.max(FDT_LIMIT, base)) - size, FDT_ALIGNMENT);
    if (address < base) {
      throw new UserError(
        `-m ${ramSize / KiB}K: no room for the device tree (${fdt.source}): expected at least ${Math.ceil(size / KiB)}K of RAM`,
      );
    }
    this.#list.add([{ source: fdt.source, address, bytes: fdt.bytes, size, placedByUs: true }]);
    return address;
  }
}

/** A loaded firmware or kernel. */
interface Program {
  readonly entry: number;
  readonly lowest: number;
  /** The first address behind it, bss included. */
  readonly end: number;
  readonly blobs: readonly BootBlob[];
  functions(): FunctionSymbol[];
  /** Of an Image, which is no ELF file. */
  symbols?(): KernelSymbols | undefined;
}

/**
 * Parses the files and gives them their places.
 *
 * @throws UserError when a file is damaged or does not fit.
 */
export function planBoot(request: BootRequest): BootPlan {
  const { ram, gunzip } = request;
  const list = new BlobList(ram);

  const firmware = request.firmware && loadProgram(unpacked(request.firmware, ram.size, gunzip), ram.base, ram);
  if (firmware) list.add(firmware.blobs);

  const kernelBase = firmware ? alignUp(firmware.end, KERNEL_ALIGNMENT) : ram.base;
  const kernel = request.kernel && loadProgram(unpacked(request.kernel, ram.size, gunzip), kernelBase, ram);
  if (kernel) list.add(kernel.blobs);

  let initrd: BootBlob | undefined;
  if (request.initrd) {
    const { source, bytes } = request.initrd;
    if (!kernel) throw new UserError(`${source}: an initrd needs a kernel: give one with -kernel`);
    if (bytes.length === 0) throw new UserError(`${source}: the file is empty: expected an initial file system`);
    const address = kernel.lowest + Math.min(Math.floor(ram.size / 2), MAX_INITRD_DISTANCE);
    initrd = { source, address, bytes, size: bytes.length, placedByUs: true };
    list.add([initrd]);
  }
  return new BootPlan(list, firmware, kernel, initrd);
}

/** Parses a firmware or kernel. `base` is its place if the file does not choose one. */
function loadProgram(file: BootFile, base: number, ram: RamRange): Program {
  const { source, bytes } = file;
  if (!isElf(bytes)) {
    const size = parseLinuxImage(file)?.memorySize ?? bytes.length;
    const blob: BootBlob = { source, address: base, bytes, size, placedByUs: true };
    return {
      entry: base,
      lowest: base,
      end: base + size,
      blobs: [blob],
      functions: () => [],
      symbols: () => kernelSymbols(file),
    };
  }
  const program = parseElf(file);
  const move = program.movable ? base : 0;
  const blobs = program.segments
    .map((segment) => withoutHeadersBelow(ram.base, { ...segment, address: segment.address + move }))
    .map(({ address, data, size }): BootBlob => ({ source, address, bytes: data, size, placedByUs: program.movable }));
  return {
    entry: program.entry + move,
    lowest: lowestAddress(blobs),
    end: blobs.reduce((end, blob) => Math.max(end, blob.address + blob.size), 0),
    blobs,
    functions: () => program.functions().map((symbol) => ({ ...symbol, value: symbol.value + BigInt(move) })),
  };
}

/**
 * The segment without what lies below RAM, if that is only the file's headers and padding: a linker that is told to
 * begin the code at the start of RAM likes to put them into the page before.
 */
function withoutHeadersBelow(ramBase: number, segment: ElfSegment): ElfSegment {
  const below = Math.min(ramBase - segment.address, segment.size);
  const { data, size, headerBytes } = segment;
  if (below <= 0 || data.subarray(headerBytes, below).some((byte) => byte !== 0)) return segment;
  return { address: segment.address + below, data: data.subarray(below), size: size - below, headerBytes: 0 };
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}
