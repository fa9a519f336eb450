import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readModuleInfo, slimModule } from "./kernel-module.ts";

const CROSS = "riscv64-linux-gnu-";
const hasTools = ["gcc", "ld", "nm", "objcopy"].every((tool) => spawnSync(CROSS + tool, ["--version"]).status === 0);

/** As a module is made: relocatable, with relaxation, so that local labels and every kind of relocation are there. */
const SOURCE = `
extern int given(int);
static const char *const names[] = { "one", "two", "three" };
static int counter = 3;
static __attribute__((noinline)) int twice(int x) { return given(x) + given(x + 1); }
int exported(int x) {
  switch (x) { case 0: return 7; case 1: return twice(x); case 2: return counter++; case 3: return names[x & 1][0];
    case 4: return given(4); case 5: return given(9); default: return x > 9 ? twice(x * 3) : -1; }
}
int (*pointer)(int) = twice;
__attribute__((section(".modinfo"), used)) static const char a[] = "depends=failover,virtio-blk";
__attribute__((section(".modinfo"), used)) static const char b[] = "alias=virtio:d00000001v*";
__attribute__((section(".modinfo"), used)) static const char c[] = "alias=virtio:d00000002v*";
`;

describe.skipIf(!hasTools)(`slimming a module (needs ${CROSS}gcc and binutils)`, () => {
  let folder = "";
  let object: Uint8Array = new Uint8Array();
  const at = (name: string): string => join(folder, name);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "plantain-module-"));
    writeFileSync(at("module.c"), SOURCE);
    execFileSync(`${CROSS}gcc`, [
      "-c",
      "-O2",
      "-g",
      "-fno-pic",
      "-mcmodel=medany",
      "-o",
      at("module.o"),
      at("module.c"),
    ]);
    writeFileSync(at("types"), "type information");
    execFileSync(`${CROSS}objcopy`, ["--add-section", `.BTF=${at("types")}`, at("module.o")]);
    // As the kernel's loader sees a signed module: more after the end of the file.
    object = Buffer.concat([readFileSync(at("module.o")), Buffer.from("signature~Module signature appended~\n")]);
    writeFileSync(at("slim.o"), slimModule(object));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const linked = (name: string): Buffer => {
    const given = ["--defsym", "given=0x80100000"];
    execFileSync(`${CROSS}ld`, [
      "--no-relax",
      "-Ttext=0x80000000",
      "-e",
      "exported",
      ...given,
      "-o",
      at("linked"),
      at(name),
    ]);
    execFileSync(`${CROSS}objcopy`, ["-O", "binary", "-R", ".BTF", "-R", ".comment", at("linked"), at("linked.bin")]);
    return readFileSync(at("linked.bin"));
  };
  const symbols = (name: string): string[] => {
    const table = execFileSync(`${CROSS}nm`, ["--debug-syms", at(name)], { encoding: "utf8" });
    return table.trim().split("\n");
  };

  test("links to the same bytes as before", () => {
    expect(linked("slim.o").equals(linked("module.o"))).toBe(true);
  });

  test("keeps the names of functions and objects, and loses unused labels, type information and signature", () => {
    const names = symbols("slim.o").map((line) => line.split(" ").at(-1));
    expect(names).toEqual(expect.arrayContaining(["exported", "twice", "counter", "given", "pointer"]));
    expect(symbols("slim.o").length).toBeLessThan(symbols("module.o").length);
    const slim = readFileSync(at("slim.o"));
    expect(slim.includes("type information")).toBe(false);
    expect(slim.includes("Module signature")).toBe(false);
  });

  test("leaves the caller's bytes alone, and is done after one pass", () => {
    const before = Buffer.from(object);
    const slim = slimModule(object);
    expect(before.equals(object)).toBe(true);
    expect(slimModule(slim)).toEqual(slim);
  });

  test("reads what a module says of itself", () => {
    const info = readModuleInfo(object);
    expect(info.get("depends")).toEqual(["failover,virtio-blk"]);
    expect(info.get("alias")?.toSorted()).toEqual(["virtio:d00000001v*", "virtio:d00000002v*"]);
  });

  test("a truncated module is refused", () => {
    expect(() => slimModule(object.subarray(0, 2000))).toThrow("truncated");
  });
});

test("what is no module is refused", () => {
  expect(() => readModuleInfo(new TextEncoder().encode("#!/bin/sh\n".padEnd(100)))).toThrow("not a 64-bit");
  expect(() => readModuleInfo(new Uint8Array())).toThrow("not a 64-bit");
});
