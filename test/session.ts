// A whole machine in a process of its own, behind its console: starts the command, waits for what the guest says, types.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const PLANTAIN = fileURLToPath(new URL("../bin/plantain", import.meta.url));

/** What is kept of a machine's words for the message of a failure. */
const LAST_WORDS = 3000;

/** How a command in the guest's shell ended. */
export interface Ran {
  readonly output: string;
  readonly status: number;
}

export interface Ended {
  readonly status: number | null;
  /** Standard error: Plantain's own messages and log. */
  readonly errors: string;
}

export class Session {
  readonly #child: ChildProcess;
  #output = "";
  #seen = 0;
  #errors = "";
  #errorsSeen = 0;
  #hear = () => {};
  readonly #end: Promise<number | null>;
  #ended = false;

  constructor(command: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
    const child = spawn(command, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    // The guest's shell asks for the cursor's position, which only a terminal would answer.
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      this.#output = (this.#output + text).replaceAll("\x1b[6n", "");
      this.#hear();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
      this.#hear();
    });
    child.stdin.on("error", () => {});
    this.#end = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => {
        this.#ended = true;
        this.#hear();
        resolve(status);
      });
    });
  }

  /** All that the guest's console has said, with its `\r\n`. */
  get output(): string {
    return this.#output;
  }

  get errors(): string {
    return this.#errors;
  }

  type(text: string): void {
    this.#child.stdin!.write(text, "latin1");
  }

  /** For the message of a failure. */
  get lastWords(): string {
    return `${this.#output.slice(-LAST_WORDS)}\n${this.#errors.slice(-LAST_WORDS)}`;
  }

  /** Waits until what the console says after the last match has `pattern`. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#output.slice(this.#seen));
      if (match !== null) {
        this.#seen += match.index + match[0].length;
        return match;
      }
      if (this.#ended)
        throw new Error(`the machine ended before it said ${pattern}; its last words:\n${this.lastWords}`);
      await new Promise<void>((resolve) => {
        this.#hear = resolve;
      });
    }
  }

  /** Waits until what standard error says after the last match has `pattern`. */
  async untilError(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#errors.slice(this.#errorsSeen));
      if (match !== null) {
        this.#errorsSeen += match.index + match[0].length;
        return match;
      }
      if (this.#ended) throw new Error(`the machine ended before ${pattern}; its last words:\n${this.lastWords}`);
      await new Promise<void>((resolve) => {
        this.#hear = resolve;
      });
    }
  }

  /** Logs in as root and waits for the shell. */
  async logIn(): Promise<void> {
    await this.until(/login: $/);
    this.type("root\r");
    await this.until(/# $/);
  }

  /** Runs a command in the guest's shell. */
  async run(command: string): Promise<Ran> {
    // The shell's echo of this line has the quotes in the words that are waited for.
    this.type(`echo 'B'EGIN; ${command}; echo 'E'ND-$?\r`);
    const match = await this.until(/BEGIN\r\n(?<output>[\s\S]*?)END-(?<status>\d+)\r\n[\s\S]*?# $/);
    const { output, status } = match.groups!;
    return { output: output!.replaceAll("\r\n", "\n"), status: Number(status) };
  }

  /** Waits for the process to end. */
  async end(): Promise<Ended> {
    return { status: await this.#end, errors: this.#errors };
  }

  /** Stops it, lets it go on, or whatever else signals do. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it whatever it does. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
