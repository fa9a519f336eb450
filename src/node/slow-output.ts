// Output to whoever reads standard output or standard error, who may be slow, stuck or gone: nothing here waits for them.

import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { isatty } from "node:tty";

/** With more than this waiting, the guest should pause. */
const HIGH_WATER = 64 * 1024;

/** How often to try again when the other end takes nothing. */
const RETRY_MS = 4;

const NOTHING = new Uint8Array(0);

/** Bytes on their way to an open file, terminal, pipe or socket. What cannot be written now waits here. */
export class SlowOutput {
  readonly #fd: number;
  #target: Target | undefined;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #retry: NodeJS.Timeout | undefined;
  #empty: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #gone = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Nobody is at the other end any more, or the disk is full: what is written is lost. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Nothing until the other end has taken what waits, if that is too much by now. */
  get room(): Promise<void> | undefined {
    return this.#length > HIGH_WATER ? this.drained() : undefined;
  }

  /** Writes what can be written now; the caller may reuse `bytes` afterwards. */
  write(bytes: Uint8Array): void {
    if (this.#gone) return;
    const written = this.#length > 0 ? 0 : this.#send(bytes);
    if (written === bytes.length || this.#gone) return;
    this.#chunks.push(bytes.slice(written));
    this.#length += bytes.length - written;
    this.#retry ??= setTimeout(() => this.#again(), RETRY_MS);
  }

  /** Waits until all is written, or the other end is gone. */
  drained(): Promise<void> {
    if (this.#length === 0) return Promise.resolve();
    this.#empty ??= Promise.withResolvers<void>();
    return this.#empty.promise;
  }

  /** Whether it is a pipe, which shows only when there is something to be written that its reader is gone. */
  get isPipe(): boolean {
    try {
      return fstatSync(this.#fd).isFIFO();
    } catch {
      return false;
    }
  }

  /** Looks whether somebody is still there to read. */
  probe(): boolean {
    if (!this.#gone && this.#length === 0) this.#send(NOTHING);
    return !this.#gone;
  }

  /** Writes what can be written now and forgets the rest. */
  close(): void {
    this.#again();
    this.#lose();
    this.#target?.close();
    this.#target = undefined;
  }

  #again(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    while (this.#length > 0) {
      const first = this.#chunks[0]!;
      const written = this.#send(first);
      if (this.#gone) return;
      this.#length -= written;
      if (written < first.length) {
        this.#chunks[0] = first.subarray(written);
        this.#retry = setTimeout(() => this.#again(), RETRY_MS);
        return;
      }
      this.#chunks.shift();
    }
    this.#settle();
  }

  /** How much of it the other end took. */
  #send(bytes: Uint8Array): number {
    this.#target ??= openTarget(this.#fd);
    let offset = 0;
    try {
      do offset += writeSync(this.#target.fd, bytes, offset, bytes.length - offset);
      while (offset < bytes.length);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") this.#lose();
    }
    return offset;
  }

  #lose(): void {
    this.#gone = true;
    clearTimeout(this.#retry);
    this.#chunks = [];
    this.#length = 0;
    this.#settle();
  }

  #settle(): void {
    this.#empty?.resolve();
    this.#empty = undefined;
  }
}

/** A descriptor whose writes do not wait, where there is a way to get one. */
interface Target {
  readonly fd: number;
  close(): void;
}

function openTarget(fd: number): Target {
  const path = `/dev/fd/${fd}`;
  // Another program may hold the same open file: it must not find it non-blocking, so we open one of our own.
  try {
    const stat = fstatSync(fd);
    if (stat.isFIFO() || isatty(fd)) {
      const own = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      return { fd: own, close: () => closeSync(own) };
    }
    // A socket cannot be opened by its path. This switches the shared one, and Node switches it back when it exits.
    if (stat.isSocket()) new Socket({ fd, readable: false, writable: true }).unref();
  } catch {
    // The reader is gone already, which the first write will tell, or the host has no such paths: then writes wait.
  }
  return { fd, close() {} };
}
