// What a boot adds to a device tree, the board's own or a file's: /chosen and /memory.
// Devicetree Specification 0.4, 3.4 and 3.6; Linux, Documentation/devicetree/booting-without-of and chosen.yaml.

import { cells, cells64, type FdtNode } from "../fdt/fdt-node.ts";
import type { RamRange } from "./loader/blob-list.ts";

/** What goes into /chosen. */
export interface Chosen {
  /** The kernel's command line; none if empty. */
  readonly append: string;
  readonly initrd: { readonly start: number; readonly end: number } | undefined;
  /** Random bytes for the kernel's random number generator. */
  readonly rngSeed: Uint8Array;
}

/** Sets the properties of /chosen that a boot decides. */
export function patchChosen(root: FdtNode, { append, initrd, rngSeed }: Chosen): void {
  const chosen = root.child("chosen").prop("rng-seed", rngSeed);
  if (append !== "") chosen.prop("bootargs", append);
  if (initrd) {
    chosen.prop("linux,initrd-start", addressCells(initrd.start));
    chosen.prop("linux,initrd-end", addressCells(initrd.end));
  }
}

/** Adds a node for RAM unless the tree has one. */
export function addMemory(root: FdtNode, { base, size }: RamRange): void {
  const present = [...root.children.keys()].some((name) => name === "memory" || name.startsWith("memory@"));
  if (present) return;
  root
    .child(`memory@${base.toString(16)}`)
    .prop("device_type", "memory")
    .prop("reg", cells64(base, size));
}

/** One cell where that is enough: what old kernels and QEMU's tree have. */
function addressCells(address: number): Uint8Array {
  return address <= 0xffff_ffff ? cells(address) : cells64(address);
}
