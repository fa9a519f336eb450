import { expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { checkValue, defaultValue, type PropertyInfo, type PropertyValue } from "./property.ts";

const accepted: [PropertyInfo["type"], PropertyValue, PropertyValue][] = [
  ["bool", "on", true],
  ["bool", "yes", true],
  ["bool", "true", true],
  ["bool", "y", true],
  ["bool", "off", false],
  ["bool", "no", false],
  ["bool", "false", false],
  ["bool", "n", false],
  ["bool", true, true],
  ["uint8", "255", 255],
  ["uint8", 0, 0],
  ["uint16", "0xFFFF", 65535],
  ["uint32", 4294967295, 4294967295],
  ["uint32", 7n, 7],
  ["int32", "-5", -5],
  ["int32", "-0x80000000", -(2 ** 31)],
  ["uint64", "0xffffffffffffffff", 2n ** 64n - 1n],
  ["uint64", 5, 5n],
  ["int64", -1, -1n],
  ["size", "64K", 65536n],
  ["size", 4096, 4096n],
  ["str", "", ""],
  ["str", "a b", "a b"],
];

test.each(accepted)("%s takes %o as %o", (type, value, expected) => {
  expect(checkValue("dev.x", { type }, value)).toBe(expected);
});

const refused: [PropertyInfo["type"], PropertyValue, string][] = [
  ["bool", "maybe", 'dev.x: "maybe" is not on or off'],
  ["bool", "ON", 'dev.x: "ON" is not on or off'],
  ["bool", 1, "dev.x: 1 is not on or off"],
  ["uint8", "256", 'dev.x: "256" is not a whole number from 0 to 255'],
  ["uint8", -1, "dev.x: -1 is not a whole number from 0 to 255"],
  ["uint16", "", 'dev.x: "" is not a whole number from 0 to 65535'],
  ["uint32", "1.5", 'dev.x: "1.5" is not a whole number from 0 to 4294967295'],
  ["uint32", 1.5, "dev.x: 1.5 is not a whole number from 0 to 4294967295"],
  ["uint32", "010", 'dev.x: "010" is not a whole number from 0 to 4294967295'],
  ["uint32", "4K", 'dev.x: "4K" is not a whole number from 0 to 4294967295'],
  ["uint32", true, "dev.x: true is not a whole number from 0 to 4294967295"],
  [
    "uint64",
    2 ** 60,
    "dev.x: 1152921504606847000 is not a whole number from 0 to 18446744073709551615 (from 2^53 on, give a bigint)",
  ],
  ["int32", "0x80000000", 'dev.x: "0x80000000" is not a whole number from -2147483648 to 2147483647'],
  ["size", "10Q", 'dev.x: "10Q" is not a size such as 4096, 0x1000, 64K or 1.5G'],
  ["size", "16E", 'dev.x: "16E" is not a size such as 4096, 0x1000, 64K or 1.5G'],
  ["size", -1n, "dev.x: -1 is not a size such as 4096, 0x1000, 64K or 1.5G"],
  ["str", 5, "dev.x: 5 is not a string"],
  ["drive", "hd0", 'dev.x: "hd0" is not the id of a drive'],
  ["link", 3, "dev.x: 3 is not an object's path or id"],
];

test.each(refused)("%s refuses %o", (type, value, message) => {
  expect(() => checkValue("dev.x", { type }, value)).toThrow(new UserError(message));
});

test("an enum takes its members and suggests the nearest", () => {
  const info: PropertyInfo = { type: "enum", values: ["ignore", "report", "stop"] };
  expect(checkValue("blk.werror", info, "stop")).toBe("stop");
  expect(() => checkValue("blk.werror", info, "reprot")).toThrow(
    new UserError('blk.werror: "reprot" is not one of ignore, report, stop (did you mean "report"?)'),
  );
});

test("a reference takes an object or nothing", () => {
  const backend = {};
  expect(checkValue("blk.drive", { type: "drive" }, backend)).toBe(backend);
  expect(checkValue("blk.drive", { type: "drive" }, undefined)).toBeUndefined();
});

test("without a default, a property is empty", () => {
  const empty: [PropertyInfo, PropertyValue][] = [
    [{ type: "bool" }, false],
    [{ type: "uint32" }, 0],
    [{ type: "size" }, 0n],
    [{ type: "str" }, ""],
    [{ type: "enum", values: ["auto", "on"] }, "auto"],
    [{ type: "chardev" }, undefined],
  ];
  for (const [info, value] of empty) expect(defaultValue(info)).toBe(value);
});

test("a default has the type of its property, whichever way the author wrote it", () => {
  expect(defaultValue({ type: "size", default: 4096 })).toBe(4096n);
  expect(defaultValue({ type: "size", default: "1M" })).toBe(1n << 20n);
  expect(defaultValue({ type: "uint32", default: 5 })).toBe(5);
});
