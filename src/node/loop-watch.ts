// Notices endless loops in the user's code, which hold up everything on the main thread. docs/design/loop-watch.md.

import type { EventEmitter } from "node:events";
import { closeSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { DefinedDevice } from "../device/model/defined-device.ts";
import { devicesBelow } from "../device/reset.ts";
import type { Machine } from "../machine/machine.ts";
import { abandonImport, isImporting, versionOf } from "./import-file.ts";
import type { Look, LoopWatchSetup } from "./loop-watch-thread.ts";
import { writeText } from "./output-buffer.ts";
import { excerptOf } from "./source-excerpt.ts";
import { startThread } from "./worker-thread.ts";

/** How long the user's code may run at a time, in milliseconds. */
const LIMIT_MS = 2000;
/** Beats of the heart within the limit. The first look comes when two are missing. */
const BEATS = 4;
/** So many looks in a row that find the same callback are an endless loop: it has had the limit by then, and half more at most. */
const LOOKS = 4;

/** The event of `process` by which the thread asks: a debugger reaches nothing but what is global. */
const EVENT = "plantain-look";

/** A callback of a device that runs. */
interface RunningCallback {
  /** `dma: on.write("CTRL.START")` */
  readonly name: string;
  /** Is another one when the callback is called again. */
  readonly key: string;
  /** Where the guest waits for it: `hart 0 at pc 0x80000000`; empty where no hart does. */
  readonly guest: string;
}

/** Tells the user and brings everything in order, at once. Returns the exit status. */
export type Endless = (message: string) => number;

/** Watches this process's main thread, until it is closed. */
export class LoopWatch {
  readonly #limit: number;
  readonly #thread: Worker | undefined;
  readonly #beat: NodeJS.Timeout | undefined;
  #machine: Machine | undefined;
  #endless: Endless = (message) => {
    writeText(2, `plantain: ${message}\n`);
    return 1;
  };
  /** What the last look has found, and how often in a row. */
  #seen = "";
  #times = 0;
  readonly #onLook = (look: Look) => this.#look(look);

  /** @param environment `PLANTAIN_LOOP_MS` is another limit than two seconds; 0 is none */
  constructor(environment: NodeJS.ProcessEnv) {
    const limit = Number(environment["PLANTAIN_LOOP_MS"] || LIMIT_MS);
    this.#limit = Number.isFinite(limit) ? limit : LIMIT_MS;
    if (this.#limit <= 0) return;
    const interval = this.#limit / BEATS;
    const beats = new Int32Array(new SharedArrayBuffer(4));
    const setup: LoopWatchSetup = { beats, interval, event: EVENT };
    this.#thread = startThread("loop-watch-thread", setup);
    // A Node without a debugger: without the thread there is no message, and the machine is none the worse.
    this.#thread.on("error", () => {});
    this.#thread.unref();
    this.#beat = setInterval(() => Atomics.add(beats, 0, 1), interval).unref();
    (process as EventEmitter).on(EVENT, this.#onLook);
  }

  /** @param endless is called for a loop that nothing can go on after */
  onEndless(endless: Endless): void {
    this.#endless = endless;
  }

  /** Tells of devices of a machine by their callbacks. */
  watch(machine: Machine): void {
    this.#machine = machine;
  }

  close(): void {
    clearInterval(this.#beat);
    (process as EventEmitter).off(EVENT, this.#onLook);
    void this.#thread?.terminate();
  }

  /** The main thread is held in the middle of whatever it does. */
  #look(look: Look): void {
    const frame = look.frames.find(({ url }) => versionOf(url) !== undefined);
    // Plantain's own work has its time. Whoever debugs the device stops it as long as they like.
    if (frame === undefined || process.getBuiltinModule("node:inspector").url() !== undefined) {
      this.#times = 0;
      return;
    }
    const version = versionOf(frame.url)!;
    const path = fileURLToPath(new URL(frame.url.replace(/\?.*$/, "")));
    const callback = this.#machine && runningCallback(this.#machine);
    const found = callback?.key ?? version;
    if (look.first || found !== this.#seen) this.#times = 0;
    this.#seen = found;
    if (++this.#times < LOOKS) return;

    const place = `(${path}:${frame.line}:${frame.column})`;
    const problem = `has not ended for ${this.#limit / 1000} s: is this an endless loop? ${place}`;
    if (callback === undefined && isImporting(version)) {
      look.abandon = true;
      this.#thread?.once("message", () => abandonImport(version, `${basename(path)} ${problem}`)).unref();
      return;
    }
    const message = `${callback?.name ?? basename(path)} ${problem}`;
    const guest = callback?.guest ? [`guest: ${callback.guest}`] : [];
    const status = this.#endless([message, ...excerptOf(message), ...guest].join("\n"));
    // Node would say there that it waits for the debugger, which is our own thread.
    closeSync(2);
    process.exit(status);
  }
}

/** The callback of a user's device that runs now. */
function runningCallback({ board, running }: Machine): RunningCallback | undefined {
  for (const device of devicesBelow(board.object)) {
    if (!(device instanceof DefinedDevice) || device.doing === undefined) continue;
    const { label, entry } = device.doing;
    return {
      name: `${device.typeInfo.name}: ${label}`,
      key: `${device.path} ${entry}`,
      guest: running === undefined ? "" : `hart ${running.index} at pc 0x${running.pc.toString(16)}`,
    };
  }
  return undefined;
}
