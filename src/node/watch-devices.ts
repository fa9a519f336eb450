// `-watch`: when the file of a device is saved, its definition takes the place of the one that runs. docs/design/plug-in.md.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { DefinedDevice, SwapReport } from "../device/model/defined-device.ts";
import { devicesBelow } from "../device/reset.ts";
import type { DeviceFileConfig } from "../machine/config.ts";
import type { Machine } from "../machine/machine.ts";
import { UserError } from "../util/user-error.ts";
import { type LoadedDevice, loadDevice } from "./device-file.ts";
import { excerptOf } from "./source-excerpt.ts";
import { sourceStack } from "./source-stack.ts";
import { FileWatch } from "./watch-files.ts";

/** How long a file may be missing or empty before that is taken for what its author wants, and how often to look. Milliseconds. */
const GONE_MS = 600;
const RETRY_MS = 40;
/** A file that is not loaded by then waits for something. Milliseconds. */
const SLOW_MS = 3000;
/** Changes that are listed. */
const MAX_LISTED = 10;

/** A device on the board, and what it was made from. */
export interface FileDevice {
  readonly config: DeviceFileConfig;
  readonly loaded: LoadedDevice;
}

/**
 * Watches the files of devices.
 * @param tell prints a text of one or more lines
 * @returns ends it
 */
export function watchDevices(
  machine: Machine,
  devices: readonly FileDevice[],
  tell: (text: string) => void,
): () => void {
  const watched = devices.map((device) => new WatchedDevice(machine, device, tell));
  return () => {
    for (const device of watched) device.close();
  };
}

class WatchedDevice {
  readonly #machine: Machine;
  readonly #config: DeviceFileConfig;
  readonly #device: DefinedDevice;
  readonly #tell: (text: string) => void;
  readonly #files: Set<string>;
  readonly #watch: FileWatch;
  /** The contents that were read last. */
  #read: string;
  /** The running number of the last save: what an earlier one came to is of no interest any more. */
  #save = 0;

  constructor(machine: Machine, { config, loaded }: FileDevice, tell: (text: string) => void) {
    this.#machine = machine;
    this.#config = { ...config, where: basename(config.path) };
    const { typeInfo } = loaded.definition;
    this.#device = devicesBelow(machine.board.object).find((each) => each.typeInfo === typeInfo) as DefinedDevice;
    this.#tell = tell;
    this.#files = new Set(loaded.files);
    this.#read = contentsOf(this.#files);
    this.#watch = new FileWatch(this.#files, () => void this.#saved());
  }

  close(): void {
    this.#save++;
    this.#watch.close();
  }

  get #name(): string {
    return this.#device.id || this.#device.typeInfo.name;
  }

  async #saved(): Promise<void> {
    const contents = contentsOf(this.#files);
    if (contents === this.#read) return;
    this.#read = contents;
    const save = ++this.#save;
    const start = performance.now();
    const slow = setTimeout(() => {
      if (save === this.#save)
        this.#tell(`${this.#name} goes on as it was: ${this.#config.where} does not end loading`);
    }, SLOW_MS).unref();
    try {
      const loaded = await this.#load(save, start);
      if (save !== this.#save || loaded === undefined) return;
      const report = this.#machine.swap(this.#device, loaded.definition);
      this.#tell(reportText(this.#name, report, performance.now() - start));
    } catch (error) {
      if (save === this.#save) this.#tell(this.#failureText(error));
    } finally {
      clearTimeout(slow);
    }
  }

  /** Reads the device anew. A file that is missing or empty may be an editor in the middle of its save. */
  async #load(save: number, start: number): Promise<LoadedDevice | undefined> {
    for (;;) {
      const files = new Set<string>();
      try {
        return await loadDevice(this.#config, files);
      } catch (error) {
        const wait = performance.now() - start < GONE_MS && [...files].some(isUnfinished);
        if (!wait || save !== this.#save) throw error;
      } finally {
        for (const file of files) this.#files.add(file);
        this.#watch.add(files);
        // What is read now may be newer than the save that began this.
        if (save === this.#save) this.#read = contentsOf(this.#files);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      if (save !== this.#save) return undefined;
    }
  }

  #failureText(error: unknown): string {
    if (isMissing(this.#config.path)) return `${this.#name} goes on as it was: ${this.#config.path} is gone`;
    const message = error instanceof Error ? error.message.split("\n")[0]! : String(error);
    // The author's mistakes have their place; anything else is ours.
    const ours =
      error instanceof UserError || /\(.+:\d+\)$/.test(message) ? "" : `\n${sourceStack((error as Error).stack ?? "")}`;
    return [`${this.#name} goes on as it was: ${message}${ours}`, ...excerptOf(message)].join("\n");
  }
}

/** What people are told of a swap: one line, and one for each thing that they would not expect. */
function reportText(name: string, { changes, losses, untold }: SwapReport, ms: number): string {
  const listed = changes.slice(0, MAX_LISTED).join("; ");
  const more = changes.length > MAX_LISTED ? `; and ${changes.length - MAX_LISTED} more` : "";
  const what = changes.length === 0 ? "nothing that its definition shows" : `${listed}${more}`;
  return [
    `${name} swapped in ${Math.round(ms)} ms: ${what}`,
    ...losses.map((loss) => `  not kept: ${loss}`),
    ...(untold.length === 0 ? [] : [`  the guest does not know until it boots again: ${untold.join("; ")}`]),
  ].join("\n");
}

/** All that the files hold, in short. */
function contentsOf(files: Iterable<string>): string {
  const hash = createHash("sha1");
  for (const file of files) {
    hash.update(`\0${file}\0`);
    try {
      hash.update(readFileSync(file));
    } catch {
      hash.update("\0missing");
    }
  }
  return hash.digest("hex");
}

function isMissing(file: string): boolean {
  try {
    readFileSync(file);
    return false;
  } catch {
    return true;
  }
}

function isUnfinished(file: string): boolean {
  try {
    return readFileSync(file).length === 0;
  } catch {
    return true;
  }
}
