/** Translation on the thread of the machine, for hosts without others. */
import { isaFunctions } from "../isa/functions.ts";
import type { Engine } from "../riscv/engine.ts";
import { fpFunctions } from "../riscv/fp.ts";
import type { MemoryLayout } from "../riscv/layout.ts";
import { mmuFunctions } from "../riscv/mmu.ts";
import { regionFunctions } from "../riscv/regions.ts";
import { systemFunctions } from "../riscv/system.ts";
import type { Signature } from "../wasm/ir.ts";
import { type BatchLimits, type EngineSignatures, translateBatch } from "./module.ts";
import type { Compiler } from "./tier1.ts";

/** Signatures of the engine's functions, by name. */
export function engineSignatures(layout: MemoryLayout, fused: boolean): EngineSignatures {
  const functions = [
    ...isaFunctions,
    ...mmuFunctions(layout),
    ...systemFunctions(layout),
    ...fpFunctions(fused),
    ...regionFunctions(),
  ];
  const signatures = new Map<string, Signature>(
    functions.map((f) => [f.name, { params: f.params, results: f.results }]),
  );
  signatures.set("hostWorks", { params: [], results: [] });
  return signatures;
}

/** What the machine waits for takes a millisecond or two: one entry, and no large region. */
const INLINE_LIMITS: BatchLimits = { module: 100, region: 200 };

/** Translates at once, when asked; tests want what a thread would make. */
export function inlineCompiler(engine: Engine, limits = INLINE_LIMITS): Compiler {
  const { memory, layout, decoder, fused } = engine;
  const signatures = engineSignatures(layout, fused);
  return {
    ...(limits === INLINE_LIMITS && { batch: 1 }),
    translate(entries, done) {
      const t = translateBatch(entries, memory.buffer, layout, decoder, signatures, fused, limits);
      done(t && { ...t, module: new WebAssembly.Module(t.bytes), size: t.bytes.length });
    },
    close() {},
  };
}
