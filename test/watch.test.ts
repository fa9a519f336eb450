// `-watch` as a person sees it: a device's file is saved, and the guest, the bare-metal monitor, has the new device.

import { mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { obtainMonitor } from "../src/node/guest/monitor.ts";
import { PLANTAIN, Session } from "./session.ts";

const SOURCE = `import { defineDevice, prop, reg32, ro, rw } from "plantain/device";
import { ID } from "./id.ts";
export const mine = defineDevice({
  type: "mine",
  compatible: "acme,mine",
  mmio: { size: 0x100 },
  properties: { level: prop(3, "how much") },
  irqs: ["on"],
  registers: {
    ID: reg32(0, { access: "constant", reset: ID }),
    CTRL: reg32(4, { fields: { ON: rw(0) } }),
    COUNT: reg32(8),
  },
  setup({ regs: { CTRL, COUNT }, irq, on, props }) {
    irq.on(() => CTRL.ON);
    on.read("COUNT", () => COUNT.value + props.level);
  },
});
`;

let folder: string;
let session: Session;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-watch-")));
  save("id.ts", "export const ID = 0x11;\n");
  save("mine.ts", SOURCE);
});
afterEach(() => {
  session.kill();
  rmSync(folder, { recursive: true });
});

const save = (name: string, text: string) => writeFileSync(join(folder, name), text);
const edited = (...changes: (readonly [from: string, to: string])[]) =>
  changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the device has no ${from}`);
    return text.replace(from, to);
  }, SOURCE);

/** Boots the monitor, and waits for its prompt. */
async function boot(...options: readonly string[]): Promise<void> {
  const machine = ["-M", "virt,banana-rom=off", "-bios", "none", "-kernel", obtainMonitor(process.env), "-nographic"];
  session = new Session(PLANTAIN, [...machine, ...options], { cwd: folder });
  await session.until(/> $/);
}

const bootMine = () => boot("-device", "./mine.ts,addr=0x4000000,irq=40,level=5", "-watch");

/** Types a command and gives the answer. */
async function ask(command: string): Promise<string> {
  session.type(`${command}\r`);
  const match = await session.until(/^.*\r\n([\s\S]*?)(?:\r\n)?> $/);
  return match[1]!;
}

/** What is told next, from one of Plantain's lines to the end of a message that has `last`. */
async function told(last: RegExp): Promise<string> {
  const match = await session.untilError(RegExp(`(plantain: (?:(?!plantain: )[\\s\\S])*?${last.source}.*)\n`));
  return match[1]!.replaceAll(folder, "FOLDER").replace(/in \d+ ms/, "in N ms");
}

describe("a save", () => {
  test("is the guest's at once; what it has written stays", async () => {
    await bootMine();
    await ask("w 4000004 1");
    expect([await ask("r 4000000"), await ask("r 4000008")]).toEqual(["0x00000011", "0x00000005"]);
    save(
      "mine.ts",
      edited(
        ["ON: rw(0)", "ON: rw(4), FULL: ro(7)"],
        ["COUNT: reg32(8)", "COUNT: reg32(12), MORE: reg32(8, { reset: 9 })"],
        ["COUNT.value + props.level", "COUNT.value + 100 * props.level"],
      ),
    );
    expect(await told(/swapped/)).toBe(
      'plantain: mine swapped in N ms: CTRL.ON: at bit 0 -> bit 4; + CTRL.FULL (ro at bit 7); + MORE (rw at 0x8); COUNT: at 0x8 -> 0xc; on.read("COUNT")',
    );
    expect(await ask("r 4000004")).toBe("0x00000010");
    expect(await ask("r 4000008")).toBe("0x00000009");
    // Five from before, and a hundred times the property that the user gave.
    expect(await ask("r 400000c")).toBe("0x000001F9");
  });

  test("of a file that it imports", async () => {
    await bootMine();
    save("id.ts", "export const ID = 0x22;\n");
    expect(await told(/swapped/)).toBe("plantain: mine swapped in N ms: ID: reset 0x11 -> 0x22");
    expect(await ask("r 4000000")).toBe("0x00000022");
    // A file that comes to it later is watched too.
    save("more.ts", "export const ID = 0x33;\n");
    save("id.ts", 'export { ID } from "./more.ts";\n');
    await told(/0x22 -> 0x33/);
    save("more.ts", "export const ID = 0x44;\n");
    await told(/0x33 -> 0x44/);
    expect(await ask("r 4000000")).toBe("0x00000044");
  });

  test("by renaming, in several steps, after the file was gone, many times in a row", async () => {
    await bootMine();
    save("mine.ts.tmp", edited(["reset: ID", "reset: 0x22"]));
    renameSync(join(folder, "mine.ts.tmp"), join(folder, "mine.ts"));
    await told(/0x11 -> 0x22/);
    save("mine.ts", "");
    await new Promise((resolve) => setTimeout(resolve, 60));
    save("mine.ts", edited(["reset: ID", "reset: 0x33"]));
    await told(/0x22 -> 0x33/);
    rmSync(join(folder, "mine.ts"));
    await new Promise((resolve) => setTimeout(resolve, 60));
    save("mine.ts", edited(["reset: ID", "reset: 0x44"]));
    await told(/0x33 -> 0x44/);
    for (let n = 0x45; n < 0x60; n++) {
      save("mine.ts", edited(["reset: ID", `reset: 0x${n.toString(16)}`]));
      await new Promise((resolve) => setTimeout(resolve, 7));
    }
    await told(/-> 0x5f/);
    expect(await ask("r 4000000")).toBe("0x0000005F");
    expect(session.errors).not.toContain("goes on as it was");
  });

  test("of what the guest was told otherwise", async () => {
    await bootMine();
    save(
      "mine.ts",
      edited(
        ["acme,mine", "acme,yours"],
        ["0x100", "0x200"],
        ['["on"]', '["on", "off"]'],
        ["irq.on(", "irq.off(() => true); irq.on("],
      ),
    );
    expect((await told(/boots again/)).split("\n")).toEqual([
      "plantain: mine swapped in N ms: mmio: size 0x100 -> 0x200; + irq off (level)",
      "  not kept: irq off leads nowhere: lines are given out when the machine is made",
      '  the guest does not know until it boots again: compatible was "acme,mine" and is "acme,yours"; reg was 0x100 bytes and is 0x200 bytes; interrupt-names was missing and is "on"',
    ]);
    expect(await ask("r 4000100")).toBe("0x00000000");
  });

  test("of a configuration's device, traced, with -icount", async () => {
    save(
      "plantain.config.ts",
      `export default { board: "virt,banana-rom=off", bios: "none", kernel: ${JSON.stringify(obtainMonitor(process.env))},
      devices: [{ device: "./mine.ts", addr: 0x4000000 }], traces: ["mine"] };`,
    );
    session = new Session(PLANTAIN, ["-config", "plantain.config.ts", "-nographic", "-icount", "shift=3", "-watch"], {
      cwd: folder,
    });
    await session.until(/> $/);
    save("mine.ts", edited(["ID: reg32(0", "BETTER: reg32(0"]));
    await session.untilError(/mine: another definition: \+ BETTER \(constant at 0x0\); - ID\n/);
    expect(await ask("r 4000000")).toBe("0x00000011");
    await session.untilError(/mine: read BETTER -> 0x00000011/);
  });
});

describe("a mistake changes nothing, and is told with its line", () => {
  test.each<[what: string, text: string, message: string[]]>([
    [
      "syntax",
      edited(["ON: rw(0)", "ON: rw(0"]),
      [
        "plantain: mine goes on as it was: mine.ts: Expected ',', got '}' (FOLDER/mine.ts:11:41)",
        "  11 |     CTRL: reg32(4, { fields: { ON: rw(0 } }),",
        "     |                                         ^",
      ],
    ],
    [
      "the definition",
      edited(["ON: rw(0)", "ON: rw(0), B: rw(0)"]),
      [
        "plantain: mine goes on as it was: mine.ts: mine.CTRL.B: bit 0 overlaps ON (bit 0) (FOLDER/mine.ts:11:46)",
        "  11 |     CTRL: reg32(4, { fields: { ON: rw(0), B: rw(0) } }),",
        "     |                                              ^",
      ],
    ],
    [
      "a model that throws",
      edited(["() => CTRL.ON", '() => { throw new Error("no luck"); }']),
      [
        "plantain: mine goes on as it was: mine: irq.on: no luck (FOLDER/mine.ts:15:26)",
        '  15 |     irq.on(() => { throw new Error("no luck"); });',
        "     |                          ^",
      ],
    ],
    [
      "setup that throws",
      edited(["irq.on(", "props.level.nothing.at(0); irq.on("]),
      [
        "plantain: mine goes on as it was: mine: setup: Cannot read properties of undefined (reading 'at') (FOLDER/mine.ts:15:25)",
        "  15 |     props.level.nothing.at(0); irq.on(() => CTRL.ON);",
        "     |                         ^",
      ],
    ],
    [
      "a name that there is not",
      edited(["setup({ regs: { CTRL, COUNT }", "setup({ regs: { CTLR, COUNT }"]),
      [
        'plantain: mine goes on as it was: mine.ts: mine: there is no register "CTLR" (did you mean "CTRL"?) (FOLDER/mine.ts:14:19)',
        "  14 |   setup({ regs: { CTLR, COUNT }, irq, on, props }) {",
        "     |                   ^",
      ],
    ],
    [
      "the file's own code",
      `${SOURCE}throw new TypeError("not today");\n`,
      [
        "plantain: mine goes on as it was: mine.ts: mine.ts threw TypeError: not today (FOLDER/mine.ts:19:7)",
        '  19 | throw new TypeError("not today");',
        "     |       ^",
      ],
    ],
    [
      "an import that is not there",
      edited(["./id.ts", "./di.ts"]),
      ["plantain: mine goes on as it was: mine.ts: mine.ts imports FOLDER/di.ts, which is not there (FOLDER/mine.ts)"],
    ],
    [
      "no device",
      "export const nothing = 1;\n",
      [
        "plantain: mine goes on as it was: mine.ts: FOLDER/mine.ts exports no device: expected export const myDevice = defineDevice({...})",
      ],
    ],
    [
      "no room",
      edited(["size: 0x100", "size: 0x9000000"]),
      [
        "plantain: mine goes on as it was: mine at 0x4000000-0xcffffff overlaps riscv.sifive.plic at 0xc000000-0xc5fffff: give one of them another address",
      ],
    ],
  ])("%s", async (_what, text, message) => {
    await bootMine();
    await ask("w 4000004 1");
    await ask("r 4000008");
    save("mine.ts", text);
    const lines = message.length;
    await session.untilError(/goes on as it was[^\n]*\n/);
    while (session.errors.split("\n").length <= lines) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(session.errors.replaceAll(folder, "FOLDER").trimEnd().split("\n")).toEqual(message);
    // The old one runs, with what it had.
    expect(await ask("r 4000000")).toBe("0x00000011");
    expect(await ask("r 4000004")).toBe("0x00000001");
    expect(await ask("r 4000008")).toBe("0x0000000A");
    // And a save that mends it is taken.
    save("mine.ts", edited(["reset: ID", "reset: ID + 1"]));
    await told(/swapped/);
    expect(await ask("r 4000000")).toBe("0x00000012");
    expect(await ask("r 4000008")).toBe("0x0000000F");
  });

  test("a file that is gone", async () => {
    await bootMine();
    rmSync(join(folder, "mine.ts"));
    expect(await told(/gone/)).toBe("plantain: mine goes on as it was: FOLDER/mine.ts is gone");
    expect(await ask("r 4000000")).toBe("0x00000011");
    save("mine.ts", edited(["reset: ID", "reset: 7"]));
    await told(/0x11 -> 0x7/);
  });

  test("a file that does not end loading is given up for the next one", async () => {
    await bootMine();
    save("mine.ts", `${SOURCE}await new Promise(() => {});\n`);
    expect(await told(/loading/)).toBe("plantain: mine goes on as it was: mine.ts does not end loading");
    save("mine.ts", edited(["reset: ID", "reset: 7"]));
    await told(/0x11 -> 0x7/);
    expect(await ask("r 4000000")).toBe("0x00000007");
  });
});

test("without a device of a file it says so in one line", async () => {
  session = new Session(PLANTAIN, ["-M", "virt", "-bios", "none", "-watch"], { cwd: folder });
  expect(await session.end()).toEqual({
    status: 1,
    errors: "plantain: -watch: there is no device of a file to watch: expected -device ./my-device.ts too\n",
  });
});
