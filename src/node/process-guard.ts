// What happens to this process from outside while a machine runs: signals, job control, errors that nobody caught.
// Whatever it is, the terminal is left as it was found.

import type { Terminal } from "./tty.ts";

/** Signals that end the machine in order. */
const QUIT_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

const SIGNAL_NUMBERS: Readonly<Record<(typeof QUIT_SIGNALS)[number], number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGTERM: 15,
};

/** The exit status of a process that a signal ended, as shells count. */
export function signalStatus(signal: (typeof QUIT_SIGNALS)[number]): number {
  return 128 + SIGNAL_NUMBERS[signal];
}

/** How often to look whether the launcher is still there. */
const LAUNCHER_MS = 500;

export interface ProcessEvents {
  /** The first signal to end. A second one ends the process at once. */
  quit(signal: (typeof QUIT_SIGNALS)[number]): void;
  /** An error that nothing caught: a bug. It comes here again if this fails itself. */
  crash(error: unknown): void | Promise<void>;
}

/** Watches this process; returns a function that ends the watching. */
export function guardProcess(terminal: Terminal, events: ProcessEvents): () => void {
  const launcher = Number(process.env["PLANTAIN_LAUNCHER"] ?? 0);
  let quitting = false;
  const onQuit = (signal: NodeJS.Signals) => {
    const known = signal as (typeof QUIT_SIGNALS)[number];
    if (quitting) {
      terminal.restore();
      process.exit(signalStatus(known));
    }
    quitting = true;
    events.quit(known);
  };
  const onStop = () => {
    terminal.suspend();
    // A launcher that waits for this process must stop too, or the shell would go on waiting for it.
    if (launcher === process.ppid) process.kill(launcher, "SIGSTOP");
    process.kill(process.pid, "SIGSTOP");
  };
  const onContinue = () => terminal.resume();
  const onExit = () => terminal.restore();
  const onCrash = (error: unknown) => events.crash(error);

  // A launcher that was killed could not say so, and this is no process of the terminal's any more.
  const watch = setInterval(() => {
    if (process.ppid === launcher) return;
    clearInterval(watch);
    onQuit("SIGHUP");
  }, LAUNCHER_MS).unref();
  if (process.ppid !== launcher) clearInterval(watch);

  for (const signal of QUIT_SIGNALS) process.on(signal, onQuit);
  process.on("SIGTSTP", onStop);
  process.on("SIGCONT", onContinue);
  process.on("exit", onExit);
  process.on("uncaughtException", onCrash);
  return () => {
    clearInterval(watch);
    for (const signal of QUIT_SIGNALS) process.off(signal, onQuit);
    process.off("SIGTSTP", onStop);
    process.off("SIGCONT", onContinue);
    process.off("exit", onExit);
    process.off("uncaughtException", onCrash);
  };
}
