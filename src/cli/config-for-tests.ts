// The way from words to a configuration, with the real board and harts, for tests.

import { virtBoard } from "../boards/virt.ts";
import type { MachineConfig } from "../machine/config.ts";
import { cpuModels } from "../machine/cpu.ts";
import type { Catalog } from "./catalog.ts";
import { finishConfig } from "./finish-config.ts";
import type { Draft } from "./options/draft.ts";
import { parseCommandLine } from "./parse.ts";

export const catalog: Catalog = { boards: [virtBoard], cpus: cpuModels };

/** The configuration that a command line makes, and its warnings. */
export function configOf(words: readonly string[]): {
  config: MachineConfig;
  warnings: readonly string[];
  draft: Draft;
} {
  const draft = parseCommandLine(words);
  const config = finishConfig(draft, catalog);
  return { config, warnings: draft.warnings, draft };
}

/** Splits a command line at spaces; words in double quotes stay whole. */
export function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}
