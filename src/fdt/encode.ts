// Writes a device tree as bytes. Devicetree Specification v0.4, chapter 5 (version 17).

import type { Fdt, FdtNode } from "./fdt-node.ts";
import { FDT_LAST_COMPATIBLE_VERSION, FDT_MAGIC, FDT_VERSION, HEADER_SIZE, Header, Token } from "./format.ts";

/**
 * The bytes of a flattened device tree.
 *
 * @example
 * const dtb = encodeFdt({ root, reservations: [], bootHart: 0 });
 */
export function encodeFdt(fdt: Fdt): Uint8Array {
  const strings = new StringTable();
  const struct = new ByteWriter();
  writeNode(fdt.root, struct, strings);
  struct.u32(Token.end);

  // Blocks in the order and with the alignment of 5.1: reservations (8 bytes), structure (4), strings.
  const reservationsOffset = HEADER_SIZE;
  const structOffset = reservationsOffset + (fdt.reservations.length + 1) * 16;
  const stringsOffset = structOffset + struct.length;
  const totalSize = stringsOffset + strings.writer.length;

  const bytes = new Uint8Array(totalSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(Header.magic, FDT_MAGIC);
  view.setUint32(Header.totalSize, totalSize);
  view.setUint32(Header.structOffset, structOffset);
  view.setUint32(Header.stringsOffset, stringsOffset);
  view.setUint32(Header.reservationsOffset, reservationsOffset);
  view.setUint32(Header.version, FDT_VERSION);
  view.setUint32(Header.lastCompatibleVersion, FDT_LAST_COMPATIBLE_VERSION);
  view.setUint32(Header.bootHart, fdt.bootHart);
  view.setUint32(Header.stringsSize, strings.writer.length);
  view.setUint32(Header.structSize, struct.length);
  for (const [i, { address, size }] of fdt.reservations.entries()) {
    view.setBigUint64(reservationsOffset + i * 16, address);
    view.setBigUint64(reservationsOffset + i * 16 + 8, size);
  }
  bytes.set(struct.bytes(), structOffset);
  bytes.set(strings.writer.bytes(), stringsOffset);
  return bytes;
}

function writeNode(node: FdtNode, struct: ByteWriter, strings: StringTable): void {
  struct.u32(Token.beginNode);
  struct.text(node.name);
  struct.align4();
  for (const [name, value] of node.properties) {
    struct.u32(Token.property);
    struct.u32(value.length);
    struct.u32(strings.offsetOf(name));
    struct.append(value);
    struct.align4();
  }
  for (const child of node.children.values()) writeNode(child, struct, strings);
  struct.u32(Token.endNode);
}

class StringTable {
  readonly writer = new ByteWriter();
  readonly #offsets = new Map<string, number>();

  offsetOf(text: string): number {
    let offset = this.#offsets.get(text);
    if (offset === undefined) {
      offset = this.writer.length;
      this.#offsets.set(text, offset);
      this.writer.text(text);
    }
    return offset;
  }
}

class ByteWriter {
  length = 0;
  #buffer = new Uint8Array(4096);
  readonly #encoder = new TextEncoder();

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }

  u32(value: number): void {
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setUint32(this.length, value);
    this.length += 4;
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  text(text: string): void {
    this.append(this.#encoder.encode(`${text}\0`));
  }

  align4(): void {
    const padding = -this.length & 3;
    this.#reserve(padding);
    this.length += padding;
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.length + count));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}
