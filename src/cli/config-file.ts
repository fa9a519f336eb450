// plantain.config.ts: finds it, and turns it into the words of a command line that says the same. docs/design/plug-in.md.

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { PlantainConfig } from "../config/index.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { isDeviceFile } from "./options/devices.ts";
import { OPTIONS } from "./options/table.ts";

const NAMES = ["plantain.config.ts", "plantain.config.mts", "plantain.config.js", "plantain.config.mjs"];
/** Who says one of these says what the machine is: no configuration is looked for. */
const MACHINE_GROUPS: readonly string[] = ["Board", "What to boot", "Disks", "Networks", "Devices"];

const KEYS = [
  "board",
  "guest",
  "harts",
  "memory",
  "bios",
  "kernel",
  "initrd",
  "append",
  "drives",
  "netdevs",
  "devices",
  "files",
  "traces",
];

/** A configuration as words of a command line. */
export interface ConfigWords {
  readonly path: string;
  readonly words: readonly string[];
}

/**
 * The configuration that goes with a command line: that of `-config`, or where nothing is said of a machine, the nearest
 * from `folder` upward.
 * @param watchLoops begins to look for code that does not end
 * @throws UserError in one line for a mistake in it
 */
export async function readConfig(
  words: readonly string[],
  folder: string,
  watchLoops?: () => Promise<unknown>,
): Promise<ConfigWords | undefined> {
  const path = pathOf(words, folder);
  if (path === undefined) return undefined;
  await watchLoops?.();
  const { importFile } = await import("../node/import-file.ts");
  const { exports } = await importFile(path, "-config");
  const config = exports["default"];
  if (typeof config !== "object" || config === null) {
    throw new UserError(`${path}: there is no configuration: expected export default defineConfig({...})`);
  }
  for (const key of Object.keys(config)) {
    if (!KEYS.includes(key))
      throw new UserError(`${path}: there is no "${key}" in a configuration${didYouMean(key, KEYS)}`);
  }
  return { path, words: await wordsOf(config, path) };
}

function pathOf(words: readonly string[], folder: string): string | undefined {
  let machine = false;
  for (let i = 0; i < words.length; i++) {
    const name = words[i]!.replace(/^--?/, "");
    const option = OPTIONS.find((spec) => words[i]!.startsWith("-") && (spec.name === name || spec.alias === name));
    if (option?.name === "config" && words[i + 1] !== undefined) return resolve(folder, words[i + 1]!);
    if (option === undefined || MACHINE_GROUPS.includes(option.group) || option.group === "Help") machine = true;
    if (option?.argument !== undefined) i++;
  }
  if (machine) return undefined;
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = NAMES.map((name) => join(at, name)).find((path) => existsSync(path));
    if (found !== undefined || at === dirname(at)) return found;
  }
}

async function wordsOf(config: PlantainConfig, path: string): Promise<string[]> {
  const folder = dirname(path);
  const words: string[] = [];
  if (config.guest !== undefined || config.files !== undefined) {
    const { configGuestWords } = await import("./config-guest.ts");
    words.push(...(await configGuestWords(config, path)));
  }
  const say = (option: string, value: string | undefined) => {
    if (value !== undefined) words.push(option, value);
  };
  const file = (path: string | undefined) => (path === undefined ? undefined : resolve(folder, path));
  const { board, harts, memory, bios, kernel, initrd, append } = config;
  say("-M", board);
  say("-smp", harts?.toString());
  say("-m", memory);
  say("-bios", bios === "none" || bios === "default" ? bios : file(bios));
  say("-kernel", file(kernel));
  say("-initrd", file(initrd));
  if (config.guest === undefined) say("-append", append);
  for (const drive of config.drives ?? []) say("-drive", joined({ ...drive, file: file(drive.file)! }));
  for (const netdev of config.netdevs ?? []) say("-netdev", netdev);
  for (const { device, addr, irq, id, properties } of config.devices ?? []) {
    const type = isDeviceFile(device) ? resolve(folder, device) : device;
    const irqs = (Array.isArray(irq) ? irq : irq === undefined ? [] : [irq]).map((n) => `,irq=${n}`).join("");
    const rest = joined({
      ...(addr === undefined ? {} : { addr }),
      ...(id === undefined ? {} : { id }),
      ...properties,
    });
    say("-device", `${escaped(type)}${irqs}${rest === "" ? "" : `,${rest}`}`);
  }
  for (const trace of config.traces ?? []) say("-trace", trace);
  return words;
}

function joined(values: Readonly<Record<string, string | number | bigint | boolean>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${escaped(typeof value === "boolean" ? (value ? "on" : "off") : String(value))}`)
    .join(",");
}

function escaped(text: string): string {
  return text.replaceAll(",", ",,");
}
