// The firmware configuration device: hands named blobs (kernel, tables, counts) to firmware.
// QEMU's "QEMU Firmware Configuration (fw_cfg) Device" specification, with its DMA interface.

import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import { checkState } from "../../device/snapshot.ts";
import { cells64 } from "../../fdt/fdt-node.ts";
import { BusError } from "../../memory/bus-error.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import { UserError } from "../../util/user-error.ts";

/** The device with all its regions, as the device tree tells it. Bytes. */
const TREE_SIZE = 0x18;

const KEY_SIGNATURE = 0x0000;
const KEY_ID = 0x0001;
const KEY_FILE_DIRECTORY = 0x0019;
const KEY_FIRST_FILE = 0x0020;
/** A bit of the selector that once meant writing and means nothing now. */
const KEY_WRITE_CHANNEL = 0x4000;

/** What the item KEY_ID says: selector and data registers, and DMA. */
const ID_TRADITIONAL_AND_DMA = 3;
const MAX_FILES = 0x1000;
const MAX_NAME_LENGTH = 55;
const DIRECTORY_ENTRY_SIZE = 64;

const DMA_ERROR = 0x01;
const DMA_READ = 0x02;
const DMA_SKIP = 0x04;
const DMA_SELECT = 0x08;
const DMA_WRITE = 0x10;
/** The descriptor in guest memory, big endian: control (4 bytes), length (4), address (8). */
const DESCRIPTOR_SIZE = 16;

const ascii = new TextEncoder();
const SIGNATURE = ascii.encode("QEMU");
/** What the DMA register reads as. */
const DMA_SIGNATURE = ascii.encode("QEMU CFG");
const NO_BYTES = new Uint8Array();

interface FwCfgFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface FwCfgState {
  readonly version: 1;
  readonly key: number;
  readonly offset: number;
  readonly dmaHigh: number;
}

/** The type of the firmware configuration device. Its regions: data (8 bytes), selector (2), DMA (8). */
export const fwCfgType: TypeInfo<FwCfg> = {
  name: "fw-cfg-mem",
  parent: sysBusDeviceType,
  description: "firmware configuration",
  properties: {
    "x-file-slots": { type: "uint16", default: 32, description: `how many files it holds, up to ${MAX_FILES}` },
  },
  create: (type) => new FwCfg(type),
};

/**
 * The firmware configuration device. Items and files are the board's to give; the guest only reads them.
 *
 * @example
 * fwCfg.addItem(0x05, new Uint8Array([1, 0])); // one processor
 * fwCfg.addFile("opt/org.example/greeting", new TextEncoder().encode("hello"));
 */
export class FwCfg extends SysBusDevice {
  readonly #items = new Map<number, Uint8Array>();
  /** Sorted by name; a file's key is its place. */
  readonly #files: FwCfgFile[] = [];
  #key = KEY_SIGNATURE;
  /** How much of the selected item has been read, never more than it has. */
  #offset = 0;
  /** The high word of the DMA address, until the low one starts a transfer. */
  #dmaHigh = 0;

  constructor(type: TypeInfo) {
    super(type);
    this.#items.set(KEY_SIGNATURE, SIGNATURE);
    this.#items.set(KEY_ID, new Uint8Array([ID_TRADITIONAL_AND_DMA, 0, 0, 0]));
    this.initMmio(
      MemoryRegion.io("fwcfg.data", 8, {
        read: (offset, size) => this.#readData(offset, size),
        read64: (offset) => BigInt(this.#readData(offset, 4)) | (BigInt(this.#readData(offset, 4)) << 32n),
        impl: { min: 1, max: 8 },
      }),
    );
    this.initMmio(
      MemoryRegion.io("fwcfg.ctl", 2, {
        read: (offset) => refuse(offset),
        write: (_offset, value) => this.#select(value),
        endianness: "big",
        valid: { min: 2, max: 2 },
      }),
    );
    this.initMmio(
      MemoryRegion.io("fwcfg.dma", 8, {
        read: (offset, size) => bigEndian(DMA_SIGNATURE, offset, size),
        write: (offset, value, size) => this.#writeDma(offset, value, size),
        endianness: "big",
      }),
    );
  }

  /**
   * Gives the guest an item under one of the specification's fixed keys.
   * @throws RangeError if the key is not below that of the first file
   */
  addItem(key: number, bytes: Uint8Array): void {
    if (!Number.isInteger(key) || key < 0 || key >= KEY_FIRST_FILE || key === KEY_FILE_DIRECTORY) {
      throw new RangeError(`fw_cfg key 0x${key.toString(16)} is not for an item`);
    }
    this.#items.set(key, bytes);
  }

  /**
   * Gives the guest a file.
   * @param name `etc/...` for the board's own, `opt/...` for a user's; at most 55 ASCII characters
   * @throws UserError if the name is not valid or is there already, or there are too many files
   */
  addFile(name: string, bytes: Uint8Array): void {
    if (!/^[\x21-\x7e]+$/.test(name) || name.length > MAX_NAME_LENGTH) {
      throw new UserError(
        `fw_cfg file ${JSON.stringify(name)}: expected a name of 1 to ${MAX_NAME_LENGTH} ASCII characters`,
      );
    }
    if (this.#files.some((file) => file.name === name)) throw new UserError(`fw_cfg file "${name}" is there already`);
    const slots = Math.min(this.getNumber("x-file-slots"), MAX_FILES);
    if (this.#files.length >= slots) {
      throw new UserError(
        `fw_cfg file "${name}": all ${slots} slots are taken, see ${this.typeInfo.name}.x-file-slots`,
      );
    }
    this.#files.push({ name, bytes });
    this.#files.sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#items.set(KEY_FILE_DIRECTORY, fileDirectory(this.#files));
  }

  override resetEnter(): void {
    this.#select(KEY_SIGNATURE);
    this.#dmaHigh = 0;
  }

  #select(key: number): void {
    this.#key = key & ~KEY_WRITE_CHANNEL;
    this.#offset = 0;
  }

  /** The selected item; without bytes if there is none. */
  get #item(): Uint8Array {
    return this.#items.get(this.#key) ?? this.#files[this.#key - KEY_FIRST_FILE]?.bytes ?? NO_BYTES;
  }

  /** The next bytes of the item, the first one lowest; zeros after its end. */
  #readData(offset: number, size: number): number {
    if (offset !== 0) refuse(offset);
    const item = this.#item;
    let value = 0;
    for (let i = 0; i < size && this.#offset < item.length; i++) value |= item[this.#offset++]! << (8 * i);
    return value >>> 0;
  }

  // --- DMA

  #writeDma(offset: number, value: number, size: number): void {
    if (size !== 4) refuse(offset);
    if (offset === 0) {
      this.#dmaHigh = value;
      return;
    }
    const address = this.#dmaHigh * 2 ** 32 + value;
    this.#dmaHigh = 0;
    this.#transfer(address);
  }

  /**
   * Does what the descriptor at `address` says. All of it comes from the guest: descriptor and target must lie in RAM
   * as a whole, so nothing else can be reached and the work is bounded by the size of RAM.
   */
  #transfer(address: number): void {
    const { memory } = this.host;
    const bytes = memory.ramAt(address, DESCRIPTOR_SIZE);
    if (bytes === undefined) {
      this.guestError(`DMA descriptor at 0x${address.toString(16)} is not in RAM`);
      return;
    }
    const descriptor = new DataView(bytes.buffer, bytes.byteOffset, DESCRIPTOR_SIZE);
    const control = descriptor.getUint32(0);
    const length = descriptor.getUint32(4);
    const target = Number(descriptor.getBigUint64(8));
    if ((control & DMA_SELECT) !== 0) this.#select(control >>> 16);
    let status = 0;
    if ((control & DMA_READ) !== 0) {
      status = this.#readInto(target, length) ? 0 : DMA_ERROR;
    } else if ((control & DMA_WRITE) !== 0) {
      this.guestError(`DMA write to item 0x${this.#key.toString(16)}, which is read-only`);
      status = DMA_ERROR;
    } else if ((control & DMA_SKIP) !== 0) {
      this.#offset = Math.min(this.#offset + length, this.#item.length);
    }
    // The guest waits for this word to change; it may lie in what was just read into.
    descriptor.setUint32(0, status);
    memory.ramWritten(address, 4);
  }

  /** Copies the next `length` bytes of the item into RAM, zeros after its end. False if the target is not RAM. */
  #readInto(target: number, length: number): boolean {
    if (length === 0) return true;
    const into = this.host.memory.ramAt(target, length);
    if (into === undefined) {
      this.guestError(`DMA target 0x${target.toString(16)} with ${length} bytes is not in RAM`);
      return false;
    }
    const item = this.#item;
    const available = Math.min(length, item.length - this.#offset);
    into.set(item.subarray(this.#offset, this.#offset + available));
    into.fill(0, available);
    this.#offset += available;
    this.host.memory.ramWritten(target, length);
    return true;
  }

  // --- snapshot, device tree

  /** Items and files are the board's configuration, not state. */
  override save(): FwCfgState {
    return { version: 1, key: this.#key, offset: this.#offset, dmaHigh: this.#dmaHigh };
  }

  override load(saved: unknown): void {
    const state = checkState<FwCfgState>(saved, 1);
    this.#select(state.key & 0xffff);
    this.#offset = Math.min(state.offset >>> 0, this.#item.length);
    this.#dmaHigh = state.dmaHigh >>> 0;
  }

  override describe(context: FdtContext): void {
    context.root
      .child(`fw-cfg@${context.base.toString(16)}`)
      .prop("compatible", "qemu,fw-cfg-mmio")
      .prop("reg", cells64(context.base, TREE_SIZE))
      .prop("dma-coherent", true);
  }
}

/** The directory of files: their number, then for each its size, key, two bytes of nothing and its name. */
function fileDirectory(files: readonly FwCfgFile[]): Uint8Array {
  const bytes = new Uint8Array(4 + files.length * DIRECTORY_ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, files.length);
  for (const [index, file] of files.entries()) {
    const entry = 4 + index * DIRECTORY_ENTRY_SIZE;
    view.setUint32(entry, file.bytes.length);
    view.setUint16(entry + 4, KEY_FIRST_FILE + index);
    bytes.set(ascii.encode(file.name), entry + 8);
  }
  return bytes;
}

function bigEndian(bytes: Uint8Array, offset: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value = (value << 8) | bytes[offset + i]!;
  return value >>> 0;
}

/** Fails the access. */
function refuse(offset: number): never {
  throw new BusError(offset, "access");
}
