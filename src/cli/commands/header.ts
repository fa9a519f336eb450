// `plantain header FILE [HEADER]`: the registers of a device for C.

import { resolve } from "node:path";
import { cHeader } from "../../device/c-header.ts";
import { loadDevice } from "../../node/device-file.ts";
import { positional, writeMade } from "./arguments.ts";
import type { CommandOutput } from "./table.ts";

/** @throws UserError for a mistake in the words or in the device, or when the header cannot be written */
export async function header(words: readonly string[], { writeOutput }: CommandOutput): Promise<void> {
  const [device, target] = positional("header", words, "FILE[#EXPORT] [HEADER]", 1, 2) as [string, string | undefined];
  const [, file, exportName] = /^(.*?)(?:#([^#/]*))?$/s.exec(device)!;
  const { definition } = await loadDevice({
    path: resolve(file!),
    ...(exportName === undefined ? {} : { exportName }),
    where: `header ${device}`,
  });
  const text = cHeader(definition.registerMap);
  if (target === undefined) return writeOutput(text);
  writeMade("header", target, text);
}
