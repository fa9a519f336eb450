// The machine's log on standard error or in a file: QEMU's `-d` and `-D`.

import { closeSync, openSync } from "node:fs";
import type { MachineConfig } from "../machine/config.ts";
import type { Log, LogItem } from "../util/log.ts";
import { UserError } from "../util/user-error.ts";
import { writeFully } from "./output-buffer.ts";
import type { SlowOutput } from "./slow-output.ts";

/**
 * A log that is being written. Lines are there when `write` returns, so that none is missing after a crash, unless
 * somebody reads standard error too slowly.
 */
export class LogFile implements Log {
  readonly #items: ReadonlySet<LogItem>;
  /** Of a log in a file. */
  readonly #fd: number | undefined;
  readonly #standardError: SlowOutput;
  readonly #encoder = new TextEncoder();
  #failed = false;

  /** @throws UserError if the file cannot be written */
  constructor(config: MachineConfig["log"], standardError: SlowOutput) {
    this.#items = new Set(config.items);
    this.#standardError = standardError;
    this.#fd = config.path === undefined ? undefined : openLog(config.path);
  }

  enabled(item: LogItem): boolean {
    return this.#items.has(item);
  }

  write(item: LogItem, line: string): void {
    if (this.#failed || !this.#items.has(item)) return;
    const bytes = this.#encoder.encode(`${line}\n`);
    if (this.#fd === undefined) {
      this.#standardError.write(bytes);
      return;
    }
    try {
      writeFully(this.#fd, bytes);
    } catch {
      // The disk is full: the machine does not stop for its log.
      this.#failed = true;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
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
