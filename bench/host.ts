// The machine that measures, and whether it was quiet.

import { cpus, loadavg, release, totalmem, type } from "node:os";
import { cpuTimes, machineBusy } from "./proc.ts";

/** Load of other programs, in processors, from which on times are not to be trusted. */
const QUIET = 0.15;

export interface Host {
  readonly cpu: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
}

export function describeHost(): Host {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    processors: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
  };
}

/** How busy the machine was with other things. */
export interface Quietness {
  /** Load average of the minute before. */
  readonly loadBefore: number;
  /** Processors that other programs kept busy meanwhile, on average; undefined where the system does not tell. */
  readonly others: number | undefined;
  readonly warning: string | undefined;
}

/** Starts watching; the returned function tells how it was. */
export function watchHost(): () => Quietness {
  const loadBefore = loadavg()[0]!;
  const before = sample();
  return () => {
    const after = sample();
    const others =
      before === undefined || after === undefined
        ? undefined
        : Math.max(0, (after.others - before.others) / Math.max(after.at - before.at, 0.001));
    return { loadBefore, others, warning: judge(loadBefore, others) };
  };
}

/** What to warn of, or undefined. Without knowledge of other programs the load average has to do. */
export function judge(loadBefore: number, others: number | undefined): string | undefined {
  if (others === undefined) {
    if (loadBefore < 0.5) return undefined;
    return `the machine was not quiet: load average ${loadBefore.toFixed(2)} before the start`;
  }
  if (others < QUIET) return undefined;
  const load = `load average ${loadBefore.toFixed(2)} before the start`;
  return `the machine was not quiet: other programs kept ${others.toFixed(2)} processors busy (${load}); times are not to be trusted`;
}

/** CPU seconds of everybody but us and our children, in seconds of the host's clock. */
function sample(): { readonly others: number; readonly at: number } | undefined {
  const busy = machineBusy();
  const own = cpuTimes();
  if (busy === undefined || own === undefined) return undefined;
  return { others: busy - own.own - own.children, at: performance.now() / 1000 };
}
