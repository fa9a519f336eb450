// QEMU as the oracle of access rules: the same loads and stores on its virt board and on regions here that have the
// board's sizes and limits, compared in value, fault and address of the fault.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { AddressSpace } from "./address-space.ts";
import type { AccessSize, MemoryRegionOps } from "./io-callbacks.ts";
import { MemoryRegion } from "./region.ts";

const COMPILER = "riscv64-linux-gnu-gcc";
const EMULATOR = "qemu-system-riscv64";
const hasTools = [COMPILER, EMULATOR].every((tool) => spawnSync(tool, ["--version"]).status === 0);

const RAM = 0x8000_0000;
const RAM_SIZE = 32 << 20;

interface Access {
  readonly kind: "load" | "store";
  readonly address: number;
  readonly size: AccessSize;
  readonly value: bigint;
}

/** Where accesses go: around [from, to), with stores where they change what can be read back or nothing at all. */
interface Area {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly stores: boolean;
  /** Whether the values read are known, not only whether they can be. */
  readonly values: boolean;
  readonly ops?: MemoryRegionOps;
}

const signature = [0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47];
const priorities = new Uint32Array(128);
const timeCompare = new Uint8Array(8);
const timeView = new DataView(timeCompare.buffer);

const AREAS: readonly Area[] = [
  // A whole page of halfwords and words; stores end the machine, and loads run on into the clock.
  {
    name: "test",
    from: 0x10_0000,
    to: 0x10_1000,
    stores: false,
    values: false,
    ops: { read: () => 0, valid: { min: 2, max: 4 } },
  },
  // A part of a page, words only; its values are the time.
  { name: "rtc", from: 0x10_1000, to: 0x10_1024, stores: false, values: false, ops: { valid: { min: 4, max: 4 } } },
  // Words and doublewords; other than the first timer's there is nothing to compare.
  {
    name: "mtimer",
    from: 0x200_4000,
    to: 0x200_4008,
    stores: true,
    values: true,
    ops: {
      read: (offset) => (offset < 8 ? timeView.getUint32(offset, true) : 0),
      write: (offset, value) => offset < 8 && timeView.setUint32(offset, value, true),
      read64: (offset) => (offset === 0 ? timeView.getBigUint64(0, true) : 0n),
      write64: (offset, value) => offset === 0 && timeView.setBigUint64(0, value, true),
      valid: { min: 4, max: 8 },
      impl: { min: 4, max: 8 },
    },
  },
  // Many pages of words: the priorities, three bits each; source 0 has none.
  {
    name: "plic",
    from: 0xc00_0000,
    to: 0xc00_0100,
    stores: true,
    values: true,
    ops: {
      read: (offset) => (offset < 0x180 ? priorities[offset / 4]! : 0),
      write: (offset, value) => {
        if (offset > 0 && offset < 0x180) priorities[offset / 4] = value & 7;
      },
      valid: { min: 4, max: 4 },
    },
  },
  // Big endian, all sizes up to a doubleword: the signature of fw_cfg's DMA interface.
  {
    name: "fwcfg.dma",
    from: 0x1010_0010,
    to: 0x1010_0018,
    stores: false,
    values: true,
    ops: {
      read: (offset, size) => signature.slice(offset, offset + size).reduce((value, byte) => (value << 8) | byte, 0),
      read64: () => BigInt(`0x${signature.map((byte) => byte.toString(16)).join("")}`),
      endianness: "big",
      valid: { min: 1, max: 8 },
      impl: { min: 1, max: 8 },
    },
  },
  // No limits, part of a page: a virtio transport without a device tells its magic, version and vendor.
  {
    name: "virtio-mmio",
    from: 0x1000_1000,
    to: 0x1000_1200,
    stores: true,
    values: true,
    ops: { read: (offset) => [0x7472_6976, 1, 0, 0x554d_4551][offset / 4] ?? 0, write: () => {} },
  },
  { name: "mrom", from: 0x1000, to: 0x1_0000, stores: true, values: false },
  { name: "ram", from: RAM + RAM_SIZE - 64, to: RAM + RAM_SIZE, stores: true, values: true },
];

const REGION_SIZES: Record<string, number> = { mtimer: 0x8000, plic: 0x60_0000 };

function board(): AddressSpace {
  const system = MemoryRegion.container("system", 1n << 64n);
  for (const { name, from, to, ops } of AREAS) {
    if (ops !== undefined)
      system.addSubregion(BigInt(from), MemoryRegion.io(name, REGION_SIZES[name] ?? to - from, ops));
  }
  system.addSubregion(0x1000n, MemoryRegion.rom("mrom", new Uint8Array(0xf000)));
  system.addSubregion(BigInt(RAM), MemoryRegion.ram("ram", new Uint8Array(RAM_SIZE)));
  // The neighbours that accesses around the areas run into.
  system.addSubregion(0x200_0000n, MemoryRegion.io("swi", 0x4000, { valid: { min: 4, max: 4 } }));
  return new AddressSpace(system, "memory");
}

function randomAccesses(count: number): { access: Access; area: Area }[] {
  let seed = 20240229;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  return Array.from({ length: count }, () => {
    const area = AREAS[random(AREAS.length)]!;
    const size = ([1, 2, 4, 8] as const)[random(4)]!;
    const kind = area.stores && random(3) === 0 ? "store" : "load";
    // Mostly near the ends, where the rules differ.
    const offset = [random(24), area.to - area.from - 12 + random(16), random(area.to - area.from)][random(3)]!;
    const address = Math.max(area.from, area.from + offset);
    const value = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32));
    return { area, access: { kind, address, size, value } };
  });
}

/** A program that does the accesses one by one, and prints for each the value loaded, or the address of its fault. */
function program(accesses: readonly Access[]): string {
  const load = { 1: "lbu", 2: "lhu", 4: "lwu", 8: "ld" };
  const save = { 1: "sb", 2: "sh", 4: "sw", 8: "sd" };
  const body = accesses.map(({ kind, address, size, value }) => {
    const instruction = kind === "load" ? `${load[size]} a0, 0(a1)` : `${save[size]} a2, 0(a1)`;
    return `li a1, ${address}\nli a2, ${value}\nli a0, 0\nli s1, 0\n${instruction}\ncall report`;
  });
  return `
    .option norvc
    .section .text
    .globl _start
    _start: la t0, trap
            csrw mtvec, t0
            li s0, 0x10000000
            ${body.join("\n")}
            li t0, 0x100000
            li t1, 0x5555
            sw t1, 0(t0)
    1:      j 1b
    # Says that there was a fault (s1) and where, and goes on behind the instruction.
    .align 2
    trap:   li s1, 1
            csrr a0, mtval
            csrr t0, mepc
            addi t0, t0, 4
            csrw mepc, t0
            mret
    # Prints s1 as f or -, then a0 in hexadecimal.
    report: mv s2, ra
            li t0, '-'
            beqz s1, 1f
            li t0, 'f'
    1:      call print
            li t1, 60
    2:      srl t0, a0, t1
            andi t0, t0, 15
            addi t0, t0, '0'
            li t2, '9'
            ble t0, t2, 3f
            addi t0, t0, 'a' - '9' - 1
    3:      call print
            addi t1, t1, -4
            bgez t1, 2b
            li t0, '\\n'
            mv ra, s2
    # Sends t0 when the transmitter has room.
    print:  lbu t2, 5(s0)
            andi t2, t2, 0x20
            beqz t2, print
            sb t0, 0(s0)
            ret
  `;
}

function askQemu(accesses: readonly Access[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "plantain-memory-"));
  try {
    const source = join(folder, "accesses.S");
    const elf = join(folder, "accesses.elf");
    writeFileSync(source, program(accesses));
    const flags = [
      "-nostdlib",
      "-static",
      "-march=rv64i_zicsr",
      "-mabi=lp64",
      `-Wl,-Ttext=0x${RAM.toString(16)},--build-id=none`,
    ];
    execFileSync(COMPILER, [...flags, source, "-o", elf], { stdio: "pipe" });
    const board = ["-M", "virt", "-m", `${RAM_SIZE >> 20}`, "-bios", "none", "-kernel", elf];
    const host = ["-display", "none", "-monitor", "none", "-serial", "stdio"];
    return execFileSync(EMULATOR, [...board, ...host], { encoding: "utf8", timeout: 60_000 })
      .trim()
      .split("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function askMemory(accesses: readonly Access[]): string[] {
  const memory = board();
  return accesses.map(({ kind, address, size, value }) => {
    let result = 0n;
    if (kind === "load") result = BigInt(memory.load(address, size)) | (BigInt(memory.high) << 32n);
    else memory.store(address, size, Number(value & 0xffff_ffffn), Number(value >> 32n));
    if (memory.fault) result = BigInt(memory.faultAddress);
    return `${memory.fault ? "f" : "-"}${result.toString(16).padStart(16, "0")}`;
  });
}

test.skipIf(!hasTools)(`accesses answer as in QEMU (needs ${EMULATOR} and ${COMPILER})`, () => {
  const cases = randomAccesses(4000);
  const accesses = cases.map(({ access }) => access);
  const theirs = askQemu(accesses);
  const ours = askMemory(accesses);
  const lines = (answers: readonly string[]) =>
    cases.map(({ access, area }, i) => {
      const { kind, address, size, value } = access;
      const known = area.values || answers[i]?.startsWith("f");
      const head = `${i} ${area.name} ${kind} ${size} at ${address.toString(16)}`;
      return `${head}${kind === "store" ? ` of ${value.toString(16)}` : ""}: ${known ? answers[i] : answers[i]?.[0]}`;
    });
  expect(lines(ours)).toEqual(lines(theirs));
  expect(ours.filter((answer) => answer.startsWith("f")).length).toBeGreaterThan(500);
});
