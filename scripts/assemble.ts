// `node scripts/assemble.mjs SOURCE OUTPUT`: assembles a bare-metal program for the start of RAM, where -bios none -kernel
// loads it.

import { readFileSync, writeFileSync } from "node:fs";
import { assemble } from "../src/isa/assembler.ts";
import { UserError } from "../src/util/user-error.ts";

const RAM = 0x8000_0000n;

try {
  const [source, output, ...rest] = process.argv.slice(2);
  if (source === undefined || output === undefined || rest.length > 0) {
    throw new UserError("expected two files: node scripts/assemble.mjs SOURCE OUTPUT");
  }
  writeFileSync(output, assemble(readFileSync(source, "utf8"), { base: RAM, file: source }).bytes);
} catch (error) {
  // An error of the operating system names the file.
  if (!(error instanceof UserError) && !(error instanceof Error && "syscall" in error)) throw error;
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}
