// The house's layers, checked: which room of src/ may import from which, and which of them know a host.
// ARCHITECTURE.md describes what this table says.

import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The rooms, each with the rooms that it may import from, itself aside. A room only names rooms above it. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  util: [],
  qom: ["util"],
  fdt: ["util"],
  wasm: ["util"],
  isa: ["util", "wasm"],
  memory: ["util", "qom"],
  backend: ["util"],
  // Harts and devices do not know each other: an interrupt line is a function.
  riscv: ["util", "qom", "wasm", "isa", "memory"],
  jit: ["util", "wasm", "isa", "memory", "riscv"],
  device: ["util", "qom", "fdt", "memory", "backend"],
  hw: ["util", "qom", "fdt", "memory", "backend", "device"],
  boards: ["util", "qom", "fdt", "memory", "backend", "device", "hw"],
  machine: ["util", "qom", "fdt", "wasm", "isa", "memory", "backend", "riscv", "jit", "device", "hw", "boards"],
  trace: ["util", "qom", "memory", "device", "boards", "machine"],
  gdbstub: ["util", "qom", "memory", "backend", "riscv", "device", "machine"],
  monitor: ["util", "qom", "isa", "memory", "backend", "riscv", "device", "boards", "machine", "trace", "gdbstub"],
  testing: ["util", "qom", "fdt", "memory", "backend", "riscv", "device", "hw", "boards", "machine", "trace"],
  // What a plantain.config.ts is written with.
  config: ["util", "device", "backend", "machine"],
  // The hosts: they bring the rest to life and may use all of it.
  node: ["*"],
  browser: ["*"],
  cli: ["*", "node"],
};

const HOSTS = ["node", "browser", "cli"];

/** Rooms that may import Node's own modules. */
const NODE_ROOMS = ["node", "cli"];

/** Packages that a room may import. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  // Its matchers; nothing else of the room needs it.
  testing: ["vitest"],
};

/** Rooms that run a machine in real time; all other rooms know virtual time only. */
const REAL_TIME_ROOMS = ["machine", "trace", "gdbstub", "monitor", "testing", ...HOSTS];

const NODE_GLOBALS = /(?<![.#\w])(?:process\.|Buffer\.|require\(|__dirname\b|__filename\b)/;
const REAL_TIME = /(?<![.#\w])(?:setTimeout|setInterval|setImmediate|performance\.|Date\.|new Date\b|Math\.random)/;

interface Import {
  readonly specifier: string;
  /** Whether it is gone when the code runs. */
  readonly typeOnly: boolean;
}

interface Source {
  /** From the root of the checkout: `src/qom/object.ts`. */
  readonly path: string;
  readonly text: string;
}

const COMMENT = /\/\/.*|\/\*[\s\S]*?\*\//g;
const COMMENT_OR_STRING = /\/\/.*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;

function importsOf(text: string): Import[] {
  const code = text.replaceAll(COMMENT, " ");
  const found: Import[] = [];
  for (const [, keyword, specifier] of code.matchAll(/^\s*((?:import|export)\b[^"'`;]*?\bfrom)\s*["']([^"']+)["']/gm)) {
    found.push({ specifier: specifier!, typeOnly: /^(import|export)\s+type\b/.test(keyword!) });
  }
  for (const [, specifier] of code.matchAll(/^\s*import\s*["']([^"']+)["']/gm)) {
    found.push({ specifier: specifier!, typeOnly: false });
  }
  for (const [, , specifier] of code.matchAll(/\bimport\(\s*(["'`])([^"'`]+)\1/g)) {
    found.push({ specifier: specifier!, typeOnly: false });
  }
  return found;
}

/** The room of a file in src/, undefined for an entry point beside the rooms. */
function roomOf(path: string): string | undefined {
  const parts = path.split("/");
  return parts.length > 2 ? parts[1] : undefined;
}

function mayImport(room: string | undefined, target: string | undefined): boolean {
  if (room === target) return true;
  if (target === undefined) return HOSTS.includes(room ?? "");
  const allowed = room === undefined ? ["*"] : ROOMS[room]!;
  return allowed.includes(target) || (allowed.includes("*") && !HOSTS.includes(target));
}

/** What a file does against the rules, each in one line. */
function violations({ path, text }: Source): string[] {
  const room = roomOf(path);
  if (room !== undefined && ROOMS[room] === undefined) return [`${path}: the room ${room} is not in the table`];
  const found: string[] = [];
  for (const { specifier } of importsOf(text)) {
    const complain = (rule: string) => found.push(`${path} imports ${specifier}: ${rule}`);
    if (specifier.startsWith("node:")) {
      if (room === undefined || !NODE_ROOMS.includes(room))
        complain(`only ${NODE_ROOMS.join(" and ")} may use Node's modules`);
    } else if (!specifier.startsWith(".")) {
      if (room === undefined || !PACKAGES[room]?.includes(specifier)) complain("the package is not in the table");
    } else {
      const target = posix.join(posix.dirname(path), specifier);
      if (!target.startsWith("src/")) complain("it is outside src");
      else if (!/\.(ts|json)$/.test(target)) complain("a relative import names its file, with .ts");
      else if (!mayImport(room, roomOf(target))) complain(`${room ?? "an entry point"} may not import from there`);
      else if (room === "hw" && !mayMeet(path, target))
        complain("devices meet through backend or the virtio core only");
    }
  }
  if (room !== undefined && HOSTS.includes(room)) return found;
  const code = text.replaceAll(COMMENT_OR_STRING, '""');
  const nodeGlobal = NODE_GLOBALS.exec(code);
  if (nodeGlobal !== null) found.push(`${path} uses ${nodeGlobal[0]}: it must run in a browser too`);
  const realTime = REAL_TIME.exec(code);
  if (realTime !== null && !REAL_TIME_ROOMS.includes(room ?? "")) {
    found.push(`${path} uses ${realTime[0]}: time and chance come from the machine`);
  }
  if (/\bimport\((?!\s*"")/.test(code)) found.push(`${path} imports what it computes: only a host may`);
  return found;
}

/** Whether a file in hw/ may import another there: of its own category, of virtio's, or of none. */
function mayMeet(path: string, target: string): boolean {
  if (roomOf(target) !== "hw") return true;
  const [from, to] = [path, target].map((file) => file.split("/").slice(2, -1)[0]);
  return to === undefined || to === from || to === "virtio";
}

/** A circle of imports that are there at run time, if there is one. */
function findCircle(sources: readonly Source[]): string[] | undefined {
  const importsByPath = new Map(
    sources.map(({ path, text }) => [
      path,
      importsOf(text)
        .filter(({ specifier, typeOnly }) => !typeOnly && specifier.startsWith("."))
        .map(({ specifier }) => posix.join(posix.dirname(path), specifier)),
    ]),
  );
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const target of importsByPath.get(path) ?? []) {
      const circle = visit(target, [...trail, path]);
      if (circle !== undefined) return circle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of importsByPath.keys()) {
    const circle = visit(path, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

/** The sources in a folder; those of tests, which may import what they like, left out. */
function sourcesIn(folder: string): Source[] {
  return readdirSync(ROOT + folder, { recursive: true, encoding: "utf8" })
    .map((name) => posix.join(folder, name.replaceAll("\\", "/")))
    .filter(
      (path) => /\.ts$/.test(path) && !/(\.test|\.d|-for-tests)\.ts$/.test(path) && !path.includes("node_modules"),
    )
    .map((path) => ({ path, text: readFileSync(ROOT + path, "utf8") }));
}

describe("src", () => {
  const sources = sourcesIn("src");

  test("every import is one that the table allows, and only hosts know a host", () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(sources.flatMap(violations)).toEqual([]);
  });

  test("no file imports itself in a circle", () => {
    expect(findCircle(sources)).toBeUndefined();
  });
});

test("a room names only rooms above it, so the layers have a bottom", () => {
  const names = Object.keys(ROOMS);
  for (const [room, allowed] of Object.entries(ROOMS)) {
    for (const other of allowed) {
      if (other !== "*") expect([room, other, names.indexOf(other) < names.indexOf(room)]).toEqual([room, other, true]);
    }
  }
});

describe("the check sees", () => {
  const broken: [path: string, text: string, complaint: RegExp][] = [
    ["src/qom/a.ts", 'import { Device } from "../device/device.ts";', /qom may not import from there/],
    ["src/riscv/a.ts", 'import type { Device } from "../device/device.ts";', /riscv may not import/],
    ["src/device/a.ts", 'import {\n  Hart,\n} from "../riscv/hart.ts";', /device may not import/],
    ["src/hw/char/a.ts", 'export * from "../../boards/virt.ts";', /hw may not import/],
    ["src/hw/char/a.ts", 'import { plic } from "../intc/sifive-plic.ts";', /devices meet through/],
    ["src/machine/a.ts", 'const x = await import("../node/tty.ts");', /machine may not import/],
    ["src/node/a.ts", 'import { main } from "../cli/main.ts";', /node may not import/],
    ["src/memory/a.ts", 'import { readFileSync } from "node:fs";', /only node and cli/],
    ["src/browser/a.ts", 'import "node:fs";', /only node and cli/],
    ["src/hw/net/a.ts", 'import pcap from "pcap";', /package is not in the table/],
    ["src/util/a.ts", 'import { b } from "./b";', /names its file/],
    ["src/util/a.ts", 'import { b } from "../../test/b.ts";', /outside src/],
    ["src/attic/a.ts", "", /the room attic is not in the table/],
    ["src/hw/char/a.ts", "const now = Date.now();", /uses Date\.: time and chance/],
    ["src/device/a.ts", "setTimeout(() => {}, 5);", /uses setTimeout/],
    ["src/machine/a.ts", "const args = process.argv;", /uses process\.: it must run in a browser/],
    ["src/device/a.ts", "const device = await import(path);", /imports what it computes/],
  ];
  test.each(broken)("%s: %s", (path, text, complaint) => {
    expect(violations({ path, text })).toEqual([expect.stringMatching(complaint)]);
  });

  test.each([
    ["src/hw/block/a.ts", 'import { Virtqueue } from "../virtio/virtqueue.ts";'],
    ["src/hw/block/a.ts", 'import { loadArray } from "../state.ts";'],
    ["src/cli/a.ts", 'import { tty } from "../node/tty.ts";\nimport { argv } from "node:process";\nDate.now();'],
    ["src/machine/a.ts", "// process.exit\nthis.process.next(); setTimeout(run, 5);"],
    ["src/index.ts", 'export { MemoryRegion } from "./memory/region.ts";'],
  ])("nothing wrong in %s: %s", (path, text) => {
    expect(violations({ path, text })).toEqual([]);
  });

  test("a circle, unless it is one of types", () => {
    const file = (path: string, text: string) => ({ path, text });
    const a = file("src/qom/a.ts", 'import { b } from "./b.ts";');
    const b = file("src/qom/b.ts", 'import { c } from "./c.ts";');
    const c = file("src/qom/c.ts", 'import { a } from "./a.ts";');
    expect(findCircle([a, b, c])).toEqual(["src/qom/a.ts", "src/qom/b.ts", "src/qom/c.ts", "src/qom/a.ts"]);
    expect(findCircle([a, b, file("src/qom/c.ts", 'import type { a } from "./a.ts";')])).toBeUndefined();
  });
});
