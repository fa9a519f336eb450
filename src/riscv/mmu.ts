/**
 * Address translation, as generated code: page walk (Sv39, Sv48, Sv57, Svadu, Svnapot, Svpbmt), PMP, TLB fill and
 * flush, and the slow paths of loads and stores. Privileged specification 3.7 (PMP), 12.3-12.6 (supervisor memory).
 *
 * A *translation context* is a set of TLBs for one (satp, privilege, SUM, MXR). Switching between kernel and user, or
 * between processes, picks another context and flushes nothing; each hart keeps a few, least recently used goes.
 * A TLB entry is {tag: i64, addend: i32}: the tag is the page's virtual address, and address + addend is its place in
 * this memory. Entry i is asked for addresses whose page number is i modulo the size, with a last byte that may lie in
 * page i + 1, so the tag of any other page never matches: that is how invalid entries look (0, and 0x2000 in the first
 * entry and the last, where page 0 would match).
 *
 * Invariants: a write entry exists only for a page that is marked dirty and has no decoded code; an entry exists only
 * for a page on which PMP answers the same for every byte.
 */
import type { Func } from "../wasm/ir.ts";
import type { MemoryLayout } from "./layout.ts";
import { contextFunctions } from "./mmu/contexts.ts";
import { dataFunctions } from "./mmu/data.ts";
import { fetchFunctions } from "./mmu/fetch.ts";
import { ioFunctions } from "./mmu/io.ts";
import { physicalFunctions } from "./mmu/physical.ts";
import { pmpFunctions } from "./mmu/pmp.ts";
import { tlbFunctions } from "./mmu/tlb.ts";
import { walkFunctions } from "./mmu/walk.ts";

/** Builds the functions for a memory layout. */
export const mmuFunctions = (m: MemoryLayout): Func[] => [
  ...physicalFunctions(m),
  ...pmpFunctions,
  ...walkFunctions,
  ...tlbFunctions(m),
  ...contextFunctions,
  ...dataFunctions,
  ...fetchFunctions(m),
  ...ioFunctions,
];
