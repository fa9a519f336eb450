// A device made of a definition: what a machine realizes, resets, saves and describes like any other.

import { cells, cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { IrqLine } from "../../util/irq.ts";
import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import { SysBusDevice } from "../device.ts";
import type { FdtContext } from "../fdt-context.ts";
import { checkState } from "../snapshot.ts";
import { createContext, isAsync, isEdge } from "./context.ts";
import { DefinitionError, DeviceError } from "./device-error.ts";
import type { Cell } from "./layout.ts";
import { type Blueprint, Model } from "./model.ts";
import { checkTimer, type TimerState } from "./model-timer.ts";
import type { DeviceObserver } from "./observer.ts";
import type { RegisterViews } from "./paths.ts";
import type { PropertySpecs, PropertyValues } from "./properties.ts";
import type { RegisterMap } from "./register-map.ts";
import type { RegisterSpecs } from "./registers.ts";
import { siteOf } from "./source-line.ts";
import type { AnySpec } from "./spec.ts";

/** The state of a device in a snapshot: all of it by name. */
interface SavedDevice {
  readonly version: 1;
  readonly registers: Readonly<Record<string, number | bigint>>;
  /** Those that are armed. */
  readonly timers: Readonly<Record<string, TimerState>>;
  readonly fifos: Readonly<Record<string, readonly number[]>>;
  /** The author's own. */
  readonly state: object;
}

/** A definition, worked out: what its devices share. */
export interface Design extends Blueprint {
  readonly spec: AnySpec;
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
  readonly #design: Design;
  readonly #lines: readonly IrqLine[];
  #model: Model | undefined;
  #props: Readonly<Record<string, unknown>> = {};
  #state: object = {};
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
    return this.#running.views as RegisterViews<R>;
  }

  /** The names of everything, and where it is. */
  get registerMap(): RegisterMap {
    return this.#design.layout.map;
  }

  /** The model's own variables. */
  get state(): S {
    return this.#state as S;
  }

  /**
   * Tells `observer` of every access, interrupt edge and so on, until the function that it returns is called. May begin
   * before `realize`. Reads of the guest are slower meanwhile.
   */
  observe(observer: DeviceObserver): () => void {
    this.#observers.set(observer, this.#model?.observe(observer) ?? (() => {}));
    return () => {
      this.#observers.get(observer)?.();
      this.#observers.delete(observer);
    };
  }

  get #running(): Model {
    if (this.#model === undefined) throw new Error(`${this.typeInfo.name} has no registers before it is realized`);
    return this.#model;
  }

  // --- life

  protected override onRealize(): void {
    const { spec, type, mmio } = this.#design;
    const irqs = this.irqNames.map((name, n) => ({
      name,
      label: `irq.${name}`,
      drive: this.#lines[n]!,
      condition: undefined,
      level: false,
    }));
    const model = new Model(this.#design, this.host, irqs, (name, fire) => this.timer(name, fire));
    const names = Object.keys(spec.properties ?? {});
    this.#props = Object.freeze(Object.fromEntries(names.map((name) => [name, this.get(name)])));
    this.#state = this.#freshState(model);
    this.#setUp(model);
    for (const observer of this.#observers.keys()) this.#observers.set(observer, model.observe(observer));
    model.start();
    this.#model = model;
    const { valid, impl, endianness } = mmio;
    const limits = { ...(valid && { valid }), ...(impl && { impl }), ...(endianness && { endianness }) };
    this.initMmio(MemoryRegion.io(type, mmio.size, { ...model.ops, ...limits }));
    for (const stream of model.streams) stream.attach();
    if (model.streams.length > 0) this.#inputWanted = this.timer("accept input", () => this.#acceptInput());
  }

  #inputWanted: { after(ns: number): void } | undefined;

  #acceptInput(): void {
    for (const stream of this.#model?.streams ?? []) stream.acceptInput();
  }

  #setUp(model: Model): void {
    const { spec, type } = this.#design;
    if (spec.setup !== undefined) {
      const parts = { type, model, host: this.host, irqs: spec.irqs ?? [], props: this.#props, state: this.#state };
      const context = createContext({ ...parts, strictly: this.#trial });
      const late = "setup cannot be async: a device is there at once";
      if (isAsync(spec.setup)) throw new DefinitionError(`${type}: ${late}${siteOf(spec)}`);
      try {
        const result: unknown = (spec.setup as unknown as (context: unknown) => unknown)(context);
        if (typeof (result as { then?: unknown } | undefined)?.then === "function") throw new TypeError(late);
      } catch (error) {
        if (error instanceof UserError) throw error;
        throw new DeviceError(type, "setup", error);
      }
    }
    for (const [n, irq] of model.irqs.entries()) {
      if (isEdge(spec.irqs![n]!) || irq.condition !== undefined) continue;
      const hint = spec.setup === undefined ? "there is no setup" : "setup never says";
      throw new DefinitionError(
        `${type}: ${irq.label} is declared but never driven: ${hint} irq.${irq.name}(() => condition)${siteOf(spec)}`,
      );
    }
  }

  protected override onUnrealize(): void {
    this.#model?.stop();
  }

  protected override takeOff(): void {
    super.takeOff();
    this.#model = undefined;
    this.#inputWanted = undefined;
  }

  /** Puts the device into the state that it has when power comes on, sticky bits included. A reset has to follow. */
  powerOn(): void {
    this.#running.resetState(true);
  }

  override resetEnter(): void {
    this.#running.resetState(false);
    this.#before = { ...this.#state };
    this.#takeState(this.#freshState(this.#running));
  }

  override resetHold(): void {
    this.#running.driveLines();
  }

  override resetExit(): void {
    this.#running.resetDone(this.#before);
  }

  #freshState(model: Model): object {
    const make = this.#design.spec.state;
    return make === undefined ? {} : (model.call("state", make) as object);
  }

  /** Puts variables into the object that callbacks hold. */
  #takeState(state: object): void {
    const own = this.#state as Record<string, unknown>;
    for (const key of Object.keys(own)) if (!Object.hasOwn(state, key)) delete own[key];
    Object.assign(own, state);
  }

  // --- snapshot

  override save(): SavedDevice {
    const { file, timers, fifos } = this.#running;
    const armed = [...timers].map(([name, timer]) => [name, timer.save()] as const);
    return {
      version: 1,
      registers: Object.fromEntries(file.layout.cells.map((cell) => [cell.name, file.valueOf(cell)])),
      timers: Object.fromEntries(armed.filter((entry): entry is [string, TimerState] => entry[1] !== undefined)),
      fifos: Object.fromEntries([...fifos].map(([name, fifo]) => [name, fifo.save()])),
      state: structuredClone(this.#state),
    };
  }

  override load(saved: unknown): void {
    const { registers, timers, fifos, state } = checkState<SavedDevice>(saved, 1);
    const model = this.#running;
    const { layout } = model.file;
    checkNames("register", registers, layout.byName.keys(), true);
    checkNames("timer", timers, model.timers.keys(), false);
    checkNames("fifo", fifos, model.fifos.keys(), true);
    if (typeof state !== "object" || state === null) throw new UserError("it has no variables by name");
    const values = Object.entries(registers).map(([name, value]) => checkValue(layout.byName.get(name)!, value));
    for (const [name, timer] of Object.entries(timers)) checkTimer(name, timer);
    for (const [name, items] of Object.entries(fifos)) model.fifos.get(name)!.check(items);

    // Nothing can be refused from here on but an enum's value, and registers go back then.
    const before = model.file.words.slice();
    try {
      for (const { cell, value } of values) model.file.setValue(cell, value);
    } catch (error) {
      model.file.words.set(before);
      throw new UserError((error as Error).message);
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
    const { spec, layout } = this.#design;
    const { compatible, irqs } = layout.map;
    if (compatible.length === 0) return;
    const { node: name = this.typeInfo.name, properties, describe } = spec.deviceTree ?? {};
    const { base, size } = context;
    const node = context.soc
      .child(`${name}@${base.toString(16)}`)
      .prop("compatible", compatible)
      .prop("reg", cells64(base, size));
    if (context.irqs.length > 0) {
      node.prop("interrupt-parent", context.interruptParent).prop("interrupts", cells(...context.irqs));
      const names = irqs.slice(0, context.irqs.length).map((irq) => irq.name);
      if (irqs.length > 1) node.prop("interrupt-names", names);
    }
    try {
      const props = this.#props as PropertyValues<PropertySpecs>;
      const more = typeof properties === "function" ? properties(props) : (properties ?? {});
      for (const [key, value] of Object.entries(more)) node.prop(key, value);
      describe?.(node, context, props);
    } catch (error) {
      throw this.#running.explain("deviceTree", error);
    }
  }
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
