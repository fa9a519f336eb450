import { describe, expect, test } from "vitest";
import { bytes, RecordingFrontend } from "./chardev-for-tests.ts";
import { InputQueue } from "./input-queue.ts";

function queueWithLog() {
  const log: string[] = [];
  const queue = new InputQueue({ pause: () => log.push("pause"), resume: () => log.push("resume") });
  return { queue, log };
}

describe("InputQueue", () => {
  test("keeps what comes before the frontend", () => {
    const { queue } = queueWithLog();
    queue.push(bytes("ab"));
    queue.push(bytes("c"));
    const frontend = new RecordingFrontend();
    queue.attach(frontend);
    expect(frontend.received).toBe("abc");
    expect(queue.length).toBe(0);
  });

  test("gives the frontend no more than it has room for", () => {
    const { queue } = queueWithLog();
    const frontend = new RecordingFrontend(3);
    queue.attach(frontend);
    queue.push(bytes("hello world"));
    expect(frontend.received).toBe("hel");
    frontend.room = 5;
    queue.deliver();
    expect(frontend.received).toBe("hello wo");
    expect(queue.length).toBe(3);
  });

  test("a frontend may ask for more from within receive", () => {
    const { queue } = queueWithLog();
    const received: number[] = [];
    queue.attach({
      canReceive: () => 1,
      receive: (piece) => {
        received.push(...piece);
        queue.deliver();
      },
    });
    queue.push(Uint8Array.of(1, 2, 3));
    expect(received).toEqual([1, 2, 3]);
  });

  test("pauses the source when much waits, resumes it when half is gone", () => {
    const { queue, log } = queueWithLog();
    const frontend = new RecordingFrontend(0);
    queue.attach(frontend);
    queue.push(new Uint8Array(65535));
    expect(log).toEqual([]);
    queue.push(new Uint8Array(1));
    expect(log).toEqual(["pause"]);
    frontend.room = 32768;
    queue.deliver();
    expect(log).toEqual(["pause"]);
    frontend.room = 1;
    queue.deliver();
    expect(log).toEqual(["pause", "resume"]);
  });

  test("goes on after a frontend that threw", () => {
    const { queue } = queueWithLog();
    queue.push(bytes("a"));
    const broken = {
      canReceive: () => 1,
      receive: () => {
        throw new Error("broken");
      },
    };
    expect(() => queue.attach(broken)).toThrow("broken");
    const frontend = new RecordingFrontend();
    queue.attach(frontend);
    queue.push(bytes("b"));
    expect(frontend.received).toBe("b");
  });
});
