// What regions hold: table slots, never two of them the same one, and decoded pages.

import { expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { Engine } from "../riscv/engine.ts";
import { silentLog } from "../util/log.ts";
import { inlineCompiler } from "./compiler.ts";
import { RegionCache } from "./tier1.ts";

const RAM = 0x8000_0000;
const PAGE = 0x1000;
const RAM_BYTES = 32 * PAGE;

/** A machine with a page of RAM for each loop; each loop never ends and counts by its own number. */
function loops(codePages: number) {
  const root = MemoryRegion.container("system", 1n << 56n);
  const space = new AddressSpace(root, "memory");
  const engine = new Engine({ harts: 1, ramBytes: RAM_BYTES, space, time: () => 0n, hotCount: 64, codePages });
  root.addSubregion(BigInt(RAM), MemoryRegion.ram("ram", engine.allocateRam(RAM_BYTES)));
  const cache = new RegionCache(engine, inlineCompiler(engine), silentLog);
  const hart = engine.harts[0]!;

  const write = (page: number, step: number): void => {
    space.writeBytes(RAM + page * PAGE, assemble(`1: addi a0, a0, ${step}\nj 1b`).bytes);
  };
  /** Runs the page's loop, translated or not, and returns what one round added. */
  const run = (page: number): bigint => {
    hart.reset(BigInt(RAM + page * PAGE));
    hart.setX(10, 0n);
    for (let slice = 0; slice < 3; slice++) {
      hart.run(2000);
      cache.poll();
    }
    return hart.x(10) / 3000n;
  };
  return { hart, cache, write, run };
}

test("regions whose code changed give back their slots; the others keep theirs", () => {
  const { cache, write, run } = loops(64);
  /** What each page's loop adds. */
  const steps: number[] = [];
  const add = (): void => {
    const step = steps.length + 1;
    write(steps.length, step);
    steps.push(step);
    expect(run(step - 1)).toBe(BigInt(step));
  };
  while (steps.length < 8) add();
  expect(cache.regions).toBe(8);
  // Each changes and is translated again, in the slot that the first had too; what comes then takes no other's place.
  for (let page = 0; page < 8; page++) {
    steps[page]! += 100;
    write(page, steps[page]!);
    expect(cache.regions).toBe(steps.length - 1);
    run(page);
    add();
    expect(cache.regions).toBe(steps.length);
    expect(steps.map((_, other) => run(other))).toEqual(steps.map(BigInt));
  }
});

test("code that is run once takes the decoded pages of its like, not of what is translated", () => {
  const { cache, hart, write, run } = loops(8);
  for (let page = 0; page < 24; page++) write(page, page + 1);
  for (const page of [0, 1, 2]) expect(run(page)).toBe(BigInt(page + 1));
  expect(cache.regions).toBe(3);
  for (let round = 0; round < 3; round++) {
    for (let page = 3; page < 24; page++) {
      hart.reset(BigInt(RAM + page * PAGE));
      hart.setX(10, 0n);
      hart.run(3);
      expect(hart.x(10)).toBe(BigInt(2 * (page + 1)));
    }
    for (const page of [0, 1, 2]) expect(run(page)).toBe(BigInt(page + 1));
  }
  expect(cache.installed).toBe(3);
  // Where all are of translated code, everything goes, and comes back.
  for (let page = 0; page < 24; page++) expect(run(page)).toBe(BigInt(page + 1));
  expect(cache.regions).toBeLessThanOrEqual(8);
  expect(cache.regions).toBeGreaterThan(0);
});
