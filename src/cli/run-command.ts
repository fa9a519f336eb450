// One run of the command: from its words to the exit status.

import type { ShutdownReason } from "../device/device.ts";
import type { MachineConfig, MachineHost } from "../machine/config.ts";
import { type OpenedHost, openConfig } from "../node/open-config.ts";
import { guardProcess, signalStatus } from "../node/process-guard.ts";
import { sourceStack } from "../node/source-stack.ts";
import type { TranslatorThreads } from "../node/thread-compiler.ts";
import type { Terminal } from "../node/tty.ts";
import { UserError } from "../util/user-error.ts";
import type { Catalog } from "./catalog.ts";
import { findCommandWord, runCommandWord } from "./commands/table.ts";
import type { ConfigWords } from "./config-file.ts";
import { finishConfig } from "./finish-config.ts";
import type { Draft } from "./options/draft.ts";
import { parseCommandLine } from "./parse.ts";

/** The exit status after a bug in Plantain or in a device model: what BSD's sysexits.h calls EX_SOFTWARE. */
const INTERNAL_ERROR = 70;

/** How long somebody who wants an end waits for readers of the output that take nothing. */
const GRACE_MS = 20;

/** What the command does with a machine. */
export interface RunnableMachine {
  /** Runs until the guest ends it, or until `stop` (undefined then). */
  run(): Promise<ShutdownReason | undefined>;
  stop(): void;
  /** Gives back what the machine holds of the host beside its MachineHost. */
  close?(): void;
  readonly board: { readonly deviceTree: Uint8Array };
  /** Where the guest is, for reports of errors. */
  readonly engine?: { readonly harts: readonly { readonly pc: bigint }[] };
}

/** What the command works with. */
export interface CommandEnvironment {
  readonly catalog: Catalog;
  /**
   * `tell` prints what a person at the terminal should know while the machine runs; `endless` prints it when a device's
   * code does not end, closes everything at once, and gives the exit status.
   */
  readonly createMachine: (
    config: MachineConfig,
    host: MachineHost,
    tell: (text: string) => void,
    endless: (text: string) => number,
  ) => RunnableMachine | Promise<RunnableMachine>;
  /** Finds the configuration file that goes with a command line. */
  readonly readConfig?: (words: readonly string[]) => Promise<ConfigWords | undefined>;
  readonly terminal: Terminal;
  /** Where guest code is translated. */
  readonly translators?: TranslatorThreads;
  /** Plantain's version. */
  readonly version: () => string;
  readonly writeOutput: (text: string) => void;
  readonly writeError: (text: string) => void;
  readonly writeFile: (path: string, bytes: Uint8Array) => void;
  /** Whether standard output and standard error take colours. */
  readonly colour: { readonly output: boolean; readonly error: boolean };
}

/**
 * Does what a command line says and returns the exit status: the guest's, 0 after a power-off, 1 for a user's mistake,
 * 128 and the signal's number if one ended it, 70 after a bug.
 */
export async function runCommand(words: readonly string[], environment: CommandEnvironment): Promise<number> {
  const report = (text: string, kind = "") => environment.writeError(message(text, kind, environment.colour.error));
  try {
    const word = findCommandWord(words);
    if (word !== undefined) {
      await runCommandWord(word, words.slice(1), environment);
      return 0;
    }
    const draft = parseCommandLine(words, await configDraft(words, environment));
    if (draft.help !== undefined) {
      const { helpText } = await import("./help.ts");
      const strong = (text: string) => (environment.colour.output ? `\x1b[1m${text}\x1b[0m` : text);
      const text = helpText(draft.help, draft, environment.catalog, environment.version(), strong);
      environment.writeOutput(text);
      return 0;
    }
    const config = finishConfig(draft, environment.catalog);
    for (const warning of draft.warnings) report(warning, "warning: ");
    return await runMachine(config, environment, report);
  } catch (error) {
    if (error instanceof UserError) {
      report(error.message);
      return 1;
    }
    environment.writeError(internalError(error, undefined));
    return INTERNAL_ERROR;
  }
}

/** What the configuration file says, before the command line says otherwise. */
async function configDraft(words: readonly string[], environment: CommandEnvironment): Promise<Draft | undefined> {
  const config = await environment.readConfig?.(words);
  if (config === undefined) return undefined;
  try {
    return parseCommandLine(config.words);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${config.path}: ${error.message}`, { cause: error });
  }
}

async function runMachine(
  config: MachineConfig,
  environment: CommandEnvironment,
  report: (text: string) => void,
): Promise<number> {
  const { terminal, translators } = environment;
  let machine: RunnableMachine | undefined;
  /** Why we ended the machine, if we did: the exit status. */
  let ended: number | undefined;
  const asked = Promise.withResolvers<void>();
  const end = (status: number) => {
    ended ??= status;
    asked.resolve();
    machine?.stop();
  };
  const commands = {
    quit: () => end(0),
    syncDisks: () => {
      host.flushDisks().catch((error: Error) => report(error.message));
      return "the disks' data is being written";
    },
  };
  const abandoned = () => {
    end(signalStatus("SIGHUP"));
    report("ended: nobody is at the console any more");
  };
  const host: OpenedHost = await openConfig(config, {
    terminal,
    commands,
    abandoned,
    notice: report,
    ...(translators === undefined ? {} : { translators }),
  });
  let crashing = false;
  const unguard = guardProcess(terminal, {
    quit: (signal) => {
      end(signalStatus(signal));
      report(`ended by ${signal}`);
    },
    crash: async (error) => {
      terminal.restore();
      // An error while this one is being handled: saving the disks was tried.
      if (crashing) process.exit(INTERNAL_ERROR);
      crashing = true;
      environment.writeError(internalError(error, machine));
      await closeHost(host, report);
      process.exit(INTERNAL_ERROR);
    },
  });

  let status = 0;
  let inRaw = false;
  try {
    // The guest's cursor may be anywhere in its line.
    const tell = (text: string) => environment.writeError(`${inRaw ? "\n" : ""}${messages(text, environment)}`);
    const endless = (text: string) => {
      terminal.restore();
      // What does not end at once has no time left: nothing else runs any more.
      host.flushDisks().catch(() => {});
      try {
        host.close();
      } finally {
        tell(text);
      }
      return INTERNAL_ERROR;
    };
    machine = await environment.createMachine(config, host, tell, endless);
    if (config.dumpDtb !== undefined) {
      dumpDeviceTree(config.dumpDtb, machine, environment);
    } else {
      if (config.chardevs.some((chardev) => chardev.target.type === "stdio")) {
        terminal.enterRaw();
        inRaw = terminal.isTerminal;
      }
      const reason = ended === undefined ? await machine.run() : undefined;
      status = ended ?? reason?.status ?? 0;
    }
  } catch (error) {
    terminal.restore();
    if (error instanceof UserError) throw error;
    environment.writeError(internalError(error, machine));
    status = INTERNAL_ERROR;
  } finally {
    machine?.close?.();
    const grace = asked.promise.then(() => new Promise((resolve) => setTimeout(resolve, GRACE_MS)));
    await Promise.race([host.drained(), grace]);
    if (!(await closeHost(host, report)) && status === 0) status = 1;
    terminal.restore();
    unguard();
  }
  return status;
}

/** Brings the disks up to date and closes everything; false if the host could not. */
async function closeHost(host: OpenedHost, report: (text: string) => void): Promise<boolean> {
  let good = true;
  for (const step of [() => host.flushDisks(), () => host.close()]) {
    try {
      await step();
    } catch (error) {
      good = false;
      report(error instanceof Error ? error.message : String(error));
    }
  }
  return good;
}

function dumpDeviceTree(path: string, machine: RunnableMachine, environment: CommandEnvironment): void {
  try {
    environment.writeFile(path, machine.board.deviceTree);
  } catch (error) {
    const { code, message: text } = error as NodeJS.ErrnoException;
    throw new UserError(`-M dumpdtb=${path}: the file cannot be written (${code ?? text})`, { cause: error });
  }
}

/** One line, whatever came from the command line or a file. */
function message(text: string, kind: string, colour: boolean): string {
  const line = `${kind}${text.replace(/\p{Cc}+/gu, " ")}`;
  return colour ? `\x1b[1mplantain:\x1b[0m ${line}\n` : `plantain: ${line}\n`;
}

/** A message of several lines: the first is one of Plantain's, the others belong to it. */
function messages(text: string, { colour }: CommandEnvironment): string {
  const [first, ...others] = text.split("\n");
  return message(first!, "", colour.error) + others.map((line) => `${line.replace(/\p{Cc}+/gu, " ")}\n`).join("");
}

/** A bug: everything that helps to find it. */
function internalError(error: unknown, machine: RunnableMachine | undefined): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const places = machine?.engine?.harts.map((hart, n) => `hart ${n} at pc 0x${hart.pc.toString(16)}`).join(", ");
  const where = places === undefined ? "" : `guest: ${places}\n`;
  return `plantain: internal error: ${sourceStack(stack)}\n${where}`;
}
