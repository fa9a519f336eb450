// `plantain assemble FILE.s [OUTPUT]`: a bare-metal program as the board loads it.

import { readFileSync } from "node:fs";
import { assemble } from "../../isa/assembler.ts";
import { UserError } from "../../util/user-error.ts";
import { inputAndOutput, writeMade } from "./arguments.ts";
import type { CommandOutput } from "./table.ts";

/** Where RAM begins, and with it what -bios none -kernel loads. */
const RAM = 0x8000_0000n;

/** @throws UserError for the first mistake in the source, or for a file that cannot be read or written */
export async function assembleFile(words: readonly string[], { writeOutput }: CommandOutput): Promise<void> {
  const { input, output } = inputAndOutput("assemble", words, ".s", ".bin");
  const { bytes } = assemble(read(input), { base: RAM, file: input });
  writeMade("assemble", output, bytes);
  writeOutput(`${output}: ${bytes.length} bytes for -bios none -kernel\n`);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UserError(`assemble: ${path} cannot be read (${code ?? message})`, { cause: error });
  }
}
