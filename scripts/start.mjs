// `npm start`: sets up what is missing, then boots Linux on the board, on this terminal.

import { runScript } from "./setup.mjs";

await runScript("start.ts");
