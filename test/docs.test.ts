// The documents, checked: links lead somewhere, the architecture page knows every room, and what the pages tell people to
// type exists.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { bananaDma } from "../examples/banana-dma/banana-dma.ts";
import { bananaSensor } from "../examples/banana-sensor/banana-sensor.ts";
import { bananaUart } from "../examples/banana-uart/banana-uart.ts";
import { registerDoc } from "../src/device/register-doc.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string): string => readFileSync(ROOT + path, "utf8");

const pages = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...pagesIn("docs"),
  ...pagesIn("examples"),
];
const contents = new Map(pages.map((page) => [page, read(page)]));
const { scripts, devDependencies, dependencies = {} } = JSON.parse(read("package.json"));

function pagesIn(folder: string): string[] {
  if (!existsSync(ROOT + folder)) return [];
  return readdirSync(ROOT + folder, { recursive: true, encoding: "utf8" })
    .map((name) => posix.join(folder, name.replaceAll("\\", "/")))
    .filter((path) => path.endsWith(".md") && !path.includes("node_modules"));
}

/** A page without what is code in it. */
const prose = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, "").replaceAll(/`[^`\n]*`/g, "``");

/** Targets of links, without those to other sites. */
const linksOf = (text: string): string[] =>
  [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target));

/** What a heading is called in a link, as code hosts make it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-");

const anchorsOf = (text: string): string[] =>
  [...text.replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));

/** Links of a page that lead nowhere. */
function brokenLinks(page: string, text: string): string[] {
  return linksOf(text).filter((link) => {
    const [path, anchor] = link.split("#") as [string, string | undefined];
    const target = path === "" ? page : posix.join(posix.dirname(page), path);
    if (!existsSync(ROOT + target)) return true;
    if (anchor === undefined) return false;
    return !anchorsOf(target === page ? text : read(target)).includes(anchor);
  });
}

test.each(pages)("%s: links lead somewhere", (page) => {
  expect(brokenLinks(page, contents.get(page)!)).toEqual([]);
});

test("every page is reached from the index of its folder or from README.md", () => {
  const reached = new Set(
    [...contents].flatMap(([page, text]) =>
      linksOf(text).map((link) => posix.join(posix.dirname(page), link.split("#")[0]!)),
    ),
  );
  expect(pages.filter((page) => page.startsWith("docs/") && !reached.has(page))).toEqual([]);
});

describe("ARCHITECTURE.md", () => {
  const page = contents.get("ARCHITECTURE.md")!;

  test("names every room of src, and no other", () => {
    const rooms = readdirSync(`${ROOT}src`, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const rows = [...page.matchAll(/^\| (`[a-z, `]+`) \|/gm)].flatMap(([, names]) => names!.match(/[a-z]+/g)!);
    const architecture = read("test/architecture.test.ts");
    expect(rows).toEqual(expect.arrayContaining(rooms.map((room) => room.name)));
    for (const row of rows.filter((name) => !(name in devDependencies))) {
      expect(architecture, row).toMatch(new RegExp(`^  ${row}: \\[`, "m"));
    }
  });

  test("gives a reason for every package", () => {
    const named = Object.keys({ ...devDependencies, ...dependencies }).filter(
      (name) => !page.includes(`| \`${name}\` |`),
    );
    expect(named).toEqual([]);
  });

  test("names files that exist", () => {
    const files = [...page.matchAll(/`((?:src|test|bin)\/[\w./-]+\.\w+)`/g)].map(([, path]) => path!);
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((path) => !existsSync(ROOT + path))).toEqual([]);
  });
});

describe("the pages of examples", () => {
  const examples = readdirSync(`${ROOT}examples`);

  test("every example has one", () => {
    expect(examples.length).toBeGreaterThan(3);
    expect(examples.filter((name) => !contents.has(`docs/examples/${name}.md`))).toEqual([]);
  });

  test("banana-rom's shows the whole device", () => {
    expect(contents.get("docs/examples/banana-rom.md")).toContain(
      `\`\`\`ts\n${read("examples/banana-rom/banana-rom.ts")}\`\`\`\n`,
    );
  });

  test.each([bananaDma, bananaSensor, bananaUart].map(({ registerMap }) => [registerMap.type, registerMap] as const))(
    "%s: its registers are those that the device has",
    (type, registerMap) => {
      expect(contents.get(`docs/examples/${type}.md`)).toContain(`## Registers\n\n${registerDoc(registerMap)}\n`);
    },
  );

  test("their files exist", () => {
    const files = [...contents]
      .filter(([page]) => page.startsWith("docs/examples/"))
      .flatMap(([, text]) => text.match(/\b(?:examples|test)\/[\w./-]+\.(?:[cs]|ts)\b/g) ?? []);
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((path) => !existsSync(ROOT + path))).toEqual([]);
  });
});

describe("what the pages say to type", () => {
  const commands = [...contents].flatMap(([page, text]) =>
    [...text.matchAll(/\bnpm (?:run )?(start|test|run [a-z]+|(?<=run )[a-z]+)\b/g)].map(
      ([, name]) => [page, name!] as const,
    ),
  );

  // Those of a folder that `plantain new` has made; test/new.test.ts runs them.
  const made = ["driver"];

  test("npm scripts are in package.json", () => {
    expect(commands.map(([, name]) => name)).toEqual(expect.arrayContaining(["start", "test", "bench"]));
    expect(commands.filter(([, name]) => scripts[name] === undefined && !made.includes(name))).toEqual([]);
  });

  test("programs of the checkout are there", () => {
    const programs = [...contents].flatMap(([, text]) =>
      [...text.matchAll(/(?<![\w./])(bin|scripts)\/[\w.-]+\w/g)].map(([path]) => path),
    );
    expect(new Set(programs).size).toBeGreaterThan(2);
    expect([...new Set(programs)].filter((path) => !existsSync(ROOT + path))).toEqual([]);
  });
});

describe("the check sees", () => {
  test.each([
    ["a page that is not there", "[x](nowhere.md)", ["nowhere.md"]],
    ["a heading that is not there", "# One\n[x](#two)", ["#two"]],
    ["a page beside", "[x](docs/article.md#1-a-type)", []],
    ["no code", "`[x](nowhere.md)`\n```\n[y](nowhere.md)\n```", []],
    ["no other sites", "[x](https://example.org/nowhere.md)", []],
  ])("%s", (_what, text, broken) => {
    expect(brokenLinks("README.md", text)).toEqual(broken);
  });
});
