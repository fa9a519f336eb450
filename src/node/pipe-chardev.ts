// Character devices on named pipes, as QEMU has them: PATH.in and PATH.out, or PATH for both directions.

import { closeSync, constants, existsSync, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { UserError } from "../util/user-error.ts";
import { StreamChardev } from "./stream-chardev.ts";

/** Opens the pipes; nobody needs to be at their other ends. @throws UserError if there are none */
export function openPipeChardev(id: string, path: string, where: string): StreamChardev {
  const two = existsSync(`${path}.in`) && existsSync(`${path}.out`);
  const input = openPipe(two ? `${path}.in` : path, where);
  let output: number;
  try {
    output = openPipe(two ? `${path}.out` : path, where);
  } catch (error) {
    closeSync(input);
    throw error;
  }
  const chardev = new StreamChardev(id);
  const streams = {
    input: new Socket({ fd: input, readable: true, writable: false }),
    output: new Socket({ fd: output, readable: false, writable: true }),
  };
  chardev.connect(streams);
  return chardev;
}

function openPipe(path: string, where: string): number {
  let fd: number;
  try {
    // Open for both directions, a pipe stays open when its other end comes and goes.
    fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const problem =
      code === "ENOENT" ? `there is no ${path}: mkfifo makes a pipe` : `${path} cannot be opened (${code})`;
    throw new UserError(`${where}: ${problem}`, { cause: error });
  }
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  throw new UserError(`${where}: ${path} is no pipe: mkfifo makes one`);
}
