// Traces that the command line asks for, on standard error or in files.

import { closeSync, openSync } from "node:fs";
import type { TraceConfig } from "../machine/config.ts";
import type { Machine } from "../machine/machine.ts";
import { traceTo } from "../trace/trace.ts";
import { UserError } from "../util/user-error.ts";
import { OutputBuffer, writeFully } from "./output-buffer.ts";

const STANDARD_ERROR = 2;

/**
 * Begins a trace.
 * @returns ends it and closes its file
 * @throws UserError when there is no such device, or the file cannot be written
 */
export function openTrace(machine: Machine, { device, format, path, where }: TraceConfig): () => void {
  let fd: number;
  try {
    fd = path === undefined ? STANDARD_ERROR : openSync(path, "w");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(`${where}: ${path} cannot be written (${code})`, { cause: error });
  }
  const encoder = new TextEncoder();
  let failed = false;
  const send = (bytes: Uint8Array) => {
    try {
      if (!failed) writeFully(fd, bytes);
    } catch {
      // The disk is full, or the reader is gone: the machine does not stop for its trace.
      failed = true;
    }
  };
  const buffer = new OutputBuffer(send);
  const print = (text: string) =>
    (path === undefined ? send : (bytes: Uint8Array) => buffer.write(bytes))(encoder.encode(text));
  const close = () => {
    buffer.flush();
    if (path !== undefined) closeSync(fd);
  };
  try {
    const trace = traceTo(machine, device, format, print);
    return () => {
      trace.end();
      close();
    };
  } catch (error) {
    close();
    if (error instanceof UserError) throw new UserError(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}
