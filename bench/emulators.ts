// The two emulators, started as users start them.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findCommand } from "../src/node/guest/command.ts";
import { EmulatorProcess } from "./emulator-process.ts";

export class Emulator {
  readonly kind: "ours" | "qemu";
  readonly name: string;
  readonly command: string;
  /** What it says of its version. */
  readonly version: string;

  constructor(kind: "ours" | "qemu", name: string, command: string) {
    this.kind = kind;
    this.name = name;
    this.command = command;
    this.version = this.ask("-version").split("\n", 1)[0]!.trim();
  }

  /** What the emulator prints when it is called with these options and ends at once. */
  ask(...options: string[]): string {
    return execFileSync(this.command, options, { encoding: "utf8" });
  }

  start(options: readonly string[]): EmulatorProcess {
    return new EmulatorProcess(this.command, options);
  }
}

/** Ours, and QEMU if it is on the PATH. */
export function findEmulators(env: NodeJS.ProcessEnv): Emulator[] {
  const ours = new Emulator("ours", "Plantain", fileURLToPath(new URL("../bin/plantain", import.meta.url)));
  const qemu = findCommand("qemu-system-riscv64", env);
  return qemu === undefined ? [ours] : [ours, new Emulator("qemu", "QEMU", qemu)];
}
