// The UART of the board: a 16550A with 16-byte FIFOs, mapped into memory.
// National Semiconductor PC16550D data sheet, 8.0 (registers) and 8.6 (interrupts); register names are its.

import type { Chardev, ChardevEvent, ChardevFrontend } from "../../backend/chardev.ts";
import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import type { RegisterNames } from "../../device/register-names.ts";
import { checkState } from "../../device/snapshot.ts";
import { cells, cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { Timer } from "../../util/clock.ts";
import type { IrqLine } from "../../util/irq.ts";
import { UserError } from "../../util/user-error.ts";
import { serialRegisters } from "./serial-16550a-registers.ts";
import { SerialFifo, type SerialFifoState } from "./serial-fifo.ts";

const REGISTERS = 8;

const RBR_THR_DLL = 0;
const IER_DLM = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RECEIVED = 0x01;
const IER_THR_EMPTY = 0x02;
const IER_LINE_STATUS = 0x04;
const IER_MODEM_STATUS = 0x08;

/** What IIR says, by priority. */
const IIR_LINE_STATUS = 0x06;
const IIR_RECEIVED = 0x04;
const IIR_TIMEOUT = 0x0c;
const IIR_THR_EMPTY = 0x02;
const IIR_MODEM_STATUS = 0x00;
const IIR_NONE = 0x01;
const IIR_FIFOS = 0xc0;

const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVER = 0x02;
const FCR_CLEAR_TRANSMITTER = 0x04;
const FCR_DMA_MODE = 0x08;
const FCR_TRIGGER_SHIFT = 6;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

const LCR_WORD_LENGTH = 0x03;
const LCR_STOP_BITS = 0x04;
const LCR_PARITY = 0x08;
const LCR_DIVISOR_ACCESS = 0x80;

const MCR_DTR = 0x01;
const MCR_RTS = 0x02;
const MCR_OUT1 = 0x04;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;

const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_BREAK = 0x10;
/** The holding register and the transmitter are always empty: bytes leave at once. */
const LSR_TRANSMITTER_EMPTY = 0x60;
const LSR_FIFO_ERROR = 0x80;

const MSR_DELTAS = 0x0f;
const MSR_TRAILING_RI = 0x04;
const MSR_CTS = 0x10;
const MSR_DSR = 0x20;
const MSR_RI = 0x40;
const MSR_DCD = 0x80;
/** Outside loopback somebody is always at the other end. */
const MSR_CONNECTED = MSR_CTS | MSR_DSR | MSR_DCD;

/** The divisor after a reset: 9600 baud from a clock of 1.8432 MHz. */
const RESET_DIVISOR = 12;
const CLOCKS_PER_BIT = 16;
/** A FIFO that holds bytes interrupts when nothing moved for the time of this many characters. */
const TIMEOUT_CHARACTERS = 4;
const NS_PER_SECOND = 1e9;

interface SerialState {
  readonly version: 1;
  readonly receiver: SerialFifoState;
  readonly ier: number;
  readonly fcr: number;
  readonly lcr: number;
  readonly mcr: number;
  readonly msr: number;
  readonly scr: number;
  readonly divisor: number;
  readonly lineErrors: number;
  readonly thrEmptyPending: boolean;
  readonly timeoutPending: boolean;
  /** When the receiver times out; Infinity if it does not. */
  readonly timeoutAt: number;
}

/** The type of the 16550A. */
export const serialType: TypeInfo<SysBusDevice> = {
  name: "serial-mm",
  parent: sysBusDeviceType,
  description: "16550A UART",
  properties: {
    chardev: { type: "chardev", description: "where the bytes go to and come from" },
    regshift: { type: "uint8", default: 0, description: "distance between registers: 2 to the power of it, in bytes" },
    "clock-frequency": { type: "uint32", default: 3_686_400, description: "input clock in hertz" },
  },
  create: (type) => new Serial16550a(type),
};

class Serial16550a extends SysBusDevice implements ChardevFrontend {
  readonly #irq: IrqLine;
  readonly #receiver = new SerialFifo();
  readonly #transmitted = new Uint8Array(1);
  #chardev: Chardev | undefined;
  #regshift = 0;
  #clockFrequency = 0;
  #timeout: Timer | undefined;
  #inputWanted: Timer | undefined;

  #ier = 0;
  #fcr = 0;
  #lcr = 0;
  #mcr = MCR_OUT2;
  #msr = MSR_CONNECTED;
  #scr = 0;
  #divisor = RESET_DIVISOR;
  /** The error bits of LSR. */
  #lineErrors = 0;
  #thrEmptyPending = false;
  #timeoutPending = false;

  constructor(type: TypeInfo) {
    super(type);
    this.#irq = this.initIrq();
  }

  protected override onRealize(): void {
    this.#regshift = this.getNumber("regshift");
    if (this.#regshift > 3) {
      throw new UserError(`${this.typeInfo.name}.regshift: ${this.#regshift} is not between 0 and 3`);
    }
    this.#clockFrequency = this.getNumber("clock-frequency");
    if (this.#clockFrequency === 0) {
      throw new UserError(`${this.typeInfo.name}.clock-frequency: expected a frequency in hertz, such as 3686400`);
    }
    this.#timeout = this.timer("receive timeout", () => this.#timedOut());
    this.#inputWanted = this.timer("accept input", () => this.#chardev?.acceptInput());
    // An access of any size reaches one register, that of its first byte, as on a bus without byte lanes.
    this.initMmio(
      MemoryRegion.io("serial", REGISTERS << this.#regshift, {
        read: (offset) => this.#read(offset >>> this.#regshift),
        write: (offset, value) => this.#write(offset >>> this.#regshift, value & 0xff),
        read64: (offset) => BigInt(this.#read(offset >>> this.#regshift)),
        write64: (offset, value) => this.#write(offset >>> this.#regshift, Number(value & 0xffn)),
        valid: { min: 1, max: 8 },
        impl: { min: 1, max: 8 },
      }),
    );
    this.#chardev = this.get("chardev") as Chardev | undefined;
    this.#chardev?.attach(this);
  }

  override resetEnter(): void {
    this.#receiver.clear(false);
    this.#ier = 0;
    this.#fcr = 0;
    this.#lcr = 0;
    this.#mcr = MCR_OUT2;
    this.#msr = MSR_CONNECTED;
    this.#scr = 0;
    this.#divisor = RESET_DIVISOR;
    this.#lineErrors = 0;
    this.#thrEmptyPending = false;
    this.#timeoutPending = false;
    this.#timeout?.cancel();
  }

  override resetHold(): void {
    this.#update();
  }

  override resetExit(): void {
    this.#chardev?.acceptInput();
  }

  // --- the host's side

  canReceive(): number {
    // Loopback takes the receiver off the line. What comes meanwhile waits at the host's side.
    return this.#loopback ? 0 : this.#receiver.room;
  }

  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#push(byte, 0);
    this.#update();
  }

  event(event: ChardevEvent): void {
    if (event !== "break" || this.#loopback) return;
    this.#push(0, LSR_BREAK);
    this.#update();
  }

  #push(byte: number, errors: number): void {
    if (!this.#receiver.push(byte, errors)) this.#lineErrors |= LSR_OVERRUN;
    if (this.#receiver.count === 1) this.#lineErrors |= this.#receiver.takeErrors();
    this.#timeoutPending = false;
    this.#restartTimeout();
  }

  // --- registers

  #read(register: number): number {
    switch (register) {
      case RBR_THR_DLL:
        return this.#divisorAccess ? this.#divisor & 0xff : this.#readRbr();
      case IER_DLM:
        return this.#divisorAccess ? this.#divisor >>> 8 : this.#ier;
      case IIR_FCR:
        return this.#readIir();
      case LCR:
        return this.#lcr;
      case MCR:
        return this.#mcr;
      case LSR:
        return this.#readLsr();
      case MSR:
        return this.#readMsr();
      default:
        return this.#scr;
    }
  }

  #write(register: number, value: number): void {
    switch (register) {
      case RBR_THR_DLL:
        if (this.#divisorAccess) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#writeThr(value);
        return;
      case IER_DLM:
        if (this.#divisorAccess) this.#divisor = (value << 8) | (this.#divisor & 0xff);
        else this.#writeIer(value);
        return;
      case IIR_FCR:
        this.#writeFcr(value);
        return;
      case LCR:
        this.#lcr = value;
        return;
      case MCR:
        this.#writeMcr(value);
        return;
      case SCR:
        this.#scr = value;
        return;
      default:
        this.guestError(`write of 0x${value.toString(16)} to the read-only ${register === LSR ? "LSR" : "MSR"}`);
    }
  }

  #readRbr(): number {
    const byte = this.#receiver.shift();
    this.#lineErrors |= this.#receiver.takeErrors();
    this.#timeoutPending = false;
    this.#restartTimeout();
    this.#update();
    this.#chardev?.acceptInput();
    return byte;
  }

  #writeThr(value: number): void {
    if (this.#loopback) {
      this.#push(value, 0);
    } else {
      this.#transmitted[0] = value;
      this.#chardev?.write(this.#transmitted);
    }
    this.#thrEmptyPending = true;
    this.#update();
  }

  #writeIer(value: number): void {
    const enabled = value & ~this.#ier;
    this.#ier = value & 0x0f;
    // The register is empty, so enabling its interrupt raises it.
    if ((enabled & IER_THR_EMPTY) !== 0) this.#thrEmptyPending = true;
    if ((this.#ier & IER_THR_EMPTY) === 0) this.#thrEmptyPending = false;
    this.#update();
  }

  #readIir(): number {
    const interrupt = this.#interrupt;
    if (interrupt === IIR_THR_EMPTY) {
      this.#thrEmptyPending = false;
      this.#update();
    }
    return interrupt | (this.#fifosEnabled ? IIR_FIFOS : 0);
  }

  #writeFcr(value: number): void {
    const switched = ((value ^ this.#fcr) & FCR_ENABLE) !== 0;
    // Without FCR_ENABLE no other bit is taken over, but both FIFOs can be cleared.
    this.#fcr = (value & FCR_ENABLE) !== 0 ? value & ~(FCR_CLEAR_RECEIVER | FCR_CLEAR_TRANSMITTER | FCR_DMA_MODE) : 0;
    if (switched || (value & FCR_CLEAR_RECEIVER) !== 0) {
      this.#receiver.clear(this.#fifosEnabled);
      this.#lineErrors &= ~LSR_BREAK;
      this.#timeoutPending = false;
      this.#restartTimeout();
    }
    if (switched || (value & FCR_CLEAR_TRANSMITTER) !== 0) this.#thrEmptyPending = true;
    this.#update();
    this.#chardev?.acceptInput();
  }

  #writeMcr(value: number): void {
    this.#mcr = value & 0x1f;
    const before = this.#msr;
    const levels = this.#loopback ? loopedBack(this.#mcr) : MSR_CONNECTED;
    // The low half tells what changed since MSR was read; of RI only the trailing edge counts.
    let deltas = (before & MSR_DELTAS) | (((before ^ levels) >>> 4) & ~MSR_TRAILING_RI);
    if ((before & ~levels & MSR_RI) !== 0) deltas |= MSR_TRAILING_RI;
    this.#msr = levels | deltas;
    this.#update();
    if (!this.#loopback) this.#chardev?.acceptInput();
  }

  #readLsr(): number {
    let value = LSR_TRANSMITTER_EMPTY | this.#lineErrors;
    if (this.#receiver.count > 0) value |= LSR_DATA_READY;
    if (this.#fifosEnabled && ((this.#lineErrors & ~LSR_OVERRUN) !== 0 || this.#receiver.hasErrors)) {
      value |= LSR_FIFO_ERROR;
    }
    if (this.#lineErrors !== 0) {
      this.#lineErrors = 0;
      this.#update();
    }
    return value;
  }

  #readMsr(): number {
    const value = this.#msr;
    if ((value & MSR_DELTAS) !== 0) {
      this.#msr &= ~MSR_DELTAS;
      this.#update();
    }
    return value;
  }

  get #divisorAccess(): boolean {
    return (this.#lcr & LCR_DIVISOR_ACCESS) !== 0;
  }

  get #fifosEnabled(): boolean {
    return (this.#fcr & FCR_ENABLE) !== 0;
  }

  get #loopback(): boolean {
    return (this.#mcr & MCR_LOOP) !== 0;
  }

  // --- interrupts

  /** The most urgent interrupt, as IIR names it. */
  get #interrupt(): number {
    const ier = this.#ier;
    if ((ier & IER_LINE_STATUS) !== 0 && this.#lineErrors !== 0) return IIR_LINE_STATUS;
    if ((ier & IER_RECEIVED) !== 0) {
      if (this.#receiver.count >= this.#triggerLevel) return IIR_RECEIVED;
      if (this.#timeoutPending) return IIR_TIMEOUT;
    }
    if ((ier & IER_THR_EMPTY) !== 0 && this.#thrEmptyPending) return IIR_THR_EMPTY;
    if ((ier & IER_MODEM_STATUS) !== 0 && (this.#msr & MSR_DELTAS) !== 0) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  get #triggerLevel(): number {
    return this.#fifosEnabled ? TRIGGER_LEVELS[(this.#fcr >>> FCR_TRIGGER_SHIFT) & 3]! : 1;
  }

  #update(): void {
    this.#irq(this.#interrupt !== IIR_NONE);
  }

  /** Bytes below the trigger level may not lie in the FIFO for ever. */
  #restartTimeout(): void {
    if (this.#fifosEnabled && this.#receiver.count > 0) this.#timeout?.after(TIMEOUT_CHARACTERS * this.#characterTime);
    else this.#timeout?.cancel();
  }

  #timedOut(): void {
    this.#timeoutPending = true;
    this.#update();
  }

  /** How long one character is on the line, in nanoseconds. */
  get #characterTime(): number {
    const lcr = this.#lcr;
    const bits =
      1 + 5 + (lcr & LCR_WORD_LENGTH) + ((lcr & LCR_PARITY) !== 0 ? 1 : 0) + ((lcr & LCR_STOP_BITS) !== 0 ? 2 : 1);
    const clocks = bits * CLOCKS_PER_BIT * Math.max(this.#divisor, 1);
    return Math.ceil((clocks * NS_PER_SECOND) / this.#clockFrequency);
  }

  // --- traces, snapshot, device tree

  override registerNames(): RegisterNames {
    return serialRegisters(this.typeInfo.name, this.irqNames, this.#regshift, () => this.#divisorAccess);
  }

  override save(): SerialState {
    return {
      version: 1,
      receiver: this.#receiver.save(),
      ier: this.#ier,
      fcr: this.#fcr,
      lcr: this.#lcr,
      mcr: this.#mcr,
      msr: this.#msr,
      scr: this.#scr,
      divisor: this.#divisor,
      lineErrors: this.#lineErrors,
      thrEmptyPending: this.#thrEmptyPending,
      timeoutPending: this.#timeoutPending,
      timeoutAt: this.#timeout?.deadline ?? Infinity,
    };
  }

  override load(saved: unknown): void {
    const state = checkState<SerialState>(saved, 1);
    this.#receiver.load(state.receiver);
    this.#ier = state.ier & 0x0f;
    this.#fcr = state.fcr & 0xff;
    this.#lcr = state.lcr & 0xff;
    this.#mcr = state.mcr & 0x1f;
    this.#msr = state.msr & 0xff;
    this.#scr = state.scr & 0xff;
    this.#divisor = state.divisor & 0xffff;
    this.#lineErrors = state.lineErrors & 0x1e;
    this.#thrEmptyPending = state.thrEmptyPending;
    this.#timeoutPending = state.timeoutPending;
    this.#timeout?.at(state.timeoutAt);
    this.#update();
    // There may be room for input now, but not before all devices have their states.
    this.#inputWanted?.after(0);
  }

  override describe(context: FdtContext): void {
    context.soc
      .child(`serial@${context.base.toString(16)}`)
      .prop("compatible", "ns16550a")
      .prop("reg", cells64(context.base, context.size))
      .prop("clock-frequency", this.#clockFrequency)
      .prop("interrupt-parent", context.interruptParent)
      .prop("interrupts", cells(...context.irqs));
  }
}

/** Which inputs of MSR the outputs of MCR drive in loopback. */
function loopedBack(mcr: number): number {
  return (
    ((mcr & MCR_RTS) !== 0 ? MSR_CTS : 0) |
    ((mcr & MCR_DTR) !== 0 ? MSR_DSR : 0) |
    ((mcr & MCR_OUT1) !== 0 ? MSR_RI : 0) |
    ((mcr & MCR_OUT2) !== 0 ? MSR_DCD : 0)
  );
}
