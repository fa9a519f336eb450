// The bare-metal monitor that boots where there is no Linux guest: assembled from guest/monitor.s by the project itself, so
// that it needs no tool and no network.

import { mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assemble } from "../../isa/assembler.ts";
import { rootFolder } from "../root-folder.ts";
import { cacheFolder } from "./cache.ts";

const SOURCE = join(rootFolder(), "guest", "monitor.s");
/** Where the board's RAM begins, and with it what -bios none -kernel loads. */
const RAM = 0x80000000n;

/** Writes the monitor where the emulator can load it, and returns the path. */
export function obtainMonitor(env: NodeJS.ProcessEnv): string {
  const { bytes } = assemble(readFileSync(SOURCE, "utf8"), { base: RAM, file: SOURCE });
  try {
    const folder = cacheFolder(env);
    mkdirSync(folder, { recursive: true });
    return writeMonitor(folder, bytes);
  } catch {
    // A cache folder that cannot be written is one reason to be here.
    return writeMonitor(mkdtempSync(join(tmpdir(), "plantain-")), bytes);
  }
}

function writeMonitor(folder: string, bytes: Uint8Array): string {
  const path = join(folder, "monitor.bin");
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, bytes);
  renameSync(partial, path);
  return path;
}
