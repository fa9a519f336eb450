// A running machine in a test: its console, memory and devices, and copies of it. docs/testing.md, docs/design/snapshot.md.

import type { OverlayBlock, OverlayState } from "../backend/block-overlay.ts";
import type { MemoryChardev } from "../backend/chardev-memory.ts";
import type { FunctionSymbol } from "../boards/loader/elf-symbols.ts";
import type { Device, ShutdownReason, SysBusDevice } from "../device/device.ts";
import type { DeviceDefinition } from "../device/model/define-device.ts";
import { DefinedDevice, type SwapReport } from "../device/model/defined-device.ts";
import type { PropertySpecs } from "../device/model/properties.ts";
import type { RegisterSpecs } from "../device/model/registers.ts";
import type { IrqNames, IrqSpecs } from "../device/model/spec.ts";
import { devicesBelow } from "../device/reset.ts";
import type { Machine } from "../machine/machine.ts";
import type { MachineState } from "../machine/snapshot.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { DeviceTrace, type TraceSettings } from "./device-trace.ts";
import { GuestConsole } from "./guest-console.ts";

/** A machine and what belongs to it alone. */
export interface VmParts {
  readonly machine: Machine;
  readonly console: MemoryChardev;
  /** Its disks, by drive. */
  readonly disks: ReadonlyMap<string, OverlayBlock>;
  /** Complaints about the guest, in its words; emptied when the machine becomes another one. */
  readonly guestErrors: string[];
  /** Cuts connections to the outside, which no copy can have, and begins anew. */
  reconnect?(): Promise<void>;
  close(): void;
}

/** Makes machines that are built the same. */
export interface VmFactory {
  make(): Promise<VmParts>;
  /** When the last of its machines is gone. */
  close(): void;
}

/** What can be traced: a device by its definition, id, type, or the board's name for it. */
export type Traceable = string | { readonly typeInfo: TypeInfo };

/** A machine and its disks at one moment. */
interface VmState {
  readonly machine: MachineState;
  /** What defines its devices, by path: a swap may have changed it. */
  readonly definitions: ReadonlyMap<string, TypeInfo<DefinedDevice>>;
  readonly disks: ReadonlyMap<string, OverlayState>;
}

/** Idle machines that are kept at most, for forks to come. */
const MAX_IDLE = 4;

/** The machines of a family: a booted one and its forks. A machine is costly to make, so those that are done with are used again. */
class VmPool {
  readonly #factory: VmFactory;
  readonly #idle: VmParts[] = [];
  #used = 0;

  constructor(factory: VmFactory) {
    this.#factory = factory;
  }

  async take(): Promise<VmParts> {
    this.#used++;
    try {
      return this.#idle.pop() ?? (await this.#factory.make());
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Gives a machine back; one that is good for nothing any more with `broken`. */
  give(parts: VmParts, broken: boolean): void {
    if (broken || this.#idle.length >= MAX_IDLE) parts.close();
    else this.#idle.push(parts);
    this.#leave();
  }

  /** Makes a machine ready to become `state` quickly. */
  async prepare(state: VmState): Promise<void> {
    const parts = await this.#factory.make();
    loadState(parts, state);
    this.#idle.push(parts);
  }

  #leave(): void {
    if (--this.#used > 0) return;
    for (const parts of this.#idle.splice(0)) parts.close();
    this.#factory.close();
  }
}

function saveState({ machine, disks }: VmParts): VmState {
  const definitions = new Map(
    definedDevices(machine).map(({ path, typeInfo }) => [path, typeInfo as TypeInfo<DefinedDevice>]),
  );
  return { definitions, machine: machine.save(), disks: new Map([...disks].map(([id, disk]) => [id, disk.save()])) };
}

function loadState({ machine, disks, guestErrors, console }: VmParts, state: VmState): void {
  console.discardInput();
  guestErrors.length = 0;
  for (const [id, disk] of disks) disk.load(state.disks.get(id)!);
  for (const device of definedDevices(machine)) {
    const typeInfo = state.definitions.get(device.path);
    if (typeInfo !== undefined && typeInfo !== device.typeInfo) machine.swap(device, { typeInfo });
  }
  machine.load(state.machine);
}

function definedDevices(machine: Machine): DefinedDevice[] {
  return devicesBelow(machine.board.object).filter((device) => device instanceof DefinedDevice);
}

/** Guest memory as a test sees it: physical addresses, as a device would reach them by DMA. */
export interface VmMemory {
  /** @throws BusError where nothing is mapped */
  read(address: number | bigint, length: number): Uint8Array;
  /** @throws BusError where nothing is mapped */
  write(address: number | bigint, bytes: Uint8Array): void;
}

/**
 * A machine that runs, until it is disposed of.
 *
 * @example
 * await using vm = await boot();
 * await using copy = await vm.fork();
 * expect((await copy.console.run("devmem 0x4000000")).output).toBe("0xBA000001\n");
 */
export class Vm implements AsyncDisposable {
  readonly console: GuestConsole;
  readonly memory: VmMemory;
  /** How the guest ended: undefined if the test did it. Rejects when a device model throws. */
  readonly ended: Promise<ShutdownReason | undefined>;
  readonly #parts: VmParts;
  readonly #pool: VmPool;
  #over = false;
  #broken = false;
  #disposed: Promise<void> | undefined;
  #leaving = false;
  readonly #traces = new Set<DeviceTrace>();
  #moduleSymbols: readonly FunctionSymbol[] = [];
  /** How many want time to pass, which matters to a machine whose runs repeat: it stands still while nobody does. */
  #wanted = 0;
  #resume: (() => void) | undefined;

  private constructor(parts: VmParts, pool: VmPool, parent?: GuestConsole) {
    this.#parts = parts;
    this.#pool = pool;
    this.console = new GuestConsole(parts.console, parent);
    if (this.#exact) this.console.onWaiting = (waiting) => this.#want(waiting ? 1 : -1);
    const { memory } = parts.machine;
    this.memory = {
      read(address, length) {
        const bytes = new Uint8Array(length);
        memory.readBytes(address, bytes);
        return bytes;
      },
      write: (address, bytes) => memory.writeBytes(address, bytes),
    };
    this.ended = this.#run();
    // Whoever waits for the console hears of it; nobody has to wait for the end.
    this.ended.catch(() => {});
  }

  /** Starts a machine, the first of a family. */
  static async start(factory: VmFactory): Promise<Vm> {
    const pool = new VmPool(factory);
    return new Vm(await pool.take(), pool);
  }

  /** The machine itself: harts, clock, events. */
  get machine(): Machine {
    return this.#parts.machine;
  }

  /** What the guest did wrongly, as devices and the bus said. */
  get guestErrors(): readonly string[] {
    return this.#parts.guestErrors;
  }

  /**
   * A device of the machine: by its id or by the name of its type, or by what defined it, which gives its own type.
   * @throws UserError if there is none or more than one
   * @example
   * vm.device(bananaDma).registers.STATUS.BUSY;
   * vm.device<typeof bananaDma>("dma0").registers.STATUS.BUSY;
   */
  device<T extends Device>(which: { readonly typeInfo: TypeInfo<T> }): T;
  device<D extends { readonly typeInfo: TypeInfo<Device> } = { readonly typeInfo: TypeInfo<Device> }>(
    which: string,
  ): D extends { readonly typeInfo: TypeInfo<infer T> } ? T : Device;
  device(which: string | { readonly typeInfo: TypeInfo }): Device {
    const devices = devicesBelow(this.machine.board.object);
    const name = typeof which === "string" ? which : which.typeInfo.name;
    const named = typeof which === "string" ? devices.filter((device) => device.id === name) : [];
    const found = named.length > 0 ? named : devices.filter((device) => device.typeInfo.name === name);
    if (found.length === 1) return found[0]!;
    if (found.length > 1)
      throw new UserError(
        `the machine has ${found.length} devices of type "${name}": give yours an id and ask for that`,
      );
    const names = devices.flatMap((device) => [device.id, device.typeInfo.name]).filter((known) => known !== "");
    throw new UserError(`the machine has no device "${name}"${didYouMean(name, names)}`);
  }

  /**
   * Records what happens to devices: accesses with the guest's place and registers by name, interrupts, DMA, timers. With
   * `run` until that has ended, otherwise until `stop`; in any case until the machine is disposed of. Of this machine only,
   * not of forks. While nothing is traced it costs nothing.
   *
   * @param which a definition, an id, a type, the board's name (`uart0`, `plic`), or several of them
   * @throws UserError when there is no such device
   * @example
   * const trace = await vm.trace(bananaDma, () => vm.console.run("insmod /lib/banana-dma.ko"));
   * expect(trace).not.toHaveTouched("KEY");
   */
  trace<R extends RegisterSpecs, P extends PropertySpecs, const I extends IrqSpecs, S extends object>(
    which: DeviceDefinition<R, P, I, S>,
    settings?: TraceSettings,
  ): DeviceTrace<R, IrqNames<I>>;
  trace<R extends RegisterSpecs, P extends PropertySpecs, const I extends IrqSpecs, S extends object>(
    which: DeviceDefinition<R, P, I, S>,
    run: () => unknown,
    settings?: TraceSettings,
  ): Promise<DeviceTrace<R, IrqNames<I>>>;
  trace(which: Traceable | readonly Traceable[], settings?: TraceSettings): DeviceTrace;
  trace(which: Traceable | readonly Traceable[], run: () => unknown, settings?: TraceSettings): Promise<DeviceTrace>;
  trace(
    which: Traceable | readonly Traceable[],
    runOrSettings?: (() => unknown) | TraceSettings,
    settings?: TraceSettings,
  ): DeviceTrace | Promise<DeviceTrace> {
    if (this.#leaving) throw new UserError("this machine was disposed of");
    const several = Array.isArray(which) ? (which as readonly Traceable[]) : [which as Traceable];
    const devices = several.map((one) =>
      typeof one === "string" ? one : (this.device(one as { readonly typeInfo: TypeInfo<Device> }) as SysBusDevice),
    );
    const isRun = typeof runOrSettings === "function";
    const trace = DeviceTrace.start(this.machine, devices, isRun ? settings : runOrSettings, () => this.#moduleSymbols);
    this.#traces.add(trace);
    return isRun ? this.#traceWhile(trace, runOrSettings) : trace;
  }

  /**
   * Learns the functions of a loaded kernel module, from the guest's /proc/kallsyms: traces, those from before too, then have
   * names for them. Forks know them as well. Of the kernel itself they are known anyway.
   * @throws Error if the guest does not tell
   * @example await vm.moduleSymbols("banana_dma");
   */
  async moduleSymbols(module: string): Promise<void> {
    const name = module.replace(/\.ko$/, "").replaceAll("-", "_");
    if (!/^\w+$/.test(name)) throw new UserError(`moduleSymbols: ${JSON.stringify(module)} is no name of a module`);
    const { output } = await this.console.run(`grep '\\[${name}\\]$' /proc/kallsyms`);
    // Those that begin with a dot are labels of the compiler's.
    const lines = [...output.matchAll(/^([0-9a-f]+) [tTwW] ([^.$\s]\S*)\s+\[/gm)];
    const found = lines.map(([, value, label]) => ({
      name: `${label} [${name}]`,
      value: BigInt(`0x${value}`),
      size: 0n,
    }));
    if (found.every(({ value }) => value === 0n)) {
      const why = found.length === 0 ? "it is not loaded, or has no functions" : "kernel.kptr_restrict hides them";
      throw new Error(`moduleSymbols: the guest tells of no function of ${name}: ${why}`);
    }
    const others = this.#moduleSymbols.filter((symbol) => !symbol.name.endsWith(` [${name}]`));
    this.#moduleSymbols = [...others, ...found].sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
  }

  async #traceWhile(trace: DeviceTrace, run: () => unknown): Promise<DeviceTrace> {
    try {
      await run();
    } finally {
      trace.stop();
      this.#traces.delete(trace);
    }
    return trace;
  }

  /**
   * Puts another definition in the place of a device's while the guest runs: see `Machine.swap`. Forks made from now on have it.
   *
   * @param which the device, as for `device`
   * @returns the device by its new definition, and what is different
   * @throws UserError or DeviceError when that cannot be; the device then goes on as it was
   * @example const { device, changes } = vm.swap("banana-dma", betterBananaDma);
   */
  swap<R extends RegisterSpecs, S extends object>(
    which: string | { readonly typeInfo: TypeInfo },
    definition: { readonly typeInfo: TypeInfo<DefinedDevice<R, S>> },
  ): SwapReport & { readonly device: DefinedDevice<R, S> } {
    this.#checkRunning();
    const device =
      typeof which === "string" ? this.device(which) : this.device(which as { typeInfo: TypeInfo<Device> });
    if (!(device instanceof DefinedDevice)) {
      throw new UserError(`${device.typeInfo.name} is no device that defineDevice made: only those can be swapped`);
    }
    return this.machine.swap(device, definition);
  }

  /**
   * A copy of the machine as it is now, running: memory, harts, devices, disks, virtual time. Its console begins empty, its
   * network without connections, and what one of the two does the other never sees. To be disposed of like the first.
   * Milliseconds, where an earlier fork was disposed of or `boot` made a spare machine.
   */
  async fork(): Promise<Vm> {
    this.#checkRunning();
    const state = saveState(this.#parts);
    const parts = await this.#pool.take();
    try {
      loadState(parts, state);
      const copy = new Vm(parts, this.#pool, this.console);
      copy.#moduleSymbols = this.#moduleSymbols;
      return copy;
    } catch (error) {
      this.#pool.give(parts, true);
      throw error;
    }
  }

  /**
   * Lets virtual time pass: so many nanoseconds at least; under `icount` exactly so many, at an instruction's end.
   * @throws Error when the machine ends before
   * @example await vm.run(1e6); // a millisecond of the guest's time
   */
  async run(ns: number): Promise<void> {
    this.#checkRunning();
    if (!(ns >= 0)) throw new UserError(`vm.run(${ns}): expected a number of nanoseconds`);
    const { events } = this.machine;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = events.timer("vm.run", () => {
      this.#want(-1);
      resolve();
    });
    timer.after(ns);
    this.#want(1);
    const ended = this.ended.then((reason) => {
      throw new Error(`the machine ended while ${ns} ns should pass${reason === undefined ? "" : ` (${reason.kind})`}`);
    });
    try {
      await Promise.race([promise, ended]);
    } finally {
      timer.cancel();
    }
  }

  /** Makes spare machines, so that so many forks that run at the same time cost milliseconds from the first on. */
  async prepareForks(count: number): Promise<void> {
    this.#checkRunning();
    const state = saveState(this.#parts);
    for (let n = 0; n < count; n++) await this.#pool.prepare(state);
  }

  /** Ends the machine; what it had is given back when the promise resolves. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #run(): Promise<ShutdownReason | undefined> {
    try {
      let reason: ShutdownReason | undefined;
      do {
        if (this.#exact && this.#wanted === 0 && !this.#leaving) await this.#whenWanted();
        if (!this.#leaving) reason = await this.machine.run();
      } while (this.#exact && reason === undefined && !this.#leaving);
      this.#over = true;
      this.console.fail(
        new Error(reason === undefined ? "the machine was disposed of" : `the guest ended (${reason.kind})`),
      );
      return reason;
    } catch (error) {
      this.#over = true;
      this.#broken = true;
      this.console.fail(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  get #exact(): boolean {
    return this.machine.config.icount !== undefined;
  }

  #want(change: 1 | -1): void {
    this.#wanted += change;
    if (!this.#exact) return;
    if (this.#wanted === 0) this.machine.stop();
    else this.#resume?.();
  }

  #whenWanted(): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  #checkRunning(): void {
    if (this.#disposed !== undefined) throw new UserError("this machine was disposed of");
    if (this.#over) throw new UserError("this machine has ended: there is nothing to fork");
  }

  async #dispose(): Promise<void> {
    this.#leaving = true;
    this.machine.stop();
    this.#resume?.();
    await this.ended.catch(() => {});
    for (const trace of this.#traces) trace.stop();
    this.#parts.console.onOutput = () => {};
    await this.#parts.reconnect?.();
    this.#pool.give(this.#parts, this.#broken);
  }
}
