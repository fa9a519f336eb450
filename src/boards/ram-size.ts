// The check of `-m`.

import { UserError } from "../util/user-error.ts";
import { formatSize } from "./loader/message-format.ts";

const PAGE_SIZE = 4096;

/** @throws UserError unless `size` bytes of RAM are possible; `max` is the most. */
export function checkRamSize(size: number, max: number): void {
  if (Number.isInteger(size) && size >= PAGE_SIZE && size <= max && size % PAGE_SIZE === 0) return;
  const problem =
    size > max ? "more than this machine can have" : size % PAGE_SIZE === 0 ? "not enough" : "not whole pages of 4 KiB";
  throw new UserError(
    `-m: ${formatSize(size)} of RAM are ${problem}: expected a multiple of 4K up to ${formatSize(max)}, such as -m 512M`,
  );
}
