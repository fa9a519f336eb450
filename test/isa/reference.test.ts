// Instructions that QEMU 7.2 lacks or has wrong, against the specification's own words.

import { expect, test } from "vitest";
import { enter, OPEN, trapOf } from "../../src/riscv/machine-for-tests.ts";

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

test("Zicbom and Zicboz: M-mode may always, S-mode by menvcfg, U-mode by both; a translation is all they need", () => {
  const cause = (mode: 0 | 1 | 3, menvcfg: number, senvcfg: number, what: string): bigint =>
    trapOf(
      `${OPEN} li t0, ${menvcfg}; csrw menvcfg, t0; li t0, ${senvcfg}; csrw senvcfg, t0; ${enter(mode)} below: la a0, handler; addi a0, a0, 1024; ${what} (a0);`,
    ).cause;
  for (const [what, bit] of [
    ["cbo.inval", 4],
    ["cbo.clean", 6],
    ["cbo.flush", 6],
    ["cbo.zero", 7],
  ] as const) {
    const on = 1 << bit;
    const causes = [
      [3, 0, 0],
      [1, 0, on],
      [1, on, 0],
      [0, on, 0],
      [0, 0, on],
      [0, on, on],
    ] as const;
    expect([what, ...causes.map(([mode, m, s]) => cause(mode, m, s, what))]).toEqual([what, -1n, 2n, -1n, 2n, 2n, -1n]);
  }
  // CBIE = 3 lets it invalidate, 1 makes it flush: here both change nothing that a program sees.
  expect(cause(1, 0x30, 0, "cbo.inval")).toBe(-1n);
  // Their faults are those of stores, with the address itself.
  expect(trapOf("li a0, (1 << 56) + 5; cbo.clean (a0);")).toMatchObject({ cause: 7n, tval: (1n << 56n) + 5n });
});

test("Zawrs: a hart that waits for a reservation goes on; each instruction counts once", () => {
  const { cause, a } = trapOf("csrr a0, minstret; wrs.nto; wrs.sto; nop; csrr a1, minstret; li a2, 5;");
  expect([cause, a[1]! - a[0]!, a[2]]).toEqual([-1n, 4n, 5n]);
});

test("hints change nothing but the pc: prefetches, pause, compressed ones", () => {
  const hints = [0x0000e013, 0x0010e013, 0x0030e013, 0x0100000f, 0x00000033, 0x00100013].map(
    (word) => `.word ${word};`,
  );
  const short = [0x0001, 0x0005, 0x4001, 0x4005, 0x6005, 0x8006, 0x9006, 0x0002].map((half) => `.half ${half};`);
  const { cause, machine } = trapOf(`li a0, 7; ${hints.join("")}${short.join("")} .balign 4; csrr a1, minstret;`);
  expect(cause).toBe(-1n);
  expect(machine.hart.x(10)).toBe(7n);
  expect(machine.hart.x(0)).toBe(0n);
});
