import type { Local, Stmt } from "../wasm/ir.ts";
import type { RegionInsn } from "./region.ts";
import type { IntegerRegisters } from "./registers.ts";

/** Where the translator is: what accesses and floating point need to know of it. */
export interface Place {
  /** The hart's state. */
  readonly h: Local;
  /** The TLBs of the hart's context for data. */
  readonly tlb: Local;
  readonly x: IntegerRegisters;
  /** The instruction that is being translated. */
  readonly insn: RegionInsn;
  /** Leaves the region for the interpreter before the instruction. */
  leaveBefore(): Stmt[];
  /** Leaves behind it; `result` is what it does that is not done yet. */
  leaveAfter(result?: readonly Stmt[]): Stmt[];
  /** Stores where the hart is, for the host to see. */
  spillPc(): Stmt[];
  /** Stores the registers that the region writes. */
  spill(): Stmt[];
}
