// The terminal is as it was, however the command ends. On real pseudo-terminals.

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { hasPython, runOnTerminal, type Step } from "./pty-for-tests.ts";

const FAKE = fileURLToPath(new URL("fake-command-for-tests.ts", import.meta.url));

const run = (steps: readonly Step[], options: readonly string[] = ["-nographic", "-bios", "none"]) =>
  runOnTerminal([process.execPath, FAKE, ...options], steps);

/** The machine runs and has the terminal. */
const RUNNING: readonly Step[] = [{ wait: "ready" }, { mode: "raw" }];

describe.skipIf(!hasPython)("on a terminal (needs python3)", () => {
  test("keys go to the guest, Ctrl-C too; a power-off ends with status 0", () => {
    const result = run([...RUNNING, { send: "abc\x03\r" }, { wait: "ABC^C" }, { send: "%" }]);
    expect(result).toMatchObject({ status: 0, restored: true });
  });

  test("the guest's status is the command's", () => {
    expect(run([...RUNNING, { send: "$" }])).toMatchObject({ status: 7, restored: true });
  });

  test("Ctrl-A x", () => {
    expect(run([...RUNNING, { send: "\x01x" }])).toMatchObject({ status: 0, restored: true });
  });

  test("Ctrl-A h", () => {
    const result = run([...RUNNING, { send: "\x01h" }, { wait: "end the machine" }, { send: "\x01x" }]);
    // Raw mode keeps the newline's return to the left.
    expect(result.output).toContain("Ctrl-A then\r\n  x       end the machine\r\n");
  });

  test.each([
    ["INT", 130],
    ["TERM", 143],
    ["HUP", 129],
    ["QUIT", 131],
  ] as const)("SIG%s", (signal, status) => {
    expect(run([...RUNNING, { signal }])).toMatchObject({ status, restored: true });
  });

  test("SIGKILL cannot be seen: the terminal stays raw, and this test sees it", () => {
    expect(run([...RUNNING, { signal: "KILL" }])).toMatchObject({ status: -9, restored: false });
  });

  test("the terminal goes away", () => {
    const result = run([...RUNNING, { hangup: true }]);
    expect(result.status).toBe(129);
  });

  test("an error that a device throws", () => {
    const result = run([...RUNNING, { send: "#" }]);
    expect(result).toMatchObject({ status: 70, restored: true });
    expect(result.output).toMatch(/plantain: internal error: .*thrown by a device \(hart 0 at pc 0x80001234\)/);
    expect(result.output).toContain("fake-command-for-tests.ts");
    expect(result.output).toContain("guest: hart 0 at pc 0x80001234");
  });

  test("a device's code that does not end", () => {
    const result = run([...RUNNING, { send: "&" }]);
    expect(result).toMatchObject({ status: 70, restored: true });
    expect(result.output).toContain("plantain: mine: mmio.read has not ended\r\n  7 | for (;;) {}\r\n");
  });

  test("an error that nobody catches", () => {
    const result = run([...RUNNING, { send: "!" }]);
    expect(result).toMatchObject({ status: 70, restored: true });
    expect(result.output).toMatch(/plantain: internal error: Error: thrown in a callback/);
    expect(result.output).toContain("guest: hart 0 at pc 0x80001234");
  });

  test("job control: the shell gets its terminal, the guest gets it back", () => {
    const steps: Step[] = [
      ...RUNNING,
      { signal: "TSTP" },
      { stopped: true },
      { mode: "cooked" },
      { signal: "CONT" },
      { mode: "raw" },
      { send: "still" },
      { wait: "STILL" },
      { send: "\x01x" },
    ];
    expect(run(steps)).toMatchObject({ status: 0, restored: true });
  });

  test("with plain stdio Ctrl-C ends the machine, and there are no commands", () => {
    const options = ["-serial", "stdio", "-bios", "none"];
    expect(run([...RUNNING, { send: "\x01x" }, { wait: "\x01X" }, { send: "a\x03" }], options)).toMatchObject({
      status: 130,
      restored: true,
    });
  });

  test("with plain stdio Ctrl-Z stops the process", () => {
    const options = ["-serial", "stdio", "-bios", "none"];
    const steps: Step[] = [...RUNNING, { send: "\x1a" }, { stopped: true }, { mode: "cooked" }, { signal: "CONT" }];
    expect(run([...steps, { mode: "raw" }, { send: "\x03" }], options)).toMatchObject({ status: 130, restored: true });
  });

  test("another escape character", () => {
    const options = ["-nographic", "-bios", "none", "-echr", "20"];
    expect(run([...RUNNING, { send: "\x01x" }, { wait: "\x01X" }, { send: "\x14x" }], options).status).toBe(0);
  });

  test("without a console the terminal is left alone", () => {
    const result = run([{ mode: "cooked" }, { send: "\x03" }], ["-display", "none", "-bios", "none"]);
    expect(result.restored).toBe(true);
    // Whether the signal came before or after the machine ran.
    expect([130, -2]).toContain(result.status);
  });

  test("a mistake leaves the terminal alone and is one line", () => {
    const result = run([], ["-nographics"]);
    expect(result).toEqual({
      output: "plantain: -nographics: there is no such option (did you mean -nographic?)\r\n",
      status: 1,
      restored: true,
    });
  });
});
