// Linux's own record of processes (man 5 proc). Where there is none, the figures that need it are undefined.

import { readFileSync } from "node:fs";

/** Clock ticks per second in /proc: the same on every Linux that has a Node. */
const USER_HZ = 100;

/** CPU seconds, user and system. */
export interface CpuTimes {
  readonly own: number;
  /** Of the children that have ended. */
  readonly children: number;
}

/** Reads the text of /proc/PID/stat. The command in brackets may hold spaces and brackets itself. */
export function parseStat(text: string): CpuTimes {
  // state is field 3; utime, stime, cutime, cstime are fields 14 to 17
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = (field: number): number => Number(fields[field - 3]);
  return { own: (ticks(14) + ticks(15)) / USER_HZ, children: (ticks(16) + ticks(17)) / USER_HZ };
}

/** Resident bytes, from the text of /proc/PID/status. */
export function parseResident(text: string): number | undefined {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** CPU seconds that all processors of the machine have been at work, from the text of /proc/stat. */
export function parseBusy(text: string): number | undefined {
  const line = /^cpu +(.*)$/m.exec(text)?.[1];
  if (line === undefined) return undefined;
  // user nice system idle iowait irq softirq steal; guests are part of user
  const [user, nice, system, , , irq, softirq, steal] = line.split(" ").map(Number);
  return (user! + nice! + system! + (irq ?? 0) + (softirq ?? 0) + (steal ?? 0)) / USER_HZ;
}

/** CPU times of a process; by default of this one. */
export function cpuTimes(pid: number | "self" = "self"): CpuTimes | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text === undefined ? undefined : parseStat(text);
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number | undefined {
  const text = read(`/proc/${pid}/status`);
  return text === undefined ? undefined : parseResident(text);
}

/** CPU seconds of the machine since it started. */
export function machineBusy(): number | undefined {
  const text = read("/proc/stat");
  return text === undefined ? undefined : parseBusy(text);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // another system than Linux, or the process has ended
  }
}
