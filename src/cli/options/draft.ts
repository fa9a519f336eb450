// What the options say while they are being read. finish-config.ts makes a MachineConfig of it.

import type { DriveConfig, MachineConfig } from "../../machine/config.ts";

/** What a `help` value asks for. */
export type HelpTopic =
  | { readonly kind: "usage" | "version" | "machines" | "cpus" | "devices" | "netdevs" | "chardevs" | "drives" }
  | { readonly kind: "objects" | "log-items" | "accelerators" | "displays" | "machine-properties" }
  | { readonly kind: "type-properties"; readonly type: string; readonly where: string };

/** Type and properties as collected so far; `where` is the last option that said something. */
export interface TypeDraft {
  type?: string;
  readonly properties: Map<string, { readonly value: string; readonly where: string }>;
  where: string;
}

/** A drive, and the controller that it asked for with `if=`. */
export interface DriveDraft extends DriveConfig {
  readonly interface: "none" | "virtio";
  readonly index: number;
}

/** The other end of a serial port or of the monitor: nowhere, or a chardev by id. */
interface LineDraft {
  readonly where: string;
  readonly chardev: string | undefined;
}

/** Changeable parts of the configuration under construction. */
type Lists =
  | "drives"
  | "devices"
  | "deviceFiles"
  | "traces"
  | "netdevs"
  | "chardevs"
  | "rngs"
  | "globals"
  | "fwCfg"
  | "dataPaths";
type Given = "smp" | "memory" | "firmware" | "kernel" | "initrd" | "append" | "dtb" | "dumpDtb" | "rtcBase";
type Actions = "rebootAction" | "shutdownAction" | "escapeCharacter" | "accel" | "icount";

export type Draft = {
  -readonly [K in Given | Actions]?: MachineConfig[K];
} & {
  readonly [K in Exclude<Lists, "drives">]: MachineConfig[K][number][];
} & {
  readonly machine: TypeDraft;
  readonly cpu: TypeDraft;
  readonly drives: DriveDraft[];
  readonly serials: LineDraft[];
  readonly monitors: LineDraft[];
  readonly logItems: Set<MachineConfig["log"]["items"][number]>;
  logPath?: string;
  /** Where a value was given that a later check may complain about. */
  readonly where: Map<"smp" | "memory" | "initrd" | "append", string>;
  /** `-snapshot`: all drives. */
  snapshot: boolean;
  nographic: boolean;
  /** `-watch`: devices of files follow their files. */
  watch: boolean;
  /** `-display` or a like option was given, so nobody expects a console on the terminal by itself. */
  display: boolean;
  /** `-nodefaults`: nothing that was not asked for. */
  nodefaults: boolean;
  help?: HelpTopic;
  readonly warnings: string[];
};

export function newDraft(): Draft {
  return {
    machine: { properties: new Map(), where: "-machine" },
    cpu: { properties: new Map(), where: "-cpu" },
    drives: [],
    devices: [],
    deviceFiles: [],
    traces: [],
    netdevs: [],
    chardevs: [],
    rngs: [],
    globals: [],
    fwCfg: [],
    dataPaths: [],
    serials: [],
    monitors: [],
    logItems: new Set(),
    where: new Map(),
    snapshot: false,
    nographic: false,
    watch: false,
    display: false,
    nodefaults: false,
    warnings: [],
  };
}

/** Reads one option's value into the draft. `where` is the option as it was written, for messages. */
export type Apply = (draft: Draft, value: string, where: string) => void;
