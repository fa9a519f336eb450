// Runs a command on a terminal of its own and tells what state the terminal was in.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const COMPILE_CACHE = fileURLToPath(new URL("../../.cache/compile", import.meta.url));

export const hasPython = spawnSync("python3", ["-c", "import pty, termios, fcntl"]).status === 0;

/** What to do with the running command, step by step. */
export type Step =
  /** Wait until the output of the command has this text. */
  | { readonly wait: string }
  | { readonly send: string }
  | { readonly signal: "INT" | "TERM" | "HUP" | "QUIT" | "TSTP" | "CONT" | "KILL" }
  /** Note the terminal's mode, once it is as expected. */
  | { readonly mode: "raw" | "cooked" }
  /** Wait until the process is stopped. */
  | { readonly stopped: true }
  /** Close the terminal, as when its window is closed. */
  | { readonly hangup: true };

export interface PtyResult {
  readonly output: string;
  /** Exit status, or minus the number of the signal that killed it. */
  readonly status: number;
  /** Whether all settings of the terminal were at the end as at the beginning. */
  readonly restored: boolean;
}

/** Runs `command`; a step that does not come about ends it after a minute with an error. */
export function runOnTerminal(
  command: readonly string[],
  steps: readonly Step[],
  env: Readonly<Record<string, string>> = {},
): PtyResult {
  const { stdout, stderr, status } = spawnSync("python3", ["-c", DRIVER, JSON.stringify({ command, steps })], {
    encoding: "utf8",
    // Without it the sources are stripped of their types anew at each start.
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
  });
  if (status !== 0) throw new Error(`${stderr}\n${stdout}`);
  return JSON.parse(stdout);
}

const DRIVER = `
import fcntl, json, os, pty, select, signal, subprocess, sys, termios, time

job = json.loads(sys.argv[1])
master, slave = pty.openpty()
before = termios.tcgetattr(slave)

def control():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

child = subprocess.Popen(job["command"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=control)
output = b""
searched = 0
deadline = time.monotonic() + 60

def fail(what):
    child.kill()
    sys.exit(what + " did not come about; output: " + repr(output.decode("utf-8", "replace")))

def read(seconds):
    global output
    if master is not None and select.select([master], [], [], seconds)[0]:
        try:
            output += os.read(master, 65536)
        except OSError:
            pass

def until(what, condition):
    while not condition():
        if time.monotonic() > deadline:
            fail(what)
        read(0.005)

def mode():
    flags = termios.tcgetattr(slave)[3]
    on = [bool(flags & flag) for flag in (termios.ECHO, termios.ICANON, termios.ISIG)]
    return "cooked" if all(on) else "raw" if not any(on) else "mixed"

def state():
    with open("/proc/%d/stat" % child.pid) as stat:
        return stat.read().rpartition(")")[2].split()[0]

for step in job["steps"]:
    if "wait" in step:
        text = step["wait"].encode()
        until("output " + repr(text), lambda: text in output[searched:])
        searched = output.index(text, searched) + len(text)
    elif "send" in step:
        os.write(master, step["send"].encode("latin-1"))
    elif "signal" in step:
        os.kill(child.pid, getattr(signal, "SIG" + step["signal"]))
    elif "mode" in step:
        until("mode " + step["mode"], lambda: mode() == step["mode"])
    elif "stopped" in step:
        until("a stop", lambda: state() == "T")
    elif "hangup" in step:
        os.close(slave)
        os.close(master)
        master = None

until("the end", lambda: child.poll() is not None)
read(0)
restored = master is not None and termios.tcgetattr(slave) == before
print(json.dumps({"output": output.decode("utf-8", "replace"), "status": child.returncode, "restored": restored}))
`;
