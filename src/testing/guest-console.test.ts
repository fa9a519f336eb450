// The console of a guest as a terminal: what it answers by itself.

import { expect, test } from "vitest";
import { MemoryChardev } from "../backend/chardev-memory.ts";
import { GuestConsole } from "./guest-console.ts";

test("a program that asks where the cursor is gets an answer, each time, though the question comes in pieces", () => {
  const chardev = new MemoryChardev("console");
  let typed = "";
  chardev.attach({
    canReceive: () => 3,
    receive: (bytes) => {
      typed += new TextDecoder().decode(bytes);
    },
  });
  const console = new GuestConsole(chardev);
  const write = (text: string) => chardev.write(new TextEncoder().encode(text));
  write("$ \x1b[6");
  expect(typed).toBe("");
  write("n");
  expect(typed).toBe("\x1b[1;1R");
  write("6n and \x1b[6n\x1b[6n");
  expect(typed).toBe("\x1b[1;1R".repeat(3));
  for (const byte of "\x1b[6n") write(byte);
  expect(typed).toBe("\x1b[1;1R".repeat(4));
  expect(console.transcript).toContain("6n and");
});
