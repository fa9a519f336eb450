// Makes the machine of a command line: with the devices of the user's files.

import type { BoardInfo } from "../boards/board.ts";
import type { MachineConfig, MachineHost } from "../machine/config.ts";
import { createMachine, type Machine } from "../machine/machine.ts";
import { loadDevice, placedOf } from "../node/device-file.ts";

/** @throws UserError when a device's file is wrong, or the machine cannot be made */
export async function startMachine(
  config: MachineConfig,
  host: MachineHost,
  boards: readonly BoardInfo[],
): Promise<Machine> {
  const placed = [];
  for (const file of config.deviceFiles) placed.push(placedOf(file, await loadDevice(file)));
  return createMachine(config, { ...host, placed }, boards);
}
