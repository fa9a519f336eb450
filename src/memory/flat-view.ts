// The flat view: what an address map shows at each address, after containers, aliases and priorities are resolved.

import type { MemoryRegion } from "./region.ts";

/** Addresses at or above it are not numbers' business: a decode error, and no part of a flat view. */
export const ADDRESS_LIMIT = 2 ** 53;

/** A range of addresses that one ram, rom or io region answers. */
export interface FlatRange {
  readonly start: number;
  /** The first address after it. */
  readonly end: number;
  readonly region: MemoryRegion;
  /** Where in the region `start` is. */
  readonly offset: number;
}

/** Sorted ranges that do not overlap. */
export interface FlatView {
  readonly ranges: readonly FlatRange[];
}

/** A range while it is made: in bigint, because a container may begin below 0 or end above the limit. */
interface Range {
  readonly start: bigint;
  readonly end: bigint;
  readonly region: MemoryRegion;
  readonly offset: bigint;
}

/** Resolves `root`, with its start at address `base`, and all in it. */
export function renderFlatView(root: MemoryRegion, base = 0n): FlatView {
  const found: Range[] = [];
  render(found, root, base, 0n, BigInt(ADDRESS_LIMIT));
  const ranges = found.map(({ start, end, region, offset }) => ({
    start: Number(start),
    end: Number(end),
    region,
    offset: Number(offset),
  }));
  return { ranges };
}

/**
 * Adds to `ranges` what `region`, with its start at address `base`, shows from `low` up to `high` where nothing is yet:
 * who comes first hides who comes later.
 */
function render(ranges: Range[], region: MemoryRegion, base: bigint, low: bigint, high: bigint): void {
  if (!region.enabled) return;
  const start = base > low ? base : low;
  const end = base + region.size < high ? base + region.size : high;
  if (start >= end) return;
  if (region.target !== undefined) {
    render(ranges, region.target.region, base - region.target.offset, start, end);
    return;
  }
  for (const subregion of region.subregions) render(ranges, subregion, base + subregion.offset, start, end);
  if (region.kind !== "container") fillGaps(ranges, { start, end, region, offset: start - base });
}

/** Adds the parts of `range` that no range covers yet; `ranges` stays sorted. */
function fillGaps(ranges: Range[], range: Range): void {
  let { start } = range;
  let index = ranges.findIndex((other) => other.end > start);
  if (index < 0) index = ranges.length;
  while (start < range.end) {
    const next = ranges[index];
    const end = next !== undefined && next.start < range.end ? next.start : range.end;
    if (start < end) {
      ranges.splice(index, 0, { start, end, region: range.region, offset: range.offset + (start - range.start) });
      index++;
    }
    start = next === undefined ? range.end : next.end;
    index++;
  }
}
