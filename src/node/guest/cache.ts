// The cache folder of set-up: what was fetched or built once and can be again. A finished entry appears by a rename, whole
// or not at all, and is never changed afterwards.

import { readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { UserError } from "../../util/user-error.ts";
import { type LockHolder, withLock } from "./lock.ts";
import type { Progress, Step } from "./progress.ts";

const MANIFEST = "manifest.json";

/** What a finished entry says of itself. */
interface Manifest {
  /** Sizes in bytes of the entry's files, by their paths in it. */
  readonly files: Readonly<Record<string, number>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** A finished entry: its folder and what was noted when it was made. */
export interface CacheEntry {
  readonly folder: string;
  readonly facts: Readonly<Record<string, string>>;
}

/** Where the cache is: `PLANTAIN_CACHE`, else `plantain` in `XDG_CACHE_HOME` or in `~/.cache`. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const own = env["PLANTAIN_CACHE"] ?? "";
  if (own !== "") {
    if (!isAbsolute(own)) throw new UserError(`PLANTAIN_CACHE=${own} is not an absolute path`);
    return own;
  }
  const shared = env["XDG_CACHE_HOME"] ?? "";
  return join(isAbsolute(shared) ? shared : join(homedir(), ".cache"), "plantain");
}

/** The entry of that name if it is finished and its files are all there; a few milliseconds. */
export function findEntry(cache: string, name: string): CacheEntry | undefined {
  const folder = join(cache, name);
  try {
    const { files, facts } = JSON.parse(readFileSync(join(folder, MANIFEST), "utf8")) as Manifest;
    const isThere = ([path, size]: [string, number]): boolean => statSync(join(folder, path)).size === size;
    return Object.entries(files).every(isThere) ? { folder, facts } : undefined;
  } catch {
    return undefined; // not there, not finished or damaged: to be made
  }
}

/** Something that set-up was to fetch or build cannot be had on this machine now; the message says in one line why. */
export class NotObtained extends UserError {}

/**
 * Makes an entry, unless another process has made it meanwhile.
 *
 * @param make fills the folder `entry`, may use the folder `scratch`, and returns the files to watch over and the facts to note
 * @throws NotObtained when it fails for a reason outside the program: no network, no tool, no room, no permission
 */
export async function makeEntry(
  cache: string,
  name: string,
  progress: Progress,
  make: (entry: string, scratch: string) => Promise<{ files: readonly string[]; facts: Record<string, string> }>,
): Promise<CacheEntry> {
  try {
    return await makeLocked(cache, name, progress, make);
  } catch (error) {
    if (error instanceof UserError) throw new NotObtained(error.message);
    // An error of the operating system has its code; any other is a mistake of ours.
    if (error instanceof Error && "code" in error) throw new NotObtained(error.message);
    throw error;
  }
}

type Maker = Parameters<typeof makeEntry>[3];

async function makeLocked(cache: string, name: string, progress: Progress, make: Maker): Promise<CacheEntry> {
  await mkdir(cache, { recursive: true });
  let waiting: Step | undefined;
  const onWait = ({ pid, host }: LockHolder): void => {
    waiting = progress.step(`Waiting for another set-up (process ${pid} on ${host})`);
  };
  return await withLock(join(cache, `${name}.lock`), onWait, async () => {
    waiting?.done();
    const made = findEntry(cache, name);
    if (made !== undefined) return made;
    // Whoever left these was interrupted, for we have the lock.
    const partial = `${name}.partial-`;
    const leftovers = (await readdir(cache)).filter((found) => found.startsWith(partial) || found === name);
    for (const leftover of leftovers) await rm(join(cache, leftover), { recursive: true, force: true });

    const work = await mkdtemp(join(cache, partial));
    try {
      const entry = join(work, "entry");
      await mkdir(entry);
      const { files, facts } = await make(entry, join(work, "scratch"));
      const sizes = Object.fromEntries(files.map((path) => [path, statSync(join(entry, path)).size]));
      await writeFile(
        join(entry, MANIFEST),
        `${JSON.stringify({ files: sizes, facts } satisfies Manifest, undefined, 2)}\n`,
      );
      await rename(entry, join(cache, name));
      return { folder: join(cache, name), facts };
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
}
