// A board without harts for the tests of devices: an address map, a clock that stands still, and ears for everything a
// device says.

import type { DeviceHost, ShutdownReason, SysBusDevice } from "../device/device.ts";
import type { FdtContext } from "../device/fdt-context.ts";
import { resetTree } from "../device/reset.ts";
import { loadTree, saveTree } from "../device/snapshot.ts";
import { FdtNode } from "../fdt/fdt-node.ts";
import { Phandles } from "../fdt/phandles.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { containerType, type QomObject } from "../qom/object.ts";
import { createObject } from "../qom/type-registry.ts";
import type { Log } from "../util/log.ts";
import { ManualClock } from "../util/manual-clock.ts";

/** 2023-11-14 22:13:20 UTC, in nanoseconds since 1970. */
const START_OF_TIME = 1_700_000_000_000_000_000n;

/** What a read answers: a number up to 4 bytes, a bigint for 8, "fault" if the access failed. */
type Answer = number | bigint | "fault";

export class TestBoard implements DeviceHost {
  readonly clock = new ManualClock();
  readonly guestErrors: string[] = [];
  readonly shutdowns: ShutdownReason[] = [];
  readonly system = MemoryRegion.container("system", 1n << 64n);
  readonly memory: AddressSpace;
  readonly log: Log;
  /** The root of the devices, for reset and snapshot. */
  readonly machine: QomObject = createObject(containerType);

  constructor() {
    this.log = { enabled: () => true, write: (_item, line) => this.guestErrors.push(line) };
    this.memory = new AddressSpace(this.system, "memory", this.log);
  }

  allocateRam(size: number): Uint8Array {
    return new Uint8Array(size);
  }

  wallClock(): bigint {
    return START_OF_TIME + BigInt(this.clock.now);
  }

  shutdown(reason: ShutdownReason): void {
    this.shutdowns.push(reason);
  }

  random(bytes: Uint8Array): void {
    bytes.fill(4);
  }

  /** Realizes a device and maps its regions at `addresses` in turn. */
  add<T extends SysBusDevice>(device: T, ...addresses: number[]): T {
    this.machine.addChild("device[*]", device);
    device.realize(this);
    for (const [n, address] of addresses.entries()) this.system.addSubregion(BigInt(address), device.mmio[n]!);
    return device;
  }

  /** Maps `size` bytes of RAM. */
  addRam(address: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    this.system.addSubregion(BigInt(address), MemoryRegion.ram("ram", bytes));
    return bytes;
  }

  reset(): void {
    resetTree(this.machine);
  }

  /** Saves all devices here and loads them into `other`, as through a file. */
  copyTo(other: TestBoard): void {
    other.clock.advance(this.clock.now - other.clock.now);
    loadTree(other.machine, structuredClone(saveTree(this.machine)));
  }

  read(address: number, size: 1 | 2 | 4): number | "fault";
  read(address: number, size: 8): bigint | "fault";
  read(address: number, size: 1 | 2 | 4 | 8): Answer;
  read(address: number, size: 1 | 2 | 4 | 8): Answer {
    const low = this.memory.load(address, size);
    if (this.memory.fault) return "fault";
    return size === 8 ? (BigInt(this.memory.high) << 32n) | BigInt(low) : low;
  }

  write(address: number, size: 1 | 2 | 4 | 8, value: number | bigint): "fault" | undefined {
    const bits = BigInt(value);
    this.memory.store(address, size, Number(bits & 0xffff_ffffn), Number((bits >> 32n) & 0xffff_ffffn));
    return this.memory.fault ? "fault" : undefined;
  }
}

/**
 * The device tree that a device writes when its first region is at `base` and its interrupts are `irqs`.
 * @param size what the board's memory map gives it; the size of its first region unless given
 */
export function described(device: SysBusDevice, base: number, irqs: readonly number[] = [], size?: number): FdtNode {
  const root = new FdtNode("");
  const phandles = new Phandles();
  const context: FdtContext = {
    root,
    soc: root.child("soc"),
    phandle: (key) => phandles.of(key),
    interruptParent: phandles.of("interrupt-parent"),
    base: BigInt(base),
    size: size === undefined ? (device.mmio[0]?.size ?? 0n) : BigInt(size),
    irqs,
  };
  device.describe?.(context);
  return root;
}

/** The nodes of a tree by path, each property as text or as cells. */
export function treeOf(node: FdtNode, path = ""): Record<string, Record<string, string | number[]>> {
  const nodes: Record<string, Record<string, string | number[]>> = {};
  if (node.properties.size > 0) {
    nodes[path] = Object.fromEntries([...node.properties].map(([name, value]) => [name, propertyOf(value)]));
  }
  for (const child of node.children.values()) Object.assign(nodes, treeOf(child, `${path}/${child.name}`));
  return nodes;
}

function propertyOf(value: Uint8Array): string | number[] {
  const text = new TextDecoder().decode(value);
  if (/^([\x20-\x7e]+\0)+$/.test(text)) return text.slice(0, -1).replaceAll("\0", " ");
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return Array.from({ length: value.length / 4 }, (_, i) => view.getUint32(4 * i));
}
