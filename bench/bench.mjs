// `npm run bench`: sets up what is missing, then measures.

import { fileURLToPath } from "node:url";
import { makeBundle } from "../scripts/bundle.mjs";
import { terminalProgress } from "../scripts/progress.mjs";
import { become, ensurePackages, root } from "../scripts/setup.mjs";

try {
  const node = await ensurePackages(terminalProgress(process.stderr, process.env));
  // What users start.
  await makeBundle(root);
  await become(node, [fileURLToPath(new URL("main.ts", import.meta.url)), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`plantain: ${error.message}\n`);
  process.exitCode = 1;
}
