// `plantain new NAME`: a folder with a device, its tests, a machine and a Linux driver, from templates/device. Made by a
// checkout it can be used at once, without a network: node_modules has links to it and to the tools that it has itself.
// docs/design/new.md.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { cHeader } from "../../device/c-header.ts";
import { loadDevice } from "../../node/device-file.ts";
import { rootFolder } from "../../node/root-folder.ts";
import { UserError } from "../../util/user-error.ts";
import { positional } from "./arguments.ts";
import type { CommandOutput } from "./table.ts";

/** Where this Plantain is: a checkout, or an installed package. */
const ROOT = rootFolder();
const TEMPLATE = join(ROOT, "templates", "device");
/** The template's own name. */
const SAMPLE = "my-device";
const LONGEST_NAME = 40;
/** What a new folder has beside Plantain, at the versions that Plantain itself is developed with. */
const TOOLS = ["@types/node", "node", "typescript", "vitest"];
const PROGRAMS = ["node", "tsc", "vitest"];

/** @throws UserError in one line: a name that is none, a folder that is in use or cannot be made */
export async function newDevice(words: readonly string[], { writeOutput, version }: CommandOutput): Promise<void> {
  const [path] = positional("new", words, "NAME", 1) as [string];
  const folder = resolve(path);
  const name = basename(folder);
  checkName(name, path);
  const files = readTemplate(name);
  const isNew = makeFolder(folder, path);
  try {
    for (const [file, text] of files) writeNew(join(folder, file), text);
    writeNew(join(folder, "package.json"), manifest(name, folder, version()));
    if (isCheckout()) linkPackages(folder);
    const { definition } = await loadDevice({ path: join(folder, `${name}.ts`), where: "new" });
    writeNew(join(folder, "driver", `${name}-regs.h`), cHeader(definition.registerMap));
  } catch (error) {
    // As it was before.
    for (const entry of isNew ? [] : readdirSync(folder)) rmSync(join(folder, entry), { recursive: true, force: true });
    if (isNew) rmSync(folder, { recursive: true, force: true });
    throw cannotBeMade(path, error);
  }
  writeOutput(farewell(name, path, existsSync(join(folder, "node_modules", "vitest"))));
}

function checkName(name: string, path: string): void {
  if (name.length > LONGEST_NAME) {
    throw new UserError(
      `new: ${path}: a device's name has at most ${LONGEST_NAME} characters, this one has ${name.length}`,
    );
  }
  if (/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) return;
  const likely = name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^[-0-9]+|-+$/g, "");
  const hint = likely === "" ? 'such as "my-device"' : `such as "${likely}"`;
  throw new UserError(`new: ${path}: expected a name of small letters, digits and single hyphens, ${hint}`);
}

/** Makes the folder, and says whether it was not there before. */
function makeFolder(folder: string, path: string): boolean {
  const there = statSync(folder, { throwIfNoEntry: false });
  if (there !== undefined && !there.isDirectory()) throw new UserError(`new: ${path} is a file`);
  if (there !== undefined && isNotEmpty(folder, path)) {
    throw new UserError(`new: ${path} is there and not empty: expected a name that is not taken, or an empty folder`);
  }
  const parent = dirname(folder);
  if (!existsSync(parent)) throw new UserError(`new: ${path}: there is no folder ${parent}`);
  try {
    if (there === undefined) mkdirSync(folder);
  } catch (error) {
    throw cannotBeMade(path, error);
  }
  return there === undefined;
}

function isNotEmpty(folder: string, path: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch (error) {
    throw cannotBeMade(path, error);
  }
}

function cannotBeMade(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof UserError || code === undefined) return error;
  return new UserError(`new: ${path} cannot be made (${code})`, { cause: error });
}

/** The template's files by their paths, in the words of the new device. */
function readTemplate(name: string): Map<string, string> {
  const snake = name.replaceAll("-", "_");
  const camel = name.replaceAll(/-(.)/g, (_match, letter: string) => letter.toUpperCase());
  // A word of the language's or an import's name is none of these.
  const exported = /Device$/.test(camel) && camel !== "defineDevice" ? camel : `${camel}Device`;
  const renamed = (text: string): string =>
    text
      .replaceAll(SAMPLE, name)
      .replaceAll("my_device", snake)
      .replaceAll("MY_DEVICE", snake.toUpperCase())
      .replaceAll("myDevice", exported);
  const files = new Map<string, string>();
  for (const file of readdirSync(TEMPLATE, { recursive: true, encoding: "utf8" }).sort()) {
    if (statSync(join(TEMPLATE, file)).isDirectory() || /\.(ko|h)$/.test(file)) continue;
    // npm leaves files of this name out of packages.
    const target = file === "gitignore" ? ".gitignore" : renamed(file);
    files.set(target, renamed(readFileSync(join(TEMPLATE, file), "utf8")));
  }
  return files;
}

function writeNew(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { flag: "wx" });
}

/** The new folder's package.json. A checkout is referred to as a folder, an installed package by its version. */
function manifest(name: string, folder: string, version: string): string {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const checkout = relative(realpathSync(folder), realpathSync(ROOT)).replaceAll("\\", "/");
  const tools = Object.fromEntries(TOOLS.map((tool) => [tool, devDependencies[tool]]));
  const content = {
    name,
    version: "0.0.0",
    private: true,
    type: "module",
    scripts: {
      start: "plantain --watch",
      test: "vitest run",
      types: "tsc",
      driver: `plantain header ${name}.ts driver/${name}-regs.h && plantain module driver`,
    },
    devDependencies: { plantain: isCheckout() ? `file:${checkout}` : `^${version}`, ...tools },
  };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

const isCheckout = (): boolean => existsSync(join(ROOT, "src"));

/**
 * What `npm install` would bring, as links into the checkout. An installed package cannot do that: it has no tools, and its
 * matchers look for Vitest from where it really is.
 */
function linkPackages(folder: string): void {
  const modules = join(folder, "node_modules");
  const link = (target: string, path: string): void => {
    if (!existsSync(target)) return;
    mkdirSync(dirname(path), { recursive: true });
    // Windows takes junctions from everybody, other links only from administrators.
    symlinkSync(realpathSync(target), path, statSync(target).isDirectory() ? "junction" : "file");
  };
  link(ROOT, join(modules, "plantain"));
  for (const tool of TOOLS) link(join(ROOT, "node_modules", tool), join(modules, tool));
  if (process.platform === "win32") return;
  for (const program of PROGRAMS) {
    link(join(ROOT, "node_modules", ".bin", program), join(modules, ".bin", program));
  }
  link(join(ROOT, "bin", "plantain"), join(modules, ".bin", "plantain"));
}

function farewell(name: string, path: string, complete: boolean): string {
  const lines = [
    `${path} has a device (${name}.ts), its tests, a machine (plantain.config.ts) and a Linux driver (driver/).`,
    "",
    `  cd ${path}`,
    ...(complete ? [] : ["  npm install       brings what tests and types need"]),
    "  npm start         boots Linux with the device on the board",
    "  npm test          tests it",
    "  npm run driver    builds the driver",
  ];
  return `${lines.join("\n")}\n`;
}
