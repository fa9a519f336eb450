// Whole machines on both tiers: a run that counts instructions repeats to the letter, and several harts boot Linux.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { assemble } from "../src/isa/assembler.ts";
import { converse } from "./converse.ts";
import { describeWithGuest } from "./guest.ts";

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

/** Prints where it was, and when, at each of 40 timer interrupts while it works; then a checksum. */
const PROGRAM = `
  la t0, handler
  csrw mtvec, t0
  li sp, 0x80100000
  li s2, 0x2004000      # mtimecmp
  li s3, 0x200bff8      # mtime
  li s4, 0x10000000     # UART
  li s5, 40
  ld t0, 0(s3)
  addi t0, t0, 37
  sd t0, 0(s2)
  li t0, 0x80
  csrw mie, t0
  csrsi mstatus, 8
  li s0, 0
  li s1, 1
work:
  slli t1, s1, 13
  xor s1, s1, t1
  srli t1, s1, 7
  xor s1, s1, t1
  slli t1, s1, 17
  xor s1, s1, t1
  andi t2, s1, 127
  add t3, sp, t2
  sb s1, 0(t3)
  lbu t4, 1(t3)
  add s0, s0, t4
  andi t2, s1, 3
  bnez t2, work
  call mix
  bnez s5, work
  mv a0, s0
  call print
  li t0, 0x100000
  li t1, 0x5555
  sw t1, 0(t0)
1: j 1b
mix:
  mul s0, s0, s1
  ret
handler:
  mv s7, ra
  csrr s6, mepc
  mv a0, s6
  call print
  csrr a0, minstret
  call print
  ld a0, 0(s3)
  call print
  mv a0, s0
  call print
  li t5, 10
  sb t5, 0(s4)
  ld t5, 0(s3)
  andi t6, s1, 1023
  add t5, t5, t6
  addi t5, t5, 11
  sd t5, 0(s2)
  addi s5, s5, -1
  bnez s5, 2f
  li t5, -1
  sd t5, 0(s2)
2: mv ra, s7
  mret
print:                  # a0 in hexadecimal; uses t5, t6, a1, a2
  li a1, 60
1: srl t5, a0, a1
  andi t5, t5, 15
  li t6, 10
  blt t5, t6, 2f
  addi t5, t5, 39
2: addi t5, t5, 48
  sb t5, 0(s4)
  addi a1, a1, -4
  bgez a1, 1b
  li t5, 32
  sb t5, 0(s4)
  ret
`;

describe("time by instructions", () => {
  const folder = mkdtempSync(join(tmpdir(), "plantain-tiers-"));
  const file = join(folder, "program.bin");
  afterAll(() => rmSync(folder, { recursive: true }));

  const run = (...options: string[]) => {
    writeFileSync(file, assemble(PROGRAM, { base: 0x8000_0000n }).bytes);
    const line = ["-M", "virt", "-bios", "none", "-kernel", file, "-nographic", "-monitor", "none", ...options];
    const { stdout, stderr, status } = spawnSync(process.execPath, [MAIN, ...line], {
      encoding: "latin1",
      timeout: 60_000,
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    return stdout;
  };

  test("both tiers take each interrupt at the same instruction, in every run", () => {
    const first = run("-icount", "4,sleep=off", "-accel", "interp");
    expect(first.trim().split("\n")).toHaveLength(41);
    expect(run("-icount", "4,sleep=off", "-accel", "interp")).toBe(first);
    for (let n = 0; n < 3; n++) expect(run("-icount", "4,sleep=off", "-accel", "jit")).toBe(first);
    // A run by the host's clock is another one: the comparison can fail.
    expect(run("-accel", "jit")).not.toBe(first);
  });
});

describeWithGuest("several harts", () => {
  test("Linux brings up four, and they work together", async () => {
    const { output, status } = await converse(
      process.env,
      ["-smp", "4"],
      [
        [/login: $/, "root"],
        [/# $/, "nproc; for i in 1 2 3 4 5 6; do seq 1 3000 | sha256sum & done; wait; grep -c IPI /proc/interrupts"],
        [/# $/, "poweroff"],
      ],
    );
    expect(status).toBe(0);
    expect(output).toMatch(/^4\r?$/m);
    // printf of 1 to 3000, a line each: six processes came to the same answer.
    const sums = output.match(/^[0-9a-f]{64} {2}-/gm) ?? [];
    expect(sums).toHaveLength(6);
    expect(new Set(sums).size).toBe(1);
  });
});
