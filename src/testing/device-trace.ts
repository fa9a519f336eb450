// What devices of a running machine did and had done to them, for assertions: vm.trace. docs/testing.md.

import type { FunctionSymbol } from "../boards/loader/elf-symbols.ts";
import type { DefinedDevice } from "../device/model/defined-device.ts";
import type { RegisterViews } from "../device/model/paths.ts";
import type { RegisterMap } from "../device/model/register-map.ts";
import type { RegisterSpecs } from "../device/model/registers.ts";
import type { Machine } from "../machine/machine.ts";
import type { TraceRecord } from "../trace/record.ts";
import { textOf } from "../trace/text-trace.ts";
import { type TracedDevice, traceDevices } from "../trace/trace.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import type { BenchAccess, DeviceRecords, IrqEdge } from "./records.ts";
import { globOf } from "./register-glob.ts";

/**
 * Which records are wanted: those that fit all that is given.
 * @example trace.filter({ register: "CH[*].CTRL", write: true })
 */
export interface TraceFilter {
  readonly kind?: TraceRecord["kind"] | readonly TraceRecord["kind"][];
  readonly device?: string;
  /** Accesses to it, and changes of it; `*` stands for anything. */
  readonly register?: string;
  readonly write?: boolean;
  /** The guest's function, as far as it is known; of a module's without the module's name. */
  readonly symbol?: string | RegExp;
}

/** What a trace can be told. */
export interface TraceSettings {
  /** Records that are kept at most: 100000 unless given. Those that come after are counted in `dropped`. */
  readonly limit?: number;
}

const LIMIT = 100_000;

/** Who is traced, as records call them. */
interface Subject {
  readonly name: string;
  readonly device: TracedDevice["device"];
  readonly registerMap: RegisterMap;
  readonly highAtStart: readonly string[];
}

/**
 * A trace: what happened, in order. It goes on until it is stopped, at the latest when its machine is disposed of.
 *
 * @example
 * const trace = await vm.trace(bananaDma, () => vm.console.run("insmod /lib/banana-dma.ko"));
 * expect(trace).toHaveAccessed([{ write: "CTRL", value: { START: true } }]);
 * console.log(`${trace}`);
 */
export class DeviceTrace<R extends RegisterSpecs = RegisterSpecs, I extends string = string>
  implements Iterable<TraceRecord>, Disposable, DeviceRecords
{
  /** All of them so far, of all devices. */
  readonly records: readonly TraceRecord[];
  /** Virtual time when it began. */
  readonly begin: number;
  /** For types only. */
  declare readonly irqNames: I;
  readonly #subjects: readonly Subject[];
  readonly #counter: { dropped: number };
  readonly #clock: () => number;
  #stop: () => void;
  #end: number | undefined;

  private constructor(
    kept: TraceRecord[],
    subjects: readonly Subject[],
    begin: number,
    counter: { dropped: number },
    clock: () => number,
    stop: () => void,
  ) {
    this.records = kept;
    this.#subjects = subjects;
    this.begin = begin;
    this.#counter = counter;
    this.#clock = clock;
    this.#stop = stop;
  }

  /** Begins one. @throws UserError when there is no such device */
  static start<R extends RegisterSpecs, I extends string>(
    machine: Machine,
    which: Parameters<typeof traceDevices>[1],
    { limit = LIMIT }: TraceSettings = {},
    symbols?: () => readonly FunctionSymbol[],
  ): DeviceTrace<R, I> {
    const kept: TraceRecord[] = [];
    const counter = { dropped: 0 };
    let subjects: Subject[] = [];
    const { end } = traceDevices(
      machine,
      which,
      (devices) => {
        subjects = devices.map(({ name, device, observation }) => ({
          name,
          device,
          get registerMap() {
            return observation.registerMap;
          },
          highAtStart: Object.entries(device.irqLevels).flatMap(([irq, level]) => (level ? [irq] : [])),
        }));
        return {
          write(record) {
            if (kept.length >= limit) counter.dropped++;
            // The bytes are only lent.
            else kept.push(record.kind === "dma" ? { ...record, bytes: record.bytes.slice() } : record);
          },
        };
      },
      { before: true, ...(symbols === undefined ? {} : { symbols }) },
    );
    return new DeviceTrace<R, I>(kept, subjects, machine.now, counter, () => machine.now, end);
  }

  /** Ends it; what it has stays. */
  stop(): this {
    this.#end ??= this.#clock();
    this.#stop();
    this.#stop = () => {};
    return this;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  [Symbol.iterator](): Iterator<TraceRecord> {
    return this.records[Symbol.iterator]();
  }

  /** Records that there was no room for. Matchers refuse a trace with such. */
  get dropped(): number {
    return this.#counter.dropped;
  }

  /** Virtual time, until which it goes. */
  get now(): number {
    return this.#end ?? this.#clock();
  }

  /** The text that `-trace` prints. */
  toString(): string {
    return this.records.map((record) => `${textOf(record)}\n`).join("");
  }

  /** Some of the records so far, as a trace. */
  filter(wanted: TraceFilter | ((record: TraceRecord) => boolean)): DeviceTrace<R, I> {
    const { device } = typeof wanted === "function" ? {} : wanted;
    const fits = typeof wanted === "function" ? wanted : fitsOf(wanted);
    const subjects = device === undefined ? this.#subjects : [this.#subject(device)];
    const end = this.now;
    const counter = { dropped: this.dropped };
    const clock = () => end;
    return new DeviceTrace<R, I>(this.records.filter(fits), subjects, this.begin, counter, clock, () => {});
  }

  /** What there is of one of several devices. @throws UserError when the trace is not of it */
  of(device: string): DeviceTrace {
    return this.filter({ device }) as unknown as DeviceTrace;
  }

  #subject(name: string): Subject {
    const found = this.#subjects.find((subject) => subject.name === name);
    if (found !== undefined) return found;
    const names = this.#subjects.map((subject) => subject.name);
    throw new UserError(
      `the trace has no device "${name}"${didYouMean(name, names) || ` (it is of ${names.join(", ")})`}`,
    );
  }

  // --- as matchers look at it: one device

  get #only(): Subject {
    const [only, ...others] = this.#subjects;
    if (only !== undefined && others.length === 0) {
      if (this.dropped === 0) return only;
      throw new UserError(
        `the trace is not whole: ${this.dropped} records found no room: expected a shorter trace, or a higher limit`,
      );
    }
    const names = this.#subjects.map(({ name }) => name);
    throw new UserError(
      `the trace is of ${names.join(", ")}: say of which device this is to be asked: trace.of("${names[0]}")`,
    );
  }

  get registerMap(): RegisterMap {
    return this.#only.registerMap;
  }

  /** The registers as they are now; none for devices that `defineDevice` did not make. */
  get registers(): RegisterViews<R> {
    return ((this.#only.device as DefinedDevice<R>).registers ?? {}) as RegisterViews<R>;
  }

  get highAtStart(): readonly string[] {
    return this.#only.highAtStart;
  }

  get accesses(): readonly BenchAccess[] {
    this.#only;
    return this.records.flatMap((record): BenchAccess[] => {
      if (record.kind !== "access") return [];
      const { time, origin, write, registers, offset, size, value, bus, before } = record;
      return [{ write, register: registers[0]?.name, offset, size, value, time, origin, bus, before }];
    });
  }

  get refusals(): readonly BenchAccess[] {
    this.#only;
    return this.records.flatMap((record): BenchAccess[] => {
      if (record.kind !== "refused") return [];
      const { time, origin, write, registers, offset, size, reason } = record;
      return [{ write, register: registers[0], offset, size, value: 0, time, origin, refused: reason }];
    });
  }

  get edges(): readonly IrqEdge[] {
    this.#only;
    return this.records.flatMap((record) =>
      record.kind === "irq" ? [{ irq: record.irq, level: record.level, time: record.time, origin: record.origin }] : [],
    );
  }

  get guestErrors(): readonly string[] {
    this.#only;
    return this.records.flatMap((record) => (record.kind === "guestError" ? [record.message] : []));
  }

  /** What a failed expectation prints of it. */
  toJSON(): object {
    return { devices: this.#subjects.map(({ name }) => name), records: this.toString().split("\n") };
  }
}

function fitsOf({ kind, device, register, write, symbol }: TraceFilter): (record: TraceRecord) => boolean {
  const kinds = kind === undefined ? undefined : [kind].flat();
  const glob = register === undefined ? undefined : globOf(register);
  return (record) =>
    (kinds === undefined || kinds.includes(record.kind)) &&
    (device === undefined || record.device === device) &&
    (glob === undefined || namesOf(record).some((name) => glob.test(name))) &&
    (write === undefined || ("write" in record && record.write === write)) &&
    (symbol === undefined || isIn(record, symbol));
}

function namesOf(record: TraceRecord): readonly string[] {
  if (record.kind === "access") return record.registers.map(({ name }) => name);
  if (record.kind === "refused") return record.registers;
  return record.kind === "change" ? [record.name] : [];
}

function isIn({ origin }: TraceRecord, symbol: string | RegExp): boolean {
  const name = origin?.symbol?.replace(/(\+0x[0-9a-f]+)?( \[\w+\])?$/, "") ?? "";
  return typeof symbol === "string" ? name === symbol : symbol.test(name);
}
