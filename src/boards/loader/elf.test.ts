import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UserError } from "../../util/user-error.ts";
import { planBoot } from "./boot-plan.ts";
import { parseElf } from "./elf.ts";
import { elfForTests, type TestElf } from "./elf-for-tests.ts";

const code = Uint8Array.of(0x13, 0, 0, 0, 0x73, 0, 0x50, 0x10);
const source = "-bios fw.elf";

const parse = (elf: TestElf) => parseElf({ source, bytes: elfForTests(elf) });

describe("parseElf", () => {
  test("takes segments at their physical addresses, with bss", () => {
    const program = parse({
      segments: [
        { address: 0x8000_0000, data: code, memorySize: 100 },
        { address: 0x8010_0000, data: new Uint8Array(0), memorySize: 16 },
        { address: 0, data: code, memorySize: 8, type: 0x7000_0003 },
        { address: 0x8020_0000, data: new Uint8Array(0) },
      ],
    });
    expect(program.segments).toEqual([
      { address: 0x8000_0000, data: code, size: 100, headerBytes: 0 },
      { address: 0x8010_0000, data: new Uint8Array(0), size: 16, headerBytes: 0 },
    ]);
    expect(program.entry).toBe(0x8000_0000);
    expect(program.movable).toBe(false);
  });

  test("a DYN file linked at 0 is movable, one linked elsewhere is not", () => {
    expect(parse({ type: 3, segments: [{ address: 0, data: code }] }).movable).toBe(true);
    expect(parse({ type: 3, segments: [{ address: 0x8000_0000, data: code }] }).movable).toBe(false);
    expect(parse({ type: 2, segments: [{ address: 0, data: code }] }).movable).toBe(false);
  });

  test.each([
    ["a virtual address becomes physical", 0xffff_ffff_8000_0004n, 0xffff_ffff_8000_0000n, 0x8020_0004],
    ["a physical address stays", 0x8020_0004n, 0xffff_ffff_8000_0000n, 0x8020_0004],
    ["an address in no segment gives the lowest", 0x10n, 0xffff_ffff_8000_0000n, 0x8020_0000],
    ["the usual case", 0x8020_0004n, 0x8020_0000n, 0x8020_0004],
  ])("entry: %s", (_title, entry, virtualAddress, expected) => {
    expect(parse({ entry, segments: [{ address: 0x8020_0000, virtualAddress, data: code }] }).entry).toBe(expected);
  });

  test("functions come sorted, without data and local labels", () => {
    const program = parse({
      segments: [{ address: 0x8000_0000, data: code }],
      symbols: [
        { name: "main", value: 0x8000_0100n, size: 12n },
        { name: "_start", value: 0x8000_0000n, type: 0 },
        { name: "$x", value: 0x8000_0000n, type: 0 },
        { name: ".L1", value: 0x8000_0004n, type: 0 },
        { name: "table", value: 0x8000_0200n, type: 1 },
        { name: "file.c", value: 0n, type: 4 },
        { name: "kernel", value: 0xffff_ffff_8000_0000n, size: 4n },
      ],
    });
    expect(program.functions()).toEqual([
      { name: "_start", value: 0x8000_0000n, size: 0n },
      { name: "main", value: 0x8000_0100n, size: 12n },
      { name: "kernel", value: 0xffff_ffff_8000_0000n, size: 4n },
    ]);
  });
});

const hasCompiler = spawnSync("riscv64-linux-gnu-gcc", ["--version"]).status === 0;

test.skipIf(!hasCompiler)("reads what riscv64-linux-gnu-gcc and ld write", () => {
  const folder = mkdtempSync(join(tmpdir(), "plantain-elf-"));
  try {
    const output = join(folder, "a.elf");
    const program = `.globl _start\n_start: j _start\n.globl f\n.type f,@function\nf: ret\n.size f,.-f\n.bss\n.space 4096\n`;
    const options = ["-nostdlib", "-static", "-march=rv64g", "-Wl,--build-id=none", "-Wl,-Ttext=0x80000000"];
    execFileSync("riscv64-linux-gnu-gcc", [...options, "-x", "assembler", "-", "-o", output], { input: program });
    const elf = parseElf({ source, bytes: readFileSync(output) });
    expect(elf.entry).toBe(0x8000_0000);
    // The linker puts the headers into the page before the code: outside of RAM, and loaded nevertheless.
    const plan = planBoot({
      ram: { base: 0x8000_0000, size: 0x20_0000 },
      kernel: { source, bytes: readFileSync(output) },
    });
    expect(plan.blobs[0]).toMatchObject({ address: 0x8000_0000 });
    expect([...plan.blobs[0]!.bytes]).toEqual([0x6f, 0, 0, 0, 0x67, 0x80, 0, 0]);
    expect(elf.functions().slice(0, 2)).toEqual([
      { name: "_start", value: 0x8000_0000n, size: 0n },
      { name: "f", value: 0x8000_0004n, size: 4n },
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("bad files", () => {
  const good = elfForTests({
    segments: [{ address: 0x8000_0000, data: code }],
    symbols: [{ name: "main", value: 0x8000_0000n }],
  });

  function changed(change: (view: DataView) => void): Uint8Array {
    const bytes = good.slice();
    change(new DataView(bytes.buffer));
    return bytes;
  }

  test.each<[string, Uint8Array, RegExp]>([
    ["magic only", good.slice(0, 4), /truncated ELF file: 4 bytes/],
    ["half a header", good.slice(0, 40), /truncated/],
    ["header only", good.slice(0, 64), /truncated/],
    ["segment cut off", good.slice(0, 64 + 56 + 4), /truncated ELF file: segment 0/],
    ["32-bit", changed((v) => v.setUint8(4, 1)), /32-bit ELF file: expected ELF64.*rv64/],
    ["big-endian", changed((v) => v.setUint8(5, 2)), /big-endian/],
    ["for x86-64", changed((v) => v.setUint16(18, 62, true)), /for x86-64: expected one for RISC-V/],
    ["for an unknown machine", changed((v) => v.setUint16(18, 999, true)), /for machine 999/],
    ["an object file", changed((v) => v.setUint16(16, 1, true)), /not yet linked/],
    ["a core dump", changed((v) => v.setUint16(16, 4, true)), /core dump/],
    ["no program headers", changed((v) => v.setUint16(56, 0, true)), /without program headers/],
    ["65535 program headers", changed((v) => v.setUint16(56, 0xffff, true)), /damaged/],
    ["odd program headers", changed((v) => v.setUint16(54, 32, true)), /damaged/],
    ["program headers far away", changed((v) => v.setBigUint64(32, 2n ** 64n - 1n, true)), /truncated/],
    ["segment far away", changed((v) => v.setBigUint64(64 + 8, 2n ** 64n - 1n, true)), /truncated/],
    ["more in the file than in memory", changed((v) => v.setBigUint64(64 + 40, 1n, true)), /damaged/],
    ["a user program", changed((v) => v.setUint32(64, 3, true)), /Linux user program/],
    ["nothing to load", changed((v) => v.setUint32(64, 2, true)), /no PT_LOAD segment/],
  ])("%s", (_title, bytes, message) => {
    let error: unknown;
    try {
      parseElf({ source, bytes });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
    expect((error as UserError).message).toMatch(/^-bios fw\.elf: [^\n]*$/);
  });

  test("every single changed byte either parses or is a UserError, symbols included", () => {
    for (let offset = 4; offset < good.length; offset++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const bytes = good.slice();
        bytes[offset] = value;
        try {
          parseElf({ source, bytes }).functions();
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }
    }
  });
});
