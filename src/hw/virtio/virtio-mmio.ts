// virtio over memory-mapped registers: VIRTIO 1.2, section 4.2; the legacy interface (version 1) is section 4.2.4.
// docs/devices/virtio-mmio.md lists the registers and what differs from QEMU.

import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import type { RegisterNames } from "../../device/register-names.ts";
import { checkState } from "../../device/snapshot.ts";
import { cells, cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { IrqLine } from "../../util/irq.ts";
import { UserError } from "../../util/user-error.ts";
import type { VirtioDevice } from "./virtio-device.ts";
import { virtioMmioRegisters } from "./virtio-mmio-registers.ts";
import { MAX_QUEUE_SIZE, VirtioFeature } from "./virtio-spec.ts";
import type { VirtioTransport } from "./virtio-transport.ts";
import type { Virtqueue } from "./virtqueue.ts";

const REGION_SIZE = 0x200;
const CONFIG = 0x100;
/** "virt" */
const MAGIC = 0x7472_6976;
/** "QEMU": guests look for it, so the board that follows QEMU's says it too. */
const VENDOR = 0x554d_4551;

const Reg = {
  MagicValue: 0x000,
  Version: 0x004,
  DeviceID: 0x008,
  VendorID: 0x00c,
  DeviceFeatures: 0x010,
  DeviceFeaturesSel: 0x014,
  DriverFeatures: 0x020,
  DriverFeaturesSel: 0x024,
  /** Legacy. */
  GuestPageSize: 0x028,
  QueueSel: 0x030,
  QueueNumMax: 0x034,
  QueueNum: 0x038,
  /** Legacy. */
  QueueAlign: 0x03c,
  /** Legacy. */
  QueuePFN: 0x040,
  QueueReady: 0x044,
  QueueNotify: 0x050,
  InterruptStatus: 0x060,
  InterruptACK: 0x064,
  Status: 0x070,
  QueueDescLow: 0x080,
  QueueDescHigh: 0x084,
  QueueDriverLow: 0x090,
  QueueDriverHigh: 0x094,
  QueueDeviceLow: 0x0a0,
  QueueDeviceHigh: 0x0a4,
  SHMSel: 0x0ac,
  SHMLenLow: 0x0b0,
  SHMBaseHigh: 0x0bc,
  QueueReset: 0x0c0,
  ConfigGeneration: 0x0fc,
} as const;

const NAMES = new Map<number, string>(Object.entries(Reg).map(([name, offset]) => [offset, name]));

/** Registers that only one of the two interfaces has. */
const LEGACY_ONLY: ReadonlySet<number> = new Set([Reg.GuestPageSize, Reg.QueueAlign, Reg.QueuePFN]);
const MODERN_ONLY: ReadonlySet<number> = new Set([
  Reg.QueueReady,
  Reg.QueueDescLow,
  Reg.QueueDescHigh,
  Reg.QueueDriverLow,
  Reg.QueueDriverHigh,
  Reg.QueueDeviceLow,
  Reg.QueueDeviceHigh,
  Reg.SHMSel,
  Reg.QueueReset,
  Reg.ConfigGeneration,
]);

/** The words of a queue's three addresses. */
const ADDRESS_WORDS: readonly number[] = [
  Reg.QueueDescLow,
  Reg.QueueDescHigh,
  Reg.QueueDriverLow,
  Reg.QueueDriverHigh,
  Reg.QueueDeviceLow,
  Reg.QueueDeviceHigh,
];

/** What else is written for the queue that is selected. */
const QUEUE_REGISTERS: ReadonlySet<number> = new Set([
  Reg.QueueNum,
  Reg.QueueAlign,
  Reg.QueuePFN,
  Reg.QueueReady,
  Reg.QueueReset,
]);

const Interrupt = { USED_BUFFER: 1, CONFIG_CHANGE: 2 } as const;

/** What the driver wrote for a queue that the queue itself does not know (yet). */
interface QueueSetup {
  /** Legacy: where the queue is, in guest pages. */
  pfn: number;
  /** Legacy: the used ring begins at a multiple of it. */
  align: number;
  /** Words of the three addresses: descriptors, driver area, device area, low before high. */
  readonly addresses: number[];
}

interface MmioState {
  readonly version: 1;
  readonly interruptStatus: number;
  readonly deviceFeaturesSel: number;
  readonly driverFeaturesSel: number;
  readonly driverFeatures: readonly number[];
  readonly guestPageSize: number;
  readonly queueSel: number;
  readonly setups: readonly (readonly [queue: number, QueueSetup])[];
}

export const virtioMmioType: TypeInfo = {
  name: "virtio-mmio",
  parent: sysBusDeviceType,
  description: "virtio transport over memory-mapped registers",
  properties: {
    "force-legacy": {
      type: "bool",
      default: true,
      description: "speak the interface from before VIRTIO 1.0 (version 1), as QEMU does unless told otherwise",
    },
  },
  create: (type) => new VirtioMmio(type),
};

/**
 * A transport with room for one device.
 *
 * @example
 * const transport = new VirtioMmio(virtioMmioType);
 * transport.realize(host);
 * transport.plug(disk);
 * disk.realize(host);
 */
export class VirtioMmio extends SysBusDevice implements VirtioTransport {
  legacy = true;
  readonly #irq: IrqLine;
  #plugged: VirtioDevice | undefined;
  #interruptStatus = 0;
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  readonly #driverFeatures: [number, number] = [0, 0];
  #guestPageSize = 0;
  #queueSel = 0;
  #setups = new Map<number, QueueSetup>();

  constructor(type: TypeInfo) {
    super(type);
    this.#irq = this.initIrq();
    this.initMmio(
      MemoryRegion.io("virtio-mmio", REGION_SIZE, {
        read: (offset, size) => this.#read(offset, size),
        write: (offset, value, size) => this.#write(offset, value, size),
      }),
    );
  }

  get plugged(): VirtioDevice | undefined {
    return this.#plugged;
  }

  plug(device: VirtioDevice): void {
    if (this.#plugged !== undefined) {
      const type = device.typeInfo.name;
      throw new UserError(`${type} cannot be plugged into ${this.path}: ${this.#plugged.typeInfo.name} is in it`);
    }
    this.#plugged = device;
    device.attachTransport(this);
  }

  unplug(): void {
    this.#plugged = undefined;
    this.#reset();
  }

  queueInterrupt(): void {
    this.#raise(Interrupt.USED_BUFFER);
  }

  configInterrupt(): void {
    this.#raise(Interrupt.CONFIG_CHANGE);
  }

  protected override onRealize(): void {
    this.legacy = this.getBool("force-legacy");
  }

  override resetEnter(): void {
    this.#clear();
    this.#deviceFeaturesSel = 0;
    this.#driverFeaturesSel = 0;
    this.#guestPageSize = 0;
    this.#queueSel = 0;
  }

  override resetHold(): void {
    this.#irq(false);
  }

  override describe(context: FdtContext): void {
    context.soc
      .child(`virtio_mmio@${context.base.toString(16)}`)
      .prop("interrupts", cells(...context.irqs))
      .prop("interrupt-parent", context.interruptParent)
      .prop("reg", cells64(context.base, context.size))
      .prop("compatible", "virtio,mmio");
  }

  override save(): unknown {
    const state: MmioState = {
      version: 1,
      interruptStatus: this.#interruptStatus,
      deviceFeaturesSel: this.#deviceFeaturesSel,
      driverFeaturesSel: this.#driverFeaturesSel,
      driverFeatures: [...this.#driverFeatures],
      guestPageSize: this.#guestPageSize,
      queueSel: this.#queueSel,
      setups: structuredClone([...this.#setups]),
    };
    return state;
  }

  override load(saved: unknown): void {
    const state = checkState<MmioState>(saved, 1);
    this.#interruptStatus = state.interruptStatus;
    this.#deviceFeaturesSel = state.deviceFeaturesSel;
    this.#driverFeaturesSel = state.driverFeaturesSel;
    this.#driverFeatures[0] = state.driverFeatures[0]!;
    this.#driverFeatures[1] = state.driverFeatures[1]!;
    this.#guestPageSize = state.guestPageSize;
    this.#queueSel = state.queueSel;
    this.#setups = new Map(structuredClone(state.setups));
    this.#irq(this.#interruptStatus !== 0);
  }

  override registerNames(): RegisterNames {
    return virtioMmioRegisters(this.typeInfo.name, this.irqNames, REGION_SIZE, Reg);
  }

  // --- registers

  #read(offset: number, size: number): number {
    // A device that is not realized yet, or could not be, is not there.
    const device = this.#plugged?.realized ? this.#plugged : undefined;
    if (device === undefined) {
      if (offset === Reg.MagicValue) return MAGIC;
      if (offset === Reg.Version) return this.#version;
      return offset === Reg.VendorID ? VENDOR : 0;
    }
    if (offset >= CONFIG) return device.readConfig(offset - CONFIG, size);
    if (size !== 4 || !this.#exists(offset)) return this.#wrong("read", offset, size);
    switch (offset) {
      case Reg.MagicValue:
        return MAGIC;
      case Reg.Version:
        return this.#version;
      case Reg.DeviceID:
        return device.virtioId;
      case Reg.VendorID:
        return VENDOR;
      case Reg.DeviceFeatures:
        return word(device.offeredFeatures, this.#deviceFeaturesSel);
      case Reg.QueueNumMax:
        return this.#queue(device) === undefined ? 0 : MAX_QUEUE_SIZE;
      case Reg.QueuePFN:
        return this.#setups.get(this.#queueSel)?.pfn ?? 0;
      case Reg.QueueReady:
        return this.#queue(device)?.enabled ? 1 : 0;
      case Reg.InterruptStatus:
        return this.#interruptStatus;
      case Reg.Status:
        return device.status;
      case Reg.QueueReset:
        // A reset is over when the write that asked for it is.
        return 0;
      case Reg.ConfigGeneration:
        return device.generation;
    }
    // Length and base of a shared memory region that does not exist.
    if (offset >= Reg.SHMLenLow && offset <= Reg.SHMBaseHigh) return 0xffff_ffff;
    return this.#wrong("read", offset, size);
  }

  #write(offset: number, value: number, size: number): void {
    const device = this.#plugged?.realized ? this.#plugged : undefined;
    if (device === undefined) return;
    if (offset >= CONFIG) {
      device.writeConfig(offset - CONFIG, value, size);
      return;
    }
    if (offset === Reg.QueueNotify && size === 4) {
      device.notify(value);
      return;
    }
    if (size !== 4 || !this.#exists(offset)) {
      this.#wrong("write", offset, size);
      return;
    }
    switch (offset) {
      case Reg.InterruptACK:
        this.#interruptStatus &= ~value;
        this.#irq(this.#interruptStatus !== 0);
        return;
      case Reg.DeviceFeaturesSel:
        this.#deviceFeaturesSel = value;
        return;
      case Reg.DriverFeatures:
        this.#writeFeatures(device, value);
        return;
      case Reg.DriverFeaturesSel:
        this.#driverFeaturesSel = value;
        return;
      case Reg.GuestPageSize:
        if (!isPowerOfTwo(value)) {
          this.guestError(`GuestPageSize: ${value} is no power of two`);
          return;
        }
        this.#guestPageSize = value;
        return;
      case Reg.QueueSel:
        this.#queueSel = value;
        return;
      case Reg.Status:
        if (value % 0x100 === 0) this.#reset();
        else device.setStatus(value, this.#acceptedFeatures());
        return;
      case Reg.SHMSel:
        return;
    }
    if (!this.#writeQueue(device, offset, value)) this.#wrong("write", offset, size);
  }

  /** Writes a register of the selected queue; false if `offset` is none. */
  #writeQueue(device: VirtioDevice, offset: number, value: number): boolean {
    const word = ADDRESS_WORDS.indexOf(offset);
    if (word < 0 && !QUEUE_REGISTERS.has(offset)) return false;
    const queue = this.#queue(device);
    if (queue === undefined) {
      this.guestError(`${NAMES.get(offset)}: there is no queue ${this.#queueSel}`);
      return true;
    }
    const setup = this.#setup(queue);
    if (word >= 0) setup.addresses[word] = value;
    else if (offset === Reg.QueueNum) queue.resize(value);
    else if (offset === Reg.QueueAlign) {
      if (isPowerOfTwo(value)) setup.align = value;
      else device.fail(`QueueAlign: ${value} is no power of two`);
    } else if (offset === Reg.QueuePFN) this.#enableLegacy(device, queue, setup, value);
    else if (offset === Reg.QueueReady) this.#enableModern(device, queue, setup, value);
    else if ((device.features >> BigInt(VirtioFeature.RING_RESET)) % 2n === 0n) {
      this.guestError("QueueReset: VIRTIO_F_RING_RESET was not negotiated");
    } else if (value === 1) this.#resetQueue(device, queue);
    return true;
  }

  /** The legacy layout (section 2.7.2): one block of pages, in which the used ring is aligned. */
  #enableLegacy(device: VirtioDevice, queue: Virtqueue, setup: QueueSetup, pfn: number): void {
    if (pfn === 0) {
      this.#resetQueue(device, queue);
      return;
    }
    if (this.#guestPageSize === 0) {
      device.fail("QueuePFN: GuestPageSize has not been written");
      return;
    }
    setup.pfn = pfn;
    const descriptors = pfn * this.#guestPageSize;
    const available = descriptors + 16 * queue.size;
    const end = available + 2 * (3 + queue.size);
    queue.enable(descriptors, available, Math.ceil(end / setup.align) * setup.align);
  }

  #enableModern(device: VirtioDevice, queue: Virtqueue, setup: QueueSetup, ready: number): void {
    if ((ready & 1) === 0) {
      this.#resetQueue(device, queue);
      return;
    }
    if (queue.enabled) return;
    const address = (index: number): number => setup.addresses[index + 1]! * 2 ** 32 + setup.addresses[index]!;
    queue.enable(address(0), address(2), address(4));
  }

  #resetQueue(device: VirtioDevice, queue: Virtqueue): void {
    device.resetQueue(queue);
    this.#setups.delete(queue.index);
  }

  #writeFeatures(device: VirtioDevice, value: number): void {
    const selected = this.#driverFeaturesSel;
    if (selected > 1) {
      if (value !== 0) this.guestError(`DriverFeatures: there are no features in word ${selected}`);
    } else if (!this.legacy) this.#driverFeatures[selected] = value;
    else if (selected === 0) device.acceptLegacyFeatures(value);
    else if (value !== 0) this.guestError("DriverFeatures: the legacy interface has no features above 31");
  }

  #acceptedFeatures(): bigint {
    const [low, high] = this.#driverFeatures;
    return (BigInt(high) << 32n) | BigInt(low);
  }

  /** The reset that the driver asks for. It keeps GuestPageSize: Linux writes that before its first reset. */
  #reset(): void {
    this.#plugged?.virtioReset();
    this.#clear();
    this.#irq(false);
  }

  #clear(): void {
    this.#interruptStatus = 0;
    this.#driverFeatures.fill(0);
    this.#setups.clear();
  }

  #raise(bits: number): void {
    this.#interruptStatus |= bits;
    this.#irq(true);
  }

  get #version(): number {
    return this.legacy ? 1 : 2;
  }

  #queue(device: VirtioDevice): Virtqueue | undefined {
    return device.queues[this.#queueSel];
  }

  #setup(queue: Virtqueue): QueueSetup {
    let setup = this.#setups.get(queue.index);
    if (setup === undefined) {
      setup = { pfn: 0, align: 4096, addresses: [0, 0, 0, 0, 0, 0] };
      this.#setups.set(queue.index, setup);
    }
    return setup;
  }

  /** Whether the register exists in this version of the interface. */
  #exists(offset: number): boolean {
    return !(this.legacy ? MODERN_ONLY : LEGACY_ONLY).has(offset);
  }

  #wrong(what: "read" | "write", offset: number, size: number): 0 {
    const name = NAMES.get(offset) ?? "no register";
    const reason =
      size !== 4 && NAMES.has(offset)
        ? "registers take 4 bytes at a time"
        : this.#exists(offset)
          ? `it cannot be ${what === "read" ? "read" : "written"}`
          : `not in version ${this.#version} of the interface`;
    this.guestError(`invalid ${what} of ${size} bytes at 0x${offset.toString(16)} (${name}): ${reason}`);
    return 0;
  }
}

/** One 32-bit word of a feature set; there are no features beyond the second word. */
function word(features: bigint, index: number): number {
  return index > 1 ? 0 : Number((features >> BigInt(32 * index)) & 0xffff_ffffn);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
