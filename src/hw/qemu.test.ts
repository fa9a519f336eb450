// The simple devices beside QEMU 7.2's: the same accesses on both, the same answers. QEMU's test socket does them on a
// machine that is stopped, so time stands still on both sides. Deviations that are meant are left out of the sequences;
// each is named where it is left out and in the device's page.

import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { createObject } from "../qom/type-registry.ts";
import { TestBoard } from "./board-for-tests.ts";
import { serialType } from "./char/serial-16550a.ts";
import { aclintMtimerType, aclintSwiType } from "./intc/riscv-aclint.ts";
import { plicType, type SifivePlic } from "./intc/sifive-plic.ts";
import { fwCfgType } from "./nvram/fw-cfg.ts";
import { goldfishRtcType } from "./rtc/goldfish-rtc.ts";

const EMULATOR = "qemu-system-riscv64";
const hasQemu = / version 7\.2\./.test(spawnSync(EMULATOR, ["--version"], { encoding: "utf8" }).stdout ?? "");

const RTC = 0x10_1000;
const SWI = 0x200_0000;
const MTIMER = 0x200_4000;
const MTIME = 0x200_bff8;
const PLIC = 0xc00_0000;
const PLIC_PATH = "/machine/unattached/device[2]";
const UART = 0x1000_0000;
const FW_CFG = 0x1010_0000;
const HARTS = 2;
/** How long the sequences are. */
const STEPS = 3_000;

type Size = 1 | 2 | 4 | 8;
const SUFFIX: Readonly<Record<Size, string>> = { 1: "b", 2: "w", 4: "l", 8: "q" };

/** A board with the devices at the places that QEMU has them. */
function board() {
  const board = new TestBoard();
  const harts = { "num-harts": HARTS };
  board.add(createObject(aclintSwiType, harts), SWI);
  board.add(createObject(aclintMtimerType, harts), MTIMER);
  const plic = board.add(createObject(plicType, { "hart-config": "MS,MS" }), PLIC);
  board.add(createObject(serialType), UART);
  board.add(createObject(goldfishRtcType), RTC);
  board.add(createObject(fwCfgType), FW_CFG, FW_CFG + 8, FW_CFG + 16);
  board.reset();
  return { board, plic };
}

/** Accesses done on our board at once, and kept to be done on QEMU's. */
class Both {
  readonly board: TestBoard;
  readonly plic: SifivePlic;
  readonly #commands: string[] = [];
  readonly #ours: string[] = [];

  constructor() {
    const { board: ours, plic } = board();
    this.board = ours;
    this.plic = plic;
  }

  /** @param mask the bits to compare */
  read(address: number, size: Size, mask = 0xffff_ffff_ffff_ffffn): number {
    const value = BigInt(this.board.read(address, size));
    this.#commands.push(`read${SUFFIX[size]} 0x${address.toString(16)}`);
    this.#ours.push(`${this.#commands.at(-1)} & 0x${mask.toString(16)} = 0x${(value & mask).toString(16)}`);
    return Number(value);
  }

  /** Reads the UART's data register; what it holds when there is no data is nobody's business. */
  readUartData(size: Size): void {
    const divisor = (this.read(UART + 3, 1) & 0x80) !== 0;
    const ready = (this.read(UART + 5, 1) & 1) !== 0;
    this.read(UART, size, divisor || ready ? undefined : 0n);
  }

  write(address: number, size: Size, value: number | bigint): void {
    this.board.write(address, size, value);
    this.#do(`write${SUFFIX[size]} 0x${address.toString(16)} 0x${value.toString(16)}`);
  }

  pulse(source: number): void {
    for (const level of [true, false]) {
      this.plic.sourceLine(source)(level);
      this.#do(`set_irq_in ${PLIC_PATH} unnamed-gpio-in ${source} ${level ? 1 : 0}`);
    }
  }

  #do(command: string): void {
    this.#commands.push(command);
    this.#ours.push(command);
  }

  /** Does it all on QEMU's board and compares. */
  compare(): void {
    const end = "writel 0x100000 0x5555";
    const machine = ["-M", "virt", "-smp", String(HARTS), "-S", "-bios", "none", "-display", "none"];
    const { stdout, status, error } = spawnSync(
      EMULATOR,
      [...machine, "-monitor", "none", "-serial", "null", "-qtest", "stdio", "-qtest-log", "none"],
      { input: [...this.#commands, end, ""].join("\n"), encoding: "utf8", maxBuffer: 2 ** 26, timeout: 60_000 },
    );
    expect([error, status]).toEqual([undefined, 0]);
    const answers = stdout.split("\n");
    const theirs = this.#ours.map((ours, i) => {
      const mask = / & (0x[0-9a-f]+)/.exec(ours)?.[1];
      if (mask === undefined) return answers[i] === "OK" ? ours : `${ours}: ${answers[i]}`;
      const value = BigInt(answers[i]!.replace(/^OK /, "")) & BigInt(mask);
      return `${this.#commands[i]} & ${mask} = 0x${value.toString(16)}`;
    });
    const first = theirs.findIndex((answer, i) => answer !== this.#ours[i]);
    if (first < 0) return;
    // What led to the first difference, and the difference.
    const from = Math.max(0, first - 40);
    expect(this.#ours.slice(from, first + 1)).toEqual(theirs.slice(from, first + 1));
  }
}

/** Numbers that look random and are the same every time: a 32-bit xorshift generator. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

describe.skipIf(!hasQemu)(`beside QEMU 7.2 (needs ${EMULATOR} 7.2)`, () => {
  test("UART", () => {
    const both = new Both();
    const roll = dice(1);
    for (let i = 0; i < STEPS; i++) {
      const size = ([1, 1, 1, 2, 4] as const)[roll(5)]!;
      const register = roll(8) & ~(size - 1);
      // Ours has the deltas of MSR in loopback, QEMU's has not.
      const reading = roll(2) === 0;
      if (reading && register === 0) both.readUartData(size);
      else if (reading) both.read(UART + register, size, register === 6 ? 0xf0n : undefined);
      else if (register === 1) both.write(UART + 1, 1, roll(8));
      else both.write(UART + register, size, roll(256));
    }
    both.compare();
  });

  test("UART: loopback through FIFOs", () => {
    const both = new Both();
    const roll = dice(2);
    both.write(UART + 4, 1, 0x10);
    for (let i = 0; i < STEPS; i++) {
      switch (roll(12)) {
        case 0:
          both.write(UART + 2, 1, roll(256));
          break;
        case 1:
          both.write(UART + 1, 1, roll(8));
          break;
        case 2:
        case 3:
          both.readUartData(1);
          break;
        case 4:
          both.read(UART + 2, 1);
          break;
        case 5:
          both.read(UART + 5, 1);
          break;
        default:
          both.write(UART, 1, roll(256));
      }
    }
    both.compare();
  });

  test("PLIC", () => {
    const both = new Both();
    const roll = dice(3);
    const inService: number[] = [];
    for (let i = 0; i < STEPS; i++) {
      const context = roll(2 * HARTS);
      switch (roll(8)) {
        case 0:
          both.write(PLIC + 4 * (1 + roll(96)), 4, roll(2 ** 32));
          break;
        case 1:
          // There is no source 0 to enable, and ours has a source 96.
          both.write(PLIC + 0x2000 + 0x80 * context + 4 * roll(3), 4, (roll(2 ** 32) & ~1) >>> 0);
          break;
        case 2:
          both.read(PLIC + [0, 0x1000, 0x2000 + 0x80 * context][roll(3)]! + 4 * roll(3), 4);
          break;
        case 3:
        case 4: {
          const claimed = both.read(PLIC + 0x20_0004 + 0x1000 * context, 4);
          if (claimed !== 0) inService.push(claimed);
          break;
        }
        case 5: {
          // QEMU takes a completion from any context.
          const source = inService[roll(inService.length || 1)] ?? 0;
          const enables = PLIC + 0x2000 + 0x80 * context + 4 * (source >>> 5);
          if (source === 0 || ((both.read(enables, 4) >>> (source & 31)) & 1) === 0) break;
          inService.splice(inService.indexOf(source), 1);
          both.write(PLIC + 0x20_0004 + 0x1000 * context, 4, source);
          break;
        }
        default: {
          // QEMU forgets a level that is still high at completion, and remembers one that rose before it.
          const source = 1 + roll(95);
          if (!inService.includes(source)) both.pulse(source);
        }
      }
    }
    for (let context = 0; context < 2 * HARTS; context++) {
      both.write(PLIC + 0x20_0000 + 0x1000 * context, 4, 0xffff_ffff - context);
      both.read(PLIC + 0x20_0000 + 0x1000 * context, 4);
    }
    both.compare();
  });

  test("ACLINT", () => {
    const both = new Both();
    const roll = dice(4);
    for (let i = 0; i < STEPS; i++) {
      const size = roll(2) === 0 ? 4 : 8;
      const address = [SWI + 4 * roll(HARTS + 1), MTIMER + size * roll((8 * HARTS + 8) / size), MTIME][roll(3)]!;
      const width = address < MTIMER ? 4 : size;
      if (roll(2) === 0) both.read(address, width);
      else both.write(address, width, width === 8 ? (BigInt(roll(2 ** 32)) << 32n) | BigInt(roll(2 ** 32)) : roll(4));
    }
    both.compare();
  });

  test("RTC: alarm and interrupt", () => {
    const both = new Both();
    const roll = dice(5);
    // The host's clock goes on while QEMU's machine is stopped: alarms are far from any time it can be.
    both.write(RTC + 0x04, 4, 0x4000_0000);
    for (let i = 0; i < STEPS; i++) {
      const register = 4 * (2 + roll(7));
      if (roll(2) === 0) both.read(RTC + register, 4);
      else if (register === 0x0c) both.write(RTC + register, 4, roll(2) === 0 ? 1 : 0x7000_0000);
      else both.write(RTC + register, 4, roll(2 ** 32));
    }
    both.compare();
  });

  test("fw_cfg: signature, identity, DMA register, keys without items", () => {
    const both = new Both();
    const roll = dice(6);
    for (let i = 0; i < STEPS; i++) {
      switch (roll(4)) {
        case 0:
          // Keys in memory order; with the write channel's bit, without items, of another architecture.
          both.write(FW_CFG + 8, 2, [0x0000, 0x0100, 0x0040, 0x0041, 0x0200, 0xff3f, 0x0080, 0xffff][roll(8)]!);
          break;
        case 1: {
          const size = ([1, 2, 4, 8] as const)[roll(4)]!;
          both.read(FW_CFG + 0x10 + size * roll(8 / size), size);
          break;
        }
        default:
          both.read(FW_CFG, ([1, 2, 4, 8] as const)[roll(4)]!);
      }
    }
    both.compare();
  });
});
