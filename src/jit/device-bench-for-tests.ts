/** A machine with a device that does to it whatever devices may, and programs for it that both tiers run alike. */
import { expect } from "vitest";
import { BusError } from "../memory/bus-error.ts";
import { MemoryRegion } from "../memory/region.ts";
import { S } from "../riscv/layout.ts";
import { FINISH, TestMachine } from "../riscv/machine-for-tests.ts";
import { silentLog } from "../util/log.ts";
import { inlineCompiler } from "./compiler.ts";
import { THREAD_LIMITS } from "./module.ts";
import { RegionCache } from "./tier1.ts";

export const DEVICE = 0x1000_0000;
/** Registers of the device, by offset. */
export const IRQ = 4;
export const STOP = 8;
export const REFUSES = 0xc;
export const BREAKS = 0x10;
export const SELF = 0x14;
export const SWAP = 0x18;
export const WIDE = 0x20;

/** A machine with a device that does to it whatever devices may. */
export class Bench extends TestMachine {
  /** What reached the device, each with where the hart was. */
  readonly log: string[] = [];
  /** Accesses that the interpreter did not make through the I/O TLB. */
  others = 0;
  readonly device: MemoryRegion;
  /** At DEVICE + 0x1000, one at a time. */
  readonly twins: readonly MemoryRegion[];
  #reads = 0;
  #swaps = 0;
  #wanted = 0;

  constructor(translated: boolean) {
    super({ hotCount: 2 });
    if (translated) {
      const cache = new RegionCache(this.engine, inlineCompiler(this.engine, THREAD_LIMITS), silentLog);
      this.poll = () => cache.poll();
      this.installed = () => cache.installed;
    }
    const line = this.hart.irqLine(11);
    this.device = this.add("device", DEVICE, 0x100, {
      read: (offset, size) => {
        this.#note(`read ${offset} ${size}`);
        if (offset === REFUSES && ++this.#wanted % 4 === 0) throw new BusError(DEVICE + offset, "access");
        if (offset === BREAKS) throw new Error("a bug of the model");
        if (offset === IRQ) line(this.#reads % 3 === 0);
        if (offset === STOP) this.hart.leave();
        if (offset === SELF) {
          this.space.load(DEVICE, 4);
          return this.space.fault ? 1 : 2;
        }
        if (offset === SWAP && ++this.#swaps % 16 === 0) for (const twin of this.twins) twin.enabled = !twin.enabled;
        return offset >= WIDE ? 0x8182_8384 + offset : this.#reads++;
      },
      write: (offset, value, size) => {
        this.#note(`write ${offset} ${size} ${value}`);
        if (offset === REFUSES && ++this.#wanted % 4 === 0) throw new BusError(DEVICE + offset, "access");
        if (offset === BREAKS) throw new Error("a bug of the model");
        if (offset === IRQ) line((value & 7) === 3);
        if (offset === STOP) this.hart.leave();
      },
    });
    this.twins = [1, 2].map((n) =>
      this.add(`twin${n}`, DEVICE + 0x1000, 0x1000, {
        read: () => {
          this.#note(`twin ${n}`);
          return n;
        },
        write: (_offset, value) => this.#note(`twin ${n} ${value}`),
      }),
    );
    this.twins[1]!.enabled = false;
  }

  poll = (): void => {};
  /** Regions that were ever put in place. */
  installed = (): number => 0;

  add(name: string, base: number, size: number, ops: Parameters<typeof MemoryRegion.io>[2]): MemoryRegion {
    const region = MemoryRegion.io(name, size, ops);
    this.root.addSubregion(BigInt(base), region);
    return region;
  }

  #note(what: string): void {
    if (this.hart.get32(S.deviceSeen) === 0) this.others++;
    this.log.push(`${what} at ${this.hart.pc.toString(16)}, ${this.hart.instret}`);
  }

  /** All that a program can tell. */
  get state(): unknown {
    const { hart } = this;
    return {
      x: Array.from({ length: 32 }, (_, n) => hart.x(n).toString(16)),
      pc: hart.pc.toString(16),
      instret: hart.instret,
      priv: hart.get32(S.priv),
      trap: [S.mcause, S.mepc, S.mtval].map((field) => hart.get64(field).toString(16)),
    };
  }

  /** One slice. What it threw is an outcome too. */
  slice(budget: number): unknown {
    this.poll();
    try {
      return this.hart.run(budget);
    } catch (error) {
      return error;
    }
  }
}

interface Outcome {
  readonly interpreted: Bench;
  readonly translated: Bench;
  /** Of the slices. */
  readonly ends: readonly unknown[];
}

/** Runs a program on both tiers in the same slices, and compares after each. Tier 1 is to make some of the accesses. */
export function both(source: string, prepare: (bench: Bench) => void = () => {}, some = 50): Outcome {
  const [interpreted, translated] = [new Bench(false), new Bench(true)];
  for (const bench of [interpreted, translated]) {
    prepare(bench);
    bench.load(`${source}${FINISH}`);
    bench.finished = false;
  }
  const ends: unknown[] = [];
  for (let n = 0; !interpreted.finished; n++) {
    if (n === 500) throw new Error(`no end: pc ${interpreted.hart.pc.toString(16)}`);
    const budget = n % 5 === 4 ? 1 + (n % 37) : 1500;
    const end = interpreted.slice(budget);
    expect(translated.slice(budget), `slice ${n}`).toEqual(end);
    expect(translated.state, `after slice ${n}`).toEqual(interpreted.state);
    ends.push(end);
    if (end instanceof Error) break;
  }
  expect(translated.log).toEqual(interpreted.log);
  expect(translated.others - interpreted.others, "accesses that tier 1 made").toBeGreaterThanOrEqual(some);
  return { interpreted, translated, ends };
}

export const loop = (body: string, rounds = 600): string => `
      li s0, ${DEVICE}
      li s1, ${rounds}
round:${body}
      addi s1, s1, -1
      bnez s1, round
`;
/** Counts traps in s8, adds up causes and values, and goes on after the instruction. */
export const COUNT_TRAPS = `
      j start
      .align 2
count: csrr t0, mcause
      add s9, s9, t0
      csrr t0, mtval
      add s10, s10, t0
      csrr t0, mepc
      addi t0, t0, 4
      csrw mepc, t0
      addi s8, s8, 1
      mret
start: la t0, count
      csrw mtvec, t0
`;
