// Reads the words of a command line by the table of options. Behaviour as qemu-system-riscv64 7.2: one dash or two, the
// value of an option is the next word, a word without a dash is a disk image.

import { nearest } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { type Draft, newDraft } from "./options/draft.ts";
import { disk } from "./options/storage.ts";
import { LATER_OPTIONS, OPTIONS, type OptionSpec } from "./options/table.ts";

const SPECS = new Map<string, OptionSpec>();
for (const spec of OPTIONS) {
  SPECS.set(spec.name, spec);
  if (spec.alias !== undefined) SPECS.set(spec.alias, spec);
}

/** The longest piece of an option that messages repeat. */
const MAX_SHOWN = 160;

/**
 * Reads a command line's words (without the command itself), adding to what was said before.
 * @throws UserError for the first mistake
 */
export function parseCommandLine(words: readonly string[], draft: Draft = newDraft()): Draft {
  let images = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith("-") || word === "-") {
      if (word === "") throw new UserError("there is an empty word on the command line: expected an option");
      if (images++ > 0) throw new UserError(`${word}: a second disk image without an option: use -drive`);
      disk(0)(draft, word, word);
      continue;
    }
    const spec = specOf(word);
    if (spec.argument === undefined) {
      spec.apply(draft, "", word);
      continue;
    }
    const value = words[++i];
    if (value === undefined) throw new UserError(`${word}: the value is missing: expected ${word} ${spec.argument}`);
    // QEMU takes the next word whatever it is. Only the kernel's command line may look like an option of ours.
    if (spec.name !== "append" && value.startsWith("-") && SPECS.has(value.replace(/^--?/, ""))) {
      throw new UserError(`${word}: the value is missing before ${value}: expected ${word} ${spec.argument}`);
    }
    spec.apply(draft, value, shown(word, value));
  }
  return draft;
}

function specOf(word: string): OptionSpec {
  const name = word.replace(/^--?/, "");
  const spec = SPECS.get(name);
  if (spec !== undefined) return spec;
  if (LATER_OPTIONS.includes(name)) throw new UserError(`${word}: not in Plantain yet`);
  const joined = /^([^=]+)=(.+)$/s.exec(name);
  if (joined !== null && SPECS.has(joined[1]!)) {
    throw new UserError(`${word}: expected a space in place of the first "=": -${joined[1]} ${joined[2]}`);
  }
  const near = nearest(name, [...SPECS.keys(), ...LATER_OPTIONS]);
  const advice = near === undefined ? "-help lists the options" : `did you mean -${near}?`;
  throw new UserError(`${word}: there is no such option (${advice})`);
}

function shown(word: string, value: string): string {
  const text = `${word} ${value}`;
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}...`;
}
