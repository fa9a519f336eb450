// A character device that several frontends share, with commands behind an escape character: QEMU's `mux=on`.

import type { Chardev, ChardevFrontend } from "../backend/chardev.ts";
import { InputQueue } from "./input-queue.ts";

/** What the commands do outside of the mux. */
export interface MuxCommands {
  /** Ends the machine. */
  quit(): void;
  /** Brings the disks up to date; returns one line about it. */
  syncDisks(): string;
}

export interface MuxOptions {
  /** The character that begins a command: 1 for Ctrl-A. */
  readonly escapeCode: number;
  readonly commands: MuxCommands;
  /** Milliseconds since the machine started, for time stamps. */
  readonly now: () => number;
  /** Whether somebody types at the other end: then input beyond the buffer is dropped, so that commands always work. */
  readonly interactive: boolean;
}

/** How much input waits for a guest that does not read. */
const BUFFER = 64 * 1024;

const NEWLINE = 0x0a;
const BELL = Uint8Array.of(0x07);

/** Shares `base` between its frontends; one of them has the focus and gets the input. */
export class MuxChardev implements Chardev {
  readonly id: string;
  readonly #base: Chardev;
  readonly #options: MuxOptions;
  readonly #queues: InputQueue[] = [];
  /** Input from before the first frontend came. */
  #early: Uint8Array[] = [];
  #focus = 0;
  #escaped = false;
  #timestamps = false;
  #atLineStart = true;

  constructor(base: Chardev, options: MuxOptions) {
    this.id = base.id;
    this.#base = base;
    this.#options = options;
    base.attach({
      canReceive: () => this.#room(),
      receive: (bytes) => this.#receive(bytes),
      event: (event) => {
        for (const queue of this.#queues) queue.frontend?.event?.(event);
      },
    });
  }

  attach(frontend: ChardevFrontend): void {
    const queue = new InputQueue({ pause: () => {}, resume: () => this.#base.acceptInput() });
    this.#queues.push(queue);
    queue.attach(frontend);
    for (const bytes of this.#early.splice(0)) queue.push(bytes);
  }

  write(bytes: Uint8Array): void {
    if (!this.#timestamps) {
      this.#base.write(bytes);
      if (bytes.length > 0) this.#atLineStart = bytes.at(-1) === NEWLINE;
      return;
    }
    for (let start = 0; start < bytes.length; ) {
      if (this.#atLineStart) this.#base.write(encode(`[${(this.#options.now() / 1000).toFixed(3).padStart(9)}] `));
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline + 1;
      this.#base.write(bytes.subarray(start, end));
      this.#atLineStart = newline >= 0;
      start = end;
    }
  }

  acceptInput(): void {
    for (const queue of this.#queues) queue.deliver();
    this.#base.acceptInput();
  }

  close(): void {
    this.#base.close();
  }

  get #waiting(): number {
    const early = this.#early.reduce((sum, bytes) => sum + bytes.length, 0);
    return this.#queues.reduce((sum, queue) => sum + queue.length, early);
  }

  #room(): number {
    return this.#options.interactive ? BUFFER : Math.max(0, BUFFER - this.#waiting);
  }

  /** Sorts commands from input. */
  #receive(bytes: Uint8Array): void {
    const { escapeCode } = this.#options;
    const input = new Uint8Array(bytes.length);
    let length = 0;
    const flush = () => {
      this.#input(input.slice(0, length));
      length = 0;
    };
    for (const byte of bytes) {
      if (!this.#escaped && byte === escapeCode) {
        this.#escaped = true;
      } else if (this.#escaped && byte !== escapeCode) {
        this.#escaped = false;
        flush();
        this.#command(String.fromCharCode(byte));
      } else {
        this.#escaped = false;
        input[length++] = byte;
      }
    }
    flush();
  }

  /** Hands input to the frontend with the focus. */
  #input(bytes: Uint8Array): void {
    const room = BUFFER - this.#waiting;
    if (bytes.length > room) this.#base.write(BELL);
    const taken = bytes.subarray(0, Math.max(0, room));
    const queue = this.#queues[this.#focus];
    if (queue !== undefined) queue.push(taken);
    else if (taken.length > 0) this.#early.push(taken);
  }

  #command(key: string): void {
    const { commands } = this.#options;
    if (key === "x") {
      // So that the shell's prompt has a line of its own.
      this.#say("ended by the user");
      commands.quit();
    } else if (key === "h" || key === "?") this.#say(this.#help());
    else if (key === "b") this.#queues[this.#focus]?.frontend?.event?.("break");
    else if (key === "c") this.#nextFocus();
    else if (key === "s") this.#say(commands.syncDisks());
    else if (key === "t") {
      this.#timestamps = !this.#timestamps;
      this.#say(this.#timestamps ? "time stamps on" : "time stamps off");
    }
  }

  #nextFocus(): void {
    if (this.#queues.length < 2) {
      this.#say("the monitor is not in Plantain yet: this is still the console");
      return;
    }
    this.#focus = (this.#focus + 1) % this.#queues.length;
    this.#say(`input goes to ${this.#focus + 1} of ${this.#queues.length}`);
  }

  #help(): string {
    const code = this.#options.escapeCode;
    const key = code < 0x20 ? `Ctrl-${String.fromCharCode(code + 0x40)}` : String.fromCharCode(code);
    return [
      `${key} then`,
      "  x       end the machine",
      "  s       write the disks' data to where it is safe",
      "  t       time stamps before each line, on and off",
      "  b       send a break",
      "  c       the next console or the monitor",
      `  ${key}  send ${key} itself`,
      "  h       this help",
    ].join("\n");
  }

  /** Writes lines of our own, beginning on a fresh one. */
  #say(text: string): void {
    this.#base.write(encode(`${this.#atLineStart ? "" : "\n"}${text}\n`));
    this.#atLineStart = true;
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
