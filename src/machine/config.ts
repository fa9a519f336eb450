// A machine as plain data: what the command line, a configuration file or a program asks for, before anything is
// opened. docs/design/cli.md tells how it comes about; MachineHost holds what was opened for it.

import type { Drive } from "../backend/block-drive.ts";
import type { Chardev } from "../backend/chardev.ts";
import type { UserNetConfig } from "../backend/net/user-net-options.ts";
import type { NetBackend } from "../backend/net.ts";
import type { DevicePlace } from "../boards/board.ts";
import type { BootFile, Gunzip } from "../boards/loader/boot-file.ts";
import type { Compiler } from "../jit/tier1.ts";
import type { PropertyValue } from "../qom/property.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import type { Engine, EngineModules } from "../riscv/engine.ts";
import type { Log, LogItem } from "../util/log.ts";

/** A type by name and the properties it is to have, still as text: `virt,banana-rom=off`. */
export interface TypeChoice {
  readonly type: string;
  readonly properties: Readonly<Record<string, string>>;
}

/** Harts and how they are grouped. `cpus` are present, `maxCpus` could be; sockets x cores x threads = maxCpus. */
export interface Topology {
  readonly cpus: number;
  readonly maxCpus: number;
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

/** `default`: the host looks for an OpenSBI; `none`: the machine starts at the kernel, or at an empty RAM. */
type FirmwareChoice = { readonly kind: "default" | "none" } | { readonly kind: "file"; readonly path: string };

/** Where an entry comes from, for messages: the option as it was written. */
interface FromOption {
  readonly where: string;
}

/** A disk image. A drive does nothing until a device names it (`drive=ID`). */
export interface DriveConfig extends FromOption {
  readonly id: string;
  /** Absent for a drive without a medium. */
  readonly path?: string;
  /** The image's format; `auto` when nobody said. */
  readonly format: "raw" | "auto";
  readonly readOnly: boolean;
  /** The guest's writes are kept apart and thrown away at the end. */
  readonly snapshot: boolean;
  /** `writethrough` and `directsync`: every write reaches the disk before it is done. `unsafe`: flushes do nothing. */
  readonly cache: "writeback" | "none" | "writethrough" | "directsync" | "unsafe";
}

/** A device to add to the board. */
export interface DeviceConfig extends TypeChoice, FromOption {
  readonly id?: string;
}

/**
 * A device that a file of the user's defines, to add to the board. `auto`: the board finds a free place, and interrupts
 * for all outputs.
 */
export interface DeviceFileConfig extends FromOption {
  /** The file's absolute path. */
  readonly path: string;
  /** Which of the file's exports it is; needed where there are several devices. */
  readonly exportName?: string;
  readonly id?: string;
  readonly addr: number | "auto";
  readonly irqs: readonly number[] | "auto";
  readonly properties: Readonly<Record<string, string>>;
}

/** What a trace can be written as: lines to read, JSON lines, signals for a waveform viewer, events for Perfetto. */
export const TRACE_FORMATS = ["text", "jsonl", "vcd", "perfetto"] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

/** Everything that happens to a device, written down. */
export interface TraceConfig extends FromOption {
  /** The id of a device, or a type: then all of that type. */
  readonly device: string;
  readonly format: TraceFormat;
  /** Standard error if there is none. */
  readonly path?: string;
}

/** A network for a card to use. User mode is the only type. */
interface NetdevConfig extends FromOption {
  readonly type: "user";
  readonly id: string;
  readonly user: UserNetConfig;
}

/** How the host's side of a serial line is reached. */
export type ChardevTarget =
  | { readonly type: "null" }
  /** `signal`: Ctrl-C and its like act on Plantain and are not sent to the guest. */
  | { readonly type: "stdio"; readonly signal: boolean }
  | { readonly type: "file"; readonly path: string; readonly append: boolean }
  | { readonly type: "pipe"; readonly path: string }
  | ({ readonly type: "tcp"; readonly host: string; readonly port: number; readonly noDelay: boolean } & SocketRole)
  | ({ readonly type: "unix"; readonly path: string } & SocketRole);

/** Who calls whom. `wait`: the machine starts when somebody is connected. `reconnect`: in seconds, 0 for never. */
export interface SocketRole {
  readonly server: boolean;
  readonly wait: boolean;
  readonly reconnect: number;
}

export interface ChardevConfig extends FromOption {
  readonly id: string;
  readonly target: ChardevTarget;
  /** Several frontends share it, and the escape character (Ctrl-A) gives commands. */
  readonly mux: boolean;
  /** What the guest sends goes to this file too. */
  readonly logPath?: string;
  readonly logAppend: boolean;
}

/** A source of random numbers for virtio-rng: the host's own, or a file that is read as it is needed. */
export interface RngConfig extends FromOption {
  readonly type: "rng-builtin" | "rng-random";
  readonly id: string;
  readonly path?: string;
}

/** A default for a property of all devices of one type. */
export interface GlobalProperty extends FromOption {
  readonly driver: string;
  readonly property: string;
  readonly value: string;
}

/** An item that the guest finds in fw_cfg. */
export interface FwCfgConfig extends FromOption {
  readonly name: string;
  readonly content: { readonly path: string } | { readonly text: string };
}

/** The time of day at the start: the host's, in UTC or as its local clock shows it, or a date (ms since 1970). */
type RtcBase = "utc" | "localtime" | number;

/** A whole machine. All ids are unique within their kind, every id that is referred to exists. */
export interface MachineConfig {
  readonly machine: TypeChoice;
  readonly cpu: TypeChoice;
  readonly smp: Topology;
  /** RAM in bytes. */
  readonly memory: number;
  readonly firmware: FirmwareChoice;
  /** Folders in which the host looks for firmware, before the usual ones. */
  readonly dataPaths: readonly string[];
  readonly kernel?: string;
  readonly initrd?: string;
  /** The kernel's command line. */
  readonly append?: string;
  readonly dtb?: string;
  /** Write the device tree to this file instead of running. */
  readonly dumpDtb?: string;
  readonly drives: readonly DriveConfig[];
  readonly devices: readonly DeviceConfig[];
  readonly deviceFiles: readonly DeviceFileConfig[];
  /** Whether saving one of these files swaps the device in the running machine. */
  readonly watch: boolean;
  readonly traces: readonly TraceConfig[];
  readonly netdevs: readonly NetdevConfig[];
  readonly chardevs: readonly ChardevConfig[];
  /** The chardev of each serial port in turn, by id; undefined for a port that leads nowhere. */
  readonly serials: readonly (string | undefined)[];
  readonly rngs: readonly RngConfig[];
  readonly globals: readonly GlobalProperty[];
  readonly fwCfg: readonly FwCfgConfig[];
  readonly rtcBase: RtcBase;
  /** What a reboot of the guest does. */
  readonly rebootAction: "reset" | "shutdown";
  /** What the guest's shutdown does: `pause` leaves the machine standing until the user ends it. */
  readonly shutdownAction: "poweroff" | "pause";
  /** How guest code is run: interpreted, or translated to WebAssembly where it is hot. */
  readonly accel: "interp" | "jit";
  /** Time by instructions, 2^shift ns each; without `sleep` idle time passes at once. */
  readonly icount?: { readonly shift: number; readonly sleep: boolean };
  readonly log: { readonly items: readonly LogItem[]; readonly path?: string };
  /** The character that begins a command on a mux, 1 for Ctrl-A. */
  readonly escapeCharacter: number;
}

/** What a machine is where nothing else is asked for: the `virt` board with one hart, 128 MiB and nothing attached. */
export const defaultConfig: MachineConfig = {
  machine: { type: "virt", properties: {} },
  cpu: { type: "rv64", properties: {} },
  smp: { cpus: 1, maxCpus: 1, sockets: 1, cores: 1, threads: 1 },
  memory: 128 * 1024 * 1024,
  firmware: { kind: "default" },
  dataPaths: [],
  drives: [],
  devices: [],
  deviceFiles: [],
  watch: false,
  traces: [],
  netdevs: [],
  chardevs: [],
  serials: [],
  rngs: [],
  globals: [],
  fwCfg: [],
  rtcBase: "utc",
  rebootAction: "reset",
  shutdownAction: "poweroff",
  accel: "jit",
  log: { items: [] },
  escapeCharacter: 1,
};

/** A source of random numbers that a device can name (`rng=ID`). */
export interface RandomSource {
  readonly id: string;
  /** Fills `bytes` with random numbers. */
  fill(bytes: Uint8Array): void;
}

/** A device of a type that no board knows, which a program puts onto the board's bus. */
export interface PlacedDevice extends FromOption {
  readonly type: TypeInfo;
  readonly id?: string;
  readonly properties: Readonly<Record<string, PropertyValue>>;
  readonly place: DevicePlace;
}

/** Everything that a machine needs from outside, opened for its configuration. The ids are the configuration's. */
export interface MachineHost {
  readonly firmware?: BootFile;
  readonly kernel?: BootFile;
  readonly initrd?: BootFile;
  readonly dtb?: BootFile;
  /** Unpacks compressed kernels. */
  readonly gunzip?: Gunzip;
  readonly fwCfg: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly drives: ReadonlyMap<string, Drive>;
  readonly netdevs: ReadonlyMap<string, NetBackend>;
  readonly chardevs: ReadonlyMap<string, Chardev>;
  /** The chardev of each serial port in turn. */
  readonly serials: readonly (Chardev | undefined)[];
  readonly rngs: ReadonlyMap<string, RandomSource>;
  readonly log: Log;
  /** Devices that a program brings along. */
  readonly placed?: readonly PlacedDevice[];
  /** Compiled code that this machine shares with others. */
  readonly modules?: EngineModules;
  /** Translates guest code on a thread of its own; without one the machine does it between slices. */
  readonly compiler?: (engine: Engine) => Compiler;
  /** Something to wait for before the guest may say more: nothing most of the time. */
  readonly outputRoom?: () => Promise<void> | undefined;
  /** A clock that only goes forward, in nanoseconds from any beginning. */
  monotonic(): number;
  /** The time of day for the guest: nanoseconds since 1970. */
  wallClock(): bigint;
  /** Fills `bytes` with random numbers. */
  random(bytes: Uint8Array): void;
}
