// The thread that notices when the main thread comes to no end, and looks where it is. docs/design/loop-watch.md.

import { type Debugger, Session } from "node:inspector";
import { parentPort, workerData } from "node:worker_threads";

/** What the thread is told. */
export interface LoopWatchSetup {
  /** One number that the main thread counts up as long as its event loop turns. */
  readonly beats: Int32Array;
  /** Between looks at it, in milliseconds. */
  readonly interval: number;
  /** The event by which the main thread is asked. */
  readonly event: string;
}

/** A place in the main thread's code; lines and columns count from 1. */
interface Frame {
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** What the main thread is asked while it is held, as an event of its `process`. */
export interface Look {
  /** Innermost first. */
  readonly frames: readonly Frame[];
  /** Whether it is the first look since the main thread's last sign of life. */
  readonly first: boolean;
  /**
   * The answer: whether what it does is to be broken off, which the thread tells when it is. The process ends instead where
   * there is no way to go on.
   */
  abandon: boolean;
}

/** Beats that are missing before the main thread is held for a look. */
const PATIENCE = 2;
/** Frames that are told. */
const MAX_FRAMES = 100;
/** A main thread that was to end the process and cannot is ended. Milliseconds. */
const LAST_MS = 10_000;

const { beats, interval, event } = workerData as LoopWatchSetup;
let last = -1;
let still = 0;
let looks = 0;
let session: Session | undefined;

// Turns are counted, not time: while the process is stopped or the host asleep, this thread counts nothing either.
setInterval(() => {
  const beat = Atomics.load(beats, 0);
  if (beat !== last) {
    last = beat;
    still = 0;
    looks = 0;
    leave();
  } else if (++still >= PATIENCE) {
    session ??= connect();
    // Comes when the main thread runs JavaScript again: a long operation of the host's has its time.
    session.post("Debugger.pause");
  }
}, interval);

/** Lets the main thread run as without a debugger. */
function leave(): void {
  session?.disconnect();
  session = undefined;
}

function connect(): Session {
  const made = new Session();
  made.connectToMainThread();
  const urls = new Map<string, string>();
  made.on("Debugger.scriptParsed", ({ params: { scriptId, url } }) => urls.set(scriptId, url));
  made.on("Debugger.paused", ({ params }) => look(made, params.callFrames, urls));
  made.post("Debugger.enable");
  return made;
}

function look(made: Session, callFrames: readonly Debugger.CallFrame[], urls: ReadonlyMap<string, string>): void {
  const frames: Frame[] = callFrames.slice(0, MAX_FRAMES).map(({ location }) => ({
    url: urls.get(location.scriptId) ?? "",
    line: location.lineNumber + 1,
    column: (location.columnNumber ?? 0) + 1,
  }));
  const asked: Look = { frames, first: looks++ === 0, abandon: false };
  const expression = `{ const look = ${JSON.stringify(asked)}; process.emit("${event}", look); look.abandon }`;
  const kill = setTimeout(() => process.kill(process.pid, "SIGKILL"), LAST_MS);
  made.post("Runtime.evaluate", { expression, returnByValue: true }, (error, answer) => {
    clearTimeout(kill);
    const abandon = error === null && answer.result.value === true;
    if (abandon) made.post("Runtime.terminateExecution");
    made.post("Debugger.resume");
    if (!abandon) return;
    leave();
    parentPort!.postMessage("abandoned");
  });
}
