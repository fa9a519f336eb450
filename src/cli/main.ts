// The command `plantain`. bin/launch.cjs starts it with a Node that can.

import { translatorThreads } from "../node/thread-compiler.ts";

// No await outside a function: what it is bundled into is no ES module.
async function main(): Promise<never> {
  // The thread of the translator needs as long to get ready as the rest of the command does: both at once.
  const translators = translatorThreads(true);
  const { runProcess } = await import("./process.ts");
  process.exit(await runProcess(process.argv.slice(2), translators));
}

void main();
