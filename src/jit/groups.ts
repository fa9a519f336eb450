/**
 * Accesses of a block that share one TLB look-up: loads (or stores) off the same base register, unchanged in between,
 * within a short range. What makes code that works on structures, arrays and stack frames fast.
 */
import { insns } from "../isa/table.ts";
import { I32, type Local, local } from "../wasm/ir.ts";
import type { RegionInsn } from "./region.ts";

export interface AccessGroup {
  /** The instruction that looks up for all. */
  readonly first: RegionInsn;
  /** The range of offsets from the base register: first byte, and one past the last. */
  low: number;
  high: number;
  /** The base register's place in the machine's memory after the look-up, or 0. */
  readonly host: Local;
}

/** A range longer than this would cross a page end too often. */
const MAX_RANGE = 512;

/** For each instruction of the table: bytes that it loads (positive) or stores (negative) at rs1 + imm, or 0. */
const accessOf: readonly number[] = insns.map((insn) => {
  if (insn.format !== "I" && insn.format !== "S") return 0;
  for (const s of insn.body) {
    if (s.k !== "effect") continue;
    const { size } = (s.data ?? {}) as { size?: number };
    if (s.name === "load") return size!;
    if (s.name === "store") return -size!;
  }
  return 0;
});
const writesX = insns.map((insn) => /\brd\b/.test(insn.operands.join(" ")));

/** Finds the groups of a block: each with two accesses at least. */
export function groupAccesses(list: readonly RegionInsn[]): Map<RegionInsn, AccessGroup> {
  const open = new Map<number, { group: AccessGroup; members: RegionInsn[] }>();
  const found = new Map<RegionInsn, AccessGroup>();
  const close = (key: number) => {
    const entry = open.get(key);
    if (entry && entry.members.length > 1) for (const insn of entry.members) found.set(insn, entry.group);
    open.delete(key);
  };
  for (const insn of list) {
    // A CSR may change what may be reached (SUM, MXR, MPRV): nothing looked up before holds after it.
    if (insns[insn.n]!.format.startsWith("CSR")) for (const key of [...open.keys()]) close(key);
    const access = insn.device ? 0 : accessOf[insn.n]!;
    // x0 as a base has no register to speak of.
    if (access !== 0 && insn.rs1 !== 0) {
      const key = access > 0 ? insn.rs1 : -insn.rs1;
      const end = insn.imm + Math.abs(access);
      const entry = open.get(key);
      if (entry && Math.max(entry.group.high, end) - Math.min(entry.group.low, insn.imm) <= MAX_RANGE) {
        entry.group.low = Math.min(entry.group.low, insn.imm);
        entry.group.high = Math.max(entry.group.high, end);
        entry.members.push(insn);
      } else {
        close(key);
        open.set(key, { group: { first: insn, low: insn.imm, high: end, host: local(I32, "host") }, members: [insn] });
      }
    }
    if (writesX[insn.n] && insn.rd !== 0) {
      close(insn.rd);
      close(-insn.rd);
    }
  }
  for (const key of [...open.keys()]) close(key);
  return found;
}
