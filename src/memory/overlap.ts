// Finding two regions on the same addresses, before one of them hides the other.

import { UserError } from "../util/user-error.ts";
import { type FlatRange, renderFlatView } from "./flat-view.ts";
import type { MemoryRegion } from "./region.ts";

/**
 * Checks that `region` can be put at `offset` in `container` without covering anything of the same priority: what a
 * board asks before it maps a device. Empty containers and disabled regions are in nobody's way.
 * @throws UserError that names both regions and their addresses
 */
export function assertNoOverlap(container: MemoryRegion, offset: bigint, region: MemoryRegion, priority = 0): void {
  const found = findOverlap(container, offset, region, priority);
  if (found === undefined) return;
  throw new UserError(`${place(found.hit)} overlaps ${place(found.present)}: give one of them another address`);
}

/** The end of what is in the way of `region` at `offset`, undefined if there is room. */
export function overlapEnd(container: MemoryRegion, offset: bigint, region: MemoryRegion): bigint | undefined {
  const found = findOverlap(container, offset, region, 0);
  return found === undefined ? undefined : BigInt(found.present.end);
}

function findOverlap(
  container: MemoryRegion,
  offset: bigint,
  region: MemoryRegion,
  priority: number,
): { readonly hit: FlatRange; readonly present: FlatRange } | undefined {
  const added = renderFlatView(region, offset).ranges;
  for (const other of container.subregions) {
    if (other.priority !== priority) continue;
    for (const present of renderFlatView(other, other.offset).ranges) {
      const hit = added.find((range) => range.start < present.end && present.start < range.end);
      if (hit !== undefined) return { hit, present };
    }
  }
  return undefined;
}

function place({ region, start, end }: FlatRange): string {
  return `${region.name} at 0x${start.toString(16)}-0x${(end - 1).toString(16)}`;
}
