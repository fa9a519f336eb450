// The first five minutes, on whole machines: what `npm start` does once the npm packages are there.

import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findCommand } from "../src/node/guest/command.ts";
import { converse } from "./converse.ts";
import { describeWithGuest } from "./guest.ts";

describeWithGuest("npm start with a guest", (guest) => {
  test("boots Linux to a login, where the banana ROM answers and poweroff ends the process", async () => {
    const prompt = /# $/;
    const { output, status } = await converse(
      process.env,
      [],
      [
        [/login: $/, "root"],
        [prompt, "devmem 0x4000000; uname -r; ip route"],
        [prompt, "poweroff"],
      ],
    );
    expect(output).toMatch(/try: devmem 0x4000000\n.*Ctrl-A x quits/);
    expect(output).toContain("\r\n0xBA000001\r\n");
    expect(output).toContain(`\r\n${guest.kernelRelease}\r\n`);
    expect(output).toContain("default via 10.0.2.2 dev eth0");
    expect(status).toBe(0);
  });
});

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-start-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("without apt it says so in one line and boots the monitor, whose faults are told and survived", async () => {
  // What bin/plantain itself uses is there, apt is not.
  symlinkSync(findCommand("readlink", process.env)!, join(folder, "readlink"));
  symlinkSync(process.execPath, join(folder, "node"));
  const env = { PATH: folder, PLANTAIN_CACHE: join(folder, "cache") };
  const lines = [
    "r 4000000",
    "d 4000000 5",
    "r 0",
    "w 80100000 123",
    "rd 80100000",
    "rh 4000002",
    "nonsense",
    "r 0 0",
    "quit",
  ];
  const { output, status } = await converse(
    env,
    [],
    lines.map((line) => [/> $/, line]),
  );
  expect(output).toMatch(/^No Linux guest here: .+\. Booting a small monitor instead, try: r 4000000$/m);
  const answers = output.slice(output.indexOf("> ")).split(/\r?\n/);
  expect(answers).toEqual([
    "> r 4000000",
    "0xBA000001",
    "> d 4000000 5",
    "0000000004000000 01 EF EF EF EF  .....",
    "> r 0",
    expect.stringMatching(/^load access fault at 0000000000000000, pc 00000000800/),
    "> w 80100000 123",
    "> rd 80100000",
    "0x0000000000000123",
    "> rh 4000002",
    "0xBEEF",
    "> nonsense",
    "no such command, help lists them",
    "> r 0 0",
    expect.stringMatching(/^r ADDRESS, w ADDRESS VALUE/),
    "> quit",
    "",
  ]);
  expect(status).toBe(0);
});
