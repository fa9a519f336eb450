import { beforeEach, describe, expect, test } from "vitest";
import { bytes, FakeChardev, RecordingFrontend } from "./chardev-for-tests.ts";
import { MuxChardev } from "./mux-chardev.ts";

const A = "\x01";

let base: FakeChardev;
let calls: string[];
let now: number;

function mux(options: { interactive?: boolean; escapeCode?: number } = {}): MuxChardev {
  return new MuxChardev(base, {
    escapeCode: options.escapeCode ?? 1,
    interactive: options.interactive ?? true,
    now: () => now,
    commands: {
      quit: () => calls.push("quit"),
      syncDisks: () => {
        calls.push("sync");
        return "synced";
      },
    },
  });
}

beforeEach(() => {
  base = new FakeChardev();
  calls = [];
  now = 0;
});

describe("input", () => {
  test("goes to the frontend, commands aside", () => {
    const frontend = new RecordingFrontend();
    mux().attach(frontend);
    base.type("ab\r\x03");
    base.type(`c${A}`);
    base.type("sd");
    expect(frontend.received).toBe("ab\r\x03cd");
    expect(calls).toEqual(["sync"]);
  });

  test("the escape character twice is itself, and begins nothing", () => {
    const frontend = new RecordingFrontend();
    mux().attach(frontend);
    base.type(`${A}${A}x`);
    expect(frontend.received).toBe(`${A}x`);
    expect(calls).toEqual([]);
  });

  test("what is no command is swallowed", () => {
    const frontend = new RecordingFrontend();
    mux().attach(frontend);
    base.type(`a${A}zb`);
    expect(frontend.received).toBe("ab");
  });

  test("comes before the frontend does", () => {
    const chardev = mux();
    base.type("early");
    const frontend = new RecordingFrontend();
    chardev.attach(frontend);
    expect(frontend.received).toBe("early");
  });

  test("waits for a slow guest; acceptInput asks the host's side for more", () => {
    const chardev = mux();
    const frontend = new RecordingFrontend(2);
    chardev.attach(frontend);
    base.type("abcd");
    expect(frontend.received).toBe("ab");
    frontend.room = 2;
    chardev.acceptInput();
    expect(frontend.received).toBe("abcd");
    expect(base.accepted).toBeGreaterThan(0);
  });

  test("where somebody types: commands work whatever the guest does, too much input rings the bell", () => {
    const chardev = mux({ interactive: true });
    const frontend = new RecordingFrontend(0);
    chardev.attach(frontend);
    base.type("x".repeat(70000));
    expect(base.output).toBe("\x07");
    expect(base.frontend?.canReceive()).toBeGreaterThan(0);
    base.type(`${A}x`);
    expect(calls).toEqual(["quit"]);
    frontend.room = Number.POSITIVE_INFINITY;
    chardev.acceptInput();
    expect(frontend.received).toHaveLength(65536);
  });

  test("where input is piped: the source is held up and nothing is lost", () => {
    const chardev = mux({ interactive: false });
    const frontend = new RecordingFrontend(0);
    chardev.attach(frontend);
    base.type("x".repeat(65536));
    expect(base.frontend?.canReceive()).toBe(0);
    frontend.room = 10;
    chardev.acceptInput();
    expect(base.frontend?.canReceive()).toBe(10);
    expect(base.output).toBe("");
  });
});

describe("commands", () => {
  test("x ends, s brings the disks up to date, b is a break", () => {
    const frontend = new RecordingFrontend();
    mux().attach(frontend);
    base.type(`${A}b${A}s${A}x`);
    expect(calls).toEqual(["sync", "quit"]);
    expect(frontend.events).toEqual(["break"]);
    expect(base.output).toBe("synced\nended by the user\n");
    expect(frontend.received).toBe("");
  });

  test("h helps, on a line of its own, in the name of the escape character", () => {
    const chardev = mux({ escapeCode: 20 });
    chardev.attach(new RecordingFrontend());
    chardev.write(bytes("login: "));
    base.type("\x14h");
    expect(base.output).toMatch(/^login: \nCtrl-T then\n {2}x {7}end the machine\n/);
    expect(base.output).toMatch(/ {2}Ctrl-T {2}send Ctrl-T itself\n/);
    expect(base.output.endsWith("\n")).toBe(true);
  });

  test("c says that there is no monitor", () => {
    mux().attach(new RecordingFrontend());
    base.type(`${A}c`);
    expect(base.output).toBe("the monitor is not in Plantain yet: this is still the console\n");
  });

  test("c gives the input to the next frontend", () => {
    const chardev = mux();
    const [first, second] = [new RecordingFrontend(), new RecordingFrontend()];
    chardev.attach(first);
    chardev.attach(second);
    base.type(`a${A}cb${A}bc${A}cd`);
    expect([first.received, second.received]).toEqual(["ad", "bc"]);
    expect([first.events, second.events]).toEqual([[], ["break"]]);
  });

  test("t stamps lines with the time", () => {
    const chardev = mux();
    chardev.attach(new RecordingFrontend());
    chardev.write(bytes("one\n"));
    base.type(`${A}t`);
    now = 1234;
    chardev.write(bytes("tw"));
    now = 5678;
    chardev.write(bytes("o\nthree\n"));
    base.type(`${A}t`);
    chardev.write(bytes("four\n"));
    expect(base.output).toBe("one\ntime stamps on\n[    1.234] two\n[    5.678] three\ntime stamps off\nfour\n");
  });
});

test("events and closing pass through", () => {
  const chardev = mux();
  const frontend = new RecordingFrontend();
  chardev.attach(frontend);
  base.frontend?.event?.("closed");
  expect(frontend.events).toEqual(["closed"]);
  chardev.close();
  expect(base.closed).toBe(true);
});
