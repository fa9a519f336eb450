// The harts that `-cpu` offers: types and the extensions that can be switched.

import type { HartIsa } from "../boards/board.ts";
import type { PropertyInfo } from "../qom/property.ts";
import { checkValue } from "../qom/property.ts";
import { allExtensions, baseExtensions, isaExtensions } from "../riscv/extensions.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import type { TypeChoice } from "./config.ts";

/** A type of hart. */
export interface CpuModel {
  readonly name: string;
  readonly description: string;
  readonly properties: Readonly<Record<string, PropertyInfo>>;
}

/** Names of single letters are easy to confuse with others: their properties say what they are. */
const LETTERS: Readonly<Record<string, string>> = {
  f: "single-precision floating point",
  d: "double-precision floating point",
};

const properties: Readonly<Record<string, PropertyInfo>> = Object.fromEntries(
  isaExtensions(allExtensions)
    .filter((extension) => !baseExtensions.has(extension))
    .map((extension) => [
      extension,
      { type: "bool", default: true, description: LETTERS[extension] ?? `the ${extension} extension` },
    ]),
);

export const cpuModels: readonly CpuModel[] = [
  { name: "rv64", description: "64-bit hart with everything that Plantain has", properties },
  { name: "max", description: "the same", properties },
];

/** What other extensions an extension needs. */
const NEEDS: Readonly<Record<string, string>> = { d: "f", zfh: "f" };

/**
 * The extensions of a chosen hart.
 * @throws UserError for an unknown property, or an extension without one that it needs
 */
export function extensionsOf(choice: TypeChoice): ReadonlySet<string> {
  const enabled = new Set(allExtensions);
  for (const [name, text] of Object.entries(choice.properties)) {
    const info = properties[name.toLowerCase()];
    if (info === undefined) {
      const known = baseExtensions.has(name)
        ? `: ${name} is part of every hart`
        : didYouMean(name, Object.keys(properties));
      throw new UserError(`-cpu ${choice.type}: no property "${name}"${known}`);
    }
    if (checkValue(`-cpu ${choice.type}.${name}`, info, text) === false) enabled.delete(name.toLowerCase());
  }
  for (const [extension, needed] of Object.entries(NEEDS)) {
    if (enabled.has(extension) && !enabled.has(needed)) {
      throw new UserError(`-cpu ${choice.type}: ${extension} needs ${needed}: add ${extension}=off`);
    }
  }
  return enabled;
}

/** What such a hart says of itself in the device tree. */
export const isaOf = (extensions: ReadonlySet<string>): HartIsa => ({
  base: "rv64i",
  extensions: isaExtensions(extensions),
  mmuType: "riscv,sv57",
  cacheBlockSize: 64,
});
