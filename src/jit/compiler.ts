/** Translation on the thread of the machine, for hosts without others. */
import type { Engine } from "../riscv/engine.ts";
import { type BatchLimits, translateBatch } from "./module.ts";
import type { Compiler } from "./tier1.ts";

/** What the machine waits for takes a millisecond or two: one entry, and no large region. */
const INLINE_LIMITS: BatchLimits = { module: 100, region: 200 };

/** Translates at once, when asked; tests want what a thread would make. */
export function inlineCompiler(engine: Engine, limits = INLINE_LIMITS): Compiler {
  const { memory, layout, decoder, fused, signatures } = engine;
  return {
    ...(limits === INLINE_LIMITS && { batch: 1 }),
    translate(entries, done) {
      const t = translateBatch(entries, memory.buffer, layout, decoder, signatures, fused, limits);
      done(t && { ...t, module: new WebAssembly.Module(t.bytes), size: t.bytes.length });
    },
    close() {},
  };
}
