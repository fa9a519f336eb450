// Imports files of the user's: TypeScript as it is (Node strips the types), "plantain/..." being this very Plantain
// wherever the file is. docs/design/plug-in.md.

import { execFile } from "node:child_process";
import { existsSync, realpathSync, statSync } from "node:fs";
import { registerHooks } from "node:module";
import { basename } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { lineOf } from "../device/model/source-line.ts";
import { UserError } from "../util/user-error.ts";

/** The query that makes Node read a file again, with all files of the user's that it imports. */
const VERSION = "plantain";

/** A version of a file that is being imported. */
interface Read {
  /** The files that it is read with. */
  readonly files: Set<string>;
  readonly abandon: (error: UserError) => void;
}

const reads = new Map<string, Read>();
let hooked = false;
let versions = 0;

/** A module. */
export interface ImportedFile {
  readonly exports: Readonly<Record<string, unknown>>;
}

/**
 * Imports a file as it is now, even if it was imported before.
 * @param path absolute
 * @param files gets the files that it is made of, its own and those it imports, but for installed packages; those that are
 *   not there too, and also when it fails
 * @throws UserError in one line: what is wrong, and where in the file
 */
export async function importFile(path: string, where: string, files = new Set<string>()): Promise<ImportedFile> {
  files.add(path);
  // What a link leads to may be saved without the link's folder hearing of it.
  if (existsSync(path)) files.add(realpathSync(path));
  if (!existsSync(path)) throw new UserError(`${where}: there is no file ${path}`);
  if (!statSync(path).isFile()) throw new UserError(`${where}: ${path} is not a file`);
  hook();
  const version = String(++versions);
  const abandoned = Promise.withResolvers<never>();
  reads.set(version, { files, abandon: abandoned.reject });
  const url = pathToFileURL(path);
  url.searchParams.set(VERSION, version);
  try {
    return { exports: (await Promise.race([import(url.href), abandoned.promise])) as Record<string, unknown> };
  } catch (error) {
    throw new UserError(`${where}: ${await problemOf(error, path, files)}`, { cause: error });
  } finally {
    reads.delete(version);
  }
}

/** The version of a file of the user's that code belongs to, by its URL; undefined for all other code. */
export function versionOf(url: string): string | undefined {
  return /^file:[^?]*\?plantain=(\d+)$/.exec(url)?.[1];
}

/** Whether a version is being imported. */
export function isImporting(version: string): boolean {
  return reads.has(version);
}

/** Lets the import of a version fail, which cannot end by itself any more. */
export function abandonImport(version: string, problem: string): void {
  reads.get(version)?.abandon(new UserError(problem));
}

/** Makes imports of the user's files find this Plantain, and their own files as new as they are. */
function hook(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve(specifier, context, next) {
      if (/^plantain\//.test(specifier)) return next(specifier, { ...context, parentURL: import.meta.url });
      const parent = context.parentURL;
      const ofUser = parent?.includes(`?${VERSION}=`) && /^(\.|\/|file:)/.test(specifier);
      if (!ofUser) return next(specifier, context);
      const version = new URL(parent!).searchParams.get(VERSION) ?? "";
      // Noted before it is looked for: a file that is not there yet belongs to it too.
      const wanted = new URL(specifier, parent);
      if (wanted.protocol === "file:") reads.get(version)?.files.add(fileURLToPath(wanted));
      const found = next(specifier, context);
      if (!found.url.startsWith("file:") || found.url.includes("/node_modules/")) return found;
      const url = new URL(found.url);
      reads.get(version)?.files.add(fileURLToPath(url));
      url.searchParams.set(VERSION, version);
      return { ...found, url: url.href };
    },
  });
}

/** One line about what was thrown while a file was imported. */
async function problemOf(error: unknown, path: string, files: ReadonlySet<string>): Promise<string> {
  if (!(error instanceof Error)) return `${path} threw ${String(error)}`;
  const message = error.message.split("\n")[0]!.replaceAll(/\?plantain=\d+/g, "");
  // Plantain's own complaints about a device say the line themselves.
  if (error instanceof UserError) return message;
  const missing = /^Cannot find (?:module|package) '([^']+)'/.exec(message)?.[1];
  if (missing !== undefined) return `${basename(path)} imports ${missing}, which is not there (${path})`;
  if (error.name !== "SyntaxError")
    return `${basename(path)} threw ${error.name}: ${message}${lineOf(error) || ` (${path})`}`;
  const line = firstLine(error.stack ?? "") ?? (await checkedLine(files));
  return `${message.replace(/\.$/, "")} (${line ?? path})`;
}

/** `file:line:column` of a syntax error, at the beginning of what Node says of it; the column is where it puts its mark. */
function firstLine(text: string): string | undefined {
  const [, place, line] = /^(?:file:\/\/)?(\/[^\n]*?|[A-Za-z]:[^\n]*?)(?:\?[^\n:]*)?:(\d+)\n/.exec(text) ?? [];
  if (place === undefined) return undefined;
  const mark = /^([ \t]*)\^+$/m.exec(text)?.[1];
  return `${decodeURIComponent(place)}:${line}${mark === undefined ? "" : `:${mark.length + 1}`}`;
}

/** Asks Node about the files, one by one: a module's syntax error does not say where it is. A machine may run meanwhile. */
async function checkedLine(files: ReadonlySet<string>): Promise<string | undefined> {
  for (const file of files) {
    const said = await new Promise<string | undefined>((resolve) => {
      execFile(process.execPath, ["--check", file], { encoding: "utf8", timeout: 10_000 }, (error, _, stderr) =>
        resolve(typeof error?.code === "number" ? stderr : undefined),
      );
    });
    if (said !== undefined) return firstLine(said);
  }
  return undefined;
}
