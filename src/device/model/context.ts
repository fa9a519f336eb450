// What a device's `setup` gets: functions that note what the author wants, and refuse what cannot be.

import type { Chardev, ChardevEvent } from "../../backend/chardev.ts";
import { didYouMean } from "../../util/nearest.ts";
import type { DeviceHost } from "../device.ts";
import { DefinitionError } from "./device-error.ts";
import { type FifoOptions, ModelFifo } from "./fifo.ts";
import type { Cell, CellField, Layout } from "./layout.ts";
import type { Model } from "./model.ts";
import type { Callback } from "./register-file.ts";
import { strict } from "./register-view.ts";
import { lineOf } from "./source-line.ts";
import type { Context, EdgeIrq, IrqSpecs } from "./spec.ts";
import { ModelStream, type StreamReceiver } from "./stream.ts";

/** What a name in a spec stands for. */
interface Target {
  /** All elements, of an array or bank. */
  readonly cells: readonly Cell[];
  /** By position among the fields; the register itself if undefined. */
  readonly field: number | undefined;
}

/** What a context is made of. */
export interface ContextParts {
  readonly type: string;
  readonly model: Model;
  readonly host: DeviceHost;
  readonly irqs: IrqSpecs;
  readonly props: Readonly<Record<string, unknown>>;
  readonly state: object;
  /** Whether names that there are not are complained of: costly, so only for the trial when defining. */
  readonly strictly: boolean;
}

/** Makes the context of one device. Its type is for the author; what comes here may be anything. */
export function createContext(parts: ContextParts): Context<unknown, unknown, IrqSpecs, object> {
  const { type, model, host, props } = parts;
  const { layout } = model.file;

  const complain = (message: string): never => {
    throw new DefinitionError(`${type}: ${message}${lineOf(new Error())}`);
  };
  const inSetup = (what: string) => {
    if (model.phase !== "setup") complain(`${what} outside setup: only setup says what happens`);
  };
  const checkCallback = (what: string, run: unknown) => {
    if (typeof run !== "function") complain(`${what} takes a function`);
    if (isAsync(run)) complain(`${what}: a callback cannot be async, nobody would wait for it`);
    model.callbacks.set(what, [...(model.callbacks.get(what) ?? []), run]);
  };
  const target = (what: string, name: string): Target => {
    inSetup(what);
    const found = typeof name === "string" ? find(layout, name) : undefined;
    return (
      found ??
      complain(`${what}: there is no register or field of that name${didYouMean(String(name), namesOf(layout))}`)
    );
  };
  /** Calls `add` for the register or field in each element. */
  const forEach = ({ cells, field }: Target, add: (cell: Cell, field: CellField | undefined) => void) => {
    for (const cell of cells) add(cell, field === undefined ? undefined : cell.fields[field]);
  };
  const first = ({ cells, field }: Target) => ({ cell: cells[0]!, access: accessOf(cells[0]!, field) });

  const onWrite = (event: "write" | "change") => (name: string, run: Callback) => {
    const label = `on.${event}("${name}")`;
    const found = target(label, name);
    checkCallback(label, run);
    const { cell, access } = first(found);
    if (access === undefined ? cell.readOnly : CANNOT_WRITE.has(access))
      complain(`${label}: the guest cannot write it`);
    if (event === "change" && access === "pulse") complain(`${label}: a pulse has no value to change: use on.write`);
    forEach(found, (each, field) => model.file.addWriteHook(each, { label, field, run, change: event === "change" }));
  };
  const addRead = (label: string, name: string, run: Callback, derived: boolean) => {
    const found = target(label, name);
    checkCallback(label, run);
    const { cell, access } = first(found);
    if (access === undefined ? cell.writeOnly : CANNOT_READ.has(access))
      complain(`${label}: the guest cannot read a value of it`);
    const writable = access === undefined ? !cell.readOnly : !CANNOT_WRITE.has(access);
    if (derived && writable) complain(`${label}: the guest can write it: only what is ro can be derived`);
    forEach(found, (each, field) => {
      const other = model.file.readHookOf(each, field);
      if (other !== undefined) complain(`${label}: ${other.label} already says what it reads as`);
      model.file.addReadHook(each, { label, field, run, derived });
    });
  };

  const on = {
    write: onWrite("write"),
    change: onWrite("change"),
    read: (name: string, run: Callback) => addRead(`on.read("${name}")`, name, run, false),
    reset: (run: Callback) => {
      inSetup("on.reset");
      checkCallback("on.reset", run);
      model.resetHandlers.push(run);
    },
  };

  const irq = Object.fromEntries(
    model.irqs.map((output, n) => {
      const spec = parts.irqs[n]!;
      if (isEdge(spec)) return [output.name, { pulse: () => model.pulse(output) }];
      const follow = (condition: () => boolean) => {
        inSetup(output.label);
        checkCallback(output.label, condition);
        if (output.condition !== undefined) complain(`${output.label} has a condition already: join them with ||`);
        output.condition = condition;
      };
      return [output.name, follow];
    }),
  );

  const timer = (name: string, run: () => unknown) => {
    inSetup(`timer "${name}"`);
    checkName("timer", name, model.timers);
    checkCallback(`timer "${name}"`, run);
    return model.makeTimer(name, run);
  };
  const fifo = (name: string, options: FifoOptions) => {
    inSetup(`fifo "${name}"`);
    checkName("fifo", name, model.fifos);
    try {
      const made = new ModelFifo(name, options, () => model.use());
      model.fifos.set(name, made);
      return made;
    } catch (error) {
      return complain(`fifo "${name}": ${(error as Error).message}`);
    }
  };
  const streamed = new Set<string>();
  const stream = (property: string, receiver?: StreamReceiver, onEvent?: (event: ChardevEvent) => unknown) => {
    inSetup(`stream "${property}"`);
    if (!Object.hasOwn(props, property)) {
      complain(`stream "${property}": there is no such property${didYouMean(property, Object.keys(props))}`);
    }
    if (streamed.has(property)) complain(`stream "${property}" is there already: a chardev has one end`);
    streamed.add(property);
    if (onEvent !== undefined) checkCallback(`stream "${property}"`, onEvent);
    const made = new ModelStream(property, props[property] as Chardev | undefined, receiver, onEvent, model);
    model.streams.push(made);
    return made;
  };
  const checkName = (what: string, name: unknown, taken: ReadonlyMap<string, unknown>) => {
    if (typeof name !== "string" || name === "") complain(`a ${what} needs a name to be saved by`);
    if (taken.has(name as string)) complain(`there are two ${what}s named "${String(name)}"`);
  };

  const named = <T extends object>(object: T, what: string): T =>
    parts.strictly ? strict(object, what, complain) : object;
  const context = {
    regs: named(model.views, "register"),
    props: named(props, "property"),
    state: parts.state,
    on,
    irq: named(irq, "irq"),
    dma: model.dma,
    derive: (name: string, run: Callback) => addRead(`derive("${name}")`, name, run, true),
    timer,
    fifo,
    stream,
    now: () => model.now,
    wallClock: () => host.wallClock(),
    random: (length: number) => {
      const bytes = new Uint8Array(length);
      host.random(bytes);
      return bytes;
    },
    shutdown: host.shutdown.bind(host),
    guestError: (message: string) => model.guestError(message),
    unimplemented: (message: string) => model.unimplemented(message),
  };
  return named(context, "part of the context") as unknown as Context<unknown, unknown, IrqSpecs, object>;
}

const CANNOT_WRITE: ReadonlySet<string> = new Set(["ro", "rc", "rs", "constant", "reserved"]);
const CANNOT_READ: ReadonlySet<string> = new Set(["wo", "pulse", "reserved", "constant"]);

/** The access of a field, or of a register without fields; undefined for a register with fields. */
function accessOf(cell: Cell, field: number | undefined): string | undefined {
  return field === undefined ? cell.access : cell.fields[field]!.info.access;
}

/** Whether a function is declared async: it would return a promise. */
export function isAsync(run: unknown): boolean {
  return typeof run === "function" && /^Async/.test(run.constructor.name);
}

export function isEdge(spec: string | EdgeIrq): spec is EdgeIrq {
  return typeof spec !== "string";
}

function find(layout: Layout, name: string): Target | undefined {
  const cells = layout.byPath.get(name);
  if (cells !== undefined) return { cells, field: undefined };
  const dot = name.lastIndexOf(".");
  const owners = layout.byPath.get(name.slice(0, Math.max(dot, 0)));
  const field = owners?.[0]?.fields.findIndex(({ info }) => info.name === name.slice(dot + 1)) ?? -1;
  return owners === undefined || field < 0 ? undefined : { cells: owners, field };
}

function namesOf({ byPath }: Layout): string[] {
  return [...byPath].flatMap(([path, cells]) => [
    path,
    ...cells[0]!.info.fields.map((field) => `${path}.${field.name}`),
  ]);
}
