// The platform-level interrupt controller: brings many interrupt lines to a few harts, by priority.
// RISC-V Platform-Level Interrupt Controller Specification 1.0.0, "Memory Map" for the layout of the registers.

import { SysBusDevice, sysBusDeviceType } from "../../device/device.ts";
import type { FdtContext } from "../../device/fdt-context.ts";
import { bank, reg32, regs } from "../../device/model/registers.ts";
import { type RegisterNames, registerNames } from "../../device/register-names.ts";
import { checkState } from "../../device/snapshot.ts";
import { cells, cells64 } from "../../fdt/fdt-node.ts";
import { MemoryRegion } from "../../memory/region.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { IrqLine } from "../../util/irq.ts";
import { UserError } from "../../util/user-error.ts";
import { loadArray } from "../state.ts";
import { HartIrq, hartIntcKey } from "./hart-intc.ts";

// Offsets in bytes: a word per source from 0 on, bits per source, and both again for each context.
const PENDING_BASE = 0x1000;
const ENABLE_BASE = 0x2000;
const ENABLE_SHIFT = 7;
const CONTEXT_BASE = 0x20_0000;
const CONTEXT_SHIFT = 12;
const THRESHOLD = 0;
const CLAIM_COMPLETE = 4;

const MAX_SOURCES = 1023;
const MAX_CONTEXTS = 15872;

/** One target of interrupts: a hart in a mode. */
interface Context {
  readonly hart: number;
  readonly mode: "M" | "S";
}

interface PlicState {
  readonly version: 1;
  readonly levels: Uint32Array;
  readonly pending: Uint32Array;
  readonly busy: Uint32Array;
  readonly enables: Uint32Array;
  readonly priorities: Uint32Array;
  readonly thresholds: Uint32Array;
}

/**
 * The type of the PLIC. Its interrupt outputs, one per context in the order of `hart-config`, exist once it is
 * realized; its inputs are `sourceLine(1)` to `sourceLine(num-sources)`.
 */
export const plicType: TypeInfo<SifivePlic> = {
  name: "riscv.sifive.plic",
  parent: sysBusDeviceType,
  description: "platform-level interrupt controller",
  properties: {
    "hart-config": { type: "str", default: "MS", description: "modes of each hart, harts separated by commas" },
    "hartid-base": { type: "uint32", default: 0, description: "id of the first hart" },
    "num-sources": { type: "uint32", default: 96, description: "number of the last source; the first is 1" },
    "num-priorities": { type: "uint32", default: 7, description: "highest priority; a power of two less 1" },
    "aperture-size": { type: "uint32", default: 0x600000, description: "size of the region in bytes" },
  },
  create: (type) => new SifivePlic(type),
};

/**
 * The platform-level interrupt controller.
 *
 * @example
 * const plic = createObject(plicType, { "hart-config": "MS,MS" });
 * plic.realize(host);
 * plic.connectIrq(0, hart0.irqLine(11)); // hart 0 in M mode; 1 is hart 0 in S mode, 2 hart 1 in M mode, ...
 * uart.connectIrq(0, plic.sourceLine(10));
 */
export class SifivePlic extends SysBusDevice {
  #numSources = 0;
  #priorityMask = 0;
  #contexts: readonly Context[] = [];
  /** 32-bit words of one bit per source, source 0 included. */
  #words = 0;

  /** One bit per source: the level of its line. */
  #levels = new Uint32Array();
  /** One bit per source: its gateway's request waits to be claimed. */
  #pending = new Uint32Array();
  /** One bit per source: claimed and not completed, its gateway forwards nothing. */
  #busy = new Uint32Array();
  /** `#words` words per context. */
  #enables = new Uint32Array();
  #priorities = new Uint32Array();
  #thresholds = new Uint32Array();

  #outputs: IrqLine[] = [];
  /** The level that each output has, so that lines see changes only. */
  #outputLevels = new Uint8Array();

  protected override onRealize(): void {
    this.#numSources = this.getNumber("num-sources");
    this.#priorityMask = this.getNumber("num-priorities");
    this.#contexts = parseHartConfig(this.getString("hart-config"), this.getNumber("hartid-base"));
    const size = this.getNumber("aperture-size");
    this.#checkConfiguration(size);

    this.#words = (this.#numSources >>> 5) + 1;
    const contexts = this.#contexts.length;
    this.#levels = new Uint32Array(this.#words);
    this.#pending = new Uint32Array(this.#words);
    this.#busy = new Uint32Array(this.#words);
    this.#enables = new Uint32Array(this.#words * contexts);
    this.#priorities = new Uint32Array(this.#numSources + 1);
    this.#thresholds = new Uint32Array(contexts);
    this.#outputLevels = new Uint8Array(contexts);
    this.#outputs = this.#contexts.map(({ hart, mode }) => this.initIrq(`${mode}${hart}`));
    this.initMmio(
      MemoryRegion.io("riscv.sifive.plic", size, {
        read: (offset) => this.#read(offset),
        write: (offset, value) => this.#write(offset, value),
        valid: { min: 4, max: 4 },
      }),
    );
  }

  override resetEnter(): void {
    this.#busy.fill(0);
    this.#enables.fill(0);
    this.#priorities.fill(0);
    this.#thresholds.fill(0);
  }

  override resetHold(): void {
    this.#update();
  }

  override resetExit(): void {
    // Only now have all devices set their lines: a request from before the reset is forgotten, a line still high asks.
    this.#pending.set(this.#levels);
  }

  /**
   * The input of a source: level-sensitive. While the line is high, the source asks again after each completion.
   * @param source 1 to `num-sources`
   */
  sourceLine(source: number): IrqLine {
    if (!Number.isInteger(source) || source < 1 || source > this.#numSources) {
      throw new UserError(
        `${this.typeInfo.name} has no interrupt source ${source}: expected 1 to ${this.#numSources} (num-sources)`,
      );
    }
    const word = source >>> 5;
    const bit = 1 << (source & 31);
    return (level) => this.#setLevel(word, bit, level);
  }

  #setLevel(word: number, bit: number, level: boolean): void {
    if (!level) {
      // A request that was forwarded stays pending: the handler will find nothing to do.
      this.#levels[word]! &= ~bit;
      return;
    }
    if ((this.#levels[word]! & bit) !== 0) return;
    this.#levels[word]! |= bit;
    if ((this.#busy[word]! & bit) !== 0) return;
    this.#pending[word]! |= bit;
    this.#update();
  }

  // --- registers

  #read(offset: number): number {
    if (offset >= CONTEXT_BASE) {
      const context = (offset - CONTEXT_BASE) >>> CONTEXT_SHIFT;
      const register = offset & ((1 << CONTEXT_SHIFT) - 1);
      if (context < this.#contexts.length) {
        if (register === CLAIM_COMPLETE) return this.#claim(context);
        if (register === THRESHOLD) return this.#thresholds[context]!;
      }
    } else if (offset >= ENABLE_BASE) {
      const index = this.#enableIndex(offset);
      if (index >= 0) return this.#enables[index]!;
    } else if (offset >= PENDING_BASE) {
      const word = (offset - PENDING_BASE) >>> 2;
      if (word < this.#words) return this.#pending[word]!;
    } else {
      const source = offset >>> 2;
      if (source <= this.#numSources) return this.#priorities[source]!;
    }
    this.#reserved("read", offset);
    return 0;
  }

  #write(offset: number, value: number): void {
    if (offset >= CONTEXT_BASE) {
      const context = (offset - CONTEXT_BASE) >>> CONTEXT_SHIFT;
      const register = offset & ((1 << CONTEXT_SHIFT) - 1);
      if (context < this.#contexts.length && register === CLAIM_COMPLETE) {
        this.#complete(context, value);
        return;
      }
      if (context < this.#contexts.length && register === THRESHOLD) {
        this.#thresholds[context] = value & this.#priorityMask;
        this.#update();
        return;
      }
    } else if (offset >= ENABLE_BASE) {
      const index = this.#enableIndex(offset);
      if (index >= 0) {
        this.#enables[index] = value & this.#sourcesInWord(index % this.#words);
        this.#update();
        return;
      }
    } else if (offset < PENDING_BASE) {
      const source = offset >>> 2;
      if (source > 0 && source <= this.#numSources) {
        this.#priorities[source] = value & this.#priorityMask;
        this.#update();
        return;
      }
    }
    this.#reserved("write", offset);
  }

  /** The index into `#enables` of the word at `offset`, -1 if there is none. */
  #enableIndex(offset: number): number {
    const context = (offset - ENABLE_BASE) >>> ENABLE_SHIFT;
    const word = (offset & ((1 << ENABLE_SHIFT) - 1)) >>> 2;
    return context < this.#contexts.length && word < this.#words ? context * this.#words + word : -1;
  }

  /** The bits of an enable word that belong to sources; there is no source 0. */
  #sourcesInWord(word: number): number {
    const last = this.#numSources - word * 32;
    const upToLast = last >= 31 ? 0xffff_ffff : (1 << (last + 1)) - 1;
    return word === 0 ? upToLast & ~1 : upToLast;
  }

  #reserved(access: string, offset: number): void {
    this.guestError(
      `${access} at ${access === "write" ? "reserved or read-only" : "reserved"} offset 0x${offset.toString(16)}`,
    );
  }

  // --- claim and complete

  /** Takes the most urgent request of a context, whatever its threshold (PLIC 1.0.0, "Interrupt Claim Process"). */
  #claim(context: number): number {
    const source = this.#mostUrgent(context);
    if (source === 0) return 0;
    const word = source >>> 5;
    const bit = 1 << (source & 31);
    this.#pending[word]! &= ~bit;
    this.#busy[word]! |= bit;
    this.#update();
    return source;
  }

  #complete(context: number, source: number): void {
    const word = source >>> 5;
    const bit = 1 << (source & 31);
    // Completion of what is not enabled for the context is ignored (PLIC 1.0.0, "Interrupt Completion").
    if (source > this.#numSources || (this.#enables[context * this.#words + word]! & bit) === 0) {
      this.guestError(`completion of source ${source}, which is not enabled for context ${context}`);
      return;
    }
    if ((this.#busy[word]! & bit) === 0) return;
    this.#busy[word]! &= ~bit;
    if ((this.#levels[word]! & bit) === 0) return;
    this.#pending[word]! |= bit;
    this.#update();
  }

  /**
   * The pending and enabled source of the highest priority, the lowest number among equals; 0 if there is none.
   * Priority 0 never interrupts.
   */
  #mostUrgent(context: number): number {
    let best = 0;
    let bestPriority = 0;
    const enables = context * this.#words;
    for (let word = 0; word < this.#words; word++) {
      let bits = this.#pending[word]! & this.#enables[enables + word]!;
      while (bits !== 0) {
        const lowest = bits & -bits;
        const source = word * 32 + 31 - Math.clz32(lowest);
        const priority = this.#priorities[source]!;
        if (priority > bestPriority) {
          best = source;
          bestPriority = priority;
        }
        bits ^= lowest;
      }
    }
    return best;
  }

  /** Drives the outputs: high while something above the context's threshold is pending. */
  #update(): void {
    for (let context = 0; context < this.#outputs.length; context++) {
      const source = this.#mostUrgent(context);
      const level = source !== 0 && this.#priorities[source]! > this.#thresholds[context]!;
      if (level !== (this.#outputLevels[context] !== 0)) {
        this.#outputLevels[context] = level ? 1 : 0;
        this.#outputs[context]!(level);
      }
    }
  }

  // --- configuration, snapshot, device tree

  #checkConfiguration(size: number): void {
    const name = this.typeInfo.name;
    if (this.#numSources < 1 || this.#numSources > MAX_SOURCES) {
      throw new UserError(`${name}.num-sources: ${this.#numSources} is not between 1 and ${MAX_SOURCES}`);
    }
    if (this.#priorityMask < 1 || (this.#priorityMask & (this.#priorityMask + 1)) !== 0) {
      throw new UserError(`${name}.num-priorities: ${this.#priorityMask} is not a power of two less 1, such as 7`);
    }
    const needed = CONTEXT_BASE + (this.#contexts.length << CONTEXT_SHIFT);
    if (size < needed) {
      throw new UserError(
        `${name}.aperture-size: ${size} bytes do not hold ${this.#contexts.length} contexts, expected at least ${needed}`,
      );
    }
  }

  /** Contexts in the order of the outputs: two for each hart, M before S, on the usual board. */
  override registerNames(): RegisterNames {
    const contexts = this.#contexts.length;
    const word = { access: "ro" } as const;
    return registerNames({ type: this.typeInfo.name, irqs: this.irqNames, size: this.getNumber("aperture-size") }, [
      {
        PRIORITY: regs(this.#numSources + 1, 4, reg32(0)),
        PENDING: regs(this.#words, 4, reg32(PENDING_BASE, word)),
        ENABLE: bank(contexts, 1 << ENABLE_SHIFT, ENABLE_BASE, { SOURCES: regs(this.#words, 4, reg32(0)) }),
        CONTEXT: bank(contexts, 1 << CONTEXT_SHIFT, CONTEXT_BASE, {
          THRESHOLD: reg32(THRESHOLD),
          CLAIM: reg32(CLAIM_COMPLETE),
        }),
      },
    ]);
  }

  override save(): PlicState {
    return {
      version: 1,
      levels: this.#levels.slice(),
      pending: this.#pending.slice(),
      busy: this.#busy.slice(),
      enables: this.#enables.slice(),
      priorities: this.#priorities.slice(),
      thresholds: this.#thresholds.slice(),
    };
  }

  override load(saved: unknown): void {
    const state = checkState<PlicState>(saved, 1);
    loadArray(this.#levels, state.levels, "levels");
    loadArray(this.#pending, state.pending, "pending");
    loadArray(this.#busy, state.busy, "busy");
    loadArray(this.#enables, state.enables, "enables");
    loadArray(this.#priorities, state.priorities, "priorities");
    loadArray(this.#thresholds, state.thresholds, "thresholds");
    this.#update();
  }

  override describe(context: FdtContext): void {
    const targets = this.#contexts.flatMap(({ hart, mode }) => [
      context.phandle(hartIntcKey(hart)),
      mode === "M" ? HartIrq.machineExternal : HartIrq.supervisorExternal,
    ]);
    context.soc
      .child(`plic@${context.base.toString(16)}`)
      .prop("#interrupt-cells", 1)
      .prop("#address-cells", 0)
      .prop("compatible", ["sifive,plic-1.0.0", "riscv,plic0"])
      .prop("interrupt-controller", true)
      .prop("interrupts-extended", cells(...targets))
      .prop("reg", cells64(context.base, context.size))
      .prop("riscv,ndev", this.#numSources)
      .prop("phandle", context.phandle(this));
  }
}

/** Reads `hart-config`: the modes of each hart, harts separated by commas (`MS,MS`, `M,MS`). */
function parseHartConfig(config: string, hartidBase: number): Context[] {
  const contexts: Context[] = [];
  for (const [index, modes] of config.split(",").entries()) {
    if (!/^(M|S|MS)$/.test(modes)) {
      throw new UserError(`hart-config: "${config}" is not a list of M, S or MS for each hart, such as "MS,MS"`);
    }
    for (const mode of modes as Iterable<"M" | "S">) contexts.push({ hart: hartidBase + index, mode });
  }
  if (contexts.length > MAX_CONTEXTS) throw new UserError(`hart-config: more than ${MAX_CONTEXTS} contexts`);
  return contexts;
}
