// MemoryRegion: QEMU's model of an address map as a tree of regions, each at an offset in its container.

import { QomObject } from "../qom/object.ts";
import { objectType, type TypeInfo } from "../qom/type-info.ts";
import { IoCallbacks, type MemoryRegionOps } from "./io-callbacks.ts";

/** The type of memory regions in the composition tree. */
const memoryRegionType: TypeInfo = { name: "memory-region", parent: objectType };

/** Makes RAM that the engine can reach directly. */
export type RamAllocator = (size: number) => Uint8Array;

export type MemoryRegionKind = "io" | "ram" | "rom" | "container" | "alias";

/** The part of another region that an alias shows. */
export interface AliasTarget {
  readonly region: MemoryRegion;
  readonly offset: bigint;
}

interface Contents {
  readonly bytes?: Uint8Array;
  readonly io?: IoCallbacks;
  readonly target?: AliasTarget;
}

const LARGEST = 1n << 64n;

/**
 * A piece of an address map. Make one with a static function:
 *
 * @example
 * const system = MemoryRegion.container("system", 1n << 64n);
 * system.addSubregion(0x4000000n, MemoryRegion.io("banana_rom", 0x100, { read: () => 0xba000001 }));
 */
export class MemoryRegion extends QomObject {
  readonly name: string;
  /** In bytes; 2^64 for a container of everything. */
  readonly size: bigint;
  readonly kind: MemoryRegionKind;
  /** What a ram or rom region holds. */
  readonly bytes?: Uint8Array;
  /** The callbacks of an io region. */
  readonly io?: IoCallbacks;
  /** What an alias shows. */
  readonly target?: AliasTarget;

  #enabled = true;
  #container: MemoryRegion | undefined;
  #offset = 0n;
  #priority = 0;
  /** In the order they hide each other: higher priority first, among equals the later added first. */
  readonly #subregions: MemoryRegion[] = [];
  /** Told of every change below this region: the container, aliases of this region, address spaces. */
  readonly #observers = new Set<() => void>();

  private constructor(kind: MemoryRegionKind, name: string, size: number | bigint, contents: Contents = {}) {
    super(memoryRegionType);
    this.kind = kind;
    this.name = name;
    this.size = BigInt(size);
    if (this.size <= 0n || this.size > LARGEST) {
      throw new RangeError(`memory region ${name}: a size of ${size} bytes is not between 1 and 2^64`);
    }
    if (contents.bytes !== undefined) this.bytes = contents.bytes;
    if (contents.io !== undefined) this.io = contents.io;
    if (contents.target !== undefined) this.target = contents.target;
  }

  /** Registers: every access calls `ops`. */
  static io(name: string, size: number | bigint, ops: MemoryRegionOps): MemoryRegion {
    return new MemoryRegion("io", name, size, { io: new IoCallbacks(name, ops) });
  }

  /** Memory, usually bytes from the machine's RamAllocator. */
  static ram(name: string, bytes: Uint8Array): MemoryRegion {
    return new MemoryRegion("ram", name, bytes.length, { bytes });
  }

  /** Memory that the guest cannot change: its writes are ignored and logged as guest errors. */
  static rom(name: string, bytes: Uint8Array): MemoryRegion {
    return new MemoryRegion("rom", name, bytes.length, { bytes });
  }

  /** Nothing but a place for other regions. */
  static container(name: string, size: number | bigint): MemoryRegion {
    return new MemoryRegion("container", name, size);
  }

  /** A window of `size` bytes on `target` from `offset` on. */
  static alias(name: string, target: MemoryRegion, offset: bigint, size: bigint): MemoryRegion {
    const alias = new MemoryRegion("alias", name, size, { target: { region: target, offset } });
    target.observe(() => alias.#changed());
    return alias;
  }

  /** A disabled region, with all in it, is not there. */
  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(enabled: boolean) {
    if (enabled === this.#enabled) return;
    this.#enabled = enabled;
    this.#changed();
  }

  /** The region that this one was added to. */
  get container(): MemoryRegion | undefined {
    return this.#container;
  }

  /** Where it is in its container, in bytes from the container's start. */
  get offset(): bigint {
    return this.#offset;
  }

  /** Its priority in its container. */
  get priority(): number {
    return this.#priority;
  }

  /** The regions in this one, those that hide others first. */
  get subregions(): readonly MemoryRegion[] {
    return this.#subregions;
  }

  /**
   * Puts `region` at `offset` bytes from this region's start. Where regions overlap, the one of higher priority shows;
   * among equals the one added last. Subregions hide what this region itself has there.
   */
  addSubregion(offset: bigint, region: MemoryRegion, priority = 0): void {
    if (region.#container !== undefined) {
      throw new Error(`memory region ${region.name} is already in ${region.#container.name}`);
    }
    if (region.#shows(this)) throw new Error(`memory region ${region.name} would contain itself`);
    const index = this.#subregions.findIndex((other) => priority >= other.priority);
    this.#subregions.splice(index < 0 ? this.#subregions.length : index, 0, region);
    region.#container = this;
    region.#offset = offset;
    region.#priority = priority;
    this.#changed();
  }

  /** Takes `region` out again. */
  removeSubregion(region: MemoryRegion): void {
    if (region.#container !== this) throw new Error(`memory region ${region.name} is not in ${this.name}`);
    this.#subregions.splice(this.#subregions.indexOf(region), 1);
    region.#container = undefined;
    region.#offset = 0n;
    region.#priority = 0;
    this.#changed();
  }

  /** Calls `observer` after every change of what this region shows. */
  observe(observer: () => void): void {
    this.#observers.add(observer);
  }

  #changed(): void {
    for (const observer of this.#observers) observer();
    if (this.#container !== undefined) this.#container.#changed();
  }

  /** Whether `region` is this one or shows in it: a loop that rendering would not come out of. */
  #shows(region: MemoryRegion): boolean {
    if (region === this) return true;
    if (this.target?.region !== undefined) return this.target.region.#shows(region);
    return this.#subregions.some((subregion) => subregion.#shows(region));
  }
}
