// Symbols of kernels that are no ELF files: a table as Linux's build makes it, damaged ones, System.map; and the real guest's.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { findGuest } from "../../node/guest/guest.ts";
import { readKallsyms } from "./kallsyms.ts";
import { kernelSymbols, parseSystemMap } from "./kernel-symbols.ts";

const BASE = 0xffff_ffff_8000_0000n;
/** More than a marker's worth; one name is longer than 127 tokens. */
const NAMES = ["_start", ...Array.from({ length: 300 }, (_, n) => `function_${n}`), `long_${"x".repeat(200)}`, "_end"];
const TOKENS = Array.from({ length: 256 }, (_, code) => (code === 1 ? "function_" : String.fromCharCode(code)));
// A character that no name has stands for nothing.
TOKENS[0] = "";

/** An image with the tables as scripts/kallsyms.c writes them since Linux 6.4, or before. */
function makeImage(order: "new" | "old", names: readonly string[] = NAMES): Uint8Array {
  const out: number[] = Array.from({ length: 0x100 }, (_, n) => n & 0x7f);
  const align = (to: number) => {
    while (out.length % to !== 0) out.push(0);
  };
  const u32 = (value: number) => out.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255);
  const offsets = () => {
    align(8);
    for (const [n] of names.entries()) u32(n * 0x10);
    align(8);
    for (let bit = 0n; bit < 64n; bit += 8n) out.push(Number((BASE >> bit) & 0xffn));
  };
  if (order === "old") offsets();
  align(8);
  u32(names.length);
  align(8);
  const begin = out.length;
  const markers: number[] = [];
  for (const [n, name] of names.entries()) {
    if (n % 256 === 0) markers.push(out.length - begin);
    const text = `t${name}`;
    const codes = text.startsWith("tfunction_")
      ? ["t".charCodeAt(0), 1, ...Array.from(text.slice(10), (c) => c.charCodeAt(0))]
      : Array.from(text, (c) => c.charCodeAt(0));
    if (codes.length > 127) out.push((codes.length & 0x7f) | 0x80, codes.length >> 7);
    else out.push(codes.length);
    out.push(...codes);
  }
  align(8);
  for (const marker of markers) u32(marker);
  align(8);
  const table = out.length;
  const index: number[] = [];
  for (const token of TOKENS) {
    index.push(out.length - table);
    out.push(...Array.from(token, (c) => c.charCodeAt(0)), 0);
  }
  align(8);
  for (const at of index) out.push(at & 255, at >> 8);
  if (order === "new") offsets();
  align(8);
  out.push(...new Array(64).fill(0xff));
  return Uint8Array.from(out);
}

describe("kallsyms", () => {
  test.each(["new", "old"] as const)("the %s order of the tables", (order) => {
    const image = makeImage(order);
    const symbols = readKallsyms(image)!;
    expect(symbols.names).toEqual(NAMES);
    expect([...symbols.offsets]).toEqual(NAMES.map((_, n) => n * 0x10));
    expect(symbols.linked).toBe(BASE);
    expect(symbols.base).toBe(0);
    expect(new DataView(image.buffer).getBigUint64(symbols.baseAt!, true)).toBe(BASE);
  });

  test("no table, a table without a beginning, damaged ones: nothing, and no error", () => {
    expect(readKallsyms(new Uint8Array(1000))).toBeUndefined();
    expect(readKallsyms(new TextEncoder().encode([..."0123456789"].join("\0")))).toBeUndefined();
    expect(readKallsyms(makeImage("new", NAMES.slice(1)))).toBeUndefined();
    const image = makeImage("new");
    for (let at = 0x100; at < image.length; at += 97) {
      const damaged = image.slice();
      damaged[at]! ^= 0x55;
      expect(() => readKallsyms(damaged)).not.toThrow();
      expect(() => readKallsyms(image.slice(0, at))).not.toThrow();
    }
  });
});

describe("System.map", () => {
  const lines = (from: string) =>
    [`0000000000000000 A absolute`, `ffffffff80000000 T ${from}`]
      .concat(Array.from({ length: 120 }, (_, n) => `${(BASE + BigInt(n * 8 + 8)).toString(16)} t f${n}`))
      .join("\n");

  test("lines of address, kind and name", () => {
    const symbols = parseSystemMap(lines("_text"))!;
    expect(symbols.names.slice(0, 2)).toEqual(["_text", "f0"]);
    expect(symbols.offsets[1]).toBe(8);
    expect(symbols.linked).toBe(BASE);
  });

  test("a note instead of it, or nothing to begin with", () => {
    expect(parseSystemMap("ffffffffffffffff B The real System.map is elsewhere\n")).toBeUndefined();
    expect(parseSystemMap(lines("other"))).toBeUndefined();
  });

  test("is asked for where the image has no table, once", () => {
    let asked = 0;
    const systemMap = () => {
      asked++;
      return new TextEncoder().encode(lines("_start"));
    };
    const file = { source: "test", bytes: new Uint8Array(100), systemMap };
    expect(kernelSymbols(file)?.names).toContain("f7");
    expect(kernelSymbols(file)?.names).toContain("f7");
    expect(asked).toBe(1);
    expect(kernelSymbols({ source: "test", bytes: makeImage("new"), systemMap })?.names).toContain("function_7");
    expect(kernelSymbols({ source: "test", bytes: new Uint8Array(100) })).toBeUndefined();
    expect(asked).toBe(1);
  });
});

const guest = findGuest(process.env);
test.skipIf(guest === undefined)("the guest's kernel (skipped where set-up has obtained none)", () => {
  const symbols = readKallsyms(new Uint8Array(readFileSync(guest!.kernel)))!;
  expect(symbols.names.length).toBeGreaterThan(50_000);
  expect(symbols.names[symbols.offsets.indexOf(0)]).toBe("_start");
  for (const name of ["start_kernel", "plic_handle_irq", "do_sys_openat2"]) expect(symbols.names).toContain(name);
});
