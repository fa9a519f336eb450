// The goldfish real-time clock: time of day in nanoseconds since 1970, with an alarm.
// Android's Goldfish virtual hardware, "Goldfish real-time clock", with the clear and status registers Linux knows.

import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import { rw } from "../../device/model/fields.ts";
import { reg32 } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";
import { checkState } from "../../device/snapshot.ts";
import { cells, cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { Timer } from "../../util/clock.ts";
import type { IrqLine } from "../../util/irq.ts";

const REGION_SIZE = 0x24;

const Register = {
  TIME_LOW: 0x00,
  TIME_HIGH: 0x04,
  ALARM_LOW: 0x08,
  ALARM_HIGH: 0x0c,
  IRQ_ENABLED: 0x10,
  CLEAR_ALARM: 0x14,
  ALARM_STATUS: 0x18,
  CLEAR_INTERRUPT: 0x1c,
} as const;

interface RtcState {
  readonly version: 1;
  readonly offset: bigint;
  readonly alarm: bigint;
  readonly latchedHigh: number;
  readonly alarmSet: boolean;
  readonly irqEnabled: boolean;
  readonly irqPending: boolean;
}

/** The type of the goldfish real-time clock. */
export const goldfishRtcType: TypeInfo<SysBusDevice> = {
  name: "goldfish-rtc",
  parent: sysBusDeviceType,
  description: "real-time clock with alarm",
  create: (type) => new GoldfishRtc(type),
};

class GoldfishRtc extends SysBusDevice {
  readonly #irq: IrqLine;
  #timer: Timer | undefined;
  /** The time of day at the start of the machine's clock, in nanoseconds since 1970; 64 bits, unsigned. */
  #offset = 0n;
  /** Nanoseconds since 1970; 64 bits, unsigned. */
  #alarm = 0n;
  /** What TIME_HIGH reads: taken when TIME_LOW is read, so that both halves belong together. */
  #latchedHigh = 0;
  #alarmSet = false;
  #irqEnabled = false;
  #irqPending = false;

  constructor(type: TypeInfo) {
    super(type);
    this.#irq = this.initIrq();
    this.initMmio(
      MemoryRegion.io("goldfish_rtc", REGION_SIZE, {
        read: (offset) => this.#read(offset),
        write: (offset, value) => this.#write(offset, value),
        valid: { min: 4, max: 8 },
        impl: { min: 4, max: 4 },
      }),
    );
  }

  protected override onRealize(): void {
    this.#timer = this.timer("alarm", () => this.#checkAlarm());
    this.#offset = this.host.wallClock() - BigInt(this.host.clock.now);
  }

  override resetEnter(): void {
    // The time goes on: a reset does not reach the part that the battery keeps.
    this.#alarm = 0n;
    this.#latchedHigh = 0;
    this.#alarmSet = false;
    this.#irqEnabled = false;
    this.#irqPending = false;
    this.#timer?.cancel();
  }

  override resetHold(): void {
    this.#update();
  }

  /** The time of day, in nanoseconds since 1970; 64 bits, unsigned. */
  #time(): bigint {
    return BigInt.asUintN(64, this.#offset + BigInt(this.host.clock.now));
  }

  #read(offset: number): number {
    switch (offset) {
      case Register.TIME_LOW: {
        const time = this.#time();
        this.#latchedHigh = Number(time >> 32n);
        return Number(time & 0xffff_ffffn);
      }
      case Register.TIME_HIGH:
        return this.#latchedHigh;
      case Register.ALARM_LOW:
        return Number(this.#alarm & 0xffff_ffffn);
      case Register.ALARM_HIGH:
        return Number(this.#alarm >> 32n);
      case Register.IRQ_ENABLED:
        return this.#irqEnabled ? 1 : 0;
      case Register.ALARM_STATUS:
        return this.#alarmSet ? 1 : 0;
      case Register.CLEAR_ALARM:
      case Register.CLEAR_INTERRUPT:
        return 0;
      default:
        this.guestError(`read at reserved offset 0x${offset.toString(16)}`);
        return 0;
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case Register.TIME_LOW:
        // Software writes TIME_HIGH first: only now is the time set, and may be the alarm's.
        this.#setTime(withLow(this.#time(), value));
        this.#checkAlarm();
        return;
      case Register.TIME_HIGH:
        this.#setTime(withHigh(this.#time(), value));
        return;
      case Register.ALARM_LOW:
        // Software writes ALARM_HIGH first: the low half sets the alarm.
        this.#alarm = withLow(this.#alarm, value);
        this.#alarmSet = true;
        this.#checkAlarm();
        return;
      case Register.ALARM_HIGH:
        this.#alarm = withHigh(this.#alarm, value);
        return;
      case Register.IRQ_ENABLED:
        this.#irqEnabled = (value & 1) !== 0;
        this.#update();
        return;
      case Register.CLEAR_ALARM:
        this.#alarmSet = false;
        this.#timer?.cancel();
        return;
      case Register.CLEAR_INTERRUPT:
        this.#irqPending = false;
        this.#update();
        return;
      default:
        this.guestError(`write of 0x${value.toString(16)} at reserved or read-only offset 0x${offset.toString(16)}`);
    }
  }

  #setTime(time: bigint): void {
    this.#offset = BigInt.asUintN(64, this.#offset + time - this.#time());
  }

  /** Rings if the alarm's time has come, otherwise waits for it. */
  #checkAlarm(): void {
    if (!this.#alarmSet) return;
    const left = this.#alarm - this.#time();
    if (left > 0n) {
      this.#timer?.after(Number(left));
      return;
    }
    this.#timer?.cancel();
    this.#alarmSet = false;
    this.#irqPending = true;
    this.#update();
  }

  #update(): void {
    this.#irq(this.#irqPending && this.#irqEnabled);
  }

  override registerNames(): RegisterNames {
    const [read, write] = [{ access: "ro" }, { access: "wo" }] as const;
    return registerNames({ type: this.typeInfo.name, irqs: this.irqNames, size: REGION_SIZE }, [
      {
        TIME_LOW: reg32(Register.TIME_LOW),
        TIME_HIGH: reg32(Register.TIME_HIGH),
        ALARM_LOW: reg32(Register.ALARM_LOW),
        ALARM_HIGH: reg32(Register.ALARM_HIGH),
        IRQ_ENABLED: reg32(Register.IRQ_ENABLED, { fields: { ENABLED: rw(0) } }),
        CLEAR_ALARM: reg32(Register.CLEAR_ALARM, write),
        ALARM_STATUS: reg32(Register.ALARM_STATUS, read),
        CLEAR_INTERRUPT: reg32(Register.CLEAR_INTERRUPT, write),
      },
    ]);
  }

  override save(): RtcState {
    return {
      version: 1,
      offset: this.#offset,
      alarm: this.#alarm,
      latchedHigh: this.#latchedHigh,
      alarmSet: this.#alarmSet,
      irqEnabled: this.#irqEnabled,
      irqPending: this.#irqPending,
    };
  }

  override load(saved: unknown): void {
    const state = checkState<RtcState>(saved, 1);
    this.#offset = state.offset;
    this.#alarm = state.alarm;
    this.#latchedHigh = state.latchedHigh;
    this.#alarmSet = state.alarmSet;
    this.#irqEnabled = state.irqEnabled;
    this.#irqPending = state.irqPending;
    this.#timer?.cancel();
    this.#checkAlarm();
    this.#update();
  }

  override describe(context: FdtContext): void {
    context.soc
      .child(`rtc@${context.base.toString(16)}`)
      .prop("compatible", "google,goldfish-rtc")
      .prop("reg", cells64(context.base, context.size))
      .prop("interrupt-parent", context.interruptParent)
      .prop("interrupts", cells(...context.irqs));
  }
}

function withLow(value: bigint, low: number): bigint {
  return ((value >> 32n) << 32n) | BigInt(low);
}

function withHigh(value: bigint, high: number): bigint {
  return (BigInt(high) << 32n) | (value & 0xffff_ffffn);
}
