// The board that QEMU calls `virt` (7.2): memory map, parts list and wiring. docs/design/virt-board.md.

import type { Device, DeviceHost, SysBusDevice } from "../device/device.ts";
import { resetTree } from "../device/reset.ts";
import { decodeFdt } from "../fdt/decode.ts";
import { encodeFdt } from "../fdt/encode.ts";
import { type Fdt, FdtNode } from "../fdt/fdt-node.ts";
import { Phandles } from "../fdt/phandles.ts";
import { serialType } from "../hw/char/serial-16550a.ts";
import { HartIrq } from "../hw/intc/hart-intc.ts";
import { aclintMtimerType, aclintSwiType } from "../hw/intc/riscv-aclint.ts";
import { plicType, type SifivePlic } from "../hw/intc/sifive-plic.ts";
import { sifiveTestType } from "../hw/misc/sifive-test.ts";
import { fwCfgType } from "../hw/nvram/fw-cfg.ts";
import { goldfishRtcType } from "../hw/rtc/goldfish-rtc.ts";
import { VirtioDevice } from "../hw/virtio/virtio-device.ts";
import { type VirtioMmio, virtioMmioType } from "../hw/virtio/virtio-mmio.ts";
import { MemoryRegion } from "../memory/region.ts";
import { containerType, QomObject } from "../qom/object.ts";
import type { PropertyValue } from "../qom/property.ts";
import { objectType, type TypeInfo } from "../qom/type-info.ts";
import { createObject } from "../qom/type-registry.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import type { Board, BoardContext, BoardInfo, DevicePlace, TimeBase } from "./board.ts";
import { addMemory, patchChosen } from "./boot-fdt.ts";
import { writeBlobs } from "./loader/blob-list.ts";
import { type BootPlan, planBoot } from "./loader/boot-plan.ts";
import type { FunctionSymbol } from "./loader/elf-symbols.ts";
import { resetVector } from "./loader/reset-vector.ts";
import { checkRamSize } from "./ram-size.ts";
import { describeHarts } from "./riscv-fdt.ts";
import { SystemBus } from "./system-bus.ts";

/** Where everything is: physical addresses, sizes in bytes, inputs of the PLIC. */
const MEMORY_MAP = {
  mrom: { base: 0x1000, size: 0xf000 },
  test: { base: 0x10_0000, size: 0x1000 },
  rtc: { base: 0x10_1000, size: 0x1000, irq: 11 },
  clint: { base: 0x200_0000, size: 0x1_0000, mtimer: 0x4000 },
  plic: { base: 0xc00_0000, size: 0x60_0000, sources: 96 },
  uart0: { base: 0x1000_0000, size: 0x100, irq: 10 },
  /** The first of eight transports, each `size` and one interrupt after the one before. */
  virtio: { base: 0x1000_1000, size: 0x1000, irq: 1, count: 8 },
  /** With its regions for data, selector and DMA. */
  fwCfg: { base: 0x1010_0000, size: 0x18, regions: [0, 8, 16] },
  /** Where devices go that nobody gave a place: QEMU's platform bus. */
  platform: { base: 0x400_0000, size: 0x200_0000, irq: 32 },
  dram: { base: 0x8000_0000 },
} as const;

/** The most harts: what the PLIC's region has contexts for. */
const MAX_HARTS = 8;

const TIMEBASE_FREQUENCY = 10_000_000;
const RNG_SEED_SIZE = 32;
/** The fw_cfg item that holds the number of harts. */
const FW_CFG_NB_CPUS = 0x05;

/** A row of the memory map. */
interface Slot {
  readonly base: number;
  readonly size: number;
  readonly irq?: number;
}

/** A part that a `virt` board may have or not, by a machine property of its name: `-M virt,banana-rom=off`. */
export interface OptionalPart {
  /** Property, and name in the composition tree. */
  readonly name: string;
  readonly description: string;
  readonly type: TypeInfo;
  /** Whether the part is there unless the property says otherwise. */
  readonly default: boolean;
  /** Makes the device, realizes it and maps it. */
  create(host: DeviceHost, system: MemoryRegion): SysBusDevice;
}

/** What every `virt` board has. */
const DEVICE_TYPES: readonly TypeInfo[] = [
  plicType,
  aclintSwiType,
  aclintMtimerType,
  fwCfgType,
  sifiveTestType,
  goldfishRtcType,
  serialType,
  virtioMmioType,
];

/**
 * A `virt` board with the optional parts and pluggable devices that are given; it contains no others.
 *
 * @param devices types that `-device` can name
 * @example const board = virtBoardWith([], [virtioBlkType]);
 */
export function virtBoardWith(parts: readonly OptionalPart[], devices: readonly TypeInfo[]): BoardInfo {
  return {
    name: "virt",
    description: "RISC-V VirtIO board, as QEMU's",
    properties: machineType(parts).properties ?? {},
    maxHarts: MAX_HARTS,
    serialPorts: 1,
    selects: [...DEVICE_TYPES, ...parts.map((part) => part.type), ...devices],
    create: (context) => new VirtMachine(context, parts),
  };
}

/** The type of the `/machine` object of a board with these optional parts. */
function machineType(parts: readonly OptionalPart[]): TypeInfo {
  return {
    name: "virt-machine",
    parent: objectType,
    properties: Object.fromEntries(
      parts.map(({ name, description, default: on }) => [name, { type: "bool", default: on, description }]),
    ),
    create: (type) => new QomObject(type),
  };
}

/** A `virt` board, made. */
class VirtMachine implements Board {
  readonly object: QomObject;
  readonly resetAddress = MEMORY_MAP.mrom.base;
  readonly timeBase: TimeBase;
  readonly timeBaseFrequency = TIMEBASE_FREQUENCY;

  readonly #context: BoardContext;
  readonly #ram: { readonly base: number; readonly size: number };
  readonly #mrom: MemoryRegion;
  readonly #plic: SifivePlic;
  readonly #bus: SystemBus;
  readonly #transports = new Map<string, VirtioMmio>();
  #deviceTree: Uint8Array = new Uint8Array();
  #plan: BootPlan | undefined;

  constructor(context: BoardContext, parts: readonly OptionalPart[]) {
    const { host, system, harts, serials, ramSize } = context;
    const map = MEMORY_MAP;
    this.#context = context;
    checkRamSize(ramSize, context.maxRamSize);
    this.#ram = { base: map.dram.base, size: ramSize };

    this.object = createObject(machineType(parts), context.properties);
    createObject(containerType).addChild("machine", this.object);

    this.#mrom = MemoryRegion.rom("riscv_virt_board.mrom", host.allocateRam(map.mrom.size));
    system.addSubregion(BigInt(map.mrom.base), this.#mrom);
    const ram = MemoryRegion.ram("riscv_virt_board.ram", host.allocateRam(ramSize));
    system.addSubregion(BigInt(map.dram.base), ram);

    // The order is that of the device tree from its end: SystemBus.describe.
    const { clint, virtio } = map;
    const make = <T extends QomObject>(type: TypeInfo<T>, wiring: Readonly<Record<string, PropertyValue>> = {}): T =>
      createObject(type, { ...context.defaultsOf?.(type), ...wiring });
    const perHart = { "num-harts": harts.length };
    const swi = make(aclintSwiType, perHart);
    const mtimer = make(aclintMtimerType, { ...perHart, "timebase-freq": TIMEBASE_FREQUENCY });
    this.timeBase = mtimer;
    this.#plic = make(plicType, {
      "hart-config": harts.map(() => "MS").join(","),
      "num-sources": map.plic.sources,
      "aperture-size": map.plic.size,
    });
    this.#bus = new SystemBus(host, system, (irq) => this.#plic.sourceLine(irq), {
      start: BigInt(map.platform.base),
      end: BigInt(map.platform.base + map.platform.size),
      firstIrq: map.platform.irq,
      irqEnd: map.plic.sources,
    });
    this.#add("clint.swi", swi, clint);
    this.#add("clint.mtimer", mtimer, clint, [clint.mtimer]);
    this.#add("plic", this.#plic, map.plic);
    for (const [i, hart] of harts.entries()) {
      if (hart.mhartid !== i) throw new Error(`hart ${i} of the board has the id ${hart.mhartid}`);
      swi.connectIrq(i, hart.irqLine(HartIrq.machineSoftware));
      mtimer.connectIrq(i, hart.irqLine(HartIrq.machineTimer));
      this.#plic.connectIrq(2 * i, hart.irqLine(HartIrq.machineExternal));
      this.#plic.connectIrq(2 * i + 1, hart.irqLine(HartIrq.supervisorExternal));
    }

    for (let n = 0; n < virtio.count; n++) {
      const slot = { base: virtio.base + n * virtio.size, size: virtio.size, irq: virtio.irq + n };
      const transport = this.#add(`virtio-mmio[${n}]`, make(virtioMmioType) as VirtioMmio, slot);
      this.#transports.set(`virtio-mmio-bus.${n}`, transport);
    }
    this.#add("test", make(sifiveTestType), map.test);
    this.#add("uart0", make(serialType, { chardev: serials[0] }), map.uart0);
    this.#add("rtc", make(goldfishRtcType), map.rtc);

    const fwCfg = make(fwCfgType);
    fwCfg.addItem(FW_CFG_NB_CPUS, Uint8Array.of(harts.length, 0));
    for (const { name, bytes } of context.fwCfg ?? []) fwCfg.addFile(name, bytes);
    this.#add("fw-cfg", fwCfg, map.fwCfg, map.fwCfg.regions);

    for (const part of parts) {
      if (this.object.getBool(part.name)) this.object.addChild(part.name, part.create(host, system));
    }
  }

  plug(device: Device, bus?: string): void {
    const name = device.typeInfo.name;
    if (!(device instanceof VirtioDevice)) {
      throw new UserError(
        `${name}: the virt board has no bus for it: expected a virtio device such as virtio-blk-device`,
      );
    }
    const transport = bus === undefined ? this.#freeTransport() : this.#transports.get(bus);
    if (!transport) {
      const names = [...this.#transports.keys()];
      throw new UserError(
        bus === undefined
          ? `${name}: all ${names.length} virtio-mmio transports of the virt board are in use`
          : `${name}: there is no bus "${bus}"${didYouMean(bus, names) || ` (expected one of ${names.join(", ")})`}`,
      );
    }
    this.#adopt(device);
    try {
      transport.plug(device);
      device.realize(this.#context.host);
    } catch (error) {
      if (transport.plugged === device) transport.unplug();
      device.unparent();
      throw error;
    }
  }

  place(device: SysBusDevice, place: DevicePlace): void {
    this.#adopt(device);
    try {
      this.#bus.place(device, place);
    } catch (error) {
      device.unparent();
      throw error;
    }
  }

  complete(): void {
    const { boot, host } = this.#context;
    if (boot.append && !boot.kernel) {
      throw new UserError(`-append ${boot.append}: a command line needs a kernel: give one with -kernel`);
    }
    const plan = planBoot({ ram: this.#ram, ...boot });
    const fdt: Fdt = boot.dtb
      ? decodeFdt(boot.dtb.bytes, boot.dtb.source)
      : { root: this.#describe(), reservations: [], bootHart: 0 };
    const rngSeed = new Uint8Array(RNG_SEED_SIZE);
    host.random(rngSeed);
    patchChosen(fdt.root, { append: boot.append ?? "", initrd: plan.initrd, rngSeed });
    addMemory(fdt.root, this.#ram);

    this.#deviceTree = encodeFdt(fdt);
    const source = boot.dtb?.source ?? "the device tree";
    const address = plan.placeFdt({ source, bytes: this.#deviceTree });
    this.#mrom.bytes!.set(resetVector({ start: plan.start, fdt: address, next: plan.next }));
    this.#plan = plan;
  }

  reset(): void {
    resetTree(this.object);
    writeBlobs(this.#context.host.memory, this.#plan?.blobs ?? []);
  }

  get deviceTree(): Uint8Array {
    return this.#deviceTree;
  }

  functions(): FunctionSymbol[] {
    return this.#plan?.functions() ?? [];
  }

  kernelImage(): ReturnType<Board["kernelImage"]> {
    return this.#plan?.kernelImage();
  }

  /** Adds one of the board's own devices at its place in the memory map. */
  #add<T extends SysBusDevice>(name: string, device: T, slot: Slot, regionOffsets: readonly number[] = [0]): T {
    this.object.addChild(name, device);
    this.#bus.place(device, {
      addresses: regionOffsets.map((offset) => BigInt(slot.base + offset)),
      slotSize: slot.size,
      irqs: slot.irq === undefined ? [] : [slot.irq],
    });
    return device;
  }

  /** Gives a user's device its place in the composition tree. */
  #adopt(device: Device): void {
    const container = device.id === "" ? "peripheral-anon" : "peripheral";
    const parent = this.object.children.get(container) ?? this.object.addChild(container, createObject(containerType));
    parent.addChild(device.id === "" ? "device[*]" : device.id, device);
  }

  /** The free transport with the highest address: Linux finds it first. */
  #freeTransport(): VirtioMmio | undefined {
    return [...this.#transports.values()].findLast((transport) => transport.plugged === undefined);
  }

  #describe(): FdtNode {
    const { harts } = this.#context;
    const phandles = new Phandles();
    const root = new FdtNode("");
    root.prop("#address-cells", 2).prop("#size-cells", 2);
    root.prop("compatible", "riscv-virtio").prop("model", "riscv-virtio,qemu");
    root.child("chosen").prop("stdout-path", `/soc/serial@${MEMORY_MAP.uart0.base.toString(16)}`);
    addMemory(root, this.#ram);
    describeHarts(root, harts, TIMEBASE_FREQUENCY, phandles);
    const soc = root.child("soc");
    soc.prop("#address-cells", 2).prop("#size-cells", 2).prop("compatible", "simple-bus").prop("ranges", true);
    this.#bus.describe({ root, soc, phandles, interruptController: this.#plic });
    return root;
  }
}
