// Tells whole-machine tests where the Linux guest is, and what builds kernel modules for it; where these are not, the tests
// are skipped, and their titles say why.

import { describe } from "vitest";
import { findGuest, type Guest } from "../src/node/guest/guest.ts";
import { findKernelBuild, type KernelBuild } from "../src/node/guest/kernel-build.ts";

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

const build = found === undefined ? undefined : findKernelBuild(process.env, found);
const buildReason = process.env["PLANTAIN_NO_KERNEL_BUILD"] ?? "node scripts/guest.mjs --with headers obtains them";

/** The same for tests that also build a kernel module. */
export function describeWithKernelBuild(title: string, body: (guest: Guest, build: KernelBuild) => void): void {
  const name =
    build === undefined ? `${title} (no kernel headers: ${found === undefined ? reason : buildReason})` : title;
  const absentCommand = () => ({ command: "", args: [], env: {} });
  const absentBuild: KernelBuild = { make: absentCommand, compile: absentCommand };
  describe.skipIf(build === undefined)(name, () => body(found ?? absent, build ?? absentBuild));
}
