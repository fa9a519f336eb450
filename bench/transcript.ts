// What a program printed, and when: programs in the guest say "go" and "end", and the host's clock tells how long it was.
// The guest's own clock is the emulator's and has no say.

/** Something that was printed. `at` is when its last character came. */
export interface Mark {
  readonly at: number;
  readonly match: RegExpExecArray;
  /** Where the text after it begins. */
  readonly end: number;
}

export class Transcript {
  #text = "";

  /** All of it. */
  get text(): string {
    return this.#text;
  }

  /** Where each piece ends in the text, and when it came. */
  readonly #pieces: { readonly end: number; readonly at: number }[] = [];

  append(text: string, at: number): void {
    this.#text += text;
    this.#pieces.push({ end: this.#text.length, at });
  }

  /** The first match at or after `from`, or undefined. */
  find(pattern: RegExp, from = 0): Mark | undefined {
    const search = new RegExp(pattern, `${pattern.flags.replaceAll("g", "")}g`);
    search.lastIndex = from;
    const match = search.exec(this.#text);
    if (match === null) return undefined;
    const end = match.index + match[0].length;
    const piece = this.#pieces.find((candidate) => candidate.end >= end)!;
    return { at: piece.at, match, end };
  }

  /** The last non-empty lines, for messages. */
  tail(lines: number): string {
    const printed = this.#text.split(/\r?\n/).filter((line) => line.trim() !== "");
    return printed.slice(-lines).join(" | ");
  }
}
