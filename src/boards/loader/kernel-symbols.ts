// The symbols of a Linux Image, which is no ELF file: those that it carries itself, or those of the System.map beside it.

import type { BootFile } from "./boot-file.ts";
import { readKallsyms } from "./kallsyms.ts";

/** A kernel's functions and labels. */
export interface KernelSymbols {
  readonly names: readonly string[];
  /** For each its place in bytes from the beginning of the image, rising. */
  readonly offsets: Float64Array;
  /** The virtual address that the image's beginning was linked for. */
  readonly linked: bigint;
  /** Where the running kernel has the virtual address of `base`, in bytes from the image's beginning: it may move itself. */
  readonly baseAt?: number;
  /** In bytes from the image's beginning. */
  readonly base: number;
}

/** What was found, by image: machines of one family share it. */
const found = new WeakMap<Uint8Array, KernelSymbols | "none">();

/** Fewer lines than any kernel has: a note that the symbols are elsewhere. */
const FEW = 100;

/** The symbols of an Image; undefined if there are none. Takes a tenth of a second, once. */
export function kernelSymbols(file: BootFile): KernelSymbols | undefined {
  let symbols = found.get(file.bytes);
  if (symbols === undefined) {
    symbols = readKallsyms(file.bytes) ?? mapOf(file) ?? "none";
    found.set(file.bytes, symbols);
  }
  return symbols === "none" ? undefined : symbols;
}

function mapOf({ systemMap }: BootFile): KernelSymbols | undefined {
  const bytes = systemMap?.();
  return bytes === undefined ? undefined : parseSystemMap(new TextDecoder().decode(bytes));
}

/** Reads a System.map: lines of `address kind name`. Undefined if it says nothing of where the image begins. */
export function parseSystemMap(text: string): KernelSymbols | undefined {
  const lines = [...text.matchAll(/^([0-9a-f]{8,16}) [a-z] (\S+)$/gim)];
  if (lines.length < FEW) return undefined;
  const symbols = lines.map(([, address, name]) => ({ name: name!, address: BigInt(`0x${address}`) }));
  const start = symbols.find(({ name }) => name === "_start") ?? symbols.find(({ name }) => name === "_text");
  if (start === undefined) return undefined;
  const inImage = symbols
    .map(({ name, address }) => ({ name, offset: Number(address - start.address) }))
    .filter(({ offset }) => offset >= 0)
    .sort((a, b) => a.offset - b.offset);
  return {
    names: inImage.map(({ name }) => name),
    offsets: Float64Array.from(inImage, ({ offset }) => offset),
    linked: start.address,
    base: 0,
  };
}
