// Options for disks: -drive and its short forms.

import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import { isHelp, OptionValues, splitKeyValues } from "../key-values.ts";
import type { Draft, DriveDraft } from "./draft.ts";

/** QEMU's names for what a drive plugs into that the virt board does not have. */
const MISSING_INTERFACES = ["floppy", "ide", "mtd", "scsi", "sd", "xen"];

/** Image formats of QEMU that are not read yet. */
const LATER_FORMATS = ["luks", "qcow", "qcow2", "qed", "vdi", "vhdx", "vmdk", "vpc"];

/** Keys of QEMU's that change what the guest or the image sees, so that they cannot be taken and forgotten. */
const LATER_KEYS = [
  ...["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "iops_size", "group"],
  ...["bps_max", "bps_rd_max", "bps_wr_max", "iops_max", "iops_rd_max", "iops_wr_max"],
  ...["driver", "node-name", "copy-on-read", "backing", "encrypt.key-secret", "unit", "bus"],
];

export function drive(draft: Draft, value: string, where: string): void {
  if (isHelp(value)) {
    draft.help ??= { kind: "drives" };
    return;
  }
  // A short form only fills in what -drive would say, so its drives go through the same checks.
  addDrive(draft, new OptionValues(where, splitKeyValues(value, undefined, ["readonly", "snapshot"])));
}

/** `-hda` to `-hdd`, `-cdrom` and an image without an option: a drive for whatever the board's usual interface is. */
export function disk(index: number, media: "disk" | "cdrom" = "disk"): typeof drive {
  return (draft, value, where) => {
    const values = [
      { key: "file", value },
      { key: "index", value: String(index) },
      { key: "media", value: media },
    ];
    addDrive(draft, new OptionValues(where, values));
  };
}

export function snapshot(draft: Draft): void {
  draft.snapshot = true;
}

function addDrive(draft: Draft, option: OptionValues): void {
  const { where } = option;
  const path = option.text("file");
  const format = readFormat(draft, option);
  if (draft.help !== undefined && format === undefined) return;
  const driveInterface = readInterface(option);
  const media = option.oneOf("media", ["disk", "cdrom"]);
  const readOnly = option.bool("readonly") ?? option.bool("read-only") ?? media === "cdrom";
  const snapshotHere = option.bool("snapshot") ?? false;
  const cache = option.oneOf("cache", ["writeback", "none", "writethrough", "directsync", "unsafe"]) ?? "writeback";
  // How the host does its input and output is its own affair here.
  option.oneOf("aio", ["threads", "native", "io_uring"]);
  option.oneOf("discard", ["ignore", "off", "unmap", "on"]);
  option.oneOf("detect-zeroes", ["on", "off", "unmap"]);
  checkErrorAction(option, "rerror", ["ignore", "report", "stop"]);
  checkErrorAction(option, "werror", ["enospc", "ignore", "report", "stop"]);
  const givenIndex = option.integer("index", 0, 65535);
  const givenId = option.id();
  option.notYet(...LATER_KEYS);
  option.finish();

  const siblings = draft.drives.filter((other) => other.interface === driveInterface);
  const taken = new Set(siblings.map((other) => other.index));
  if (givenIndex !== undefined && taken.has(givenIndex)) {
    throw option.error(`there is another drive with if=${driveInterface} and index=${givenIndex}`);
  }
  let index = givenIndex ?? 0;
  if (givenIndex === undefined) while (taken.has(index)) index++;
  const id = givenId ?? `${driveInterface}${index}`;
  if (draft.drives.some((other) => other.id === id)) throw option.error(`there is another drive with id=${id}`);

  const common = { id, interface: driveInterface, index, readOnly, snapshot: snapshotHere, cache, where };
  const entry: DriveDraft =
    path === undefined || path === "" ? { ...common, format: "auto" } : { ...common, path, format: format ?? "auto" };
  draft.drives.push(entry);
  if (driveInterface === "virtio") {
    draft.devices.push({ type: "virtio-blk-device", properties: { drive: id }, where });
  }
}

function readFormat(draft: Draft, option: OptionValues): DriveDraft["format"] | undefined {
  const format = option.text("format");
  if (format === undefined || format === "raw") return format;
  if (isHelp(format)) {
    draft.help ??= { kind: "drives" };
    return undefined;
  }
  if (LATER_FORMATS.includes(format)) {
    throw option.error(`format=${format}: not in Plantain yet: "qemu-img convert -O raw" makes a raw image of it`);
  }
  throw option.error(`format=${format}: expected raw${didYouMean(format, ["raw", ...LATER_FORMATS])}`);
}

function readInterface(option: OptionValues): DriveDraft["interface"] {
  const name = option.text("if") ?? "none";
  if (name === "none" || name === "virtio") return name;
  if (name === "pflash") throw option.error("if=pflash: not in Plantain yet");
  if (MISSING_INTERFACES.includes(name))
    throw option.error(`if=${name}: the virt board has none: expected none or virtio`);
  throw option.error(`if=${name}: expected none or virtio${didYouMean(name, ["none", "virtio"])}`);
}

/** Errors of the host are always reported to the guest; `enospc` and `report` ask for nothing else. */
function checkErrorAction(option: OptionValues, key: string, actions: readonly string[]): void {
  const action = option.oneOf(key, [...actions, "auto"]);
  if (action === "stop" || action === "ignore") {
    throw new UserError(`${option.where}: ${key}=${action}: not in Plantain yet: errors are reported to the guest`);
  }
}
