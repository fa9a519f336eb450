/** Translation on the thread of the machine, for hosts without others. */
import { isaFunctions } from "../isa/functions.ts";
import type { Engine } from "../riscv/engine.ts";
import { fpFunctions } from "../riscv/fp.ts";
import type { MemoryLayout } from "../riscv/layout.ts";
import { mmuFunctions } from "../riscv/mmu.ts";
import { regionFunctions } from "../riscv/regions.ts";
import { systemFunctions } from "../riscv/system.ts";
import { type EngineSignatures, translateBatch } from "./module.ts";
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
  return new Map(functions.map((f) => [f.name, { params: f.params, results: f.results }]));
}

/** Translates at once, when asked. */
export function inlineCompiler(engine: Engine): Compiler {
  const signatures = engineSignatures(engine.layout, engine.fused);
  return {
    translate(entries, done) {
      const t = translateBatch(entries, engine.memory.buffer, engine.layout, engine.decoder, signatures, engine.fused);
      done(t && { ...t, module: new WebAssembly.Module(t.bytes), size: t.bytes.length });
    },
    close() {},
  };
}
