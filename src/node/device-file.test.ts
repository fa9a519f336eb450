// Devices in files, as the command takes them: each case is a run of the command that writes its device tree and ends.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeFdt } from "../fdt/decode.ts";

const PLANTAIN = fileURLToPath(new URL("../../bin/plantain", import.meta.url));

const GOOD = `import { defineDevice, prop, reg32, rw } from "plantain/device";
import { ID } from "./id.ts";
export const mine = defineDevice({
  type: "mine",
  compatible: "acme,mine",
  mmio: { size: 0x1800 },
  irqs: ["a", "b"],
  properties: { level: prop(3 as number, "how much") },
  deviceTree: { properties: ({ level }) => ({ "acme,level": level }) },
  registers: { ID: reg32(0, { access: "ro", reset: ID }), CTRL: reg32(4, { fields: { ON: rw(0) } }) },
  setup({ regs: { CTRL }, irq }) {
    irq.a(() => CTRL.ON);
    irq.b(() => !CTRL.ON);
  },
});
`;

const SMALL = (name: string) => `export const ${name} = defineDevice({ type: "${name}", mmio: { size: 16 } });\n`;
const IMPORT = 'import { defineDevice } from "plantain/device";\n';

const FILES = {
  "good.ts": GOOD,
  "id.ts": "export const ID = 0xba5eba11;\n",
  "two.ts": IMPORT + SMALL("one") + SMALL("other"),
  "nothing.js": "export const answer = 42;\n",
  "syntax.ts": "const a = 1;\nconst b = {;\n",
  "syntax.js": "const a = 1;\nconst b = {;\n",
  "enum.ts": "const a = 1;\nenum Kind { A }\n",
  "throws.ts": 'const a: number = 1;\n\nthrow new Error("no luck");\n',
  "missing.ts": 'import "./gone.ts";\n',
  "inner.ts": 'import "./syntax.ts";\n',
  "definition.ts": `${IMPORT}import { reg32 } from "plantain/device";
export const bad = defineDevice({
  type: "bad",
  mmio: { size: 16 },
  registers: { A: reg32(0), B: reg32(0) },
});
`,
};

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-file-")));
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(...devices: readonly string[]) {
  const options = devices.flatMap((device) => ["-device", device]);
  const { status, stderr } = spawnSync(PLANTAIN, ["-M", "virt,dumpdtb=out.dtb", "-bios", "none", ...options], {
    cwd: folder,
    encoding: "utf8",
  });
  const soc = () => decodeFdt(readFileSync(join(folder, "out.dtb")), "out.dtb").root.find("/soc")!;
  return { status, error: stderr.replaceAll(folder, "FOLDER"), soc };
}

describe("a device's file", () => {
  test("at a place of its own: the device writes its node", () => {
    const { status, error, soc } = run("./good.ts,addr=0x5000000,irq=40,irq=50,level=7");
    expect({ status, error }).toEqual({ status: 0, error: "" });
    const node = soc().find("mine@5000000")!;
    const words = (name: string) => {
      const bytes = node.properties.get(name)!;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length: bytes.length / 4 }, (_, n) => view.getUint32(4 * n));
    };
    expect(words("reg")).toEqual([0, 0x500_0000, 0, 0x1800]);
    expect(words("interrupts")).toEqual([40, 50]);
    expect(words("acme,level")).toEqual([7]);
  });

  test("without a place: behind what is there, pages of its own, interrupts that nobody has", () => {
    const { status, error, soc } = run("good.ts", "./good.ts#mine,addr=auto,irq=auto", "two.ts#one,addr=0x4001000");
    expect({ status, error }).toEqual({ status: 0, error: "" });
    expect([...soc().children.keys()].filter((name) => name.startsWith("mine"))).toEqual([
      "mine@4004000",
      "mine@4002000",
    ]);
  });

  test.each([
    ["./none.ts", "there is no file FOLDER/none.ts"],
    ["./id.ts", "FOLDER/id.ts exports no device: expected export const myDevice = defineDevice({...})"],
    ["nothing.js", "FOLDER/nothing.js exports no device: expected export const myDevice = defineDevice({...})"],
    ["two.ts", "FOLDER/two.ts exports one, other: say which one with #one after the file"],
    ["two.ts#othr", 'othr is not exported by FOLDER/two.ts (did you mean "other"?)'],
    ["syntax.ts", /^Unexpected token .* \(FOLDER\/syntax\.ts:2:12\)$/],
    ["syntax.js", /^Unexpected token .* \(FOLDER\/syntax\.js:2:12\)$/],
    ["inner.ts", /^Unexpected token .* \(FOLDER\/syntax\.ts:2:12\)$/],
    ["enum.ts", "TypeScript enum is not supported in strip-only mode (FOLDER/enum.ts:2:1)"],
    ["throws.ts", "throws.ts threw Error: no luck (FOLDER/throws.ts:3:7)"],
    ["missing.ts", "missing.ts imports FOLDER/gone.ts, which is not there (FOLDER/missing.ts)"],
    ["definition.ts", /^bad\..*overlap.* \(FOLDER\/definition\.ts:6:32\)$/],
    ["good.ts,levle=3", 'mine has no property "levle" (did you mean "level"?)'],
    ["good.ts,addr=0x4000000", /^mine at 0x4000000-0x40017ff overlaps banana-rom at /],
    ["good.ts,irq=40,irq=11", /^mine: interrupt 11 is taken by goldfish-rtc /],
    ["good.ts,irq=40,irq=41,irq=42", "mine: 3 interrupts given, the device has 2"],
    ["good.ts,irq=1,irq=auto", /irq=auto is for all interrupts/],
    ["good.ts,addr=here", /^addr=here: expected auto or a whole number/],
  ])("%s: one line", (device, wanted) => {
    const { status, error } = run(device);
    expect(status).toBe(1);
    const start = `plantain: -device ${device}: `;
    expect(error.startsWith(start), error).toBe(true);
    expect(error.endsWith("\n")).toBe(true);
    const message = error.slice(start.length, -1);
    expect(message).not.toContain("\n");
    if (typeof wanted === "string") expect(message).toBe(wanted);
    else expect(message).toMatch(wanted);
  });
});
