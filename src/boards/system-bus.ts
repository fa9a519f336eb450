// The bus that a board's memory-mapped devices sit on: mapping, interrupt wiring, and the list for the device tree.

import type { DeviceHost, SysBusDevice } from "../device/device.ts";
import type { FdtNode } from "../fdt/fdt-node.ts";
import type { Phandles } from "../fdt/phandles.ts";
import { assertNoOverlap } from "../memory/overlap.ts";
import type { MemoryRegion } from "../memory/region.ts";
import type { IrqLine } from "../util/irq.ts";
import { UserError } from "../util/user-error.ts";
import type { DevicePlace } from "./board.ts";

/** Where a device of the board itself goes. */
export interface BoardPlace extends DevicePlace {
  /** Bytes that the memory map gives the device; its first region's size unless given. */
  readonly slotSize?: number;
}

interface Placed {
  readonly device: SysBusDevice;
  readonly place: BoardPlace;
}

/** What a tree of the bus's devices is made in. */
export interface BusTree {
  readonly root: FdtNode;
  readonly soc: FdtNode;
  readonly phandles: Phandles;
  /** The key of the interrupt controller's phandle. */
  readonly interruptController: object;
}

/** The bus. Devices must have their place in the composition tree before they come here. */
export class SystemBus {
  readonly #host: DeviceHost;
  readonly #system: MemoryRegion;
  /** The inputs of the interrupt controller. */
  readonly #irqLine: (irq: number) => IrqLine;
  readonly #placed: Placed[] = [];
  readonly #irqOwners = new Map<number, SysBusDevice>();

  constructor(host: DeviceHost, system: MemoryRegion, irqLine: (irq: number) => IrqLine) {
    this.#host = host;
    this.#system = system;
    this.#irqLine = irqLine;
  }

  /**
   * Realizes the device, maps its regions and connects its interrupts.
   * @throws UserError when addresses or interrupts are taken; the device is unrealized then
   */
  place(device: SysBusDevice, place: BoardPlace): void {
    device.realize(this.#host);
    try {
      this.#map(device, place.addresses);
      this.#connect(device, place.irqs ?? []);
    } catch (error) {
      device.unrealize();
      throw error;
    }
    this.#placed.push({ device, place });
  }

  /** Lets the devices write their nodes: those placed last come first. */
  describe({ root, soc, phandles, interruptController }: BusTree): void {
    for (const { device, place } of this.#placed.toReversed()) {
      if (!device.realized) continue;
      device.describe?.({
        root,
        soc,
        phandle: (key) => phandles.of(key),
        interruptParent: phandles.of(interruptController),
        base: place.addresses[0]!,
        size: place.slotSize === undefined ? (device.mmio[0]?.size ?? 0n) : BigInt(place.slotSize),
        irqs: place.irqs ?? [],
      });
    }
  }

  #map(device: SysBusDevice, addresses: readonly bigint[]): void {
    const { mmio, typeInfo } = device;
    if (addresses.length !== mmio.length || mmio.length === 0) {
      throw new UserError(
        `${typeInfo.name}: ${addresses.length} addresses given, the device has ${mmio.length} regions`,
      );
    }
    for (const [i, region] of mmio.entries()) {
      assertNoOverlap(this.#system, addresses[i]!, region);
      this.#system.addSubregion(addresses[i]!, region);
    }
  }

  #connect(device: SysBusDevice, irqs: readonly number[]): void {
    const name = device.typeInfo.name;
    const outputs = device.irqNames.length;
    if (irqs.length > outputs) {
      throw new UserError(`${name}: ${irqs.length} interrupts given, the device has ${outputs}`);
    }
    for (const irq of irqs) {
      const owner = this.#irqOwners.get(irq);
      if (owner?.realized) {
        throw new UserError(
          `${name}: interrupt ${irq} is taken by ${owner.typeInfo.name} (${owner.path}): use another one`,
        );
      }
    }
    const lines = irqs.map((irq) => this.#irqLine(irq));
    for (const [n, irq] of irqs.entries()) {
      device.connectIrq(n, lines[n]!);
      this.#irqOwners.set(irq, device);
    }
  }
}
