// Tells whole-machine tests where the Linux guest is; where it is not, they are skipped, and their titles say why.

import { describe } from "vitest";
import { findGuest, type Guest } from "../src/node/guest/guest.ts";

const found = findGuest(process.env);
const reason = process.env["PLANTAIN_NO_GUEST"] ?? "node scripts/guest.mjs obtains it";

/** Stands for the guest while the titles of skipped tests are collected. */
const absent: Guest = {
  firmware: "",
  firmwareBinary: "",
  kernel: "",
  initrd: "",
  disk: "",
  append: "",
  kernelRelease: "",
};

/** Like `describe`, for tests that boot the guest: skipped by name where there is none. */
export function describeWithGuest(title: string, body: (guest: Guest) => void): void {
  const name = found === undefined ? `${title} (no Linux guest: ${reason})` : title;
  describe.skipIf(found === undefined)(name, () => body(found ?? absent));
}
