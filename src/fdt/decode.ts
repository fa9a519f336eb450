// Reads a flattened device tree that nobody vouches for. Devicetree Specification v0.4, chapter 5 (versions 16 and 17).

import { UserError } from "../util/user-error.ts";
import { type Fdt, FdtNode, type FdtReservation, MAX_NAME_LENGTH } from "./fdt-node.ts";
import { FDT_MAGIC, FDT_VERSION, HEADER_SIZE, Header, Token } from "./format.ts";

const MAX_SIZE = 16 * 1024 * 1024;
const MAX_DEPTH = 64;

/**
 * Reads a flattened device tree.
 *
 * @param bytes The file; anything behind the size that its header names is ignored.
 * @param source What the bytes are, for messages: `-dtb board.dtb`.
 * @throws UserError when the bytes are not a well-formed tree, in one line.
 * @example
 * const { root } = decodeFdt(bytes, "-dtb board.dtb");
 * root.find("/chosen")?.properties.get("bootargs");
 */
export function decodeFdt(bytes: Uint8Array, source: string): Fdt {
  return new Decoder(bytes, source).decode();
}

class Decoder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #source: string;
  readonly #ascii = new TextDecoder("latin1");

  constructor(bytes: Uint8Array, source: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#source = source;
  }

  decode(): Fdt {
    const length = this.#bytes.length;
    if (length < 4 || this.#view.getUint32(Header.magic) !== FDT_MAGIC) {
      throw new UserError(
        `${this.#source}: not a device tree blob: expected a compiled tree (.dtb) that begins with the bytes d0 0d fe ed; ` +
          "compile a source with dtc -O dtb",
      );
    }
    if (length < HEADER_SIZE) this.#fail(`truncated: the header needs ${HEADER_SIZE} bytes, the file has ${length}`);
    const totalSize = this.#view.getUint32(Header.totalSize);
    if (totalSize > MAX_SIZE)
      this.#fail(`its header says ${totalSize} bytes, more than the ${MAX_SIZE} that are accepted`);
    if (totalSize > length) this.#fail(`truncated: its header says ${totalSize} bytes, the file has ${length}`);
    if (totalSize < HEADER_SIZE) this.#fail(`its header says ${totalSize} bytes, less than the header itself`);
    const version = this.#view.getUint32(Header.version);
    const lastCompatible = this.#view.getUint32(Header.lastCompatibleVersion);
    if (version < 16 || lastCompatible > FDT_VERSION) {
      this.#fail(
        `format version ${version} (compatible with ${lastCompatible}): expected 16 or 17; make it with dtc -V 17`,
      );
    }

    const structOffset = this.#view.getUint32(Header.structOffset);
    // Version 16 has no size of the structure block; the end token ends it.
    const structSize = version >= 17 ? this.#view.getUint32(Header.structSize) : totalSize - structOffset;
    const stringsOffset = this.#view.getUint32(Header.stringsOffset);
    const stringsSize = this.#view.getUint32(Header.stringsSize);
    this.#checkBlock("structure block", structOffset, structSize, 4, totalSize);
    this.#checkBlock("strings block", stringsOffset, stringsSize, 1, totalSize);

    return {
      reservations: this.#reservations(totalSize),
      root: this.#tree(structOffset, structOffset + structSize, stringsOffset, stringsOffset + stringsSize),
      bootHart: this.#view.getUint32(Header.bootHart),
    };
  }

  #checkBlock(what: string, offset: number, size: number, alignment: number, totalSize: number): void {
    if (offset < HEADER_SIZE || size < 0 || offset + size > totalSize) {
      this.#fail(`the ${what} (${size} bytes at offset ${offset}) lies outside of the file's ${totalSize} bytes`);
    }
    if (offset % alignment !== 0) this.#fail(`the ${what} at offset ${offset} is not aligned to ${alignment} bytes`);
  }

  #reservations(totalSize: number): FdtReservation[] {
    const list: FdtReservation[] = [];
    for (let at = this.#view.getUint32(Header.reservationsOffset); ; at += 16) {
      if (at < HEADER_SIZE || at + 16 > totalSize) this.#fail("the list of memory reservations has no end", at);
      const address = this.#view.getBigUint64(at);
      const size = this.#view.getBigUint64(at + 8);
      if (address === 0n && size === 0n) return list;
      list.push({ address, size });
    }
  }

  /** Walks the structure block; every turn of the loop consumes at least one token of four bytes. */
  #tree(start: number, end: number, stringsStart: number, stringsEnd: number): FdtNode {
    let root: FdtNode | undefined;
    const open: FdtNode[] = [];
    let at = start;
    for (;;) {
      if (at + 4 > end) this.#fail("truncated: the structure block has no end token", at);
      const token = this.#view.getUint32(at);
      const tokenAt = at;
      at += 4;
      const node = open.at(-1);
      switch (token) {
        case Token.nop:
          break;
        case Token.beginNode: {
          if (root && !node) this.#fail("a second root node", tokenAt);
          if (open.length >= MAX_DEPTH) this.#fail(`nodes nested deeper than ${MAX_DEPTH}`, tokenAt);
          const name = this.#text(at, end, "node name");
          at = align4(at + name.length + 1);
          const next = this.#checked(tokenAt, () => openNode(node, name));
          root ??= next;
          open.push(next);
          break;
        }
        case Token.endNode:
          if (!open.pop()) this.#fail("a node ends that never began", tokenAt);
          break;
        case Token.property: {
          if (!node) this.#fail("a property outside of any node", tokenAt);
          if (at + 8 > end) this.#fail("truncated property", tokenAt);
          const size = this.#view.getUint32(at);
          const nameOffset = this.#view.getUint32(at + 4);
          at += 8;
          if (size > end - at) this.#fail(`a property of ${size} bytes does not fit into the structure block`, tokenAt);
          if (nameOffset >= stringsEnd - stringsStart)
            this.#fail("a property's name lies outside of the strings block", tokenAt);
          const name = this.#text(stringsStart + nameOffset, stringsEnd, "property name");
          if (node.properties.has(name))
            this.#fail(`property ${name} of node ${nodeName(node)} is there twice`, tokenAt);
          const value = this.#bytes.subarray(at, at + size);
          this.#checked(tokenAt, () => node.prop(name, value));
          at = align4(at + size);
          break;
        }
        case Token.end:
          if (!root || node) this.#fail("the tree ends inside of a node", tokenAt);
          return root;
        default:
          this.#fail(`unknown token ${token}`, tokenAt);
      }
    }
  }

  /** The text at an offset up to its NUL, which has to come soon and before `end`. */
  #text(start: number, end: number, what: string): string {
    const limit = Math.min(end, start + MAX_NAME_LENGTH + 1);
    const nul = this.#bytes.subarray(start, limit).indexOf(0);
    if (nul < 0) this.#fail(`a ${what} without an end, or longer than ${MAX_NAME_LENGTH} characters`, start);
    return this.#ascii.decode(this.#bytes.subarray(start, start + nul));
  }

  #checked<T>(offset: number, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (error instanceof UserError) this.#fail(error.message, offset);
      throw error;
    }
  }

  #fail(problem: string, offset?: number): never {
    const where = offset === undefined ? "" : ` (at byte offset ${offset})`;
    throw new UserError(`${this.#source}: damaged device tree blob: ${problem}${where}`);
  }
}

function openNode(parent: FdtNode | undefined, name: string): FdtNode {
  if (!parent) {
    if (name !== "") throw new UserError(`the root node is named ${JSON.stringify(name)}, not empty`);
    return new FdtNode("");
  }
  if (parent.children.has(name)) throw new UserError(`node ${name} is there twice below ${nodeName(parent)}`);
  return parent.child(name);
}

function nodeName(node: FdtNode): string {
  return node.name === "" ? "/" : node.name;
}

function align4(offset: number): number {
  return (offset + 3) & ~3;
}
