// Devices: objects with a life (realize, reset, unrealize) in a machine that hosts them. docs/design/device.md.

import type { AddressSpace } from "../memory/address-space.ts";
import { assertNoOverlap } from "../memory/overlap.ts";
import type { MemoryRegion, RamAllocator } from "../memory/region.ts";
import { QomObject } from "../qom/object.ts";
import type { PropertyValue, ReferenceResolver } from "../qom/property.ts";
import { objectType, type TypeInfo } from "../qom/type-info.ts";
import type { Clock, Timer } from "../util/clock.ts";
import type { IrqLine } from "../util/irq.ts";
import type { Log } from "../util/log.ts";
import { UserError } from "../util/user-error.ts";
import type { FdtContext } from "./fdt-context.ts";
import type { RegisterNames } from "./register-names.ts";

/** Why a machine stops: `status` is the exit status for the host. */
export interface ShutdownReason {
  readonly kind: "poweroff" | "reset" | "panic";
  readonly status: number;
}

/** What a machine offers its devices, and all that they know of it. */
export interface DeviceHost {
  readonly clock: Clock;
  readonly log: Log;
  /** System memory, for DMA. */
  readonly memory: AddressSpace;
  readonly allocateRam: RamAllocator;
  /** The time of day: nanoseconds since 1970. */
  wallClock(): bigint;
  /** Asks the machine to stop or reset at the next occasion. */
  shutdown(reason: ShutdownReason): void;
  /** Fills `bytes` with random numbers. */
  random(bytes: Uint8Array): void;
}

/** The type of all devices. */
export const deviceType: TypeInfo = { name: "device", parent: objectType, abstract: true };

/** The type of devices that sit on the board's bus, with regions and interrupt lines. */
export const sysBusDeviceType: TypeInfo = { name: "sys-bus-device", parent: deviceType, abstract: true };

/**
 * A device: what QEMU calls qdev.
 *
 * Its life: the constructor makes its parts, properties are set, `realize` connects it to a machine, resets bring it to
 * its initial state any number of times, `unrealize` takes it off again. Properties are fixed while it is realized.
 */
export abstract class Device extends QomObject {
  /** The name that the user gave it (`id=`), empty if none. */
  id = "";
  /** Told of what `guestError` logs, while somebody listens to the device. */
  readonly guestErrorListeners = new Set<(message: string) => void>();
  #host: DeviceHost | undefined;
  #realized = false;
  readonly #timers: Timer[] = [];

  /** The machine, from `onRealize` on. */
  get host(): DeviceHost {
    if (this.#host === undefined) throw new Error(`${this.typeInfo.name} has no machine before it is realized`);
    return this.#host;
  }

  get realized(): boolean {
    return this.#realized;
  }

  /**
   * Brings the device to life in a machine. If that fails, everything that `onRealize` had realized below it is
   * unrealized again and the device is as before.
   * @throws UserError if a property does not fit, or if it is realized already
   */
  realize(host: DeviceHost): void {
    if (this.#realized) throw new UserError(`${this.path} (${this.typeInfo.name}) is realized already`);
    this.#host = host;
    try {
      this.onRealize();
      this.#realized = true;
    } catch (error) {
      this.takeOff();
      throw error;
    }
  }

  /** Takes the device and those below it off the machine. Nothing happens if it is not realized. */
  unrealize(): void {
    if (!this.#realized) return;
    this.#realized = false;
    try {
      this.onUnrealize();
    } finally {
      this.takeOff();
    }
  }

  /** Checks the properties and takes up the machine's services; realizes the devices that this one is made of. */
  protected onRealize(): void {}

  /** Gives back what `onRealize` took, timers and devices below aside: they are taken off for it. */
  protected onUnrealize(): void {}

  /** A timer on the machine's clock that is cancelled when the device leaves. From `onRealize` on. */
  protected timer(name: string, fire: () => void): Timer {
    const owner = this.parent === undefined ? this.typeInfo.name : this.path;
    const timer = this.host.clock.timer(`${owner}/${name}`, fire);
    this.#timers.push(timer);
    return timer;
  }

  /** First phase of a reset: the device's own state, without effect on others. */
  resetEnter(): void {}

  /** Second phase, when all have entered: what others see, interrupt lines for instance. */
  resetHold(): void {}

  /** Last phase: what begins to run. */
  resetExit(): void {}

  /** The device's state for a snapshot: structured-clonable, an object with a `version`; undefined if it has none. */
  save(): unknown {
    return undefined;
  }

  /** Takes over a state that `save` returned. @throws UserError if it is not one */
  load(_state: unknown): void {}

  /** Logs that the guest used the device wrongly. */
  guestError(message: string): void {
    for (const listener of this.guestErrorListeners) listener(message);
    this.host.log.write("guest_errors", `${this.typeInfo.name}: ${message}`);
  }

  override set(name: string, value: PropertyValue, resolve?: ReferenceResolver): void {
    if (this.#realized) {
      throw new UserError(`${this.typeInfo.name}.${name} cannot be set any more: ${this.path} is realized`);
    }
    super.set(name, value, resolve);
  }

  override unparent(): void {
    this.unrealize();
    super.unparent();
  }

  /** What every unrealize does, and every realize that fails. */
  protected takeOff(): void {
    unrealizeBelow(this);
    for (const timer of this.#timers) timer.cancel();
    this.#timers.length = 0;
    this.#host = undefined;
  }
}

function unrealizeBelow(object: QomObject): void {
  for (const child of [...object.children.values()].reverse()) {
    if (child instanceof Device) child.unrealize();
    else unrealizeBelow(child);
  }
}

/** An interrupt output. */
interface IrqOutput {
  readonly name: string;
  line: IrqLine | undefined;
  /** The input of the interrupt controller behind the line, where it is one. */
  input: number | undefined;
  /** What the device said last. */
  level: boolean;
}

/** A device on the board's bus: memory-mapped regions, interrupt outputs, a device-tree node. */
export abstract class SysBusDevice extends Device {
  readonly #mmio: MemoryRegion[] = [];
  readonly #irqs: IrqOutput[] = [];
  /** How many of both the constructor made. */
  readonly #constructed = { mmio: 0, irqs: 0 };

  /** Told of every edge of an output, while somebody listens to the device. */
  readonly irqListeners = new Set<(irq: string, level: boolean) => void>();

  /** What its registers are called, for traces; undefined if nobody says. */
  registerNames?(): RegisterNames;

  /** The levels of the interrupt outputs by name. */
  get irqLevels(): Readonly<Record<string, boolean>> {
    return Object.fromEntries(this.#irqs.map(({ name, level }) => [name, level]));
  }

  /** The regions, in the order of `initMmio`; the board maps them. */
  get mmio(): readonly MemoryRegion[] {
    return this.#mmio;
  }

  /** The names of the interrupt outputs, in the order of `initIrq`. */
  get irqNames(): readonly string[] {
    return this.#irqs.map((irq) => irq.name);
  }

  /** The outputs that lead to inputs of the interrupt controller, in the order of `irqNames`. */
  get wiredIrqs(): readonly { readonly name: string; readonly input: number }[] {
    return this.#irqs.flatMap(({ name, input }) => (input === undefined ? [] : [{ name, input }]));
  }

  /**
   * Offers a region to the board. For the constructor, or `onRealize` where it depends on properties: such a region is
   * gone when the device is unrealized, as are all from the map.
   */
  protected initMmio(region: MemoryRegion): void {
    this.#mmio.push(this.addChild(`${region.name}[*]`, region));
  }

  /**
   * Makes an interrupt output: a function that the device calls with the level. It does nothing until connected.
   * For the constructor or `onRealize`, as `initMmio`.
   */
  protected initIrq(name = `irq${this.#irqs.length}`): IrqLine {
    return this.#addIrq({ name, line: undefined, input: undefined, level: false });
  }

  #addIrq(irq: IrqOutput): IrqLine {
    this.#irqs.push(irq);
    return (level) => {
      if (level !== irq.level) {
        irq.level = level;
        for (const listener of this.irqListeners) listener(irq.name, level);
      }
      irq.line?.(level);
    };
  }

  /** Connects interrupt output `n` to a line. @param input which input of the interrupt controller that is */
  connectIrq(n: number, line: IrqLine, input?: number): void {
    const irq = this.#irqs[n];
    if (irq === undefined) {
      throw new Error(`${this.typeInfo.name} has no interrupt ${n}: it has ${this.#irqs.length}`);
    }
    irq.line = line;
    irq.input = input;
  }

  /**
   * Puts other interrupt outputs in the place of those there are, on the lines that are connected.
   * @param outputs each with the number of the one whose line it takes over
   */
  protected replaceIrqs(outputs: readonly { readonly name: string; readonly from: number | undefined }[]): IrqLine[] {
    const before = this.#irqs.splice(0);
    this.#constructed.irqs = outputs.length;
    return outputs.map(({ name, from }) => {
      const { line, input } = (from === undefined ? undefined : before[from]) ?? {};
      return this.#addIrq({ name, line, input, level: false });
    });
  }

  /**
   * Puts a region in the place of another one, on the bus too.
   * @throws UserError if something else is in the way of a larger one; nothing has changed then
   */
  protected replaceMmio(n: number, region: MemoryRegion): void {
    const before = this.#mmio[n]!;
    const { container, offset, priority } = before;
    if (container !== undefined) {
      container.removeSubregion(before);
      try {
        assertNoOverlap(container, offset, region, priority);
        container.addSubregion(offset, region, priority);
      } catch (error) {
        container.addSubregion(offset, before, priority);
        throw error;
      }
    }
    before.unparent();
    this.#mmio[n] = this.addChild(`${region.name}[*]`, region);
  }

  /** Writes the device's node, or nodes, into the device tree. */
  describe?(context: FdtContext): void;

  override realize(host: DeviceHost): void {
    if (!this.realized) {
      this.#constructed.mmio = this.#mmio.length;
      this.#constructed.irqs = this.#irqs.length;
    }
    super.realize(host);
  }

  protected override takeOff(): void {
    super.takeOff();
    for (const region of this.#mmio) region.container?.removeSubregion(region);
    for (const region of this.#mmio.splice(this.#constructed.mmio)) region.unparent();
    this.#irqs.length = this.#constructed.irqs;
  }
}
