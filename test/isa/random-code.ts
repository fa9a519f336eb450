/**
 * Random straight-line and forward-branching code for the differential test, from the instruction table: every operand
 * is random, but memory is reached through pointers into the case's window only, and jumps go forward.
 */
import { expandCompressed } from "../../src/isa/compressed.ts";
import { encodeImmediate, type Insn, immediateOf } from "../../src/isa/insn.ts";
import { findInsn, insns } from "../../src/isa/table.ts";
import { pageOf, WINDOW, WINDOW_BYTES } from "./cases.ts";
import type { Random } from "./random.ts";

/** sp, s0, s1, s2: never written by the code; the first three are the ones that compressed loads and stores use. */
const POINTERS = [2, 8, 9, 18];

/** Those that are never misaligned. */
const ALIGNED = [2, 8, 9];

/** Extensions of ours that QEMU 7.2 lacks. */
const NEWER = new Set(["zicond", "zicbom", "zicboz", "zawrs"]);
/** QEMU 7.2 gives ctzw the count of the whole register where its low word is 0; the specification says 32. */
const WRONG_IN_QEMU = new Set(["ctzw"]);
/** System instructions have tests of their own, and so have fences of translation. */
const SYSTEM = new Set([
  "mret",
  "sret",
  "wfi",
  "sfence.vma",
  "sinval.vma",
  "sfence.w.inval",
  "sfence.inval.ir",
  "csrrw",
  "csrrs",
  "csrrc",
  "csrrwi",
  "csrrsi",
  "csrrci",
]);
export const randomInsns: readonly Insn[] = insns.filter(
  (insn) => !NEWER.has(insn.extension) && !WRONG_IN_QEMU.has(insn.name) && !SYSTEM.has(insn.name),
);

const isMemory = (insn: Insn): boolean => insn.operands.some((o) => o.endsWith("(rs1)"));
const field = (word: number, at: number): number => (word >>> at) & 31;
const writesX = (insn: Insn): boolean => insn.operands.includes("rd");

/** Numbers at which integer instructions change their ways. */
const EDGES = [
  0n,
  1n,
  2n,
  -1n,
  -2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  -0x80000000n,
  -0x80000001n,
  1n << 62n,
  (1n << 63n) - 1n,
  1n << 63n,
  63n,
  64n,
  31n,
  32n,
];
const randomInteger = (random: Random): bigint => {
  if (random.chance(0.4)) return BigInt.asUintN(64, random.pick(EDGES));
  return random.chance(0.5)
    ? random.bits64()
    : BigInt.asUintN(64, BigInt.asIntN(64, random.bits64()) >> BigInt(random.below(64)));
};

/** A random float of one format, hard ones more often than not. */
function float(random: Random, exponentBits: number, fractionBits: number): bigint {
  const bias = 2 ** (exponentBits - 1) - 1;
  const max = 2 ** exponentBits - 1;
  const exponent = random.pick([
    0,
    0,
    1,
    max,
    max - 1,
    bias,
    bias + 1,
    bias - 1,
    bias + random.below(2 * fractionBits) - fractionBits,
    random.below(max + 1),
  ]);
  const all = (1n << BigInt(fractionBits)) - 1n;
  const fraction = random.pick([
    0n,
    1n,
    all,
    all - 1n,
    1n << BigInt(fractionBits - 1),
    (1n << BigInt(fractionBits - 1)) - 1n,
    random.bits64() & all,
    random.bits64() & all,
    (random.bits64() & all) >> BigInt(random.below(fractionBits)),
  ]);
  return (
    (BigInt(random.below(2)) << BigInt(exponentBits + fractionBits)) |
    (BigInt(Math.min(max, Math.max(0, exponent))) << BigInt(fractionBits)) |
    fraction
  );
}
function randomFloat(random: Random): bigint {
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2:
      return float(random, 11, 52);
    case 3:
    case 4:
      return 0xffffffff_00000000n | float(random, 8, 23);
    case 5:
    case 6:
      return 0xffffffff_ffff0000n | float(random, 5, 10);
    default:
      return random.bits64(); // most are badly boxed
  }
}

/** An instruction still to be placed: its encoding, and whether it is a jump whose target must be given. */
interface Item {
  word: number;
  readonly length: 2 | 4;
  readonly insn?: Insn;
}

/** Whether a word may stand in random code as it is (but for the target of a jump). */
function allowed(insn: Insn, word: number): boolean {
  if (!randomInsns.includes(insn)) return false;
  if (writesX(insn) && POINTERS.includes(field(word, 7))) return false;
  if (insn.name === "jalr") return false; // made in pairs with an auipc
  return !isMemory(insn) || POINTERS.includes(field(word, 15));
}

function randomWord(random: Random, insn: Insn): number {
  for (;;) {
    let word = insn.match | (random.bits32() & ~insn.mask);
    if (isMemory(insn)) {
      // A misaligned SC must trap; QEMU 7.2 lets it fail instead where the reservation is another's.
      word = (word & ~(31 << 15)) | (random.pick(insn.name.startsWith("sc.") ? ALIGNED : POINTERS) << 15);
      // Offsets stay in the window; a little misaligned now and then.
      if (insn.format === "I" || insn.format === "S")
        word =
          (word & (insn.mask | (31 << 15) | (31 << (insn.format === "I" ? 7 : 20)))) |
          encodeImmediate(insn.format, random.below(WINDOW_BYTES / 2 - 8) & (random.chance(0.3) ? -1 : -8));
    }
    // Often enough the operands are the same register, or that of the instruction before.
    if (allowed(insn, word >>> 0) && findInsn(word >>> 0) >= 0) return word >>> 0;
  }
}

/** A random 16-bit encoding that is allowed; jumps are left out (c.jr, c.jalr) or get their targets later. */
function randomHalf(random: Random): Item | undefined {
  const half = random.bits32() & 0xffff;
  if ((half & 3) === 3) return undefined;
  const word = expandCompressed(half);
  const insn = insns[findInsn(word)];
  if (!insn) return random.chance(0.05) ? { word: half, length: 2 } : undefined; // illegal: traps
  if (insn.name === "ebreak" || insn.format === "J" || insn.format === "B") return undefined;
  if (isMemory(insn)) {
    const value = immediateOf(insn.format, word);
    if (value < 0 || value > WINDOW_BYTES / 2) return undefined;
  }
  return allowed(insn, word) ? { word: half, length: 2 } : undefined;
}

export interface RandomCodeOptions {
  readonly insns?: readonly Insn[];
  /** How much of the code is compressed. */
  readonly compressed?: number;
  /** How often an illegal word stands in it. */
  readonly illegal?: number;
}

/** Random code of about `length` instructions. */
export function randomCode(random: Random, length: number, options: RandomCodeOptions = {}): Uint8Array {
  const from = options.insns ?? randomInsns;
  const items: Item[] = [];
  while (items.length < length) {
    if (random.chance(options.compressed ?? 0.3)) {
      const half = randomHalf(random);
      if (half) items.push(half);
      continue;
    }
    if (random.chance(options.illegal ?? 0)) {
      const word = random.chance(0.5) ? random.bits32() | 3 : mutate(random, random.pick(insns));
      if (findInsn(word >>> 0) < 0 && !ofLaterExtension(word)) items.push({ word: word >>> 0, length: 4 });
      continue;
    }
    const insn = random.pick(from);
    if (insn.name.startsWith("lr.")) {
      // An SC to the same place follows soon enough to succeed now and then.
      const base = random.pick(ALIGNED) << 15;
      const lr = randomWord(random, insn);
      items.push({ word: (lr & ~(31 << 15)) | base, length: 4 });
      if (random.chance(0.5))
        items.push({ word: randomWord(random, insns.find(({ name }) => name === "addi")!), length: 4 });
      // Of the same width: another's may succeed or not (unprivileged 14.2).
      const sc = insns.find(({ name }) => name === insn.name.replace("lr", "sc"))!;
      items.push({ word: (randomWord(random, sc) & ~(31 << 15)) | base, length: 4 });
      continue;
    }
    if (insn.name === "jalr") {
      // auipc t0, 0; jalr rd, 4 + n(t0)
      items.push({ word: 0x297, length: 4 }, { word: 0x28067 | (random.pick([0, 1, 5, 6]) << 7), length: 4, insn });
      continue;
    }
    items.push({ word: randomWord(random, insn), length: 4, insn });
  }
  const starts: number[] = [];
  let at = 0;
  for (const item of items) {
    starts.push(at);
    at += item.length;
  }
  starts.push(at);
  const bytes = new Uint8Array(at);
  const view = new DataView(bytes.buffer);
  for (const [n, item] of items.entries()) {
    const start = starts[n]!;
    if (item.length === 2) {
      view.setUint16(start, item.word, true);
      continue;
    }
    let word = item.word;
    const format = item.insn?.format;
    const jalr = item.insn?.name === "jalr";
    if (format === "B" || format === "J" || jalr) {
      let to = n + 1 + random.below(Math.min(4, items.length - n));
      // Never between an auipc and its jalr.
      if (items[to]?.insn?.name === "jalr") to++;
      const target = starts[to]!;
      // The auipc lies four bytes before its jalr.
      const distance = target - start + (jalr ? 4 : 0) + (jalr && random.chance(0.2) ? 1 : 0);
      const clear = format === "B" ? item.insn!.mask | (31 << 15) | (31 << 20) : jalr ? 0xfffff : 0xfff;
      word = (word & clear) | encodeImmediate(jalr ? "I" : format!, distance);
    }
    view.setUint32(start, word >>> 0, true);
  }
  return bytes;
}

/** An instruction with one fixed bit wrong. */
function mutate(random: Random, insn: Insn): number {
  const bits = Array.from({ length: 30 }, (_, n) => n + 2).filter((n) => (insn.mask >>> n) & 1);
  return insn.match | ((random.bits32() & ~insn.mask) ^ (1 << random.pick(bits)));
}

/** Encodings that are illegal here and mean something to QEMU, or the other way round. */
function ofLaterExtension(word: number): boolean {
  const opcode = word & 0x7f;
  const f3 = (word >>> 12) & 7;
  // System instructions beyond ours (hypervisor, debug), and the opcodes that are custom or vector.
  return opcode === 0x73 || opcode === 0x57 || (opcode === 0x0f && f3 === 2);
}

/** The registers that random code starts from. */
export function randomState(random: Random, n: number): { x: BigUint64Array; f: BigUint64Array; window: Uint8Array } {
  const x = BigUint64Array.from({ length: 32 }, () => randomInteger(random));
  const f = BigUint64Array.from({ length: 32 }, () => randomFloat(random));
  const start = BigInt(pageOf(n) + WINDOW);
  for (const r of POINTERS)
    x[r] =
      start + BigInt(random.below(WINDOW_BYTES / 16 - 2) * 8) + (ALIGNED.includes(r) ? 0n : BigInt(random.below(8)));
  const window = Uint8Array.from({ length: WINDOW_BYTES }, () => random.below(256));
  return { x, f, window };
}
