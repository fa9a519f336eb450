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
  /** The priority of the region in its container (for display). */
  readonly priority: number;
}

/** Sorted ranges that do not overlap. */
export interface FlatView {
  readonly root: MemoryRegion;
  readonly ranges: readonly FlatRange[];
}

/** A range while it is made; addresses may be beyond the limit. */
interface Range {
  start: bigint;
  end: bigint;
  region: MemoryRegion;
  offset: bigint;
  priority: number;
}

/** Resolves `root` and all in it. */
export function renderFlatView(root: MemoryRegion): FlatView {
  const found: Range[] = [];
  render(found, root, 0n, 0n, BigInt(ADDRESS_LIMIT), 0);
  const ranges: FlatRange[] = [];
  for (const { start, end, region, offset, priority } of found) {
    ranges.push({ start: Number(start), end: Number(end), region, offset: Number(offset), priority });
  }
  return { root, ranges };
}

/**
 * Adds to `ranges` what `region`, with its start at address `base`, shows from `low` up to `high` where nothing is yet:
 * who comes first hides who comes later.
 */
function render(
  ranges: Range[],
  region: MemoryRegion,
  base: bigint,
  low: bigint,
  high: bigint,
  priority: number,
): void {
  if (!region.enabled) return;
  const start = base > low ? base : low;
  const end = base + region.size < high ? base + region.size : high;
  if (start >= end) return;
  if (region.target !== undefined) {
    render(ranges, region.target.region, base - region.target.offset, start, end, priority);
    return;
  }
  for (const { region: subregion, offset, priority } of region.subregions) {
    render(ranges, subregion, base + offset, start, end, priority);
  }
  if (region.kind !== "container") fillGaps(ranges, { start, end, region, offset: start - base, priority });
}

/** Adds the parts of `range` that no range covers yet; `ranges` stays sorted. */
function fillGaps(ranges: Range[], range: Range): void {
  let { start } = range;
  let index = 0;
  while (start < range.end) {
    while (index < ranges.length && ranges[index]!.end <= start) index++;
    const next = ranges[index];
    const end = next !== undefined && next.start < range.end ? next.start : range.end;
    if (start < end) {
      ranges.splice(index, 0, { ...range, start, end, offset: range.offset + (start - range.start) });
      index++;
    }
    if (next === undefined) break;
    start = next.end > end ? next.end : end;
  }
}
