// What is different between two definitions of a device, in words for the terminal: `+ STATUS.ERROR (w1c)`,
// `CTRL.MODE: rw -> ro`, `on.write("CTRL.START")`.

import { isEdge } from "./context.ts";
import type { Life } from "./life.ts";
import { hex, members } from "./message-format.ts";
import type { FieldInfo, RegisterInfo, RegisterMap } from "./register-map.ts";
import { isSame } from "./variables.ts";

/** A part of a definition by its name, with its features. */
type Parts = Map<string, Readonly<Record<string, string>>>;

/** @returns one short text for each change; none where only comments or what files import has changed */
export function definitionChanges(old: Life, life: Life): string[] {
  const parts = [
    ...partChanges(registersOf(old.design.layout.map), registersOf(life.design.layout.map)),
    ...partChanges(othersOf(old), othersOf(life)),
  ];
  const code = codeChanges(old, life);
  return [...parts, ...code];
}

function partChanges(old: Parts, parts: Parts): string[] {
  const changes: string[] = [];
  const gone = [...old.keys()].filter((name) => !parts.has(name));
  for (const [name, features] of parts) {
    const before = old.get(name);
    if (before === undefined) {
      // The fields of a register that is new come with it.
      if (!isPartOf(name, parts, old)) changes.push(`+ ${name}${noteOf(features)}`);
      continue;
    }
    const different = Object.keys({ ...before, ...features }).filter((key) => before[key] !== features[key]);
    if (different.length === 0) continue;
    const each = different.map((key) => {
      const label = LABELS[key] ?? key;
      return `${label === "" ? "" : `${label} `}${before[key] || "none"} -> ${features[key] || "none"}`;
    });
    changes.push(`${name}: ${each.join(", ")}`);
  }
  for (const name of gone) if (!isPartOf(name, old, parts)) changes.push(`- ${name}`);
  return changes;
}

/** Features that need no name. */
const LABELS: Readonly<Record<string, string>> = { access: "", at: "at", values: "" };

/** Whether what a name is a part of is in `here` too, and not in `there`: then it goes without saying. */
function isPartOf(name: string, here: Parts, there: Parts): boolean {
  for (let dot = name.lastIndexOf("."); dot > 0; dot = name.lastIndexOf(".", dot - 1)) {
    const whole = name.slice(0, dot);
    if (here.has(whole) && !there.has(whole)) return true;
  }
  return false;
}

function noteOf({ access, at }: Readonly<Record<string, string>>): string {
  const notes = [access ?? "", at === undefined ? "" : `at ${at}`].filter((note) => note !== "");
  return notes.length === 0 ? "" : ` (${notes.join(" ")})`;
}

function registersOf({ registers, banks }: RegisterMap): Parts {
  const parts: Parts = new Map();
  const add = (prefix: string, info: RegisterInfo) => {
    const { name, offset, width, array, access, reset, sticky, fields } = info;
    const plain = fields.length === 0;
    parts.set(prefix + name, {
      at: hex(offset),
      width: `${width} bits`,
      ...(array === undefined ? {} : { count: String(array.count), stride: hex(array.stride) }),
      ...(plain ? { access, reset: hex(BigInt(reset)), sticky: sticky ? "sticky" : "" } : {}),
    });
    for (const field of fields) parts.set(`${prefix}${name}.${field.name}`, fieldOf(field));
  };
  for (const info of registers) add("", info);
  for (const { name, offset, count, stride, registers: inner } of banks) {
    parts.set(name, { at: hex(offset), count: String(count), stride: hex(stride) });
    for (const info of inner) add(`${name}.`, info);
  }
  return parts;
}

function fieldOf({ msb, lsb, access, reset, sticky, values }: FieldInfo): Readonly<Record<string, string>> {
  const shown = Object.entries(values ?? {}).find(([, value]) => value === reset)?.[0] ?? hex(reset);
  return {
    access,
    at: msb === lsb ? `bit ${lsb}` : `bits ${msb}..${lsb}`,
    reset: shown,
    sticky: sticky ? "sticky" : "",
    values: values === undefined ? "" : members(values),
  };
}

/** What a definition has beside registers. */
function othersOf({ design, model }: Life): Parts {
  const { spec, layout } = design;
  const { map } = layout;
  const { valid, impl, unmapped } = spec.mmio;
  const parts: Parts = new Map();
  parts.set("the device", { type: map.type, description: map.description ?? "" });
  parts.set("mmio", {
    size: hex(map.size),
    endianness: map.endianness,
    unmapped: unmapped === undefined ? "" : hex(unmapped),
    valid: JSON.stringify(valid ?? {}),
    impl: JSON.stringify(impl ?? {}),
  });
  for (const { name, trigger } of map.irqs) parts.set(`irq ${name}`, { access: trigger });
  for (const { name, type, default: value } of map.properties) {
    parts.set(`property ${name}`, { access: type, default: value === undefined ? "" : String(value) });
  }
  for (const name of model.timers.keys()) parts.set(`timer "${name}"`, {});
  for (const [name, { depth, width }] of model.fifos) {
    parts.set(`fifo "${name}"`, { depth: String(depth), width: String(width) });
  }
  return parts;
}

/** Callbacks and variables. */
function codeChanges(old: Life, life: Life): string[] {
  const [before, now] = [codeOf(old), codeOf(life)];
  const changes = [...now].flatMap(([label, text]) => {
    const was = before.get(label);
    if (was === undefined) return isListed(label) ? [] : [`+ ${label}`];
    return was === text ? [] : [label];
  });
  for (const label of before.keys()) if (!now.has(label) && !isListed(label)) changes.push(`- ${label}`);
  // Functions beside the callbacks in setup, which no callback shows.
  const settled = changes.length === 0 && [...before.keys()].join() === [...now.keys()].join();
  if (settled && textOf(old.design.spec.setup) !== textOf(life.design.spec.setup)) changes.push("setup");
  return [...changes, ...variableChanges(old, life)];
}

/** Whether what comes or goes is told of already, by its own name. */
function isListed(label: string): boolean {
  return /^(timer |irq\.)/.test(label);
}

function codeOf({ design: { spec }, model }: Life): Map<string, string> {
  const code = new Map<string, string>();
  for (const [label, runs] of model.callbacks) code.set(label, runs.map(textOf).join("\n"));
  const { mmio, deviceTree } = spec;
  const more = { "mmio.read": mmio.read, "mmio.write": mmio.write, "deviceTree.describe": deviceTree?.describe };
  for (const [label, run] of Object.entries(more)) if (run !== undefined) code.set(label, textOf(run));
  return code;
}

/** A function's source, whatever its layout. */
function textOf(run: unknown): string {
  return String(run).replace(/\s+/g, " ");
}

function variableChanges(old: Life, life: Life): string[] {
  const first = ({ design: { spec } }: Life) => {
    try {
      return (spec.state?.() ?? {}) as Record<string, unknown>;
    } catch {
      return {};
    }
  };
  const [before, now] = [first(old), first(life)];
  const changes: string[] = [];
  for (const [name, value] of Object.entries(now)) {
    if (!Object.hasOwn(before, name)) changes.push(`+ state.${name}`);
    else if (!isSame(value, before[name])) changes.push(`state.${name}: begins otherwise`);
  }
  for (const name of Object.keys(before)) if (!Object.hasOwn(now, name)) changes.push(`- state.${name}`);
  return changes;
}

/** Which old interrupt output's line each new one has: that of its name, or of its place if the name there is gone. */
export function matchIrqs(old: Life, life: Life): { readonly name: string; readonly from: number | undefined }[] {
  const names = ({ design }: Life) => (design.spec.irqs ?? []).map((irq) => (isEdge(irq) ? irq.name : irq));
  const [before, now] = [names(old), names(life)];
  return now.map((name, n) => {
    const same = before.indexOf(name);
    if (same >= 0) return { name, from: same };
    const place = before[n];
    return { name, from: place !== undefined && !now.includes(place) ? n : undefined };
  });
}
