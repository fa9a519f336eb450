// bin/plantain and bin/launch.cjs in checkouts and packages made up for the test.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const BIN = fileURLToPath(new URL("../../bin", import.meta.url));

/** A command that tells how it was started, waits for a signal when asked to, and ends with status 7. */
const MAIN = (name: string) => `
const [word]: string[] = process.argv.slice(2);
if (word === "wait") {
  process.on("SIGTERM", () => process.exit(9));
  setInterval(() => {}, 1000);
}
console.log(JSON.stringify({ name: ${JSON.stringify(name)}, words: process.argv.slice(2), cwd: process.cwd(), pid: process.pid }));
if (word === "die") process.kill(process.pid, "SIGKILL");
process.exitCode = 7;
`;

/** Loaded first, it makes a Node look like version 20. */
const OLD = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } });`;

let folder: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-launch-")));
  cpSync(BIN, join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  mkdirSync(join(folder, "src", "cli"), { recursive: true });
  writeFileSync(join(folder, "src", "cli", "main.ts"), MAIN("source"));
  writeFileSync(join(folder, "old.cjs"), OLD);
});

afterEach(() => rmSync(folder, { recursive: true }));

function pinNode(): void {
  mkdirSync(join(folder, "node_modules", ".bin"), { recursive: true });
  symlinkSync(process.execPath, join(folder, "node_modules", ".bin", "node"));
}

function start(command: string, words: readonly string[], env: Record<string, string> = {}) {
  const { stdout, stderr, status, signal, pid } = spawnSync(command, words, {
    encoding: "utf8",
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  return { said: stdout.startsWith("{") ? JSON.parse(stdout) : stdout, stderr, status, signal, pid };
}

describe.each(["plantain", "qemu-system-riscv64"])("bin/%s", (name) => {
  test("becomes the checkout's Node, from any folder and through links", () => {
    pinNode();
    const link = join(folder, "link");
    symlinkSync(join(folder, "bin", name), link);
    const words = ["-append", "a  b", "", "c'd\"e$f"];
    // The PATH has no Node: the checkout's own is the only one.
    const result = start(link, words, { PATH: "/usr/bin:/bin" });
    expect(result).toMatchObject({ status: 7, stderr: "", said: { name: "source", words, cwd: folder } });
    // No process in between: signals reach the command itself.
    expect(result.said.pid).toBe(result.pid);
  });

  test("is JavaScript too", () => {
    const result = start(process.execPath, [join(folder, "bin", name), "x"]);
    expect(result).toMatchObject({ status: 7, stderr: "", said: { name: "source", words: ["x"] } });
    expect(result.said.pid).toBe(result.pid);
  });
});

test("without the checkout's Node the one on the PATH is used", () => {
  const bin = join(folder, "somewhere");
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, "node"));
  expect(start(join(folder, "bin", "plantain"), [], { PATH: `${bin}:/usr/bin:/bin` })).toMatchObject({ status: 7 });
});

test("without any Node it says what is needed", () => {
  const tools = join(folder, "tools");
  mkdirSync(tools);
  for (const tool of ["sh", "readlink"]) symlinkSync(`/bin/${tool}`, join(tools, tool));
  expect(start(join(folder, "bin", "plantain"), [], { PATH: tools })).toMatchObject({
    status: 1,
    stderr: "plantain: there is no Node here: expected Node 24 or later\n",
  });
});

test("an installed package runs its compiled files", () => {
  rmSync(join(folder, "src"), { recursive: true });
  mkdirSync(join(folder, "dist", "cli"), { recursive: true });
  writeFileSync(join(folder, "dist", "cli", "main.js"), MAIN("compiled").replace(": string[]", ""));
  const result = start(process.execPath, [join(folder, "bin", "launch.cjs")]);
  expect(result).toMatchObject({ status: 7, said: { name: "compiled" } });
});

describe("a bundle", () => {
  /** One of `sources`, as they are now. */
  function writeBundle(bundles: string, sources: readonly string[]): void {
    const { stampOf } = createRequire(import.meta.url)(join(folder, "bin", "bundle.cjs"));
    mkdirSync(join(bundles, "a1"), { recursive: true });
    writeFileSync(join(bundles, "a1", "package.json"), "{}");
    writeFileSync(join(bundles, "a1", "main.cjs"), MAIN("bundle").replace(": string[]", ""));
    const stamps = Object.fromEntries(sources.map((path) => [path, stampOf(join(folder, path))]));
    writeFileSync(join(bundles, "current.json"), JSON.stringify({ name: "a1", sources: stamps }));
  }
  const started = () => start(process.execPath, [join(folder, "bin", "launch.cjs")]);
  let bundles: string;
  beforeEach(() => {
    bundles = join(folder, ".cache", "bundle");
    writeFileSync(join(folder, "src", "other.ts"), "export {};");
  });

  test("is run while it is of the sources that are there", () => {
    writeBundle(bundles, ["package.json", "src/cli/main.ts", "src/other.ts"]);
    expect(started()).toMatchObject({ status: 7, stderr: "", said: { name: "bundle" } });
    // Nothing imports it, or a source would have changed too.
    writeFileSync(join(folder, "src", "new.ts"), "");
    expect(started()).toMatchObject({ said: { name: "bundle" } });
  });

  const other = () => join(folder, "src", "other.ts");
  test.each<[string, () => void]>([
    ["a source was edited", () => appendFileSync(other(), "// more")],
    ["a source was saved with the size that it had", () => writeFileSync(other(), "export {} ")],
    [
      "a source of the same size and age took the place of another",
      () => {
        const { atime, mtime } = statSync(other());
        writeFileSync(`${other()}.new`, "export {}\n");
        utimesSync(`${other()}.new`, atime, mtime);
        renameSync(`${other()}.new`, other());
      },
    ],
    ["a source is gone", () => rmSync(other())],
    ["package.json was edited", () => writeFileSync(join(folder, "package.json"), '{ "type": "module", "x": 1 }')],
    ["there is none", () => rmSync(join(folder, ".cache"), { recursive: true })],
    ["it is not said which", () => rmSync(join(bundles, "current.json"))],
    ["that is half said", () => truncateSync(join(bundles, "current.json"), 20)],
    ["its folder is gone", () => rmSync(join(bundles, "a1"), { recursive: true })],
  ])("%s: the sources run", (_name, change) => {
    writeBundle(bundles, ["package.json", "src/cli/main.ts", "src/other.ts"]);
    expect(started()).toMatchObject({ said: { name: "bundle" } });
    change();
    expect(started()).toMatchObject({ status: 7, stderr: "", said: { name: "source" } });
  });

  test("of a package is run without a look at sources", () => {
    writeBundle(join(folder, "dist", "bundle"), []);
    expect(started()).toMatchObject({ said: { name: "source" } });
    rmSync(join(folder, "src"), { recursive: true });
    expect(started()).toMatchObject({ status: 7, stderr: "", said: { name: "bundle" } });
  });
});

describe("started by an older Node", () => {
  const old = (words: readonly string[]) => [
    "--require",
    join(folder, "old.cjs"),
    join(folder, "bin", "launch.cjs"),
    ...words,
  ];

  test("without the checkout's Node it says what is needed", () => {
    expect(start(process.execPath, old([]))).toMatchObject({
      status: 1,
      stderr: "plantain: this is Node 20.1.0: expected Node 24 or later (in a checkout, npm ci brings it)\n",
    });
  });

  test("it hands over to the checkout's Node and passes the status on", () => {
    pinNode();
    const result = start(process.execPath, old(["a b"]));
    expect(result).toMatchObject({ status: 7, stderr: "", said: { name: "source", words: ["a b"] } });
    expect(result.said.pid).not.toBe(result.pid);
    expect(start(process.execPath, old(["die"]))).toMatchObject({ status: null, signal: "SIGKILL" });
  });

  test("it passes signals on", async () => {
    pinNode();
    const launcher = spawn(process.execPath, old(["wait"]), { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    await once(launcher.stdout, "data");
    launcher.kill("SIGTERM");
    expect(await once(launcher, "exit")).toEqual([9, null]);
  });

  test("it does not hand over for ever", () => {
    pinNode();
    const result = start(process.execPath, old([]), { PLANTAIN_LAUNCHER: "1" });
    expect(result).toMatchObject({ status: 1 });
  });
});
