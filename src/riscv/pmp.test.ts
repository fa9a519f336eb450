// Physical memory protection (privileged specification 3.7): what QEMU 7.2 does not show (test/isa/pmp.test.ts compares
// the rest with it): pages that are protected in parts, locked entries, walks that are denied.

import { describe, expect, test } from "vitest";
import { enter, FINISHER, OPEN, PageTables, PTE, RAM, TestMachine, trapOf } from "./machine-for-tests.ts";

const DATA = RAM + 0x40000;
const R = 1;
const W = 2;
const X = 4;
const TOR = 1 << 3;
const NA4 = 2 << 3;
const NAPOT = 3 << 3;
const LOCK = 0x80;

/** Sets entry n, in M-mode. */
const entry = (n: number, address: number | string, cfg: number): string =>
  `li t0, (${address}) >> 2; csrw pmpaddr${n}, t0; li t0, ${cfg} << ${(n % 8) * 8}; csrs pmpcfg${n < 8 ? 0 : 2}, t0;`;
/** A naturally aligned range's address as `entry` takes it. */
const napot = (base: number, size: number): number => base + size / 2 - 4;

describe("which entry decides", () => {
  test("entries that are off match nothing, also at address 0", () => {
    const machine = new TestMachine();
    machine.io(
      "at zero",
      0,
      0x1000,
      () => 0x1234,
      () => {},
    );
    expect(trapOf(`${OPEN} lw a0, 0(zero);`, machine)).toMatchObject({ cause: -1n });
    expect(machine.hart.x(10)).toBe(0x1234n);
  });

  test("no entry: nothing but M-mode gets anywhere", () => {
    expect(trapOf(`${enter(1)} below: nop;`)).toMatchObject({ cause: 1n });
    expect(trapOf(`la a0, handler; li t0, 0x20000; csrs mstatus, t0; lw a1, 0(a0);`)).toMatchObject({ cause: 5n });
  });

  test("the lowest that any byte of an access touches, and it must hold all of them", () => {
    const inside = entry(0, DATA + 4, NA4 | R | W);
    const access = (what: string): bigint =>
      trapOf(`${inside}${OPEN}${enter(1)} below: li a0, ${DATA}; ${what};`).cause;
    expect(access("lw a1, 4(a0)")).toBe(-1n);
    expect(access("ld a1, 0(a0)")).toBe(5n);
    expect(access("ld a1, 2(a0)")).toBe(5n); // the entry touches neither end
    expect(access("sd a1, 2(a0)")).toBe(7n);
    expect(access("ld a1, 8(a0)")).toBe(-1n);
    expect(access("amoadd.d a1, a1, (a0)")).toBe(7n);
    expect(access("lr.d a1, (a0)")).toBe(5n);
  });

  test("in M-mode too an access that an entry holds in part fails, locked or not", () => {
    expect(trapOf(`${entry(0, DATA + 4, NA4)} li a0, ${DATA}; lw a1, 4(a0); ld a1, 0(a0);`)).toMatchObject({
      cause: 5n,
      tval: BigInt(DATA),
    });
  });

  test("top of range: from the entry before, or from 0; empty where it does not rise", () => {
    const load = (entries: string, offset: number): bigint =>
      trapOf(`${entries}${OPEN}${enter(1)} below: li a0, ${DATA}; lw a1, ${offset}(a0);`).cause;
    const range = entry(0, DATA, 0) + entry(1, DATA + 16, TOR);
    expect([-4, 0, 12, 16].map((o) => load(range, o))).toEqual([-1n, 5n, 5n, -1n]);
    const falling = entry(0, DATA + 16, 0) + entry(1, DATA, TOR);
    expect([-4, 0, 12, 16].map((o) => load(falling, o))).toEqual([-1n, -1n, -1n, -1n]);
    // Everything below DATA is denied, the code as well; reached by M-mode's loads for S-mode.
    const mprv = "li t0, 0x1800; csrc mstatus, t0; li t0, 0x20800; csrs mstatus, t0;";
    const fromZero = (offset: number): bigint =>
      trapOf(
        `${entry(0, DATA, TOR)}${OPEN}${mprv} li a0, ${DATA}; lw a1, ${offset}(a0); li t0, 0x20000; csrc mstatus, t0;`,
      ).cause;
    expect([-4, 0].map(fromZero)).toEqual([5n, -1n]);
  });

  test("a change counts from the next access on", () => {
    const body = `${OPEN} ${entry(0, napot(DATA, 4096), NAPOT | R | W)} la t0, again; csrw mtvec, t0; ${enter(1)}
below: li a0, ${DATA}; sw a0, 0(a0); lw a1, 0(a0); ecall; li a2, 1; sw a0, 0(a0);
      .align 2
again: la t0, handler; csrw mtvec, t0; csrw pmpcfg0, ${NAPOT | R}; csrr t0, mepc; addi t0, t0, 4; csrw mepc, t0; mret;`;
    const { cause, tval, machine } = trapOf(body);
    expect([cause, tval, machine.hart.x(12)]).toEqual([7n, BigInt(DATA), 1n]);
  });
});

describe("pages with code that are protected in parts", () => {
  // S-mode runs along; four bytes in the middle must not be executed.
  const body = (denied: string, code: string): string =>
    `la t0, ${denied}; srli t0, t0, 2; csrw pmpaddr0, t0; csrwi pmpcfg0, ${NA4 | R}; ${OPEN}${enter(1)} .balign 16; below: ${code}`;

  test("code runs up to the instruction that may not be fetched, and not from there", () => {
    const outcome = trapOf(body("stop", "li a0, 1; li a1, 2; stop: li a2, 3;"));
    expect(outcome).toMatchObject({ cause: 1n, tval: outcome.machine.at("stop"), epc: outcome.machine.at("stop") });
    expect(outcome.a.slice(0, 3)).toEqual([1n, 2n, 0n]);
  });

  test("an instruction whose second half may not be fetched", () => {
    // c.nop, then a long instruction whose second half is at `stop`.
    const outcome = trapOf(body("stop", ".half 1; li a0, 7; .half 0x0513; stop: .half 0x0015, 1;"));
    const stop = outcome.machine.at("stop");
    expect(outcome).toMatchObject({ cause: 1n, tval: stop, epc: stop - 2n });
    expect(outcome.a[0]).toBe(7n);
  });

  test("jumps over it and loops around it work", () => {
    const code =
      "li a0, 0; li a1, 10; 1: addi a0, a0, 3; j 2f; stop: .word 0; 2: addi a1, a1, -1; bnez a1, 1b; jal 3f; 3: nop;";
    expect(trapOf(body("stop", code))).toMatchObject({ cause: -1n, a: expect.arrayContaining([30n]) });
  });

  test("loads and stores beside code in such a page; what is stored is executed", () => {
    const code =
      "la a0, patch; li a1, 0x00700613; sw a1, 0(a0); fence.i; lw a3, 0(a0); j patch; stop: .word 0; patch: .word 0;";
    const { cause, machine } = trapOf(body("stop", code));
    expect([cause, machine.hart.x(12), machine.hart.x(13)]).toEqual([-1n, 7n, 0x00700613n]);
  });
});

describe("locked entries (3.7.1)", () => {
  const locked = entry(2, napot(DATA, 4096), NAPOT | LOCK | R);

  test("bind M-mode", () => {
    expect(trapOf(`${locked} li a0, ${DATA}; lw a1, 0(a0);`)).toMatchObject({ cause: -1n });
    expect(trapOf(`${locked} li a0, ${DATA}; sw a1, 0(a0);`)).toMatchObject({ cause: 7n });
    expect(trapOf(`${locked} li a0, ${DATA}; jr a0;`)).toMatchObject({ cause: 1n, epc: BigInt(DATA) });
    expect(trapOf(`${entry(2, napot(DATA, 4096), NAPOT | R)} li a0, ${DATA}; sw a1, 0(a0);`)).toMatchObject({
      cause: -1n,
    });
  });

  test("keep what they are until reset, and so does the address below a locked top of range", () => {
    const tries =
      "li t1, -1; csrw pmpaddr2, t1; csrw pmpcfg0, zero; csrr a0, pmpaddr2; csrr a1, pmpcfg0; csrw pmpaddr1, t1; csrr a2, pmpaddr1;";
    const outcome = trapOf(`${locked}${tries}`);
    const cfg = BigInt(NAPOT | LOCK | R) << 16n;
    expect(outcome.a.slice(0, 3)).toEqual([BigInt(napot(DATA, 4096)) >> 2n, cfg, (1n << 54n) - 1n]);
    outcome.machine.hart.reset(BigInt(RAM));
    expect(outcome.machine.hart.csr(0x3a0)).toBe(0n);
    const range = trapOf(`${entry(1, DATA, 0)}${entry(2, DATA + 4096, TOR | LOCK | R)}${tries}`);
    expect(range.a[2]).toBe(BigInt(DATA) >> 2n);
  });

  test("bind M-mode's code in the middle of a page", () => {
    const outcome = trapOf(
      `la t0, stop; srli t0, t0, 2; csrw pmpaddr0, t0; csrwi pmpcfg0, ${NA4}; li t0, ${LOCK}; csrs pmpcfg0, t0; li a0, 5; j 1f; .balign 4; 1: nop; stop: li a0, 6;`,
    );
    expect(outcome).toMatchObject({ cause: 1n, epc: outcome.machine.at("stop") });
    expect(outcome.a[0]).toBe(5n);
  });
});

test("writing without reading is reserved: the W bit does not stay", () => {
  expect(
    trapOf(`csrwi pmpcfg0, ${NA4 | W}; csrr a0, pmpcfg0; csrwi pmpcfg0, ${NA4 | W | X}; csrr a1, pmpcfg0;`).a.slice(
      0,
      2,
    ),
  ).toEqual([BigInt(NA4), BigInt(NA4 | X)]);
});

describe("page table walks", () => {
  const VA = 0x4000_0000;
  const { RWX, AD } = PTE;
  function walk(permissions: number, body: string, flags = RWX | AD) {
    const machine = new TestMachine();
    const tables = new PageTables(machine)
      .map(RAM, RAM, RWX | AD, 2)
      .map(FINISHER, FINISHER, RWX | AD)
      .map(VA, DATA, flags);
    const table = tables.entry(BigInt(VA));
    machine.constants.SATP = tables.satp();
    const guard = entry(0, napot(table - (table % 4096), 4096), NAPOT | permissions);
    return trapOf(`${guard}${OPEN} li t0, SATP; csrw satp, t0; ${enter(1)} below: li a0, ${VA}; ${body};`, machine);
  }

  test("need to read the tables: an access fault of the kind of the access", () => {
    expect(walk(R, "lw a1, 0(a0)")).toMatchObject({ cause: -1n });
    for (const permissions of [0, X])
      for (const [body, cause] of [
        ["lw a1, 0(a0)", 5n],
        ["sw a1, 0(a0)", 7n],
        ["jr a0", 1n],
      ] as const)
        expect(walk(permissions, body)).toMatchObject({ cause, tval: BigInt(VA) });
  });

  test("need to write them where A or D is to be set", () => {
    expect(walk(R, "lw a1, 0(a0)", RWX)).toMatchObject({ cause: 5n });
    expect(walk(R, "sw a1, 0(a0)", RWX | PTE.A)).toMatchObject({ cause: 7n });
    expect(walk(R | W, "sw a1, 0(a0)", RWX)).toMatchObject({ cause: -1n });
  });
});
