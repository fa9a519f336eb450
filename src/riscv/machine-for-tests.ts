/** A small machine for tests: one hart, RAM, a place to stop at, devices on request; programs come as assembly. */
import { assemble } from "../isa/assembler.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { Engine } from "./engine.ts";
import type { Hart } from "./hart.ts";
import { EXIT } from "./layout.ts";

export const RAM = 0x8000_0000;
/** A store here ends the program: the board's test finisher. */
export const FINISHER = 0x10_0000;

export interface TestMachineOptions {
  readonly ramBytes?: number;
  /** Memory for more regions of RAM, by `engine.allocateRam`. */
  readonly spareBytes?: number;
  readonly extensions?: ReadonlySet<string>;
  readonly codePages?: number;
  /** After how many runs tier 1 may translate code; tests attach it themselves. */
  readonly hotCount?: number;
  /** Ticks that the `time` CSR shows. */
  readonly time?: () => bigint;
}

export class TestMachine {
  readonly root = MemoryRegion.container("system", 1n << 64n);
  readonly space = new AddressSpace(this.root, "memory");
  readonly engine: Engine;
  readonly hart: Hart;
  readonly ram: Uint8Array;
  /** Symbols that programs may use. */
  readonly constants: Record<string, bigint> = {};
  /** Labels of the programs that were loaded. */
  readonly symbols = new Map<string, bigint>();
  finished = false;

  constructor(options: TestMachineOptions = {}) {
    const ramBytes = options.ramBytes ?? 1 << 20;
    this.engine = new Engine({
      harts: 1,
      ramBytes: ramBytes + (options.spareBytes ?? 0),
      space: this.space,
      time: options.time ?? (() => 0n),
      ...(options.extensions ? { extensions: options.extensions } : {}),
      ...(options.codePages === undefined ? {} : { codePages: options.codePages }),
      ...(options.hotCount === undefined ? {} : { hotCount: options.hotCount }),
    });
    this.ram = this.engine.allocateRam(ramBytes);
    this.root.addSubregion(BigInt(RAM), MemoryRegion.ram("ram", this.ram));
    this.hart = this.engine.harts[0]!;
    this.io(
      "finisher",
      FINISHER,
      0x1000,
      () => 0,
      () => {
        this.finished = true;
        this.hart.leave();
      },
    );
    this.hart.reset(BigInt(RAM));
  }

  /** Adds a device of 32-bit registers. */
  io(
    name: string,
    base: number,
    size: number,
    read: (offset: number) => number,
    write: (offset: number, value: number) => void,
  ): void {
    this.root.addSubregion(BigInt(base), MemoryRegion.io(name, size, { read, write }));
  }

  /** Assembles a program to `base` in RAM; its labels become `symbols`. */
  load(source: string, base = BigInt(RAM)): this {
    const { bytes, symbols } = assemble(source, { base, symbols: this.constants });
    this.space.writeBytes(base, bytes);
    for (const [name, value] of symbols) this.symbols.set(name, value);
    return this;
  }

  /** The address of a label. */
  at(label: string): bigint {
    const address = this.symbols.get(label);
    if (address === undefined) throw new Error(`no label ${label}`);
    return address;
  }

  /**
   * Runs until the program stores to the finisher. Throws where it does not within `limit` instructions; a hart that
   * waits for an interrupt runs on only while `idle` says so.
   */
  run(limit = 100_000, idle: () => boolean = () => false): this {
    this.finished = false;
    for (let left = limit; left > 0 && !this.finished; left -= 1000) {
      const exit = this.hart.run(1000);
      if (exit === EXIT.wfi && !this.finished && !idle())
        throw new Error(`the hart waits at ${this.hart.pc.toString(16)}`);
    }
    if (!this.finished) throw new Error(`no end within ${limit} instructions, pc ${this.hart.pc.toString(16)}`);
    return this;
  }

  read64(address: bigint | number): bigint {
    const bytes = new Uint8Array(8);
    this.space.readBytes(address, bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  write64(address: bigint | number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.space.writeBytes(address, bytes);
  }
}

/** Ends the program. */
export const FINISH = `
      li t6, ${FINISHER}
      sw zero, 0(t6)
      j .
`;

/** A trap handler that leaves cause, tval and epc in s2, s3 and s4 and ends the program; SETUP installs it. */
const HANDLER = `
      .align 2
handler: csrr s2, mcause; csrr s3, mtval; csrr s4, mepc
      ${FINISH}`;
const SETUP = "la t0, handler; csrw mtvec, t0; li s2, -1;";
/** All of memory for S and U, by the last entry of PMP. */
export const OPEN = "li t0, -1; csrw pmpaddr15, t0; li t0, 0x1f << 56; csrw pmpcfg2, t0;";
/** Goes to a label in U-mode (0), S-mode (1) or M-mode (3). */
export const enter = (mode: 0 | 1 | 3, label = "below"): string =>
  `la t0, ${label}; csrw mepc, t0; li t0, 0x1800; csrc mstatus, t0; li t0, ${mode << 11}; csrs mstatus, t0; mret;`;

export interface TrapOutcome {
  /** -1 where nothing was trapped. */
  readonly cause: bigint;
  readonly tval: bigint;
  readonly epc: bigint;
  readonly machine: TestMachine;
  /** a0 to a7. */
  readonly a: readonly bigint[];
}

/** Runs code that SETUP precedes and FINISH follows, and says what it trapped with. */
export function trapOf(body: string, machine: TestMachine = new TestMachine()): TrapOutcome {
  machine.hart.reset(BigInt(RAM));
  machine.load(`${SETUP}${body}${FINISH}${HANDLER}`).run();
  const x = (n: number): bigint => machine.hart.x(n);
  return {
    cause: BigInt.asIntN(64, x(18)),
    tval: x(19),
    epc: x(20),
    machine,
    a: [10, 11, 12, 13, 14, 15, 16, 17].map(x),
  };
}

/** Bits of a page table entry. */
export const PTE = { V: 1n, R: 2n, W: 4n, X: 8n, U: 16n, G: 32n, A: 64n, D: 128n, RWX: 0xen, AD: 0xc0n } as const;

/** Page tables in a machine's RAM, from `at` on. */
export class PageTables {
  private next: number;
  private readonly machine: TestMachine;
  private readonly levels: number;
  private readonly root: number;

  constructor(machine: TestMachine, mode: 39 | 48 | 57 = 39, at = RAM + 0x80000) {
    this.machine = machine;
    this.levels = (mode - 12) / 9;
    this.next = at;
    this.root = this.table();
  }

  /** An address for one more table. */
  table(): number {
    this.next += 4096;
    return this.next - 4096;
  }

  /** What satp has to be. */
  satp(asid = 0n): bigint {
    return (BigInt(this.levels + 5) << 60n) | (asid << 44n) | BigInt(this.root >>> 12);
  }

  /** Where the entry for an address lies at a level (0 is the last), with the tables above made on the way. */
  entry(va: bigint, level = 0): number {
    let table = this.root;
    for (let l = this.levels - 1; ; l--) {
      const at = table + Number((va >> BigInt(12 + 9 * l)) & 511n) * 8;
      if (l === level) return at;
      const pte = this.machine.read64(at);
      if (pte & PTE.V) table = Number((pte >> 10n) << 12n);
      else {
        table = this.table();
        this.machine.write64(at, (BigInt(table >>> 12) << 10n) | PTE.V);
      }
    }
  }

  /** Maps a page (a superpage at level 1 and up) with the flags given, V added. */
  map(va: bigint | number, pa: bigint | number, flags: bigint, level = 0): this {
    this.machine.write64(this.entry(BigInt(va), level), ((BigInt(pa) >> 12n) << 10n) | flags | PTE.V);
    return this;
  }
}
