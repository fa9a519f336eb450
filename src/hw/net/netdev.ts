// Which network cards have their cable in which network: each network takes one.

import type { NetBackend } from "../../backend/net.ts";
import { UserError } from "../../util/user-error.ts";

const users = new WeakMap<NetBackend, string>();

/**
 * Notes that a card uses `net`.
 * @param user the card, as the user knows it
 * @throws UserError if another one does
 */
export function claimNetdev(net: NetBackend, user: string): void {
  const other = users.get(net);
  if (other !== undefined) {
    throw new UserError(
      `${user}: the netdev "${net.id}" is in use by ${other} already: give each card a -netdev of its own`,
    );
  }
  users.set(net, user);
}

/** Takes the cable out. */
export function releaseNetdev(net: NetBackend): void {
  users.delete(net);
}
