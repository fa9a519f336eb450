// Talks with a whole machine as a person at its terminal would: waits for a prompt, types a line.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { onTestFailed, onTestFinished } from "vitest";

const START = fileURLToPath(new URL("../scripts/start.ts", import.meta.url));

/** What was said, and how it ended. */
export interface Session {
  readonly output: string;
  readonly status: number | null;
}

/** Boots what `npm start` boots, and answers each prompt with its line once it stands at the end of the output. */
export async function converse(
  env: NodeJS.ProcessEnv,
  options: readonly string[],
  dialogue: readonly (readonly [prompt: RegExp, line: string])[],
): Promise<Session> {
  const child = spawn(process.execPath, [START, ...options], { env, stdio: ["pipe", "pipe", "pipe"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const pending = [...dialogue];
  let output = "";
  let seen = 0;
  onTestFailed(() => {
    process.stderr.write(`The machine's last words:\n${output.slice(-3000)}\n`);
  });
  const hear = (text: string): void => {
    output += text;
    const next = pending[0];
    // The guest's shell also asks for the cursor's position, which only a terminal would answer.
    if (next === undefined || !next[0].test(output.slice(seen).replaceAll("\x1b[6n", ""))) return;
    pending.shift();
    seen = output.length;
    child.stdin.write(`${next[1]}\r`);
  };
  child.stdout.setEncoding("latin1").on("data", hear);
  child.stderr.setEncoding("utf8").on("data", hear);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { output, status };
}
