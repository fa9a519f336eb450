/** A small machine for tests: one hart, RAM, a place to stop at, devices on request; programs come as assembly. */
import { assemble } from "../isa/assembler.ts";
import { AddressSpace } from "../memory/address-space.ts";
import { MemoryRegion } from "../memory/region.ts";
import { Engine } from "./engine.ts";
import type { Hart } from "./hart.ts";
import { EXIT } from "./layout.ts";

export const RAM = 0x8000_0000;
/** A store here ends the program: the board's test finisher. */
const FINISHER = 0x10_0000;

export interface TestMachineOptions {
  readonly ramBytes?: number;
  /** Memory for more regions of RAM, by `engine.allocateRam`. */
  readonly spareBytes?: number;
  readonly extensions?: ReadonlySet<string>;
  readonly codePages?: number;
  /** Ticks that the `time` CSR shows. */
  readonly time?: () => bigint;
}

export class TestMachine {
  readonly root = MemoryRegion.container("system", 1n << 64n);
  readonly space = new AddressSpace(this.root, "memory");
  readonly engine: Engine;
  readonly hart: Hart;
  readonly ram: Uint8Array;
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
    const { bytes, symbols } = assemble(source, { base, symbols: Object.fromEntries(this.symbols) });
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
