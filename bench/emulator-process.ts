// One run of an emulator, watched: what it prints and when, what it costs, how it ends.

import { type ChildProcess, spawn } from "node:child_process";
import { BenchError } from "./benchmark.ts";
import { cpuTimes, residentBytes } from "./proc.ts";
import { type Mark, Transcript } from "./transcript.ts";

/** What Linux says when it goes down: nothing that is waited for comes after it. */
const LINUX_DIES = /\] (Unable to handle kernel|Kernel panic - not syncing).*\n/;

/** How long it may take to end when it is asked to. */
const STOP_MS = 5_000;

/** The whole life of a process. */
export interface Life {
  readonly status: number | null;
  /** Seconds. */
  readonly wall: number;
  /** Seconds of all its threads; undefined where the system does not tell. */
  readonly cpu: number | undefined;
}

/** Those that run now: none may outlive the benchmark. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class EmulatorProcess implements AsyncDisposable {
  readonly transcript = new Transcript();
  readonly #child: ChildProcess;
  readonly #started = performance.now();
  readonly #cpuBefore = cpuTimes()?.children;
  readonly #ended: Promise<Life>;
  #life: Life | undefined;
  /** Called when something is printed or the process ends. */
  #onNews = (): void => undefined;

  constructor(command: string, options: readonly string[]) {
    const child = spawn(command, options, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    running.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.transcript.append(text, this.#seconds());
        this.#onNews();
      });
    }
    child.stdin.on("error", () => undefined); // it may have ended
    let wall = 0;
    child.on("exit", () => {
      wall = this.#seconds();
    });
    this.#ended = new Promise((resolve, reject) => {
      child.on("error", (error) => reject(new BenchError(`${command} does not start: ${error.message}`)));
      child.on("close", (status) => {
        running.delete(child);
        const after = cpuTimes()?.children;
        // The runs follow one another, so what ended children have cost since is this one's.
        const cpu = after === undefined || this.#cpuBefore === undefined ? undefined : after - this.#cpuBefore;
        this.#life = { status, wall, cpu };
        resolve(this.#life);
        this.#onNews();
      });
    });
    this.#ended.catch(() => undefined);
  }

  /**
   * Waits until something is printed; its time is in seconds from the start of the process.
   * @throws BenchError when the process ends before, or the time is up
   */
  async until(pattern: RegExp, timeout: number, from = 0): Promise<Mark> {
    const deadline = performance.now() + timeout * 1000;
    for (;;) {
      const mark = this.transcript.find(pattern, from);
      if (mark !== undefined) return mark;
      if (this.transcript.find(LINUX_DIES) !== undefined) throw this.#complaint(`Linux crashed before ${pattern}`);
      const left = deadline - performance.now();
      if (this.#life !== undefined) throw this.#complaint(`ended with status ${this.#life.status} before ${pattern}`);
      if (left <= 0) throw this.#complaint(`no ${pattern} within ${timeout} s`);
      await Promise.race([this.#news(left), this.#ended]);
    }
  }

  /**
   * Waits for the end.
   * @throws BenchError when it does not come in time, or with another status than 0
   */
  async end(timeout: number): Promise<Life> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), timeout * 1000);
    const life = await this.#ended;
    clearTimeout(timer);
    if (life.status === null) throw this.#complaint(`no end within ${timeout} s`);
    if (life.status !== 0) throw this.#complaint(`ended with status ${life.status}`);
    return life;
  }

  /** Types at its console. */
  type(text: string): void {
    this.#child.stdin!.write(text, "latin1");
  }

  /** Seconds since the start of the process, by the clock of its marks. */
  get now(): number {
    return this.#seconds();
  }

  /** Resident bytes and CPU seconds now. */
  usage(): { readonly resident: number | undefined; readonly cpu: number | undefined } {
    const pid = this.#child.pid!;
    return { resident: residentBytes(pid), cpu: cpuTimes(pid)?.own };
  }

  /** Ends the process, whatever it does. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#life !== undefined) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#ended.catch(() => undefined);
    clearTimeout(timer);
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #news(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs).unref();
      this.#onNews = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #complaint(message: string): BenchError {
    const { text } = this.transcript;
    const tail = this.transcript.tail(2);
    const words = tail === "" ? "" : ` (it said: ${tail})`;
    return new BenchError(`${this.#child.spawnfile}: ${message}${words}`, { console: text });
  }
}
