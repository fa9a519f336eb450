// The plain JavaScript of set-up, which runs before anything is installed.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { terminalProgress } from "../scripts/progress.mjs";
import { isInstalled, root } from "../scripts/setup.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-setup-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("node_modules against the lock file", () => {
  const wanted = {
    "": { name: "x", version: "1.0.0" },
    "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
    "node_modules/b": { version: "2.0.0", integrity: "sha512-b", optional: true },
  };
  const write = (present: object | undefined): void => {
    writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ packages: wanted }));
    if (present === undefined) return;
    mkdirSync(join(folder, "node_modules"));
    writeFileSync(join(folder, "node_modules", ".package-lock.json"), JSON.stringify({ packages: present }));
  };
  const { "": _, ...all } = wanted;
  const { "node_modules/b": __, ...needed } = all;

  test.each([
    ["everything", all, true],
    ["all but another platform's package", needed, true],
    ["a package too few", { "node_modules/b": all["node_modules/b"] }, false],
    ["another version", { ...all, "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } }, false],
    ["other contents", { ...all, "node_modules/a": { version: "1.0.0", integrity: "sha512-z" } }, false],
    ["another version of an optional one", { ...all, "node_modules/b": { version: "2.0.1" } }, false],
    ["nothing", {}, false],
    ["no folder", undefined, false],
  ])("%s: %#", (_name, present, expected) => {
    write(present);
    expect(isInstalled(folder)).toBe(expected);
  });

  test("this checkout's own is installed", () => {
    expect(isInstalled(root)).toBe(true);
  });
});

describe("progress", () => {
  const record = (isTTY: boolean, env: NodeJS.ProcessEnv): string => {
    let text = "";
    const stream = { isTTY, columns: 80, write: (piece: string) => (text += piece) };
    const progress = terminalProgress(stream as unknown as NodeJS.WriteStream, env);
    const first = progress.step("Downloading");
    first.update(0.5, "56 of 112 MB");
    first.done();
    first.fail();
    progress.step("Building").fail();
    return text;
  };

  test("without a terminal: a line at each end of a step", () => {
    expect(record(false, {})).toMatch(
      /^· Downloading \.\.\.\n✓ Downloading \([\d.]+ s\)\n· Building \.\.\.\n✗ Building\n$/,
    );
    expect(record(true, { TERM: "dumb" })).toBe(record(false, {}));
  });

  test("on a terminal: a bar that is drawn over, in colour", () => {
    const text = record(true, { TERM: "xterm" });
    expect(text).toContain(`Downloading [${"#".repeat(8)}${"-".repeat(8)}] 50% 56 of 112 MB`);
    expect(text).toContain("\r\x1b[K\x1b[32m✓\x1b[0m Downloading");
    expect(text.split("\n")).toHaveLength(3);
  });

  test("NO_COLOR: bars without colour", () => {
    const text = record(true, { TERM: "xterm", NO_COLOR: "1" });
    expect(text).toContain("] 50%");
    expect(text).not.toContain("\x1b[3");
  });
});

describe("a script of the checkout ends as its program ends", () => {
  const become = (code: string): { status: number | null; signal: NodeJS.Signals | null; stdout: string } => {
    const script = join(folder, "script.mjs");
    const setup = new URL("../scripts/setup.mjs", import.meta.url).href;
    writeFileSync(
      script,
      `import { become } from ${JSON.stringify(setup)}; await become(process.execPath, ["-e", ${JSON.stringify(code)}]);`,
    );
    return spawnSync(process.execPath, [script], { encoding: "utf8" });
  };

  test("with its status and on its terminal", () => {
    expect(become("console.log('here'); process.exit(7)")).toMatchObject({ status: 7, stdout: "here\n" });
  });
  test("by its signal", () => {
    expect(become("process.kill(process.pid, 'SIGTERM')")).toMatchObject({ status: null, signal: "SIGTERM" });
  });
});

describe("npm test", () => {
  const run = (source: string): { status: number | null; stdout: string; stderr: string } => {
    writeFileSync(join(folder, "a.test.mjs"), `import { describe, expect, test } from "vitest";\n${source}`);
    writeFileSync(join(folder, "vitest.config.mjs"), "export default { test: { include: ['*.test.mjs'] } };");
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const counts = join(folder, "counts");
    // No apt on the PATH: nothing is fetched here.
    const env = { PATH: folder, PLANTAIN_CACHE: join(folder, "cache"), PLANTAIN_TEST_COUNTS: counts, NO_COLOR: "1" };
    const script = join(root, "scripts", "test.ts");
    return spawnSync(process.execPath, [script, "--root", folder], { cwd: folder, env, encoding: "utf8" });
  };

  test("names what was skipped, with its reason, and counts", () => {
    const { status, stdout, stderr } = run(`
      test("runs", () => {});
      describe.skipIf(true)("booting (needs a guest)", () => { test("a", () => {}); test("b", () => {}); });
      test.skipIf(true)("comparing (needs dtc)", () => {});
      test("looking", ({ skip }) => skip("nothing to see"));
    `);
    expect(stdout.slice(stdout.indexOf("Skipped:"))).toBe(
      [
        "Skipped:",
        "  a.test.mjs: booting (needs a guest) [2 tests]",
        "  a.test.mjs: comparing (needs dtc)",
        "  a.test.mjs: looking (nothing to see)",
        "1 passed, 0 failed, 4 skipped",
        "",
      ].join("\n"),
    );
    expect(stderr).toMatch(/^No Linux guest here: .+\. The tests that need it are skipped\.$/m);
    expect(status).toBe(0);
  });

  test("fails with a failed test", () => {
    const { status, stdout } = run(`test("runs", () => {}); test("breaks", () => expect(1).toBe(2));`);
    expect(stdout).toMatch(/^1 passed, 1 failed, 0 skipped$/m);
    expect(status).toBe(1);
  });

  test("fails with a file that does not load, which has no tests to count", () => {
    const { status, stdout } = run("throw new Error('broken');");
    expect(stdout).toMatch(/^0 passed, 1 failed, 0 skipped$/m);
    expect(status).toBe(1);
  });
});
