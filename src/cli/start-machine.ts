// Makes the machine of a command line: with the devices of the user's files, and traces.

import type { BoardInfo } from "../boards/board.ts";
import type { MachineConfig, MachineHost, PlacedDevice } from "../machine/config.ts";
import { createMachine } from "../machine/machine.ts";
import type { Endless, LoopWatch } from "../node/loop-watch.ts";
import type { FileDevice } from "../node/watch-devices.ts";
import type { RunnableMachine } from "./run-command.ts";

/**
 * @param tell prints what happens to devices that are watched
 * @param endless says that a device's code does not end; the process ends then
 * @param watchLoops begins to look for such
 * @throws UserError when a device's file is wrong, or the machine cannot be made
 */
export async function startMachine(
  config: MachineConfig,
  host: MachineHost,
  boards: readonly BoardInfo[],
  tell: (text: string) => void,
  endless?: Endless,
  watchLoops?: () => Promise<LoopWatch>,
): Promise<RunnableMachine> {
  // What few machines need is loaded for them only: each file counts at the start.
  const devices: FileDevice[] = [];
  const placed: PlacedDevice[] = [];
  let loops: LoopWatch | undefined;
  if (config.deviceFiles.length > 0) {
    loops = await watchLoops?.();
    if (endless !== undefined) loops?.onEndless(endless);
    const { loadDevice, placedOf } = await import("../node/device-file.ts");
    for (const file of config.deviceFiles) devices.push({ config: file, loaded: await loadDevice(file) });
    for (const device of devices) placed.push(placedOf(device.config, device.loaded));
  }
  const machine = createMachine(config, { ...host, placed }, boards);
  loops?.watch(machine);
  const ends: (() => void)[] = [];
  const close = () => {
    for (const end of ends.splice(0)) end();
    machine.close();
    loops?.close();
  };
  try {
    if (config.traces.length > 0) {
      const { openTrace } = await import("../node/trace-file.ts");
      for (const trace of config.traces) ends.push(openTrace(machine, trace));
    }
    if (config.watch) {
      const { watchDevices } = await import("../node/watch-devices.ts");
      ends.push(watchDevices(machine, devices, tell));
    }
  } catch (error) {
    close();
    throw error;
  }
  const { board, engine } = machine;
  return { board, engine, close, run: () => machine.run(), stop: () => machine.stop() };
}
