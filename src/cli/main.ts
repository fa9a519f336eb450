// The command `plantain`. bin/launch.cjs starts it with a Node that can.

import { translatorThreads } from "../node/thread-compiler.ts";

// The thread of the translator needs as long to get ready as the rest of the command does: both at once.
const translators = translatorThreads(true);
const { runProcess } = await import("./process.ts");
process.exit(await runProcess(process.argv.slice(2), translators));
