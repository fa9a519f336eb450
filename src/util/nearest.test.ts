import { expect, test } from "vitest";
import { didYouMean, nearest } from "./nearest.ts";

const devices = ["virtio-blk-device", "virtio-net-device", "banana-rom", "sifive-test"];

test.each([
  ["virtio-blk-devcie", "virtio-blk-device"],
  ["virtio_net_device", "virtio-net-device"],
  ["Banana-ROM", "banana-rom"],
  ["bananarom", "banana-rom"],
  ["sifive-tset", "sifive-test"],
])("%s was meant to be %s", (name, expected) => {
  expect(nearest(name, devices)).toBe(expected);
});

test("names that share too little are not suggested", () => {
  expect(nearest("e1000", devices)).toBeUndefined();
  expect(nearest("x", ["y1", "z1"])).toBeUndefined();
  expect(nearest("banana-rom", [])).toBeUndefined();
});

test("the first of equally near names wins, an exact one beats all", () => {
  expect(nearest("hd", ["hd0", "hd1"])).toBe("hd0");
  expect(nearest("hd1", ["hd0", "hd1"])).toBe("hd1");
});

test("didYouMean is the end of an error message", () => {
  expect(didYouMean("bannana-rom", devices)).toBe(' (did you mean "banana-rom"?)');
  expect(didYouMean("e1000", devices)).toBe("");
});
