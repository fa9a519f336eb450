// The Linux guest and the files of a plantain.config.ts, as words of a command line. Loaded only when there are any.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PlantainConfig } from "../config/index.ts";
import { cacheFolder } from "../node/guest/cache.ts";
import { packFiles } from "../node/guest/files.ts";
import { obtainGuest } from "../node/guest/guest.ts";
import { filesWords, guestWords } from "../node/guest/guest-words.ts";
import type { Progress } from "../node/guest/progress.ts";
import { writeText } from "../node/output-buffer.ts";
import { UserError } from "../util/user-error.ts";

/** What takes its time is told in a line on standard error. */
export const toldProgress: Progress = {
  step(title) {
    writeText(2, `plantain: ${title} ...\n`);
    return { update() {}, done() {}, fail() {} };
  },
};

/**
 * Words that come before those of the rest of the configuration.
 *
 * @param path of the configuration
 * @throws UserError where the guest cannot be had, or a file cannot be read
 */
export async function configGuestWords({ guest, append, files }: PlantainConfig, path: string): Promise<string[]> {
  const words: string[] = [];
  if (guest !== undefined) {
    if (guest !== "linux") throw new UserError(`${path}: guest: there is no "${guest}": expected "linux"`);
    words.push(...guestWords(await obtainGuest(process.env, toldProgress), append));
  }
  if (files !== undefined) words.push(...filesWords(writeArchive(packFiles(files, dirname(path), path), path)));
  return words;
}

/** For how long an archive that nobody wrote anew stays in the cache. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

/**
 * Each configuration has one archive: beside its packages, or in the cache where it has none. A machine that has the one
 * before open keeps it.
 */
function writeArchive(archive: Uint8Array, path: string): string {
  const packages = join(dirname(path), "node_modules");
  const isProject = existsSync(packages);
  const folder = isProject ? join(packages, ".cache", "plantain") : join(cacheFolder(process.env), "files");
  const name = isProject ? "files" : createHash("sha256").update(path).digest("hex").slice(0, 32);
  const target = join(folder, `${name}.cpio`);
  const partial = `${target}.${process.pid}`;
  try {
    mkdirSync(folder, { recursive: true });
    for (const file of readdirSync(folder).map((entry) => join(folder, entry))) {
      const written = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      if (Date.now() - written > KEPT_MS) rmSync(file, { force: true });
    }
    writeFileSync(partial, archive);
    renameSync(partial, target);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UserError(`${path}: files: ${target} cannot be written (${code ?? message})`, { cause: error });
  }
  return target;
}
