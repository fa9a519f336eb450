// What there is to choose from: boards, harts' types, devices. Help lists it, and names are checked against it.

import type { BoardInfo } from "../boards/board.ts";
import { deviceType } from "../device/device.ts";
import type { CpuModel } from "../machine/cpu.ts";
import type { PropertyInfo } from "../qom/property.ts";
import { isA, type TypeInfo } from "../qom/type-info.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";

/** What the command line needs to know of a board. */
export type CatalogBoard = Pick<
  BoardInfo,
  "name" | "description" | "properties" | "maxHarts" | "serialPorts" | "selects"
>;

export interface Catalog {
  readonly boards: readonly CatalogBoard[];
  readonly cpus: readonly CpuModel[];
}

/** Finds a board by name. @throws UserError with the nearest name */
export function findBoard(catalog: Catalog, name: string, where: string): CatalogBoard {
  return find(catalog.boards, name, where, "machine", "-M help");
}

/** Finds a hart's type by name. @throws UserError with the nearest name */
export function findCpu(catalog: Catalog, name: string, where: string): CpuModel {
  return find(catalog.cpus, name, where, "hart type", "-cpu help");
}

/** The device types that `-device` can name on a board: those that need not sit at an address of the board's. */
export function deviceTypes(board: CatalogBoard): readonly TypeInfo[] {
  return board.selects
    .filter((type) => type.abstract !== true && isA(type, deviceType.name) && !isA(type, "sys-bus-device"))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Finds a device type by name. @throws UserError with the nearest name */
export function findDevice(board: CatalogBoard, name: string, where: string): TypeInfo {
  const builtIn = board.selects.find((type) => type.name === name && isA(type, "sys-bus-device"));
  if (builtIn !== undefined) throw new UserError(`${where}: ${name} is part of the board and cannot be added`);
  return find(deviceTypes(board), name, where, "device", "-device help");
}

/** Finds a property. @throws UserError with the nearest name */
export function findProperty(
  owner: string,
  properties: ReadonlyMap<string, PropertyInfo>,
  name: string,
  where: string,
): PropertyInfo {
  const property = properties.get(name);
  if (property !== undefined) return property;
  throw new UserError(`${where}: ${owner} has no property "${name}"${didYouMean(name, properties.keys())}`);
}

function find<T extends { readonly name: string }>(
  list: readonly T[],
  name: string,
  where: string,
  kind: string,
  help: string,
): T {
  const found = list.find((entry) => entry.name === name);
  if (found !== undefined) return found;
  const near = didYouMean(
    name,
    list.map((entry) => entry.name),
  );
  throw new UserError(`${where}: there is no ${kind} "${name}"${near || `: ${help} lists them`}`);
}
