/** Decodes guest code into operations (layout: OP in layout.ts). */
import { expandCompressed } from "../isa/compressed.ts";
import { type Format, type Insn, immediateOf } from "../isa/insn.ts";
import { findInsn, insns } from "../isa/table.ts";
import { CODE, FIRST_INSN_HANDLER, HANDLER_BREAK, HANDLER_CROSS, HANDLER_RELOOKUP, OP, S, SIDE } from "./layout.ts";

/** What decoding needs to know of an instruction, worked out once. */
interface Shape {
  readonly format: Format;
  /** Offsets of register files in the hart state, or -1 where the operand is missing. */
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly hasMode: boolean;
  readonly csr: "no" | "write" | "modify" | "modify-imm";
  readonly zimm: boolean;
  /** Execution does not go on to the next halfword. */
  readonly ends: boolean;
}

const ENDS = new Set(["jal", "jalr", "mret", "sret", "ecall", "ebreak"]);

function shapeOf(insn: Insn): Shape {
  const text = insn.operands.join(" ");
  const file = (name: string): number =>
    new RegExp(`\\bf${name}\\b`).test(text) ? S.f.offset : new RegExp(`\\b${name}\\b`).test(text) ? S.x.offset : -1;
  const csrWrite = insn.name.startsWith("csrrw");
  return {
    format: insn.format,
    rd: file("rd"),
    rs1: file("rs1"),
    rs2: file("rs2"),
    hasMode: insn.format === "FR" || insn.format === "FR1" || insn.format === "R4",
    csr:
      insn.format === "CSR"
        ? csrWrite
          ? "write"
          : "modify"
        : insn.format === "CSRI"
          ? csrWrite
            ? "write"
            : "modify-imm"
          : "no",
    zimm: insn.format === "CSRI",
    ends: ENDS.has(insn.name),
  };
}

const shapes = insns.map(shapeOf);
const HANDLER_ILLEGAL = FIRST_INSN_HANDLER + insns.length;
/** How many instructions one call decodes at most. */
const RUN = 64;

/** Whether a breakpoint has this offset in its page, by the map at `breakpoints`. */
export const hasBreakpoint = (u8: Uint8Array, breakpoints: number, offset: number): boolean =>
  ((u8[breakpoints + (offset >> 4)]! >> ((offset >> 1) & 7)) & 1) !== 0;

/** Decodes for one memory. `enabled` are the extensions that the harts have. */
export class Decoder {
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly i32: Int32Array;
  private readonly u32: Uint32Array;
  private readonly off: Uint8Array;
  private readonly breakpoints: number;

  /** @param breakpoints where the map of breakpoints is (MemoryLayout), for who writes operations */
  constructor(memory: SharedArrayBuffer | ArrayBuffer, enabled: ReadonlySet<string>, breakpoints = 0) {
    this.breakpoints = breakpoints;
    this.u8 = new Uint8Array(memory);
    this.u16 = new Uint16Array(memory);
    this.i32 = new Int32Array(memory);
    this.u32 = new Uint32Array(memory);
    this.off = Uint8Array.from(insns, (insn) =>
      enabled.has(insn.extension) || enabled.has(insn.alsoIn ?? "") ? 0 : 1,
    );
  }

  /** The number of the instruction that `word` (expanded if it was compressed) is on this hart, or -1. */
  find(word: number): number {
    const n = findInsn(word);
    if (n < 0 || this.off[n]) return -1;
    if (shapes[n]!.hasMode) {
      const mode = (word >>> 12) & 7;
      if (mode === 5 || mode === 6) return -1;
    }
    return n;
  }

  /** Writes the operation for the instruction whose raw encoding is `raw` (16 bits if compressed) to `ip`. Returns its number, -1 if illegal. */
  write(ip: number, raw: number): number {
    const compressed = (raw & 3) !== 3;
    const word = compressed ? expandCompressed(raw & 0xffff) : raw;
    const n = this.find(word);
    const { u8, u16 } = this;
    u8[ip + OP.length] = compressed ? 2 : 4;
    // What was known of another instruction.
    u8[ip + OP.device] = 0;
    if (n < 0) {
      u16[(ip + OP.handler) >> 1] = HANDLER_ILLEGAL;
      return n;
    }
    const s = shapes[n]!;
    const rd = (word >>> 7) & 31;
    const rs1 = (word >>> 15) & 31;
    const rs2 = (word >>> 20) & 31;
    u16[(ip + OP.rd) >> 1] = s.rd < 0 || (rd === 0 && s.rd === S.x.offset) ? S.xSink.offset : s.rd + rd * 8;
    u16[(ip + OP.rs1) >> 1] = s.rs1 < 0 ? 0 : s.rs1 + rs1 * 8;
    u16[(ip + OP.rs2) >> 1] = s.rs2 < 0 ? 0 : s.rs2 + rs2 * 8;
    this.i32[(ip + OP.imm) >> 2] = immediateOf(s.format, word);
    u8[ip + OP.rm] = s.csr === "no" ? (word >>> 12) & 7 : s.csr === "write" || rs1 !== 0 ? 1 : 0;
    u8[ip + OP.rs3] = s.zimm ? rs1 : word >>> 27;
    u16[(ip + OP.handler) >> 1] = FIRST_INSN_HANDLER + n;
    return n;
  }

  /** Makes the operation at `ip` stop for a breakpoint, if there is one at its offset in some page. */
  mark(page: number, ip: number): void {
    const offset = (ip - page) >> 3;
    if (!hasBreakpoint(this.u8, this.breakpoints, offset)) return;
    const side = page + CODE.side + (offset >> 1) * SIDE.size;
    this.u16[(side + SIDE.handler) >> 1] = this.u16[(ip + OP.handler) >> 1]!;
    this.u16[(ip + OP.handler) >> 1] = HANDLER_BREAK;
  }

  /** Decodes from operation `ip` of the page at `page` on, until code ends, is decoded already, or leaves the page. */
  decode(page: number, ip: number): void {
    const { u16, u32 } = this;
    const host = u32[(page + CODE.hostPage) >> 2]!;
    let chunksLow = u32[(page + CODE.chunks) >> 2]!;
    let chunksHigh = u32[(page + CODE.chunks + 4) >> 2]!;
    let at = ip;
    for (let n = 0; n < RUN; n++) {
      const offset = (at - page) >> 3;
      if (offset >= 4096 || u16[at >> 1] !== 0) break;
      const low = u16[(host + offset) >> 1]!;
      const chunk = offset >> 6;
      if (chunk < 32) chunksLow |= 1 << chunk;
      else chunksHigh |= 1 << (chunk - 32);
      if ((low & 3) === 3) {
        if (offset === 4094) {
          this.u8[at + OP.length] = 4;
          // A breakpoint there is seen when the instruction is decoded alone.
          u16[(at + OP.handler) >> 1] = HANDLER_CROSS;
          break;
        }
        const end = (offset + 2) >> 6;
        if (end < 32) chunksLow |= 1 << end;
        else chunksHigh |= 1 << (end - 32);
      }
      const raw = (low & 3) === 3 ? low | (u16[(host + offset + 2) >> 1]! << 16) : low;
      const insn = this.write(at, raw);
      this.mark(page, at);
      if (insn < 0 || shapes[insn]!.ends) break;
      at += this.u8[at + OP.length]! << 3;
    }
    u32[(page + CODE.chunks) >> 2] = chunksLow;
    u32[(page + CODE.chunks + 4) >> 2] = chunksHigh;
  }

  /** Makes an empty decoded page for the code at `host`; `used` if its place had another before. */
  preparePage(page: number, host: number, used: boolean): void {
    if (used) this.u8.fill(0, page, page + CODE.stride - CODE.header);
    this.u32[(page + CODE.hostPage) >> 2] = host;
    this.u32[(page + CODE.chunks) >> 2] = 0;
    this.u32[(page + CODE.chunks + 4) >> 2] = 0;
    this.u32[(page + CODE.stores) >> 2] = 0;
    for (const slot of [2048, 2049]) this.u16[(page + slot * OP.size) >> 1] = HANDLER_RELOOKUP;
  }

  /** Forgets what was decoded from bytes [offset, offset + length) of a page. */
  forget(page: number, offset: number, length: number): void {
    // An instruction that begins two bytes before may reach into the range.
    const first = Math.max(0, (offset & ~1) - 2);
    const last = Math.min(4094, offset + length - 1);
    for (let o = first; o <= last; o += 2) this.u16[(page + o * 8) >> 1] = 0;
  }

  /** Makes every operation of a scratch page look its pc up again. */
  clearScratch(page: number): void {
    for (let slot = 0; slot < CODE.slots; slot++) this.u16[(page + slot * OP.size) >> 1] = HANDLER_RELOOKUP;
  }
}
