/**
 * Control and status registers: their tables in memory, and those that the host answers.
 * Privileged specification chapters 2 (numbers), 3 (machine), 12 (supervisor); Zicntr, Zihpm, Sstc.
 */

import { type Field, type MemoryLayout, MSTATUS, PMP_ENTRIES, S } from "./layout.ts";
import { CSR_ILLEGAL, CSR_OK, CSR_PLAIN, CSR_RESYNC, CSR_SSTATUS } from "./system.ts";

/** What the CSRs need of their hart. */
export interface CsrHart {
  /** 64-bit state by byte offset from the hart's base. */
  get64(f: Field): bigint;
  set64(f: Field, v: bigint): void;
  get32(f: Field): number;
  set32(f: Field, v: number): void;
  /** Instructions retired before the one that runs now. */
  instructionCount(): bigint;
  /** The `time` CSR: ticks of the machine's time base. */
  time(): bigint;
  /** Merges floating-point dirtiness into mstatus; writes mstatus under a mask with its consequences. */
  syncStatus(): void;
  writeStatus(value: bigint, mask: bigint): void;
  selectContexts(): void;
  flushAll(): void;
  /** stimecmp or menvcfg.STCE changed. */
  timerChanged(): void;
  readonly extensions: ReadonlySet<string>;
}

const ALL = (1n << 64n) - 1n;
const S_INTERRUPTS = 0x222n;
const M_INTERRUPTS = 0xaaan;
/** Every exception but a call from M-mode may be delegated. */
const DELEGABLE = 0xb3ffn;
const STCE = 1n << 63n;
const MENVCFG_BITS = { zicbom: 0x70n, zicboz: 0x80n, svadu: 1n << 61n, svpbmt: 1n << 62n, sstc: STCE } as const;
const SEIP = 0x200n;
const STIP = 0x20n;

/** Registers that are plain storage: number, field, bits that software may write. */
const PLAIN: readonly (readonly [number, Field, bigint])[] = [
  [0x105, S.stvec, ALL & ~2n],
  [0x106, S.scounteren, 0xffffffffn],
  [0x140, S.sscratch, ALL],
  [0x141, S.sepc, ALL & ~1n],
  [0x142, S.scause, ALL],
  [0x143, S.stval, ALL],
  [0x301, S.misa, 0n],
  [0x302, S.medeleg, DELEGABLE],
  [0x305, S.mtvec, ALL & ~2n],
  [0x306, S.mcounteren, 0xffffffffn],
  [0x340, S.mscratch, ALL],
  [0x341, S.mepc, ALL & ~1n],
  [0x342, S.mcause, ALL],
  [0x343, S.mtval, ALL],
];

/** Fills the tables that generated code looks at. */
export function writeCsrTables(memory: DataView, m: MemoryLayout): void {
  for (const [csr, field, mask] of PLAIN) {
    memory.setUint8(m.csrKind + csr, CSR_PLAIN);
    memory.setUint16(m.csrOffset + csr * 2, field.offset, true);
    memory.setBigUint64(m.csrMask + csr * 8, mask, true);
  }
  memory.setUint8(m.csrKind + 0x100, CSR_SSTATUS);
}

/** A register that the host answers. A write that returns RESYNC makes the hart look at translation and interrupts anew. */
interface HostCsr {
  read(hart: CsrHart): bigint | undefined;
  write?(hart: CsrHart, value: bigint): number;
}

const plain = (f: Field): HostCsr => ({ read: (h) => h.get64(f) });
const zero: HostCsr = { read: () => 0n, write: () => CSR_OK };
const constant = (v: bigint): HostCsr => ({ read: () => v });

/** fflags and frm: illegal while floating point is off, or where there is none. */
const floating = (read: (h: CsrHart) => number, write: (h: CsrHart, v: number) => void): HostCsr => ({
  read: (h) => (h.get32(S.fsOff) || !h.extensions.has("f") ? undefined : BigInt(read(h))),
  write(h, v) {
    write(h, Number(v & 0xffn));
    h.set32(S.fsDirty, 1);
    return CSR_OK;
  },
});

/** Counters below M-mode need the bit of mcounteren, in U-mode that of scounteren too (3.1.11, 12.1.5). */
function counterAllowed(h: CsrHart, n: number): boolean {
  const priv = h.get32(S.priv);
  const bit = 1n << BigInt(n);
  if (priv < 3 && !(h.get64(S.mcounteren) & bit)) return false;
  return priv > 0 || (h.get64(S.scounteren) & bit) !== 0n;
}

const pending = (h: CsrHart): bigint => h.get64(S.mipLines) | h.get64(S.mipSoft);
const stce = (h: CsrHart): boolean => (h.get64(S.menvcfg) & STCE) !== 0n;

/** Sstc: the timer comparator is there for S-mode only where M-mode gave it and `time` away. */
const stimecmpAllowed = (h: CsrHart): boolean =>
  h.get32(S.priv) === 3 || (stce(h) && (h.get64(S.mcounteren) & 2n) !== 0n);

function writeMip(h: CsrHart, value: bigint, allowed: bigint): number {
  const old = h.get64(S.mipSoft);
  h.set64(S.mipSoft, (old & ~allowed) | (value & allowed));
  return CSR_RESYNC;
}

const counterOffset = (f: Field): HostCsr => ({
  read: (h) => BigInt.asUintN(64, h.instructionCount() + h.get64(f)),
  write(h, v) {
    // The next instruction reads what was written: this one's own retirement does not count.
    h.set64(f, v - h.instructionCount() - 1n);
    return CSR_OK;
  },
});

function pmpConfig(register: number): HostCsr {
  const first = register * 4;
  return {
    read(h) {
      let v = 0n;
      for (let i = 7; i >= 0; i--) v = (v << 8n) | BigInt(pmpCfg(h, first + i));
      return v;
    },
    write(h, v) {
      for (let i = 0; i < 8; i++) {
        const n = first + i;
        let cfg = Number((v >> BigInt(i * 8)) & 0x9fn);
        if (pmpCfg(h, n) & 0x80) continue; // locked until reset
        if ((cfg & 3) === 2) cfg &= ~2; // W without R is reserved
        h.set32({ ...S.pmpCfg, offset: S.pmpCfg.offset + n * 4 }, cfg);
      }
      pmpChanged(h);
      return CSR_RESYNC;
    },
  };
}

const pmpCfg = (h: CsrHart, n: number): number => h.get32({ ...S.pmpCfg, offset: S.pmpCfg.offset + n * 4 });
const entry64 = (f: Field, n: number): Field => ({ ...f, offset: f.offset + n * 8 });

function pmpAddress(n: number): HostCsr {
  return {
    read: (h) => h.get64(entry64(S.pmpAddr, n)),
    write(h, v) {
      const next = n + 1 < PMP_ENTRIES ? pmpCfg(h, n + 1) : 0;
      // Locked, or the lower bound of a locked top-of-range entry.
      if (pmpCfg(h, n) & 0x80 || (next & 0x98) === 0x88) return CSR_OK;
      h.set64(entry64(S.pmpAddr, n), v & ((1n << 54n) - 1n));
      pmpChanged(h);
      return CSR_RESYNC;
    },
  };
}

/** Works the ranges out (3.7.1): inclusive bounds; an entry that is off has a range that no access meets. */
function pmpChanged(h: CsrHart): void {
  let active = 0;
  for (let n = 0; n < PMP_ENTRIES; n++) {
    const cfg = pmpCfg(h, n);
    const addr = h.get64(entry64(S.pmpAddr, n));
    let lo = ALL;
    let hi = 0n;
    const mode = (cfg >> 3) & 3;
    if (mode === 1) {
      lo = n === 0 ? 0n : h.get64(entry64(S.pmpAddr, n - 1)) << 2n;
      hi = (addr << 2n) - 1n;
      if (hi < lo) [lo, hi] = [ALL, 0n];
    } else if (mode === 2) {
      lo = addr << 2n;
      hi = lo + 3n;
    } else if (mode === 3) {
      // Trailing ones give the size: 8 bytes and up.
      const ones = (addr ^ (addr + 1n)) & ((1n << 54n) - 1n);
      lo = (addr & ~ones) << 2n;
      hi = lo + (ones << 2n) + 3n;
    }
    if (mode) active = 1;
    h.set64(entry64(S.pmpLo, n), lo);
    h.set64(entry64(S.pmpHi, n), hi);
  }
  h.set32(S.pmpActive, active);
  h.flushAll();
}

const host = new Map<number, HostCsr>();
const fpFlags = (h: CsrHart) => h.get32(S.fflags);
host.set(
  0x001,
  floating(fpFlags, (h, v) => h.set32(S.fflags, v & 31)),
);
host.set(
  0x002,
  floating(
    (h) => h.get32(S.frm),
    (h, v) => h.set32(S.frm, v & 7),
  ),
);
host.set(
  0x003,
  floating(
    (h) => fpFlags(h) | (h.get32(S.frm) << 5),
    (h, v) => {
      h.set32(S.fflags, v & 31);
      h.set32(S.frm, v >> 5);
    },
  ),
);
const cycle = counterOffset(S.mcycleOffset);
const instret = counterOffset(S.minstretOffset);
host.set(0xb00, cycle);
host.set(0xb02, instret);
host.set(0xc00, { read: (h) => (counterAllowed(h, 0) ? cycle.read(h) : undefined) });
host.set(0xc01, { read: (h) => (counterAllowed(h, 1) ? h.time() : undefined) });
host.set(0xc02, { read: (h) => (counterAllowed(h, 2) ? instret.read(h) : undefined) });
for (let n = 3; n < 32; n++) {
  host.set(0xb00 + n, zero);
  host.set(0x320 + n, zero);
  host.set(0xc00 + n, { read: (h) => (counterAllowed(h, n) ? 0n : undefined) });
}
host.set(0x104, {
  read: (h) => h.get64(S.mie) & h.get64(S.mideleg),
  write: (h, v) => writeMie(h, v, h.get64(S.mideleg)),
});
host.set(0x304, { read: (h) => h.get64(S.mie), write: (h, v) => writeMie(h, v, M_INTERRUPTS) });
host.set(0x144, {
  read: (h) => pending(h) & h.get64(S.mideleg),
  write: (h, v) => writeMip(h, v, 2n & h.get64(S.mideleg)),
});
host.set(0x344, {
  read: pending,
  // With Sstc given to S-mode the comparator alone drives STIP.
  write: (h, v) => writeMip(h, v, S_INTERRUPTS & ~(stce(h) ? STIP : 0n)),
});
host.set(0x303, {
  read: (h) => h.get64(S.mideleg),
  write(h, v) {
    h.set64(S.mideleg, v & S_INTERRUPTS);
    return CSR_RESYNC;
  },
});
host.set(0x10a, {
  read: (h) => h.get64(S.senvcfg),
  write(h, v) {
    h.set64(S.senvcfg, legalCbie(v & (0x1n | environmentBits(h, 0xf0n)), h.get64(S.senvcfg)));
    return CSR_OK;
  },
});
host.set(0x30a, {
  read: (h) => h.get64(S.menvcfg),
  write(h, v) {
    h.set64(S.menvcfg, legalCbie(v & (0x1n | environmentBits(h, ALL)), h.get64(S.menvcfg)));
    // From now on STIP is the comparator's alone (Sstc).
    if (stce(h)) h.set64(S.mipSoft, h.get64(S.mipSoft) & ~STIP);
    h.timerChanged();
    h.flushAll();
    return CSR_RESYNC;
  },
});
host.set(0x14d, {
  read: (h) => (stimecmpAllowed(h) && h.extensions.has("sstc") ? h.get64(S.stimecmp) : undefined),
  write(h, v) {
    h.set64(S.stimecmp, v);
    h.timerChanged();
    return CSR_RESYNC;
  },
});
host.set(0x180, {
  // TVM keeps S-mode out of satp (3.1.6.6).
  read: (h) => (h.get32(S.priv) === 1 && h.get64(S.mstatus) & MSTATUS.TVM ? undefined : h.get64(S.satp)),
  write(h, v) {
    const mode = v >> 60n;
    // An unsupported mode leaves the register as it was (12.1.11).
    if (mode !== 0n && (mode < 8n || mode > 10n)) return CSR_OK;
    h.set64(S.satp, v);
    h.selectContexts();
    return CSR_RESYNC;
  },
});
host.set(0x300, {
  read(h) {
    h.syncStatus();
    return h.get64(S.mstatus);
  },
  write(h, v) {
    let mask =
      MSTATUS.SIE |
      MSTATUS.MIE |
      MSTATUS.SPIE |
      MSTATUS.MPIE |
      MSTATUS.SPP |
      MSTATUS.FS |
      MSTATUS.MPRV |
      MSTATUS.SUM |
      MSTATUS.MXR |
      MSTATUS.TVM |
      MSTATUS.TW |
      MSTATUS.TSR;
    if (((v >> 11n) & 3n) !== 2n) mask |= MSTATUS.MPP; // 2 is reserved: kept as it was
    h.writeStatus(v, mask);
    return CSR_RESYNC;
  },
});
host.set(0x320, {
  read: (h) => h.get64(S.mcountinhibit),
  // Counters run always: the register reads as zero (WARL).
  write: () => CSR_OK,
});
for (const n of [0xf11, 0xf12, 0xf13, 0xf15]) host.set(n, constant(0n));
host.set(0xf14, { read: (h) => BigInt(h.get32(S.hartid)) });
host.set(0x3a0, pmpConfig(0));
host.set(0x3a2, pmpConfig(2));
for (let n = 0; n < PMP_ENTRIES; n++) host.set(0x3b0 + n, pmpAddress(n));
for (const [csr, f] of PLAIN) host.set(csr, plain(f));

function writeMie(h: CsrHart, v: bigint, mask: bigint): number {
  h.set64(S.mie, (h.get64(S.mie) & ~mask) | (v & mask));
  return CSR_RESYNC;
}

function environmentBits(h: CsrHart, within: bigint): bigint {
  let bits = 0n;
  for (const [extension, mask] of Object.entries(MENVCFG_BITS)) if (h.extensions.has(extension)) bits |= mask;
  return bits & within;
}

/** CBIE 2 is reserved: kept as it was. */
const legalCbie = (v: bigint, old: bigint): bigint => ((v & 0x30n) === 0x20n ? (v & ~0x30n) | (old & 0x30n) : v);

/** Carries out a CSR instruction on a register of the host's; see `csrAccess` in system.ts. */
export function accessCsr(h: CsrHart, csr: number, operation: number, source: bigint, writes: boolean): number {
  const register = host.get(csr);
  if (!register || h.get32(S.priv) < ((csr >> 8) & 3)) return CSR_ILLEGAL;
  // The top two bits set mean read-only.
  if (writes && (csr >> 10 === 3 || !register.write)) return CSR_ILLEGAL;
  const old = register.read(h);
  if (old === undefined) return CSR_ILLEGAL;
  let status = CSR_OK;
  if (writes) {
    // mip.SEIP reads as line or software bit, but read-modify-write sees the software bit alone (3.1.9).
    const base = csr === 0x344 ? (old & ~SEIP) | (h.get64(S.mipSoft) & SEIP) : old;
    const value = operation === 0 ? source : operation === 1 ? base | source : base & ~source;
    status = register.write!(h, BigInt.asUintN(64, value));
  }
  h.set64(S.result, old);
  return status;
}

/** Reads a CSR as a debugger would: no privilege, no side effects. Undefined where there is none. */
export function peekCsr(h: CsrHart, csr: number): bigint | undefined {
  if (csr === 0x100) {
    h.syncStatus();
    return h.get64(S.mstatus) & 0x80000003000de762n;
  }
  const priv = h.get32(S.priv);
  h.set32(S.priv, 3);
  const value = host.get(csr)?.read(h);
  h.set32(S.priv, priv);
  return value === undefined ? undefined : BigInt.asUintN(64, value);
}

/** The state after a hart reset (3.4): M-mode, interrupts off, translation off. */
export function resetCsrs(h: CsrHart, misa: bigint): void {
  for (const f of [
    S.mie,
    S.mipSoft,
    S.mideleg,
    S.medeleg,
    S.mtvec,
    S.mepc,
    S.mcause,
    S.mtval,
    S.mscratch,
    S.mcounteren,
    S.mcountinhibit,
    S.stvec,
    S.sepc,
    S.scause,
    S.stval,
    S.sscratch,
    S.scounteren,
    S.senvcfg,
    S.satp,
    S.mcycleOffset,
    S.minstretOffset,
  ])
    h.set64(f, 0n);
  h.set64(S.misa, misa);
  h.set64(S.stimecmp, ALL);
  // Svadu is on from the start unless firmware turns it off; software that sets A and D itself sees no difference.
  h.set64(S.menvcfg, h.extensions.has("svadu") ? MENVCFG_BITS.svadu : 0n);
  h.set64(S.mstatus, (2n << 32n) | (2n << 34n));
  h.set32(S.priv, 3);
  h.set32(S.fsOff, 1);
  h.set32(S.fsDirty, 0);
  h.set32(S.fflags, 0);
  h.set32(S.frm, 0);
  for (let n = 0; n < PMP_ENTRIES; n++) {
    h.set32({ ...S.pmpCfg, offset: S.pmpCfg.offset + n * 4 }, 0);
    h.set64(entry64(S.pmpAddr, n), 0n);
  }
  h.set32(S.pmpCount, PMP_ENTRIES);
  pmpChanged(h);
}
