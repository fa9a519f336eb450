// The words after a word of the command's: so many, and no options; and the files that they name.

import { writeFileSync } from "node:fs";
import { UserError } from "../../util/user-error.ts";

/**
 * Checks the words that follow `plantain NAME`.
 *
 * @param usage what follows the name, for the message
 * @throws UserError for an option, or for too few or too many
 */
export function positional(
  name: string,
  words: readonly string[],
  usage: string,
  least: number,
  most = least,
): readonly string[] {
  const expected = `expected plantain ${name} ${usage}`;
  const option = words.find((word) => word.startsWith("-"));
  if (option !== undefined) throw new UserError(`${name}: ${option}: there is no such option: ${expected}`);
  if (words.some((word) => word === "")) throw new UserError(`${name}: there is an empty word: ${expected}`);
  if (words.length < least) throw new UserError(`${name}: something is missing: ${expected}`);
  if (words.length > most) throw new UserError(`${name}: ${words[most]} is too much: ${expected}`);
  return words;
}

/**
 * A file to make another one of, whose name is the first one's with another ending unless given.
 *
 * @throws UserError for other words, or where the input's name does not end so
 */
export function inputAndOutput(
  name: string,
  words: readonly string[],
  ending: string,
  outputEnding: string,
): { readonly input: string; readonly output: string } {
  const [input, output] = positional(name, words, `FILE${ending} [OUTPUT]`, 1, 2) as [string, string | undefined];
  if (!input.endsWith(ending)) throw new UserError(`${name}: ${input}: expected a file whose name ends in ${ending}`);
  return { input, output: output ?? input.slice(0, -ending.length) + outputEnding };
}

/** @throws UserError when it cannot be written */
export function writeMade(name: string, path: string, content: string | Uint8Array): void {
  try {
    writeFileSync(path, content);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UserError(`${name}: ${path} cannot be written (${code ?? message})`, { cause: error });
  }
}
