// Taking over saved arrays: a snapshot of another configuration must be refused, not half loaded.

import { UserError } from "../util/user-error.ts";

/**
 * Copies a saved array into the device's own.
 * @throws UserError if it is of another kind or length
 */
export function loadArray<T extends Uint8Array | Uint32Array>(into: T, saved: T, name: string): void {
  if (saved?.constructor !== into.constructor || saved.length !== into.length) {
    throw new UserError(`its ${name} should be ${into.constructor.name} of length ${into.length}`);
  }
  into.set(saved);
}
