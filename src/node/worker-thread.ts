// Starts a thread of Plantain's own.

import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";

/**
 * What the thread runs first: a file would have to be stripped of its types before the cache of compiled code is on,
 * which takes longer than everything else a thread does at its start.
 */
const START = `
const { workerData } = require("node:worker_threads");
if (workerData.cache) require("node:module").enableCompileCache(workerData.cache);
import(workerData.file);
`;

/**
 * A thread that does not keep the process alive.
 * @param name of its file beside this one, without the ending
 * @param data what it finds in `workerData`
 */
export function startThread(name: string, data: object = {}): Worker {
  // Of this file's kind: source, published library, or bundle.
  const [ending] = /\.[a-z]+$/.exec(import.meta.url)!;
  // Node adds a folder for its version.
  const cache = getCompileCacheDir();
  const thread = new Worker(START, {
    eval: true,
    workerData: {
      ...data,
      file: new URL(`./${name}${ending}`, import.meta.url).href,
      ...(cache === undefined ? {} : { cache: dirname(cache) }),
    },
  });
  thread.unref();
  return thread;
}
