// The guest as words of a command line, as `npm start` and configurations with `guest` boot it.

import type { Guest } from "./guest.ts";
import { FILES_SERIAL } from "./recipe.ts";

/**
 * Boots the guest: its disk stays as it is, and it has a network. The names of disk and network are `guest-...`.
 *
 * @param append what is added to its kernel command line
 */
export function guestWords(guest: Guest, append?: string): string[] {
  return [
    ...["-bios", guest.firmware, "-kernel", guest.kernel, "-initrd", guest.initrd],
    ...["-append", append === undefined ? guest.append : `${guest.append} ${append}`],
    ...["-drive", `file=${quoteCommas(guest.disk)},format=raw,id=guest-disk,snapshot=on`],
    ...["-device", "virtio-blk-device,drive=guest-disk"],
    ...["-netdev", "user,id=guest-net", "-device", "virtio-net-device,netdev=guest-net"],
  ];
}

/** The disk with files for the guest, from an archive that `packFiles` made. */
export function filesWords(archive: string): string[] {
  return [
    ...["-drive", `file=${quoteCommas(archive)},format=raw,id=guest-files,readonly=on`],
    ...["-device", `virtio-blk-device,drive=guest-files,serial=${FILES_SERIAL}`],
  ];
}

/** A comma in an option's value is written twice. */
function quoteCommas(path: string): string {
  return path.replaceAll(",", ",,");
}
