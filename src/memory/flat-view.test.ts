import { describe, expect, test } from "vitest";
import { ADDRESS_LIMIT, renderFlatView } from "./flat-view.ts";
import { MemoryRegion } from "./region.ts";

const io = (name: string, size: number | bigint) => MemoryRegion.io(name, size, {});

/** The ranges as `start-end name@offset`, in hexadecimal. */
function view(root: MemoryRegion): string[] {
  const hex = (value: number) => value.toString(16);
  return renderFlatView(root).ranges.map(
    ({ start, end, region, offset }) =>
      `${hex(start)}-${hex(end)} ${region.name}${offset === 0 ? "" : `@${hex(offset)}`}`,
  );
}

function container(size: number | bigint = 0x10000): MemoryRegion {
  return MemoryRegion.container("root", size);
}

describe("overlaps", () => {
  test("the higher priority shows, and the lower around it", () => {
    const root = container();
    root.addSubregion(0x1000n, io("low", 0x4000));
    root.addSubregion(0x2000n, io("high", 0x1000), 1);
    expect(view(root)).toEqual(["1000-2000 low", "2000-3000 high", "3000-5000 low@2000"]);
  });

  test("order of adding does not matter between priorities, among equals the last one shows", () => {
    const root = container();
    root.addSubregion(0x2000n, io("high", 0x1000), 1);
    root.addSubregion(0x1000n, io("first", 0x2000));
    root.addSubregion(0x1800n, io("second", 0x1000));
    expect(view(root)).toEqual(["1000-1800 first", "1800-2000 second", "2000-3000 high"]);
  });

  test("negative priorities are a background", () => {
    const root = container(0x3000);
    root.addSubregion(0n, io("background", 0x3000), -1000);
    root.addSubregion(0x1000n, io("device", 0x100));
    expect(view(root)).toEqual(["0-1000 background", "1000-1100 device", "1100-3000 background@1100"]);
  });

  test("one region hides several, several cut one into pieces", () => {
    const root = container();
    for (const n of [1, 3, 5]) root.addSubregion(BigInt(n * 0x1000), io(`n${n}`, 0x1000), 1);
    root.addSubregion(0n, io("wide", 0x7000));
    expect(view(root)).toEqual([
      "0-1000 wide",
      "1000-2000 n1",
      "2000-3000 wide@2000",
      "3000-4000 n3",
      "4000-5000 wide@4000",
      "5000-6000 n5",
      "6000-7000 wide@6000",
    ]);
    root.addSubregion(0n, io("all", 0x8000), 2);
    expect(view(root)).toEqual(["0-8000 all"]);
  });

  test("a region that is fully hidden does not show", () => {
    const root = container();
    root.addSubregion(0x1000n, io("hidden", 0x100));
    root.addSubregion(0x1000n, io("over", 0x100), 5);
    expect(view(root)).toEqual(["1000-1100 over"]);
  });
});

describe("containers", () => {
  test("an empty container lets what is below it show: the banana ROM in the platform bus", () => {
    const root = container(1n << 64n);
    root.addSubregion(0x400_0000n, io("banana_rom", 0x100));
    root.addSubregion(0x400_0000n, MemoryRegion.container("platform bus", 0x200_0000));
    expect(view(root)).toEqual(["4000000-4000100 banana_rom"]);
  });

  test("priorities count among neighbours only", () => {
    const root = container();
    const inner = MemoryRegion.container("inner", 0x2000);
    inner.addSubregion(0x0n, io("urgent", 0x1000), 100);
    root.addSubregion(0x1000n, inner);
    root.addSubregion(0x1800n, io("sibling", 0x1000), 1);
    expect(view(root)).toEqual(["1000-1800 urgent", "1800-2800 sibling"]);
  });

  test("what sticks out of its container is cut off, at both ends", () => {
    const root = container(0x2000);
    root.addSubregion(0x1800n, io("end", 0x1000));
    root.addSubregion(-0x400n, io("begin", 0x1000));
    expect(view(root)).toEqual(["0-c00 begin@400", "1800-2000 end"]);
  });

  test("an io region may hold others, and shows between them", () => {
    const root = io("window", 0x3000);
    root.addSubregion(0x1000n, io("register", 0x100));
    expect(view(root)).toEqual(["0-1000 window", "1000-1100 register", "1100-3000 window@1100"]);
  });
});

describe("aliases", () => {
  test("show their part of the target", () => {
    const target = io("target", 0x4000);
    const root = container();
    root.addSubregion(0x8000n, MemoryRegion.alias("window", target, 0x1000n, 0x800n));
    expect(view(root)).toEqual(["8000-8800 target@1000"]);
  });

  test("show the target's parts, at the alias's priority", () => {
    const target = MemoryRegion.container("pci", 1n << 64n);
    target.addSubregion(0x4000_1000n, io("bar", 0x1000), 7);
    const root = container(1n << 64n);
    root.addSubregion(0x4000_0000n, MemoryRegion.alias("pci-window", target, 0x4000_0000n, 0x1_0000n));
    root.addSubregion(0x4000_1800n, io("over", 0x100), 1);
    expect(view(root)).toEqual(["40001000-40001800 bar", "40001800-40001900 over", "40001900-40002000 bar@900"]);
  });

  test("of aliases, of the same target twice, and beyond its end", () => {
    const rom = MemoryRegion.rom("rom", new Uint8Array(0x1000));
    const half = MemoryRegion.alias("half", rom, 0x800n, 0x1000n);
    const root = container();
    root.addSubregion(0x0n, rom);
    root.addSubregion(0x4000n, half);
    root.addSubregion(0x8000n, MemoryRegion.alias("quarter", half, 0x400n, 0x400n));
    expect(view(root)).toEqual(["0-1000 rom", "4000-4800 rom@800", "8000-8400 rom@c00"]);
  });

  test("of a target's container see where the target is", () => {
    const system = container();
    system.addSubregion(0x2000n, io("device", 0x100));
    expect(view(MemoryRegion.alias("bus master", system, 0x1000n, 0x2000n))).toEqual(["1000-1100 device"]);
  });
});

test("a disabled region is not there, nor what is in it", () => {
  const root = container();
  const inner = MemoryRegion.container("inner", 0x1000);
  inner.addSubregion(0n, io("device", 0x100));
  root.addSubregion(0n, inner, 1);
  root.addSubregion(0n, io("below", 0x200));
  inner.enabled = false;
  expect(view(root)).toEqual(["0-200 below"]);
  inner.enabled = true;
  expect(view(root)).toEqual(["0-100 device", "100-200 below@100"]);
});

test("addresses from 2^53 on are in no view", () => {
  const root = container(1n << 64n);
  root.addSubregion(BigInt(ADDRESS_LIMIT) - 0x1000n, io("edge", 0x2000));
  root.addSubregion(1n << 60n, io("beyond", 0x1000));
  const { ranges } = renderFlatView(root);
  expect(ranges.map(({ start, end }) => [start, end])).toEqual([[ADDRESS_LIMIT - 0x1000, ADDRESS_LIMIT]]);
});

test("random maps: every address shows what a search from the top down finds", () => {
  let seed = 42;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  /** The region and offset at an address, found the slow way. */
  const lookup = (region: MemoryRegion, at: number): string | undefined => {
    if (!region.enabled || at < 0 || at >= Number(region.size)) return undefined;
    if (region.target !== undefined) return lookup(region.target.region, at + Number(region.target.offset));
    for (const subregion of region.subregions) {
      const found = lookup(subregion, at - Number(subregion.offset));
      if (found !== undefined) return found;
    }
    return region.kind === "container" ? undefined : `${region.name}@${at}`;
  };
  const grow = (depth: number, pool: MemoryRegion[]): MemoryRegion => {
    const size = 8 + random(40);
    const region = random(2) === 0 ? MemoryRegion.container(`c${pool.length}`, size) : io(`r${pool.length}`, size);
    for (let i = 0; depth > 0 && i < 4; i++) {
      const child =
        random(4) === 0 && pool.length > 0
          ? MemoryRegion.alias("alias", pool[random(pool.length)]!, BigInt(random(10)), BigInt(1 + random(30)))
          : grow(depth - 1, pool);
      region.addSubregion(BigInt(random(50) - 8), child, random(3) - 1);
      child.enabled = random(6) !== 0;
    }
    pool.push(region);
    return region;
  };
  for (let round = 0; round < 60; round++) {
    const root = container(64);
    for (let i = 0; i < 3; i++) root.addSubregion(BigInt(random(20)), grow(3, []), random(2));
    const { ranges } = renderFlatView(root);
    const shown = Array.from({ length: 64 }, (_, at) => {
      const hits = ranges.filter((range) => at >= range.start && at < range.end);
      expect(hits.length).toBeLessThanOrEqual(1);
      return hits[0] && `${hits[0].region.name}@${at - hits[0].start + hits[0].offset}`;
    });
    expect(shown).toEqual(Array.from({ length: 64 }, (_, at) => lookup(root, at)));
    expect(ranges).toEqual([...ranges].sort((a, b) => a.start - b.start));
  }
});
