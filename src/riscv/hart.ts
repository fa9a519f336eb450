/** One hart: its registers, its interrupt lines, and a slice of its execution. */
import { type CsrHart, peekCsr, resetCsrs } from "./csr.ts";
import type { Engine } from "./engine.ts";
import { misaValue } from "./extensions.ts";
import { ATTENTION_LEAVE, ATTENTION_LOOK, CONTEXTS_PER_HART, CTX, EXIT, type Field, HART_STRIDE, S } from "./layout.ts";
import { SoftFloat } from "./softfloat/index.ts";

/** Interrupt numbers of the lines into a hart (privileged specification 3.1.9). */
export type HartInterrupt = 1 | 3 | 5 | 7 | 9 | 11;

export class Hart implements CsrHart {
  readonly engine: Engine;
  readonly index: number;
  /** Address of the state in the engine's memory. */
  readonly base: number;
  readonly extensions: ReadonlySet<string>;
  /** True after WFI, until an enabled interrupt is pending. */
  waiting = false;
  /** The pc at which a breakpoint ended the last slice. */
  private stoppedAt: bigint | undefined;
  /** The timer comparator of Sstc moved; the machine arms its timer for `stimecmp`. */
  onTimerChanged: (deadline: bigint | undefined) => void = () => {};
  /** Called when something arrives that may end a wait. */
  onWake: () => void = () => {};
  private readonly float = new SoftFloat();
  private readonly i32: Int32Array;
  private readonly u64: BigUint64Array;

  constructor(engine: Engine, index: number) {
    this.engine = engine;
    this.index = index;
    this.extensions = engine.extensions;
    this.base = engine.layout.harts + index * HART_STRIDE;
    this.i32 = engine.i32;
    this.u64 = new BigUint64Array(
      engine.memory.buffer,
      0,
      (engine.layout.harts + engine.layout.hartCount * HART_STRIDE) >> 3,
    );
    this.set32(S.hartid, index);
    this.set64(S.pteReserved, (0x7fn << 54n) | (this.extensions.has("svnapot") ? 0n : 1n << 63n));
    this.set32(S.contexts, engine.layout.contexts + index * CONTEXTS_PER_HART * CTX.stride);
  }

  get64(f: Field): bigint {
    return this.u64[(this.base + f.offset) >> 3]!;
  }
  set64(f: Field, v: bigint): void {
    this.u64[(this.base + f.offset) >> 3] = v;
  }
  get32(f: Field): number {
    return this.i32[(this.base + f.offset) >> 2]!;
  }
  set32(f: Field, v: number): void {
    this.i32[(this.base + f.offset) >> 2] = v;
  }

  get pc(): bigint {
    return this.get64(S.pc);
  }
  set pc(v: bigint) {
    this.set64(S.pc, BigInt.asUintN(64, v));
  }

  /** Integer register n; x0 stays 0. */
  x(n: number): bigint {
    return this.u64[((this.base + S.x.offset) >> 3) + n]!;
  }
  setX(n: number, v: bigint): void {
    if (n) this.u64[((this.base + S.x.offset) >> 3) + n] = BigInt.asUintN(64, v);
  }
  /** Floating-point register n, raw. */
  f(n: number): bigint {
    return this.u64[((this.base + S.f.offset) >> 3) + n]!;
  }
  setF(n: number, v: bigint): void {
    this.u64[((this.base + S.f.offset) >> 3) + n] = BigInt.asUintN(64, v);
  }
  /** A CSR as a debugger sees it. */
  csr(number: number): bigint | undefined {
    return peekCsr(this, number);
  }

  /** Puts the hart into its reset state at `pc`, in M-mode. Registers become 0. */
  reset(pc: bigint): void {
    for (let n = 1; n < 32; n++) this.setX(n, 0n);
    for (let n = 0; n < 32; n++) this.setF(n, 0n);
    resetCsrs(this, misaValue(this.extensions));
    this.set64(S.resAddr, (1n << 64n) - 1n);
    this.set32(S.fault, 0);
    this.set32(S.attention, 0);
    this.set64(S.instretEnd, 0n);
    this.set32(S.budget, 0);
    this.waiting = false;
    this.pc = pc;
    this.flushAll();
    this.selectContexts();
    this.timerChanged();
  }

  /** The line into the hart for an interrupt: 3 MSIP, 7 MTIP, 9 SEIP, 11 MEIP. */
  irqLine(n: HartInterrupt): (level: boolean) => void {
    const bit = 1n << BigInt(n);
    return (level) => {
      const old = this.get64(S.mipLines);
      const next = level ? old | bit : old & ~bit;
      if (next === old) return;
      this.set64(S.mipLines, next);
      if (level) this.look();
    };
  }

  /** An interrupt may have become pending: running code looks at the next occasion, a waiting hart wakes. */
  look(): void {
    this.i32[(this.base + S.attention.offset) >> 2]! |= ATTENTION_LOOK;
    this.onWake();
  }

  /** Makes `run` return soon. */
  leave(): void {
    this.i32[(this.base + S.attention.offset) >> 2]! |= ATTENTION_LEAVE;
  }

  /** Whether an interrupt that is enabled in mie is pending: what ends a WFI (3.3.3), whatever mstatus says. */
  get interruptPending(): boolean {
    return ((this.get64(S.mipLines) | this.get64(S.mipSoft)) & this.get64(S.mie)) !== 0n;
  }

  /**
   * Runs at most `budget` instructions (traps count as one). Returns EXIT.budget, EXIT.wfi (the hart waits),
   * EXIT.attention (somebody called `leave`) or EXIT.breakpoint.
   */
  run(budget: number): number {
    this.engine.dropStaleCode();
    if (this.stoppedAt !== undefined && this.stoppedAt !== this.pc) this.stoppedAt = undefined;
    const b = (this.base + S.budget.offset) >> 2;
    const end = (this.base + S.instretEnd.offset) >> 3;
    // instret = instretEnd - budget must not change.
    this.u64[end] = this.u64[end]! + BigInt(budget - this.i32[b]!);
    this.i32[b] = budget;
    const exit = this.enter();
    this.i32[(this.base + S.attention.offset) >> 2]! &= ~ATTENTION_LEAVE;
    this.waiting = exit === EXIT.wfi;
    return exit;
  }

  /** Whether a breakpoint at the pc ends the slice: not when `run` goes on from there. */
  stopsHere(): boolean {
    const stops = this.stoppedAt !== this.pc;
    this.stoppedAt = stops ? this.pc : undefined;
    return stops;
  }

  /** Runs generated code until it returns: a device's refusal of an access comes out of it, and goes on as a trap. */
  private enter(): number {
    for (;;) {
      try {
        return this.engine.exports.run(this.base);
      } catch (error) {
        this.engine.devices.threw(this, error);
      }
    }
  }

  /** What is left of the budget of `run`, exact while a device is accessed. */
  readonly remaining = (): number => this.get32(S.budget);

  /** Instructions retired since reset. */
  get instret(): bigint {
    return BigInt.asUintN(64, this.get64(S.instretEnd) - BigInt(this.get32(S.budget)));
  }

  // --- what the CSRs ask for

  instructionCount(): bigint {
    return this.instret - 1n;
  }

  time(): bigint {
    return this.engine.time();
  }

  syncStatus(): void {
    this.engine.exports.syncStatus(this.base);
  }

  writeStatus(value: bigint, mask: bigint): void {
    this.syncStatus();
    this.engine.exports.writeStatus(this.base, value, mask);
  }

  selectContexts(): void {
    this.engine.exports.selectContexts(this.base);
  }

  flushAll(): void {
    this.engine.exports.flushAll(this.base);
  }

  timerChanged(): void {
    const enabled = (this.get64(S.menvcfg) >> 63n) & 1n;
    const deadline = this.get64(S.stimecmp);
    if (!enabled) {
      this.timerExpired(false);
      this.onTimerChanged(undefined);
      return;
    }
    this.timerExpired(this.time() >= deadline);
    this.onTimerChanged(deadline);
  }

  /** Whether the comparator holds STIP high. */
  get timerPending(): boolean {
    return (this.get64(S.mipLines) & 0x20n) !== 0n;
  }

  /** Whether `engine.onTrap` is called for each trap. */
  set traceTraps(on: boolean) {
    this.set32(S.traceTraps, on ? 1 : 0);
  }

  /** Drives STIP from the comparator (Sstc). */
  private timerExpired(pending: boolean): void {
    const old = this.get64(S.mipLines);
    this.set64(S.mipLines, pending ? old | 0x20n : old & ~0x20n);
    if (pending && !(old & 0x20n)) this.look();
  }

  /** An operation of the exact floating-point unit: operands in fa, fb, fc, answer in `result`, flags raised. */
  softfloat(code: number, rm: number): void {
    const unit = this.float;
    unit.flags = 0;
    this.set64(
      S.result,
      unit.softfloat(code & 0xff, code >> 8, this.get64(S.fa), this.get64(S.fb), this.get64(S.fc), rm > 4 ? 0 : rm),
    );
    if (unit.flags) {
      this.set32(S.fflags, this.get32(S.fflags) | unit.flags);
      this.set32(S.fsDirty, 1);
    }
  }
}
