// The terminal, or whatever standard input and output are, as a character device.

import type { Chardev, ChardevFrontend } from "../backend/chardev.ts";
import { InputQueue } from "./input-queue.ts";
import { OutputBuffer, writeFully } from "./output-buffer.ts";
import type { Terminal } from "./tty.ts";

/** The keys that a terminal turns into signals unless it is raw. */
const SIGNAL_KEYS: ReadonlyMap<number, NodeJS.Signals> = new Map([
  [0x03, "SIGINT"],
  [0x1a, "SIGTSTP"],
  [0x1c, "SIGQUIT"],
]);

export interface StdioOptions {
  /** Whether Ctrl-C, Ctrl-Z and Ctrl-\ act on Plantain instead of going to the guest. */
  readonly signal: boolean;
  /** Where output goes: the file descriptor of standard output unless given. */
  readonly outputFd?: number;
}

/** Standard input and output. Reading begins with `attach`; `close` sends what is left. */
export class StdioChardev implements Chardev {
  readonly id: string;
  readonly #terminal: Terminal;
  readonly #signal: boolean;
  readonly #output: OutputBuffer;
  /** Standard output is gone: the guest goes on without it. */
  #deaf = false;
  readonly #queue: InputQueue;
  readonly #onData = (bytes: Uint8Array) => this.#receive(bytes);

  constructor(id: string, terminal: Terminal, options: StdioOptions) {
    this.id = id;
    this.#terminal = terminal;
    this.#signal = options.signal;
    const fd = options.outputFd ?? 1;
    this.#output = new OutputBuffer((bytes) => {
      try {
        if (!this.#deaf) writeFully(fd, bytes);
      } catch {
        this.#deaf = true;
      }
    });
    this.#queue = new InputQueue({
      pause: () => terminal.input.pause(),
      resume: () => terminal.input.resume(),
    });
  }

  attach(frontend: ChardevFrontend): void {
    const { input } = this.#terminal;
    this.#queue.attach(frontend);
    // The end of a piped input, and a terminal that hangs up, leave the guest running without input.
    input.on("error", () => {});
    input.on("data", this.#onData);
  }

  write(bytes: Uint8Array): void {
    this.#output.write(bytes);
  }

  acceptInput(): void {
    this.#queue.deliver();
  }

  close(): void {
    this.#output.flush();
    this.#terminal.input.off("data", this.#onData);
    this.#terminal.input.pause();
  }

  #receive(bytes: Uint8Array): void {
    if (!this.#signal || !this.#terminal.isTerminal) {
      this.#queue.push(bytes);
      return;
    }
    let start = 0;
    for (const [i, byte] of bytes.entries()) {
      const signal = SIGNAL_KEYS.get(byte);
      if (signal === undefined) continue;
      this.#queue.push(bytes.subarray(start, i));
      start = i + 1;
      process.kill(process.pid, signal);
    }
    this.#queue.push(bytes.subarray(start));
  }
}
