/** Every instruction that Plantain knows, in one table. An instruction's place in it is its number everywhere. */
import type { Insn } from "./insn.ts";
import { rv64a } from "./rv64a.ts";
import { rv64fd } from "./rv64fd.ts";
import { rv64im } from "./rv64i.ts";
import { systemInsns } from "./system.ts";
import { zb } from "./zb.ts";

export const insns: readonly Insn[] = [...rv64im, ...rv64a, ...rv64fd, ...zb, ...systemInsns];

/** The instructions that a word may be, by opcode (bits 2-6) and funct3 (bits 12-14): a short list for each. */
const buckets: number[][] = Array.from({ length: 256 }, () => []);
for (const [n, insn] of insns.entries())
  for (let f3 = 0; f3 < 8; f3++)
    if (((insn.match ^ (f3 << 12)) & insn.mask & 0x7000) === 0) buckets[((insn.match >>> 2) & 31) | (f3 << 5)]!.push(n);

/**
 * The number of the instruction that a 32-bit word encodes, or -1.
 *
 * @example
 * insns[findInsn(0x00000013)]!.name; // "addi"
 */
export function findInsn(word: number): number {
  if ((word & 3) !== 3) return -1;
  for (const n of buckets[((word >>> 2) & 31) | ((word >>> 7) & 0xe0)]!) {
    const insn = insns[n]!;
    if (((word & insn.mask) ^ insn.match) === 0) return n;
  }
  return -1;
}
