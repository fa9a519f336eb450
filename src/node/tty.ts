// The terminal that Plantain runs on: raw while the guest has it, as it was before at all other times.

import type { ReadStream } from "node:tty";

/**
 * Standard input as a terminal, or as what else it may be. In raw mode every key goes to the guest; output is
 * processed as before, so that a newline still returns to the left.
 */
export class Terminal {
  readonly #open: () => NodeJS.ReadStream;
  #input: NodeJS.ReadStream | undefined;
  #raw = false;

  /** @param open gives the stream when it is first wanted: a machine without a console does not read the terminal */
  constructor(open: () => NodeJS.ReadStream) {
    this.#open = open;
  }

  /** Where keys come from. */
  get input(): NodeJS.ReadStream {
    this.#input ??= this.#open();
    return this.#input;
  }

  get isTerminal(): boolean {
    return this.input.isTTY === true;
  }

  /** Takes the terminal for the guest. Nothing happens if standard input is none. */
  enterRaw(): void {
    if (!this.isTerminal) return;
    this.#raw = true;
    (this.input as ReadStream).setRawMode(true);
  }

  /** Leaves the terminal as it was found. May be called at any time, from signal and exit handlers too. */
  restore(): void {
    if (!this.#raw) return;
    this.#raw = false;
    this.#setCooked();
  }

  /** For a stop by job control: the shell gets its terminal; `resume` takes it again. */
  suspend(): void {
    if (this.#raw) this.#setCooked();
  }

  /** After job control let the process go on: the shell may have changed the terminal meanwhile. */
  resume(): void {
    if (!this.#raw) return;
    // Setting the mode that is set already would do nothing.
    this.#setCooked();
    (this.input as ReadStream).setRawMode(true);
  }

  #setCooked(): void {
    try {
      (this.input as ReadStream).setRawMode(false);
    } catch {
      // The terminal is gone: there is nothing to restore.
    }
  }
}
