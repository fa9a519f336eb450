// What a machine and a board know of each other. docs/design/virt-board.md.

import type { Chardev } from "../backend/chardev.ts";
import type { Device, DeviceHost, SysBusDevice } from "../device/device.ts";
import type { MemoryRegion } from "../memory/region.ts";
import type { QomObject } from "../qom/object.ts";
import type { PropertyInfo, PropertyValue } from "../qom/property.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import type { IrqLine } from "../util/irq.ts";
import type { BootFile, Gunzip } from "./loader/boot-file.ts";
import type { FunctionSymbol } from "./loader/elf-symbols.ts";
import type { KernelSymbols } from "./loader/kernel-symbols.ts";

/** What a hart says of itself in the device tree (Linux's riscv/cpus.yaml and riscv/extensions.yaml). */
export interface HartIsa {
  /** Width and base instruction set: `rv64i`. */
  readonly base: string;
  /** Extensions in canonical order, lower case, the base's letter first: `i`, `m`, `zicsr`, `sstc`. */
  readonly extensions: readonly string[];
  /** The largest address translation: `riscv,sv57`. */
  readonly mmuType: string;
  /** Bytes that one cache-block instruction works on; absent without Zicbom, Zicboz and Zicbop. */
  readonly cacheBlockSize?: number | undefined;
  /** For SBI's PMU: event ranges and the counters (bit n is mhpmcounter n) that can count them. */
  readonly pmuEvents?: readonly { readonly first: number; readonly last: number; readonly counters: number }[];
}

/** A hart, as far as a board is concerned. */
export interface BoardHart {
  readonly mhartid: number;
  readonly isa: HartIsa;
  /** An interrupt input, by its bit in `mip`: 3 software, 7 timer, 9 supervisor external, 11 machine external. */
  irqLine(bit: number): IrqLine;
}

/** What to boot. */
interface BoardBoot {
  readonly firmware?: BootFile | undefined;
  readonly kernel?: BootFile | undefined;
  readonly initrd?: BootFile | undefined;
  /** A device tree instead of the board's own. */
  readonly dtb?: BootFile | undefined;
  /** The kernel's command line. */
  readonly append?: string | undefined;
  /** Unpacks compressed kernels; without it they are an error. */
  readonly gunzip?: Gunzip | undefined;
}

/** What a board is made from. */
export interface BoardContext {
  readonly host: DeviceHost;
  /** The root of system memory, the one that `host.memory` shows. */
  readonly system: MemoryRegion;
  /** In the order of their ids, which begin at 0. */
  readonly harts: readonly BoardHart[];
  /** Bytes. */
  readonly ramSize: number;
  /** The most RAM that the machine can have. Bytes. */
  readonly maxRamSize: number;
  /** The chardev of each serial port in turn. */
  readonly serials: readonly (Chardev | undefined)[];
  /** Machine properties, as values or as text. */
  readonly properties: Readonly<Record<string, PropertyValue>>;
  /** What the user wants to be the default of a device type's properties (`-global`); the board's own wiring wins. */
  readonly defaultsOf?: (type: TypeInfo) => Readonly<Record<string, PropertyValue>>;
  readonly boot: BoardBoot;
  /** Files that the guest finds in fw_cfg. */
  readonly fwCfg?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** The counter that the harts' `time` shows. */
export interface TimeBase {
  /** Ticks, 64 bits unsigned. */
  readonly time: bigint;
  /** What to add, modulo 2^64, to the whole ticks of the machine's clock to get `time`. */
  readonly timeOffset: bigint;
  /** Called when the guest set the time. */
  onTimeSet: () => void;
}

/** Where a device goes. */
export interface DevicePlace {
  /** Physical addresses of its regions in turn; `auto`: wherever the board has room for them. */
  readonly addresses: readonly bigint[] | "auto";
  /** Inputs of the interrupt controller, one for each of its outputs in turn; `auto`: free ones for all of them. */
  readonly irqs?: readonly number[] | "auto";
}

/** A board, made. */
export interface Board {
  /** `/machine` in the composition tree: properties, devices. */
  readonly object: QomObject;
  /** Where harts begin after a reset. */
  readonly resetAddress: number;
  readonly timeBase: TimeBase;
  /** Frequency of `timeBase` in hertz. */
  readonly timeBaseFrequency: number;

  /**
   * Adds a device to the bus that takes it, and realizes it.
   * @param bus the bus by name, `virtio-mmio-bus.0`; the first free one unless given
   * @throws UserError when there is no bus or no room for it
   */
  plug(device: Device, bus?: string): void;

  /**
   * Adds a device at given addresses, and realizes it.
   * @throws UserError when something else is there, or has its interrupt
   */
  place(device: SysBusDevice, place: DevicePlace): void;

  /**
   * Ends the building: loads the boot files, makes the device tree, fills the boot ROM. Before the first reset.
   * @throws UserError when a file is damaged or does not fit
   */
  complete(): void;

  /** Resets all devices and writes the boot files into RAM again. */
  reset(): void;

  /** The device tree that the guest gets. After `complete`. */
  readonly deviceTree: Uint8Array;

  /** The functions of firmware and kernel, for traces. After `complete`; reads the files at each call. */
  functions(): FunctionSymbol[];

  /** The symbols of a kernel that is an Image, and the physical address of its first byte. After `complete`. */
  kernelImage(): { readonly address: number; readonly symbols: KernelSymbols } | undefined;
}

/** A kind of board. */
export interface BoardInfo {
  /** The name that `-M` takes. */
  readonly name: string;
  readonly description: string;
  readonly properties: Readonly<Record<string, PropertyInfo>>;
  readonly maxHarts: number;
  readonly serialPorts: number;
  /** The device types that the board has or offers: what `-device` can name. */
  readonly selects: readonly TypeInfo[];
  /** @throws UserError when a property or the size of RAM does not fit */
  create(context: BoardContext): Board;
}
