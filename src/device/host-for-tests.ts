// A machine with nothing but a clock, memory and a log, for this room's tests.

import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { ManualClock } from "../util/manual-clock.ts";
import type { DeviceHost } from "./device.ts";

/** A DeviceHost whose time moves by hand and whose address map and log can be reached. */
export interface TestHost extends DeviceHost {
  readonly clock: ManualClock;
  readonly system: MemoryRegion;
  readonly guestErrors: string[];
}

export function testHost(): TestHost {
  const clock = new ManualClock();
  const system = MemoryRegion.container("system", 1n << 64n);
  const guestErrors: string[] = [];
  const log = { enabled: () => true, write: (_item: string, line: string) => guestErrors.push(line) };
  return {
    clock,
    log,
    system,
    memory: new AddressSpace(system, "memory", log),
    guestErrors,
    allocateRam: (size) => new Uint8Array(size),
    wallClock: () => BigInt(clock.now),
    shutdown: () => {},
    random: (bytes) => bytes.fill(4),
  };
}
