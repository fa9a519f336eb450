// A lock file against two set-ups at once, in one cache folder that several processes, containers or machines may share.

import { randomBytes } from "node:crypto";
import { link, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

const HEARTBEAT_MS = 5_000;
/** A holder that has not touched its lock for so long is gone, or its machine is. */
const STALE_MS = 60_000;
const POLL_MS = 200;

/** Who holds the lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
}

/**
 * Runs `body` while holding the lock, and waits for whoever has it. A lock left behind by a process that was killed is
 * taken over.
 *
 * @param onWait called once if the lock is taken
 */
export async function withLock<T>(
  path: string,
  onWait: (holder: LockHolder) => void,
  body: () => Promise<T>,
): Promise<T> {
  const mine = `${path}.${process.pid}.${randomBytes(6).toString("hex")}`;
  await writeFile(mine, JSON.stringify({ pid: process.pid, host: hostname() } satisfies LockHolder));
  try {
    let waiting = false;
    // A link appears whole or not at all, and never over another one.
    while (!(await tryLink(mine, path))) {
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (await isGone(path, holder)) {
        await takeAway(path, `${mine}.stale`, holder);
        continue;
      }
      if (!waiting) onWait(holder);
      waiting = true;
      await sleep(POLL_MS);
    }
  } finally {
    await rm(mine, { force: true });
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await body();
  } finally {
    clearInterval(heartbeat);
    const holder = await readHolder(path);
    if (holder?.pid === process.pid && holder.host === hostname()) await rm(path, { force: true });
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** The holder, or undefined if the lock has just been given back. */
async function readHolder(path: string): Promise<LockHolder | undefined> {
  try {
    const holder: unknown = JSON.parse(await readFile(path, "utf8"));
    const { pid = 0, host = "" } = (holder ?? {}) as Partial<LockHolder>;
    return { pid, host };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    return { pid: 0, host: "" }; // not written by us: it goes when it is old
  }
}

async function isGone(path: string, holder: LockHolder): Promise<boolean> {
  if (holder.host === hostname() && holder.pid > 0) {
    try {
      process.kill(holder.pid, 0);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ESRCH";
    }
  }
  const touched = await stat(path).catch(() => undefined);
  return touched !== undefined && Date.now() - touched.mtimeMs > STALE_MS;
}

/** Removes a dead holder's lock; if somebody else took it over in between, theirs is put back. */
async function takeAway(path: string, aside: string, dead: LockHolder): Promise<void> {
  try {
    await rename(path, aside);
  } catch {
    return; // somebody was faster
  }
  const found = await readHolder(aside);
  if (found?.pid !== dead.pid || found.host !== dead.host) await tryLink(aside, path);
  await rm(aside, { force: true });
}
