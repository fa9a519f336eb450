// From what the options said to a whole MachineConfig: defaults where nothing was said, and the checks that need to
// see more than one option.

import {
  type ChardevConfig,
  type DeviceConfig,
  type DriveConfig,
  defaultConfig,
  type MachineConfig,
} from "../machine/config.ts";
import { isReference, type PropertyInfo, type ReferenceKind } from "../qom/property.ts";
import { propertiesOf } from "../qom/type-info.ts";
import { didYouMean } from "../util/nearest.ts";
import { UserError } from "../util/user-error.ts";
import { type Catalog, type CatalogBoard, findBoard, findCpu, findDevice, findProperty } from "./catalog.ts";
import { readBool } from "./key-values.ts";
import type { Draft, TypeDraft } from "./options/draft.ts";
import { chooseAccelerator } from "./options/machine.ts";

/** Properties of QEMU's machines that are not here yet. */
const LATER_MACHINE_PROPERTIES = [
  ...["aclint", "aia", "aia-guests", "boot", "confidential-guest-support", "dt-compatible", "memory", "memory-backend"],
  ...["memory-encryption", "phandle-start", "smp"],
];

/** Properties of QEMU's harts that are not here yet. */
const LATER_CPU_PROPERTIES = [
  ...["cbom_blocksize", "cboz_blocksize", "h", "mmu", "pmp", "priv_spec", "sv39", "sv48", "sv57", "sv64", "svvptc"],
  ...["v", "elen", "vlen", "vext_spec", "zca", "zcb", "zfa", "zfhmin", "zvbb", "zkn", "zks", "zkr", "zkt", "marchid"],
];

/** Properties of QEMU's machines that make no difference to a guest of this board. */
const WITHOUT_EFFECT = ["dump-guest-core", "graphics", "mem-merge", "suppress-vmdesc", "usb"];

/**
 * Completes and checks a draft. Adds to its warnings.
 * @throws UserError for what does not fit together or does not exist
 */
export function finishConfig(draft: Draft, catalog: Catalog): MachineConfig {
  takeMachineProperties(draft);
  const board = findBoard(catalog, draft.machine.type ?? defaultConfig.machine.type, draft.machine.where);
  const machine = {
    type: board.name,
    properties: checkedProperties(draft.machine, `machine ${board.name}`, board.properties, LATER_MACHINE_PROPERTIES),
  };
  const cpuInfo = findCpu(catalog, draft.cpu.type ?? defaultConfig.cpu.type, draft.cpu.where);
  const cpu = {
    type: cpuInfo.name,
    properties: checkedProperties(draft.cpu, `hart type ${cpuInfo.name}`, cpuInfo.properties, LATER_CPU_PROPERTIES),
  };

  const smp = draft.smp ?? defaultConfig.smp;
  if (smp.cpus > board.maxHarts) {
    const where = draft.where.get("smp") ?? "-smp";
    throw new UserError(`${where}: the ${board.name} board has room for ${board.maxHarts} harts, not for ${smp.cpus}`);
  }
  for (const name of ["initrd", "append"] as const) {
    if (draft[name] !== undefined && draft.kernel === undefined) {
      throw new UserError(`${draft.where.get(name) ?? `-${name}`}: this is for a kernel: expected -kernel FILE too`);
    }
  }

  const serials = connectConsole(draft, board);
  const users = new References(draft);
  for (const line of draft.serials) if (line.chardev !== undefined) users.use("chardev", line.chardev, line.where);
  for (const device of draft.devices) checkDevice(device, board, users);
  checkGlobals(draft, board);
  warnOfUnused(draft, users);
  if (draft.watch && draft.deviceFiles.length === 0) {
    throw new UserError("-watch: there is no device of a file to watch: expected -device ./my-device.ts too");
  }

  const { firmware, kernel, initrd, append, dtb, dumpDtb } = draft;
  return {
    machine,
    cpu,
    smp,
    memory: draft.memory ?? defaultConfig.memory,
    firmware: firmware ?? defaultConfig.firmware,
    dataPaths: draft.dataPaths,
    ...(kernel === undefined ? {} : { kernel }),
    ...(initrd === undefined ? {} : { initrd }),
    ...(append === undefined ? {} : { append }),
    ...(dtb === undefined ? {} : { dtb }),
    ...(dumpDtb === undefined ? {} : { dumpDtb }),
    drives: draft.drives.map(
      ({ interface: _interface, index: _index, ...drive }): DriveConfig => ({
        ...drive,
        snapshot: drive.snapshot || draft.snapshot,
      }),
    ),
    devices: draft.devices,
    deviceFiles: draft.deviceFiles,
    watch: draft.watch,
    traces: draft.traces,
    netdevs: draft.netdevs,
    chardevs: draft.chardevs,
    serials,
    rngs: draft.rngs,
    globals: draft.globals,
    fwCfg: draft.fwCfg,
    rtcBase: draft.rtcBase ?? defaultConfig.rtcBase,
    rebootAction: draft.rebootAction ?? defaultConfig.rebootAction,
    shutdownAction: draft.shutdownAction ?? defaultConfig.shutdownAction,
    accel: draft.accel ?? defaultConfig.accel,
    ...(draft.icount === undefined ? {} : { icount: draft.icount }),
    log: { items: [...draft.logItems], ...(draft.logPath === undefined ? {} : { path: draft.logPath }) },
    escapeCharacter: draft.escapeCharacter ?? defaultConfig.escapeCharacter,
  };
}

/** Machine properties that are other options by another name, as in QEMU: `-M virt,kernel=Image,dumpdtb=virt.dtb`. */
function takeMachineProperties(draft: Draft): void {
  const { properties } = draft.machine;
  const take = (name: string, use: (value: string, where: string) => void) => {
    const given = properties.get(name);
    if (given === undefined) return;
    properties.delete(name);
    if (given.value === "") throw new UserError(`${given.where}: ${name}= is empty`);
    use(given.value, given.where);
  };
  take("accel", (value, where) => {
    draft.accel = chooseAccelerator(value, where);
  });
  take("dumpdtb", (value) => {
    draft.dumpDtb = value;
  });
  take("firmware", (value) => {
    draft.firmware ??= { kind: "file", path: value };
  });
  for (const name of ["kernel", "initrd", "append", "dtb"] as const) {
    take(name, (value) => {
      draft[name] ??= value;
    });
  }
  for (const name of WITHOUT_EFFECT) properties.delete(name);
}

/** The properties as text, each one known to its owner. QEMU writes some extensions with a capital, `Zfh`: taken too. */
function checkedProperties(
  draft: TypeDraft,
  owner: string,
  known: Readonly<Record<string, PropertyInfo>>,
  later: readonly string[],
): Record<string, string> {
  const map = new Map(Object.entries(known));
  const checked: Record<string, string> = {};
  for (const [given, { value, where }] of draft.properties) {
    const name = map.has(given) ? given : given.toLowerCase();
    if (!map.has(name) && later.includes(given)) {
      throw new UserError(`${where}: the property ${given} is not in Plantain yet`);
    }
    const property = findProperty(owner, map, name, where);
    if (property.type === "bool" && readBool(value) === undefined) {
      throw new UserError(`${where}: ${given}=${value}: expected on or off`);
    }
    checked[name] = value;
  }
  return checked;
}

/**
 * Gives the first serial port its usual end where the user named none, by QEMU's rules. There is no window that could
 * hold a console, so without any word of one it is on the terminal, as with -nographic.
 */
function connectConsole(draft: Draft, board: CatalogBoard): (string | undefined)[] {
  const terminalIsTaken = draft.chardevs.some((chardev) => chardev.target.type === "stdio");
  if (draft.serials.length === 0 && !draft.nodefaults) {
    if (draft.nographic || (!draft.display && !terminalIsTaken)) {
      const other = draft.chardevs.find((chardev) => chardev.target.type === "stdio");
      if (other !== undefined) {
        throw new UserError(
          `-nographic: the terminal is in use already by ${other.where}: add -serial chardev:${other.id}`,
        );
      }
      // Without a monitor on it nothing shares the terminal, and Ctrl-C is Plantain's.
      const mux = draft.monitors.length === 0;
      const where = draft.nographic ? "-nographic" : "the console";
      const console: ChardevConfig = {
        id: "serial0",
        target: { type: "stdio", signal: !mux },
        mux,
        logAppend: false,
        where,
      };
      if (draft.chardevs.some((chardev) => chardev.id === console.id)) {
        throw new UserError(
          `-chardev ...,id=serial0: the console has this name: expected another id, or -serial chardev:serial0`,
        );
      }
      draft.chardevs.push(console);
      draft.serials.push({ where, chardev: console.id });
    }
  }
  for (const [n, line] of draft.serials.entries()) {
    if (n >= board.serialPorts && line.chardev !== undefined) {
      draft.warnings.push(
        `${line.where}: the ${board.name} board has ${board.serialPorts} serial port(s): this one leads nowhere`,
      );
    }
  }
  return draft.serials.slice(0, board.serialPorts).map((line) => line.chardev);
}

/** Who uses which drive, network and chardev. */
class References {
  readonly #ids: Record<ReferenceKind, readonly string[]>;
  /** Chardevs that may have several users. */
  readonly #shared: ReadonlySet<string>;
  /** Drives without a file. */
  readonly #empty: ReadonlySet<string>;
  readonly #users = new Map<string, string>();

  constructor(draft: Draft) {
    const idsOf = (list: readonly { readonly id?: string }[]) =>
      list.flatMap(({ id }) => (id === undefined ? [] : [id]));
    this.#ids = {
      drive: idsOf(draft.drives),
      netdev: idsOf(draft.netdevs),
      chardev: idsOf(draft.chardevs),
      link: [...idsOf(draft.rngs), ...idsOf(draft.devices)],
    };
    this.#empty = new Set(idsOf(draft.drives.filter((drive) => drive.path === undefined)));
    this.#shared = new Set(idsOf(draft.chardevs.filter((chardev) => chardev.mux)));
  }

  /** Notes a use. @throws UserError if there is no such thing or somebody has it already */
  use(kind: ReferenceKind, id: string, where: string): void {
    const ids = this.#ids[kind];
    if (!ids.includes(id)) {
      const advice =
        didYouMean(id, ids) ||
        (ids.length > 0 ? ` (there is ${ids.join(", ")})` : `: ${INTRODUCED_BY[kind]} would make one`);
      throw new UserError(`${where}: there is no ${NOUNS[kind]} "${id}"${advice}`);
    }
    const user = this.userOf(kind, id);
    if (user !== undefined && kind !== "link" && !(kind === "chardev" && this.#shared.has(id))) {
      const advice = kind === "chardev" ? "share it with mux=on" : `give each device a ${NOUNS[kind]} of its own`;
      throw new UserError(`${where}: the ${NOUNS[kind]} "${id}" is in use already by ${user}: ${advice}`);
    }
    if (kind === "drive" && this.#empty.has(id)) {
      throw new UserError(`${where}: the drive "${id}" has no file: expected -drive file=FILE,id=${id}`);
    }
    this.#users.set(`${kind} ${id}`, where);
  }

  userOf(kind: ReferenceKind, id: string): string | undefined {
    return this.#users.get(`${kind} ${id}`);
  }
}

const NOUNS: Record<ReferenceKind, string> = {
  drive: "drive",
  netdev: "network",
  chardev: "character device",
  link: "object",
};

const INTRODUCED_BY: Record<ReferenceKind, string> = {
  drive: "-drive file=FILE,id=ID",
  netdev: "-netdev user,id=ID",
  chardev: "-chardev TYPE,id=ID",
  link: "-object TYPE,id=ID",
};

function checkDevice(device: DeviceConfig, board: CatalogBoard, users: References): void {
  const type = findDevice(board, device.type, device.where);
  const known = propertiesOf(type);
  for (const [name, value] of Object.entries(device.properties)) {
    // Where it sits is the board's affair.
    if (name === "bus") continue;
    const property = findProperty(type.name, known, name, device.where);
    if (isReference(property.type) && value !== "") users.use(property.type, value, device.where);
  }
}

function checkGlobals(draft: Draft, board: CatalogBoard): void {
  for (const { driver, property, where } of draft.globals) {
    const type = board.selects.find((candidate) => candidate.name === driver);
    if (type !== undefined) findProperty(driver, propertiesOf(type), property, where);
    else {
      const names = board.selects.map((candidate) => candidate.name);
      draft.warnings.push(`${where}: there is no type "${driver}"${didYouMean(driver, names)}: nothing changes`);
    }
  }
}

function warnOfUnused(draft: Draft, users: References): void {
  for (const { id, path, where } of draft.drives) {
    if (path !== undefined && users.userOf("drive", id) === undefined) {
      draft.warnings.push(
        `${where}: no device uses this drive: -device virtio-blk-device,drive=${id} shows it to the guest`,
      );
    }
  }
  for (const { id, where } of draft.netdevs) {
    if (users.userOf("netdev", id) === undefined) {
      draft.warnings.push(`${where}: no card uses this network: -device virtio-net-device,netdev=${id} adds one`);
    }
  }
}
