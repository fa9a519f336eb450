// Code of a device that does not end, as a person meets it: a message with its line, and the process ends. What only takes
// long is left alone.

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { obtainMonitor } from "../src/node/guest/monitor.ts";
import { PLANTAIN, Session } from "./session.ts";

const SOURCE = `import { defineDevice, reg32 } from "plantain/device";
const busy = (ms: number) => { for (const end = Date.now() + ms; Date.now() < end; ); };
export const mine = defineDevice({
  type: "mine",
  mmio: {
    size: 0x100,
    read() {
      while (true) {}
    },
  },
  registers: { CTRL: reg32(4), SLOW: reg32(8), TIME: reg32(12), ID: reg32(16, { access: "constant", reset: 0x11 }) },
  setup({ on, timer }) {
    const tick = timer("tick", () => {
      for (;;) {}
    });
    on.write("CTRL", () => {
      let n = 0;
      while (n >= 0) n = (n + 1) % 7;
    });
    on.write("SLOW", (ms) => busy(ms));
    on.write("TIME", () => tick.after(1000));
  },
});
`;

let folder: string;
let session: Session | undefined;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-endless-")));
  save(SOURCE);
});
afterEach(() => {
  session?.signal("SIGCONT");
  session?.kill();
  session = undefined;
  rmSync(folder, { recursive: true });
});

const save = (text: string) => writeFileSync(join(folder, "mine.ts"), text);

/** Starts the monitor with the device. @param limit milliseconds; what people have unless given */
function start(limit: number | undefined, ...options: readonly string[]): Session {
  const machine = ["-M", "virt,banana-rom=off", "-bios", "none", "-kernel", obtainMonitor(process.env), "-nographic"];
  const env = { ...process.env, ...(limit === undefined ? {} : { PLANTAIN_LOOP_MS: String(limit) }) };
  session = new Session(PLANTAIN, [...machine, "-device", "./mine.ts,addr=0x4000000", ...options], {
    cwd: folder,
    env,
  });
  return session;
}

async function ask(command: string): Promise<string> {
  session!.type(`${command}\r`);
  const match = await session!.until(/^.*\r\n([\s\S]*?)(?:\r\n)?> $/);
  return match[1]!;
}

/** How the process ended, and its messages without what is this machine's. */
async function end(): Promise<{ status: number | null; errors: string[] }> {
  const { status, errors } = await session!.end();
  const lines = errors.replaceAll(folder, "FOLDER").replace(/pc 0x[0-9a-f]+/, "pc PC");
  return { status, errors: lines.trimEnd().split("\n") };
}

const ENDLESS = "has not ended for 0.3 s: is this an endless loop?";

describe("ends the process with status 70", () => {
  test.each<[what: string, command: string, errors: string[]]>([
    [
      "a read of what is no register",
      "r 4000050",
      [
        `plantain: mine: mmio.read ${ENDLESS} (FOLDER/mine.ts:8:7)`,
        "  8 |       while (true) {}",
        "    |       ^",
        "guest: hart 0 at pc PC",
      ],
    ],
    [
      "a timer",
      "w 400000c 1",
      [`plantain: mine: timer "tick" ${ENDLESS} (FOLDER/mine.ts:14:7)`, "  14 |       for (;;) {}", "     |       ^"],
    ],
  ])("%s", async (_what, command, errors) => {
    await start(300).until(/> $/);
    session!.type(`${command}\r`);
    expect(await end()).toEqual({ status: 70, errors });
  });

  test("a callback for a write, wherever in its loop it is", async () => {
    await start(300).until(/> $/);
    session!.type("w 4000004 1\r");
    const { status, errors } = await end();
    expect(status).toBe(70);
    expect(errors[0]).toMatch(
      /^plantain: mine: on\.write\("CTRL"\) has not ended for 0\.3 s: is this an endless loop\? \(FOLDER\/mine\.ts:18:\d+\)$/,
    );
    expect(errors[1]).toBe("  18 |       while (n >= 0) n = (n + 1) % 7;");
    expect(errors.at(-1)).toBe("guest: hart 0 at pc PC");
    expect(errors).toHaveLength(4);
  });

  test("setup that does not end with the properties as they are", async () => {
    save(
      SOURCE.replace('"mine",', '"mine", properties: { level: prop(0) },')
        .replace("defineDevice, ", "defineDevice, prop, ")
        .replace("setup({ on,", "setup({ props, on,")
        .replace("const tick", "while (props.level > 0) {} const tick"),
    );
    start(300, "-device", "./mine.ts,addr=0x5000000,level=1");
    const { status, errors } = await end();
    expect(status).toBe(70);
    expect(errors[0]).toBe(`plantain: mine.ts ${ENDLESS} (FOLDER/mine.ts:13:5)`);
  });

  test("a condition in the new definition under -watch", async () => {
    await start(300, "-watch").until(/> $/);
    save(
      SOURCE.replace("registers:", 'irqs: ["on"], registers:')
        .replace("setup({ on,", "setup({ irq, on,")
        .replace("const tick", "irq.on(() => { while (true) {} }); const tick"),
    );
    const { status, errors } = await end();
    expect(status).toBe(70);
    expect(errors[0]).toBe(`plantain: mine.ts ${ENDLESS} (FOLDER/mine.ts:13:20)`);
  });
});

describe("a file that does not end loading", () => {
  test.each<[what: string, text: string, place: string]>([
    ["at its top level", `${SOURCE}\nwhile (true) {}\n`, "25:1"],
    ["in setup", SOURCE.replace("const tick", "while (true) {} const tick"), "13:5"],
  ])("is a mistake like any other when the machine starts: %s", async (_what, text, place) => {
    save(text);
    start(300);
    expect(await end()).toEqual({
      status: 1,
      errors: [`plantain: -device ./mine.ts,addr=0x4000000: mine.ts ${ENDLESS} (FOLDER/mine.ts:${place})`],
    });
  });

  test.each<[what: string, text: string, message: string[]]>([
    [
      "at its top level",
      `while (true) {}\n${SOURCE}`,
      [
        `plantain: mine goes on as it was: mine.ts: mine.ts ${ENDLESS} (FOLDER/mine.ts:1:1)`,
        "  1 | while (true) {}",
        "    | ^",
      ],
    ],
    [
      "in setup",
      SOURCE.replace("const tick", "while (true) {} const tick"),
      [
        `plantain: mine goes on as it was: mine.ts: mine.ts ${ENDLESS} (FOLDER/mine.ts:13:5)`,
        '  13 |     while (true) {} const tick = timer("tick", () => {',
        "     |     ^",
      ],
    ],
  ])("leaves the old device running under -watch: %s", async (_what, text, message) => {
    await start(300, "-watch").until(/> $/);
    save(text);
    await session!.untilError(/\^\n/);
    expect(session!.errors.replaceAll(folder, "FOLDER").trimEnd().split("\n")).toEqual(message);
    expect(await ask("r 4000010")).toBe("0x00000011");
    // Twice: what was broken off has left nothing behind.
    save(text.replace("0x11", "0x22"));
    await session!.untilError(/\^\n/);
    save(SOURCE.replace("0x11", "0x33"));
    await session!.untilError(/swapped/);
    expect(await ask("r 4000010")).toBe("0x00000033");
  });

  test("a plantain.config.ts", async () => {
    writeFileSync(join(folder, "plantain.config.ts"), "for (;;) {}\nexport default {};\n");
    session = new Session(PLANTAIN, [], { cwd: folder, env: { ...process.env, PLANTAIN_LOOP_MS: "300" } });
    expect(await end()).toEqual({
      status: 1,
      errors: [`plantain: -config: plantain.config.ts ${ENDLESS} (FOLDER/plantain.config.ts:1:1)`],
    });
  });
});

describe("no false alarm", () => {
  test("a callback that takes a second, and one during which the process is stopped", async () => {
    await start(undefined).until(/> $/);
    expect(await ask("w 4000008 3e8")).toBe("");
    session!.type("w 4000008 3e8\r");
    await new Promise((resolve) => setTimeout(resolve, 300));
    session!.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 2500));
    session!.signal("SIGCONT");
    await session!.until(/> $/);
    expect(await ask("r 4000010")).toBe("0x00000011");
    expect(session!.errors).toBe("");
  });

  test("many slow callbacks in a row, with no turn for anybody else", async () => {
    save(
      SOURCE.replace("import { defineDevice, reg32 }", "import { defineDevice, reg32, regs }")
        .replace("registers: {", "registers: { ROW: regs(16, 4, reg32(0x40)),")
        .replace("const tick", 'on.read("ROW", () => busy(100)); const tick'),
    );
    // Instructions are counted: a turn of the guest's does not end because it takes long.
    await start(300, "-icount", "shift=3").until(/> $/);
    expect(await ask("d 4000040 20")).toContain("04000040");
    expect(await ask("r 4000010")).toBe("0x00000011");
    expect(session!.errors).toBe("");
  });

  test("a guest that does nothing, also while it is stopped", async () => {
    await start(300).until(/> $/);
    await new Promise((resolve) => setTimeout(resolve, 600));
    session!.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 600));
    session!.signal("SIGCONT");
    expect(await ask("r 4000010")).toBe("0x00000011");
    expect(session!.errors).toBe("");
  });

  test("whoever wants no limit has none", async () => {
    await start(0).until(/> $/);
    expect(await ask("w 4000008 bb8")).toBe("");
    expect(session!.errors).toBe("");
  });
});
