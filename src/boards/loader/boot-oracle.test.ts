// Asks QEMU where it loads what, and compares: docs/design/loader.md tells the rules that are measured here.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeFdt } from "../../fdt/decode.ts";
import { planBoot } from "./boot-plan.ts";
import { elfForTests } from "./elf-for-tests.ts";
import { resetVector } from "./reset-vector.ts";

const QEMU = "qemu-system-riscv64";
const version = spawnSync(QEMU, ["--version"], { encoding: "utf8" }).stdout ?? "";
const hasQemu = version.includes("version 7.2");

const MiB = 1024 * 1024;
const BASE = 0x8000_0000;

describe.skipIf(!hasQemu)("as QEMU 7.2 (qemu-system-riscv64) does", () => {
  let folder = "";
  const files: Record<string, Uint8Array> = {
    firmware: pattern(1000, 1),
    firmware3M: pattern(3_000_000, 2),
    "firmware.elf": elfForTests({ segments: [{ address: BASE, data: pattern(64, 3), memorySize: 2 * MiB + 8 }] }),
    kernel: pattern(5000, 4),
    "kernel.elf": elfForTests({ segments: [{ address: 0x8080_0000, data: pattern(64, 5), memorySize: 4096 }] }),
    initrd: pattern(4000, 6),
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "plantain-boot-"));
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    { memory: "128M", firmware: "firmware", kernel: "kernel", initrd: "initrd" },
    { memory: "32M", firmware: "firmware.elf", kernel: "kernel", initrd: "initrd" },
    { memory: "34M", firmware: "firmware3M", kernel: "kernel", initrd: "initrd" },
    { memory: "33M", firmware: "firmware", kernel: "kernel.elf", initrd: "initrd" },
    { memory: "1G", firmware: "firmware", kernel: "kernel", initrd: "initrd" },
    { memory: "1100M", firmware: "firmware.elf", kernel: "kernel" },
    { memory: "128M", kernel: "kernel", initrd: "initrd" },
    { memory: "128M", firmware: "firmware" },
    { memory: "32776K" },
    { memory: "3M" },
  ])("-m $memory -bios $firmware -kernel $kernel -initrd $initrd", ({ memory, ...names }) => {
    const [, number, unit] = /^(\d+)([KMG])$/.exec(memory)!;
    const size = Number(number) * { K: 1024, M: MiB, G: 1024 * MiB }[unit as "K" | "M" | "G"];
    const file = (name: string | undefined) => (name ? { source: name, bytes: files[name]! } : undefined);
    const plan = planBoot({
      ram: { base: BASE, size },
      firmware: file(names.firmware),
      kernel: file(names.kernel),
      initrd: file(names.initrd),
    });
    const contents = plan.blobs.map(({ address, bytes }) => ({ address, bytes: bytes.slice(0, 64) }));
    const fdt = plan.placeFdt({ source: "the device tree", bytes: new Uint8Array(4096) });

    const args = ["-m", memory, "-bios", names.firmware ?? "none", "-display", "none", "-serial", "null"];
    for (const option of ["kernel", "initrd"] as const) {
      const name = names[option];
      if (name) args.push(`-${option}`, name);
    }

    const expectedRom = resetVector({ start: plan.start, fdt, next: plan.next });
    const ranges = [{ address: 0x1000, bytes: expectedRom }, ...contents];
    const answers = readGuest(args, ranges);
    expect(answers).toEqual(ranges.map(({ bytes }) => [...bytes]));

    if (plan.initrd) {
      execFileSync(QEMU, ["-M", "virt,dumpdtb=dtb", ...args], { cwd: folder, stdio: "ignore" });
      const chosen = decodeFdt(readFileSync(join(folder, "dtb")), "dtb").root.find("/chosen");
      const cell = (name: string) => Buffer.from(chosen?.properties.get(name) ?? []).readUInt32BE();
      expect([cell("linux,initrd-start"), cell("linux,initrd-end")]).toEqual([plan.initrd.start, plan.initrd.end]);
    }
  });

  /** The bytes at the given ranges before the guest's first instruction, by QEMU's monitor. */
  function readGuest(args: readonly string[], ranges: readonly { address: number; bytes: Uint8Array }[]): number[][] {
    const commands = ranges.map(({ address, bytes }) => `xp /${bytes.length}xb ${address}`);
    const output = execFileSync(QEMU, ["-M", "virt", "-S", "-monitor", "stdio", ...args], {
      cwd: folder,
      encoding: "utf8",
      input: `${commands.join("\n")}\nquit\n`,
    });
    const bytesByAddress = new Map<number, number>();
    for (const [, address, list] of output.matchAll(/^([0-9a-f]{16}): ((?:0x[0-9a-f]{2} ?)+)\r?$/gm)) {
      for (const [i, byte] of list!.trim().split(" ").entries()) {
        bytesByAddress.set(Number.parseInt(address!, 16) + i, Number(byte));
      }
    }
    return ranges.map(({ address, bytes }) => Array.from(bytes, (_, i) => bytesByAddress.get(address + i) ?? -1));
  }
});

/** Bytes that look like nothing in particular, different for every seed. */
function pattern(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed * 57 + (i >> 8)) & 0xff);
}
