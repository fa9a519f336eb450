// QEMU's option syntax: `first,key=value,flag`, where `,,` stands for a comma. Behaviour as qemu-system-riscv64 7.2
// shows it, except that a mistake is told with the nearest name.

import { didYouMean } from "../util/nearest.ts";
import { parseSize } from "../util/size.ts";
import { UserError } from "../util/user-error.ts";

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** Whether an option's value asks for help: `help` or `?`, alone or as one of the comma-separated parts. */
export function isHelp(text: string): boolean {
  return text === "help" || text === "?";
}

/**
 * Splits an option's value at its commas. A first part without `=` is the value of `impliedKey`; other parts without
 * `=` are flags: `key` means `key=on`, `nokey` means `key=off`, as QEMU has it.
 *
 * @param flags the keys that are flags: only of these the form `nokey` is understood
 * @example splitKeyValues("virt,usb=off", "type") // [{ key: "type", value: "virt" }, { key: "usb", value: "off" }]
 */
export function splitKeyValues(text: string, impliedKey?: string, flags: readonly string[] = []): KeyValue[] {
  return splitAtCommas(text).map((part, i) => {
    const equals = part.indexOf("=");
    if (equals >= 0) return { key: part.slice(0, equals), value: part.slice(equals + 1) };
    if (i === 0 && impliedKey !== undefined) return { key: impliedKey, value: part };
    if (part.startsWith("no") && flags.includes(part.slice(2)) && !flags.includes(part)) {
      return { key: part.slice(2), value: "off" };
    }
    return { key: part, value: "on" };
  });
}

/** The parts between single commas; a double comma is a comma. A comma at the very end adds no empty part. */
function splitAtCommas(text: string): string[] {
  const parts: string[] = [];
  let part = "";
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character !== ",") part += character;
    else if (text[i + 1] === ",") part += text[++i]!;
    else {
      parts.push(part);
      part = "";
    }
  }
  if (part !== "" || parts.length === 0) parts.push(part);
  return parts;
}

/** `on`, `off` and their like; undefined for anything else. */
export function readBool(text: string): boolean | undefined {
  if (["on", "yes", "true", "y"].includes(text)) return true;
  return ["off", "no", "false", "n"].includes(text) ? false : undefined;
}

const ID = /^[A-Za-z][A-Za-z0-9._-]*$/;

/**
 * The keys and values of one option. Each `take` removes its key; `finish` then complains about what is left, so that a
 * misspelled key is never ignored. As in QEMU the last of several values counts.
 */
export class OptionValues {
  /** The option as it was written, the beginning of every message. */
  readonly where: string;
  readonly #left: KeyValue[];
  /** All keys that were asked for: what can be suggested. */
  readonly #known = new Set<string>();

  constructor(where: string, values: readonly KeyValue[]) {
    this.where = where;
    this.#left = [...values];
  }

  /** An error about this option. */
  error(message: string): UserError {
    return new UserError(`${this.where}: ${message}`);
  }

  /** All values of a key, in order. */
  all(key: string): string[] {
    this.#known.add(key);
    const values: string[] = [];
    for (let i = 0; i < this.#left.length; ) {
      if (this.#left[i]!.key === key) values.push(this.#left.splice(i, 1)[0]!.value);
      else i++;
    }
    return values;
  }

  text(key: string): string | undefined {
    return this.all(key).at(-1);
  }

  /** A value that must be there and not be empty. `what` says what it is. */
  required(key: string, what: string): string {
    const value = this.text(key);
    if (value === undefined || value === "") throw this.error(`${key}= is missing: expected ${what}`);
    return value;
  }

  bool(key: string): boolean | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const answer = readBool(value);
    if (answer === undefined) throw this.error(`${key}=${value}: expected on or off`);
    return answer;
  }

  /** A whole number from `min` to `max`, in decimal or with 0x. */
  integer(key: string, min: number, max: number): number | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const number = /^(\d{1,15}|0x[0-9a-f]{1,12})$/i.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) {
      throw this.error(`${key}=${value}: expected a whole number from ${min} to ${max}`);
    }
    return number;
  }

  /** A size in bytes; a number without a unit counts `unit`. */
  size(key: string, unit: "B" | "M"): bigint | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const size = parseSize(value, unit);
    if (size === undefined) {
      const plain = unit === "M" ? "MiB" : "bytes";
      throw this.error(`${key}=${value}: expected a size such as 512M or 2G (a plain number counts ${plain})`);
    }
    return size;
  }

  oneOf<T extends string>(key: string, values: readonly T[]): T | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const match = values.find((candidate) => candidate === value);
    if (match === undefined) {
      throw this.error(`${key}=${value}: expected ${listOf(values)}${didYouMean(value, values)}`);
    }
    return match;
  }

  /** `id=`, checked; undefined if there is none. */
  id(): string | undefined {
    const id = this.text("id");
    if (id !== undefined && !ID.test(id)) {
      throw this.error(`id=${id}: expected a letter, then letters, digits, "-", "." or "_"`);
    }
    return id;
  }

  requiredId(): string {
    const id = this.id();
    if (id === undefined) throw this.error("id= is missing: expected a name for others to refer to, such as id=a0");
    return id;
  }

  /** Keys that QEMU has and Plantain does not have yet: an error that says so, if one of them is there. */
  notYet(...keys: readonly string[]): void {
    const found = this.#left.find(({ key }) => keys.includes(key));
    if (found !== undefined) throw this.error(`${found.key}=: not in Plantain yet`);
  }

  /** Keys that mean nothing on this host or board: taken and forgotten. */
  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.all(key);
  }

  /** Everything that is left, in order, for a reader of its own. */
  pairs(): [key: string, value: string][] {
    return this.#left.splice(0).map(({ key, value }) => [key, value]);
  }

  /** Everything that is left, for an object whose properties are checked elsewhere. */
  rest(): Record<string, string> {
    const left = this.#left.splice(0);
    if (left.some(({ key }) => key === "")) {
      throw this.error("there is an empty property name: expected NAME=VALUE between commas");
    }
    return Object.fromEntries(left.map(({ key, value }) => [key, value]));
  }

  /** @throws UserError if there is a key that nobody took */
  finish(): void {
    const left = this.#left[0];
    if (left === undefined) return;
    if (left.key === "") throw this.error("there is an empty part between commas: expected KEY=VALUE");
    const known = [...this.#known];
    throw this.error(`unknown key "${left.key}"${didYouMean(left.key, known) || `: expected ${listOf(known)}`}`);
  }
}

/** `a`, `a or b`, `a, b or c`. */
export function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
