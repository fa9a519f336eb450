// Accesses to devices, in both tiers: what programs see, what devices see, and what must not outlive its reason in the
// I/O TLB. Loops run long enough for tier 1 to make the accesses itself, which each test makes sure of.

import { describe, expect, test } from "vitest";
import { assemble } from "../isa/assembler.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { BusError } from "../memory/bus-error.ts";
import { MemoryRegion } from "../memory/region.ts";
import { Engine } from "../riscv/engine.ts";
import { ATTENTION_LOOK, EXIT, S } from "../riscv/layout.ts";
import { enter, FINISH, OPEN, PageTables, PTE, RAM } from "../riscv/machine-for-tests.ts";
import { silentLog } from "../util/log.ts";
import { inlineCompiler } from "./compiler.ts";
import {
  Bench,
  BREAKS,
  both,
  COUNT_TRAPS,
  DEVICE,
  IRQ,
  loop,
  REFUSES,
  SELF,
  STOP,
  SWAP,
  WIDE,
} from "./device-bench-for-tests.ts";
import { THREAD_LIMITS } from "./module.ts";
import { RegionCache } from "./tier1.ts";

describe("both tiers", () => {
  test("tell a device the same, with the hart's pc and count", () => {
    const { interpreted, translated } = both(loop("lw a0, 0(s0); add a1, a1, a0; sw a1, 0x28(s0); addi a2, a2, 3"));
    expect(translated.log).toHaveLength(1200);
    // The I/O TLB serves the interpreter too.
    expect(interpreted.others).toBe(0);
  });

  test("extend what was read for every size", () => {
    const loads = ["lb", "lbu", "lh", "lhu", "lw", "lwu"].map(
      (name, n) => `${name} a0, ${WIDE + 8 * n}(s0); slli a1, a1, 1; xor a1, a1, a0`,
    );
    const { interpreted } = both(
      loop(`${loads.join("; ")}; li a1, 0; lh a2, 0x20(s0); lbu a3, 0x21(s0); lwu a4, 0x20(s0)`),
    );
    expect([12, 13, 14].map((n) => BigInt.asIntN(64, interpreted.hart.x(n)))).toEqual([-31836n, 0xa5n, 0x8182_83a4n]);
  });

  test("cut what is written for every size", () => {
    const { interpreted } = both(loop("li a1, -2; sb a1, 0x20(s0); sh a1, 0x24(s0); sw a1, 0x28(s0)"));
    const values = interpreted.log.slice(-3).map((line) => line.split(" ").slice(0, 4).join(" "));
    expect(values).toEqual(["write 32 1 254", "write 36 2 65534", "write 40 4 4294967294"]);
  });

  test("ask in two halves for 8 bytes", () => {
    const { interpreted } = both(loop("lw a0, 0x20(s0); ld a1, 0x20(s0); sd a1, 0x28(s0)"));
    expect(interpreted.log).toHaveLength(3000);
  });

  test("know the offset in pages after the first, and in an alias", () => {
    const seen = (bench: Bench): string => [...new Set(bench.log.map((line) => line.split(" ")[1]))].join(" ");
    const { interpreted } = both(
      `li s2, 0x20000000; li s3, 0x30000000; ${loop("lw a0, (s0); li t1, 0x1004; add t1, t1, s2; lw a1, 4(t1); lhu a2, 0x12(s3)")}`,
      (bench) => {
        const wide = bench.add("wide", 0x2000_0000, 0x3000, {
          read: (offset) => {
            bench.log.push(`wide ${offset.toString(16)}`);
            return offset;
          },
        });
        bench.root.addSubregion(0x3000_0000n, MemoryRegion.alias("alias", wide, 0x1ff0n, 0x100n));
      },
    );
    expect(seen(interpreted)).toBe("0 1008 2002");
    expect([interpreted.hart.x(11), interpreted.hart.x(12)]).toEqual([0x1008n, 0x2002n]);
  });

  test("and the registers of a loop outlive an access", () => {
    const sums = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21].map(
      (n) => `add x${n}, x${n}, t1; sd x${n}, ${n * 8}(s2)`,
    );
    both(loop(`li s2, ${RAM + 0x8000}; lbu t1, 0x20(s0); ${sums.join("; ")}; ld t2, 80(s2)`, 300));
  });

  test("refuse what is past the end and beside the device, and leave what is misaligned to the bus", () => {
    const body = ".option norvc; lw a0, 0x20(s0); lw a2, 0xfe(s0); lw a3, 0x100(s0); lw a1, 0x200(s0); lw a4, 0x22(s0)";
    const { interpreted } = both(`${COUNT_TRAPS}${loop(body, 800)}`);
    expect(interpreted.hart.x(24)).toBe(2400n);
    expect(BigInt.asUintN(32, interpreted.hart.x(14))).toBe(0x83a8_8182n);
    expect(interpreted.log.filter((line) => /^read (34|254|256|512) /.test(line))).toEqual([]);
  });

  test("trap where the device refuses, and only there", () => {
    const body = `.option norvc; li a0, 7; lw a0, ${REFUSES}(s0); addi a1, a1, 1; sw a1, ${REFUSES}(s0); addi a1, a1, 1; lw a2, ${REFUSES}(s0); add a3, a3, a2`;
    const { interpreted } = both(`${COUNT_TRAPS}${loop(body, 800)}`);
    const { hart } = interpreted;
    expect([hart.x(24), hart.x(25), hart.x(11)]).toEqual([600n, 200n * (5n + 7n + 5n), 1600n]);
  });

  test("count a refused access as any other that traps", () => {
    const outcome = (address: number): bigint[] => {
      const bench = new Bench(false);
      bench.add("refusing", 0x5000_0000, 0x100, {
        read: () => {
          throw new BusError(0x5000_0000, "access");
        },
      });
      const body = ".option norvc; 1: lw a0, (s0); addi s1, s1, -1; bnez s1, 1b; csrr s2, minstret";
      bench.load(`${COUNT_TRAPS} li s0, ${address}; li s1, 3; ${body}; ${FINISH}`);
      bench.slice(1000);
      return [bench.hart.x(24), bench.hart.x(25), bench.hart.x(18), BigInt(bench.hart.remaining())];
    };
    const refused = outcome(0x5000_0000);
    expect(refused[0]).toBe(3n);
    expect(refused).toEqual(outcome(0x6000_0000));
  });

  test("take an interrupt that an access raises before the next instruction", () => {
    const { interpreted } = both(`
      j start
      .align 2
irq:  sw zero, ${IRQ}(s0)
      csrr t0, mepc
      add s9, s9, t0
      add s10, s10, a1
      addi s8, s8, 1
      mret
start: la t0, irq
      csrw mtvec, t0
      li t0, 1 << 11
      csrw mie, t0
      csrsi mstatus, 8
      ${loop(`lw a0, ${IRQ}(s0); addi a1, a1, 1; addi a2, a2, 1; sw a2, ${IRQ}(s0); addi a1, a1, 1`)}`);
    expect(interpreted.hart.x(24)).toBeGreaterThan(100n);
  });

  test("stop where the device says so", () => {
    const { ends } = both(
      loop(
        `addi a0, a1, 1000; lw a0, ${STOP}(s0); add a2, a2, a0; addi a1, a1, 1; sw a1, ${STOP}(s0); addi a1, a1, 1`,
        120,
      ),
    );
    expect(ends.filter((end) => end === EXIT.attention).length).toBeGreaterThan(200);
  });

  test("end at a model's own error, with all registers as they are", () => {
    const { ends, translated } = both(`
      la s3, nothing
      ${loop(`
      addi a1, a1, 1
      li t0, 200
      bne s1, t0, 1f
      addi s0, s0, ${BREAKS}
   1: lw a0, 0(s0)
      add a2, a2, a1`)}
nothing:`);
    expect(ends.at(-1)).toEqual(new Error("a bug of the model"));
    expect(translated.hart.x(11)).toBe(401n);
  });

  test("keep a device from being entered by itself", () => {
    const { interpreted } = both(loop(`lw a0, ${SELF}(s0); add a1, a1, a0`));
    expect(interpreted.hart.x(11)).toBe(600n);
  });

  test("let one instruction reach RAM and devices in turn", () => {
    both(`
      li s2, ${RAM + 0x9000}
      ${loop("lw a0, 0(s0); sw a0, 0x24(s0); xor s0, s0, s2; xor s2, s2, s0; xor s0, s0, s2; add a1, a1, a0")}`);
  });
});

test("what reaches devices in a way that tier 1 has no code for throws no translations away", () => {
  const bench = new Bench(true);
  bench.load(
    `li t0, 0x6000; csrs mstatus, t0; ${loop("flw f1, 0x20(s0); addi a0, a0, 1; xor a1, a1, a0", 4000)}${FINISH}`,
  );
  for (let n = 0; n < 100 && !bench.finished; n++) bench.slice(1000);
  expect(bench.log).toHaveLength(4000);
  expect(bench.installed()).toBeGreaterThan(0);
  expect(bench.installed()).toBeLessThan(8);
});

describe("nothing outlives its reason", () => {
  test("the address map, changed by the access before", () => {
    const { interpreted } = both(
      loop(`li t1, 4096; add t1, t1, s0; lw a0, ${SWAP}(s0); lw a1, 4(t1); add a2, a2, a1; sw a2, 8(t1)`),
    );
    let sum = 0n;
    for (let n = 1; n <= 600; n++) sum += (n >> 4) & 1 ? 2n : 1n;
    expect(interpreted.hart.x(12)).toBe(sum);
  });

  test("a device that is taken away", () => {
    for (const translated of [false, true]) {
      const bench = new Bench(translated);
      bench.load(`${COUNT_TRAPS}${loop(".option norvc; lw a0, 0(s0)", 4000)}${FINISH}`);
      for (let n = 0; n < 10; n++) bench.slice(500);
      bench.device.enabled = false;
      const before = bench.log.length;
      for (let n = 0; n < 200 && !bench.finished; n++) bench.slice(500);
      expect(bench.log).toHaveLength(before);
      expect(bench.hart.x(24)).toBe(4000n - BigInt(before));
      expect(before).toBeGreaterThan(1000);
    }
  });

  /** In S-mode with a page table: `body` is repeated, and `change` is what M-mode does in between. */
  const inSupervisor = (body: string, change: string, rounds = 60, setup = ""): string => `
      ${OPEN}
      ${setup}
      j start
      .align 2
handler: csrr t0, mcause
      li t1, 9
      beq t0, t1, 1f
      add s9, s9, t0
      csrr t0, mtval
      add s10, s10, t0
      addi s8, s8, 1
      csrr t0, mepc
      addi t0, t0, 4
      csrw mepc, t0
      mret
   1: csrr t0, mepc
      addi t0, t0, 4
      csrw mepc, t0
      ${change}
      mret
start: la t0, handler
      csrw mtvec, t0
      li t0, root
      csrw satp, t0
      sfence.vma
      li s0, 0x20000000
      li s1, ${rounds}
      ${enter(1)}
below: .option norvc
round: li s2, 70
   2: ${body}
      addi s2, s2, -1
      bnez s2, 2b
      ecall
      addi s1, s1, -1
      bnez s1, round
`;

  /** Maps RAM, the finisher, and the device at 0x20000000 (its twins behind it). */
  const mapped = (bench: Bench, level = 0): PageTables => {
    const tables = new PageTables(bench).map(RAM, RAM, PTE.RWX | PTE.AD, 2).map(0x10_0000, 0x10_0000, PTE.RWX | PTE.AD);
    if (level === 0)
      for (const page of [0, 0x1000]) tables.map(0x2000_0000 + page, DEVICE + page, PTE.R | PTE.W | PTE.AD);
    else tables.map(0x2000_0000, DEVICE, PTE.R | PTE.W | PTE.AD, level);
    bench.constants["root"] = tables.satp();
    return tables;
  };

  test("PMP", () => {
    // Entry 0 forbids the device to S-mode in every second round.
    const { interpreted } = both(
      inSupervisor(
        "lw a0, 0(s0); sw a0, 0x28(s0)",
        `li t0, ${(DEVICE >> 2) | 0x1ff}; csrw pmpaddr0, t0; csrr t0, pmpcfg0; xori t0, t0, 0x18; csrw pmpcfg0, t0`,
      ),
      (bench) => mapped(bench),
    );
    expect(interpreted.hart.x(24)).toBe(30n * 70n * 2n);
  });

  test("PMP for a part of a page", () => {
    const { interpreted } = both(
      inSupervisor(
        "lw a0, 0x20(s0); lw a1, 0x84(s0)",
        "",
        10,
        "li t0, part; csrw pmpaddr0, t0; li t0, 0x18; csrs pmpcfg0, t0",
      ),
      (bench) => {
        mapped(bench);
        bench.constants["part"] = BigInt(((DEVICE + 0x80) >> 2) | 7);
      },
      // The page has no entry then.
      0,
    );
    expect(interpreted.hart.x(24)).toBe(700n);
  });

  test("permissions of a page, after sfence.vma in every form", () => {
    const forms = ["sfence.vma", "sfence.vma s0", "sfence.vma x0, x0", "li t2, 0; sfence.vma x0, t2"];
    for (const [n, form] of forms.entries()) {
      const { interpreted } = both(
        inSupervisor("lw a0, 0(s0); sw a0, 0x28(s0)", `ld t0, (s11); xori t0, t0, 6; sd t0, (s11); ${form}`),
        (bench) => bench.hart.setX(27, BigInt(mapped(bench).entry(0x2000_0000n))),
      );
      expect(interpreted.hart.x(24), `form ${n}`).toBe(30n * 70n * 2n);
    }
  });

  test("where a page leads, a superpage too", () => {
    for (const level of [0, 1]) {
      const { interpreted } = both(
        inSupervisor(
          "li t1, 4096; add t1, t1, s0; lw a0, 0(s0); lw a1, 0(t1); add a3, a3, a1",
          // The two pages change places, or the superpage leads to RAM.
          level === 0
            ? "ld t0, (s11); ld t1, 8(s11); sd t1, (s11); sd t0, 8(s11); sfence.vma s0; li t0, 4096; add t0, t0, s0; sfence.vma t0"
            : `ld t0, (s11); li t1, ${((RAM ^ DEVICE) >>> 12) * 1024}; xor t0, t0, t1; sd t0, (s11); sfence.vma s0`,
        ),
        (bench) => bench.hart.setX(27, BigInt(mapped(bench, level).entry(0x2000_0000n, level))),
      );
      const twins = interpreted.log.filter((line) => line.startsWith("twin")).length;
      // 60 rounds of 70, two reads each; in every second round they change places, or are of RAM.
      expect([interpreted.log.length, twins]).toEqual(level === 0 ? [8400, 4200] : [4200, 2100]);
    }
  });

  test("the privilege: what M-mode reaches is not U-mode's", () => {
    const { interpreted } = both(`${COUNT_TRAPS}${OPEN}
      ${loop("lw a0, 0x20(s0); lw a1, 0x24(s0)", 2000)}
      li t0, 0; csrw pmpcfg2, t0
      li t0, -1; csrw pmpaddr1, t0
      li t0, ${(DEVICE >> 2) | 0x1ff}; csrw pmpaddr0, t0
      li t0, 0x1f18; csrw pmpcfg0, t0
      ${enter(0)}
below: .option norvc
      li s1, 300
   2: lw a0, 0x20(s0)
      addi s1, s1, -1
      bnez s1, 2b
`);
    expect(interpreted.hart.x(24)).toBe(300n);
  });

  test("that nobody listened to the device", () => {
    for (const translated of [false, true]) {
      const bench = new Bench(translated);
      bench.load(`${loop("lw a0, 0x20(s0); sb s1, 0x24(s0)", 8000)}${FINISH}`);
      const heard: string[] = [];
      const tap = {
        before: () => {},
        after: (write: boolean, offset: number, size: number) =>
          heard.push(`${write ? "write" : "read"} ${offset} ${size}`),
        refused: () => {},
      };
      for (let n = 0; n < 10; n++) bench.slice(1000);
      const before = bench.log.length;
      const end = bench.device.io!.listen(tap);
      for (let n = 0; n < 5; n++) bench.slice(1000);
      const during = bench.log.length;
      end();
      for (let n = 0; n < 5; n++) bench.slice(1000);
      expect(heard).toEqual(bench.log.slice(before, during).map((line) => line.split(" ").slice(0, 3).join(" ")));
      expect(before).toBeGreaterThan(1000);
      expect(during - before).toBeGreaterThan(1000);
      expect(bench.log.length).toBeGreaterThan(during + 1000);
    }
  });

  test("the address map, changed by another hart's access", () => {
    const root = MemoryRegion.container("system", 1n << 64n);
    const space = new AddressSpace(root, "memory");
    const engine = new Engine({ harts: 2, ramBytes: 1 << 16, space, time: () => 0n, hotCount: 2 });
    const cache = new RegionCache(engine, inlineCompiler(engine, THREAD_LIMITS), silentLog);
    root.addSubregion(BigInt(RAM), MemoryRegion.ram("ram", engine.allocateRam(1 << 16)));
    const twins = [1, 2].map((n) => MemoryRegion.io(`twin${n}`, 0x1000, { read: () => n }));
    for (const twin of twins) root.addSubregion(0x5000_0000n, twin);
    const swap = () => {
      for (const twin of twins) twin.enabled = !twin.enabled;
      return 0;
    };
    twins[1]!.enabled = false;
    root.addSubregion(0x6000_0000n, MemoryRegion.io("switch", 0x1000, { read: swap }));
    // One reads a twin over and over, the other one changes them; both run code that is translated.
    const { bytes, symbols } = assemble(
      "one: li s0, 0x50000000; 1: lw a0, (s0); add a1, a1, a0; j 1b; two: li s0, 0x60000000; 2: lw a0, (s0); 3: addi a1, a1, 1; j 3b",
      { base: BigInt(RAM) },
    );
    space.writeBytes(RAM, bytes);
    for (const [n, label] of ["one", "two"].entries()) engine.harts[n]!.reset(symbols.get(label)!);
    const reader = engine.harts[0]!;
    for (let n = 0; n < 20; n++) {
      cache.poll();
      reader.run(3000);
      expect(reader.x(10), `slice ${n}`).toBe(n % 2 === 0 ? 1n : 2n);
      engine.harts[1]!.pc = symbols.get("two")!;
      engine.harts[1]!.run(3000);
    }
    expect(cache.installed).toBeGreaterThan(1);
    expect(reader.get32(S.deviceSeen)).toBe(0);
  });

  test("attention that came with an access is for the interpreter to clear", () => {
    const bench = new Bench(true);
    bench.load(`${loop(`lw a0, ${STOP}(s0)`, 300)}${FINISH}`);
    for (let n = 0; n < 400 && !bench.finished; n++) {
      bench.slice(5000);
      expect(bench.hart.get32(S.attention) & ~ATTENTION_LOOK).toBe(0);
    }
    expect(bench.finished).toBe(true);
    expect(bench.log).toHaveLength(300);
  });
});
