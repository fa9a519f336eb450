// The thread that translates hot guest code (src/jit): reads the machine's memory, posts compiled modules.

import { parentPort } from "node:worker_threads";
import { type EngineSignatures, type TranslationEntry, translateBatch } from "../jit/module.ts";
import type { CompiledTranslation } from "../jit/tier1.ts";
import { Decoder } from "../riscv/decoder.ts";
import type { MemoryLayout } from "../riscv/layout.ts";

/** The machine to work for: the first message. All others are batches of entries. */
export interface TranslatorSetup {
  readonly memory: SharedArrayBuffer;
  readonly layout: MemoryLayout;
  readonly extensions: readonly string[];
  readonly fused: boolean;
  readonly signatures: EngineSignatures;
}

const port = parentPort!;
port.once("message", ({ memory, layout, extensions, fused, signatures }: TranslatorSetup) => {
  const decoder = new Decoder(memory, new Set(extensions));
  port.on("message", (entries: readonly TranslationEntry[]) => {
    const t = translateBatch(entries, memory, layout, decoder, signatures, fused);
    const result: CompiledTranslation | undefined = t && {
      regions: t.regions,
      pages: t.pages,
      size: t.bytes.length,
      module: new WebAssembly.Module(t.bytes),
    };
    port.postMessage(result);
  });
});
