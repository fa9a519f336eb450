import { expect, test } from "vitest";
import { UserError } from "../../util/user-error.ts";
import { findCommand, run } from "./command.ts";

test("a tool's output comes back, its status lines as they are written", async () => {
  const lines: string[] = [];
  const output = await run("sh", ["-c", "echo out; echo one >&3; printf two >&3"], {
    onStatus: (line) => lines.push(line),
  });
  expect(output.toString()).toBe("out\n");
  expect(lines).toEqual(["one", "two"]);
});

test.each([
  ["echo nothing; exit 3", "sh failed: exit status 3"],
  ["echo reason >&2; echo more >&2; exit 1", "sh failed: reason"],
  ["echo 'W: a warning' >&2; echo 'E: the error' >&2; exit 100", "sh failed: the error"],
  ["kill -TERM $$", "sh failed: ended by SIGTERM"],
])("a tool that fails is told in one line: %s", async (script, message) => {
  await expect(run("sh", ["-c", script])).rejects.toThrow(new UserError(message));
});

test("a tool that is not there", async () => {
  await expect(run("no-such-tool", [])).rejects.toThrow("this machine has no no-such-tool on its PATH");
  expect(findCommand("no-such-tool", process.env)).toBeUndefined();
  expect(findCommand("sh", process.env)).toMatch(/\/sh$/);
  expect(findCommand("sh", {})).toBeUndefined();
});
