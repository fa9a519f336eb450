// `node scripts/guest.mjs`: sets up what is missing, then obtains the Linux guest and prints where its files are.

import { runScript } from "./setup.mjs";

await runScript("guest.ts");
