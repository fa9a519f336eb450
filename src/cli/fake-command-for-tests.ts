// The command with a machine that only knows its console, to be started as a process of its own on a terminal.
// What is typed comes back in capitals; some keys do more.

import { writeFileSync } from "node:fs";
import type { ShutdownReason } from "../device/device.ts";
import { ModelError } from "../machine/machine.ts";
import { writeText } from "../node/output-buffer.ts";
import { Terminal } from "../node/tty.ts";
import { catalog } from "./config-for-tests.ts";
import { runCommand } from "./run-command.ts";

const status = await runCommand(process.argv.slice(2), {
  catalog,
  createMachine: (_config, host, _tell, endless) => {
    const console = host.serials[0];
    let end: (reason: ShutdownReason | undefined) => void = () => {};
    let fail: (error: Error) => void = () => {};
    const say = (text: string) => console?.write(new TextEncoder().encode(text));
    // A machine that sleeps keeps its process alive by a timer.
    const alive = setInterval(() => {}, 1 << 30);
    return {
      board: { deviceTree: Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed) },
      engine: { harts: [{ pc: 0x80001234n }] },
      stop: () => end(undefined),
      run: () =>
        new Promise<ShutdownReason | undefined>((resolve, reject) => {
          end = resolve;
          fail = reject;
          console?.attach({
            canReceive: () => 16,
            receive: (bytes) => {
              for (const key of String.fromCharCode(...bytes)) {
                if (key === "!") throw new Error("thrown in a callback");
                if (key === "#") fail(new ModelError(new Error("thrown by a device"), "hart 0 at pc 0x80001234"));
                else if (key === "&") process.exit(endless("mine: mmio.read has not ended\n  7 | for (;;) {}"));
                else if (key === "$") end({ kind: "poweroff", status: 7 });
                else if (key === "%") end({ kind: "poweroff", status: 0 });
                else say(key === "\r" ? "\n" : key === "\x03" ? "^C" : key.toUpperCase());
              }
            },
          });
          say("ready\n");
        }).finally(() => clearInterval(alive)),
    };
  },
  terminal: new Terminal(() => process.stdin),
  version: () => "0",
  writeOutput: (text) => writeText(1, text),
  writeError: (text) => writeText(2, text),
  writeFile: writeFileSync,
  colour: { output: false, error: false },
});
process.exit(status);
