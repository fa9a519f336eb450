// The second part of `npm start`, run by the project's own Node: obtains the guest, says what to try, and becomes the
// emulator. Where there is no guest to be had, the emulator boots the bare-metal monitor instead.

import { fileURLToPath } from "node:url";
import { NotObtained } from "../src/node/guest/cache.ts";
import { obtainGuest } from "../src/node/guest/guest.ts";
import { guestWords } from "../src/node/guest/guest-words.ts";
import { UserError } from "../src/util/user-error.ts";
import { terminalProgress } from "./progress.mjs";

const PLANTAIN = fileURLToPath(new URL("../bin/plantain", import.meta.url));
const QUIT = "Ctrl-A x quits, Ctrl-A h helps.";

interface Boot {
  readonly options: readonly string[];
  readonly hints: readonly string[];
}

async function chooseBoot(): Promise<Boot> {
  try {
    const guest = await obtainGuest(process.env, terminalProgress(process.stderr, process.env));
    return {
      options: ["-M", "virt", ...guestWords(guest), "-nographic"],
      hints: [
        `Booting Linux ${guest.kernelRelease}. Log in as root, there is no password, and try: devmem 0x4000000`,
        `${QUIT} What you write to the disk is gone afterwards.`,
      ],
    };
  } catch (error) {
    if (!(error instanceof NotObtained)) throw error;
    // Loaded only here: with the assembler comes the table of all instructions.
    const { obtainMonitor } = await import("../src/node/guest/monitor.ts");
    return {
      options: ["-M", "virt", "-bios", "none", "-kernel", obtainMonitor(process.env), "-nographic"],
      hints: [`No Linux guest here: ${error.message}. Booting a small monitor instead, try: r 4000000`, QUIT],
    };
  }
}

try {
  const { options, hints } = await chooseBoot();
  for (const hint of hints) process.stderr.write(`${hint}\n`);
  // Set-up's own: the command has another one, which belongs to its bundle.
  delete process.env["NODE_COMPILE_CACHE"];
  process.execve!(PLANTAIN, [PLANTAIN, ...options, ...process.argv.slice(2)], process.env);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}
