// A machine: a board, harts, a clock, and the loop that runs them. docs/design/machine.md.

import type { Board, BoardInfo } from "../boards/board.ts";
import { checkRamSize } from "../boards/ram-size.ts";
import { type Device, type DeviceHost, type ShutdownReason, SysBusDevice } from "../device/device.ts";
import type { DefinedDevice, SwapReport } from "../device/model/defined-device.ts";
import type { RegisterSpecs } from "../device/model/registers.ts";
import { inlineCompiler } from "../jit/compiler.ts";
import { RegionCache } from "../jit/tier1.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import type { PropertyValue, ReferenceResolver } from "../qom/property.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import { createObject } from "../qom/type-registry.ts";
import { Engine } from "../riscv/engine.ts";
import type { Hart } from "../riscv/hart.ts";
import { EXIT } from "../riscv/layout.ts";
import { trapLine } from "../riscv/trap-log.ts";
import { EventQueue } from "../util/clock.ts";
import type { Log } from "../util/log.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import type { DeviceConfig, MachineConfig, MachineHost, PlacedDevice } from "./config.ts";
import { extensionsOf, isaOf } from "./cpu.ts";
import { MemoryImager } from "./memory-image.ts";
import { breathe, Sleeper } from "./pause.ts";
import { checkFits, loadParts, type MachineShape, type MachineState, saveParts } from "./snapshot.ts";
import { instructionTime, type MachineTime, RepeatableRandom, realTime, SLICE_NS } from "./time.ts";

/** A WebAssembly memory has 4 GiB; tables, decoded code and ROMs take their part. */
const MAX_RAM = 3 * 2 ** 30;
/** Room for the board's ROMs beside RAM. */
const ROM_BYTES = 8 << 20;
/** A device model failed: its own error, with where the guest was. */
export class ModelError extends Error {
  constructor(cause: unknown, where: string) {
    super(`${cause instanceof Error ? cause.message : String(cause)} (${where})`, { cause });
    this.name = "ModelError";
    if (cause instanceof Error && cause.stack) this.stack = `${this.message}\n${cause.stack}`;
  }
}

/**
 * Makes a machine: the board with its devices, ready to run.
 *
 * @throws UserError when the configuration asks for something that does not exist or does not fit
 */
export function createMachine(config: MachineConfig, host: MachineHost, boards: readonly BoardInfo[]): Machine {
  const info = boards.find((board) => board.name === config.machine.type);
  if (info === undefined) {
    const names = boards.map((board) => board.name);
    throw new UserError(`-M ${config.machine.type}: there is no such machine${didYouMean(config.machine.type, names)}`);
  }
  return new Machine(config, host, info);
}

/** Where a device goes that a program adds, and what it is to be like. */
export interface AddOptions {
  /** Physical address of its region, or of each of its regions; `auto` unless given. */
  readonly addr?: number | bigint | readonly (number | bigint)[] | "auto";
  /** Inputs of the interrupt controller, one for each of its outputs; `auto` unless given. */
  readonly irq?: number | readonly number[] | "auto";
  readonly id?: string;
  readonly properties?: Readonly<Record<string, PropertyValue>>;
}

/** A device that a program brings along, as a machine takes it. */
export function placedDevice(type: TypeInfo, options: AddOptions, where: string): PlacedDevice {
  const { addr = "auto", irq = "auto", id, properties = {} } = options;
  const addresses = addr === "auto" ? addr : (Array.isArray(addr) ? addr : [addr]).map(BigInt);
  const irqs = irq === "auto" || Array.isArray(irq) ? (irq as "auto" | readonly number[]) : [irq as number];
  return { type, properties, place: { addresses, irqs }, where, ...(id === undefined ? {} : { id }) };
}

/** A machine, from its making to its end. */
export class Machine {
  readonly board: Board;
  readonly engine: Engine;
  readonly events: EventQueue;
  readonly memory: AddressSpace;
  readonly system = MemoryRegion.container("system", 1n << 64n);
  readonly config: MachineConfig;

  readonly #host: MachineHost;
  readonly #sleeper = new Sleeper();
  readonly #time: MachineTime;
  readonly #regions: RegionCache | undefined;
  readonly #images: MemoryImager;
  readonly #shape: MachineShape;
  /** Chance and the time of day at the start, for a machine whose runs must repeat. */
  readonly #random = new RepeatableRandom();
  #started: bigint;
  #pending: ShutdownReason | undefined;
  #stop = false;
  #ran = false;
  /** Whether a device is another one than the device tree says. */
  #swapped = false;
  #running: Hart | undefined;

  constructor(config: MachineConfig, host: MachineHost, info: BoardInfo) {
    this.config = config;
    this.#host = host;
    const { icount } = config;
    this.#time =
      icount === undefined
        ? realTime(() => host.monotonic())
        : instructionTime(icount.shift, icount.sleep, () => host.monotonic());
    this.#started = host.wallClock();
    const log = this.#located(host.log);
    this.memory = new AddressSpace(this.system, "memory", log);
    this.events = new EventQueue(() => this.#time.now());
    const extensions = extensionsOf(config.cpu);
    checkRamSize(config.memory, MAX_RAM);
    this.engine = new Engine({
      harts: config.smp.cpus,
      ramBytes: config.memory + ROM_BYTES,
      space: this.memory,
      time: () => this.#ticks(),
      extensions,
      ...(host.modules === undefined ? {} : { modules: host.modules }),
    });
    this.#images = new MemoryImager(this.engine);
    this.#shape = {
      board: info.name,
      harts: config.smp.cpus,
      extensions: [...extensions].join(" "),
      memory: config.memory,
      ...(icount === undefined ? {} : { icount: icount.shift }),
    };
    const deviceHost: DeviceHost = {
      clock: this.events,
      log,
      memory: this.memory,
      allocateRam: this.engine.allocateRam,
      // A run that must repeat sees nothing of the host's clock and chance but the hour at which it began.
      wallClock: () => (icount === undefined ? host.wallClock() : this.#started + BigInt(this.events.now)),
      random: (bytes) => (icount === undefined ? host.random(bytes) : this.#random.fill(bytes)),
      shutdown: (reason) => this.#shutdown(reason),
    };
    const isa = isaOf(extensions);
    this.board = info.create({
      host: deviceHost,
      system: this.system,
      harts: this.engine.harts.map((hart) => ({
        mhartid: hart.index,
        isa,
        irqLine: (bit: number) => hart.irqLine(bit as 3 | 7 | 9 | 11),
      })),
      ramSize: config.memory,
      maxRamSize: MAX_RAM,
      serials: host.serials,
      properties: config.machine.properties,
      boot: { ...host, append: config.append },
      fwCfg: host.fwCfg,
    });
    for (const hart of this.engine.harts) this.#connectTimer(hart);
    this.board.timeBase.onTimeSet = () => {
      for (const hart of this.engine.harts) hart.timerChanged();
    };
    for (const device of config.devices) this.#addDevice(device, info);
    // Those whose places are free to choose go where the others are not.
    const choices = ({ place }: PlacedDevice) => Number(place.irqs === "auto") * 2 + Number(place.addresses === "auto");
    for (const device of (host.placed ?? []).toSorted((a, b) => choices(a) - choices(b))) this.#placeDevice(device);
    this.board.complete();
    if (log.enabled("int")) {
      this.engine.onTrap = (hart) => log.write("int", trapLine(hart));
      for (const hart of this.engine.harts) hart.traceTraps = true;
    }
    this.events.onEarlier = () => {
      this.#sleeper.wake();
      if (this.#time.exact) this.#running?.leave();
    };
    this.engine.onSlow = () => {
      if (this.#time.tooLong()) this.#running?.leave();
    };
    if (config.accel === "jit")
      this.#regions = new RegionCache(this.engine, (host.compiler ?? inlineCompiler)(this.engine), log, () =>
        host.monotonic(),
      );
    this.#reset();
  }

  /** Virtual time in nanoseconds. */
  get now(): number {
    return this.events.now;
  }

  /** The hart whose instruction runs now; undefined between slices, and for what timers do. */
  get running(): Hart | undefined {
    return this.#running;
  }

  /**
   * Adds a device to the board's bus, before the machine runs or is saved for the first time. Boot files and device tree are made anew.
   *
   * @param device what `defineDevice` returned, or anything else with the type of a device for the bus
   * @returns the device, to be looked at and observed
   * @throws UserError when its place is taken, a property does not fit, or the machine runs already
   * @example const dma = machine.add(bananaDma, { addr: 0x5000000n, irq: 40, properties: { nsPerByte: 5 } });
   */
  add<T extends SysBusDevice>(device: { readonly typeInfo: TypeInfo<T> }, options: AddOptions = {}): T {
    const type = device.typeInfo;
    const where = `machine.add(${type.name})`;
    if (this.#ran) throw new UserError(`${where}: the machine has run: its devices are what they are`);
    const added = this.#placeDevice(placedDevice(type, options, where)) as T;
    this.board.complete();
    this.#reset();
    return added;
  }

  /**
   * Puts another definition in the place of a device's, in the running machine: registers, fields, timers, queues and
   * variables go on where there still is one of their name, its lines follow at once. Between slices, as `save`. What the
   * device tree said stays said until the guest boots again.
   *
   * @param device one that `defineDevice` made, of this machine
   * @param definition what `defineDevice` returned
   * @returns the same device, by its new definition, and what is different
   * @throws UserError or DeviceError when the definition cannot take the place or its own code throws; the device then
   *   goes on as it was
   * @example const { changes } = machine.swap(device, betterBananaDma);
   */
  swap<R extends RegisterSpecs, S extends object>(
    device: DefinedDevice,
    definition: { readonly typeInfo: TypeInfo<DefinedDevice<R, S>> },
  ): SwapReport & { readonly device: DefinedDevice<R, S> } {
    this.#checkStill();
    const report = device.swap(definition);
    this.#swapped = true;
    return { ...report, device: device as DefinedDevice as DefinedDevice<R, S> };
  }

  /**
   * Runs until the guest ends the machine, or `stop` is called or a hart is at a breakpoint (undefined then).
   * @throws ModelError when a device model throws
   */
  async run(): Promise<ShutdownReason | undefined> {
    this.#stop = false;
    this.#ran = true;
    let breathed = this.#host.monotonic();
    for (;;) {
      this.#runEvents();
      if (this.#stop) return undefined;
      if (this.#pending !== undefined) {
        const end = await this.#handleShutdown(this.#pending);
        if (end !== undefined) return end;
        continue;
      }
      if (this.engine.harts.every((hart) => hart.waiting && !hart.interruptPending)) {
        await this.#time.idle(this.events.nextDeadline, this.#sleeper);
        // Where idle time passes at once, nobody else had a turn meanwhile.
        if (!this.#time.exact) breathed = this.#host.monotonic();
        else if (this.#host.monotonic() - breathed > SLICE_NS) {
          await breathe();
          breathed = this.#host.monotonic();
        }
        continue;
      }
      const room = this.#host.outputRoom?.();
      if (room !== undefined) {
        await this.#sleeper.until(room);
        continue;
      }
      this.#slice();
      if (this.#host.monotonic() - breathed > SLICE_NS) {
        await breathe();
        breathed = this.#host.monotonic();
      }
    }
  }

  /** Ends `run` soon, at an instruction's end. */
  stop(): void {
    this.#stop = true;
    this.#interrupt();
  }

  /** Frees what outlives the machine's own memory: threads. After `run`. */
  close(): void {
    this.#regions?.close();
  }

  /** What the guest's reset does, or the board's reset button. */
  reset(): void {
    this.#shutdown({ kind: "reset", status: 0 });
  }

  /**
   * The machine's whole state, for `load`. Between slices: whenever other code gets its turn while `run` goes on, or when
   * it has ended. Costs what was written to memory since the last `save` or `load`. Disks are not in it.
   * @throws UserError when the guest is about to reset or to power off
   */
  save(): MachineState {
    this.#checkStill();
    if (this.#pending !== undefined)
      throw new UserError(`there is no snapshot of a machine that is about to ${this.#pending.kind}`);
    return {
      ...saveParts(this.#shape, this.board.object, this.engine.harts),
      time: this.events.now,
      ...(this.config.icount === undefined
        ? {}
        : { repeatable: { random: this.#random.state, started: this.#started } }),
      memory: this.#images.save(),
    };
  }

  /**
   * Goes on from a state of this machine or of one that is built the same; virtual time goes on from there too.
   * @throws UserError if the state does not fit; when a device refuses its own, the machine is good for nothing but a
   *   reset or another `load`
   */
  load(state: MachineState): void {
    this.#checkStill();
    checkFits(state, this.#shape);
    this.#pending = undefined;
    this.#images.load(state.memory);
    this.#time.set(state.time);
    if (state.repeatable !== undefined) {
      this.#random.state = state.repeatable.random;
      this.#started = state.repeatable.started;
    }
    loadParts(state, this.board.object, this.engine.harts);
    this.#sleeper.wake();
  }

  #checkStill(): void {
    if (this.#running !== undefined)
      throw new Error("a machine cannot be saved, loaded or changed while one of its harts runs");
  }

  #reset(): void {
    // The guest boots again, and is told of the devices as they are now.
    if (this.#swapped) this.board.complete();
    this.#swapped = false;
    this.board.reset();
    for (const hart of this.engine.harts) hart.reset(BigInt(this.board.resetAddress));
    this.engine.dropCode();
  }

  /** Runs each hart that has something to do, in turn. */
  #slice(): void {
    this.#regions?.poll();
    const ready = this.engine.harts.filter((hart) => !hart.waiting || hart.interruptPending);
    const start = this.#host.monotonic();
    let done = 0;
    for (const hart of ready) {
      const budget = this.#time.slice(this.events.nextDeadline, ready.length);
      this.#time.turn(budget, hart.remaining);
      this.#running = hart;
      try {
        if (hart.run(budget) === EXIT.breakpoint) this.#stop = true;
      } catch (error) {
        throw this.#modelError(error, hart);
      } finally {
        this.#running = undefined;
        this.#time.turnEnds(budget, hart.remaining());
        done += budget - hart.remaining();
      }
      if (this.#stop || this.#pending !== undefined) break;
    }
    this.#time.sliceEnds(done, this.#host.monotonic() - start);
  }

  #runEvents(): void {
    try {
      this.events.runDue();
    } catch (error) {
      throw this.#modelError(error, undefined);
    }
  }

  #modelError(error: unknown, hart: Hart | undefined): unknown {
    if (error instanceof UserError || error instanceof ModelError) return error;
    const where = hart === undefined ? "in a timer of a device" : `hart ${hart.index} at pc 0x${hart.pc.toString(16)}`;
    return new ModelError(error, where);
  }

  #shutdown(reason: ShutdownReason): void {
    // The first reason counts: what a device says while the machine goes down is too late.
    this.#pending ??= reason;
    this.#interrupt();
  }

  #interrupt(): void {
    for (const hart of this.engine.harts) hart.leave();
    this.#sleeper.wake();
  }

  async #handleShutdown(reason: ShutdownReason): Promise<ShutdownReason | undefined> {
    this.#pending = undefined;
    if (reason.kind === "reset") {
      if (this.config.rebootAction === "shutdown") return { kind: "poweroff", status: 0 };
      this.#reset();
      return undefined;
    }
    if (this.config.shutdownAction === "pause") {
      while (!this.#stop) await this.#sleeper.sleep(Infinity);
    }
    return reason;
  }

  /** Ticks of the board's time base. */
  #ticks(): bigint {
    const ticks = Math.floor((this.events.now * this.board.timeBaseFrequency) / 1e9);
    return BigInt.asUintN(64, BigInt(ticks) + this.board.timeBase.timeOffset);
  }

  /** Sstc: STIP follows `time >= stimecmp`. */
  #connectTimer(hart: Hart): void {
    const timer = this.events.timer(`hart ${hart.index} stimecmp`, () => hart.timerChanged());
    hart.onWake = () => this.#sleeper.wake();
    hart.onTimerChanged = (deadline) => {
      if (deadline === undefined || hart.timerPending) {
        timer.cancel();
        return;
      }
      const ticks = BigInt.asUintN(64, deadline - this.board.timeBase.timeOffset);
      const ns = Number(ticks) * (1e9 / this.board.timeBaseFrequency);
      // Beyond what a number counts exactly (104 days) it never comes.
      if (ns < Number.MAX_SAFE_INTEGER) timer.at(ns);
      else timer.cancel();
    };
  }

  #addDevice(config: DeviceConfig, info: BoardInfo): void {
    const type = info.selects.find((candidate) => candidate.name === config.type);
    if (type === undefined) throw new UserError(`${config.where}: there is no device "${config.type}" on this board`);
    const { bus, ...own } = config.properties;
    const globals = this.config.globals
      .filter((g) => g.driver === config.type)
      .map((g) => [g.property, g.value] as const);
    const device = createObject(
      type,
      { ...Object.fromEntries(globals), ...own },
      this.#resolver(config.where),
    ) as Device;
    if (config.id !== undefined) device.id = config.id;
    this.board.plug(device, bus);
  }

  #placeDevice({ type, id, properties, place, where }: PlacedDevice): SysBusDevice {
    try {
      const device = createObject(type, properties, this.#resolver(where));
      if (!(device instanceof SysBusDevice)) throw new UserError(`${type.name} is not a device for the board's bus`);
      if (id !== undefined) device.id = id;
      this.board.place(device, place);
      return device;
    } catch (error) {
      if (!(error instanceof UserError) || error.message.startsWith(`${where}: `)) throw error;
      throw new UserError(`${where}: ${error.message}`, { cause: error });
    }
  }

  /** Finds what properties of a device refer to. */
  #resolver(where: string): ReferenceResolver {
    return (kind, id) => {
      const table = {
        drive: this.#host.drives,
        netdev: this.#host.netdevs,
        chardev: this.#host.chardevs,
        link: this.#host.rngs,
      }[kind] as ReadonlyMap<string, object>;
      const found = table.get(id);
      if (found === undefined)
        throw new UserError(`${where}: there is no ${kind} "${id}"${didYouMean(id, table.keys())}`);
      return found;
    };
  }

  /** A log whose guest errors say where the hart was that caused them. */
  #located(log: Log): Log {
    return {
      enabled: (item) => log.enabled(item),
      write: (item, line) => {
        const hart = this.#running;
        const where =
          hart !== undefined && item === "guest_errors" ? ` (hart ${hart.index}, pc 0x${hart.pc.toString(16)})` : "";
        log.write(item, line + where);
      },
    };
  }
}
