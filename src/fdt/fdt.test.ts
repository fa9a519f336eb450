import { describe, expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { decodeFdt } from "./decode.ts";
import { encodeFdt } from "./encode.ts";
import { cells, cells64, type Fdt, FdtNode } from "./fdt-node.ts";
import { Header } from "./format.ts";
import { Phandles } from "./phandles.ts";

function sample(): Fdt {
  const root = new FdtNode("").prop("#address-cells", 2).prop("#size-cells", 2);
  root.prop("compatible", ["riscv-virtio", "other"]).prop("model", "riscv-virtio,qemu");
  const serial = root.child("soc").prop("ranges", true).child("serial@10000000");
  serial.prop("reg", cells64(0x1000_0000, 0x100n)).prop("interrupts", 10).prop("big", 0x1_2345_6789n);
  serial.prop("list", cells(1, 0xffff_ffff, -2)).prop("odd", Uint8Array.of(1, 2, 3));
  return { root, reservations: [{ address: 0x8000_0000n, size: 0x1000n }], bootHart: 3 };
}

/** A tree as plain nested objects, for comparison. */
function plain(node: FdtNode): unknown {
  return [node.name, [...node.properties].map(([k, v]) => [k, [...v]]), [...node.children.values()].map(plain)];
}

describe("FdtNode", () => {
  test("values become the bytes that the specification asks for", () => {
    const node = new FdtNode("x");
    node.prop("cell", 0x1234_5678).prop("wide", 0x1_0000_0002n).prop("text", "ab").prop("texts", ["a", "b"]);
    node.prop("empty", true).prop("cells", cells(1, -1));
    const bytes = (name: string) => [...(node.properties.get(name) ?? [])];
    expect(bytes("cell")).toEqual([0x12, 0x34, 0x56, 0x78]);
    expect(bytes("wide")).toEqual([0, 0, 0, 1, 0, 0, 0, 2]);
    expect(bytes("text")).toEqual([97, 98, 0]);
    expect(bytes("texts")).toEqual([97, 0, 98, 0]);
    expect(bytes("empty")).toEqual([]);
    expect(bytes("cells")).toEqual([0, 0, 0, 1, 255, 255, 255, 255]);
  });

  test("child() makes a node once and keeps the order; find() walks a path", () => {
    const root = new FdtNode("");
    const b = root.child("b");
    root.child("a").child("deep@1").prop("here", true);
    expect(root.child("b")).toBe(b);
    expect([...root.children.keys()]).toEqual(["b", "a"]);
    expect(root.find("/a/deep@1")?.properties.has("here")).toBe(true);
    expect(root.find("/")).toBe(root);
    expect(root.find("/a/none/deep")).toBeUndefined();
  });

  test("a value is copied, and replaced in place", () => {
    const value = Uint8Array.of(1);
    const node = new FdtNode("x").prop("a", value).prop("b", 1).prop("a", value);
    value[0] = 9;
    expect([...node.properties.keys()]).toEqual(["a", "b"]);
    expect(node.properties.get("a")).toEqual(Uint8Array.of(1));
    node.removeProp("a");
    expect([...node.properties.keys()]).toEqual(["b"]);
  });

  test.each([
    ["node with a slash", () => new FdtNode("a/b")],
    ["node with a blank", () => new FdtNode("").child("a b")],
    ["nameless child", () => new FdtNode("").child("")],
    ["node with an empty unit address", () => new FdtNode("a@")],
    ["property with a NUL", () => new FdtNode("a").prop("x\0", 1)],
    ["empty property name", () => new FdtNode("a").prop("", 1)],
    ["text with a NUL", () => new FdtNode("a").prop("x", "a\0b")],
    ["cell of 33 bits", () => new FdtNode("a").prop("x", 0x1_0000_0000)],
    ["fraction", () => cells(1.5)],
  ])("refuses a %s", (_title, make) => {
    expect(make).toThrow(UserError);
  });
});

test("the same phandle for the same key, whoever asks first", () => {
  const phandles = new Phandles();
  const device = {};
  expect(phandles.of("plic")).toBe(1);
  expect(phandles.of(device)).toBe(2);
  expect(phandles.of("plic")).toBe(1);
  expect(phandles.of({})).toBe(3);
});

test("encode and decode are each other's inverse", () => {
  const fdt = sample();
  const decoded = decodeFdt(encodeFdt(fdt), "a.dtb");
  expect(plain(decoded.root)).toEqual(plain(fdt.root));
  expect(decoded.reservations).toEqual(fdt.reservations);
  expect(decoded.bootHart).toBe(3);
});

test("bytes behind the tree are ignored", () => {
  const bytes = encodeFdt(sample());
  const longer = new Uint8Array(bytes.length + 100).fill(0xff);
  longer.set(bytes);
  expect(plain(decodeFdt(longer, "a.dtb").root)).toEqual(plain(sample().root));
});

test("a version 16 file, whose header does not know the size of the structure block", () => {
  const bytes = encodeFdt(sample());
  const view = new DataView(bytes.buffer);
  view.setUint32(Header.version, 16);
  view.setUint32(Header.structSize, 0);
  expect(plain(decodeFdt(bytes, "a.dtb").root)).toEqual(plain(sample().root));
});

describe("hostile files", () => {
  const good = encodeFdt(sample());
  const structOffset = new DataView(good.buffer).getUint32(Header.structOffset);

  function broken(change: (view: DataView) => void): Uint8Array {
    const bytes = good.slice();
    change(new DataView(bytes.buffer));
    return bytes;
  }

  /** A file with the given structure block and the strings "a\0b\0". */
  function withStruct(...words: number[]): Uint8Array {
    const strings = [97, 0, 98, 0];
    const bytes = new Uint8Array(40 + 16 + words.length * 4 + strings.length);
    const view = new DataView(bytes.buffer);
    const stringsOffset = 56 + words.length * 4;
    const header = [0xd00dfeed, bytes.length, 56, stringsOffset, 40, 17, 16, 0, strings.length, words.length * 4];
    for (const [i, word] of header.entries()) view.setUint32(i * 4, word);
    for (const [i, word] of words.entries()) view.setUint32(56 + i * 4, word);
    bytes.set(strings, stringsOffset);
    return bytes;
  }

  test("the frame used here is itself accepted", () => {
    expect(plain(decodeFdt(withStruct(1, 0, 4, 3, 0, 2, 2, 9), "a.dtb").root)).toEqual(["", [["b", []]], []]);
  });

  const child = [1, 0x61000000];
  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /not a device tree/],
    ["text", new TextEncoder().encode("/dts-v1/; / { };"), /not a device tree.*dtc/],
    ["magic only", good.slice(0, 4), /truncated/],
    ["half a file", good.slice(0, good.length / 2), /truncated/],
    ["a total size of 4 GiB", broken((v) => v.setUint32(Header.totalSize, 0xffff_ffff)), /more than/],
    ["a total size of 0", broken((v) => v.setUint32(Header.totalSize, 0)), /less than the header/],
    ["version 3", broken((v) => v.setUint32(Header.version, 3)), /version 3/],
    ["version 30, compatible with 18", broken((v) => v.setUint32(Header.lastCompatibleVersion, 18)), /version/],
    ["structure outside", broken((v) => v.setUint32(Header.structOffset, 0xffff_fff0)), /structure block .* outside/],
    ["structure in the header", broken((v) => v.setUint32(Header.structOffset, 0)), /structure block .* outside/],
    ["structure misaligned", broken((v) => v.setUint32(Header.structOffset, structOffset - 2)), /aligned/],
    ["strings outside", broken((v) => v.setUint32(Header.stringsSize, 0x7fff_ffff)), /strings block .* outside/],
    ["reservations outside", broken((v) => v.setUint32(Header.reservationsOffset, 0xffff_ffff)), /reservations/],
    [
      "no end of the reservations",
      broken((v) => v.setUint32(Header.reservationsOffset, structOffset)),
      /reservations|outside/,
    ],
    ["no token at all", withStruct(), /no end token/],
    ["end without root", withStruct(9), /inside of a node/],
    ["end inside of the root", withStruct(1, 0, 9), /inside of a node/],
    ["no end", withStruct(1, 0, 2), /no end token/],
    ["a node that never began", withStruct(1, 0, 2, 2, 9), /never began/],
    ["two roots", withStruct(1, 0, 2, 1, 0, 2, 9), /second root/],
    ["a named root", withStruct(...child, 2, 9), /root node is named/],
    ["a nameless child", withStruct(1, 0, 1, 0, 2, 2, 9), /needs a name/],
    ["two nodes of one name", withStruct(1, 0, ...child, 2, ...child, 2, 2, 9), /a is there twice/],
    ["a node name with a slash", withStruct(1, 0, 1, 0x2f000000, 2, 2, 9), /not valid/],
    ["a node name without end", withStruct(1, 0, 1, 0x61616161, 0x61616161), /without an end/],
    ["a property outside", withStruct(3, 0, 0, 9), /outside of any node/],
    ["a property twice", withStruct(1, 0, 3, 0, 0, 3, 0, 0, 2, 9), /a of node \/ is there twice/],
    ["a property of 4 GiB", withStruct(1, 0, 3, 0xffff_ffff, 0, 2, 9), /does not fit/],
    ["half a property", withStruct(1, 0, 3, 0), /truncated/],
    ["a property name outside", withStruct(1, 0, 3, 0, 4, 2, 9), /name lies outside/],
    ["an empty property name", withStruct(1, 0, 3, 0, 1, 2, 9), /not valid/],
    ["an unknown token", withStruct(1, 0, 7, 2, 9), /unknown token 7/],
    ["65 levels", withStruct(1, 0, ...Array<number[]>(64).fill(child).flat(), 9), /deeper than 64/],
  ])("%s", (_title, bytes, message) => {
    let error: unknown;
    try {
      decodeFdt(bytes, "-dtb a.dtb");
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
    expect((error as UserError).message).toMatch(/^-dtb a\.dtb: [^\n]*$/);
  });

  test("every single changed byte either decodes or is a UserError", () => {
    for (let offset = 0; offset < good.length; offset++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const bytes = good.slice();
        bytes[offset] = value;
        try {
          decodeFdt(bytes, "a.dtb");
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }
    }
  });
});
