// The first instructions a hart executes, and the data they need: the contents of the boot ROM.
// RISC-V Unprivileged ISA, chapter "RV32I" (formats), "Zicsr"; OpenSBI's fw_dynamic boot protocol.

/** What the boot ROM has to say. Physical addresses. */
export interface ResetVectorInfo {
  /** Where the harts jump. */
  readonly start: number;
  /** The device tree, a1 at `start`. */
  readonly fdt: number;
  /** Where firmware goes on, 0 if nowhere. */
  readonly next: number;
}

const X0 = 0;
const T0 = 5;
const A0 = 10;
const A1 = 11;
const A2 = 12;
const MHARTID = 0xf14;

const START_OFFSET = 0x18;
const FDT_OFFSET = 0x20;
const DYNAMIC_INFO_OFFSET = 0x28;

const DYNAMIC_INFO_MAGIC = 0x4942_534fn; // "OSBI"
const DYNAMIC_INFO_VERSION = 2n;
const NEXT_MODE_S = 1n;

/**
 * The boot ROM's contents: a hart comes to `start` with its id in a0, the device tree in a1 and the address of the
 * fw_dynamic information in a2.
 */
export function resetVector(info: ResetVectorInfo): Uint8Array {
  const code = [
    uType(0x17, T0, 0), //                          auipc t0, 0
    iType(0x13, 0, A2, T0, DYNAMIC_INFO_OFFSET), // addi  a2, t0, DYNAMIC_INFO
    iType(0x73, 2, A0, X0, MHARTID), //             csrr  a0, mhartid
    iType(0x03, 3, A1, T0, FDT_OFFSET), //          ld    a1, FDT(t0)
    iType(0x03, 3, T0, T0, START_OFFSET), //        ld    t0, START(t0)
    iType(0x67, 0, X0, T0, 0), //                   jr    t0
  ];
  const data = [
    BigInt(info.start),
    BigInt(info.fdt),
    DYNAMIC_INFO_MAGIC,
    DYNAMIC_INFO_VERSION,
    BigInt(info.next),
    NEXT_MODE_S,
    0n, // options: boot messages wanted
    0n, // boot hart
  ];
  const bytes = new Uint8Array(START_OFFSET + data.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of code.entries()) view.setUint32(i * 4, word, true);
  for (const [i, value] of data.entries()) view.setBigUint64(START_OFFSET + i * 8, value, true);
  return bytes;
}

function uType(opcode: number, rd: number, immediate: number): number {
  return (immediate << 12) | (rd << 7) | opcode;
}

function iType(opcode: number, funct3: number, rd: number, rs1: number, immediate: number): number {
  return (immediate << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}
