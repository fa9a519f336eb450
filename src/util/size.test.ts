import { expect, test } from "vitest";
import { parseSize } from "./size.ts";

test.each([
  ["0", 0n],
  ["512", 512n],
  ["0x1F", 31n],
  ["100B", 100n],
  ["64K", 65536n],
  ["64k", 65536n],
  ["1.5K", 1536n],
  ["1.1K", 1126n],
  ["2G", 2n ** 31n],
  ["1T", 2n ** 40n],
  ["16E", 2n ** 64n],
])("%s is %s bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "K", "1.5", "1.5B", "-1", "1KB", "1 K", "0x", "0x1K", "1e3", ".5K", "1.K", "∞"])(
  "%j is no size",
  (text) => {
    expect(parseSize(text)).toBeUndefined();
  },
);

test("a number without a unit counts in the unit given", () => {
  expect(parseSize("128", "M")).toBe(128n << 20n);
  expect(parseSize("0.5", "G")).toBe(512n << 20n);
  expect(parseSize("128K", "M")).toBe(128n << 10n);
});
