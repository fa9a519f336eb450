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
  const added = renderFlatView(region, offset).ranges;
  for (const other of container.subregions) {
    if (other.priority !== priority) continue;
    for (const present of renderFlatView(other, other.offset).ranges) {
      const hit = added.find((range) => range.start < present.end && present.start < range.end);
      if (hit !== undefined) {
        throw new UserError(`${place(hit)} overlaps ${place(present)}: give one of them another address`);
      }
    }
  }
}

function place({ region, start, end }: FlatRange): string {
  return `${region.name} at 0x${start.toString(16)}-0x${(end - 1).toString(16)}`;
}
