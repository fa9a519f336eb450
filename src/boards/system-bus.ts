// The bus that a board's memory-mapped devices sit on: mapping, interrupt wiring, and the list for the device tree.

import type { DeviceHost, SysBusDevice } from "../device/device.ts";
import type { FdtNode } from "../fdt/fdt-node.ts";
import type { Phandles } from "../fdt/phandles.ts";
import { assertNoOverlap, overlapEnd } from "../memory/overlap.ts";
import type { MemoryRegion } from "../memory/region.ts";
import type { IrqLine } from "../util/irq.ts";
import { UserError } from "../util/user-error.ts";
import type { DevicePlace } from "./board.ts";

/** What the bus may give to devices without a place of their own: addresses and interrupts, the ends not included. */
export interface AutoRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly firstIrq: number;
  readonly irqEnd: number;
}

/** So that each device can be given to a process of the guest by itself. */
const PAGE = 0x1000n;

/** Where a device is. */
interface FixedPlace {
  readonly addresses: readonly bigint[];
  readonly irqs: readonly number[];
}

/** Where a device of the board itself goes. */
export interface BoardPlace extends DevicePlace {
  /** Bytes that the memory map gives the device; its first region's size unless given. */
  readonly slotSize?: number;
}

interface Placed {
  readonly device: SysBusDevice;
  readonly addresses: readonly bigint[];
  readonly slotSize: number | undefined;
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
  readonly #auto: AutoRange;
  readonly #placed: Placed[] = [];
  readonly #irqOwners = new Map<number, SysBusDevice>();

  constructor(host: DeviceHost, system: MemoryRegion, irqLine: (irq: number) => IrqLine, auto: AutoRange) {
    this.#host = host;
    this.#auto = auto;
    this.#system = system;
    this.#irqLine = irqLine;
  }

  /**
   * Realizes the device, maps its regions and connects its interrupts.
   * @throws UserError when addresses or interrupts are taken; the device is unrealized then
   */
  place(device: SysBusDevice, { addresses, irqs = [], slotSize }: BoardPlace): void {
    device.realize(this.#host);
    try {
      const fixed: FixedPlace = {
        addresses: addresses === "auto" ? this.#mapSomewhere(device) : this.#map(device, addresses),
        irqs: irqs === "auto" ? this.#freeIrqs(device) : irqs,
      };
      this.#connect(device, fixed.irqs);
      this.#placed.push({ device, addresses: fixed.addresses, slotSize });
    } catch (error) {
      device.unrealize();
      throw error;
    }
  }

  /** Lets the devices write their nodes: those placed last come first. */
  describe({ root, soc, phandles, interruptController }: BusTree): void {
    for (const { device, addresses, slotSize } of this.#placed.toReversed()) {
      if (!device.realized) continue;
      device.describe?.({
        root,
        soc,
        phandle: (key) => phandles.of(key),
        interruptParent: phandles.of(interruptController),
        base: addresses[0]!,
        size: slotSize === undefined ? (device.mmio[0]?.size ?? 0n) : BigInt(slotSize),
        irqs: device.wiredIrqs.map(({ input }) => input),
      });
    }
  }

  #map(device: SysBusDevice, addresses: readonly bigint[]): readonly bigint[] {
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
    return addresses;
  }

  /** Maps each region at the first free place of the range. */
  #mapSomewhere(device: SysBusDevice): readonly bigint[] {
    const { start, end } = this.#auto;
    return device.mmio.map((region) => {
      for (let address = start; address + region.size <= end; ) {
        const taken = overlapEnd(this.#system, address, region);
        if (taken === undefined) {
          this.#system.addSubregion(address, region);
          return address;
        }
        address = ((taken + PAGE - 1n) / PAGE) * PAGE;
      }
      throw new UserError(
        `${device.typeInfo.name}: there is no room for 0x${region.size.toString(16)} bytes between 0x${start.toString(16)} and 0x${(end - 1n).toString(16)}: give it an address elsewhere`,
      );
    });
  }

  #freeIrqs(device: SysBusDevice): readonly number[] {
    const { firstIrq, irqEnd } = this.#auto;
    const free: number[] = [];
    for (let irq = firstIrq; irq < irqEnd && free.length < device.irqNames.length; irq++) {
      if (!this.#irqOwners.get(irq)?.realized) free.push(irq);
    }
    if (free.length === device.irqNames.length) return free;
    throw new UserError(
      `${device.typeInfo.name}: of the interrupts ${firstIrq} to ${irqEnd - 1} too few are free: expected ${device.irqNames.length}`,
    );
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
      device.connectIrq(n, lines[n]!, irq);
      this.#irqOwners.set(irq, device);
    }
  }
}
