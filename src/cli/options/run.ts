// Options for how a machine runs and ends: logging, reboots, what may be left out.

import { TRACE_FORMATS, type TraceFormat } from "../../machine/config.ts";
import type { LogItem } from "../../util/log.ts";
import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import { isHelp, OptionValues, splitKeyValues } from "../key-values.ts";
import type { Draft } from "./draft.ts";

/** What can be logged, with what the help says of it. */
export const LOG_ITEMS: Readonly<Record<LogItem, string>> = {
  guest_errors: "what the guest does wrong: registers that are not there, accesses that a device refuses",
  unimp: "what the guest wants of a device and the device does not do yet",
  int: "traps and interrupts",
  mmu: "address translation: page walks and faults",
  in_asm: "guest code, disassembled when it is first seen",
  exec: "each block of guest code before it runs (very long)",
  cpu: "the registers before each block (very long)",
  jit: "translated regions, their size and how hot they are",
};

const LATER_ITEMS = [
  ...["out_asm", "op", "op_opt", "op_ind", "op_plugin", "fpu", "pcall", "cpu_reset", "page", "nochain"],
  ...["plugin", "strace", "tid", "vpu"],
];

export function log(draft: Draft, value: string, where: string): void {
  if (value.split(",").some(isHelp)) {
    draft.help ??= { kind: "log-items" };
    return;
  }
  for (const item of value.split(",")) {
    if (Object.hasOwn(LOG_ITEMS, item)) draft.logItems.add(item as LogItem);
    else if (LATER_ITEMS.includes(item) || item.startsWith("trace:") || item === "all") {
      throw new UserError(`${where}: the log item ${item} is not in Plantain yet`);
    } else {
      const known = Object.keys(LOG_ITEMS);
      const near = didYouMean(item, known) || `: expected ${known.join(", ")}`;
      throw new UserError(`${where}: there is no log item "${item}"${near}`);
    }
  }
}

export function logFile(draft: Draft, value: string, where: string): void {
  if (value === "") throw new UserError(`${where}: the name is empty: expected a file`);
  draft.logPath = value;
}

/** What the ending of a file says about its format. */
const FORMAT_OF_ENDING: Readonly<Record<string, TraceFormat>> = {
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".vcd": "vcd",
  ".json": "perfetto",
};

export function trace(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value, "device"));
  const device = option.required("device", "the type or the id of a device");
  const path = option.text("file");
  const given = option.oneOf("format", TRACE_FORMATS);
  option.finish();
  if (path === "") throw option.error("file= is empty: expected the name of a file");
  const format = given ?? FORMAT_OF_ENDING[/\.[^./\\]*$/.exec(path ?? "")?.[0] ?? ""] ?? "text";
  if (path === undefined && (format === "vcd" || format === "perfetto")) {
    throw option.error(`format=${format} needs a file: expected file=FILE too`);
  }
  draft.traces.push({ device, format, where, ...(path === undefined ? {} : { path }) });
}

export function watch(draft: Draft): void {
  draft.watch = true;
}

export function noReboot(draft: Draft): void {
  draft.rebootAction = "shutdown";
}

export function noShutdown(draft: Draft): void {
  draft.shutdownAction = "pause";
}

export function action(draft: Draft, value: string, where: string): void {
  const option = new OptionValues(where, splitKeyValues(value));
  const reboot = option.oneOf("reboot", ["reset", "shutdown"]);
  const shutdown = option.oneOf("shutdown", ["poweroff", "pause"]);
  option.notYet("panic", "watchdog");
  option.finish();
  if (reboot !== undefined) draft.rebootAction = reboot;
  if (shutdown !== undefined) draft.shutdownAction = shutdown;
}

export function noDefaults(draft: Draft): void {
  draft.nodefaults = true;
}

/** The escape character of the mux: a single character for Ctrl and that character, or its code. */
export function escapeCharacter(draft: Draft, value: string, where: string): void {
  const code = /^(0x[0-9a-f]{1,2}|\d{1,3})$/i.test(value) ? Number(value) : Number.NaN;
  if (!(code >= 1 && code <= 255)) throw new UserError(`${where}: expected the character's code, 1 (Ctrl-A) to 255`);
  draft.escapeCharacter = code;
}

/** An option of QEMU's that means nothing here, so that taking it is the same as doing it. */
export function nothingToDo(): void {}
