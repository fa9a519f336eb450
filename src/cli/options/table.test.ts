// The table of options against its readers: QEMU's own list, and the user's page.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { GROUPS, LATER_OPTIONS, OPTIONS } from "./table.ts";

const QEMU = "qemu-system-riscv64";
const qemuHelp = spawnSync(QEMU, ["-help"], { encoding: "utf8" }).stdout ?? "";
const names = OPTIONS.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));

test("no name stands for two options", () => {
  const all = [...names, ...LATER_OPTIONS];
  expect(all.filter((name, i) => all.indexOf(name) !== i)).toEqual([]);
});

test("every group has options", () => {
  expect(GROUPS.filter((group) => !OPTIONS.some((option) => option.group === group))).toEqual([]);
});

describe.skipIf(!qemuHelp.includes("version 7.2"))("against QEMU 7.2 (needs qemu-system-riscv64)", () => {
  test("every option of QEMU's is here or known to be missing", () => {
    const theirs = [...qemuHelp.matchAll(/^--?([A-Za-z][\w-]*(?:\/-[\w-]+)*)/gm)].flatMap(([, name]) =>
      name!.split("/-"),
    );
    expect(theirs.length).toBeGreaterThan(100);
    expect(theirs.filter((name) => !names.includes(name) && !LATER_OPTIONS.includes(name))).toEqual([]);
  });
});

describe("docs/command-line.md", () => {
  const page = readFileSync(new URL("../../../docs/command-line.md", import.meta.url), "utf8");

  test.each(OPTIONS)("tells of -$name", ({ name, alias, argument }) => {
    const heading = `-${name}${argument === undefined ? "" : ` ${argument}`}`;
    expect(page).toContain(`### \`${alias === undefined ? heading : `-${alias}\`, \`${heading}`}\`\n`);
  });

  test("tells of nothing else", () => {
    const told = [...page.matchAll(/^### .*`-([\w-]+)[^`]*`$/gm)].map(([, name]) => name);
    expect(told.toSorted()).toEqual(OPTIONS.map((option) => option.name).toSorted());
  });

  test("lists what is not here yet", () => {
    const [, later = ""] = page.split("## Not here yet\n");
    expect([...later.matchAll(/`-([\w-]+)`/g)].map(([, name]) => name).toSorted()).toEqual(
      [...LATER_OPTIONS].toSorted(),
    );
  });
});
