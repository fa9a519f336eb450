// Where this Plantain is, whatever of it runs: sources, compiled files or the bundle.

import { findPackageJSON } from "node:module";
import { dirname } from "node:path";

/** The folder of the checkout or the installed package. */
export function rootFolder(): string {
  // From the folder above this one on: a bundle has a package.json of its own.
  return dirname(findPackageJSON("..", import.meta.url)!);
}
