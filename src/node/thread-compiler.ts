// Translation on a worker thread.

import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import type { CompiledTranslation, Compiler } from "../jit/tier1.ts";
import type { Engine } from "../riscv/engine.ts";
import type { TranslatorSetup } from "./jit-worker.ts";

/** The threads that translate for the machines of one host. */
export interface TranslatorThreads {
  /** A machine's compiler: on the thread that was started ahead, or on one that starts with the first work. */
  readonly compiler: (engine: Engine) => Compiler;
  /** Ends the thread that nobody took. */
  close(): void;
}

/**
 * What the thread runs first: a file would have to be stripped of its types before the cache of compiled code is on,
 * which takes longer than everything else a thread does at its start.
 */
const START = `
const { workerData } = require("node:worker_threads");
if (workerData.cache) require("node:module").enableCompileCache(workerData.cache);
import(workerData.file);
`;

/**
 * Threads for translation.
 * @param ahead start one now, for the first machine: it gets ready while the machine is being made
 */
export function translatorThreads(ahead: boolean): TranslatorThreads {
  let ready = ahead ? startThread() : undefined;
  return {
    compiler(engine) {
      const thread = ready;
      ready = undefined;
      return threadCompiler(engine, thread);
    },
    close() {
      void ready?.terminate();
      ready = undefined;
    },
  };
}

/** A thread that waits for a machine to work for; it does not keep the process alive. */
function startThread(): Worker {
  // Beside this file, and of its kind: source or published library.
  const name = import.meta.url.endsWith(".ts") ? "./jit-worker.ts" : "./jit-worker.js";
  // Node adds a folder for its version.
  const cache = getCompileCacheDir();
  const thread = new Worker(START, {
    eval: true,
    workerData: {
      file: new URL(name, import.meta.url).href,
      ...(cache === undefined ? {} : { cache: dirname(cache) }),
    },
  });
  thread.unref();
  return thread;
}

function threadCompiler(engine: Engine, ready: Worker | undefined): Compiler {
  let worker: Worker | undefined;
  let done: ((result: CompiledTranslation | undefined) => void) | undefined;
  const employ = (thread: Worker): Worker => {
    const setup: TranslatorSetup = {
      memory: engine.memory.buffer,
      layout: engine.layout,
      extensions: [...engine.extensions],
      fused: engine.fused,
    };
    thread.on("message", (result: CompiledTranslation | undefined) => {
      const then = done;
      done = undefined;
      then?.(result);
    });
    // A bug of the translator's: the machine would go on without it, slowly and in silence. Better to hear of it.
    thread.on("error", (error) => {
      throw error;
    });
    // Listening for messages holds the process again.
    thread.unref();
    thread.postMessage(setup);
    return thread;
  };
  if (ready !== undefined) worker = employ(ready);
  return {
    translate(entries, then) {
      worker ??= employ(startThread());
      done = then;
      worker.postMessage(entries);
    },
    close() {
      void worker?.terminate();
      worker = undefined;
    },
  };
}
