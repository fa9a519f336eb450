// plantain.config.ts, as the command finds and reads it: each case writes its device tree, or tells its mistake.

import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodeFdt } from "../fdt/decode.ts";

const PLANTAIN = fileURLToPath(new URL("../../bin/plantain", import.meta.url));
const IMPORT = 'import { defineConfig } from "plantain/config";\n';

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "plantain-config-")));
  mkdirSync(join(folder, "a", "b"), { recursive: true });
  writeFileSync(
    join(folder, "a", "mine.ts"),
    'import { defineDevice } from "plantain/device";\nexport const mine = defineDevice({ type: "mine", compatible: "acme,mine", mmio: { size: 16 } });\n',
  );
  writeFileSync(join(folder, "a", "kernel"), new Uint8Array(64));
  writeFileSync(
    join(folder, "a", "plantain.config.ts"),
    `${IMPORT}export default defineConfig({
  board: "virt,banana-rom=off,dumpdtb=out.dtb",
  bios: "none",
  kernel: "kernel",
  append: "one, two",
  devices: [{ device: "./mine.ts", addr: 0x4000000, id: "m" }],
});\n`,
  );
  writeFileSync(join(folder, "key.ts"), `${IMPORT}export default defineConfig({ kernle: "x" });\n`);
  writeFileSync(join(folder, "option.ts"), `${IMPORT}export default defineConfig({ memory: "much" });\n`);
  writeFileSync(join(folder, "none.ts"), "export const a = 1;\n");
  writeFileSync(join(folder, "guest.ts"), `${IMPORT}export default defineConfig({ guest: "lunix" as "linux" });\n`);
  writeFileSync(join(folder, "files.ts"), `${IMPORT}export default defineConfig({ files: { "/root/x": "gone" } });\n`);
  writeFileSync(join(folder, "place.ts"), `${IMPORT}export default defineConfig({ files: { "x": "key.ts" } });\n`);
  writeFileSync(join(folder, "syntax.ts"), "export default {;\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(where: string, ...words: readonly string[]) {
  const cwd = join(folder, where);
  const env = { ...process.env, PLANTAIN_CACHE: join(folder, "cache") };
  const { status, stderr } = spawnSync(PLANTAIN, words, { cwd, encoding: "utf8", env });
  const tree = () => decodeFdt(readFileSync(join(cwd, "out.dtb")), "out.dtb").root;
  return { status, error: stderr.replaceAll(folder, "FOLDER"), tree };
}

const bootargs = (tree: ReturnType<typeof decodeFdt>["root"]) =>
  new TextDecoder().decode(tree.find("/chosen")!.properties.get("bootargs")).replace("\0", "");

test("found from the working folder upward; paths are relative to it", () => {
  const { status, error, tree } = run("a/b");
  expect({ status, error }).toEqual({ status: 0, error: "" });
  expect(tree().find("/soc/mine@4000000")).toBeDefined();
  expect(bootargs(tree())).toBe("one, two");
});

test("-config, and options that override it", () => {
  const { status, error, tree } = run("", "--config", "a/plantain.config.ts", "-append", "three");
  expect({ status, error }).toEqual({ status: 0, error: "" });
  expect(bootargs(tree())).toBe("three");
});

test("a command line that says what the machine is has no other", () => {
  const { status, tree } = run("a", "-M", "virt,dumpdtb=out.dtb", "-bios", "none");
  expect(status).toBe(0);
  expect(tree().find("/soc/mine@4000000")).toBeUndefined();
});

test("files: an archive beside the packages, else in the cache, where old ones go", () => {
  const config = `${IMPORT}export default defineConfig({ board: "virt,dumpdtb=out.dtb", bios: "none", files: { "/x": "key.ts" } });\n`;
  const cache = join(folder, "cache", "files");
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, "old.cpio"), "");
  utimesSync(join(cache, "old.cpio"), 1, 1);
  writeFileSync(join(cache, "young.cpio"), "");
  writeFileSync(join(folder, "archive.ts"), config);
  for (let n = 0; n < 2; n++) expect(run("", "-config", "archive.ts")).toMatchObject({ status: 0, error: "" });
  expect(readdirSync(cache).sort()).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.cpio$/), "young.cpio"]);
  const project = join(folder, "project");
  mkdirSync(join(project, "node_modules"), { recursive: true });
  writeFileSync(join(project, "key.ts"), "");
  writeFileSync(join(project, "plantain.config.ts"), config);
  expect(run("project")).toMatchObject({ status: 0, error: "" });
  const archive = readFileSync(join(project, "node_modules", ".cache", "plantain", "files.cpio"), "latin1");
  expect(archive).toMatch(/^070701/);
  expect(readdirSync(cache)).toHaveLength(2);
});

test.each([
  ["key.ts", 'plantain: FOLDER/key.ts: there is no "kernle" in a configuration (did you mean "kernel"?)\n'],
  ["option.ts", "plantain: FOLDER/option.ts: -m much: "],
  ["none.ts", "plantain: FOLDER/none.ts: there is no configuration: expected export default defineConfig({...})\n"],
  ["gone.ts", "plantain: -config: there is no file FOLDER/gone.ts\n"],
  ["guest.ts", 'plantain: FOLDER/guest.ts: guest: there is no "lunix": expected "linux"\n'],
  ["files.ts", "plantain: FOLDER/files.ts: FOLDER/gone cannot be read (ENOENT)\n"],
  ["place.ts", 'plantain: FOLDER/place.ts: "x" is no path of a file in the guest: '],
  ["syntax.ts", "plantain: -config: "],
])("%s: one line", (file, message) => {
  const { status, error } = run("", "-config", file);
  expect(status).toBe(1);
  expect(error.startsWith(message), error).toBe(true);
  expect(error.match(/\n/g)).toHaveLength(1);
});
