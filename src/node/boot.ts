// Boots Linux for tests: `boot` of plantain/testing. docs/testing.md.

import type { BlockBackend } from "../backend/block.ts";
import { Drive } from "../backend/block-drive.ts";
import { MemoryStore } from "../backend/block-memory.ts";
import { OverlayBlock } from "../backend/block-overlay.ts";
import { RawBlock } from "../backend/block-raw.ts";
import { MemoryChardev } from "../backend/chardev-memory.ts";
import { parseUserNetOptions } from "../backend/net/user-net-options.ts";
import type { NetBackend, NetClient } from "../backend/net.ts";
import { virtBoard } from "../boards/virt.ts";
import { type DeviceConfig, defaultConfig, type MachineConfig, type PlacedDevice } from "../machine/config.ts";
import { type AddOptions, createMachine, placedDevice } from "../machine/machine.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import type { EngineModules } from "../riscv/engine.ts";
import type { GuestConsole } from "../testing/guest-console.ts";
import { Vm, type VmFactory, type VmParts } from "../testing/vm.ts";
import type { Log } from "../util/log.ts";
import { parseSize } from "../util/size.ts";
import { UserError } from "../util/user-error.ts";
import { withConfigFile } from "./boot-config.ts";
import { openFileBlock } from "./file-block.ts";
import { type GuestFiles, packFiles } from "./guest/files.ts";
import { findGuest } from "./guest/guest.ts";
import { FILES_SERIAL, TAKE_FILES } from "./guest/recipe.ts";
import { type OpenedHost, openConfig } from "./open-config.ts";

/** What to boot: paths of files. */
export interface BootImages {
  readonly firmware?: string;
  readonly kernel: string;
  readonly initrd?: string;
  /** A raw image. The guest may write to it: what it writes stays in memory, the file is only read. */
  readonly disk?: string;
  /** The kernel's command line. */
  readonly append?: string;
}

/** A device of the user's own on the board; where it goes and what it is like as `machine.add` takes it. */
export interface BootDevice extends AddOptions {
  /** What `defineDevice` returned, or anything else with a type of a device for the board's bus. */
  readonly device: { readonly typeInfo: TypeInfo };
}

/** A machine to boot. */
export interface BootConfig {
  /**
   * A configuration as the command takes it, `plantain.config.ts`: what is said here comes in its place, devices and files
   * are added to its own. Paths in it are relative to its folder; traces are not begun.
   */
  readonly config?: string | URL;
  /** As `-M`: `virt,banana-rom=off`. */
  readonly board?: string;
  /** The Linux guest that set-up obtained (`node scripts/guest.mjs`) unless given. */
  readonly images?: BootImages;
  /** Added to the kernel's command line. */
  readonly append?: string;
  /** RAM in bytes, or as `-m` takes it (`"512M"`); 256 MiB unless given. */
  readonly memory?: number | string;
  /** 1 unless given. */
  readonly harts?: number;
  readonly devices?: readonly BootDevice[];
  /**
   * Files for the guest: its own absolute paths, and for each a file or folder of the host's, or the bytes. All are
   * executable. A guest of your own needs a driver for virtio disks, `cpio` and a writable root.
   */
  readonly files?: GuestFiles;
  /** Whether it has a network card with a user-mode network; every fork has one of its own. No unless given. */
  readonly network?: boolean;
  readonly accel?: MachineConfig["accel"];
  /**
   * Runs that repeat to the instruction: each takes 2^icount nanoseconds of virtual time, which passes only while somebody
   * waits for the console or for `vm.run`. By the host's clock unless given.
   */
  readonly icount?: number;
  /** Who logs in: the name that is typed at `login:`. `root` unless given. */
  readonly login?: string;
  /** Instead of waiting for a login and a shell: the machine is ready when this resolves. */
  readonly ready?: (console: GuestConsole) => Promise<unknown>;
  /** Milliseconds until it must be ready; 120000 unless given. */
  readonly timeout?: number;
  /** Machines made ready for forks that run at the same time; 1 unless given. */
  readonly spares?: number;
}

/** A shell's prompt at the end of the output; BusyBox asks the terminal for the cursor's position there. */
const PROMPT = /[#$] (\S*6n)?$/;
const LOGIN_OR_PROMPT = RegExp(`login: $|${PROMPT.source}`);
const DISK = "hd0";
const FILES = "files";
const NET = "net0";
/** Complaints that are kept. */
const MAX_GUEST_ERRORS = 1000;
const DEFAULT_MEMORY = 256 << 20;
/** The hour of machines whose runs repeat: 2024-01-01 00:00:00 UTC, in nanoseconds since 1970. */
const START_OF_TIME = 1_704_067_200_000_000_000n;
/** A millisecond for each instruction. */
const MAX_SHIFT = 20;
const DEFAULT_TIMEOUT = 120_000;

/**
 * Boots a machine to its shell.
 *
 * @throws UserError for a configuration that cannot be had, or when there is no guest to boot
 * @throws Error when the guest does not come up, with what it wrote last
 * @example
 * await using vm = await boot({ devices: [{ device: bananaRom, addr: 0x5000000 }] });
 * await vm.console.run("devmem 0x5000000"); // { output: "0xBA000001\n", status: 0 }
 */
export async function boot(given: BootConfig = {}): Promise<Vm> {
  const config = given.config === undefined ? given : await withConfigFile(given, given.config, guestImages);
  const vm = await Vm.start(await openFactory(config));
  try {
    const { timeout = DEFAULT_TIMEOUT } = config;
    if (config.ready === undefined) {
      await logIn(vm.console, config.login ?? "root", timeout);
      // The guest of set-up has done it when it started.
      if (config.files !== undefined && given.images !== undefined) await vm.console.run(TAKE_FILES, { timeout });
    } else await config.ready(vm.console);
    const { spares = 1 } = config;
    await vm.prepareForks(spares);
    if (config.ready === undefined) await warmUp(vm, spares, timeout);
  } catch (error) {
    await vm.dispose();
    throw error;
  }
  return vm;
}

/** Runs a command in each spare machine: it has decoded and translated the code of the shell when a test needs it. */
async function warmUp(vm: Vm, spares: number, timeout: number): Promise<void> {
  const forks: Vm[] = [];
  try {
    for (let n = 0; n < spares; n++) forks.push(await vm.fork());
    for (const fork of forks) await fork.console.run("true", { timeout });
  } finally {
    for (const fork of forks) await fork.dispose();
  }
}

/** Waits for a shell's prompt, on the way there for a login. */
async function logIn(console: GuestConsole, name: string, timeout: number): Promise<void> {
  const until = performance.now() + timeout;
  const left = (): { timeout: number } => ({ timeout: Math.max(1, until - performance.now()) });
  const [prompt] = await console.expect(LOGIN_OR_PROMPT, left());
  if (prompt === "login: ") {
    console.send(`${name}\n`);
    await console.expect(PROMPT, left());
  }
  await console.run("true", left());
}

async function openFactory(config: BootConfig): Promise<VmFactory> {
  const images = config.images ?? guestImages();
  const { kernel, initrd, disk, firmware } = images;
  const devices: DeviceConfig[] = [];
  if (disk !== undefined) devices.push({ type: "virtio-blk-device", properties: { drive: DISK }, where: "boot" });
  const files = config.files === undefined ? undefined : packFiles(config.files, process.cwd(), "boot: files");
  if (files !== undefined) {
    devices.push({ type: "virtio-blk-device", properties: { drive: FILES, serial: FILES_SERIAL }, where: "boot" });
  }
  if (config.network) devices.push({ type: "virtio-net-device", properties: { netdev: NET }, where: "boot" });
  const harts = config.harts ?? 1;
  const machine: MachineConfig = {
    ...defaultConfig,
    ...(config.board === undefined ? {} : { machine: machineOf(config.board) }),
    smp: { ...defaultConfig.smp, cpus: harts, maxCpus: harts, cores: harts },
    memory: memoryOf(config.memory),
    ...(firmware === undefined ? {} : { firmware: { kind: "file", path: firmware } }),
    kernel,
    ...(initrd === undefined ? {} : { initrd }),
    append: [images.append, config.append].filter((part) => part !== undefined).join(" "),
    devices,
    // A guest that reboots in a test went wrong: the test is told.
    rebootAction: "shutdown",
    ...(config.accel === undefined ? {} : { accel: config.accel }),
    ...(config.icount === undefined ? {} : { icount: { shift: shiftOf(config.icount), sleep: false } }),
  };
  const placed = (config.devices ?? []).map(({ device, ...options }) =>
    placedDevice(device.typeInfo, options, `boot: device ${device.typeInfo.name}`),
  );
  const host = await openConfig(machine, NO_TERMINAL);
  let base: BlockBackend | undefined;
  try {
    base = disk === undefined ? undefined : openFileBlock(disk, { readOnly: true });
  } catch (error) {
    host.close();
    throw error;
  }
  const modules: EngineModules = new Map();
  return {
    make: () => makeParts(machine, host, base, files, placed, modules, config.network ?? false),
    close() {
      base?.close();
      host.close();
    },
  };
}

/** Opens nothing that would need a terminal. */
const NO_TERMINAL = {} as Parameters<typeof openConfig>[1];

async function makeParts(
  config: MachineConfig,
  host: OpenedHost,
  base: BlockBackend | undefined,
  files: Uint8Array | undefined,
  placed: readonly PlacedDevice[],
  modules: EngineModules,
  network: boolean,
): Promise<VmParts> {
  const console = new MemoryChardev("console");
  const guestErrors: string[] = [];
  const log: Log = {
    enabled: (item) => item === "guest_errors",
    write: (item, line) => {
      if (item !== "guest_errors") return;
      if (guestErrors.length === MAX_GUEST_ERRORS) guestErrors.shift();
      guestErrors.push(line);
    },
  };
  const disks = new Map<string, OverlayBlock>();
  // The base is everybody's: closing an overlay must leave it open.
  if (base !== undefined) disks.set(DISK, new OverlayBlock({ ...viewOf(base), close() {} }));
  const drives = new Map([...disks].map(([id, disk]) => [id, new Drive(id, disk)]));
  if (files !== undefined) drives.set(FILES, new Drive(FILES, new RawBlock(new MemoryStore(files, true))));
  const net = network ? await RenewedNet.open() : undefined;
  const machine = createMachine(
    config,
    {
      ...host,
      // The hour too is the same in every run.
      ...(config.icount === undefined ? {} : { wallClock: () => START_OF_TIME }),
      log,
      serials: [console],
      chardevs: new Map([[console.id, console]]),
      drives,
      netdevs: new Map<string, NetBackend>(net === undefined ? [] : [[NET, net]]),
      placed,
      modules,
    },
    [virtBoard],
  );
  return {
    machine,
    console,
    disks,
    guestErrors,
    ...(net === undefined ? {} : { reconnect: () => net.renew() }),
    close() {
      machine.close();
      net?.close();
      for (const disk of disks.values()) disk.close();
    },
  };
}

function viewOf(disk: BlockBackend): Omit<BlockBackend, "close"> {
  return {
    size: disk.size,
    readOnly: true,
    synchronous: disk.synchronous,
    read: (offset, into) => disk.read(offset, into),
    write: (offset, bytes) => disk.write(offset, bytes),
    flush: () => {},
  };
}

/** A user-mode network that can begin anew under a card that stays. */
class RenewedNet implements NetBackend {
  readonly id = NET;
  #inner: NetBackend;
  #client: NetClient | undefined;

  private constructor(inner: NetBackend) {
    this.#inner = inner;
  }

  static async open(): Promise<RenewedNet> {
    return new RenewedNet(await openNet());
  }

  async renew(): Promise<void> {
    this.#inner.close();
    this.#inner = await openNet();
    if (this.#client !== undefined) this.#inner.attach(this.#client);
  }

  attach(client: NetClient): void {
    this.#client = client;
    this.#inner.attach(client);
  }

  transmit(frame: Uint8Array): void {
    this.#inner.transmit(frame);
  }

  resume(): void {
    this.#inner.resume();
  }

  close(): void {
    this.#inner.close();
  }
}

async function openNet(): Promise<NetBackend> {
  const [{ UserNet }, { nodeNetHost }] = await Promise.all([
    import("../backend/net/user-net.ts"),
    import("./host-sockets.ts"),
  ]);
  return UserNet.open(parseUserNetOptions([["id", NET]]), nodeNetHost());
}

function guestImages(): BootImages {
  const guest = findGuest(process.env);
  if (guest !== undefined) return guest;
  throw new UserError("boot: there is no Linux guest here: obtain it with node scripts/guest.mjs, or give images");
}

/** `virt,name=value,...`: the machine checks the names. */
function machineOf(board: string): MachineConfig["machine"] {
  const [type = "", ...rest] = board.split(",");
  const properties = rest.map((part) => {
    const [name, value = "on"] = part.split("=");
    return [name!, value] as const;
  });
  return { type, properties: Object.fromEntries(properties) };
}

function memoryOf(memory: number | string = DEFAULT_MEMORY): number {
  const size = typeof memory === "number" ? memory : Number(parseSize(memory, "M") ?? NaN);
  if (Number.isSafeInteger(size) && size > 0) return size;
  throw new UserError(`boot: memory: ${memory} is no size: expected bytes, or text such as "256M"`);
}

function shiftOf(icount: number): number {
  if (Number.isInteger(icount) && icount >= 0 && icount <= MAX_SHIFT) return icount;
  throw new UserError(`boot: icount: ${icount} is no shift: expected a whole number from 0 to ${MAX_SHIFT}`);
}
