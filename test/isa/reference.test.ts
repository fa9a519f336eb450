// Instructions that QEMU 7.2 lacks or has wrong, against the specification's own words.

import { expect, test } from "vitest";
import { trapOf } from "../../src/riscv/machine-for-tests.ts";

test.each([
  ["czero.eqz a0, a1, a2", 5n, 0n, 0n],
  ["czero.eqz a0, a1, a2", 5n, 1n, 5n],
  ["czero.eqz a0, a1, a2", 5n, 1n << 63n, 5n],
  ["czero.nez a0, a1, a2", 5n, 0n, 5n],
  ["czero.nez a0, a1, a2", 5n, 1n << 32n, 0n],
  // The count is 32 where the low word is 0, whatever the high one holds.
  ["ctzw a0, a1", 0n, 0n, 32n],
  ["ctzw a0, a1", 1n << 34n, 0n, 32n],
  ["ctzw a0, a1", (1n << 34n) | 0x80000000n, 0n, 31n],
  ["ctzw a0, a1", 0xffff_fffen, 0n, 1n],
])("%s of %d and %d is %d", (code, a1, a2, expected) => {
  const { a } = trapOf(`li a1, ${BigInt.asIntN(64, a1)}; li a2, ${BigInt.asIntN(64, a2)}; li a0, -1; ${code};`);
  expect(a[0]).toBe(expected);
});

test("Zicboz zeroes the 64 bytes around an address", () => {
  const fill = Array.from({ length: 24 }, (_, n) => `sd t0, ${n * 8}(a0);`).join("");
  const { a, machine } = trapOf(
    `li t0, -1; la a0, block; ${fill} addi a1, a0, 100; cbo.zero (a1); j 1f; .balign 64; block: .space 192; 1: nop;`,
  );
  const words = Array.from({ length: 24 }, (_, n) => machine.read64(a[0]! + BigInt(n * 8)));
  expect(words).toEqual(Array.from({ length: 24 }, (_, n) => (n >= 8 && n < 16 ? 0n : (1n << 64n) - 1n)));
});

test("Zicbom: allowed by menvcfg and senvcfg, needs a translation and no more", () => {
  const clean = (setup: string) => trapOf(`${setup} la a0, handler; cbo.clean (a0); cbo.flush (a0); cbo.inval (a0);`);
  expect(clean("").cause).toBe(-1n);
  expect(trapOf("li a0, 1 << 56; cbo.clean (a0);")).toMatchObject({ cause: 7n, tval: 1n << 56n });
});
