// What a device gets to write its own device-tree node with.

import type { FdtNode } from "../fdt/fdt-node.ts";

/** The device tree under construction, and where the board put the device. */
export interface FdtContext {
  readonly root: FdtNode;
  /** Where devices with registers go. */
  readonly soc: FdtNode;
  /** The phandle of the node that describes `key` (a device, or a name agreed upon); the same at every call. */
  phandle(key: object | string): number;
  /** The phandle of the interrupt controller that the device's lines go to. */
  readonly interruptParent: number;
  /** The address of the device's first region. */
  readonly base: bigint;
  /** The size of the device's first region in bytes. */
  readonly size: bigint;
  /** The numbers of the device's interrupts at the interrupt controller, in the order of its outputs. */
  readonly irqs: readonly number[];
}
