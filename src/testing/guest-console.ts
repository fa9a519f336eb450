// A guest's serial console, as a test uses it: types commands into its shell, reads what comes back. docs/testing.md.

import type { MemoryChardev } from "../backend/chardev-memory.ts";
import { UserError } from "../util/user-error.ts";

/** How a command ended. */
export interface CommandResult {
  /** What it wrote, standard error and messages of the kernel included, with `\n` between lines. */
  readonly output: string;
  /** Its exit status, as `$?`. */
  readonly status: number;
}

/** How long to wait: milliseconds of the host's time. */
export interface WaitOptions {
  readonly timeout?: number;
}

const DEFAULT_TIMEOUT = 60_000;
/** What BusyBox's shell takes as one line, with room for what goes around a command. */
const LONGEST_LINE = 900;
/** Text kept at least, and kept at most: characters. */
const KEEP = 1 << 20;
const MAX_KEPT = 4 * KEEP;
/** Marks begin and end with it. The shell's echo of a command has it as the four characters `\036`. */
const MARK = "\x1e";
/** A program asks its terminal where the cursor is; BusyBox's shell waits 20 ms at the end of a line if nobody has answered. */
const ASKS_CURSOR = "\x1b[6n";
/** In the upper left corner: farther left than any prompt ends, so that nothing is drawn anew. */
const CURSOR = "\x1b[1;1R";
/** A function of the guest's shell that runs a command between marks: what is typed costs the guest more than most commands. */
const RUNNER = "_p";
const DEFINITION = `${RUNNER}() { printf '\\036B%s\\036' $1; command eval "$2" </dev/null; printf '\\036E%s %d\\036' $1 $?; }\n`;

export class GuestConsole {
  readonly #chardev: MemoryChardev;
  readonly #decoder = new TextDecoder();
  #text = "";
  /** How much of the text `expect` has passed. */
  #passed = 0;
  /** How much of the text was searched for questions to the terminal. */
  #answered = 0;
  #failure: Error | undefined;
  #runs = 0;
  #last: Promise<unknown> = Promise.resolve();
  readonly #waiters = new Set<() => void>();
  /**
   * For a machine whose runs repeat: whether anybody waits is told at once, at the instruction that wrote what ended the
   * wait. Time may pass only while somebody does.
   */
  onWaiting: ((waiting: boolean) => void) | undefined;
  #told = false;
  #hasRunner: boolean;

  /**
   * Takes over the chardev's output.
   * @param parent the console of the machine that this one was a copy of, with the same shell behind it
   */
  constructor(chardev: MemoryChardev, parent?: GuestConsole) {
    this.#chardev = chardev;
    this.#hasRunner = parent === undefined ? false : parent.#hasRunner;
    chardev.onOutput = (bytes) => this.#hear(bytes);
  }

  /** What the guest wrote so far, the last megabyte at least. */
  get transcript(): string {
    return this.#text;
  }

  /** Types text, as it is: a line ends with `\n` or `\r`. */
  send(text: string): void {
    this.#chardev.send(new TextEncoder().encode(text));
  }

  /**
   * Waits until the output since the last `expect` or `run` matches, and passes over it up to the end of the match.
   * @throws Error when the time is over or the machine has ended, with the last lines that the guest wrote
   * @example const [, address] = await vm.console.expect(/inet (\S+)/);
   */
  async expect(pattern: RegExp | string, options: WaitOptions = {}): Promise<RegExpExecArray> {
    const source = typeof pattern === "string" ? RegExp(pattern.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")) : pattern;
    const regExp = new RegExp(source.source, source.flags.replaceAll(/[gy]/g, ""));
    const match = await this.#until(
      () => regExp.exec(this.#text.slice(this.#passed)) ?? undefined,
      options,
      () => String(pattern),
    );
    this.#passed += match.index + match[0].length;
    return match;
  }

  /**
   * Runs a command, of one line or several, in the shell that stands at its prompt, and waits for its end. The shell
   * keeps what the command changes (`cd`, variables). Standard input is empty: talk to a command with `send` and `expect`.
   * Several calls wait for each other.
   *
   * @throws UserError for a command that cannot be typed
   * @throws Error when the time is over or the machine has ended, with the last lines that the guest wrote
   * @example const { output, status } = await vm.console.run("insmod /lib/banana.ko");
   */
  run(command: string, options: WaitOptions = {}): Promise<CommandResult> {
    const result = this.#last.then(() => this.#run(command, options));
    this.#last = result.catch(() => {});
    return result;
  }

  /** The machine has ended: all who wait hear of it, and whoever will. */
  fail(error: Error): void {
    this.#failure = error;
    this.#tell();
  }

  async #run(command: string, options: WaitOptions): Promise<CommandResult> {
    const id = ++this.#runs;
    const call = `${RUNNER} ${id} ${shellQuoted(command)}\n`;
    if (call.split("\n").some((part) => part.length > LONGEST_LINE)) {
      throw new UserError(
        `console.run: a line of the command is longer than ${LONGEST_LINE} characters: put it into a script`,
      );
    }
    if (!this.#hasRunner) this.send(DEFINITION);
    this.#hasRunner = true;
    this.send(call);
    const begin = `${MARK}B${id}${MARK}`;
    // A message of the kernel may come between the parts of the mark.
    const end = RegExp(`${MARK}E${id} [^${MARK}]*?(\\d+)${MARK}`);
    const missing = `${RUNNER}: not found`;
    let from = -1;
    const match = await this.#until(
      () => {
        if (from < 0) from = this.#text.indexOf(begin, this.#passed);
        if (from >= 0) return end.exec(this.#text.slice(from)) ?? undefined;
        const complaint = this.#text.indexOf(missing, this.#passed);
        if (complaint < 0) return undefined;
        // Another shell than the one that learned it.
        this.#passed = complaint + missing.length;
        this.send(DEFINITION + call);
        return undefined;
      },
      options,
      () => `the end of ${JSON.stringify(command)}`,
    );
    const start = this.#text.indexOf(begin, this.#passed) + begin.length;
    const stop = this.#text.indexOf(match[0], start);
    this.#passed = stop + match[0].length;
    return { output: this.#text.slice(start, stop).replaceAll(/\r+\n/g, "\n"), status: Number(match[1]) };
  }

  /** Waits for what `look` finds; it is asked again whenever the guest has written something. */
  async #until<T>(
    look: () => T | undefined,
    { timeout = DEFAULT_TIMEOUT }: WaitOptions,
    what: () => string,
  ): Promise<T> {
    const found = look();
    if (found !== undefined) return found;
    return await new Promise<T>((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        if (this.#waiters.size === 0) this.onWaiting?.(false);
        settle();
      };
      const complain = (why: string, cause?: Error): void =>
        end(() =>
          reject(
            new Error(`${why} while waiting for ${what()}; the console's last lines:\n${this.#tail()}`, { cause }),
          ),
        );
      const waiter = (): void => {
        const result = look();
        if (result !== undefined) end(() => resolve(result));
        else if (this.#failure !== undefined) complain(this.#failure.message, this.#failure);
      };
      const timer = setTimeout(() => complain(`${timeout} ms passed`), timeout);
      this.#waiters.add(waiter);
      if (this.#waiters.size === 1) this.onWaiting?.(true);
      if (this.#failure !== undefined) waiter();
    });
  }

  #hear(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    this.#answer();
    if (this.#text.length > MAX_KEPT && this.#waiters.size === 0) {
      const cut = this.#text.length - KEEP;
      this.#text = this.#text.slice(cut);
      this.#passed = Math.max(0, this.#passed - cut);
      this.#answered = Math.max(0, this.#answered - cut);
    }
    // Once for all that the guest writes in one go.
    if (this.#told || this.#waiters.size === 0) return;
    if (this.onWaiting !== undefined) {
      this.#tell();
      return;
    }
    this.#told = true;
    queueMicrotask(() => this.#tell());
  }

  /** Answers as a terminal does. */
  #answer(): void {
    for (;;) {
      const at = this.#text.indexOf(ASKS_CURSOR, this.#answered);
      if (at < 0) break;
      this.#answered = at + ASKS_CURSOR.length;
      this.send(CURSOR);
    }
    // The beginning of a question may be there already.
    this.#answered = Math.max(this.#answered, this.#text.length - ASKS_CURSOR.length + 1);
  }

  #tell(): void {
    this.#told = false;
    for (const waiter of [...this.#waiters]) waiter();
  }

  #tail(): string {
    const lines = this.#text.slice(-4000).replaceAll(/\r+\n/g, "\n").split("\n").slice(-12);
    return lines.map((line) => `  ${printable(line)}`).join("\n");
  }
}

/** A word of the shell that stands for `text`. */
function shellQuoted(text: string): string {
  const quoted = (plain: string): string => `'${plain.replaceAll("'", "'\\''")}'`;
  const isControl = (character: string): boolean => (character < " " && character !== "\n") || character === "\x7f";
  if (text.includes("\0")) throw new UserError("console.run: a command cannot have a NUL character");
  if (![...text].some(isControl)) return quoted(text);
  // The line editor would take a tab or another control character as a wish of its own.
  const escaped = [...text].map((c) => (c === "\\" ? "\\\\" : isControl(c) ? `\\0${c.charCodeAt(0).toString(8)}` : c));
  return `"$(printf %b ${quoted(escaped.join(""))})"`;
}

function printable(line: string): string {
  return [...line].filter((c) => c >= " " && c !== "\x7f").join("");
}
