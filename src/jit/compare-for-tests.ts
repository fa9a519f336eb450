/** Runs one program on both tiers, slice by slice, and compares registers, memory and counters after each. */
import { expect } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { Engine } from "../riscv/engine.ts";
import { type Field, S } from "../riscv/layout.ts";
import { type Log, silentLog } from "../util/log.ts";
import { inlineCompiler } from "./compiler.ts";
import { THREAD_LIMITS } from "./module.ts";
import { RegionCache } from "./tier1.ts";

export const RAM = 0x8000_0000;
const RAM_BYTES = 1 << 20;

/** A machine on one of the tiers. */
export interface Run {
  readonly engine: Engine;
  readonly cache: RegionCache | undefined;
  readonly ram: Uint8Array;
  /** The bus, for more devices. */
  readonly root: MemoryRegion;
  /** Writes to the device at 0x1000_0000, in order. */
  readonly writes: number[];
}

/** A machine with 1 MiB of RAM and one device, whose reads count up and whose writes are kept. */
export function machine(tier: "interp" | "jit", log: Log = silentLog): Run {
  const root = MemoryRegion.container("system", 1n << 56n);
  const space = new AddressSpace(root, "memory");
  let ticks = 0n;
  const engine = new Engine({ harts: 1, ramBytes: RAM_BYTES, space, time: () => ticks++, codePages: 64, hotCount: 2 });
  const ram = engine.allocateRam(RAM_BYTES);
  root.addSubregion(BigInt(RAM), MemoryRegion.ram("ram", ram));
  const writes: number[] = [];
  let reads = 0;
  const line = engine.harts[0]!.irqLine(11);
  const device = MemoryRegion.io("device", 0x100, {
    read: () => reads++,
    write(offset, value) {
      writes.push(value);
      // Offset 4 drives the external interrupt line, 8 writes RAM behind the hart's back, as DMA does.
      if (offset === 4) line(value !== 0);
      if (offset === 8) space.writeBytes(RAM + 0x2000, new Uint8Array([0x13, 0x05, 0x35, 0x00])); // addi a0, a0, 3
    },
  });
  root.addSubregion(0x1000_0000n, device);
  // Where a board's test finisher is: programs that also run on QEMU end there.
  root.addSubregion(0x10_0000n, MemoryRegion.io("finisher", 0x1000, { read: () => 0, write: () => {} }));
  const cache = tier === "jit" ? new RegionCache(engine, inlineCompiler(engine, THREAD_LIMITS), log) : undefined;
  return { engine, cache, ram, root, writes };
}

const COMPARED: readonly (keyof typeof S)[] = [
  "pc",
  "priv",
  "fflags",
  "frm",
  "mstatus",
  "mepc",
  "mcause",
  "mtval",
  "sepc",
  "scause",
  "stval",
  "fsDirty",
];

function stateOf({ engine, ram, writes }: Run): unknown {
  const hart = engine.harts[0]!;
  let hash = 0;
  for (let i = 0; i < ram.length; i += 4)
    hash = (Math.imul(hash, 31) + engine.view.getInt32(ram.byteOffset + i, true)) | 0;
  const is32 = (f: Field) => f === S.priv || f === S.fflags || f === S.frm || f === S.fsDirty;
  return {
    x: Array.from({ length: 32 }, (_, n) => hart.x(n).toString(16)),
    f: Array.from({ length: 32 }, (_, n) => hart.f(n).toString(16)),
    csr: Object.fromEntries(
      COMPARED.map((name) => [name, is32(S[name]) ? hart.get32(S[name]) : hart.get64(S[name]).toString(16)]),
    ),
    instret: hart.instret,
    hash,
    writes: writes.length,
  };
}

/** A small generator (mulberry32), so that every run tries the same. */
export function random(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface CompareOptions {
  readonly seed?: number;
  readonly slices?: number;
  /** Before the start: memory, devices. */
  readonly prepare?: (run: Run) => void;
  /** Before each slice. */
  readonly between?: (run: Run, slice: number) => void;
  /** The program does not end: it is compared for as many slices as were asked for. */
  readonly endless?: boolean;
}

/** Runs `source` on both tiers in the same slices until it stores to the finisher word at RAM + 0xff000. */
export function compare(
  source: string,
  { seed = 1, slices = 400, prepare, between, endless = false }: CompareOptions = {},
): { interp: Run; jit: Run; regions: number } {
  const { bytes } = assemble(source, { base: BigInt(RAM) });
  const runs = { interp: machine("interp"), jit: machine("jit") };
  for (const run of [runs.interp, runs.jit]) {
    run.ram.set(bytes);
    prepare?.(run);
    run.engine.harts[0]!.reset(BigInt(RAM));
  }
  const next = random(seed);
  for (let n = 0; n < slices; n++) {
    const budget = 1 + next(next(4) === 0 ? 50 : 4000);
    for (const run of [runs.interp, runs.jit]) {
      between?.(run, n);
      run.cache?.poll();
      run.engine.harts[0]!.run(budget);
    }
    expect(stateOf(runs.jit), `after slice ${n} of ${budget} instructions`).toEqual(stateOf(runs.interp));
    if (runs.interp.ram[0xff000] || (endless && n === slices - 1)) {
      const regions = runs.jit.cache!.installed;
      expect(regions, "regions that were translated").toBeGreaterThan(0);
      return { ...runs, regions };
    }
  }
  throw new Error(`the program did not end: pc 0x${runs.interp.engine.harts[0]!.pc.toString(16)}`);
}

export const PROLOGUE = `
  li t0, 0x6000
  csrs mstatus, t0
  li sp, 0x800f0000
  li s0, 0x80080800
`;
export const END = `
  li t0, 0x800ff000
  li t1, 1
  sw t1, 0(t0)
1: j 1b
`;
