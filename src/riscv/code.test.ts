// Code that changes: by the hart's own stores, by DMA, through other addresses; and code pages that come and go.

import { describe, expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { MemoryRegion } from "../memory/region.ts";
import { PAGE_CODE } from "./layout.ts";
import { enter, FINISH, FINISHER, OPEN, PageTables, PTE, RAM, TestMachine, trapOf } from "./machine-for-tests.ts";

const { RWX, AD, R, W, X } = PTE;
const VA = 0x4000_0000;
const CODE = RAM + 0x20000;

/** The word of one instruction. */
const word = (line: string): number => new DataView(assemble(line).bytes.buffer).getUint32(0, true);

describe("stores to code", () => {
  const LI7 = word("li a1, 7");

  // Each replaces the `li a1, 1` at `patch` (or a part of it), which has been executed before.
  const stores: readonly (readonly [string, string, bigint])[] = [
    ["a word", `li t1, ${LI7}; sw t1, 0(t0)`, 7n],
    ["its third byte and its fourth", "li t1, 0x50; sb t1, 2(t0); sb zero, 3(t0)", 5n],
    ["its second half", "li t1, 0x60; sh t1, 2(t0)", 6n],
    [
      "a doubleword that begins before it",
      "ld t1, -4(t0); slli t1, t1, 32; srli t1, t1, 32; li t2, 0x00900593; slli t2, t2, 32; or t1, t1, t2; sd t1, -4(t0)",
      9n,
    ],
    ["a misaligned word that ends in its first half", "lw t1, -1(t0); sw t1, -1(t0)", 1n],
    ["a misaligned doubleword", "ld t1, -5(t0); sd t1, -5(t0)", 1n],
    ["an AMO", "li t1, 0x00400000; amoadd.w x0, t1, (t0)", 5n],
    ["an SC", `lr.w t1, (t0); li t1, ${LI7}; sc.w t2, t1, (t0)`, 7n],
    ["a floating-point store", `li t1, 3 << 13; csrs mstatus, t1; li t1, ${LI7}; fmv.w.x f0, t1; fsw f0, 0(t0)`, 7n],
  ];
  describe.each([
    ["", ""],
    [" without fence.i", "nop"],
  ])("are executed%s", (_, fence) => {
    test.each(stores)("%s", (_name, store, value) => {
      for (const padding of [0, 1, 2, 14, 15, 29, 30, 31, 1021, 1022]) {
        // The place varies: within a chunk of 64 bytes, across two, at a page's end.
        const body = `li a7, 2; j again; .balign 4096; .space ${padding * 4}, 0; again: nop; patch: li a1, 1; add a0, a0, a1; addi a7, a7, -1; beqz a7, done;
          la t0, patch; ${store}; ${fence === "" ? "fence.i" : fence}; j again; done:`;
        const outcome = trapOf(body);
        expect([padding, outcome.cause, outcome.a[0]]).toEqual([padding, -1n, 1n + value]);
      }
    });
  });

  test("the very next instruction, in a loop that counts its own immediate up", () => {
    const body = `li a0, 0; li a2, 20; la t0, patch; li t2, 1 << 20; 1: lw t1, 0(t0); add t1, t1, t2; sw t1, 0(t0); patch: addi a0, a0, 0; addi a2, a2, -1; bnez a2, 1b;`;
    expect(trapOf(body).a[0]).toBe(210n);
  });

  test("cbo.zero over it makes it illegal", () => {
    const outcome = trapOf("la a0, block; jalr a0; cbo.zero (a0); jalr a0; .balign 64; block: ret; .balign 64;");
    expect(outcome).toMatchObject({ cause: 2n, epc: outcome.machine.at("block"), tval: 0n });
  });

  test("data beside code, in the same page and the same 64 bytes", () => {
    const body = `li a0, 0; li a1, 100; la t0, data; 1: ld t1, 0(t0); add t1, t1, a1; sd t1, 0(t0); addi a1, a1, -1; bnez a1, 1b; ld a0, 0(t0); j 2f; .balign 8; data: .dword 0; 2:`;
    expect(trapOf(body).a[0]).toBe(5050n);
  });
});

describe("a page that was code", () => {
  // Calls a function in it, stores 600 times beside the function, calls it again after one more store into it; and once more.
  const program = `li s0, 0x80010000; li t0, 0x00150513; sw t0, 0(s0); li t0, 0x00008067; sw t0, 4(s0); li s1, 3;
    1: jalr s0; li t1, 600; addi t2, s0, 0x200; 2: sd t1, 0(t2); addi t1, t1, -1; bnez t1, 2b;
    ld t3, 0(t2); add a1, a1, t3; lw t0, 0(s0); li t3, 1 << 20; add t0, t0, t3; sw t0, 0(s0); fence.i;
    addi s1, s1, -1; bnez s1, 1b; li t0, ${FINISHER}; sw zero, 0(t0); j .`;
  const flagsOf = ({ engine, ram }: TestMachine) =>
    engine.u8[engine.layout.pageFlags + ((ram.byteOffset + 0x10000) >>> 12)]! & PAGE_CODE;

  test.each([7, 100, 5000])("and is data now gets fast stores (slices of %i)", (slice) => {
    const machine = new TestMachine().load(program);
    machine.hart.reset(BigInt(RAM));
    const seen: number[] = [];
    for (let n = 0; !machine.finished && n < 20_000; n++) {
      machine.hart.run(slice);
      const flags = flagsOf(machine);
      if (flags !== seen.at(-1)) seen.push(flags);
    }
    // 1 + 2 + 3 and the last values stored.
    expect([machine.finished, machine.hart.x(10), machine.hart.x(11)]).toEqual([true, 6n, 3n]);
    // Made code by each call; given up in the first round, where slices are short enough to see it.
    if (slice < 1000) expect(seen.join()).toContain([PAGE_CODE, 0, PAGE_CODE].join());
  });
});

describe("an instruction in two pages", () => {
  // li a0, N: opcode and rd in the first page's last halfword, the immediate in the next page.
  const program = (between: string): string =>
    `la s0, split; jalr s0; mv a2, a0; ${between}; jalr s0; j 9f; .balign 4096; .space 4094; split: li a0, 1; ret; 9:`;

  test("whose second half changes, by a store or by an AMO", () => {
    expect(trapOf(program("li t1, 0x50; sh t1, 2(s0)")).a).toMatchObject({ 0: 5n, 2: 1n });
    expect(trapOf(program("li t1, 0x70; sb t1, 2(s0)")).a).toMatchObject({ 0: 7n, 2: 1n });
    expect(trapOf(program("addi t2, s0, 2; li t1, 0x20; amoadd.w t1, t1, (t2)")).a).toMatchObject({ 0: 3n, 2: 1n });
  });

  test("whose first half changes: another destination", () => {
    expect(trapOf(program("li t1, 0x0593; sh t1, 0(s0); li a0, 0; li a1, 0")).a).toMatchObject({ 0: 0n, 1: 1n, 2: 1n });
  });

  test("both halves by one store", () => {
    expect(trapOf(program(`li t1, ${word("li a1, 9")}; sw t1, 0(s0); li a0, 0`)).a).toMatchObject({
      0: 0n,
      1: 9n,
      2: 1n,
    });
  });

  test("at the end of memory: the second half cannot be fetched", () => {
    const end = RAM + (1 << 20);
    expect(trapOf(`li a0, ${end - 2}; li a1, 0x0513; sh a1, 0(a0); jr a0;`)).toMatchObject({
      cause: 1n,
      epc: BigInt(end - 2),
      tval: BigInt(end),
    });
    expect(trapOf(`li a0, ${end - 2}; li a1, 0x8082; sh a1, 0(a0); jalr a0; li a1, 3;`)).toMatchObject({ cause: -1n });
    expect(trapOf(`li a0, ${end}; jr a0;`)).toMatchObject({ cause: 1n, epc: BigInt(end), tval: BigInt(end) });
  });
});

describe("DMA into code", () => {
  test("between two slices", () => {
    const machine = new TestMachine();
    machine.load(`1: addi a0, a0, 1; j 1b`);
    machine.hart.run(100);
    expect(machine.hart.x(10)).toBe(50n);
    machine.space.writeBytes(RAM, assemble("addi a0, a0, 100").bytes);
    machine.hart.run(100);
    expect(machine.hart.x(10)).toBe(5050n);
  });

  test("by a device that the program itself starts, into the next instruction and into another page", () => {
    const machine = new TestMachine();
    machine.io(
      "dma",
      0x5000_0000,
      0x1000,
      () => 0,
      (offset, value) =>
        machine.space.writeBytes(
          offset === 0 ? machine.at("next") : CODE,
          assemble(`li a1, ${value}\nret`).bytes.subarray(0, offset === 0 ? 4 : 8),
        ),
    );
    const body = `li s0, 0x50000000; li s1, ${CODE}; li t0, 7; li a3, 2; again: sw t0, 0(s0); next: li a1, 1; add a0, a0, a1; addi t0, t0, 1; addi a3, a3, -1; bnez a3, again;
      li t0, 30; sw t0, 4(s0); jalr s1; mv a4, a1; li t0, 40; sw t0, 4(s0); jalr s1; mv a5, a1;`;
    machine.load(`${body}${FINISH}`).run();
    expect([10, 14, 15].map((n) => machine.hart.x(n))).toEqual([15n, 30n, 40n]);
  });

  test("through `ramAt` and `ramWritten`", () => {
    const machine = new TestMachine();
    machine.load("1: addi a0, a0, 1; j 1b");
    machine.hart.run(10);
    machine.space.ramAt(RAM, 4)!.set(assemble("addi a0, a0, 3").bytes);
    machine.space.ramWritten(RAM, 4);
    machine.hart.run(10);
    expect(machine.hart.x(10)).toBe(20n);
  });
});

describe("code at several addresses", () => {
  test("executed at one, written at another", () => {
    const machine = new TestMachine();
    const tables = new PageTables(machine).map(RAM, RAM, RWX | AD, 2).map(FINISHER, FINISHER, RWX | AD);
    tables
      .map(VA, CODE, X | R | AD)
      .map(VA + 0x1000, CODE, R | W | AD)
      .map(VA + 0x2000, CODE, X | R | AD);
    machine.constants.SATP = tables.satp();
    machine.space.writeBytes(CODE, assemble("li a0, 1; ret").bytes);
    const change = (n: number): string => `li t0, ${word(`li a0, ${n}`)}; li t1, ${VA + 0x1000}; sw t0, 0(t1);`;
    const call = (base: number, to: string): string => `li t0, ${base}; jalr t0; mv ${to}, a0;`;
    const body = `${call(VA, "a1")} ${change(2)} ${call(VA, "a2")} ${call(VA + 0x2000, "a3")} ${change(3)} ${call(VA, "a4")} ${call(VA + 0x2000, "a5")} ${call(CODE, "a6")}`;
    const outcome = trapOf(`${OPEN} li t0, SATP; csrw satp, t0; ${enter(1)} below: ${body}`, machine);
    expect([outcome.cause, ...outcome.a.slice(1, 7)]).toEqual([-1n, 1n, 2n, 2n, 3n, 3n, 3n]);
  });

  test("written before it was code, from S-mode and from M-mode", () => {
    // Both modes hold a write entry for the page when it becomes code; neither may keep it.
    const machine = new TestMachine();
    const tables = new PageTables(machine)
      .map(RAM, RAM, RWX | AD, 2)
      .map(FINISHER, FINISHER, RWX | AD)
      .map(VA, CODE, RWX | AD);
    machine.constants.SATP = tables.satp();
    const put = (base: number, n: number): string => `li t1, ${base}; li t0, ${word(`li a0, ${n}`)}; sw t0, 0(t1);`;
    const body = `${put(CODE, 1)} li t0, ${word("ret")}; sw t0, 4(t1); ${OPEN} li t0, SATP; csrw satp, t0; la t0, in_m; csrw mtvec, t0; ${enter(1)}
below: ${put(VA, 2)} li s0, ${VA}; jalr s0; mv a1, a0; ${put(VA, 3)} jalr s0; mv a2, a0; ecall; jalr s0; mv a3, a0; ${put(VA + 0, 5)} jalr s0; mv a4, a0; j 9f
      .align 2
in_m: ${put(CODE, 4)} csrr t0, mepc; addi t0, t0, 4; csrw mepc, t0; mret; 9:`;
    expect(trapOf(body, machine).a.slice(1, 5)).toEqual([2n, 3n, 4n, 5n]);
  });
});

describe("decoded pages", () => {
  /** Functions in ten pages that call each other, one across a page's end; the first adds to what the next executes. */
  const pages = (): string => {
    const functions = Array.from(
      { length: 10 },
      (_, n) =>
        `.balign 4096; .space ${n % 2 ? 4094 - 4 : 8}; f${n}: addi a0, a0, ${n + 1}; add a1, a1, a0; ${n < 9 ? `mv s${n + 3}, ra; call f${n + 1}; mv ra, s${n + 3};` : ""} ret;`,
    );
    return `li a0, 0; li a1, 0; li a2, 30; 1: call f0; la t0, f3; lw t1, 0(t0); li t2, 1 << 20; add t1, t1, t2; sw t1, 0(t0); addi a2, a2, -1; bnez a2, 1b; j 9f; ${functions.join(" ")} 9:`;
  };

  test.each([1, 2, 3, 5, 64])("%d of them are enough for any program", (codePages) => {
    const outcome = trapOf(pages(), new TestMachine({ codePages }));
    const reference = trapOf(pages(), new TestMachine({ codePages: 1000 }));
    expect(outcome.cause).toBe(-1n);
    expect(outcome.a).toEqual(reference.a);
    expect(outcome.a[0]).toBe(BigInt(30 * 55 + (29 * 30) / 2));
  });

  test("a region that goes away while its code runs: the next fetch faults", () => {
    const machine = new TestMachine({ spareBytes: 4096 });
    const region = MemoryRegion.ram("module", machine.engine.allocateRam(4096));
    machine.root.addSubregion(0x9000_0000n, region);
    machine.io(
      "unplug",
      0x5000_0000,
      0x1000,
      () => 0,
      () => machine.root.removeSubregion(region),
    );
    machine.space.writeBytes(0x9000_0000, assemble("sw zero, 0(s0); nop; j .").bytes);
    const { cause, epc } = trapOf("li s0, 0x50000000; li t0, 0x90000000; jr t0;", machine);
    expect(cause).toBe(1n);
    expect(epc! >= 0x9000_0004n && epc! <= 0x9000_0008n).toBe(true);
  });

  test("ROM executes, and a store to it changes nothing", () => {
    const machine = new TestMachine({ spareBytes: 4096 });
    const rom = machine.engine.allocateRam(4096);
    rom.set(assemble("li a0, 5; ret").bytes);
    machine.root.addSubregion(0x9000_0000n, MemoryRegion.rom("rom", rom));
    expect(
      trapOf("li s0, 0x90000000; jalr s0; mv a1, a0; sw zero, 0(s0); jalr s0; lw a2, 0(s0);", machine).a.slice(0, 3),
    ).toEqual([5n, 5n, BigInt(word("li a0, 5"))]);
  });
});

describe("LR and SC (unprivileged 14.2)", () => {
  const run = (body: string, machine?: TestMachine): bigint[] => [
    ...trapOf(`li s0, ${RAM + 0x10000}; li s1, ${RAM + 0x10008}; li a1, 77; ${body} ld a7, 0(s0);`, machine).a,
  ];

  test("an SC succeeds after an LR of its address, once", () => {
    expect(run("lr.d t0, (s0); sc.d a0, a1, (s0); sc.d a2, a1, (s0);")).toMatchObject({ 0: 0n, 2: 1n, 7: 77n });
    expect(run("lr.w t0, (s0); sc.w a0, a1, (s0);")).toMatchObject({ 0: 0n, 7: 77n });
    expect(run("lr.w.aqrl t0, (s1); lr.w.aq t0, (s0); sc.w.rl a0, a1, (s0);")).toMatchObject({ 0: 0n, 7: 77n });
  });

  test("fails without an LR, for another address, after another SC, and after a trap", () => {
    expect(run("sc.d a0, a1, (s0);")).toMatchObject({ 0: 1n, 7: 0n });
    expect(run("lr.d t0, (s1); sc.d a0, a1, (s0);")).toMatchObject({ 0: 1n, 7: 0n });
    expect(run("lr.d t0, (s0); sc.d a2, a1, (s1); sc.d a0, a1, (s0);")).toMatchObject({ 0: 1n, 2: 1n, 7: 0n });
    const skip =
      "la t0, skip; csrw mtvec, t0; j 1f; .align 2; skip: csrr t0, mepc; addi t0, t0, 4; csrw mepc, t0; mret; 1:";
    expect(run(`${skip} lr.d t1, (s0); ecall; sc.d a0, a1, (s0);`)).toMatchObject({ 0: 1n, 7: 0n });
  });

  test("fails where a device wrote another value in between", () => {
    const machine = new TestMachine();
    machine.io(
      "dma",
      0x5000_0000,
      0x1000,
      () => 0,
      () => machine.write64(RAM + 0x10000, 5n),
    );
    expect(run("li s2, 0x50000000; lr.d t0, (s0); sw zero, 0(s2); sc.d a0, a1, (s0);", machine)).toMatchObject({
      0: 1n,
      7: 5n,
    });
  });

  test("reach memory only: devices and ROM answer with an access fault (3.6.3)", () => {
    const machine = (): TestMachine => {
      const m = new TestMachine({ spareBytes: 4096 });
      m.io(
        "device",
        0x5000_0000,
        0x1000,
        () => 0,
        () => {},
      );
      m.root.addSubregion(0x9000_0000n, MemoryRegion.rom("rom", m.engine.allocateRam(4096)));
      return m;
    };
    const cause = (what: string): bigint => trapOf(`li a0, 0x50000000; li a1, 0x90000000; ${what};`, machine()).cause;
    expect(cause("lr.w a2, (a0)")).toBe(5n);
    expect(cause("sc.w a2, a2, (a0)")).toBe(7n);
    expect(cause("amoor.w a2, a2, (a0)")).toBe(7n);
    expect(cause("lr.w a2, (a1)")).toBe(-1n);
    expect(cause("sc.w a2, a2, (a1)")).toBe(7n);
    expect(cause("amoor.w a2, zero, (a1)")).toBe(7n);
  });
});
