// Character devices that only take: nowhere, and a file. And the copy of another one's output in a log file.

import { closeSync, openSync } from "node:fs";
import type { Chardev, ChardevFrontend } from "../backend/chardev.ts";
import { OutputBuffer, writeFully } from "./output-buffer.ts";

/** Nobody at the other end. */
export class NullChardev implements Chardev {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  attach(): void {}
  write(): void {}
  acceptInput(): void {}
  close(): void {}
}

/** A file that is being written, in pieces. When writing fails the rest is dropped and `onError` is called, once. */
class OutputFile {
  readonly #fd: number;
  readonly #buffer: OutputBuffer;
  #failed = false;

  /** @throws the system's error */
  constructor(path: string, append: boolean, onError: (error: Error) => void) {
    this.#fd = openSync(path, append ? "a" : "w");
    this.#buffer = new OutputBuffer((bytes) => {
      if (this.#failed) return;
      try {
        writeFully(this.#fd, bytes);
      } catch (error) {
        this.#failed = true;
        onError(error as Error);
      }
    });
  }

  write(bytes: Uint8Array): void {
    this.#buffer.write(bytes);
  }

  close(): void {
    this.#buffer.flush();
    closeSync(this.#fd);
  }
}

/** What the guest sends goes into a file. */
export class FileChardev implements Chardev {
  readonly id: string;
  readonly #file: OutputFile;

  /** @throws the system's error if the file cannot be opened */
  constructor(id: string, path: string, append: boolean, onError: (error: Error) => void) {
    this.id = id;
    this.#file = new OutputFile(path, append, onError);
  }

  attach(): void {}

  write(bytes: Uint8Array): void {
    this.#file.write(bytes);
  }

  acceptInput(): void {}

  close(): void {
    this.#file.close();
  }
}

/** Another character device, whose output also goes into a file. */
export class LoggedChardev implements Chardev {
  readonly id: string;
  readonly #base: Chardev;
  readonly #file: OutputFile;

  /** @throws the system's error if the file cannot be opened */
  constructor(base: Chardev, path: string, append: boolean, onError: (error: Error) => void) {
    this.id = base.id;
    this.#base = base;
    this.#file = new OutputFile(path, append, onError);
  }

  attach(frontend: ChardevFrontend): void {
    this.#base.attach(frontend);
  }

  write(bytes: Uint8Array): void {
    this.#file.write(bytes);
    this.#base.write(bytes);
  }

  acceptInput(): void {
    this.#base.acceptInput();
  }

  close(): void {
    this.#base.close();
    this.#file.close();
  }
}
