// The state of all devices below an object, by path: a machine's snapshot is made of it.

import type { QomObject } from "../qom/object.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { devicesBelow } from "./reset.ts";

/** States by the paths of the devices they belong to. */
export type TreeState = Readonly<Record<string, unknown>>;

/** The states of the realized devices from `root` down, without those that have none. */
export function saveTree(root: QomObject): TreeState {
  const states: Record<string, unknown> = {};
  for (const device of devicesBelow(root)) {
    const state = device.realized ? device.save() : undefined;
    if (state !== undefined) states[device.path] = state;
  }
  return states;
}

/**
 * Loads what `saveTree` gave into the same devices of this machine, or of another one that is built the same.
 * @throws UserError if the devices differ (then nothing is loaded) or a device refuses its state
 */
export function loadTree(root: QomObject, states: TreeState): void {
  const devices = devicesBelow(root).filter((device) => device.realized);
  const paths = new Set(devices.map((device) => device.path));
  for (const path of Object.keys(states)) {
    if (!paths.has(path))
      throw new UserError(`the snapshot has a device ${path} that is not there${didYouMean(path, paths)}`);
  }
  for (const device of devices) {
    if (!Object.hasOwn(states, device.path) && device.save() !== undefined) {
      throw new UserError(`the snapshot has no state for ${device.path} (${device.typeInfo.name})`);
    }
  }
  for (const device of devices) {
    if (!Object.hasOwn(states, device.path)) continue;
    try {
      device.load(states[device.path]);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`the snapshot does not fit ${device.path} (${device.typeInfo.name}): ${error.message}`);
    }
  }
}

/**
 * The state given to a device's `load`, checked to be an object of the version it reads.
 * @example const state = checkState<UartState>(saved, 1);
 */
export function checkState<T extends { readonly version: number }>(state: unknown, version: T["version"]): T {
  if (typeof state !== "object" || state === null || !("version" in state)) {
    throw new UserError("its state is not an object with a version");
  }
  if (state.version !== version) {
    throw new UserError(`its state has version ${String(state.version)}, expected ${version}`);
  }
  return state as T;
}
