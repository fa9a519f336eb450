// The Linux guest and the files of a plantain.config.ts, as words of a command line. Loaded only when there are any.

import { createHash } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
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

/** Each configuration has one archive in the cache. A machine that has the one before open keeps it. */
function writeArchive(archive: Uint8Array, path: string): string {
  const folder = join(cacheFolder(process.env), "files");
  const name = createHash("sha256").update(path).digest("hex").slice(0, 32);
  const target = join(folder, `${name}.cpio`);
  const partial = `${target}.${process.pid}`;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(partial, archive);
    renameSync(partial, target);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UserError(`${path}: files: ${target} cannot be written (${code ?? message})`, { cause: error });
  }
  return target;
}
