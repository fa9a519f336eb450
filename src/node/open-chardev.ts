// Opens the character devices of a configuration.

import type { Chardev } from "../backend/chardev.ts";
import type { ChardevConfig } from "../machine/config.ts";
import { UserError } from "../util/user-error.ts";
import { MuxChardev, type MuxCommands } from "./mux-chardev.ts";
import { FileChardev, LoggedChardev, NullChardev } from "./plain-chardevs.ts";
import type { SlowOutput } from "./slow-output.ts";
import type { Notice } from "./socket-chardev.ts";
import { StdioChardev } from "./stdio-chardev.ts";
import type { StreamChardev } from "./stream-chardev.ts";
import type { Terminal } from "./tty.ts";

/** What character devices have in common. */
export interface ChardevContext {
  readonly terminal: Terminal;
  readonly commands: MuxCommands;
  /** The character that begins a command on a mux. */
  readonly escapeCode: number;
  /** Milliseconds since the machine started. */
  readonly now: () => number;
  /** Told of each connection that is opened: its peer may be slow. */
  readonly onStream: (chardev: StreamChardev) => void;
  /** Standard output. */
  readonly output: SlowOutput;
  /** The console on the terminal, or in its place, cannot be reached any more. */
  readonly abandoned: () => void;
  /** Tells the user something that is no error. */
  readonly notice: Notice;
}

/**
 * Opens a character device. The terminal stays as it is: its owner makes it raw when the machine runs.
 * @throws UserError if that is not possible
 */
export async function openChardev(config: ChardevConfig, context: ChardevContext): Promise<Chardev> {
  const { where, target, logPath } = config;
  let chardev = await openTarget(config, context);
  if (logPath !== undefined) {
    try {
      chardev = new LoggedChardev(chardev, logPath, config.logAppend, lost(context, where, logPath));
    } catch (error) {
      chardev.close();
      throw openProblem(error, where, logPath);
    }
  }
  if (!config.mux) return chardev;
  return new MuxChardev(chardev, {
    escapeCode: context.escapeCode,
    commands: context.commands,
    now: context.now,
    interactive: target.type === "stdio" && context.terminal.isTerminal,
  });
}

async function openTarget({ id, where, target }: ChardevConfig, context: ChardevContext): Promise<Chardev> {
  switch (target.type) {
    case "null":
      return new NullChardev(id);
    case "stdio":
      return new StdioChardev(id, context.terminal, { ...context, signal: target.signal });
    case "file":
      try {
        return new FileChardev(id, target.path, target.append, lost(context, where, target.path));
      } catch (error) {
        throw openProblem(error, where, target.path);
      }
    // Sockets are loaded when they are wanted: most machines have none, and they cost a moment at the start.
    case "pipe": {
      const { openPipeChardev } = await import("./pipe-chardev.ts");
      return told(await openPipeChardev(id, target.path, where));
    }
    case "tcp":
    case "unix": {
      const { openSocketChardev } = await import("./socket-chardev.ts");
      return told(await openSocketChardev(id, target, where, context.notice));
    }
  }

  function told(chardev: StreamChardev): StreamChardev {
    context.onStream(chardev);
    return chardev;
  }
}

function lost(context: ChardevContext, where: string, path: string): (error: Error) => void {
  return (error) => context.notice(`${where}: ${path}: the rest of the output is lost: ${error.message}`);
}

function openProblem(error: unknown, where: string, path: string): UserError {
  const { code } = error as NodeJS.ErrnoException;
  const problems: Record<string, string> = {
    ENOENT: "there is no such folder",
    EISDIR: "this is a folder: expected a file",
    EACCES: "permission denied",
  };
  return new UserError(`${where}: ${path} cannot be written: ${problems[code ?? ""] ?? code}`, { cause: error });
}
