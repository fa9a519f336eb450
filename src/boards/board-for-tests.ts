// A board without a machine: fake harts that only note their interrupt inputs, and a clock that a test moves.

import type { DeviceHost } from "../device/device.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { silentLog } from "../util/log.ts";
import { ManualClock } from "../util/manual-clock.ts";
import type { Board, BoardContext, BoardHart, BoardInfo, HartIsa } from "./board.ts";
import { virtBoard } from "./virt.ts";

const MiB = 1024 * 1024;

/** What QEMU 7.2's rv64 says, less the hypervisor extension. */
const testIsa: HartIsa = {
  base: "rv64i",
  extensions: [..."imafdc", "zicsr", "zifencei", "zihintpause", "zba", "zbb", "zbc", "zbs", "sstc"],
  mmuType: "riscv,sv48",
};

/** A board and what a test needs around it. */
export interface BoardSetup {
  readonly board: Board;
  readonly memory: AddressSpace;
  readonly clock: ManualClock;
  /** The interrupt inputs that are high: `hart1:9`. */
  readonly high: Set<string>;
}

/** Makes a board: `virt` with one hart and 16 MiB unless told otherwise. */
export function setUpBoard(
  changes: Partial<BoardContext> & { hartCount?: number; isa?: HartIsa; info?: BoardInfo } = {},
): BoardSetup {
  const system = MemoryRegion.container("system", 2n ** 64n);
  const memory = new AddressSpace(system, "memory");
  const clock = new ManualClock();
  const host: DeviceHost = {
    clock,
    memory,
    log: silentLog,
    allocateRam: (size) => new Uint8Array(size),
    wallClock: () => 0n,
    shutdown: () => {},
    random: (bytes) => bytes.fill(7),
  };
  const high = new Set<string>();
  const harts = Array.from({ length: changes.hartCount ?? 1 }, (_, mhartid): BoardHart => {
    const irqLine = (bit: number) => (level: boolean) => {
      if (level) high.add(`hart${mhartid}:${bit}`);
      else high.delete(`hart${mhartid}:${bit}`);
    };
    return { mhartid, isa: changes.isa ?? testIsa, irqLine };
  });
  const board = (changes.info ?? virtBoard).create({
    host,
    system,
    harts,
    ramSize: 16 * MiB,
    maxRamSize: 3072 * MiB,
    serials: [],
    properties: {},
    boot: {},
    ...changes,
  });
  return { board, memory, clock, high };
}
