import { defineDevice, reg32 } from "plantain/device";
import { testbench } from "plantain/testing";
import { expect, test } from "vitest";
import "plantain/testing/matchers";
import { bananaRom } from "./banana-rom.ts";

test.each([
  [0x00, 0xba000001],
  [0x04, 0xdeadbeef],
  [0xfc, 0xdeadbeef],
])("32 bits at %i", (offset, value) => {
  expect(testbench(bananaRom).read32(offset)).toBe(value);
});

test("other widths: an access that begins elsewhere than at 0 finds 0xDEADBEEF", () => {
  const d = testbench(bananaRom);
  expect(d.read64(0x00)).toBe(0xdeadbeef_ba000001n);
  expect(d.read64(0xf8)).toBe(0xdeadbeef_deadbeefn);
  expect(d.read16(0x00)).toBe(0x0001);
  expect(d.read16(0x02)).toBe(0xbeef);
  expect(d.read8(0x00)).toBe(0x01);
  expect(d.read8(0x01)).toBe(0xef);
});

test("it ends after 0x100 bytes", () => {
  expect(() => testbench(bananaRom).read32(0x100)).toThrow("access fault");
});

test("a write is ignored, and the guest's mistake", () => {
  const d = testbench(bananaRom);
  d.write32(0, 1);
  expect(d.read32(0)).toBe(0xba000001);
  expect(d).toHaveGuestErrors(["write of 0x1 (4 bytes) at 0x0: no register is there"]);
});

// The same chip with its register declared: traces, headers and documents know CHIP_ID by name then, and the register
// has four bytes of its own.
const declared = defineDevice({
  type: "banana-rom",
  mmio: { size: 0x100, unmapped: 0xdeadbeef },
  registers: { CHIP_ID: reg32(0x00, { access: "ro", reset: 0xba000001 }) },
});

test("with a declared register", () => {
  const d = testbench(declared);
  expect(d.read("CHIP_ID")).toBe(0xba000001);
  expect(d.read32(0x04)).toBe(0xdeadbeef);
  expect(d.read8(0x01)).toBe(0x00);
  d.write("CHIP_ID", 0);
  expect(d).toHaveRegister("CHIP_ID", 0xba000001);
  expect(d).toHaveGuestErrors(["write to read-only CHIP_ID"]);
});
