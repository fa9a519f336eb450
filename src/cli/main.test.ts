// The command as users start it, with real machines that run a few instructions.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasPython, runOnTerminal } from "./pty-for-tests.ts";

const PLANTAIN = fileURLToPath(new URL("../../bin/plantain", import.meta.url));

/** lui t0, 0x100 (the test finisher); lui t1, 0x53; addi t1, t1, 0x333 (fail with 5); sw t1, 0(t0); j . */
const END_WITH_5 = [0x001002b7, 0x00053337, 0x33330313, 0x0062a023, 0x0000006f];
/** lui t0, 0x10000 (the UART); addi t1, x0, '!'; sb t1, 0(t0); j . */
const SAY_AND_SPIN = [0x100002b7, 0x02100313, 0x00628023, 0x0000006f];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-main-"));
  writeFileSync(join(folder, "end.bin"), Uint32Array.from(END_WITH_5));
  writeFileSync(join(folder, "spin.bin"), Uint32Array.from(SAY_AND_SPIN));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...words: string[]) => spawnSync(PLANTAIN, words, { encoding: "utf8", cwd: folder });

test("the guest's status is the command's", () => {
  expect(run("-bios", "end.bin", "-nographic")).toMatchObject({ status: 5, stdout: "", stderr: "" });
});

test("-version is the package's", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  expect(run("-version")).toMatchObject({ status: 0, stdout: `Plantain emulator version ${version}\n`, stderr: "" });
});

test("a mistake is one line on standard error, without colours when nobody looks", () => {
  expect(run("-kernel", "none", "-bios", "end.bin")).toMatchObject({
    status: 1,
    stdout: "",
    stderr: "plantain: -kernel none: there is no such file\n",
  });
});

test("a reader that leaves ends nothing", () => {
  const script = `"$0" -bios end.bin -nographic -help | true; "$0" -bios end.bin | true; "$0" -bios end.bin >&-; echo $?`;
  const { stdout, stderr } = spawnSync("sh", ["-c", script, PLANTAIN], { encoding: "utf8", cwd: folder });
  expect([stdout, stderr]).toEqual(["5\n", ""]);
});

test("the serial port on a socket, and a signal while the guest is busy", async () => {
  const words = ["-bios", "spin.bin", "-serial", "unix:s,server=on"];
  const child = spawn(PLANTAIN, words, { cwd: folder, stdio: ["ignore", "inherit", "pipe"] });
  let error = "";
  child.stderr.on("data", (data: Buffer) => {
    error += data.toString();
  });
  await once(child.stderr, "data");
  expect(error).toBe("plantain: -serial unix:s,server=on: waiting for somebody to connect to s\n");
  const peer = connect(join(folder, "s"));
  const [said] = await once(peer, "data");
  expect(String(said)).toBe("!");
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([143, null]);
  expect(error).toMatch(/\nplantain: ended by SIGTERM\n$/);
});

describe.skipIf(!hasPython)("on a terminal (needs python3)", () => {
  test("Ctrl-A x reaches a busy guest's machine", () => {
    const command = [PLANTAIN, "-bios", join(folder, "spin.bin"), "-nographic"];
    const result = runOnTerminal(command, [{ wait: "!" }, { mode: "raw" }, { send: "\x01x" }, { wait: "ended" }]);
    expect(result).toMatchObject({ status: 0, restored: true, output: "!\r\nended by the user\r\n" });
  });

  test("colours, unless NO_COLOR asks for none or the terminal has none", () => {
    const bold = "\x1b[1mplantain:\x1b[0m -bogus: ";
    const output = (env: Record<string, string>) => runOnTerminal([PLANTAIN, "-bogus"], [], env).output;
    expect(output({ NO_COLOR: "", TERM: "xterm" })).toContain(bold);
    expect(output({ NO_COLOR: "1", TERM: "xterm" })).toMatch(/^plantain: -bogus: /);
    expect(output({ NO_COLOR: "", TERM: "dumb" })).toMatch(/^plantain: -bogus: /);
  });
});
