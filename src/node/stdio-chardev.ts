// The terminal, or whatever standard input and output are, as a character device.

import type { Chardev, ChardevFrontend } from "../backend/chardev.ts";
import { InputQueue } from "./input-queue.ts";
import { OutputBuffer } from "./output-buffer.ts";
import type { SlowOutput } from "./slow-output.ts";
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
  /** Where output goes. */
  readonly output: SlowOutput;
  /** Called once when nobody can reach the guest here any more: input has ended and nobody reads the output. */
  readonly abandoned: () => void;
}

/** How often to look whether somebody still reads, once input has ended. */
const PROBE_MS = 500;

/** Goes into a pipe when whoever started us is gone: if that was its reader, writing fails and we know. */
const ORPHANED = new TextEncoder().encode(
  "\nplantain: the program that started this one has ended: the machine goes on\n",
);

/** Standard input and output. Reading begins with `attach`; `close` sends what is left. */
export class StdioChardev implements Chardev {
  readonly id: string;
  readonly #terminal: Terminal;
  readonly #signal: boolean;
  readonly #output: OutputBuffer;
  readonly #reader: SlowOutput;
  readonly #abandoned: () => void;
  readonly #queue: InputQueue;
  #probe: NodeJS.Timeout | undefined;
  /** Who started us. */
  #parent = process.ppid;
  readonly #onData = (bytes: Uint8Array) => this.#receive(bytes);
  readonly #onEnd = () => this.#inputEnded();

  constructor(id: string, terminal: Terminal, options: StdioOptions) {
    this.id = id;
    this.#terminal = terminal;
    this.#signal = options.signal;
    this.#reader = options.output;
    this.#abandoned = options.abandoned;
    // Without a reader the guest goes on: it may be reached otherwise.
    this.#output = new OutputBuffer((bytes) => this.#reader.write(bytes));
    this.#queue = new InputQueue({
      pause: () => terminal.input.pause(),
      resume: () => terminal.input.resume(),
    });
  }

  attach(frontend: ChardevFrontend): void {
    const { input } = this.#terminal;
    this.#queue.attach(frontend);
    // The end of a piped input leaves the guest running without input, as long as somebody may read what it says.
    input.on("error", () => {});
    input.on("data", this.#onData);
    input.once("close", this.#onEnd);
    input.once("end", this.#onEnd);
  }

  write(bytes: Uint8Array): void {
    this.#output.write(bytes);
  }

  acceptInput(): void {
    this.#queue.deliver();
  }

  close(): void {
    clearInterval(this.#probe);
    this.#output.flush();
    const { input } = this.#terminal;
    input.off("data", this.#onData);
    input.off("close", this.#onEnd);
    input.off("end", this.#onEnd);
    input.pause();
  }

  #inputEnded(): void {
    if (this.#probe !== undefined) return;
    // A terminal that gives no more input has hung up, or belongs to others now.
    const isAbandoned = () => this.#terminal.isTerminal || !this.#reader.probe();
    const look = () => {
      if (process.ppid !== this.#parent && this.#reader.isPipe) this.#reader.write(ORPHANED);
      this.#parent = process.ppid;
      if (!isAbandoned()) return;
      clearInterval(this.#probe);
      this.#abandoned();
    };
    this.#probe = setInterval(look, PROBE_MS).unref();
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
