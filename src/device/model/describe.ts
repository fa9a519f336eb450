// The device-tree node of a device, and what of it another definition would write otherwise.

import { cells, cells64, FdtNode, type FdtValue } from "../../fdt/fdt-node.ts";
import type { FdtContext } from "../fdt-context.ts";
import type { Life } from "./life.ts";
import { hex } from "./message-format.ts";
import type { PropertySpecs, PropertyValues } from "./properties.ts";

/** Writes the node. @param irqNames the interrupt outputs that lead somewhere, as many as the context has numbers for */
export function describeLife({ design, model, props }: Life, irqNames: readonly string[], context: FdtContext): void {
  const { spec, layout, type } = design;
  const { compatible, irqs } = layout.map;
  if (compatible.length === 0) return;
  const { node: name = type, properties, describe } = spec.deviceTree ?? {};
  const { base, size } = context;
  const node = context.soc
    .child(`${name}@${base.toString(16)}`)
    .prop("compatible", compatible)
    .prop("reg", cells64(base, size));
  if (context.irqs.length > 0) {
    node.prop("interrupt-parent", context.interruptParent).prop("interrupts", cells(...context.irqs));
    if (irqs.length > 1) node.prop("interrupt-names", irqNames);
  }
  try {
    const values = props as PropertyValues<PropertySpecs>;
    const more = typeof properties === "function" ? properties(values) : (properties ?? {});
    for (const [key, value] of Object.entries(more) as [string, FdtValue][]) node.prop(key, value);
    describe?.(node, context, values);
  } catch (error) {
    throw model.explain("deviceTree", error);
  }
}

/** Where a device is, as far as its node is concerned. */
export interface NodePlace {
  readonly base: bigint;
  readonly size: bigint;
  readonly irqs: readonly { readonly name: string; readonly input: number }[];
}

/** A device's node, in a tree that has nothing else. */
export function nodeOf(life: Life, { base, size, irqs }: NodePlace): FdtNode | undefined {
  const root = new FdtNode("");
  const soc = root.child("soc");
  const keys = new Map<unknown, number>();
  const phandle = (key: object | string) => {
    if (!keys.has(key)) keys.set(key, keys.size + 2);
    return keys.get(key)!;
  };
  const names = irqs.map(({ name }) => name);
  const inputs = irqs.map(({ input }) => input);
  describeLife(life, names, { root, soc, phandle, interruptParent: 1, base, size, irqs: inputs });
  return [...soc.children.values()][0];
}

/** What a guest that has read `told` does not know, in words: `compatible was "acme,a" and is "acme,b"`. */
export function treeChanges(told: FdtNode | undefined, now: FdtNode | undefined): string[] {
  if (told === undefined && now === undefined) return [];
  if (told === undefined) return [`it has a node ${now!.name}`];
  if (now === undefined) return [`it has no node ${told.name} any more`];
  const changes = told.name === now.name ? [] : [`its node ${told.name} is ${now.name}`];
  for (const name of new Set([...told.properties.keys(), ...now.properties.keys()])) {
    const [before, after] = [told.properties.get(name), now.properties.get(name)];
    if (before !== undefined && after !== undefined && sameBytes(before, after)) continue;
    changes.push(`${name} was ${shownValue(name, before)} and is ${shownValue(name, after)}`);
  }
  const children = ({ children }: FdtNode) => [...children.keys()].join(" ");
  if (children(told) !== children(now)) changes.push("its child nodes are others");
  return changes;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, n) => byte === b[n]);
}

/** A value as a person reads it: texts, or the words in hexadecimal. */
function shownValue(name: string, bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "missing";
  if (bytes.length === 0) return "there";
  const text = new TextDecoder("latin1").decode(bytes);
  if (/^([\x20-\x7e]+\0)+$/.test(text)) {
    return text
      .slice(0, -1)
      .split("\0")
      .map((part) => JSON.stringify(part))
      .join(", ");
  }
  if (bytes.length % 4 !== 0) return `${bytes.length} bytes`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const words = Array.from({ length: bytes.length / 4 }, (_, n) => view.getUint32(4 * n));
  // Two cells each for address and size.
  if (name === "reg" && words.length === 4) return `${hex(words[3]! + words[2]! * 2 ** 32)} bytes`;
  return `<${words.map(hex).join(" ")}>`;
}
