// Reset in three phases over a part of the composition tree.

import type { QomObject } from "../qom/object.ts";
import { Device } from "./device.ts";

/**
 * Resets the realized devices from `root` down: each phase reaches all of them, parts before wholes, before the next
 * begins. So no device sees another one half reset.
 */
export function resetTree(root: QomObject): void {
  const devices = devicesBelow(root).filter((device) => device.realized);
  for (const device of devices) device.resetEnter();
  for (const device of devices) device.resetHold();
  for (const device of devices) device.resetExit();
}

/** The devices from `object` down, parts before wholes, in the order they were added. */
export function devicesBelow(object: QomObject): Device[] {
  const devices = [...object.children.values()].flatMap(devicesBelow);
  if (object instanceof Device) devices.push(object);
  return devices;
}
