// `node scripts/assemble.mjs SOURCE OUTPUT`: sets up what is missing, then assembles a bare-metal program.

import { runScript } from "./setup.mjs";

await runScript("assemble.ts");
