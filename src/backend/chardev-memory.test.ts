import { expect, test } from "vitest";
import { MemoryChardev } from "./chardev-memory.ts";

/** A frontend with room for a few bytes. */
class Frontend {
  room = 0;
  received = "";
  canReceive(): number {
    return this.room;
  }
  receive(bytes: Uint8Array): void {
    this.room -= bytes.length;
    this.received += new TextDecoder().decode(bytes);
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("the guest gets what it has room for, in order, and the rest when it says so", () => {
  const chardev = new MemoryChardev("c");
  const frontend = new Frontend();
  chardev.send(bytes("ab"));
  chardev.attach(frontend);
  chardev.send(bytes("cdef"));
  expect(frontend.received).toBe("");
  frontend.room = 4;
  chardev.acceptInput();
  expect(frontend.received).toBe("abcd");
  frontend.room = 1;
  chardev.discardInput();
  chardev.send(bytes("x"));
  expect(frontend.received).toBe("abcdx");
});

test("what the guest wrote is the listener's, whatever the guest's side does with its buffer", () => {
  const chardev = new MemoryChardev("c");
  const heard: Uint8Array[] = [];
  chardev.onOutput = (output) => heard.push(output);
  const buffer = bytes("a");
  chardev.write(buffer);
  buffer[0] = 0;
  expect(heard).toEqual([bytes("a")]);
});
