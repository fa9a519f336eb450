// Control and status registers on our harts and on QEMU: which exist in which mode, and what they keep of a write.

import { expect, test } from "vitest";
import { assemble } from "../../src/isa/assembler.ts";
import { csrName } from "../../src/isa/csr-names.ts";
import { type Case, compareCases, Outcome, pageOf, WINDOW } from "./cases.ts";
import { hasQemu, needsQemu } from "./qemu.ts";
import { Random } from "./random.ts";

const TRAPS = 15;
const f = new BigUint64Array(32);

/** Registers that only one side has; all are optional. */
const OPTIONAL = new Map<number, string>([
  [0x24d, "vstimecmp: QEMU has it although it is told to have no hypervisor extension"],
  ...[0x7a0, 0x7a1, 0x7a2, 0x7a3, 0x7a4].map((csr): [number, string] => [csr, "triggers of the debug extension"]),
  // We have all counters, the unused ones as zeros; QEMU has as many as it counts with.
  ...Array.from({ length: 13 }, (_, n): [number, string] => [0xb13 + n, "mhpmcounter"]),
  ...Array.from({ length: 13 }, (_, n): [number, string] => [0xc13 + n, "hpmcounter"]),
]);

test.skipIf(!hasQemu)(`the same registers exist in each mode${needsQemu}`, () => {
  const settings = [
    [3, 0n],
    [1, 0n],
    [1, 0xffffffffn],
    [0, 0n],
    [0, 0xffffffffn],
    [0, 0x5n],
  ] as const;
  const plan = settings.flatMap(([mode, counteren]) =>
    Array.from({ length: Math.ceil(4096 / TRAPS) }, (_, n) => ({ mode, counteren, first: n * TRAPS })),
  );
  const cases = plan.map(({ mode, counteren, first }): Case => {
    const { bytes } = assemble(
      Array.from({ length: Math.min(TRAPS, 4096 - first) }, (_, i) => `csrr a0, ${first + i}`).join("\n"),
    );
    const mstatus = 0x6000n | (BigInt(mode) << 11n);
    return {
      name: `mode ${mode}`,
      x: new BigUint64Array(32),
      f,
      code: bytes,
      csrs: { mstatus, mcounteren: counteren, scounteren: counteren },
    };
  });
  const { ours, theirs } = compareCases(cases);
  const differences: string[] = [];
  for (const [n, { mode, counteren, first }] of plan.entries()) {
    // A register is there unless the access trapped.
    const missing = (ram: Uint8Array): Set<number> =>
      new Set(new Outcome(ram, n).traps.map(({ tval }) => Number(tval >> 20n) & 0xfff));
    const [here, there] = [missing(ours), missing(theirs)];
    for (let csr = first; csr < first + TRAPS && csr < 4096; csr++)
      if (here.has(csr) !== there.has(csr) && !OPTIONAL.has(csr))
        differences.push(
          `${csrName(csr)} in mode ${mode} with counteren ${counteren.toString(16)}: ${here.has(csr) ? "only in QEMU" : "only here"}`,
        );
  }
  expect(differences).toEqual([]);
});

const ALL = (1n << 64n) - 1n;

/**
 * Registers whose writes are compared: the bits that are compared, and those that may be written. What is left out is
 * ours to choose (WARL), or QEMU keeps what a register cannot have.
 */
const WRITTEN: readonly (readonly [name: string, compared: bigint, written?: bigint])[] = [
  // Without V there is no VS, without H no GVA and MPV; UXL and SXL cannot be changed. QEMU keeps an MPP of 2, which is
  // reserved.
  ["mstatus", ~((1n << 63n) | (0xfn << 32n) | 0x600n | (3n << 38n)), ~0x1000n],
  ["sstatus", ~((1n << 63n) | (3n << 32n) | 0x600n)],
  ["misa", 0x3ffffffn & ~0x80n],
  // QEMU delegates to a hypervisor that it does not have, and a call from M-mode, which no lower mode can get.
  ["medeleg", 0xb3ffn],
  ["mideleg", 0x222n],
  ["mie", 0xaaan],
  ["sie", 0xaaan],
  // The timers' bits: the boards differ.
  ["mip", 0x202n],
  ["sip", 0x202n],
  ["mtvec", ~3n, ~3n],
  ["stvec", ~3n, ~3n],
  // QEMU keeps bit 0, which is always 0 (privileged 3.1.14).
  ["mepc", ~1n],
  ["sepc", ~1n],
  ["mscratch", ALL],
  ["sscratch", ALL],
  ["mcause", ALL],
  ["scause", ALL],
  ["mtval", ALL],
  ["stval", ALL],
  // 32 bits wide.
  ["mcounteren", 0xffffffffn],
  ["scounteren", 0xffffffffn],
  // QEMU 7.2 has no Svadu, and keeps a CBIE of 2, which is reserved.
  ["menvcfg", ~(1n << 61n), ~0x20n],
  ["senvcfg", ALL, ~0x20n],
  ["satp", ALL],
  ["fflags", ALL],
  ["frm", ALL],
  ["fcsr", ALL],
  // 56-bit addresses; the two reserved bits of a configuration; no locks, and no write without read.
  ["pmpaddr1", (1n << 54n) - 1n],
  ["pmpcfg0", 0x1f1f1f1f1f1f1f00n, 0x1d1d1d1d1d1d1d00n],
];

test.skipIf(!hasQemu)(`writes leave the same values${needsQemu}`, () => {
  const random = new Random(5);
  const plan: { what: string; compared: bigint }[][] = [];
  const value = (): bigint =>
    random.pick([random.bits64(), ALL, 0n, 1n << BigInt(random.below(64)), ~(1n << BigInt(random.below(64)))]);
  const cases = Array.from({ length: 400 }, (_, n): Case => {
    const x = new BigUint64Array(32);
    x[8] = BigInt(pageOf(n) + WINDOW);
    const lines: string[] = [];
    const steps: { what: string; compared: bigint }[] = [];
    for (let i = 0; i < 20; i++) {
      const [name, compared, written = ALL] = random.pick(WRITTEN);
      const [first, second] = [value() & written, value() & written];
      const op = random.pick(["csrrw", "csrrw", "csrrs", "csrrc"]);
      // What a first write leaves, and what a second does; then the register is as it was.
      lines.push(
        `li a1, ${BigInt.asIntN(64, first)}; li a2, ${BigInt.asIntN(64, second)}; csrr a3, ${name}; csrw ${name}, a1; ${op} a4, ${name}, a2; csrr a5, ${name}; csrw ${name}, a3`,
        `sd a4, ${i * 16}(s0); sd a5, ${i * 16 + 8}(s0)`,
      );
      steps.push({
        what: `${name} ${BigInt.asUintN(64, first).toString(16)}, ${op} ${BigInt.asUintN(64, second).toString(16)}`,
        compared,
      });
    }
    plan.push(steps);
    return { name: "csr", x, f, code: assemble(lines.join("\n")).bytes, csrs: { mstatus: 0x7800n } };
  });
  const { ours, theirs } = compareCases(cases);
  const differences: string[] = [];
  for (const [n, steps] of plan.entries()) {
    const a = new Outcome(ours, n).parts();
    const b = new Outcome(theirs, n).parts();
    for (const [i, { what, compared }] of steps.entries())
      for (const [offset, when] of [
        [0, "first"],
        [8, "then"],
      ] as const) {
        const part = `window+${(i * 16 + offset).toString(16)}`;
        const [x, y] = [a.get(part)!, b.get(part)!];
        if ((x ^ y) & compared) differences.push(`${what}: ${when} ${x.toString(16)} instead of ${y.toString(16)}`);
      }
  }
  expect(differences.slice(0, 40)).toEqual([]);
});
