// Runs the host's tools for set-up: without a shell, in the C locale, with the tool's own words in the error.

import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import { UserError } from "../../util/user-error.ts";

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Receives the lines that the tool writes to file descriptor 3. */
  readonly onStatus?: (line: string) => void;
}

/**
 * Runs a tool to its end and returns what it printed.
 *
 * @throws UserError with the tool's first line of complaint
 */
export async function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<Buffer> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: "C", ...options.env },
    stdio: ["ignore", "pipe", "pipe", options.onStatus === undefined ? "ignore" : "pipe"],
  });
  const output: Buffer[] = [];
  const complaints: string[] = [];
  child.stdout!.on("data", (chunk: Buffer) => output.push(chunk));
  readLines(child.stderr!, (line) => complaints.push(line));
  if (options.onStatus !== undefined) readLines(child.stdio[3] as Readable, options.onStatus);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") reject(new UserError(`this machine has no ${command} on its PATH`));
      else reject(new UserError(`${command} does not start: ${error.message}`));
    });
    child.on("close", (...end) => resolve(end));
  });
  if (status !== 0) {
    // apt marks errors with E:, and says more before and after them.
    const complaint = complaints.find((line) => /^(E|dpkg-deb: error):/.test(line)) ?? complaints[0];
    const reason =
      complaint?.replace(/^E: /, "").trim() ?? (signal === null ? `exit status ${status}` : `ended by ${signal}`);
    throw new UserError(`${command} failed: ${reason}`);
  }
  return Buffer.concat(output);
}

/** Where a command is on the PATH, or undefined. */
export function findCommand(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, name)).find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}
