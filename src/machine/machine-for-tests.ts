// A bare machine that nothing outside is connected to, for tests.

import { virtBoard } from "../boards/virt.ts";
import { defaultConfig, type MachineConfig } from "./config.ts";
import { createMachine, type Machine } from "./machine.ts";

/** With 16 MiB of RAM and without firmware. To be closed. */
export function bareMachine(config: Partial<MachineConfig> = {}): Machine {
  return createMachine(
    { ...defaultConfig, memory: 16 << 20, firmware: { kind: "none" }, icount: { shift: 3, sleep: false }, ...config },
    {
      fwCfg: [],
      drives: new Map(),
      netdevs: new Map(),
      chardevs: new Map(),
      serials: [],
      rngs: new Map(),
      log: { enabled: () => false, write: () => {} },
      monotonic: () => performance.now() * 1e6,
      wallClock: () => 1n,
      random: (bytes) => bytes.fill(7),
    },
    [virtBoard],
  );
}
