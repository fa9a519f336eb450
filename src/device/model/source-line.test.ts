import { describe, expect, test } from "vitest";
import { lineOf, markSite, siteOf } from "./source-line.ts";

/** An error with a stack of its own. */
function withStack(...frames: string[]): Error {
  const error = new Error("no");
  error.stack = ["Error: no", ...frames].join("\n");
  return error;
}

const OWN = new URL("./model.ts", import.meta.url).href;

describe("the line of an error", () => {
  test.each<[what: string, frames: string[], line: string]>([
    ["a function", ["    at run (file:///home/me/dma.ts:3:7)"], " (/home/me/dma.ts:3:7)"],
    ["no function", ["    at file:///home/me/dma.ts:3:7"], " (/home/me/dma.ts:3:7)"],
    ["an async function", ["    at async file:///home/me/dma.ts:3:7"], " (/home/me/dma.ts:3:7)"],
    ["a method with another name", ["    at A.run [as fire] (file:///home/me/dma.ts:3:7)"], " (/home/me/dma.ts:3:7)"],
    ["a plain path with spaces", ["    at run (/home/me/my device/dma.ts:3:7)"], " (/home/me/my device/dma.ts:3:7)"],
    ["an encoded path", ["    at run (file:///home/me/my%20device/dma.ts:3:7)"], " (/home/me/my device/dma.ts:3:7)"],
    ["a reloaded module", ["    at run (file:///home/me/dma.ts?v=17:3:7)"], " (/home/me/dma.ts:3:7)"],
    ["Windows", ["    at run (file:///C:/me/dma.ts:3:7)"], " (C:/me/dma.ts:3:7)"],
    ["another engine", ["run@http://localhost/dma.ts:3:7"], " (http://localhost/dma.ts:3:7)"],
    [
      "Plantain's own before",
      [`    at call (${OWN}:1:1)`, "    at run (file:///home/me/dma.ts:3:7)"],
      " (/home/me/dma.ts:3:7)",
    ],
    [
      "Node's and packages' before",
      ["    at node:internal/x:1:2", "    at x (/a/node_modules/b/c.js:1:2)", "    at file:///d.ts:3:7"],
      " (/d.ts:3:7)",
    ],
    ["nobody's", [`    at call (${OWN}:1:1)`, "    at new Promise (<anonymous>)"], ""],
  ])("%s", (_what, frames, line) => {
    expect(lineOf(withStack(...frames))).toBe(line);
  });

  test("is not there for what is no error", () => {
    expect(lineOf("text")).toBe("");
    const bare = new Error("no");
    delete bare.stack;
    expect(lineOf(bare)).toBe("");
  });
});

test("what was made remembers where", () => {
  const made = markSite({});
  // This file is Plantain's own: the line is that of nobody.
  expect([siteOf(made), siteOf({}), siteOf(4)]).toEqual(["", "", ""]);
});
