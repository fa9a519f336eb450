// A device tree under construction: nodes with ordered properties and children.
// Devicetree Specification v0.4, chapter 2 (names, property value types).

import { UserError } from "../util/user-error.ts";

/** A memory range that the operating system must leave alone. Bytes. */
export interface FdtReservation {
  readonly address: bigint;
  readonly size: bigint;
}

/** A whole device tree: what a flattened device tree file holds. */
export interface Fdt {
  readonly root: FdtNode;
  readonly reservations: readonly FdtReservation[];
  /** Physical id of the hart that boots. */
  readonly bootHart: number;
}

/**
 * What a property can be set to: one 32-bit cell (number), one 64-bit value (bigint), text, a list of texts, an empty
 * property (`true`), or raw bytes, which `cells` and `cells64` make from lists of numbers.
 */
export type FdtValue = number | bigint | string | readonly string[] | Uint8Array | true;

const NODE_NAME = /^[0-9A-Za-z,._+-]+(@[0-9A-Za-z,._+-]+)?$/;
const PROPERTY_NAME = /^[0-9A-Za-z,._+?#-]+$/;

/** The longest name of a node or property that is written or read, in bytes. */
export const MAX_NAME_LENGTH = 255;

/**
 * A node of a device tree.
 *
 * @example
 * const root = new FdtNode("").prop("#address-cells", 2).prop("#size-cells", 2);
 * root.child("memory@80000000").prop("device_type", "memory").prop("reg", cells64(0x8000_0000, 0x800_0000));
 */
export class FdtNode {
  readonly name: string;
  readonly #properties = new Map<string, Uint8Array>();
  readonly #children = new Map<string, FdtNode>();

  /** @param name Node name with its unit address, "" for the root. */
  constructor(name: string) {
    if (name !== "" && (!NODE_NAME.test(name) || name.length > MAX_NAME_LENGTH)) {
      throw new UserError(
        `device tree node name ${JSON.stringify(name)} is not valid: expected letters, digits and ,._+- with an optional @address`,
      );
    }
    this.name = name;
  }

  /** The properties in order, as the bytes of their values. */
  get properties(): ReadonlyMap<string, Uint8Array> {
    return this.#properties;
  }

  /** The child nodes in order, by name. */
  get children(): ReadonlyMap<string, FdtNode> {
    return this.#children;
  }

  /** Sets a property; an existing one keeps its place. Returns this node. */
  prop(name: string, value: FdtValue): this {
    if (!PROPERTY_NAME.test(name) || name.length > MAX_NAME_LENGTH) {
      throw new UserError(
        `device tree property name ${JSON.stringify(name)} is not valid: expected letters, digits and ,._+?#-`,
      );
    }
    this.#properties.set(name, propertyBytes(name, value));
    return this;
  }

  /** Removes a property or does nothing. */
  removeProp(name: string): void {
    this.#properties.delete(name);
  }

  /** The child of this name; made, after the others, when there is none. */
  child(name: string): FdtNode {
    let node = this.#children.get(name);
    if (!node) {
      if (name === "") throw new UserError("a device tree node below the root needs a name");
      node = new FdtNode(name);
      this.#children.set(name, node);
    }
    return node;
  }

  /** The node at a path below this one ("/soc/serial@10000000", or "" and "/" for the node itself), if there is one. */
  find(path: string): FdtNode | undefined {
    let node: FdtNode | undefined = this;
    for (const name of path.split("/")) {
      if (name !== "") node = node?.children.get(name);
    }
    return node;
  }
}

/** 32-bit values as the bytes of a property, each one a cell. Negative numbers are taken modulo 2^32. */
export function cells(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(i * 4, checkedCell(value));
  return bytes;
}

/** 64-bit values as the bytes of a property, each one two cells: addresses and sizes of a `reg`, for example. */
export function cells64(...values: readonly (number | bigint)[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setBigUint64(i * 8, BigInt(value));
  return bytes;
}

function checkedCell(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) {
    throw new UserError(`device tree cell ${value} does not fit into 32 bits`);
  }
  return value;
}

function propertyBytes(name: string, value: FdtValue): Uint8Array {
  if (value === true) return new Uint8Array(0);
  // Not slice(): on a Node Buffer that is a view of the same bytes.
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (typeof value === "number") return cells(value);
  if (typeof value === "bigint") return cells64(value);
  const texts = typeof value === "string" ? [value] : value;
  if (texts.some((text) => text.includes("\0"))) {
    throw new UserError(`device tree property ${name} has a text with a NUL character in it`);
  }
  return new TextEncoder().encode(texts.map((text) => `${text}\0`).join(""));
}
