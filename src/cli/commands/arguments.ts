// The words after a word of the command's: so many, and no options.

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
