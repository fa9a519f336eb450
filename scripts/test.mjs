// `npm test`: sets up what the tests need, then runs them.

import { runScript } from "./setup.mjs";

await runScript("test.ts");
