// Code that comes and goes for as long as the guest runs: nothing grows, nothing becomes slower for good.

import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { TestMachine } from "../riscv/machine-for-tests.ts";
import { silentLog } from "../util/log.ts";
import { inlineCompiler } from "./compiler.ts";
import { Patience } from "./patience.ts";
import { type CompiledTranslation, RegionCache } from "./tier1.ts";

/**
 * A translator in the guest: writes a function with a constant of its own into the next of `pages` pages, calls it `calls`
 * times, each with a loop of `rounds` (less than 2048), and begins again. s0 counts functions, s1 wrong answers.
 */
const program = (pages: number, calls: number, rounds: number): string => `
      li s0, 0
      li s1, 0
next: li t0, ${pages}
      remu t1, s0, t0
      slli t1, t1, 12
      li s2, 0x80040000
      add s2, s2, t1
      slli t1, s0, 6
      andi t1, t1, 0xc0
      add s2, s2, t1          # its place: another one in the page each time
      andi s3, s0, 1023       # its constant
      la t0, template
      ld t1, 0(t0)
      ld t2, 8(t0)
      ld t3, 16(t0)
      sd t1, 0(s2)
      slli t4, s3, 20
      add t2, t2, t4
      sd t2, 8(s2)
      sd t3, 16(s2)
      fence.i
      li s4, ${calls}
      li s5, 0
call: mv a0, s5
      jalr s2
      mv s5, a0
      addi s4, s4, -1
      bnez s4, call
      li t0, ${calls * rounds}
      mul t0, t0, s3
      beq t0, s5, right
      addi s1, s1, 1
right: addi s0, s0, 1
      j next
      .balign 8
template: li t1, ${rounds}
      nop
      addi a0, a0, 0
      addi t1, t1, -1
      bnez t1, template + 8
      ret
`;

interface Churn {
  readonly machine: TestMachine;
  readonly cache: RegionCache;
  /** Batches that were asked for, and what became of them. */
  readonly modules: WebAssembly.Module[];
  batches: number;
}

function churn(source: string, codePages = 64): Churn {
  const machine = new TestMachine({ hotCount: 4, codePages });
  const compiler = inlineCompiler(machine.engine);
  const counted: Churn = {
    machine,
    modules: [],
    batches: 0,
    cache: new RegionCache(
      machine.engine,
      {
        translate(entries, done) {
          counted.batches++;
          compiler.translate(entries, (result: CompiledTranslation | undefined) => {
            if (result) counted.modules.push(result.module);
            done(result);
          });
        },
        close() {},
      },
      silentLog,
    ),
  };
  machine.load(source);
  return counted;
}

/** Runs until the guest has made `functions` more. */
function make({ machine, cache }: Churn, functions: number, slice: number): void {
  const end = machine.hart.x(8) + BigInt(functions);
  while (machine.hart.x(8) < end) {
    machine.hart.run(slice);
    cache.poll();
  }
  expect(machine.hart.x(9), "wrong answers").toBe(0n);
}

describe("a translator in the guest", () => {
  test("that keeps its functions for a while has each of them translated, for ever", () => {
    // Each page is written anew after 6 million instructions.
    const guest = churn(program(4, 250, 2000));
    make(guest, 40, 20_000);
    const before = { installed: guest.cache.installed, slots: guest.machine.engine.table.length };
    make(guest, 60, 20_000);
    expect(guest.cache.installed - before.installed).toBeGreaterThanOrEqual(60);
    expect(guest.machine.engine.table.length).toBe(before.slots);
  });

  test("that throws them away at once does not keep ours busy, and nothing grows", () => {
    for (const [pages, codePages] of [
      [1, 64],
      [40, 64],
      [40, 8],
    ] as const) {
      const guest = churn(program(pages, 20, 40), codePages);
      make(guest, 20 * pages, 500);
      const { cache, machine } = guest;
      const before = { slots: machine.engine.table.length, batches: guest.batches };
      let most = 0;
      for (let n = 0; n < 10; n++) {
        make(guest, 4 * pages, 500);
        most = Math.max(most, cache.regions);
        expect(cache.modules).toBeLessThanOrEqual(cache.regions);
      }
      expect(most).toBeLessThan(10 + 4 * pages);
      expect(cache.codeSize).toBeLessThan(10_000 * (cache.modules + 1));
      // One step more than before at most: how many are in use at once varies.
      expect(machine.engine.table.length).toBeLessThanOrEqual(before.slots + 64);
      if (codePages === 64) expect(guest.batches - before.batches).toBeLessThan(40 * pages);
    }
  });

  test("the host can free what was removed", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const guest = churn(program(4, 250, 2000));
    let freed = 0;
    let seen = 0;
    const registry = new FinalizationRegistry<undefined>(() => freed++);
    for (let n = 0; n < 10; n++) {
      make(guest, 4, 20_000);
      for (const module of guest.modules.splice(0)) {
        registry.register(module, undefined);
        seen++;
      }
    }
    expect(seen).toBeGreaterThan(30);
    const all = () => seen - freed <= guest.cache.modules + 1;
    for (let n = 0; n < 50 && !all(); n++) {
      collect();
      await setImmediate();
    }
    expect(seen - freed).toBeLessThanOrEqual(guest.cache.modules + 1);
  });

  test("entries that wait when all code is dropped get hot again", () => {
    const { machine, cache } = churn("1: addi a0, a0, 1; j 1b");
    machine.hart.run(1000);
    // Something is waiting to be translated: it goes, and must not be taken for waiting ever after.
    machine.engine.dropCode();
    machine.hart.run(1000);
    cache.poll();
    expect(cache.regions).toBe(1);
  });
});

describe("patience with a page", () => {
  const PAGE = 0x5000;

  test("ends with its eighth loss, and comes back by and by", () => {
    let now = 0;
    const patience = new Patience(() => now);
    for (let n = 0; n < 8; n++) {
      expect(patience.deserves(PAGE, 0)).toBe(true);
      patience.lost(PAGE);
    }
    expect(patience.deserves(PAGE, 0)).toBe(false);
    expect(patience.deserves(PAGE + 0x1000, 0)).toBe(true);
    // However many there are meanwhile.
    for (let n = 0; n < 100; n++) patience.lost(PAGE);
    now += 4_999_999;
    expect(patience.deserves(PAGE, 0)).toBe(false);
    now += 1;
    expect(patience.deserves(PAGE, 0)).toBe(true);
    patience.lost(PAGE);
    expect(patience.deserves(PAGE, 0)).toBe(false);
    now += 40_000_000;
    for (let n = 0; n < 8; n++) patience.lost(PAGE);
    expect(patience.deserves(PAGE, 0)).toBe(false);
    // A snapshot from long ago was loaded.
    now = 0;
    expect(patience.deserves(PAGE, 0)).toBe(true);
  });

  test("a place without a region is not tried again until its page changes", () => {
    const patience = new Patience(() => 0);
    patience.giveUp(PAGE, 8);
    patience.giveUp(PAGE, 12);
    expect([0, 8, 12].map((offset) => patience.deserves(PAGE, offset))).toEqual([true, false, false]);
    patience.changed(PAGE);
    expect(patience.deserves(PAGE, 8)).toBe(true);
  });

  test("remembers a bounded number of pages and places", () => {
    const patience = new Patience(() => 0);
    for (let page = 0; page < 100_000; page++) {
      for (let n = 0; n < 8; n++) patience.lost(page * 4096);
      patience.giveUp(page * 4096, 0);
    }
    const refused = Array.from({ length: 100_000 }, (_, page) => page).filter(
      (page) => !patience.deserves(page * 4096, 4),
    );
    expect(refused).toHaveLength(4096);
    expect(refused.at(-1)).toBe(99_999);
  });
});

test("in a host without threads little is translated at once", () => {
  // More than the largest region, and many loops in it that are hot at the same time.
  const loop = (n: number) =>
    `${n}: ${"add a0, a0, a1; xor a1, a1, a0;".repeat(60)} addi s1, s1, -1; andi t0, s1, 7; bnez t0, ${n}b;`;
  const machine = new TestMachine({ hotCount: 4 });
  machine.load(`li s1, -1; start: ${Array.from({ length: 20 }, (_, n) => loop(n)).join(" ")} la t0, start; jr t0`);
  const compiler = inlineCompiler(machine.engine);
  const sizes: number[] = [];
  const cache = new RegionCache(
    machine.engine,
    {
      ...compiler,
      translate: (entries, done) =>
        compiler.translate(entries, (result) => {
          sizes.push(result?.regions.reduce((sum, region) => sum + region.instructions, 0) ?? 0);
          done(result);
        }),
    },
    silentLog,
  );
  for (let n = 0; n < 60; n++) {
    machine.hart.run(5000);
    cache.poll();
  }
  expect(sizes.length).toBeGreaterThan(10);
  expect(Math.max(...sizes)).toBeLessThan(500);
});

test("a store beside translated code leaves it alone, though what was decoded there is forgotten", () => {
  // f ends right before the chunk that is stored to, with a compressed instruction that is a region's entry too.
  const machine = new TestMachine({ hotCount: 2 });
  const cache = new RegionCache(machine.engine, inlineCompiler(machine.engine), silentLog);
  machine.load(`j start; .balign 64; .space 58; f: addi a0, a0, 1; last: .half 0x8082; other: addi a1, a1, 1; ret
    .balign 64
    start: la s0, f; la s1, other; la s2, last; li s3, 300; 1: jalr s0; jalr s1; jalr s2; addi s3, s3, -1; bnez s3, 1b
    lb t0, 0(s1); sb t0, 0(s1); addi a3, a3, 1; j start`);
  const run = (slices: number): void => {
    for (let n = 0; n < slices; n++) {
      machine.hart.run(700);
      cache.poll();
    }
  };
  run(200);
  expect(machine.hart.x(13)).toBeGreaterThan(30n);
  expect(machine.hart.x(10) - machine.hart.x(11)).toBeLessThanOrEqual(1n);
  const before = cache.regions;
  machine.space.writeBytes(machine.at("f"), new Uint8Array([0x13, 0x05, 0x25, 0x00]));
  expect(cache.regions).toBeLessThan(before);
  const [f, other] = [machine.hart.x(10), machine.hart.x(11)];
  run(100);
  const rounds = machine.hart.x(11) - other;
  expect(machine.hart.x(10) - f - 2n * rounds).toBeLessThanOrEqual(2n);
});
