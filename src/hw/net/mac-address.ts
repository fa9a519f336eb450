// Ethernet addresses of network cards, and which one a card gets when the user gives none.

import { UserError } from "../../util/user-error.ts";

/** The first of the addresses that are handed out, as QEMU does: 52:54:00:12:34:56 and on. */
const FIRST = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/** The addresses in use on each machine. */
const inUse = new WeakMap<object, Set<string>>();

/**
 * The address for a card: the one given, or the first one free on the machine.
 *
 * @param machine what cards with different addresses share: the DeviceHost
 * @param label the option, for the error
 * @param text six hexadecimal bytes with colons between, or nothing
 * @throws UserError if `text` is neither, or no address of a single card
 */
export function claimMac(machine: object, label: string, text: string): Uint8Array {
  let used = inUse.get(machine);
  if (used === undefined) {
    used = new Set();
    inUse.set(machine, used);
  }
  const mac = text === "" ? freeMac(used) : parseMac(label, text);
  used.add(formatMac(mac));
  return mac;
}

/** Gives an address back that `claimMac` gave. */
export function releaseMac(machine: object, mac: Uint8Array): void {
  inUse.get(machine)?.delete(formatMac(mac));
}

function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function freeMac(used: ReadonlySet<string>): Uint8Array {
  for (let n = 0; ; n++) {
    const mac = Uint8Array.from(FIRST);
    mac[4]! += (mac[5]! + n) >> 8;
    mac[5]! += n;
    if (!used.has(formatMac(mac))) return mac;
  }
}

function parseMac(label: string, text: string): Uint8Array {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) {
    throw new UserError(`${label}: "${text}" is no Ethernet address: expected one like 52:54:00:12:34:56`);
  }
  const mac = Uint8Array.from(text.split(/[:-]/), (byte) => Number.parseInt(byte, 16));
  if ((mac[0]! & 1) !== 0) {
    throw new UserError(`${label}: ${text} is a group address: the first byte of a card's own is even`);
  }
  return mac;
}
