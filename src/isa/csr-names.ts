/** Names of the control and status registers; privileged specification chapter 2.2. */

const NAMES: Record<string, number> = {
  fflags: 0x001,
  frm: 0x002,
  fcsr: 0x003,
  cycle: 0xc00,
  time: 0xc01,
  instret: 0xc02,
  sstatus: 0x100,
  sie: 0x104,
  stvec: 0x105,
  scounteren: 0x106,
  senvcfg: 0x10a,
  sscratch: 0x140,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  sip: 0x144,
  stimecmp: 0x14d,
  satp: 0x180,
  mvendorid: 0xf11,
  marchid: 0xf12,
  mimpid: 0xf13,
  mhartid: 0xf14,
  mconfigptr: 0xf15,
  mstatus: 0x300,
  misa: 0x301,
  medeleg: 0x302,
  mideleg: 0x303,
  mie: 0x304,
  mtvec: 0x305,
  mcounteren: 0x306,
  menvcfg: 0x30a,
  mcountinhibit: 0x320,
  mscratch: 0x340,
  mepc: 0x341,
  mcause: 0x342,
  mtval: 0x343,
  mip: 0x344,
  mseccfg: 0x747,
  tselect: 0x7a0,
  tdata1: 0x7a1,
  tdata2: 0x7a2,
  tdata3: 0x7a3,
  dcsr: 0x7b0,
  dpc: 0x7b1,
  dscratch0: 0x7b2,
  dscratch1: 0x7b3,
  mcycle: 0xb00,
  minstret: 0xb02,
};
for (let n = 3; n < 32; n++) {
  NAMES[`hpmcounter${n}`] = 0xc00 + n;
  NAMES[`mhpmcounter${n}`] = 0xb00 + n;
  NAMES[`mhpmevent${n}`] = 0x320 + n;
}
// RV64 has the even configuration registers only.
for (let n = 0; n < 16; n += 2) NAMES[`pmpcfg${n}`] = 0x3a0 + n;
for (let n = 0; n < 64; n++) NAMES[`pmpaddr${n}`] = 0x3b0 + n;

/** Numbers of the CSRs by name. */
export const csrNumbers: ReadonlyMap<string, number> = new Map(Object.entries(NAMES));
const byNumber: ReadonlyMap<number, string> = new Map(Object.entries(NAMES).map(([name, n]) => [n, name]));

/** The name of a CSR, or its number as objdump writes it: `mstatus`, `0x7ff`. */
export const csrName = (n: number): string => byNumber.get(n) ?? `0x${n.toString(16)}`;
