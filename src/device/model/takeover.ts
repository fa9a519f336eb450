// What a new life takes over of the one before: registers, timers, queues and variables, by name. docs/design/device-kit.md
// has the rules.

import { fieldBits } from "./bits.ts";
import type { Cell, CellField } from "./layout.ts";
import { freshState, type Life } from "./life.ts";
import { hex, members, plural, show } from "./message-format.ts";
import type { Model } from "./model.ts";
import type { TimerState } from "./model-timer.ts";
import type { RegisterFile } from "./register-file.ts";
import { mergeVariables } from "./variables.ts";

/** Fields that hold no value of the model's: they are what their definition says. */
const HOLDS_NOTHING: ReadonlySet<string> = new Set(["constant", "reserved", "pulse"]);

/**
 * Takes over registers, queues and variables; `old` stays as it is.
 * @returns what could not be kept, in words
 */
export function takeOver(old: Life, life: Life): string[] {
  return [
    ...takeRegisters(old.model.file, life.model.file),
    ...takeFifos(old.model, life.model),
    ...takeVariables(old, life),
  ];
}

// --- registers

function takeRegisters(old: RegisterFile, file: RegisterFile): string[] {
  const lost: string[] = [];
  for (const cell of file.layout.cells) {
    const was = old.layout.byName.get(cell.name);
    if (was === undefined) continue;
    if (cell.access !== undefined) takeWhole(old, was, file, cell, lost);
    for (const field of cell.fields) takeField(old, was, file, cell, field, lost);
  }
  return lost;
}

/** A register that is one value. */
function takeWhole(old: RegisterFile, was: Cell, file: RegisterFile, cell: Cell, lost: string[]): void {
  if (HOLDS_NOTHING.has(cell.access!) || !hasMoved(old, was, was.low, was.high)) return;
  const value = BigInt(old.valueOf(was));
  if (value >> BigInt(cell.width) !== 0n) {
    lost.push(`${cell.name} was ${hex(value)}, which does not fit in ${cell.width} bits: it begins anew`);
    return;
  }
  file.setValue(cell, cell.width === 64 ? value : Number(value));
  setMoved(file, cell, cell.low, cell.high);
}

function takeField(
  old: RegisterFile,
  was: Cell,
  file: RegisterFile,
  cell: Cell,
  field: CellField,
  lost: string[],
): void {
  const { name, access } = field.info;
  if (HOLDS_NOTHING.has(access)) return;
  const before = was.access === undefined ? was.fields.find(({ info }) => info.name === name) : bitsOf(was, field);
  if (before === undefined || HOLDS_NOTHING.has(before.info.access)) return;
  if (!hasMoved(old, was, before.low, before.high)) return;
  const bits = fieldBits(before, old.words[was.word]!, was.width === 64 ? old.words[was.word + 1]! : 0);
  const member = before.names?.get(bits);
  const label = `${cell.name}.${name}`;
  const { names } = field;
  // A member is what its name says, whatever its number has become.
  const value =
    names === undefined
      ? bits
      : member !== undefined && Object.hasOwn(field.info.values!, member)
        ? member
        : names.get(bits);
  if (value === undefined) {
    lost.push(`${label} was ${member ?? bits}, none of ${members(field.info.values!)}: it begins anew`);
  } else if (typeof value === "number" && value >= 2 ** field.size) {
    lost.push(`${label} was ${show(bits)}, which does not fit in ${plural(field.size, "bit")}: it begins anew`);
  } else {
    file.setField(cell, field, value);
    setMoved(file, cell, field.low, field.high);
  }
}

/** The bits of a register without fields where there is a field now; undefined beyond its end. */
function bitsOf(was: Cell, field: CellField): CellField | undefined {
  const { msb, lsb } = field.info;
  if (msb >= was.width) return undefined;
  // Masks and place in the words of the old cell, which may be elsewhere in its word.
  const at = was.shift + lsb;
  const mask = (((1n << BigInt(field.size)) - 1n) << BigInt(at)) & 0xffff_ffff_ffff_ffffn;
  const [low, high] = [Number(mask & 0xffff_ffffn), Number(mask >> 32n)];
  return { ...field, at, low, high, names: undefined };
}

function hasMoved({ moved }: RegisterFile, cell: Cell, low: number, high: number): boolean {
  return ((moved[cell.word]! & low) | (high === 0 ? 0 : moved[cell.word + 1]! & high)) !== 0;
}

function setMoved({ moved, layout }: RegisterFile, cell: Cell, low: number, high: number): void {
  moved[cell.word]! |= low & layout.held[cell.word]!;
  if (high !== 0) moved[cell.word + 1]! |= high & layout.held[cell.word + 1]!;
}

// --- queues, variables

function takeFifos(old: Model, { fifos }: Model): string[] {
  const lost: string[] = [];
  for (const [name, fifo] of fifos) {
    const items = old.fifos.get(name)?.save() ?? [];
    if (items.some((item) => item >= 2 ** fifo.width)) {
      lost.push(`fifo "${name}" had items of more than ${fifo.width} bits: it is empty`);
      continue;
    }
    fifo.load(items.slice(0, fifo.depth));
    const rest = items.length - fifo.depth;
    if (rest > 0) lost.push(`fifo "${name}" lost the newest ${plural(rest, "item")}: it holds ${fifo.depth} now`);
  }
  return lost;
}

function takeVariables(old: Life, { state }: Life): string[] {
  let first: Record<string, unknown> | undefined;
  try {
    first = freshState(old.design, old.model) as Record<string, unknown>;
  } catch {
    // What it began with is only needed to tell what has changed.
  }
  return mergeVariables(state as Record<string, unknown>, structuredClone(old.state) as Record<string, unknown>, first);
}

// --- timers

/** The timers of a model, stopped, with what they were set for; to be given to it again, or to another one. */
export type StoppedTimers = ReadonlyMap<string, TimerState>;

/** Stops all timers. */
export function stopTimers({ timers }: Model): StoppedTimers {
  const stopped = new Map<string, TimerState>();
  for (const [name, timer] of timers) {
    const state = timer.save();
    if (state !== undefined) stopped.set(name, state);
    timer.stop();
  }
  return stopped;
}

/** Arms timers as others of their names were. @returns what could not be kept, in words */
export function startTimers({ timers, now }: Model, stopped: StoppedTimers): string[] {
  const lost: string[] = [];
  for (const [name, state] of stopped) {
    const timer = timers.get(name);
    if (timer !== undefined) timer.load(state);
    else lost.push(`there is no timer "${name}" any more: it was to fire in ${Math.max(0, state.deadline - now)} ns`);
  }
  return lost;
}
