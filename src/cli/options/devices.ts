// Options for devices and networks: -device, -netdev, -nic, -net.

import { resolve } from "node:path";
import { parseUserNetOptions } from "../../backend/net/user-net-options.ts";
import type { DeviceConfig } from "../../machine/config.ts";
import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import { isHelp, OptionValues, splitKeyValues } from "../key-values.ts";
import type { Draft } from "./draft.ts";

const LATER_NETDEVS = [
  ...["bridge", "dgram", "hubport", "l2tpv3", "passt", "socket", "stream"],
  ...["tap", "vde", "vhost-user", "vhost-vdpa", "vmnet-host", "vmnet-shared"],
];

export function device(draft: Draft, value: string, where: string): void {
  if (isHelp(value)) {
    draft.help ??= { kind: "devices" };
    return;
  }
  if (value.startsWith("{")) throw new UserError(`${where}: JSON is not in Plantain yet: write TYPE,NAME=VALUE,...`);
  const pairs = splitKeyValues(value, "driver");
  const option = new OptionValues(
    where,
    pairs.filter((pair) => !isHelp(pair.key)),
  );
  const type = option.required("driver", "the type of the device");
  if (pairs.some((pair) => isHelp(pair.key))) {
    draft.help ??= { kind: "type-properties", type, where };
    return;
  }
  const id = option.id();
  if (id !== undefined && [...draft.devices, ...draft.deviceFiles].some((other) => other.id === id)) {
    throw option.error(`there is another device with id=${id}`);
  }
  if (isDeviceFile(type)) {
    addDeviceFile(draft, option, type, id);
    return;
  }
  const entry: DeviceConfig = { type, properties: option.rest(), where };
  draft.devices.push(id === undefined ? entry : { ...entry, id });
}

/** Whether a device is named by a file: `./my-device.ts`, `dma.js#bananaDma`. */
export function isDeviceFile(type: string): boolean {
  return /[/\\]|\.[mc]?[jt]s(#.*)?$/.test(type);
}

function addDeviceFile(draft: Draft, option: OptionValues, type: string, id: string | undefined): void {
  const [, path, exportName] = /^(.*?)(?:#([^#/\\]*))?$/s.exec(type)!;
  if (path === "" || exportName === "") throw option.error("expected FILE or FILE#EXPORT");
  const addr = number(option, "addr", option.text("addr"), Number.MAX_SAFE_INTEGER);
  const numbers = option.all("irq").map((text) => number(option, "irq", text, MAX_IRQ));
  const irqs = numbers.filter((irq) => irq !== "auto");
  if (irqs.length > 0 && irqs.length < numbers.length) {
    throw option.error("irq=auto is for all interrupts of a device: expected numbers only, or auto alone");
  }
  draft.deviceFiles.push({
    path: resolve(path!),
    ...(exportName === undefined ? {} : { exportName }),
    ...(id === undefined ? {} : { id }),
    addr,
    irqs: irqs.length === 0 ? "auto" : irqs,
    properties: option.rest(),
    where: option.where,
  });
}

/** More than any board has. */
const MAX_IRQ = 1023;

function number(option: OptionValues, key: string, text: string | undefined, max: number): number | "auto" {
  if (text === undefined || text === "auto") return "auto";
  const value = /^(\d{1,16}|0x[0-9a-f]{1,14})$/i.test(text) ? Number(text) : Number.NaN;
  if (value <= max) return value;
  throw option.error(`${key}=${text}: expected auto or a whole number up to 0x${max.toString(16)}`);
}

export function netdev(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "type"));
  const type = option.required("type", "the type of the network");
  if (isHelp(type)) {
    draft.help ??= { kind: "netdevs" };
    return;
  }
  checkNetdevType(option, type);
  addUserNet(draft, option, option.requiredId());
}

/** A network and the card that uses it in one option. */
export function nic(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "type"));
  const type = option.required("type", "the type of the network, or none");
  if (isHelp(type)) {
    draft.help ??= { kind: "netdevs" };
    return;
  }
  if (type === "none") {
    option.finish();
    return;
  }
  checkNetdevType(option, type);
  const model = option.text("model") ?? "virtio-net-device";
  const mac = option.text("mac");
  const used = new Set(draft.netdevs.map((other) => other.id));
  let id = option.id();
  for (let i = 0; id === undefined; i++) if (!used.has(`nic${i}`)) id = `nic${i}`;
  addUserNet(draft, option, id);
  const properties: Record<string, string> = { netdev: id };
  if (mac !== undefined) properties["mac"] = mac;
  draft.devices.push({ type: model, properties, where });
}

export function net(_draft: Draft, value: string, where: string): void {
  if (value === "none") return;
  throw new UserError(
    `${where}: expected none: the old -net form is not in Plantain, write -nic user or -netdev user,id=ID`,
  );
}

function checkNetdevType(option: OptionValues, type: string): void {
  if (type === "user") return;
  if (LATER_NETDEVS.includes(type))
    throw option.error(`networks of type ${type} are not in Plantain yet: expected user`);
  throw option.error(`there is no network type "${type}": expected user${didYouMean(type, ["user"])}`);
}

/** Adds a network of the keys that are left. */
function addUserNet(draft: Draft, option: OptionValues, id: string): void {
  const { where } = option;
  if (draft.netdevs.some((other) => other.id === id)) throw option.error(`there is another network with id=${id}`);
  draft.netdevs.push({ type: "user", id, user: parseUserNetOptions([["id", id], ...option.pairs()]), where });
}
