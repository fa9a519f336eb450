// Watches a handful of files, however editors save them: written in place, or another file renamed over them, or gone
// for a moment.

import { type FSWatcher, statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** An editor's save is several events; this long after the last one it is over. Milliseconds. */
const SETTLE_MS = 15;
/** How often files are looked at where the system tells nothing (network disks, too many watches). Milliseconds. */
const POLL_MS = 500;

/** Files that are watched, until it is closed. Keeps no process alive. */
export class FileWatch {
  readonly #onChange: () => void;
  readonly #folders = new Map<string, FSWatcher>();
  /** What each file was at the last look. */
  readonly #marks = new Map<string, string>();
  readonly #poll: NodeJS.Timeout;
  #settling: NodeJS.Timeout | undefined;

  /** @param onChange called when files may have changed, once for a save */
  constructor(files: Iterable<string>, onChange: () => void) {
    this.#onChange = onChange;
    this.add(files);
    this.#poll = setInterval(() => this.#look(), POLL_MS).unref();
  }

  /** Watches more files; they need not exist. */
  add(files: Iterable<string>): void {
    for (const file of files) {
      if (this.#marks.has(file)) continue;
      this.#marks.set(file, markOf(file));
      this.#watchFolder(dirname(file));
    }
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    for (const folder of this.#folders.values()) folder.close();
    this.#folders.clear();
  }

  /** A file that is renamed over another one is an event of the folder. */
  #watchFolder(folder: string): void {
    if (this.#folders.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name === null || [...this.#marks.keys()].some((file) => basename(file) === name)) this.#changed();
      });
      watcher.on("error", () => this.#forgetFolder(folder));
      this.#folders.set(folder, watcher);
    } catch {
      // There is no such folder now, or no watch to be had: looking from time to time has to do.
    }
  }

  #forgetFolder(folder: string): void {
    this.#folders.get(folder)?.close();
    this.#folders.delete(folder);
  }

  #look(): void {
    for (const [file, mark] of this.#marks) {
      const now = markOf(file);
      if (now === mark) continue;
      this.#marks.set(file, now);
      // If nobody told, the folder that is watched may be another one by now.
      if (this.#settling === undefined) this.#forgetFolder(dirname(file));
      this.#watchFolder(dirname(file));
      this.#changed();
    }
  }

  #changed(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      // What has been told needs no telling by the next look.
      for (const file of this.#marks.keys()) this.#marks.set(file, markOf(file));
      this.#onChange();
    }, SETTLE_MS).unref();
  }
}

function markOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "missing";
  }
}
