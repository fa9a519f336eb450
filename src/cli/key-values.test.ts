import { describe, expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { listOf, OptionValues, splitKeyValues } from "./key-values.ts";

const pairs = (text: string, implied?: string, flags?: string[]) =>
  splitKeyValues(text, implied, flags).map(({ key, value }) => `${key}=${value}`);

describe("splitKeyValues", () => {
  test.each([
    ["virt,usb=off", "type", ["type=virt", "usb=off"]],
    ["file=a.img,id=hd0", undefined, ["file=a.img", "id=hd0"]],
    ["type=virt", "type", ["type=virt"]],
    // A double comma is a comma, wherever it stands.
    ["file=a,,b,,,id=x", undefined, ["file=a,b,", "id=x"]],
    ["a,,b,id=x", "type", ["type=a,b", "id=x"]],
    // The value may have an equals sign of its own.
    ["hostfwd=tcp::1-:2,x=a=b", undefined, ["hostfwd=tcp::1-:2", "x=a=b"]],
    ["", "type", ["type="]],
    ["a,", "type", ["type=a"]],
    ["a,,", "type", ["type=a,"]],
    ["file=x,readonly", undefined, ["file=x", "readonly=on"]],
  ] as const)("%s", (text, implied, expected) => {
    expect(pairs(text, implied)).toEqual(expected);
  });

  test("a flag with no in front is off, a key that begins so is not", () => {
    const flags = ["server", "wait", "nodelay"];
    expect(pairs("p,server,nowait,nodelay,nothing", "path", flags)).toEqual([
      "path=p",
      "server=on",
      "wait=off",
      "nodelay=on",
      "nothing=on",
    ]);
  });
});

describe("OptionValues", () => {
  const option = (text: string) => new OptionValues("-x", splitKeyValues(text));

  test("the last of several values counts", () => {
    expect(option("a=1,a=2").text("a")).toBe("2");
    expect(option("a=1,a=2").all("a")).toEqual(["1", "2"]);
  });

  test.each([
    ["on", true],
    ["yes", true],
    ["true", true],
    ["y", true],
    ["off", false],
    ["no", false],
    ["false", false],
    ["n", false],
  ])("bool %s", (text, expected) => {
    expect(option(`a=${text}`).bool("a")).toBe(expected);
  });

  test.each([
    ["bool", "a=maybe", (o: OptionValues) => o.bool("a"), "-x: a=maybe: expected on or off"],
    ["bool case", "a=ON", (o: OptionValues) => o.bool("a"), "-x: a=ON: expected on or off"],
    ["integer", "a=x", (o: OptionValues) => o.integer("a", 1, 8), "-x: a=x: expected a whole number from 1 to 8"],
    ["integer above", "a=9", (o: OptionValues) => o.integer("a", 1, 8), "-x: a=9: expected a whole number from 1 to 8"],
    [
      "integer sign",
      "a=-1",
      (o: OptionValues) => o.integer("a", 0, 8),
      "-x: a=-1: expected a whole number from 0 to 8",
    ],
    ["size", "a=1x", (o: OptionValues) => o.size("a", "M"), /a=1x: expected a size such as 512M or 2G .*MiB/],
    ["oneOf", "a=writebakc", (o: OptionValues) => o.oneOf("a", ["writeback", "none"]), /did you mean "writeback"/],
    ["required", "b=1", (o: OptionValues) => o.required("a", "a file"), "-x: a= is missing: expected a file"],
    ["id", "id=1a", (o: OptionValues) => o.id(), /id=1a: expected a letter, then/],
    ["no id", "b=1", (o: OptionValues) => o.requiredId(), /id= is missing/],
    ["not yet", "tftp=x", (o: OptionValues) => o.notYet("tftp"), "-x: tftp=: not in Plantain yet"],
  ] as const)("%s is refused", (_what, text, read, message) => {
    expect(() => read(option(text))).toThrow(UserError);
    expect(() => read(option(text))).toThrow(message);
  });

  test("what nobody took is an error with the nearest key", () => {
    const o = option("fille=x");
    o.text("file");
    expect(() => o.finish()).toThrow('-x: unknown key "fille" (did you mean "file"?)');
    const other = option("zzz=x");
    other.text("file");
    other.text("id");
    expect(() => other.finish()).toThrow('-x: unknown key "zzz": expected file or id');
    expect(() => option("a=1,,b=2").finish()).toThrow('unknown key "a"');
  });

  test("properties keep odd names as data", () => {
    expect(Object.entries(option("__proto__=1,b=2").rest())).toEqual([
      ["__proto__", "1"],
      ["b", "2"],
    ]);
  });
});

test("listOf", () => {
  expect([listOf([]), listOf(["a"]), listOf(["a", "b"]), listOf(["a", "b", "c"])]).toEqual([
    "",
    "a",
    "a or b",
    "a, b or c",
  ]);
});
