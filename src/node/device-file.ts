// Devices that files of the user's define: `-device ./my-device.ts`. docs/design/plug-in.md.

import type { DeviceDefinition } from "../device/index.ts";
import type { DeviceFileConfig, PlacedDevice } from "../machine/config.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { importFile } from "./import-file.ts";

/** A device of a file, and the files that it was read from. */
export interface LoadedDevice {
  readonly definition: DeviceDefinition;
  readonly files: ReadonlySet<string>;
}

/**
 * Reads the device that a file defines, as the file is now.
 * @param files gets the files that it is made of, also when it fails
 * @throws UserError in one line, with the place in the file where there is one
 */
export async function loadDevice(
  config: Pick<DeviceFileConfig, "path" | "exportName" | "where">,
  files = new Set<string>(),
): Promise<LoadedDevice> {
  const { path, exportName, where } = config;
  const { exports } = await importFile(path, where, files);
  const devices = Object.entries(exports).filter((entry): entry is [string, DeviceDefinition] =>
    isDefinition(entry[1]),
  );
  const names = devices.map(([name]) => name);
  if (exportName !== undefined) {
    const found = devices.find(([name]) => name === exportName);
    if (found !== undefined) return { definition: found[1], files };
    const what = Object.hasOwn(exports, exportName) ? "is not made by defineDevice" : "is not exported";
    throw new UserError(`${where}: ${exportName} ${what} by ${path}${didYouMean(exportName, names) || listed(names)}`);
  }
  // The same device may be exported by two names.
  const [first, ...others] = new Set(devices.map(([, device]) => device));
  if (first === undefined) {
    throw new UserError(`${where}: ${path} exports no device: expected export const myDevice = defineDevice({...})`);
  }
  if (others.length > 0) {
    throw new UserError(
      `${where}: ${path} exports ${names.join(", ")}: say which one with #${names[0]} after the file`,
    );
  }
  return { definition: first, files };
}

/** What a machine takes: the device at its place. */
export function placedOf(config: DeviceFileConfig, { definition }: LoadedDevice): PlacedDevice {
  return {
    type: definition.typeInfo,
    ...(config.id === undefined ? {} : { id: config.id }),
    properties: config.properties,
    place: { addresses: config.addr === "auto" ? "auto" : [BigInt(config.addr)], irqs: config.irqs },
    where: config.where,
  };
}

function isDefinition(value: unknown): value is DeviceDefinition {
  if (typeof value !== "object" || value === null) return false;
  const { typeInfo, registerMap } = value as Partial<DeviceDefinition>;
  return typeof typeInfo?.create === "function" && typeof registerMap === "object";
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "" : ` (there is ${names.join(", ")})`;
}
