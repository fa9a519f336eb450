// The words that plantain takes in place of options, as a user types them, in a folder of their own.

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "./table.ts";

const PLANTAIN = fileURLToPath(new URL("../../../bin/plantain", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-commands-")));
  mkdirSync(join(folder, "taken"));
  writeFileSync(join(folder, "taken", "precious"), "keep me");
  writeFileSync(join(folder, "file"), "");
  mkdirSync(join(folder, "empty"));
  mkdirSync(join(folder, "closed"));
  chmodSync(join(folder, "closed"), 0o555);
  const device = (name: string) =>
    `export const ${name} = defineDevice({ type: "${name}", mmio: { size: 16 }, registers: { R: reg32(0) } });\n`;
  const imports = 'import { defineDevice, reg32 } from "plantain/device";\n';
  writeFileSync(join(folder, "one.ts"), imports + device("one"));
  writeFileSync(join(folder, "right.s"), "start: li a0, 7\n wfi\n la a1, start\n j start\n");
  writeFileSync(join(folder, "wrong.s"), "li a0, 7\nmov a1, a0\n");
  writeFileSync(join(folder, "two.ts"), imports + device("one") + device("two"));
});
afterAll(() => {
  chmodSync(join(folder, "closed"), 0o755);
  rmSync(folder, { recursive: true });
});

function run(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(PLANTAIN, words, { cwd: folder, encoding: "utf8" });
  return { status, output: stdout, error: stderr.replaceAll(folder, "FOLDER") };
}

const EXPECTED = "expected a name of small letters, digits and single hyphens";

describe("a mistake is one line, and nothing is made", () => {
  test.each([
    [["new"], "new: something is missing: expected plantain new NAME"],
    [["new", ""], "new: there is an empty word: expected plantain new NAME"],
    [["new", "a", "b"], "new: b is too much: expected plantain new NAME"],
    [["new", "-x"], "new: -x: there is no such option: expected plantain new NAME"],
    [["new", "MyDevice"], `new: MyDevice: ${EXPECTED}, such as "my-device"`],
    [["new", "my_device"], `new: my_device: ${EXPECTED}, such as "my-device"`],
    [["new", "2x"], `new: 2x: ${EXPECTED}, such as "x"`],
    [["new", "a--b"], `new: a--b: ${EXPECTED}, such as "a-b"`],
    [["new", "b-"], `new: b-: ${EXPECTED}, such as "b"`],
    [["new", "."], /^new: \.: expected a name|^new: \. is there and not empty/],
    [["new", "données"], `new: données: ${EXPECTED}, such as "donn-es"`],
    [["new", "../../.."], /^new: \.\.\/\.\.\/\.\.: expected a name/],
    [["new", "x".repeat(41)], /a device's name has at most 40 characters, this one has 41/],
    [["new", "taken"], "new: taken is there and not empty: expected a name that is not taken, or an empty folder"],
    [["new", "file"], "new: file is a file"],
    [["new", "gone/my-device"], "new: gone/my-device: there is no folder FOLDER/gone"],
    [["new", "file/my-device"], "new: file/my-device cannot be made (ENOTDIR)"],
    [["header"], "header: something is missing: expected plantain header FILE[#EXPORT] [HEADER]"],
    [["header", "gone.ts"], "header gone.ts: there is no file FOLDER/gone.ts"],
    [["header", "file"], /^header file: .*FOLDER\/file/],
    [["header", "two.ts"], "header two.ts: FOLDER/two.ts exports one, two: say which one with #one after the file"],
    [["header", "two.ts#tow"], /tow is not exported by FOLDER\/two\.ts \(did you mean "two"\?\)/],
    [["header", "one.ts", "gone/one.h"], "header: gone/one.h cannot be written (ENOENT)"],
    [["module"], "module: something is missing: expected plantain module FOLDER"],
    [["module", "--fast", "taken"], "module: --fast: there is no such option: expected plantain module FOLDER"],
    [["program", "file.s"], "program: file.s: expected a file whose name ends in .c"],
    [["program", "a.c", "a", "b"], "program: b is too much: expected plantain program FILE.c [OUTPUT]"],
    [["assemble"], "assemble: something is missing: expected plantain assemble FILE.s [OUTPUT]"],
    [["assemble", "file"], "assemble: file: expected a file whose name ends in .s"],
    [["assemble", "gone.s"], "assemble: gone.s cannot be read (ENOENT)"],
    [["assemble", "wrong.s"], "wrong.s:2: instruction mov is not known, did you mean mv?"],
    [["assemble", "right.s", "gone/right.bin"], "assemble: gone/right.bin cannot be written (ENOENT)"],
  ] as const)("%j", (words, message) => {
    const before = readdirSync(folder, { recursive: true });
    const { status, error, output } = run(...words);
    expect({ status, output }).toEqual({ status: 1, output: "" });
    expect(error.match(/\n/g)).toHaveLength(1);
    const said = error.replace(/^plantain: /, "").trimEnd();
    if (typeof message === "string") expect(said).toBe(message);
    else expect(said).toMatch(message);
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
  });

  const isRoot = process.getuid?.() === 0;
  test.skipIf(isRoot)("a folder that may not be written (not for root, who may)", () => {
    expect(run("new", "closed/my-device").error).toBe("plantain: new: closed/my-device cannot be made (EACCES)\n");
  });

  test.skipIf(process.platform !== "linux")("a folder that nobody may write (needs Linux's /proc)", () => {
    const { status, error } = run("new", "/proc/my-device");
    expect({ status, error }).toEqual({
      status: 1,
      error: expect.stringMatching(/^plantain: new: \/proc\/my-device cannot be made \(E[A-Z]+\)\n$/),
    });
  });
});

describe("new", () => {
  test("writes everything in the words of the device", () => {
    const { status, error, output } = run("new", "class-2");
    expect({ status, error }).toEqual({ status: 0, error: "" });
    expect(output).toMatch(/^class-2 has a device \(class-2\.ts\)[\s\S]*cd class-2\n[\s\S]*npm test/);
    const made = join(folder, "class-2");
    const files = readdirSync(made, { recursive: true, encoding: "utf8" }).filter((path) => !/node_modules/.test(path));
    expect(files.sort()).toEqual(
      [
        ".gitignore",
        "README.md",
        "class-2-driver.test.ts",
        "class-2.test.ts",
        "class-2.ts",
        "driver",
        "driver/Makefile",
        "driver/class-2-regs.h",
        "driver/class_2.c",
        "package.json",
        "plantain.config.ts",
        "tsconfig.json",
      ].sort(),
    );
    const texts = files.filter((file) => file !== "driver").map((file) => readFileSync(join(made, file), "utf8"));
    for (const text of texts) expect(text).not.toMatch(/my.?device|TODO/i);
    expect(readFileSync(join(made, "class-2.ts"), "utf8")).toContain("export const class2Device = defineDevice({");
    expect(readFileSync(join(made, "driver", "class-2-regs.h"), "utf8")).toContain("#define CLASS_2_CTRL_START ");
    expect(JSON.parse(readFileSync(join(made, "package.json"), "utf8"))).toMatchObject({
      name: "class-2",
      devDependencies: { plantain: expect.stringMatching(/^file:/), vitest: expect.any(String) },
    });
    // What npm would look for is there.
    for (const path of ["plantain/package.json", "vitest/package.json", ".bin/tsc", ".bin/plantain"]) {
      expect(existsSync(join(made, "node_modules", path)), path).toBe(true);
    }
  });

  test("takes an empty folder, and a path", () => {
    expect(run("new", "empty/")).toMatchObject({ status: 0, error: "" });
    expect(existsSync(join(folder, "empty", "empty.ts"))).toBe(true);
    expect(run("new", "empty/inner")).toMatchObject({ status: 0, error: "" });
    expect(readFileSync(join(folder, "empty", "inner", "inner.ts"), "utf8")).toContain("innerDevice");
  });

  test("a name that ends like the one it would get", () => {
    expect(run("new", "define-device").status).toBe(0);
    const text = readFileSync(join(folder, "define-device", "define-device.ts"), "utf8");
    expect(text).toContain("export const defineDeviceDevice = defineDevice({");
  });
});

describe("header", () => {
  test("is printed, or written to a file", () => {
    const { status, output } = run("header", "two.ts#two");
    expect(status).toBe(0);
    expect(output).toMatch(/^#define TWO_R +0x00$/m);
    expect(run("header", "two.ts#two", "two.h")).toEqual({ status: 0, output: "", error: "" });
    expect(readFileSync(join(folder, "two.h"), "utf8")).toBe(output);
  });
});

describe("assemble", () => {
  test("writes the program as the start of RAM has it", () => {
    expect(run("assemble", "right.s")).toEqual({
      status: 0,
      output: "right.bin: 20 bytes for -bios none -kernel\n",
      error: "",
    });
    expect(run("assemble", "right.s", "other")).toMatchObject({ status: 0 });
    const bytes = readFileSync(join(folder, "right.bin"));
    expect(bytes.readUInt32LE(0)).toBe(0x00700513);
    expect(bytes.readUInt32LE(4)).toBe(0x10500073);
    expect(readFileSync(join(folder, "other"))).toEqual(bytes);
  });
});

describe("help", () => {
  test.each(COMMANDS.map((command) => [command.name, command] as const))("%s", (name, { form, help }) => {
    for (const option of ["--help", "-h", "-help"]) {
      const { status, output, error } = run(name, option);
      expect({ status, error }).toEqual({ status: 0, error: "" });
      expect(output.startsWith(`usage: plantain ${name} ${form}\n`)).toBe(true);
    }
    const page = run("--help").output.replaceAll(/\s+/g, " ");
    expect(page).toContain(`plantain ${name} ${form} ${help}`);
  });
});
