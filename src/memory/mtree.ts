// Address maps as text, in the format of QEMU's `info mtree` and `info mtree -f`.

import type { AddressSpace } from "./address-space.ts";
import type { MemoryRegion } from "./region.ts";

/**
 * The trees of regions: each root with the address spaces that begin at it, then each region that an alias shows.
 * Disabled regions are left out.
 */
export function renderMemoryTree(spaces: readonly AddressSpace[]): string {
  const lines: string[] = [];
  const aliased = new Set<MemoryRegion>();
  for (const [root, sharing] of byRoot(spaces)) {
    for (const name of sharing.map((space) => space.name).sort()) lines.push(`address-space: ${name}`);
    renderRegion(lines, root, 0n, 1, aliased);
    lines.push("");
  }
  // A set: regions that are found on the way are visited too, each one once.
  for (const region of aliased) {
    lines.push(`memory-region: ${region.name}`);
    renderRegion(lines, region, region.offset, 1, aliased);
    lines.push("");
  }
  return lines.join("\n");
}

/** The flat views: what each address space shows where. */
export function renderFlatViews(spaces: readonly AddressSpace[]): string {
  const lines: string[] = [];
  let number = 0;
  for (const [root, sharing] of byRoot(spaces)) {
    lines.push(`FlatView #${number++}`);
    for (const { name } of sharing) lines.push(` AS "${name}", root: ${root.name}`);
    lines.push(` Root memory region: ${root.name}`);
    const { ranges } = sharing[0]!.flatView;
    if (ranges.length === 0) lines.push("  No rendered FlatView");
    for (const { start, end, region, offset } of ranges) {
      const at = offset === 0 ? "" : ` @${hex(BigInt(offset))}`;
      lines.push(`  ${rangeText(BigInt(start), BigInt(end))} ${traits(region)}: ${region.name}${at}`);
    }
    lines.push("");
  }
  return lines.join("\n");
}

/** The address spaces that show the same, by what they show. */
function byRoot(spaces: readonly AddressSpace[]): Map<MemoryRegion, AddressSpace[]> {
  return Map.groupBy(spaces, (space) => space.root);
}

function renderRegion(
  lines: string[],
  region: MemoryRegion,
  base: bigint,
  depth: number,
  aliased: Set<MemoryRegion>,
): void {
  if (!region.enabled) return;
  const head = `${"  ".repeat(depth)}${rangeText(base, base + region.size)} ${traits(region)}:`;
  if (region.target !== undefined) {
    const { region: target, offset } = region.target;
    aliased.add(target);
    lines.push(`${head} alias ${region.name} @${target.name} ${rangeText(offset, offset + region.size)}`);
  } else {
    lines.push(`${head} ${region.name}`);
  }
  // By address, and where several begin, the one that shows first.
  const subregions = [...region.subregions].sort((a, b) => (a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0));
  for (const subregion of subregions) renderRegion(lines, subregion, base + subregion.offset, depth + 1, aliased);
}

function traits(region: MemoryRegion): string {
  const kind = region.kind === "ram" || region.kind === "rom" ? region.kind : "i/o";
  return `(prio ${region.priority}, ${kind})`;
}

function rangeText(start: bigint, end: bigint): string {
  return `${hex(start)}-${hex(end - 1n)}`;
}

function hex(address: bigint): string {
  return address.toString(16).padStart(16, "0");
}
