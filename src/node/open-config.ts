// Opens what a MachineConfig names: files, disks, networks, serial lines, the log.

import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import type { BlockBackend } from "../backend/block.ts";
import { Drive } from "../backend/block-drive.ts";
import { OverlayBlock } from "../backend/block-overlay.ts";
import type { Chardev } from "../backend/chardev.ts";
import type { NetBackend } from "../backend/net.ts";
import type {
  DriveConfig,
  FwCfgConfig,
  MachineConfig,
  MachineHost,
  RandomSource,
  RngConfig,
} from "../machine/config.ts";
import { UserError } from "../util/user-error.ts";
import { openFileBlock } from "./file-block.ts";
import { LogFile } from "./log-file.ts";
import { type ChardevContext, openChardev } from "./open-chardev.ts";
import { readDefaultFirmware, readFirmware, readSystemMap, readUserFile } from "./read-file.ts";
import { SlowOutput } from "./slow-output.ts";
import type { StreamChardev } from "./stream-chardev.ts";
import { type TranslatorThreads, translatorThreads } from "./thread-compiler.ts";
import { writeThrough } from "./write-through.ts";

/** The host's side of a machine, to be closed when the machine has ended. */
export interface OpenedHost extends MachineHost {
  /** Writes the disks' data to where it is safe. @throws BlockError if the host cannot */
  flushDisks(): Promise<void>;
  /**
   * Waits until those who read standard output and standard error have all that was said, and for peers of sockets and
   * pipes as well, but not long: they may wait for us to end.
   */
  drained(): Promise<void>;
  /** Sends what waits and closes everything. */
  close(): void;
}

/** What a host needs beside the configuration. */
export interface HostContext extends Omit<ChardevContext, "escapeCode" | "now" | "output" | "onStream"> {
  /** Threads for translation, where one was started ahead; from now on the host's. */
  readonly translators?: TranslatorThreads;
}

/**
 * Opens everything.
 * @throws UserError for the first thing that cannot be had; what was opened before is closed again
 */
export async function openConfig(config: MachineConfig, context: HostContext): Promise<OpenedHost> {
  const open: { close(): void }[] = [];
  const track = <T extends { close(): void }>(resource: T): T => {
    open.push(resource);
    return resource;
  };
  const closeAll = () => {
    const errors: unknown[] = [];
    for (const resource of open.splice(0).reverse()) {
      try {
        resource.close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  };
  try {
    const translators = track(context.translators ?? translatorThreads(false));
    if (config.accel !== "jit") translators.close();
    const files = readFiles(config);
    // The first to be opened is the last to be closed: closing the others may still write to the log.
    const [output, errors] = [track(new SlowOutput(1)), track(new SlowOutput(2))];
    const log = track(new LogFile(config.log, errors));
    const { drives, disks } = openDrives(config.drives, track);
    const rngs = new Map<string, RandomSource>();
    for (const rng of config.rngs) rngs.set(rng.id, openRng(rng, track));
    const netdevs = new Map<string, NetBackend>();
    for (const netdev of config.netdevs) netdevs.set(netdev.id, track(await openNetdev(netdev.user)));
    const start = performance.now();
    const now = () => performance.now() - start;
    const streams: StreamChardev[] = [];
    const onStream = (chardev: StreamChardev) => streams.push(chardev);
    const chardevContext = { ...context, output, onStream, escapeCode: config.escapeCharacter, now };
    const chardevs = new Map<string, Chardev>();
    for (const chardev of config.chardevs) chardevs.set(chardev.id, track(await openChardev(chardev, chardevContext)));
    const rtcOffset = rtcOffsetOf(config.rtcBase);
    return {
      ...files,
      drives,
      netdevs,
      chardevs,
      serials: config.serials.map((id) => (id === undefined ? undefined : chardevs.get(id))),
      rngs,
      log,
      compiler: translators.compiler,
      outputRoom: () => output.room ?? errors.room,
      drained: async () => {
        // What was gathered for one system call has been handed over by then.
        await new Promise((resolve) => setImmediate(resolve));
        await withinTime(Promise.all(streams.map((stream) => stream.drained())));
        await output.drained();
        await errors.drained();
      },
      monotonic: () => Math.round(performance.now() * 1e6),
      wallClock: () => (BigInt(Date.now()) + rtcOffset) * 1_000_000n,
      random: fillRandom,
      flushDisks: async () => {
        // All of them begin at once: a process that must end now has no time for those that wait.
        await Promise.all(disks.map(async (disk) => disk.flush()));
      },
      close: closeAll,
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

/** How long peers have at the end for what they did not take yet. */
const LINGER_MS = 2000;

/** Waits for it, but not longer than peers are waited for. */
async function withinTime(done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise((resolve) => {
    timer = setTimeout(resolve, LINGER_MS);
  });
  await Promise.race([done, timeUp]);
  clearTimeout(timer);
}

function readFiles(
  config: MachineConfig,
): Pick<MachineHost, "firmware" | "kernel" | "initrd" | "dtb" | "gunzip" | "fwCfg"> {
  const { firmware, kernel, initrd, dtb, dataPaths } = config;
  return {
    ...(firmware.kind === "file" ? { firmware: readFirmware(firmware.path, dataPaths) } : {}),
    ...(firmware.kind === "default" ? { firmware: readDefaultFirmware(dataPaths) } : {}),
    ...(kernel === undefined
      ? {}
      : { kernel: { ...readUserFile("-kernel", kernel), systemMap: () => readSystemMap(kernel) } }),
    ...(initrd === undefined ? {} : { initrd: readUserFile("-initrd", initrd) }),
    ...(dtb === undefined ? {} : { dtb: readUserFile("-dtb", dtb) }),
    // Loaded when it is wanted: few kernels are compressed.
    gunzip: (bytes, maxSize) => process.getBuiltinModule("node:zlib").gunzipSync(bytes, { maxOutputLength: maxSize }),
    fwCfg: config.fwCfg.map((item) => ({ name: item.name, bytes: fwCfgBytes(item) })),
  };
}

function fwCfgBytes({ name, content }: FwCfgConfig): Uint8Array {
  if ("text" in content) return new TextEncoder().encode(content.text);
  return readUserFile(`-fw_cfg name=${name},file=`, content.path).bytes;
}

/** Opens the images; those that are written may belong to one drive only. */
function openDrives(
  configs: readonly DriveConfig[],
  track: <T extends { close(): void }>(resource: T) => T,
): { drives: Map<string, Drive>; disks: BlockBackend[] } {
  const drives = new Map<string, Drive>();
  const disks: BlockBackend[] = [];
  const writers = new Map<string, DriveConfig>();
  const readers = new Map<string, DriveConfig>();
  for (const config of configs) {
    const { id, path, where } = config;
    if (path === undefined) continue;
    const shared = config.readOnly || config.snapshot;
    const disk = openDisk(config, path);
    const key = fileKey(path);
    const rival = writers.get(key) ?? (shared ? undefined : readers.get(key));
    if (rival !== undefined) {
      disk.close();
      throw new UserError(
        `${where}: ${path} is the image of the drive "${rival.id}" too: one image can be in two drives only if both have readonly=on or snapshot=on`,
      );
    }
    (shared ? readers : writers).set(key, config);
    disks.push(disk);
    drives.set(id, track(new Drive(id, disk)));
  }
  return { drives, disks };
}

function openDisk({ format, readOnly, snapshot, cache, where }: DriveConfig, path: string): BlockBackend {
  try {
    if (format === "auto") checkRaw(path);
    const disk = openFileBlock(path, { readOnly: readOnly || snapshot });
    if (snapshot) return new OverlayBlock(disk, readOnly);
    return cache === "writethrough" || cache === "directsync" ? writeThrough(disk) : disk;
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** The first bytes of image formats that are not raw. */
const MAGICS: readonly (readonly [name: string, magic: string])[] = [
  ["qcow2", "QFI\xfb"],
  ["VMDK", "KDMV"],
  ["VHDX", "vhdxfile"],
  ["LUKS", "LUKS\xba\xbe"],
];

/** Where nobody said what an image is, another format than raw is an error and not a disk full of nonsense. */
function checkRaw(path: string): void {
  const head = Buffer.alloc(8);
  let fd: number;
  try {
    if (!statSync(path).isFile()) return;
    fd = openSync(path, "r");
  } catch {
    // Opening it as a disk says what is wrong.
    return;
  }
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  const text = head.toString("latin1");
  const match = MAGICS.find(([, magic]) => text.startsWith(magic));
  if (match === undefined) return;
  throw new UserError(
    `${path} looks like a ${match[0]} image, which is not in Plantain yet: convert it with qemu-img, or say format=raw`,
  );
}

/** One text for a file whatever path leads to it. */
function fileKey(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev} ${ino}`;
}

async function openNetdev(config: MachineConfig["netdevs"][number]["user"]): Promise<NetBackend> {
  // Loaded when it is wanted: a third of what a machine with a network needs.
  const [{ UserNet }, { nodeNetHost }] = await Promise.all([
    import("../backend/net/user-net.ts"),
    import("./host-sockets.ts"),
  ]);
  return UserNet.open(config, nodeNetHost());
}

function openRng({ id, path, where }: RngConfig, track: <T extends { close(): void }>(resource: T) => T): RandomSource {
  if (path === undefined) return { id, fill: fillRandom };
  let fd: number;
  try {
    fd = openSync(path, "r");
    if (fstatSync(fd).isDirectory()) throw new Error("this is a folder");
  } catch (error) {
    throw new UserError(`${where}: ${path} cannot be read: expected a source such as /dev/urandom`, { cause: error });
  }
  track({ close: () => closeSync(fd) });
  return {
    id,
    fill(bytes) {
      let filled = 0;
      while (filled < bytes.length) {
        const count = readSync(fd, bytes, filled, bytes.length - filled, null);
        // A file that has ended gives no more: the rest comes from the host.
        if (count === 0) break;
        filled += count;
      }
      fillRandom(bytes.subarray(filled));
    },
  };
}

/** Reads from the kernel's own source; false where that is not to be had. */
function readRandom(bytes: Uint8Array): boolean {
  let fd: number | undefined;
  try {
    fd = openSync("/dev/urandom", "r");
    for (let filled = 0; filled < bytes.length; ) {
      const count = readSync(fd, bytes, filled, bytes.length - filled, null);
      if (count === 0) return false;
      filled += count;
    }
    return true;
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The most bytes that `getRandomValues` gives at once. */
const RANDOM_LIMIT = 65536;

function fillRandom(bytes: Uint8Array): void {
  // Every machine wants some at its start, and the first of Node's take it 4 ms to load.
  if (process.platform === "linux" && readRandom(bytes)) return;
  for (let offset = 0; offset < bytes.length; offset += RANDOM_LIMIT) {
    crypto.getRandomValues(bytes.subarray(offset, offset + RANDOM_LIMIT) as Uint8Array<ArrayBuffer>);
  }
}

/** Milliseconds to add to the host's time. */
function rtcOffsetOf(base: MachineConfig["rtcBase"]): bigint {
  if (base === "utc") return 0n;
  if (base === "localtime") return BigInt(-new Date().getTimezoneOffset() * 60_000);
  return BigInt(base - Date.now());
}
