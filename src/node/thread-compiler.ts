// Translation on a worker thread.

import { Worker } from "node:worker_threads";
import type { CompiledTranslation, Compiler } from "../jit/tier1.ts";
import type { Engine } from "../riscv/engine.ts";
import type { WorkerInput } from "./jit-worker.ts";

/** A compiler on a thread of its own, which is started with the first work and does not keep the process alive. */
export function threadCompiler(engine: Engine): Compiler {
  let worker: Worker | undefined;
  let done: ((result: CompiledTranslation | undefined) => void) | undefined;
  const start = (): Worker => {
    const input: WorkerInput = {
      memory: engine.memory.buffer,
      layout: engine.layout,
      extensions: [...engine.extensions],
      fused: engine.fused,
    };
    // Beside this file, and of its kind: source or published library.
    const file = import.meta.url.endsWith(".ts") ? "./jit-worker.ts" : "./jit-worker.js";
    const thread = new Worker(new URL(file, import.meta.url), { workerData: input });
    thread.on("message", (result: CompiledTranslation | undefined) => {
      const then = done;
      done = undefined;
      then?.(result);
    });
    // A bug of the translator's: the machine would go on without it, slowly and in silence. Better to hear of it.
    thread.on("error", (error) => {
      throw error;
    });
    thread.unref();
    return thread;
  };
  return {
    translate(entries, then) {
      worker ??= start();
      done = then;
      worker.postMessage(entries);
    },
    close() {
      void worker?.terminate();
      worker = undefined;
    },
  };
}
