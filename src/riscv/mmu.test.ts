// Address translation, tested with programs of its own: what QEMU 7.2 does not show (test/isa/page-tables.test.ts
// compares the rest with it), fences, contexts.

import { describe, expect, test } from "vitest";
import { MemoryRegion } from "../memory/region.ts";
import { allExtensions } from "./extensions.ts";
import { S } from "./layout.ts";
import { enter, FINISHER, OPEN, PageTables, PTE, RAM, TestMachine, trapOf } from "./machine-for-tests.ts";

const { V, R, W, X, U, A, D, RWX, AD } = PTE;
const VA = 0x4000_0000;
const DATA = RAM + 0x40000;
const ADUE = 1n << 61n;
const PBMTE = 1n << 62n;

const pageOf = (address: number): number => address - (address % 4096);

/** A machine whose own code is mapped where it lies, as a gigabyte page of S-mode's. */
function mapped(
  mode: 39 | 48 | 57 = 39,
  machine = new TestMachine(),
  user = 0n,
): { machine: TestMachine; tables: PageTables } {
  const tables = new PageTables(machine, mode)
    .map(RAM, RAM, RWX | AD | user, 2)
    .map(FINISHER, FINISHER, RWX | AD | user);
  machine.constants.SATP = tables.satp();
  for (let i = 0; i < 0x4000; i += 8) machine.write64(DATA + i, BigInt(i));
  return { machine, tables };
}

/** Runs code in S-mode with the translation on. */
const inS = (body: string, menvcfg = ADUE): string =>
  `${OPEN} li t0, ${menvcfg}; csrw menvcfg, t0; li t0, SATP; csrw satp, t0; sfence.vma; ${enter(1)} below: ${body}`;

describe("accesses beside pages that the TLB does not hold", () => {
  // The invalid entries at the ends of the TLB's tables once matched the second page of such an access.
  test.each(["-1", "-3", "-7", "0xffd", "0x1ffd"])(
    "a load at %s, where nothing is, traps at its own address",
    (address) => {
      expect(trapOf(`li a0, ${address}; ld a1, 0(a0);`)).toMatchObject({
        cause: 5n,
        tval: BigInt.asUintN(64, BigInt(address)),
      });
    },
  );

  test("addresses beyond the physical ones fault", () => {
    expect(trapOf("li a0, 1 << 56; lb a1, 0(a0);")).toMatchObject({ cause: 5n, tval: 1n << 56n });
    expect(trapOf("li a0, 1 << 56; sb a1, 0(a0);")).toMatchObject({ cause: 7n, tval: 1n << 56n });
    expect(trapOf("li a0, 1 << 60; jr a0;")).toMatchObject({ cause: 1n, tval: 1n << 60n, epc: 1n << 60n });
    expect(trapOf("li a0, (1 << 56) - 4; ld a1, 0(a0);")).toMatchObject({ cause: 5n, tval: 1n << 56n });
  });
});

describe("page table entries", () => {
  const load = `li a0, ${VA}; ld a1, 8(a0);`;
  const store = `li a0, ${VA}; sd a0, 8(a0);`;
  const run = (pte: bigint, body = load, menvcfg = ADUE, level = 0, pa = DATA, machine?: TestMachine) => {
    const { machine: m, tables } = mapped(39, machine);
    tables.map(VA, pa, pte, level);
    const outcome = trapOf(inS(body, menvcfg), m);
    return { ...outcome, pte: m.read64(tables.entry(BigInt(VA), level)) };
  };

  test.each([54n, 55n, 56n, 57n, 58n, 59n, 60n])("reserved bit %d faults (12.4.1)", (bit) => {
    expect(run(RWX | AD)).toMatchObject({ cause: -1n });
    expect(run(RWX | AD | (1n << bit))).toMatchObject({ cause: 13n, tval: BigInt(VA + 8) });
  });

  test("Svpbmt: types 1 and 2 where menvcfg.PBMTE is set, 3 never", () => {
    const typed = (type: bigint, menvcfg: bigint) => run(RWX | AD | (type << 61n), load, menvcfg).cause;
    expect([1n, 2n, 3n].map((t) => typed(t, ADUE | PBMTE))).toEqual([-1n, -1n, 13n]);
    expect([1n, 2n, 3n].map((t) => typed(t, ADUE))).toEqual([13n, 13n, 13n]);
  });

  test("Svnapot: 64 KiB at the last level, no other size", () => {
    const napot = RWX | AD | (1n << 63n);
    // The entry of VA's page in a group of 16; DATA's own page number ends in 0.
    expect(run(napot, load, ADUE, 0, DATA + 0x8000)).toMatchObject({ cause: -1n });
    expect(run(napot, load, ADUE, 0, DATA + 0x8000).a[1]).toBe(8n);
    for (const low of [0x0, 0x1000, 0x4000, 0xc000, 0xf000])
      expect(run(napot, load, ADUE, 0, DATA + low).cause).toBe(13n);
    expect(run(napot, load, ADUE, 1, RAM + 0x8000).cause).toBe(13n);
  });

  test("without Svnapot bit 63 is reserved", () => {
    const machine = new TestMachine({ extensions: new Set([...allExtensions].filter((name) => name !== "svnapot")) });
    expect(run(RWX | AD | (1n << 63n), load, ADUE, 0, DATA + 0x8000, machine).cause).toBe(13n);
  });

  test("without ADUE accessed and dirty are software's: faults, and the entry stays (Svade)", () => {
    expect(run(RWX | D, load, 0n)).toMatchObject({ cause: 13n });
    expect(run(RWX | A, store, 0n)).toMatchObject({ cause: 15n });
    expect(run(RWX | A, load, 0n)).toMatchObject({ cause: -1n });
    expect(run(RWX, store, 0n).pte & AD).toBe(0n);
  });

  test("with ADUE the hart sets them: A by a load, both by a store", () => {
    expect(run(RWX, load).pte & AD).toBe(A);
    expect(run(RWX, store).pte & AD).toBe(AD);
    expect(run(RWX, `${load} sd a0, 16(a0);`).pte & AD).toBe(AD);
    // A store that its own page forbids changes nothing.
    expect(run(R | X, store)).toMatchObject({ cause: 15n });
    expect(run(R | X, store).pte & AD).toBe(0n);
  });

  test("A and D in a table that cannot be written: an access fault", () => {
    const machine = new TestMachine({ spareBytes: 1 << 16 });
    const rom = machine.engine.allocateRam(4096);
    machine.root.addSubregion(0x9000_0000n, MemoryRegion.rom("table", rom));
    const leaf = (BigInt(DATA >>> 12) << 10n) | V | RWX;
    new DataView(rom.buffer, rom.byteOffset).setBigUint64(0, leaf, true);
    new DataView(rom.buffer, rom.byteOffset).setBigUint64(8, leaf | AD, true);
    const { tables } = mapped(39, machine);
    machine.write64(tables.entry(BigInt(VA), 1), ((0x9000_0000n >> 12n) << 10n) | V);
    expect(trapOf(inS(load), machine)).toMatchObject({ cause: 5n, tval: BigInt(VA + 8) });
    expect(trapOf(inS(`li a0, ${VA + 4096}; sd a0, 0(a0); ld a1, 0(a0);`), machine)).toMatchObject({ cause: -1n });
  });

  test("S-mode never executes a page of U-mode's, SUM or not", () => {
    for (const sum of ["csrs", "csrc"]) {
      const body = `li t1, 1 << 18; ${sum} sstatus, t1; li a0, ${VA}; jr a0;`;
      expect(run(RWX | AD | U, body)).toMatchObject({ cause: 12n, tval: BigInt(VA), epc: BigInt(VA) });
    }
    // Nor after a load from it that SUM allowed.
    const after = `li t1, 1 << 18; csrs sstatus, t1; li a0, ${VA}; ld a1, 0(a0); jr a0;`;
    expect(run(RWX | AD | U, after)).toMatchObject({ cause: 12n });
  });

  test("MXR and SUM act at once and no longer than they are set", () => {
    const toggled = (bit: number) =>
      `li t1, 1 << ${bit}; csrs sstatus, t1; li a0, ${VA}; ld a1, 8(a0); csrc sstatus, t1; li a1, 77; ld a2, 8(a0);`;
    for (const [bit, flags] of [
      [19, X | AD],
      [18, R | W | U | AD],
    ] as const) {
      const { cause, a } = run(flags, toggled(bit));
      expect([cause, a[1]]).toEqual([13n, 77n]);
    }
  });
});

describe("tables in strange places", () => {
  test("outside of memory: an access fault of the kind of the access", () => {
    for (const [body, cause] of [
      ["lw a1, 0(a0)", 5n],
      ["sw a1, 0(a0)", 7n],
      ["amoadd.w a1, a1, (a0)", 7n],
      ["lr.w a1, (a0)", 5n],
      ["jr a0", 1n],
    ] as const) {
      const { machine, tables } = mapped();
      machine.write64(tables.entry(BigInt(VA), 1), ((0x5000_0000n >> 12n) << 10n) | V);
      expect(trapOf(inS(`li a0, ${VA}; ${body};`), machine)).toMatchObject({ cause, tval: BigInt(VA) });
    }
  });

  test("in a device: its registers are read", () => {
    const { machine, tables } = mapped();
    const leaf = (BigInt(DATA >>> 12) << 10n) | V | RWX | AD;
    const reads: number[] = [];
    machine.io(
      "tables",
      0x5000_0000,
      0x1000,
      (offset) => {
        reads.push(offset);
        return Number((leaf >> BigInt((offset & 4) * 8)) & 0xffffffffn);
      },
      () => {},
    );
    machine.write64(tables.entry(BigInt(VA), 1), ((0x5000_0000n >> 12n) << 10n) | V);
    const { cause, a } = trapOf(inS(`li a0, ${VA + 0x3000}; ld a1, 24(a0);`), machine);
    expect([cause, a[1], reads]).toEqual([-1n, 24n, [24, 28]]);
  });

  test("devices do not execute", () => {
    const { machine, tables } = mapped();
    machine.io(
      "device",
      0x5000_0000,
      0x1000,
      () => 0x00000013,
      () => {},
    );
    tables.map(VA, 0x5000_0000, RWX | AD);
    expect(trapOf(inS(`li a0, ${VA + 16}; jr a0;`), machine)).toMatchObject({
      cause: 1n,
      tval: BigInt(VA + 16),
      epc: BigInt(VA + 16),
    });
    const bare = new TestMachine();
    bare.io(
      "device",
      0x5000_0000,
      0x1000,
      () => 0x00000013,
      () => {},
    );
    expect(trapOf("li a0, 0x50000000; jr a0;", bare)).toMatchObject({ cause: 1n, tval: 0x5000_0000n });
  });
});

describe("instructions and accesses that lie in two pages", () => {
  // addi a0, a0, 1 with its second half in the next page.
  const split = (machine: TestMachine): void => {
    machine.space.writeBytes(DATA + 0xffe, new Uint8Array([0x13, 0x05]));
    machine.space.writeBytes(DATA + 0x1000, new Uint8Array([0x15, 0x00, 0x82, 0x80]));
  };
  const jump = `li a0, ${VA + 0xffe}; jalr a0;`;

  test("an instruction whose second page faults: epc is its start, tval where that page begins", () => {
    const { machine, tables } = mapped();
    split(machine);
    tables.map(VA, DATA, RWX | AD);
    expect(trapOf(inS(jump), machine)).toMatchObject({
      cause: 12n,
      epc: BigInt(VA + 0xffe),
      tval: BigInt(VA + 0x1000),
    });
    tables.map(VA + 0x1000, 0x5000_0000, RWX | AD); // nothing is there
    expect(trapOf(inS(jump), machine)).toMatchObject({ cause: 1n, epc: BigInt(VA + 0xffe), tval: BigInt(VA + 0x1000) });
  });

  test("the second page may lie anywhere, and may change", () => {
    const { machine, tables } = mapped();
    split(machine);
    machine.space.writeBytes(DATA + 0x3000, new Uint8Array([0x25, 0x00, 0x82, 0x80])); // addi a0, a0, 2
    tables
      .map(VA, DATA, RWX | AD)
      .map(VA + 0x1000, DATA + 0x1000, RWX | AD)
      .map(0x5000_0000, pageOf(tables.entry(BigInt(VA))), RWX | AD);
    const other = ((BigInt(DATA + 0x3000) >> 12n) << 10n) | V | RWX | AD;
    const entry = 0x5000_0000 + (tables.entry(BigInt(VA + 0x1000)) & 0xfff);
    const body = `${jump} mv a1, a0; ${jump} sub a1, a1, a0; li t1, ${entry}; li t2, ${other}; sd t2, 0(t1); sfence.vma; ${jump} mv a2, a0;`;
    const { cause, a } = trapOf(inS(body), machine);
    expect([cause, a[1], a[2]]).toEqual([-1n, 0n, BigInt(VA + 0xffe + 2)]);
  });

  test("a store whose second page faults writes nothing", () => {
    const { machine, tables } = mapped();
    tables.map(VA, DATA, RWX | AD);
    const before = machine.read64(DATA + 0xff8);
    expect(trapOf(inS(`li a0, ${VA + 0xffd}; li a1, -1; sd a1, 0(a0);`), machine)).toMatchObject({
      cause: 15n,
      tval: BigInt(VA + 0x1000),
    });
    expect(machine.read64(DATA + 0xff8)).toBe(before);
  });

  test("a load and a store across pages far apart", () => {
    const { machine, tables } = mapped();
    tables.map(VA, DATA + 0x2000, RWX | AD).map(VA + 0x1000, DATA, RWX | AD);
    const { cause, a } = trapOf(
      inS(`li a0, ${VA + 0xffc}; li a1, 0x1122334455667788; sd a1, 0(a0); ld a2, 0(a0); lw a3, -1(a0);`),
      machine,
    );
    expect([cause, a[2], a[3]]).toEqual([-1n, 0x1122334455667788n, 0x66778800n]);
    expect(machine.read64(DATA + 0x2ff8) >> 32n).toBe(0x55667788n);
    expect(machine.read64(DATA) & 0xffffffffn).toBe(0x11223344n);
  });
});

describe("fences", () => {
  const forms = [
    "sfence.vma",
    "sfence.vma a0",
    "sfence.vma a0, a7",
    "sfence.vma x0, a7",
    "sinval.vma a0, x0",
    "sinval.vma x0, a7",
    "sfence.w.inval; sinval.vma a0, a7; sfence.inval.ir",
  ];

  /** Loads, changes the entry of a page (or of a superpage, at level 1), fences, loads again: a1, a2 and a3. */
  function remap(level: 0 | 1, fence: string, asid = 0n): bigint[] {
    const { machine, tables } = mapped(48, new TestMachine({ ramBytes: 8 << 20 }));
    machine.constants.SATP = tables.satp(asid);
    const [first, second] = level === 0 ? [DATA, DATA + 0x1000] : [RAM, RAM + 0x40_0000];
    const offset = level === 0 ? 0 : DATA - RAM;
    tables.map(VA, first, RWX | AD, level);
    // The table itself, to be changed from S-mode.
    const table = tables.entry(BigInt(VA), level);
    const window = 0x80_0000_0000;
    tables.map(window, pageOf(table), RWX | AD);
    machine.write64(second + offset + 8, 0x1008n);
    const pte = (BigInt(second >>> 12) << 10n) | V | RWX | AD;
    const body = `
      li a0, ${VA + offset}; ld a1, 8(a0); sd zero, 24(a0)
      li t1, ${window + (table % 4096)}; li t2, ${pte}; sd t2, 0(t1)
      ${fence}
      li a0, ${VA + offset}; ld a2, 8(a0); li a3, 5; sd a3, 24(a0); ld a3, 24(a0);`;
    expect(trapOf(inS(body), machine).cause).toBe(-1n);
    // The store went to the new page.
    expect(machine.read64(second + offset + 24)).toBe(5n);
    return [11, 12, 13].map((n) => machine.hart.x(n));
  }

  test.each(forms)("%s makes a changed page seen", (fence) => {
    expect(remap(0, `li a7, 0; ${fence}`)).toEqual([8n, 0x1008n, 5n]);
    expect(remap(0, `li a7, 7; ${fence}`, 7n)).toEqual([8n, 0x1008n, 5n]);
  });

  test.each(forms)("%s makes a changed superpage seen, by any address in it", (fence) => {
    expect(remap(1, `li a7, 0; ${fence}`)).toEqual([8n, 0x1008n, 5n]);
    expect(remap(1, `li a7, 0; li a0, ${VA + 0x1f_f000}; ${fence}`)).toEqual([8n, 0x1008n, 5n]);
  });

  test("are illegal in U-mode, and in S-mode with TVM, as satp is", () => {
    const { machine, tables } = mapped(39, undefined, U);
    tables.map(VA, DATA, RWX | AD | U);
    for (const what of ["sfence.vma", "sinval.vma x0, x0", "sfence.w.inval", "csrr a0, satp"])
      expect(trapOf(`${OPEN} li t0, SATP; csrw satp, t0; ${enter(0)} below: ${what};`, machine)).toMatchObject({
        cause: 2n,
      });
    const tvm = `${OPEN} li t0, 1 << 20; csrs mstatus, t0; ${enter(1)} below: `;
    for (const what of ["sfence.vma", "sfence.vma a0, a1", "sinval.vma x0, x0", "csrr a0, satp", "csrw satp, a0"])
      expect(trapOf(`${tvm}${what};`)).toMatchObject({ cause: 2n });
    expect(trapOf(`${tvm}sfence.w.inval; sfence.inval.ir; csrr a0, sstatus;`)).toMatchObject({ cause: -1n });
  });
});

describe("address spaces", () => {
  test("of more processes than the hart keeps translations for, switched without fences", () => {
    const machine = new TestMachine();
    const count = 20;
    const satps: bigint[] = [];
    for (let asid = 1; asid <= count; asid++) {
      const tables = new PageTables(machine, 39, RAM + 0x40000 + asid * 0x8000)
        .map(RAM, RAM, RWX | AD, 2)
        .map(FINISHER, FINISHER, RWX | AD);
      tables.map(VA, DATA - 0x20000 + asid * 0x1000, RWX | AD);
      machine.write64(DATA - 0x20000 + asid * 0x1000, BigInt(asid));
      satps.push(tables.satp(BigInt(asid)));
    }
    const table = RAM + 0x1000;
    for (const [n, satp] of satps.entries()) machine.write64(table + n * 8, satp);
    // Three rounds: each space adds 1 to its page and adds what it was to a1.
    const body = `li a0, ${VA}; li a1, 0; li s5, 3;
round: li s6, ${table}; li s7, ${count};
next: ld t0, 0(s6); csrw satp, t0; ld t1, 0(a0); add a1, a1, t1; addi t1, t1, 1; sd t1, 0(a0); addi s6, s6, 8; addi s7, s7, -1; bnez s7, next;
      addi s5, s5, -1; bnez s5, round;`;
    const { cause, a } = trapOf(`${OPEN} ${enter(1)} below: ${body}`, machine);
    const sum = (count * (count + 1)) / 2;
    expect([cause, a[1]]).toEqual([-1n, BigInt(3 * sum + 3 * count)]);
    for (let asid = 1; asid <= count; asid++)
      expect(machine.read64(DATA - 0x20000 + asid * 0x1000)).toBe(BigInt(asid + 3));
  });

  test("stay apart when the counter of their use begins anew", () => {
    // M-mode loads as S and U would, in two spaces, with SUM and MXR or not: more contexts than there is room for.
    const machine = new TestMachine();
    const spaces = [1n, 2n].map((asid) =>
      new PageTables(machine, 39, RAM + 0x80000 + Number(asid) * 0x8000)
        .map(VA, DATA, R | AD | U)
        .map(VA + 4096, DATA, R | AD)
        .satp(asid),
    );
    machine.write64(DATA, 1n);
    const loads = spaces.flatMap((satp) =>
      [0, 1].flatMap((mode) =>
        [0, 1, 2, 3].map((bits) =>
          `li t0, ${satp}; csrw satp, t0; li t0, ${(1 << 17) | (mode << 11) | (bits << 18)}; csrs mstatus, t0; ld a1, ${mode}(a0); csrc mstatus, t0; add a2, a2, a1;`.replace(
            "1(a0)",
            "0(a3)",
          ),
        ),
      ),
    );
    for (let clock = -70; clock < 0; clock += 3) {
      machine.hart.set32(S.useClock, clock);
      const { cause, a } = trapOf(
        `${OPEN} li t0, 0x1800; csrc mstatus, t0; li a0, ${VA}; li a3, ${VA + 4096}; li a2, 0; ${loads.join("")}`,
        machine,
      );
      expect([clock, cause, a[2]]).toEqual([clock, -1n, 16n]);
    }
  });

  test("the upper half of Sv39, Sv48 and Sv57, and the wrap from its end to 0", () => {
    for (const mode of [39, 48, 57] as const) {
      const { machine, tables } = mapped(mode);
      const top = (1n << 64n) - 4096n;
      tables.map(top, DATA, RWX | AD).map(0n, DATA + 0x1000, RWX | AD);
      machine.write64(DATA + 0xff8, 0x1122334455667788n);
      machine.write64(DATA + 0x1000, 0xaabbccddn);
      const { cause, a } = trapOf(inS("li a0, -8; ld a1, 0(a0); ld a2, 4(a0);"), machine);
      expect([cause, a[1], a[2]]).toEqual([-1n, 0x1122334455667788n, 0xaabbccdd11223344n]);
    }
  });
});
