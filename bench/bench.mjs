// `npm run bench`: sets up what is missing, then measures.

import { fileURLToPath } from "node:url";
import { terminalProgress } from "../scripts/progress.mjs";
import { become, ensurePackages } from "../scripts/setup.mjs";

try {
  const node = await ensurePackages(terminalProgress(process.stderr, process.env));
  await become(node, [fileURLToPath(new URL("main.ts", import.meta.url)), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}
