// Translation on a worker thread.

import type { Worker } from "node:worker_threads";
import type { CompiledTranslation, Compiler } from "../jit/tier1.ts";
import type { Engine } from "../riscv/engine.ts";
import type { TranslatorSetup } from "./jit-worker.ts";
import { startThread } from "./worker-thread.ts";

/** The threads that translate for the machines of one host. */
export interface TranslatorThreads {
  /** A machine's compiler: on the thread that was started ahead, or on one that starts with the first work. */
  readonly compiler: (engine: Engine) => Compiler;
  /** Ends the thread that nobody took. */
  close(): void;
}

/**
 * Threads for translation.
 * @param ahead start one now, for the first machine: it gets ready while the machine is being made
 */
export function translatorThreads(ahead: boolean): TranslatorThreads {
  let ready = ahead ? startTranslator() : undefined;
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

/** A thread that waits for a machine to work for. */
const startTranslator = (): Worker => startThread("jit-worker");

function threadCompiler(engine: Engine, ready: Worker | undefined): Compiler {
  let worker: Worker | undefined;
  let done: ((result: CompiledTranslation | undefined) => void) | undefined;
  const employ = (thread: Worker): Worker => {
    const setup: TranslatorSetup = {
      memory: engine.memory.buffer,
      layout: engine.layout,
      extensions: [...engine.extensions],
      fused: engine.fused,
      signatures: engine.signatures,
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
      worker ??= employ(startTranslator());
      done = then;
      worker.postMessage(entries);
    },
    close() {
      void worker?.terminate();
      worker = undefined;
    },
  };
}
