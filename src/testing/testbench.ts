// testbench: a device with nothing around it but memory, a clock that stands still, and ears. docs/design/device-kit.md.

import type { DeviceHost, ShutdownReason } from "../device/device.ts";
import type { DeviceDefinition } from "../device/model/define-device.ts";
import type { DefinedDevice } from "../device/model/defined-device.ts";
import type {
  ElementName,
  ElementOrField,
  RegisterAt,
  RegisterViews,
  ValueAt,
  WithoutIndex,
  WriteValue,
} from "../device/model/paths.ts";
import type { ChardevNames, PropertySpecs, PropertyValues } from "../device/model/properties.ts";
import { decodeField, type PlacedRegister, type RegisterMap } from "../device/model/register-map.ts";
import type { RegisterSpecs } from "../device/model/registers.ts";
import type { IrqNames, IrqSpecs } from "../device/model/spec.ts";
import { resetTree } from "../device/reset.ts";
import { AddressSpace } from "../memory/address-space.ts";
import type { AccessSize } from "../memory/io-callbacks.ts";
import { MemoryRegion } from "../memory/region.ts";
import type { PropertyValue } from "../qom/property.ts";
import { createObject } from "../qom/type-registry.ts";
import { ManualClock } from "../util/manual-clock.ts";
import { didYouMean } from "../util/nearest.ts";
import { BenchLine } from "./bench-line.ts";
import { type BenchAccess, type DeviceRecords, describeAccess, type IrqEdge, RegisterIndex } from "./records.ts";

/** Where the device is: away from everything that a test may put into RAM. */
const DEVICE_BASE = 0x10_0000_0000;
const RAM_BASE = 0x8000_0000;
const RAM_SIZE = 0x1_0000;
/** 2024-01-01 00:00:00 UTC, in nanoseconds since 1970. */
const START_OF_TIME = 1_704_067_200_000_000_000n;

/**
 * What a bench can be told.
 * @example testbench(bananaDma, {}, { ram: 1 << 20 })
 */
export interface TestbenchOptions {
  /** Bytes of RAM, from 0x8000_0000 on; 64 KiB unless given. */
  readonly ram?: number;
}

/**
 * RAM of a bench.
 * @example d.ram.at(0x8000_0000, 4).set([1, 2, 3, 4]);
 */
export interface BenchRam {
  /** The address of the first byte. */
  readonly base: bigint;
  readonly bytes: Uint8Array;
  /** `length` bytes at a physical address: a view, to be read and written. @throws RangeError if they are not RAM */
  at(address: number | bigint, length: number): Uint8Array;
}

/**
 * A device on a bench: see `testbench`.
 * @example
 * const d = testbench(bananaDma);
 * d.write("CTRL", { START: true });
 * d.run(100);
 */
export interface Testbench<
  R extends RegisterSpecs = RegisterSpecs,
  P extends PropertySpecs = PropertySpecs,
  I extends IrqSpecs = IrqSpecs,
  S extends object = object,
> extends DeviceRecords {
  readonly device: DefinedDevice<R, S>;
  readonly registerMap: RegisterMap;
  /** The registers as the model sees them: reading and assigning has no side effects, but interrupts follow. */
  readonly registers: RegisterViews<R>;
  /** The model's own variables. */
  readonly state: S;
  /** The level of each interrupt output. */
  readonly irq: { readonly [N in IrqNames<I>]: boolean };
  /** All edges of interrupt outputs so far. */
  readonly edges: readonly IrqEdge[];
  /** All accesses of the test so far. */
  readonly accesses: readonly BenchAccess[];
  /** What the device complained of, without its name. */
  readonly guestErrors: readonly string[];
  /** What the model said that it does not do. */
  readonly unimplemented: readonly string[];
  /** What the device asked the machine for. */
  readonly shutdowns: readonly ShutdownReason[];
  readonly ram: BenchRam;
  /** The other ends of the device's chardevs, by property. */
  readonly lines: { readonly [N in ChardevNames<P>]: BenchLine };
  /** The physical address of the device's region. */
  readonly base: bigint;
  /** Virtual time in nanoseconds. */
  readonly now: number;

  /** Reads a register as a driver does, or a field of it. */
  read<const N extends ElementOrField<R>>(name: N): ValueAt<R, WithoutIndex<N>>;
  /** Writes a register as a driver does: its value, or fields by name, the others being 0. */
  write<const N extends ElementName<R>>(name: N, value: WriteValue<RegisterAt<R, WithoutIndex<N>>>): void;
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  read64(offset: number): bigint;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
  write64(offset: number, value: bigint): void;

  /** Lets virtual time pass: timers on the way fire at their own time. */
  run(ns: number): void;
  /** Resets the device as a running machine does it; `cold` is power-on, which sticky bits do not survive. */
  reset(kind?: "warm" | "cold"): void;
  /** Forgets accesses, edges and complaints so far. */
  forget(): void;
  /** The device's state, as in a machine's snapshot. */
  save(): unknown;
  load(state: unknown): void;
  /** Another bench with the same device, memory and time, through a snapshot. */
  clone(): Testbench<R, P, I, S>;
}

/**
 * Puts a device on a bench: no harts, no machine, only memory and a clock that a test moves. Takes microseconds.
 *
 * @param properties those that are not to have their defaults; chardevs are there by themselves: see `lines`
 * @throws UserError if a property does not fit
 * @example
 * const d = testbench(bananaDma, { nsPerByte: 1 });
 * d.write("LEN", 4);
 * d.write("CTRL", { START: true, IRQ_EN: true });
 * d.run(4);
 * expect(d.irq.done).toBe(true);
 */
export function testbench<R extends RegisterSpecs, P extends PropertySpecs, I extends IrqSpecs, S extends object>(
  definition: DeviceDefinition<R, P, I, S>,
  properties: Partial<PropertyValues<P>> = {},
  options: TestbenchOptions = {},
): Testbench<R, P, I, S> {
  return new Bench(definition, properties, options) as unknown as Testbench<R, P, I, S>;
}

type AnyDefinition = DeviceDefinition<RegisterSpecs, PropertySpecs, IrqSpecs, object>;
type Register = PlacedRegister;

/** The bench behind the types: names are checked here too. */
class Bench implements DeviceHost {
  readonly registerMap: RegisterMap;
  readonly device: DefinedDevice;
  readonly clock = new ManualClock();
  readonly memory: AddressSpace;
  readonly log = { enabled: () => true, write: (item: string, line: string) => this.#hear(item, line) };
  readonly base = BigInt(DEVICE_BASE);
  readonly ram: BenchRam;
  readonly irq: Record<string, boolean>;
  readonly lines: Readonly<Record<string, BenchLine>>;
  edges: IrqEdge[] = [];
  highAtStart: string[] = [];
  begin = 0;
  accesses: BenchAccess[] = [];
  refusals: BenchAccess[] = [];
  guestErrors: string[] = [];
  unimplemented: string[] = [];
  shutdowns: ShutdownReason[] = [];

  readonly #definition: AnyDefinition;
  readonly #properties: Readonly<Record<string, unknown>>;
  readonly #options: TestbenchOptions;
  readonly #index: RegisterIndex;
  readonly #largest: number;
  #dice = 0x2545_f491;

  constructor(definition: object, properties: object, options: TestbenchOptions) {
    this.#definition = definition as AnyDefinition;
    this.#properties = properties as Readonly<Record<string, unknown>>;
    this.#options = options;
    const { registerMap, typeInfo } = this.#definition;
    this.registerMap = registerMap;
    this.#index = new RegisterIndex(registerMap);

    const system = MemoryRegion.container("system", 1n << 64n);
    this.memory = new AddressSpace(system, "memory", this.log);
    const bytes = new Uint8Array(options.ram ?? RAM_SIZE);
    system.addSubregion(BigInt(RAM_BASE), MemoryRegion.ram("ram", bytes));
    this.ram = { base: BigInt(RAM_BASE), bytes, at: (address, length) => ramAt(bytes, address, length) };

    const chardevs = registerMap.properties.filter((property) => property.type === "chardev");
    this.lines = Object.fromEntries(chardevs.map(({ name }) => [name, new BenchLine(name)]));
    this.device = createObject(typeInfo, { ...this.lines, ...(properties as Record<string, PropertyValue>) });
    this.irq = Object.fromEntries(registerMap.irqs.map(({ name }) => [name, false]));
    for (const [n, { name }] of registerMap.irqs.entries()) {
      this.device.connectIrq(n, (level) => this.#setLevel(name, level));
    }
    this.device.realize(this);
    const region = this.device.mmio[0]!;
    this.#largest = region.io!.validMax;
    system.addSubregion(this.base, region);
    resetTree(this.device);
  }

  get registers(): object {
    return this.device.registers;
  }

  get state(): object {
    return this.device.state;
  }

  get now(): number {
    return this.clock.now;
  }

  // --- accesses

  read(name: string): number | bigint | boolean | string {
    const register = this.#index.byName.get(name);
    if (register !== undefined) return this.#readRegister(register);
    const dot = name.lastIndexOf(".");
    const owner = this.#index.byName.get(name.slice(0, Math.max(dot, 0)));
    const field = owner?.info.fields.find((each) => each.name === name.slice(dot + 1));
    if (owner === undefined || field === undefined) return this.#unknown(name);
    const size = BigInt(field.msb - field.lsb + 1);
    const bits = (BigInt(this.#readRegister(owner)) >> BigInt(field.lsb)) & ((1n << size) - 1n);
    return decodeField(field, Number(bits));
  }

  write(name: string, value: unknown): void {
    const register = this.#index.byName.get(name) ?? this.#unknown(name);
    const bits = typeof value === "object" && value !== null ? joinFields(register, value) : BigInt(value as number);
    const { offset, info } = register;
    if (bits < 0n || bits >> BigInt(info.width) !== 0n) {
      throw new RangeError(`${name}: ${String(value)} does not fit in ${info.width} bits`);
    }
    const size = info.width / 8;
    const step = Math.min(size, this.#largest);
    for (let at = 0; at < size; at += step) {
      const shift = BigInt(8 * (this.#bigEndian ? size - step - at : at));
      this.#store(offset + at, step as AccessSize, BigInt.asUintN(8 * step, bits >> shift));
    }
  }

  #readRegister({ offset, info }: Register): number | bigint {
    const size = info.width / 8;
    const step = Math.min(size, this.#largest);
    let bits = 0n;
    for (let at = 0; at < size; at += step) {
      const shift = BigInt(8 * (this.#bigEndian ? size - step - at : at));
      bits |= BigInt(this.#load(offset + at, step as AccessSize)) << shift;
    }
    return info.width === 64 ? bits : Number(bits);
  }

  get #bigEndian(): boolean {
    return this.registerMap.endianness === "big";
  }

  read8 = (offset: number) => Number(this.#load(offset, 1));
  read16 = (offset: number) => Number(this.#load(offset, 2));
  read32 = (offset: number) => Number(this.#load(offset, 4));
  read64 = (offset: number) => BigInt(this.#load(offset, 8));
  write8 = (offset: number, value: number) => this.#store(offset, 1, BigInt.asUintN(8, BigInt(value)));
  write16 = (offset: number, value: number) => this.#store(offset, 2, BigInt.asUintN(16, BigInt(value)));
  write32 = (offset: number, value: number) => this.#store(offset, 4, BigInt.asUintN(32, BigInt(value)));
  write64 = (offset: number, value: bigint) => this.#store(offset, 8, BigInt.asUintN(64, BigInt(value)));

  /** A hart's load, but of a value in the device's byte order. */
  #load(offset: number, size: AccessSize): number | bigint {
    const low = this.memory.load(DEVICE_BASE + offset, size);
    const { fault, high } = this.memory;
    if (fault) {
      this.#noteRefused(false, offset, size, 0);
      throw new Error(this.#faultOf("read", offset, size));
    }
    const bits = this.#swapped((BigInt(high) << 32n) | BigInt(low), size);
    return this.#note(false, offset, size, size === 8 ? bits : Number(bits));
  }

  #store(offset: number, size: AccessSize, value: bigint): void {
    const bits = this.#swapped(value, size);
    const before = this.device.values;
    this.memory.store(DEVICE_BASE + offset, size, Number(bits & 0xffff_ffffn), Number(bits >> 32n));
    if (this.memory.fault) {
      this.#noteRefused(true, offset, size, Number(value));
      throw new Error(this.#faultOf("write", offset, size));
    }
    this.#note(true, offset, size, size === 8 ? value : Number(value), before);
  }

  /** A driver of a big-endian device swaps the bytes: the bus is little endian. */
  #swapped(value: bigint, size: number): bigint {
    if (!this.#bigEndian) return value;
    let swapped = 0n;
    for (let at = 0; at < size; at++) swapped = (swapped << 8n) | ((value >> BigInt(8 * at)) & 0xffn);
    return swapped;
  }

  #faultOf(what: string, offset: number, size: number): string {
    const bytes = `${size} byte${size === 1 ? "" : "s"}`;
    return `access fault: ${what} of ${bytes} at 0x${offset.toString(16)}: ${this.guestErrors.at(-1) ?? "refused"}`;
  }

  #note<V extends number | bigint>(
    write: boolean,
    offset: number,
    size: number,
    value: V,
    before?: BenchAccess["before"],
  ): V {
    const register = this.#index.at(offset)?.name;
    const access: BenchAccess = { write, register, offset, size, value, time: this.now };
    this.accesses.push(before === undefined ? access : { ...access, before });
    return value;
  }

  #noteRefused(write: boolean, offset: number, size: number, value: number): void {
    const register = this.#index.at(offset)?.name;
    const refused = this.guestErrors.at(-1) ?? "refused";
    this.refusals.push({ write, register, offset, size, value, time: this.now, refused });
  }

  #unknown(name: string): never {
    const type = this.#definition.type;
    throw new Error(`${type} has no register "${name}"${didYouMean(name, this.#index.byName.keys())}`);
  }

  // --- time and state

  run(ns: number): void {
    if (!(ns >= 0)) throw new RangeError(`run(${ns}): expected a number of nanoseconds`);
    this.clock.advance(ns);
  }

  reset(kind: "warm" | "cold" = "warm"): void {
    if (kind === "cold") this.device.powerOn();
    resetTree(this.device);
  }

  forget(): void {
    this.edges = [];
    this.highAtStart = Object.keys(this.irq).filter((name) => this.irq[name]);
    this.begin = this.now;
    this.accesses = [];
    this.refusals = [];
    this.guestErrors = [];
    this.unimplemented = [];
    this.shutdowns = [];
  }

  save(): unknown {
    return structuredClone(this.device.save());
  }

  load(state: unknown): void {
    this.device.load(structuredClone(state));
  }

  clone(): Bench {
    const copy = new Bench(this.#definition, this.#properties, this.#options);
    if (copy.device.typeInfo !== this.device.typeInfo) copy.device.swap(this.device);
    copy.clock.advance(this.now);
    copy.ram.bytes.set(this.ram.bytes);
    for (const [name, line] of Object.entries(this.lines)) copy.lines[name]!.copyFrom(line);
    copy.load(this.save());
    copy.#dice = this.#dice;
    copy.forget();
    return copy;
  }

  // --- the host of the device

  allocateRam(size: number): Uint8Array {
    return new Uint8Array(size);
  }

  wallClock(): bigint {
    return START_OF_TIME + BigInt(this.now);
  }

  shutdown(reason: ShutdownReason): void {
    this.shutdowns.push(reason);
  }

  /** The same numbers in every run. */
  random(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      this.#dice ^= this.#dice << 13;
      this.#dice ^= this.#dice >>> 17;
      this.#dice ^= this.#dice << 5;
      bytes[i] = this.#dice;
    }
  }

  #hear(item: string, line: string): void {
    const prefix = `${this.#definition.type}: `;
    const message = line.startsWith(prefix) ? line.slice(prefix.length) : line;
    if (item === "unimp") this.unimplemented.push(message);
    else this.guestErrors.push(message);
  }

  #setLevel(irq: string, level: boolean): void {
    if (this.irq[irq] !== level) this.edges.push({ irq, level, time: this.now });
    this.irq[irq] = level;
  }

  /** What a failed expectation prints of the bench. */
  toJSON(): object {
    return {
      device: this.#definition.type,
      now: this.now,
      registers: this.device.save().registers,
      irq: this.irq,
      guestErrors: this.guestErrors,
      accesses: this.accesses.map((access) => describeAccess(access, this.#index)),
    };
  }
}

function ramAt(bytes: Uint8Array, address: number | bigint, length: number): Uint8Array {
  const offset = Number(BigInt(address) - BigInt(RAM_BASE));
  if (!Number.isSafeInteger(length) || length < 0 || offset < 0 || offset + length > bytes.length) {
    const end = RAM_BASE + bytes.length;
    throw new RangeError(
      `ram.at(0x${address.toString(16)}, ${length}): RAM is 0x${RAM_BASE.toString(16)} to 0x${(end - 1).toString(16)}`,
    );
  }
  return bytes.subarray(offset, offset + length);
}

/** A register's value from fields by name. */
function joinFields({ name, info }: Register, fields: object): bigint {
  let value = 0n;
  for (const [key, given] of Object.entries(fields)) {
    const field = info.fields.find((each) => each.name === key);
    if (field === undefined) {
      throw new Error(
        `${name} has no field "${key}"${didYouMean(
          key,
          info.fields.map((each) => each.name),
        )}`,
      );
    }
    const bits = typeof given === "string" ? field.values?.[given] : Number(given);
    if (bits === undefined || !Number.isInteger(bits) || bits < 0 || bits >= 2 ** (field.msb - field.lsb + 1)) {
      throw new RangeError(`${name}.${key}: ${String(given)} is no value of the field`);
    }
    value |= BigInt(bits) << BigInt(field.lsb);
  }
  return value;
}
