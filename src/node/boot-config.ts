// A plantain.config.ts for `boot`: the same machine as on the command line, in a test. docs/testing.md.

import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { PlantainConfig } from "../config/index.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import type { BootConfig, BootDevice, BootImages } from "./boot.ts";
import { loadDevice } from "./device-file.ts";
import type { GuestFiles } from "./guest/files.ts";
import { importFile } from "./import-file.ts";

/** Cards that `boot` adds by itself. */
const CARDS = ["virtio-blk-device", "virtio-net-device"];

/**
 * What a configuration file says, as `boot` takes it; what `config` says itself comes in its place, devices and files are
 * added to its own.
 * @throws UserError in one line for a mistake in it, and for what a machine that is forked cannot have
 */
export async function withConfigFile(
  config: BootConfig,
  file: string | URL,
  guest: () => BootImages,
): Promise<BootConfig> {
  const path = file instanceof URL ? fileURLToPath(file) : resolve(file);
  const { exports } = await importFile(path, "boot: config");
  const said = exports["default"] as PlantainConfig | undefined;
  if (typeof said !== "object" || said === null)
    throw new UserError(`boot: ${path}: there is no configuration: expected export default defineConfig({...})`);
  const folder = dirname(path);
  const { board, harts, memory, append, devices = [], netdevs = [] } = said;
  const wanted = new Reader(path, folder);
  const images = wanted.images(said, guest);
  const placed: BootDevice[] = [];
  for (const device of devices) {
    const made = await wanted.device(device);
    if (made !== undefined) placed.push(made);
  }
  for (const netdev of netdevs) wanted.checkNetdev(netdev);
  return {
    ...(board === undefined ? {} : { board }),
    ...(harts === undefined ? {} : { harts }),
    ...(memory === undefined ? {} : { memory }),
    ...(netdevs.length === 0 ? {} : { network: true }),
    ...config,
    images: config.images ?? images,
    ...joinedAppend(said.kernel === undefined ? append : undefined, config.append),
    devices: [...placed, ...(config.devices ?? [])],
    ...(said.files === undefined ? {} : { files: { ...wanted.files(said.files), ...config.files } }),
  };
}

function joinedAppend(...parts: (string | undefined)[]): { append?: string } {
  const given = parts.filter((part) => part !== undefined);
  return given.length === 0 ? {} : { append: given.join(" ") };
}

/** Reads the parts of a configuration, whose paths are relative to its folder. */
class Reader {
  readonly #path: string;
  readonly #folder: string;

  constructor(path: string, folder: string) {
    this.#path = path;
    this.#folder = folder;
  }

  images({ bios, kernel, initrd, append, drives = [] }: PlantainConfig, guest: () => BootImages): BootImages {
    const file = (path: string): string => resolve(this.#folder, path);
    if (drives.length > 1) throw this.#error(`${drives.length} drives: a machine of boot has one at most`);
    const own = {
      ...(bios === undefined || bios === "default" ? {} : { firmware: this.#firmware(bios) }),
      ...(initrd === undefined ? {} : { initrd: file(initrd) }),
      ...(drives[0] === undefined ? {} : { disk: file(drives[0].file) }),
    };
    if (kernel === undefined) return { ...guest(), ...own };
    return { kernel: file(kernel), ...own, ...(append === undefined ? {} : { append }) };
  }

  #firmware(bios: string): string {
    if (bios === "none") throw this.#error('bios: "none": a machine of boot starts with firmware');
    return resolve(this.#folder, bios);
  }

  /** @returns undefined for a card that `boot` adds by itself */
  async device({
    device,
    properties = {},
    ...options
  }: NonNullable<PlantainConfig["devices"]>[number]): Promise<BootDevice | undefined> {
    if (CARDS.includes(device)) return undefined;
    const [, path, exportName] = /^(.*?)(?:#([^#/\\]*))?$/s.exec(device)!;
    if (!/[/\\]|\.[mc]?[jt]s$/.test(path!))
      throw this.#error(
        `devices: ${device}: expected a file that defines one, or ${CARDS.join(", ")}${didYouMean(device, CARDS)}`,
      );
    const where = `boot: ${this.#path}: device ${device}`;
    const choice = exportName === undefined ? {} : { exportName };
    const { definition } = await loadDevice({ path: resolve(this.#folder, path!), ...choice, where });
    return { device: definition, properties, ...options };
  }

  /** A port of the host's can lead to one machine only, and every fork is one. */
  checkNetdev(netdev: string): void {
    if (/^(type=)?user(,id=[^,=]+)?$/.test(netdev) || /^id=[^,=]+,type=user$/.test(netdev)) return;
    throw this.#error(
      `netdevs: ${netdev}: a machine of boot has a network of its own: expected user,id=ID and nothing else`,
    );
  }

  files(files: GuestFiles): GuestFiles {
    const absolute = (source: string | Uint8Array) =>
      typeof source === "string" ? resolve(this.#folder, source) : source;
    return Object.fromEntries(Object.entries(files).map(([path, source]) => [path, absolute(source)]));
  }

  #error(message: string): UserError {
    return new UserError(`boot: ${this.#path}: ${message}`);
  }
}
