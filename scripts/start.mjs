// `npm start`: sets up what is missing, then boots Linux on the board, on this terminal.

import { makeBundleMeanwhile } from "./bundle.mjs";
import { root, runScript } from "./setup.mjs";

// For the next start: this one need not wait for it. Before there are packages, npm makes it when it has installed them.
makeBundleMeanwhile(root);
await runScript("start.ts");
