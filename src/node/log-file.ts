// The machine's log on standard error or in a file: QEMU's `-d` and `-D`.

import { closeSync, openSync } from "node:fs";
import type { MachineConfig } from "../machine/config.ts";
import type { Log, LogItem } from "../util/log.ts";
import { UserError } from "../util/user-error.ts";
import { writeFully } from "./output-buffer.ts";

const STANDARD_ERROR = 2;

/** A log that is being written. Lines are there when `write` returns, so that none is missing after a crash. */
export class LogFile implements Log {
  readonly #items: ReadonlySet<LogItem>;
  readonly #fd: number;
  readonly #encoder = new TextEncoder();
  #failed = false;

  /** @throws UserError if the file cannot be written */
  constructor(config: MachineConfig["log"]) {
    this.#items = new Set(config.items);
    this.#fd = config.path === undefined ? STANDARD_ERROR : openLog(config.path);
  }

  enabled(item: LogItem): boolean {
    return this.#items.has(item);
  }

  write(item: LogItem, line: string): void {
    if (this.#failed || !this.#items.has(item)) return;
    try {
      writeFully(this.#fd, this.#encoder.encode(`${line}\n`));
    } catch {
      // The disk is full, or the reader is gone: the machine does not stop for its log.
      this.#failed = true;
    }
  }

  close(): void {
    if (this.#fd !== STANDARD_ERROR) closeSync(this.#fd);
  }
}

function openLog(path: string): number {
  try {
    return openSync(path, "w");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const problem = code === "ENOENT" ? "there is no such folder" : code === "EISDIR" ? "this is a folder" : code;
    throw new UserError(`-D ${path}: the log cannot be written: ${problem}`, { cause: error });
  }
}
