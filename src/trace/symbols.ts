// Names for addresses of the guest's code: from the ELF files of firmware and kernel, from the kernel's own table where it
// is an Image, and from whoever knows more. docs/design/trace.md.

import type { FunctionSymbol } from "../boards/loader/elf-symbols.ts";
import type { KernelSymbols } from "../boards/loader/kernel-symbols.ts";
import type { Machine } from "../machine/machine.ts";
import type { TraceOrigin } from "./record.ts";

/** How far behind a label whose size nobody knows its code may go. Bytes. */
const FARTHEST = 0x10_0000n;

/** An Image in the machine's memory. */
interface LoadedImage {
  readonly symbols: KernelSymbols;
  readonly address: bigint;
  readonly size: bigint;
  /** Where the running kernel notes the address of its base; undefined where nobody knows. */
  readonly base: DataView | undefined;
}

/** Finds names. Files are read when the first is asked for. */
export class Symbols {
  readonly #machine: Machine;
  readonly #more: (() => readonly FunctionSymbol[]) | undefined;
  #functions: readonly FunctionSymbol[] | undefined;
  #image: LoadedImage | undefined;

  /** @param more functions that no file tells of, by rising address */
  constructor(machine: Machine, more?: () => readonly FunctionSymbol[]) {
    this.#machine = machine;
    this.#more = more;
  }

  /** A place whose name is looked for when somebody wants it: by then more may be known. */
  origin(hart: number, pc: bigint): TraceOrigin {
    return new Origin(hart, pc, this);
  }

  /** The function at an address and how far into it: `memcpy+0x10`. */
  at(pc: bigint): string | undefined {
    if (this.#functions === undefined) {
      this.#functions = this.#machine.board.functions();
      this.#image = this.#loadedImage();
    }
    return inFunctions(this.#functions, pc) ?? this.#inImage(pc) ?? inFunctions(this.#more?.() ?? [], pc);
  }

  #loadedImage(): LoadedImage | undefined {
    const image = this.#machine.board.kernelImage();
    if (image === undefined) return undefined;
    const { address, symbols } = image;
    const bytes = symbols.baseAt === undefined ? undefined : this.#machine.memory.ramAt(address + symbols.baseAt, 8);
    return {
      symbols,
      address: BigInt(address),
      size: BigInt(symbols.offsets.at(-1) ?? 0),
      base: bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    };
  }

  #inImage(pc: bigint): string | undefined {
    const image = this.#image;
    if (image === undefined) return undefined;
    const { symbols, address, size, base } = image;
    const moved = base?.getBigUint64(0, true) ?? 0n;
    const linked = moved === 0n ? symbols.linked : moved - BigInt(symbols.base);
    // Before it has an address space of its own the kernel runs where it was loaded.
    for (const begin of [linked, address]) {
      const offset = pc - begin;
      if (offset >= 0n && offset <= size) return inSymbols(symbols, Number(offset));
    }
    return undefined;
  }
}

class Origin implements TraceOrigin {
  readonly hart: number;
  readonly pc: bigint;
  readonly #symbols: Symbols;

  constructor(hart: number, pc: bigint, symbols: Symbols) {
    this.hart = hart;
    this.pc = pc;
    this.#symbols = symbols;
  }

  get symbol(): string | undefined {
    return this.#symbols.at(this.pc);
  }
}

function inFunctions(functions: readonly FunctionSymbol[], pc: bigint): string | undefined {
  const found = functions[countBelow(functions.length, (n) => functions[n]!.value <= pc) - 1];
  if (found === undefined || pc >= found.value + (found.size || FARTHEST)) return undefined;
  return named(found.name, pc - found.value);
}

function inSymbols({ names, offsets }: KernelSymbols, offset: number): string | undefined {
  const n = countBelow(offsets.length, (at) => offsets[at]! <= offset) - 1;
  return n < 0 ? undefined : named(names[n]!, BigInt(offset - offsets[n]!));
}

function named(name: string, distance: bigint): string {
  if (distance === 0n) return name;
  // A module's name stays at the end: `banana_probe+0x10 [banana]`.
  const [, label, module] = /^(.*?)( \[\w+\])?$/s.exec(name)!;
  return `${label}+0x${distance.toString(16)}${module ?? ""}`;
}

/** How many of the first `length` numbers fit, all that do being first. */
function countBelow(length: number, fits: (n: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fits(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
