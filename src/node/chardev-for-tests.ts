// A guest's side and a host's side of serial lines, for tests.

import type { Chardev, ChardevEvent, ChardevFrontend } from "../backend/chardev.ts";

/** A guest that takes `room` bytes in all, then waits until it is given more room. */
export class RecordingFrontend implements ChardevFrontend {
  room: number;
  received = "";
  readonly events: ChardevEvent[] = [];

  constructor(room = Number.POSITIVE_INFINITY) {
    this.room = room;
  }

  canReceive(): number {
    return this.room;
  }

  receive(bytes: Uint8Array): void {
    if (bytes.length > this.room) throw new Error(`${bytes.length} bytes for room of ${this.room}`);
    this.room -= bytes.length;
    this.received += text(bytes);
  }

  event(event: ChardevEvent): void {
    this.events.push(event);
  }
}

/** A host's side that a test types on. */
export class FakeChardev implements Chardev {
  readonly id = "fake";
  frontend: ChardevFrontend | undefined;
  output = "";
  accepted = 0;
  closed = false;

  attach(frontend: ChardevFrontend): void {
    this.frontend = frontend;
  }

  write(bytes: Uint8Array): void {
    this.output += text(bytes);
  }

  acceptInput(): void {
    this.accepted++;
  }

  close(): void {
    this.closed = true;
  }

  type(input: string): void {
    this.frontend?.receive(bytes(input));
  }
}

/** One byte per character. */
export function bytes(content: string): Uint8Array {
  return Uint8Array.from(content, (character) => character.charCodeAt(0));
}

function text(content: Uint8Array): string {
  return String.fromCharCode(...content);
}

/** Waits until something has become true; a test that hangs here fails by its timeout. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
