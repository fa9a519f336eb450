import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { AddressSpace } from "../../memory/address-space.ts";
import { MemoryRegion } from "../../memory/region.ts";
import { UserError } from "../../util/user-error.ts";
import { writeBlobs } from "./blob-list.ts";
import type { BootFile } from "./boot-file.ts";
import { type BootRequest, planBoot } from "./boot-plan.ts";
import { elfForTests, type TestElf } from "./elf-for-tests.ts";

const MiB = 1024 * 1024;
const BASE = 0x8000_0000;
const code = Uint8Array.of(0x13, 0, 0, 0);

const ram = (mebibytes: number) => ({ base: BASE, size: mebibytes * MiB });
const raw = (source: string, size = 1000): BootFile => ({ source, bytes: new Uint8Array(size).fill(0x13) });
const elf = (source: string, content: TestElf): BootFile => ({ source, bytes: elfForTests(content) });
const fdt = raw("the device tree", 4000);

/** A Linux Image: a header and nothing else. */
function image({ memorySize = 0x58_f040, magic = "RSC\x05", flags = 0 } = {}): BootFile {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, 0x20_0000n, true);
  view.setBigUint64(16, BigInt(memorySize), true);
  view.setUint32(24, flags, true);
  for (let i = 0; i < 4; i++) bytes[56 + i] = magic.charCodeAt(i);
  return { source: "-kernel Image", bytes };
}

describe("places", () => {
  test("raw firmware, Linux Image, initrd, device tree", () => {
    const firmware = raw("-bios fw.bin");
    const plan = planBoot({ ram: ram(128), firmware, kernel: image(), initrd: raw("-initrd initrd") });
    expect(plan.start).toBe(BASE);
    expect(plan.next).toBe(0x8020_0000);
    expect(plan.initrd).toEqual({ start: 0x8420_0000, end: 0x8420_0000 + 1000 });
    expect(plan.placeFdt(fdt)).toBe(0x87e0_0000);
    expect(plan.blobs.map(({ source, address, size }) => [source, address, size])).toEqual([
      ["-bios fw.bin", 0x8000_0000, 1000],
      ["-kernel Image", 0x8020_0000, 0x58_f040],
      ["-initrd initrd", 0x8420_0000, 1000],
      ["the device tree", 0x87e0_0000, MiB],
    ]);
  });

  test("nothing to boot", () => {
    const plan = planBoot({ ram: ram(128) });
    expect([plan.start, plan.next, plan.initrd, plan.blobs]).toEqual([BASE, 0, undefined, []]);
  });

  test("the kernel at the start of RAM without firmware", () => {
    const plan = planBoot({ ram: ram(128), kernel: image() });
    expect([plan.start, plan.next]).toEqual([BASE, BASE]);
  });

  test("the kernel behind firmware of 3 MB, bss included", () => {
    expect(planBoot({ ram: ram(128), firmware: raw("-bios fw", 3e6), kernel: image() }).next).toBe(0x8040_0000);
    const firmware = elf("-bios fw.elf", { segments: [{ address: BASE, data: code, memorySize: 2 * MiB + 1 }] });
    expect(planBoot({ ram: ram(128), firmware, kernel: image() }).next).toBe(0x8040_0000);
  });

  test("ELF files go where they were linked, and begin at their entry points", () => {
    const firmware = elf("-bios fw.elf", {
      entry: 0x8001_0004n,
      segments: [{ address: 0x8001_0000, data: new Uint8Array(8) }],
    });
    const kernel = elf("-kernel k.elf", {
      entry: 0x8040_0004n,
      segments: [{ address: 0x8040_0000, data: new Uint8Array(8) }],
    });
    const plan = planBoot({ ram: ram(128), firmware, kernel, initrd: raw("-initrd i") });
    expect([plan.start, plan.next]).toEqual([0x8001_0004, 0x8040_0004]);
    expect(plan.initrd?.start).toBe(0x8440_0000);
    expect(planBoot({ ram: ram(128), kernel }).start).toBe(0x8040_0004);
  });

  test("padding below RAM in front of the code is left out, contents are not", () => {
    const padded = new Uint8Array(104);
    padded.set(code, 100);
    const segments = [{ address: BASE - 100, data: padded }];
    const plan = planBoot({ ram: ram(128), kernel: elf("-kernel k.elf", { entry: BigInt(BASE), segments }) });
    expect(plan.blobs).toMatchObject([{ address: BASE, bytes: code, size: 4 }]);
    padded[0] = 1;
    const kernel = elf("-kernel k.elf", { segments });
    expectUserError(() => planBoot({ ram: ram(128), kernel }), /outside of RAM/);
  });

  test("position-independent firmware and kernel", () => {
    const pie: TestElf = {
      type: 3,
      entry: 4n,
      segments: [
        { address: 0, data: new Uint8Array(8) },
        { address: 0x4_0000, data: code, memorySize: 0x5d90 },
      ],
      symbols: [{ name: "_start", value: 4n }],
    };
    const plan = planBoot({ ram: ram(128), firmware: elf("-bios fw.elf", pie), kernel: elf("-kernel k.elf", pie) });
    expect(plan.blobs.map((blob) => blob.address)).toEqual([BASE, 0x8004_0000, 0x8020_0000, 0x8024_0000]);
    expect([plan.start, plan.next]).toEqual([BASE + 4, 0x8020_0004]);
    expect(plan.functions().map((symbol) => symbol.value)).toEqual([0x8000_0004n, 0x8020_0004n]);
  });

  test.each([
    [32, 0x8120_0000, 0x81e0_0000],
    [64, 0x8220_0000, 0x83e0_0000],
    [512, 0x8820_0000, 0x9fe0_0000],
    [1024, 0x8820_0000, 0xbfe0_0000],
    [3072, 0x8820_0000, 0xbfe0_0000],
  ])("initrd and device tree with %i MiB", (size, initrd, tree) => {
    const plan = planBoot({ ram: ram(size), firmware: raw("-bios f"), kernel: image(), initrd: raw("-initrd i") });
    expect(plan.initrd?.start).toBe(initrd);
    expect(plan.placeFdt(fdt)).toBe(tree);
  });

  test.each([
    [33 * MiB, 0x8200_0000],
    [32 * MiB + 8192, 0x81e0_0000],
    [3 * MiB, 0x8020_0000],
    [1 * MiB, 0x8000_0000],
  ])("the device tree in %i bytes of RAM", (size, expected) => {
    expect(planBoot({ ram: { base: BASE, size } }).placeFdt(fdt)).toBe(expected);
  });
});

describe("gzip", () => {
  const kernel = { source: "-kernel Image.gz", bytes: new Uint8Array(gzipSync(image().bytes)) };
  const gunzip = (bytes: Uint8Array, maxSize: number) =>
    new Uint8Array(gunzipSync(bytes, { maxOutputLength: maxSize }));

  test("is unpacked by the function that the caller gives", () => {
    const plan = planBoot({ ram: ram(128), kernel, gunzip });
    expect(plan.blobs[0]?.size).toBe(0x58_f040);
    expect(plan.blobs[0]?.bytes).toEqual(image().bytes);
  });

  test.each<[string, BootRequest, RegExp]>([
    ["no function", { ram: ram(128), kernel }, /gzip-compressed: unpack it first/],
    ["damaged", { ram: ram(128), kernel: { ...kernel, bytes: kernel.bytes.slice(0, 30) }, gunzip }, /cannot unpack/],
    ["too large", { ram: { base: BASE, size: 4000 }, kernel, gunzip }, /cannot unpack .* at most 3.9 KiB/],
    ["empty", { ram: ram(1), kernel: { ...kernel, bytes: gzipSync("") }, gunzip }, /nothing in this gzip file/],
  ])("%s", (_title, request, message) => {
    expectUserError(() => planBoot(request), /^-kernel Image\.gz: [^\n]*$/, message);
  });
});

describe("bad input", () => {
  const segment = { address: BASE, data: code };
  const empty = new Uint8Array(0);
  test.each<[string, BootRequest, RegExp]>([
    ["empty firmware", { ram: ram(128), firmware: { source: "-bios f", bytes: empty } }, /^-bios f: the file is empty/],
    ["empty kernel", { ram: ram(128), kernel: { source: "-kernel k", bytes: empty } }, /^-kernel k: the file is empty/],
    [
      "empty initrd",
      { ram: ram(9), kernel: image(), initrd: { source: "-initrd i", bytes: empty } },
      /^-initrd i: .* empty/,
    ],
    ["initrd alone", { ram: ram(128), initrd: raw("-initrd i") }, /^-initrd i: an initrd needs a kernel/],
    [
      "firmware larger than RAM",
      { ram: ram(1), firmware: raw("-bios f", 2 * MiB) },
      /^-bios f: 2 MiB .* 1 MiB of RAM .* -m$/,
    ],
    ["kernel larger than RAM", { ram: ram(4), kernel: image() }, /^-kernel Image: 5.6 MiB .* 4 MiB of RAM .* -m$/],
    ["kernel of 2^64 bytes", { ram: ram(4), kernel: image({ memorySize: 2 ** 63 }) }, /^-kernel Image: .* do not fit/],
    [
      "initrd larger than RAM",
      { ram: ram(16), kernel: image(), initrd: raw("-initrd i", 9e6) },
      /^-initrd i: .* do not fit .* -m$/,
    ],
    [
      "segment below RAM",
      { ram: ram(9), kernel: elf("-kernel k", { segments: [{ address: 0x10_0000, data: code }] }) },
      /^-kernel k: its segment 0x100000-0x100003 lies outside of RAM/,
    ],
    [
      "segment behind RAM",
      { ram: ram(9), kernel: elf("-kernel k", { segments: [{ ...segment, memorySize: 2 ** 62 }] }) },
      /^-kernel k: .* outside of RAM/,
    ],
    [
      "segments overlap",
      { ram: ram(9), kernel: elf("-kernel k", { segments: [segment, segment] }) },
      /^-kernel k: damaged .* overlap/,
    ],
    [
      "kernel over firmware",
      {
        ram: ram(9),
        firmware: raw("-bios f"),
        kernel: elf("-kernel k", { segments: [{ address: BASE + 996, data: code }] }),
      },
      /^-kernel k \(0x800003e4-0x800003e7\) overlaps -bios f \(0x80000000-0x800003e7\): link/,
    ],
    [
      "initrd in the kernel's bss",
      { ram: ram(8), kernel: image(), initrd: raw("-initrd i") },
      /^-initrd i .* overlaps -kernel Image .*: give .* -m$/,
    ],
    ["a kernel for AArch64", { ram: ram(9), kernel: image({ magic: "ARMd" }) }, /AArch64: expected one for RISC-V/],
    ["a big-endian kernel", { ram: ram(9), kernel: image({ flags: 1 }) }, /big-endian/],
  ])("%s", (_title, request, message) => {
    expectUserError(() => planBoot(request), message, /^[^\n]*$/);
  });

  test("a kernel in an EFI program", () => {
    const kernel = image({ magic: "xxxx" });
    kernel.bytes.set(new TextEncoder().encode("MZ\0\0zimg"));
    expectUserError(() => planBoot({ ram: ram(9), kernel }), /zboot/);
  });

  test("65534 segments at one place", () => {
    const segments = Array.from({ length: 65534 }, () => ({ address: BASE, data: code }));
    expectUserError(() => planBoot({ ram: ram(9), kernel: elf("-kernel k", { segments }) }), /overlap/);
  });

  test("no room for the device tree", () => {
    const small = planBoot({ ram: { base: BASE, size: 512 * 1024 } });
    expectUserError(
      () => small.placeFdt(fdt),
      /^-m 512K: no room for the device tree .*: expected at least 1024K of RAM$/,
    );
    const taken = planBoot({ ram: ram(2), kernel: raw("-kernel k") });
    expectUserError(() => taken.placeFdt(fdt), /overlaps .*: give the machine more memory with -m$/);
  });
});

test("writeBlobs writes the files and zeros behind them, and tells of both", () => {
  const system = MemoryRegion.container("system", 2n ** 64n);
  const bytes = new Uint8Array(4 * MiB).fill(0xff);
  system.addSubregion(BigInt(BASE), MemoryRegion.ram("ram", bytes));
  const memory = new AddressSpace(system, "memory");
  const written: [number, number][] = [];
  memory.onRamWrite((_region, offset, length) => written.push([offset, length]));
  const kernel = elf("-kernel k.elf", { segments: [{ address: BASE + 16, data: code, memorySize: 12 }] });
  writeBlobs(memory, planBoot({ ram: ram(4), kernel }).blobs);
  expect([...bytes.subarray(14, 30)]).toEqual([255, 255, 0x13, ...Array<number>(11).fill(0), 255, 255]);
  expect(written).toEqual([
    [16, 4],
    [20, 8],
  ]);
});

function expectUserError(run: () => unknown, ...messages: RegExp[]): void {
  let error: unknown;
  try {
    run();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(UserError);
  for (const message of messages) expect((error as UserError).message).toMatch(message);
}
