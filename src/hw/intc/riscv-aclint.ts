// The harts' timers and software interrupts: MTIMER and SWI of the advanced core-local interruptor, which together have
// the registers of SiFive's CLINT. RISC-V ACLINT Specification 1.0-rc4, chapters 2 and 3.

import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import { rw } from "../../device/model/fields.ts";
import { reg32, reg64, regs } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";
import { checkState } from "../../device/snapshot.ts";
import { cells, cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { PropertyInfo } from "../../qom/property.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { Timer } from "../../util/clock.ts";
import type { IrqLine } from "../../util/irq.ts";
import { UserError } from "../../util/user-error.ts";
import { loadArray } from "../state.ts";
import { HartIrq, hartIntcKey } from "./hart-intc.ts";

/** What SWI and MTIMER take together: the CLINT of the device tree. Bytes. */
const CLINT_SIZE = 0x1_0000;
const SWI_SIZE = 0x4000;
const MTIMER_SIZE = 0x8000;
/** Where MTIMER has mtime; mtimecmp begins at 0. */
const MTIME = 0x7ff8;

/** Both limits of the specification's register layout. */
const MAX_HARTS = 4095;

const NS_PER_SECOND = 1e9;
/** A deadline further off than these 36 years is none: software writes the highest value to have no timer. */
const MAX_DELAY_NS = 2 ** 60;

const HART_PROPERTIES: Readonly<Record<string, PropertyInfo>> = {
  "hartid-base": { type: "uint32", default: 0, description: "id of the first hart" },
  "num-harts": { type: "uint32", default: 1, description: `number of harts, up to ${MAX_HARTS}` },
};

function hartCount(device: SysBusDevice): number {
  const harts = device.getNumber("num-harts");
  if (harts < 1 || harts > MAX_HARTS) {
    throw new UserError(`${device.typeInfo.name}.num-harts: ${harts} is not between 1 and ${MAX_HARTS}`);
  }
  return harts;
}

// --- SWI

interface SwiState {
  readonly version: 1;
  readonly msip: Uint8Array;
}

/** The type of the machine-level software interrupts. Its outputs, one per hart, exist once it is realized. */
export const aclintSwiType: TypeInfo<SysBusDevice> = {
  name: "riscv.aclint.swi",
  parent: sysBusDeviceType,
  description: "software interrupts of the harts",
  properties: HART_PROPERTIES,
  create: (type) => new AclintSwi(type),
};

class AclintSwi extends SysBusDevice {
  #msip = new Uint8Array();
  #outputs: IrqLine[] = [];

  protected override onRealize(): void {
    const harts = hartCount(this);
    this.#msip = new Uint8Array(harts);
    this.#outputs = Array.from(this.#msip, (_, hart) => this.initIrq(`msip${hart}`));
    this.initMmio(
      MemoryRegion.io("riscv.aclint.swi", SWI_SIZE, {
        read: (offset) => this.#read(offset),
        write: (offset, value) => this.#write(offset, value),
        valid: { min: 4, max: 4 },
      }),
    );
  }

  override resetEnter(): void {
    this.#msip.fill(0);
  }

  override resetHold(): void {
    this.#update();
  }

  #read(offset: number): number {
    const hart = offset >>> 2;
    if (hart < this.#msip.length) return this.#msip[hart]!;
    this.guestError(`read of msip of hart ${hart}, which is not there`);
    return 0;
  }

  #write(offset: number, value: number): void {
    const hart = offset >>> 2;
    if (hart >= this.#msip.length) {
      this.guestError(`write to msip of hart ${hart}, which is not there`);
      return;
    }
    this.#msip[hart] = value & 1;
    this.#outputs[hart]!((value & 1) !== 0);
  }

  #update(): void {
    for (const [hart, output] of this.#outputs.entries()) output(this.#msip[hart] !== 0);
  }

  override registerNames(): RegisterNames {
    const msip = reg32(0, { fields: { MSIP: rw(0) } });
    return registerNames({ type: this.typeInfo.name, irqs: this.irqNames, size: SWI_SIZE }, [
      { msip: regs(this.#msip.length, 4, msip) },
    ]);
  }

  override save(): SwiState {
    return { version: 1, msip: this.#msip.slice() };
  }

  override load(saved: unknown): void {
    loadArray(this.#msip, checkState<SwiState>(saved, 1).msip, "msip");
    this.#update();
  }

  /** Writes the node for SWI and MTIMER together: they are one CLINT, which begins with SWI. */
  override describe(context: FdtContext): void {
    const first = this.getNumber("hartid-base");
    const targets = Array.from(this.#msip, (_, hart) => {
      const intc = context.phandle(hartIntcKey(first + hart));
      return [intc, HartIrq.machineSoftware, intc, HartIrq.machineTimer];
    });
    context.soc
      .child(`clint@${context.base.toString(16)}`)
      .prop("compatible", ["sifive,clint0", "riscv,clint0"])
      .prop("reg", cells64(context.base, CLINT_SIZE))
      .prop("interrupts-extended", cells(...targets.flat()));
  }
}

// --- MTIMER

interface MtimerState {
  readonly version: 1;
  readonly offset: bigint;
  readonly mtimecmp: readonly bigint[];
}

/** The type of the machine-level timers. Its outputs, one per hart, exist once it is realized. */
export const aclintMtimerType: TypeInfo<AclintMtimer> = {
  name: "riscv.aclint.mtimer",
  parent: sysBusDeviceType,
  description: "time base and timers of the harts",
  properties: {
    ...HART_PROPERTIES,
    "timebase-freq": { type: "uint32", default: 10_000_000, description: "frequency of mtime in hertz; divides 10^9" },
  },
  create: (type) => new AclintMtimer(type),
};

/**
 * The time base of the board, and a timer interrupt for each hart: high while `mtime >= mtimecmp`.
 *
 * The harts' `time` register shows the same time: ticks of the machine's clock plus `timeOffset`.
 */
export class AclintMtimer extends SysBusDevice {
  /** Called when mtime was set: whoever compares with the time must plan anew. */
  onTimeSet: () => void = () => {};

  #nsPerTick = 100;
  /** What to add to the clock's ticks to get mtime; 64 bits, unsigned. */
  #offset = 0n;
  #mtimecmp: bigint[] = [];
  #timers: Timer[] = [];
  #outputs: IrqLine[] = [];

  protected override onRealize(): void {
    const harts = hartCount(this);
    const frequency = this.getNumber("timebase-freq");
    // So a tick is a whole number of nanoseconds, and deadlines are exact.
    if (frequency < 1 || NS_PER_SECOND % frequency !== 0) {
      throw new UserError(
        `${this.typeInfo.name}.timebase-freq: ${frequency} does not divide 1000000000, expected a value such as 10000000`,
      );
    }
    this.#nsPerTick = NS_PER_SECOND / frequency;
    this.#mtimecmp = new Array(harts).fill(0n);
    this.#outputs = Array.from(this.#mtimecmp, (_, hart) => this.initIrq(`mtip${hart}`));
    this.#timers = this.#outputs.map((_, hart) => this.timer(`mtimecmp${hart}`, () => this.#compare(hart)));
    this.initMmio(
      MemoryRegion.io("riscv.aclint.mtimer", MTIMER_SIZE, {
        read: (offset) => this.#read(offset),
        write: (offset, value) => this.#write(offset, value),
        read64: (offset) => this.#read64(offset),
        write64: (offset, value) => this.#write64(offset, value),
        valid: { min: 4, max: 8 },
        impl: { min: 4, max: 8 },
      }),
    );
  }

  /** mtime: ticks since reset, unless the guest set it; 64 bits, unsigned. */
  get time(): bigint {
    return this.#timeAt(this.#clockTicks());
  }

  /** What to add, modulo 2^64, to the whole ticks of the machine's clock to get mtime. */
  get timeOffset(): bigint {
    return this.#offset;
  }

  #clockTicks(): number {
    return Math.floor(this.host.clock.now / this.#nsPerTick);
  }

  #timeAt(clockTicks: number): bigint {
    return BigInt.asUintN(64, this.#offset + BigInt(clockTicks));
  }

  override resetHold(): void {
    // mtimecmp is in no known state after a reset, says the specification: it keeps its value.
    this.#setTime(0n);
  }

  #read(offset: number): number {
    const doubleword = this.#read64(offset & ~7);
    return Number(BigInt.asUintN(32, (offset & 4) === 0 ? doubleword : doubleword >> 32n));
  }

  #read64(offset: number): bigint {
    if (offset === MTIME) return this.time;
    const value = this.#mtimecmp[offset >>> 3];
    if (value !== undefined) return value;
    this.guestError(`read at reserved offset 0x${offset.toString(16)}`);
    return 0n;
  }

  #write(offset: number, value: number): void {
    const old = offset >= MTIME ? this.time : (this.#mtimecmp[offset >>> 3] ?? 0n);
    const low = (offset & 4) === 0 ? BigInt(value) : old & 0xffff_ffffn;
    const high = (offset & 4) === 0 ? old >> 32n : BigInt(value);
    this.#write64(offset & ~7, (high << 32n) | low);
  }

  #write64(offset: number, value: bigint): void {
    const hart = offset >>> 3;
    if (offset === MTIME) {
      this.#setTime(value);
    } else if (hart < this.#mtimecmp.length) {
      this.#mtimecmp[hart] = value;
      this.#compare(hart);
    } else {
      this.guestError(`write at reserved offset 0x${offset.toString(16)}`);
    }
  }

  #setTime(time: bigint): void {
    this.#offset = BigInt.asUintN(64, time - BigInt(this.#clockTicks()));
    this.#compareAll();
    this.onTimeSet();
  }

  #compareAll(): void {
    for (let hart = 0; hart < this.#mtimecmp.length; hart++) this.#compare(hart);
  }

  /** Drives the output of a hart, and plans to come back when its time comes. */
  #compare(hart: number): void {
    // One look at the clock: it may run on meanwhile.
    const now = this.#clockTicks();
    const left = Number(this.#mtimecmp[hart]! - this.#timeAt(now));
    const timer = this.#timers[hart]!;
    if (left > 0 && left * this.#nsPerTick < MAX_DELAY_NS) timer.at((now + left) * this.#nsPerTick);
    else timer.cancel();
    this.#outputs[hart]!(left <= 0);
  }

  override registerNames(): RegisterNames {
    return registerNames({ type: this.typeInfo.name, irqs: this.irqNames, size: MTIMER_SIZE }, [
      { mtimecmp: regs(this.#mtimecmp.length, 8, reg64(0)), mtime: reg64(MTIME) },
    ]);
  }

  override save(): MtimerState {
    return { version: 1, offset: this.#offset, mtimecmp: [...this.#mtimecmp] };
  }

  override load(saved: unknown): void {
    const state = checkState<MtimerState>(saved, 1);
    if (state.mtimecmp?.length !== this.#mtimecmp.length) {
      throw new UserError(`its mtimecmp should be an array of length ${this.#mtimecmp.length}`);
    }
    this.#offset = BigInt.asUintN(64, state.offset);
    this.#mtimecmp = state.mtimecmp.map((value) => BigInt.asUintN(64, value));
    this.#compareAll();
    this.onTimeSet();
  }
}
