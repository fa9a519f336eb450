// A device made of a definition: what a machine realizes, resets, saves and describes like any other.

import type { Chardev } from "../../backend/chardev.ts";
import type { FdtNode } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { QomObject } from "../../qom/object.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import { createObject } from "../../qom/type-registry.ts";
import type { IrqLine } from "../../util/irq.ts";
import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import { SysBusDevice } from "../device.ts";
import type { FdtContext } from "../fdt-context.ts";
import { checkState } from "../snapshot.ts";
import { cellValue } from "./bits.ts";
import { definitionChanges, matchIrqs } from "./changes.ts";
import { isEdge } from "./context.ts";
import { describeLife, type NodePlace, nodeOf, treeChanges } from "./describe.ts";
import type { Cell } from "./layout.ts";
import { beginLife, type Design, freshState, type Life } from "./life.ts";
import { checkTimer, type TimerState } from "./model-timer.ts";
import type { DeviceObserver } from "./observer.ts";
import type { RegisterViews } from "./paths.ts";
import type { RegisterFile } from "./register-file.ts";
import type { RegisterMap } from "./register-map.ts";
import type { RegisterSpecs } from "./registers.ts";
import { StreamPort } from "./stream.ts";
import { startTimers, stopTimers, takeOver } from "./takeover.ts";

/** What the guest knows of a device. */
interface Told {
  readonly known: boolean;
  readonly node: FdtNode | undefined;
}

/**
 * What a swap of a device's definition came to, in short texts for people.
 * @example const { changes, losses, untold } = machine.swap(device, bananaDma);
 */
export interface SwapReport {
  /** What is different in the definition: `+ STATUS.ERROR (w1c at bit 2)`, `on.write("CTRL.START")`. */
  readonly changes: readonly string[];
  /** What was there and could not be kept: values that do not fit any more, timers that are gone. */
  readonly losses: readonly string[];
  /** What the device tree said otherwise when the guest booted; it is told when it boots again. */
  readonly untold: readonly string[];
}

/** The state of a device in a snapshot: all of it by name. */
interface SavedDevice {
  readonly version: 1;
  readonly registers: Readonly<Record<string, number | bigint>>;
  /** Bits that have been another value since the last reset, where what they are now does not show it. */
  readonly moved?: Readonly<Record<string, number | bigint>>;
  /** Those that are armed. */
  readonly timers: Readonly<Record<string, TimerState>>;
  readonly fifos: Readonly<Record<string, readonly number[]>>;
  /** The author's own. */
  readonly state: object;
}

/**
 * A device of a type that `defineDevice` made.
 *
 * @example
 * const dma = createObject(bananaDma.typeInfo, { nsPerByte: 5 });
 * dma.realize(host);
 * resetTree(dma);
 * dma.registers.STATUS.BUSY; // false
 */
export class DefinedDevice<R extends RegisterSpecs = RegisterSpecs, S extends object = object> extends SysBusDevice {
  #design: Design;
  #lines: readonly IrqLine[];
  #life: Life | undefined;
  /** The ends of chardevs that there were streams for. */
  readonly #ports = new Map<Chardev, StreamPort>();
  /** The variables as they were before a reset. */
  #before: object = {};
  readonly #observers = new Map<DeviceObserver, () => void>();
  /** Whether this device only finds out what its definition says: see `tryOut`. */
  readonly #trial: boolean;

  constructor(type: TypeInfo, design: Design, trial = false) {
    super(type);
    this.#design = design;
    this.#trial = trial;
    this.#lines = (design.spec.irqs ?? []).map((irq) => this.initIrq(isEdge(irq) ? irq.name : irq));
  }

  /** The registers by name: `registers.STATUS.DONE`, `registers.LEN.value`. From `realize` on. */
  get registers(): RegisterViews<R> {
    return this.#running.model.views as RegisterViews<R>;
  }

  /** The names of everything, and where it is. */
  get registerMap(): RegisterMap {
    return this.#design.layout.map;
  }

  /** What the registers hold, by name: `{ "CH[0].CTRL": 3 }`. Reading it has no effects. */
  get values(): Readonly<Record<string, number | bigint>> {
    return valuesOf(this.#running.model.file);
  }

  /** The model's own variables. */
  get state(): S {
    return (this.#life?.state ?? {}) as S;
  }

  /**
   * Tells `observer` of every access, interrupt edge and so on, until the function that it returns is called. May begin
   * before `realize`. Reads of the guest are slower meanwhile.
   */
  observe(observer: DeviceObserver): () => void {
    this.#observers.set(observer, this.#life?.model.observe(observer) ?? (() => {}));
    return () => {
      this.#observers.get(observer)?.();
      this.#observers.delete(observer);
    };
  }

  /** The author's callback that runs now, for somebody who looks in from outside; its number is another one when it is called again. */
  get doing(): { readonly label: string; readonly entry: number } | undefined {
    return this.#life?.model.doing;
  }

  get #running(): Life {
    if (this.#life === undefined) throw new Error(`${this.typeInfo.name} has no registers before it is realized`);
    return this.#life;
  }

  // --- life

  protected override onRealize(): void {
    const life = this.#begin(this.#design, this);
    life.lines = this.#lines;
    for (const observer of this.#observers.keys()) this.#observers.set(observer, life.model.observe(observer));
    this.#life = life;
    this.initMmio(regionOf(life));
    this.#connectStreams(life);
  }

  /** Begins a life in this device's machine. @param settings what has the values of the properties */
  #begin(design: Design, settings: QomObject): Life {
    const names = Object.keys(design.spec.properties ?? {});
    const props = Object.freeze(Object.fromEntries(names.map((name) => [name, settings.get(name)])));
    const owner = this.parent === undefined ? design.type : this.path;
    const makeTimer = (name: string, fire: () => void) => this.host.clock.timer(`${owner}/${name}`, fire);
    return beginLife(design, { host: this.host, props, makeTimer, trial: this.#trial });
  }

  /** Lets chardevs reach the streams of a life, and none of another one. */
  #connectStreams(life: Life | undefined): void {
    for (const port of this.#ports.values()) port.stream = undefined;
    for (const stream of life?.model.streams ?? []) {
      const { chardev } = stream;
      if (chardev === undefined) continue;
      const port = this.#ports.get(chardev);
      if (port !== undefined) {
        port.stream = stream;
        continue;
      }
      const made = new StreamPort();
      made.stream = stream;
      this.#ports.set(chardev, made);
      chardev.attach(made);
    }
    if (life !== undefined && life.model.streams.length > 0) {
      this.#inputWanted ??= this.timer("accept input", () => this.#acceptInput());
    }
  }

  #inputWanted: { after(ns: number): void } | undefined;

  #acceptInput(): void {
    for (const stream of this.#life?.model.streams ?? []) stream.acceptInput();
  }

  protected override onUnrealize(): void {
    this.#connectStreams(undefined);
    this.#life?.model.stop();
  }

  protected override takeOff(): void {
    super.takeOff();
    if (this.#life !== undefined) stopTimers(this.#life.model);
    this.#life = undefined;
    this.#inputWanted = undefined;
  }

  /**
   * Goes on by another definition: behaviour, registers and all else are those of the new one, and what the guest and the
   * model have put into registers, fields, timers, queues and variables stays where there still is one of its name. The
   * device keeps its place, its lines and those who listen to it. For `Machine.swap`, and for a device on a bench.
   *
   * @param definition what `defineDevice` returned
   * @throws UserError or DeviceError when the definition cannot take the place or its own code throws; the device then goes
   *   on as it was
   * @example const { changes } = device.swap(await import("./banana-dma-2.ts").then((file) => file.bananaDma));
   */
  swap(definition: { readonly typeInfo: TypeInfo }): SwapReport {
    const old = this.#running;
    const { type } = old.design;
    if (old.model.busy) throw new UserError(`${type}: there is no swap while one of its callbacks runs`);
    const next = createObject(definition.typeInfo);
    if (!(next instanceof DefinedDevice))
      throw new UserError(`${definition.typeInfo.name} is not made by defineDevice`);
    const losses = next.takeSettings(this);
    const life = this.#begin(next.#design, next);
    losses.push(...takeOver(old, life));
    const irqs = matchIrqs(old, life);
    const told = this.#told ?? this.#tell(old);
    let levels: readonly boolean[];
    let tree: string[];
    const timers = stopTimers(old.model);
    try {
      losses.push(...startTimers(life.model, timers));
      levels = life.model.rehearse(old.model);
      const wired = irqs.flatMap(({ name, from }) => {
        const output = this.wiredIrqs.find((irq) => irq.name === this.irqNames[from ?? -1]);
        return output === undefined ? [] : [{ name, input: output.input }];
      });
      tree = told.known ? treeChanges(told.node, this.#nodeOf(life, wired)) : [];
      // The last that can fail: something may be in the way of a larger region.
      this.replaceMmio(0, regionOf(life));
    } catch (error) {
      stopTimers(life.model);
      startTimers(old.model, timers);
      throw error;
    }

    const changes = definitionChanges(old, life);
    const unwired = irqs.filter(({ from }) => from === undefined).map(({ name }) => name);
    const before = old.model.irqs.map(({ level }) => level);
    old.lines = [];
    const left = this.#lines;
    this.#told = told;
    this.become(next);
    this.#design = life.design;
    this.#lines = this.replaceIrqs(irqs);
    life.lines = this.#lines;
    this.#life = life;
    this.#connectStreams(life);
    for (const [observer, end] of this.#observers) {
      end();
      this.#observers.set(observer, life.model.observe(observer));
    }
    const { file } = life.model;
    life.model.tell({ time: this.host.clock.now, changes, registerMap: file.layout.map, registers: valuesOf(file) });
    for (const [n, level] of before.entries()) if (level && !irqs.some(({ from }) => from === n)) left[n]!(false);
    life.model.takeLines(
      irqs.map(({ from }) => before[from ?? -1] ?? false),
      levels,
    );
    this.#inputWanted?.after(0);
    losses.push(...unwired.map((name) => `irq ${name} leads nowhere: lines are given out when the machine is made`));
    return { changes, losses, untold: tree };
  }

  /** The node that the guest was given when it booted: from the first swap on, until it is given another one. */
  #told: Told | undefined;

  #tell(life: Life): Told {
    try {
      return { known: true, node: this.#nodeOf(life, this.wiredIrqs) };
    } catch {
      // The author's own function wants more of the tree than its node: then nobody knows.
      return { known: false, node: undefined };
    }
  }

  #nodeOf(life: Life, irqs: NodePlace["irqs"]): FdtNode | undefined {
    const { layout } = life.design;
    return nodeOf(life, { base: this.mmio[0]?.offset ?? 0n, size: BigInt(layout.map.size), irqs });
  }

  /** Puts the device into the state that it has when power comes on, sticky bits included. A reset has to follow. */
  powerOn(): void {
    this.#running.model.resetState(true);
  }

  override resetEnter(): void {
    const { design, model, state } = this.#running;
    model.resetState(false);
    this.#before = { ...state };
    this.#takeState(freshState(design, model));
  }

  override resetHold(): void {
    this.#running.model.driveLines();
  }

  override resetExit(): void {
    this.#running.model.resetDone(this.#before);
  }

  /** Puts variables into the object that callbacks hold. */
  #takeState(state: object): void {
    const own = this.#running.state as Record<string, unknown>;
    for (const key of Object.keys(own)) if (!Object.hasOwn(state, key)) delete own[key];
    Object.assign(own, state);
  }

  // --- snapshot

  override save(): SavedDevice {
    const { model, state } = this.#running;
    const { file, timers, fifos } = model;
    const moved = movedBits(file);
    const armed = [...timers].map(([name, timer]) => [name, timer.save()] as const);
    return {
      version: 1,
      registers: valuesOf(file),
      ...(moved.length > 0 && { moved: Object.fromEntries(moved) }),
      timers: Object.fromEntries(armed.filter((entry): entry is [string, TimerState] => entry[1] !== undefined)),
      fifos: Object.fromEntries([...fifos].map(([name, fifo]) => [name, fifo.save()])),
      state: structuredClone(state),
    };
  }

  override load(saved: unknown): void {
    const { registers, moved = {}, timers, fifos, state } = checkState<SavedDevice>(saved, 1);
    const { model } = this.#running;
    const { layout, words } = model.file;
    checkNames("register", registers, layout.byName.keys(), true);
    checkNames("register", moved, layout.byName.keys(), false);
    checkNames("timer", timers, model.timers.keys(), false);
    checkNames("fifo", fifos, model.fifos.keys(), true);
    if (typeof state !== "object" || state === null) throw new UserError("it has no variables by name");
    const values = Object.entries(registers).map(([name, value]) => checkValue(layout.byName.get(name)!, value));
    const more = Object.entries(moved).map(([name, value]) => checkValue(layout.byName.get(name)!, value));
    for (const [name, timer] of Object.entries(timers)) checkTimer(name, timer);
    for (const [name, items] of Object.entries(fifos)) model.fifos.get(name)!.check(items);

    // Nothing can be refused from here on but an enum's value, and registers go back then.
    const before = [words.slice(), model.file.moved.slice()] as const;
    try {
      for (const { cell, value } of values) model.file.setValue(cell, value);
    } catch (error) {
      words.set(before[0]);
      model.file.moved.set(before[1]);
      throw new UserError((error as Error).message);
    }
    for (const [word, value] of words.entries()) model.file.moved[word] = value ^ layout.reset[word]!;
    for (const { cell, value } of more) {
      const bits = BigInt(value) << BigInt(cell.shift);
      model.file.moved[cell.word]! |= Number(bits & 0xffff_ffffn);
      if (cell.width === 64) model.file.moved[cell.word + 1]! |= Number(bits >> 32n);
    }
    for (const [name, timer] of model.timers) timer.load(timers[name]);
    for (const [name, fifo] of model.fifos) fifo.load(fifos[name]!);
    this.#takeState(structuredClone(state));
    // The host's input waits until all devices have their states.
    for (const stream of model.streams) stream.canReceive();
    model.driveLines();
    this.#inputWanted?.after(0);
  }

  // --- device tree

  override describe(context: FdtContext): void {
    this.#told = undefined;
    const wired = this.wiredIrqs.map(({ name }) => name);
    // Where nobody knows the inputs, the context counts the outputs from the first on.
    const names = wired.length > 0 ? wired : this.irqNames.slice(0, context.irqs.length);
    describeLife(this.#running, names, context);
  }
}

function regionOf({ design, model }: Life): MemoryRegion {
  const { valid, impl, endianness, size } = design.mmio;
  const limits = { ...(valid && { valid }), ...(impl && { impl }), ...(endianness && { endianness }) };
  return MemoryRegion.io(design.type, size, { ...model.ops, ...limits });
}

/** What the registers hold, by name. */
function valuesOf(file: RegisterFile): Record<string, number | bigint> {
  return Object.fromEntries(file.layout.cells.map((cell) => [cell.name, file.valueOf(cell)]));
}

/** Refuses names that are not there, and names that are missing if all have to be given. */
function checkNames(what: string, given: unknown, known: Iterable<string>, all: boolean): void {
  if (typeof given !== "object" || given === null) throw new UserError(`it has no ${what}s by name`);
  const names = new Set(known);
  for (const name of Object.keys(given)) {
    if (!names.has(name)) throw new UserError(`there is no ${what} ${name}${didYouMean(name, names)}`);
  }
  for (const name of names) {
    if (all && !Object.hasOwn(given, name)) throw new UserError(`the ${what} ${name} is missing`);
  }
}

function checkValue(cell: Cell, value: unknown): { readonly cell: Cell; readonly value: number | bigint } {
  const bits = typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value;
  const kind = cell.width === 64 ? "bigint" : "number";
  if (typeof bits !== "bigint" || bits < 0n || bits >> BigInt(cell.width) !== 0n || typeof value !== kind) {
    throw new UserError(`register ${cell.name} should be a ${kind} of ${cell.width} bits`);
  }
  return { cell, value: value as number | bigint };
}

/** The bits of registers that have moved and come back. */
function movedBits(file: RegisterFile): [name: string, bits: number | bigint][] {
  const { words, moved, layout } = file;
  if (moved.every((bits, word) => (bits & ~(words[word]! ^ layout.reset[word]!)) === 0)) return [];
  const hidden = (word: number) => (moved[word]! & ~(words[word]! ^ layout.reset[word]!)) >>> 0;
  const found = layout.cells.map((cell): [string, number | bigint] => [
    cell.name,
    cellValue(cell, hidden(cell.word), cell.width === 64 ? hidden(cell.word + 1) : 0),
  ]);
  return found.filter(([, bits]) => bits !== 0 && bits !== 0n);
}
