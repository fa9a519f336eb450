// The bundle that set-up makes, in a copy of the checkout: scripts/bundle.mjs, and the command that starts from it.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** A guest that switches the machine off at once: li t0, 0x100000; li t1, 0x5555; sw t1, 0(t0); j . */
const OFF = new Uint32Array([0x001002b7, 0x00005337, 0x55530313, 0x0062a023, 0x0000006f]);

const DEVICE = (body: string) => `
import { defineDevice } from "plantain/device";
export const thing = defineDevice({ type: "thing", description: "a thing", compatible: "acme,thing", mmio: { size: 0x100, ${body} } });
`;

let folder: string;
let bundles: string;

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-bundle-")));
  bundles = join(folder, ".cache", "bundle");
  for (const part of ["bin", "scripts", "src", "package.json"]) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"), "junction");
  writeFileSync(join(folder, "off.bin"), OFF);
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(command: string, words: readonly string[], env: Record<string, string> = {}) {
  // Not the compile cache of these tests.
  const { NODE_COMPILE_CACHE: _, ...others } = process.env;
  const { status, stdout, stderr } = spawnSync(command, words, {
    cwd: folder,
    encoding: "utf8",
    env: { ...others, NO_COLOR: "1", ...env },
  });
  return { status, stdout, stderr };
}
const plantain = (...words: string[]) => run(join(folder, "bin", "plantain"), words);
const MACHINE = ["-M", "virt", "-bios", "none", "-kernel", "off.bin", "-nographic"];
const makeBundle = () => run(process.execPath, [join(folder, "scripts", "bundle.mjs")]);
const current = (): string => JSON.parse(readFileSync(join(bundles, "current.json"), "utf8")).name;
const GOOD = { status: 0, stdout: "", stderr: "" };

/** Where a device's file that the command loads finds "plantain/device". */
function kit(): string {
  writeFileSync(join(folder, "where.ts"), 'throw new Error(import.meta.resolve("plantain/device"));');
  return /threw Error: (?:file:\/\/)?(\S+)/.exec(plantain(...MACHINE, "-device", "./where.ts").stderr)![1]!;
}

test("two at once make it, and nothing half made stays", async () => {
  const program = [join(folder, "scripts", "bundle.mjs")];
  const both = [0, 1].map(() => spawn(process.execPath, program, { stdio: ["ignore", "inherit", "inherit"] }));
  expect(await Promise.all(both.map((child) => once(child, "exit")))).toEqual([
    [0, null],
    [0, null],
  ]);
  expect(readdirSync(bundles).sort()).toEqual([current(), "current.json"].sort());
  expect(kit()).toBe(join(bundles, current(), "device.mjs"));
  expect(plantain(...MACHINE)).toEqual(GOOD);
  // Compiled functions of what most starts need; a warm-up that failed has none.
  const kept = readdirSync(join(bundles, current())).filter((file) => file.endsWith(".v8"));
  expect(kept.map((file) => /^[a-z-]+?(?=-[\w-]{8}\.|\.)/.exec(file)![0]).sort()).toEqual(
    expect.arrayContaining(["command", "jit-worker", "main", "user-net"]),
  );
  expect(plantain("--version").stdout).toMatch(/^Plantain emulator version \d/);
});

test("a user's files share the kit with the command, and mistakes in them are told as ever", () => {
  writeFileSync(join(folder, "thing.ts"), DEVICE("read: () => 1"));
  expect(plantain(...MACHINE, "-M", "virt,dumpdtb=out.dtb", "-device", "./thing.ts")).toEqual(GOOD);
  expect(readFileSync(join(folder, "out.dtb"), "latin1")).toContain("acme,thing");
  writeFileSync(
    join(folder, "plantain.config.ts"),
    'import { defineConfig } from "plantain/config";\nimport "plantain/testing";\nimport "plantain/trace";\nexport default defineConfig({ bios: "none", kernel: "off.bin", devices: [{ device: "./thing.ts" }] });\n',
  );
  expect(plantain()).toEqual(GOOD);

  writeFileSync(join(folder, "thing.ts"), DEVICE("raed: () => 1"));
  expect(plantain(...MACHINE, "-device", "./thing.ts")).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^plantain: -device \.\/thing\.ts: [^\n]+ \(\S+thing\.ts:3:\d+\)\n$/),
  });
  writeFileSync(join(folder, "thing.ts"), 'import { defineDevise } from "plantain/device";');
  expect(plantain(...MACHINE, "-device", "./thing.ts").stderr).toContain(
    "The requested module 'plantain/device' does not provide an export named 'defineDevise'",
  );
});

test("a bug's stack names lines of the sources", () => {
  const line = readFileSync(join(folder, "src", "riscv", "engine.ts"), "utf8")
    .split("\n")
    .findIndex((text) => text.includes("new WebAssembly.Memory("));
  writeFileSync(
    join(folder, "bug.cjs"),
    'WebAssembly.Memory = class { constructor() { throw new TypeError("a bug"); } };\n',
  );
  const { stderr, status } = run(process.execPath, [
    "--require",
    join(folder, "bug.cjs"),
    join(folder, "bin", "launch.cjs"),
    ...MACHINE,
  ]);
  expect(status).toBe(70);
  expect(stderr).toContain(`    at new Engine (${join(folder, "src", "riscv", "engine.ts")}:${line + 1}:`);
});

test("what engines generate is kept, and made anew where it is damaged", () => {
  const engines = join(bundles, current(), "engines");
  const before = readdirSync(engines);
  expect(plantain(...MACHINE, "-m", "77")).toEqual(GOOD);
  const [added, ...others] = readdirSync(engines).filter((file) => !before.includes(file));
  // Two sizes of RAM may share a place.
  expect(others).toEqual([]);
  const path = join(engines, added ?? before[0]!);
  const { length } = readFileSync(path);
  truncateSync(path, length - 100);
  expect(plantain(...MACHINE, "-m", "77")).toEqual(GOOD);
  expect(readFileSync(path).length).toBe(length);
});

test("after an edit the sources run until there is another bundle; the old one stays for those who run it", () => {
  const first = current();
  appendFileSync(join(folder, "src", "cli", "main.ts"), '\nprocess.stderr.write("edited\\n");\n');
  expect(plantain(...MACHINE)).toEqual({ ...GOOD, stderr: "edited\n" });
  expect(kit()).toBe(join(folder, "src", "device", "index.ts"));
  expect(makeBundle()).toEqual(GOOD);
  expect(current()).not.toBe(first);
  expect(plantain(...MACHINE)).toEqual({ ...GOOD, stderr: "edited\n" });
  expect(kit()).toBe(join(bundles, current(), "device.mjs"));

  const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);
  const second = current();
  expect(existsSync(join(bundles, first))).toBe(true);
  for (const old of [first, second]) utimesSync(join(bundles, old), yesterday, yesterday);
  appendFileSync(join(folder, "src", "cli", "main.ts"), "void 0;\n");
  expect(makeBundle()).toEqual(GOOD);
  expect(existsSync(join(bundles, first))).toBe(false);
  // It was made a day ago, but in use until now.
  expect(existsSync(join(bundles, second))).toBe(true);
});

test("where there is no room for it one line says so, and the sources run", () => {
  rmSync(join(folder, ".cache"), { recursive: true });
  writeFileSync(join(folder, ".cache"), "");
  const { status, stderr } = makeBundle();
  expect(status).toBe(0);
  expect(stderr).toMatch(/^No bundle of Plantain here, so that each start takes longer: [^\n]+\n$/);
  expect(plantain(...MACHINE)).toEqual({ ...GOOD, stderr: "edited\n" });
});

test("the published package has one, and no sources", () => {
  const dist = join(folder, "dist", "bundle");
  expect(run(process.execPath, [join(folder, "scripts", "bundle.mjs"), "dist"])).toEqual(GOOD);
  rmSync(join(folder, "src"), { recursive: true });
  const { name, sources } = JSON.parse(readFileSync(join(dist, "current.json"), "utf8"));
  expect(sources).toBeUndefined();
  expect(kit()).toBe(join(dist, name, "device.mjs"));
  expect(plantain(...MACHINE)).toEqual({ ...GOOD, stderr: "edited\n" });
});
