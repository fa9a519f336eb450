/**
 * Runs many small programs, each from a given state, on our harts and on QEMU, and compares the states they end in.
 *
 * Each case has a page of RAM: the state it starts from, the state it ended in, a log of its traps, a window of memory
 * for its loads and stores, its code. A runner in M-mode goes through them; both machines run the very same RAM image,
 * and afterwards the images are compared. The runner's trap handler logs a trap and goes on behind the instruction
 * (after a fetch that failed: at the address in ra), so that one case can meet many; a case ends at its end address.
 */
import { assemble } from "../../src/isa/assembler.ts";
import { disassemble } from "../../src/isa/disassembler.ts";
import { fNames, xNames } from "../../src/isa/register-names.ts";
import { inlineCompiler } from "../../src/jit/compiler.ts";
import { THREAD_LIMITS } from "../../src/jit/module.ts";
import { RegionCache } from "../../src/jit/tier1.ts";
import { TestMachine } from "../../src/riscv/machine-for-tests.ts";
import { silentLog } from "../../src/util/log.ts";
import { runOnQemu } from "./qemu.ts";

export const RAM = 0x8000_0000;
const RAM_BYTES = 32 << 20;
/** Cases lie from here on; RAM between the runner and them is the test's own (page tables). */
const CASES = 0x100_0000;
const PAGE = 4096;
const MAX_CASES = (RAM_BYTES - CASES - (4 << 20)) / PAGE;

/** Offsets in a case's page. */
const X = 0;
const F = 0x100;
const CSRS = 0x200;
const END = 0x280;
const REPEAT = 0x288;
const COUNT = 0x290;
const LOG = 0x2a0;
const MAX_TRAPS = 16;
const X_AFTER = 0x420;
const F_AFTER = 0x520;
const FCSR_AFTER = 0x620;
const MSTATUS_AFTER = 0x628;
export const WINDOW = 0x640;
export const WINDOW_BYTES = 0x1b8;
const CODE = 0x800;
const CODE_BYTES = 0x800;

/** The registers that a case may set before it starts, in the order in which the runner writes them; mstatus comes last. */
const CSR_SLOTS = [
  "fcsr",
  "satp",
  "medeleg",
  "menvcfg",
  "pmpaddr0",
  "pmpaddr1",
  "pmpaddr2",
  "pmpaddr3",
  "pmpaddr4",
  "pmpaddr5",
  "pmpcfg0",
  "mcounteren",
  "scounteren",
  "mstatus",
] as const;
export type CsrSlot = (typeof CSR_SLOTS)[number];

export interface Case {
  readonly name: string;
  /** x1 to x31 (slot 0 is not used) and f0 to f31. */
  readonly x: BigUint64Array;
  readonly f: BigUint64Array;
  readonly csrs?: Partial<Readonly<Record<CsrSlot, bigint>>>;
  /** The code's bytes, at CODE in the page; an ebreak is put behind it. */
  readonly code: Uint8Array;
  /** The window's bytes. */
  readonly window?: Uint8Array;
}

/** The address of case n's page. */
export const pageOf = (n: number): number => RAM + CASES + n * PAGE;

const each = (count: number, line: (n: number) => string, from = 0): string =>
  Array.from({ length: count }, (_, n) => line(n + from)).join("\n");

const runner = (cases: number): string => `
start:  la t0, handler
        csrw mtvec, t0
        csrw mie, zero
        li t0, -1                     # all of memory for S and U: the last entry of PMP
        csrw pmpaddr15, t0
        li t0, 0x1f << 56
        csrw pmpcfg2, t0
        li x31, ${pageOf(0)}
begin:  csrw mscratch, x31
        sd zero, ${COUNT}(x31)
        li t0, 3 << 13
        csrs mstatus, t0
${each(32, (n) => `fld f${n}, ${F + n * 8}(x31)`)}
${CSR_SLOTS.slice(0, -1)
  .map((name, n) => `ld t0, ${CSRS + n * 8}(x31)\n csrw ${name}, t0`)
  .join("\n")}
        ld t0, ${CSRS + (CSR_SLOTS.length - 1) * 8}(x31)
        csrw mstatus, t0
        sfence.vma
        fence.i
        ld t0, ${X}(x31)
        csrw mepc, t0
${each(31, (n) => `ld x${n}, ${X + n * 8}(x31)`, 1)}
        mret

        .align 2
handler: csrrw x31, mscratch, x31
        sd x5, ${X_AFTER + 5 * 8}(x31)
        sd x6, ${X_AFTER + 6 * 8}(x31)
        sd x7, ${X_AFTER + 7 * 8}(x31)
        csrr x5, mepc
        ld x6, ${END}(x31)
        beq x5, x6, finish
        ld x6, ${COUNT}(x31)
        sltiu x7, x6, ${MAX_TRAPS}
        beqz x7, finish
        addi x7, x6, 1
        sd x7, ${COUNT}(x31)
        slli x7, x6, 4
        slli x6, x6, 3
        add x7, x7, x6
        add x7, x7, x31
        sd x5, ${LOG + 8}(x7)
        csrr x5, mtval
        sd x5, ${LOG + 16}(x7)
        csrr x5, mcause
        sd x5, ${LOG}(x7)
        li x6, 12
        beq x5, x6, 1f
        sltiu x6, x5, 2
        beqz x6, 2f
1:      csrw mepc, ra
        j 4f
2:      csrr x5, mepc
        lhu x6, 0(x5)
        andi x6, x6, 3
        addi x6, x6, -3
        addi x5, x5, 2
        bnez x6, 3f
        addi x5, x5, 2
3:      csrw mepc, x5
4:      csrr x5, mstatus              # QEMU 7.2 keeps translations made for MPRV when mret changes MPP
        slli x5, x5, 46
        bgez x5, 5f
        sfence.vma
5:      ld x5, ${X_AFTER + 5 * 8}(x31)
        ld x6, ${X_AFTER + 6 * 8}(x31)
        ld x7, ${X_AFTER + 7 * 8}(x31)
        csrrw x31, mscratch, x31
        mret

finish: 
${each(30, (n) => (n >= 5 && n <= 7 ? "" : `sd x${n}, ${X_AFTER + n * 8}(x31)`), 1)}
        csrr x5, mscratch
        sd x5, ${X_AFTER + 31 * 8}(x31)
        csrr x5, mstatus
        sd x5, ${MSTATUS_AFTER}(x31)
        li x6, 3 << 13
        csrs mstatus, x6
${each(32, (n) => `fsd f${n}, ${F_AFTER + n * 8}(x31)`)}
        frcsr x5
        sd x5, ${FCSR_AFTER}(x31)
        ld x5, ${REPEAT}(x31)
        addi x5, x5, -1
        sd x5, ${REPEAT}(x31)
        bnez x5, begin
        li x5, ${PAGE}
        add x31, x31, x5
        li x5, ${pageOf(cases)}
        bltu x31, x5, begin
        li x5, 0x100000
        li x6, 0x5555
        sw x6, 0(x5)
        j .
`;

/** Builds the RAM image for a list of cases; `prepare` may put more into it. */
function buildImage(cases: readonly Case[], { prepare, repeat = 1 }: CompareOptions): Uint8Array {
  if (cases.length > MAX_CASES) throw new Error(`${cases.length} cases do not fit`);
  const image = new Uint8Array(RAM_BYTES);
  const view = new DataView(image.buffer);
  image.set(assemble(runner(cases.length), { base: BigInt(RAM), file: "runner" }).bytes);
  for (const [n, c] of cases.entries()) {
    const at = CASES + n * PAGE;
    const put = (offset: number, value: bigint): void =>
      view.setBigUint64(at + offset, BigInt.asUintN(64, value), true);
    put(X, BigInt(pageOf(n) + CODE - 4));
    for (let r = 1; r < 32; r++) put(X + r * 8, c.x[r]!);
    for (let r = 0; r < 32; r++) put(F + r * 8, c.f[r]!);
    for (const [slot, name] of CSR_SLOTS.entries())
      put(CSRS + slot * 8, c.csrs?.[name] ?? (name === "mstatus" ? 0x7880n : name === "menvcfg" ? 1n << 61n : 0n));
    if (c.code.length + 6 > CODE_BYTES) throw new Error(`${c.name}: too much code`);
    // A jump to the code itself: what jumps lead to is what tier 1 translates.
    view.setUint32(at + CODE - 4, 0x0040006f, true);
    image.set(c.code, at + CODE);
    view.setUint16(at + CODE + c.code.length, 0x9002, true);
    put(END, BigInt(pageOf(n) + CODE + c.code.length));
    put(REPEAT, BigInt(repeat));
    if (c.window) image.set(c.window, at + WINDOW);
  }
  prepare?.(view);
  return image;
}

/** Runs an image on our harts; says how many regions were translated. */
function runHere(image: Uint8Array, translate: boolean): { ram: Uint8Array; regions: number } {
  const machine = new TestMachine({ ramBytes: image.length, hotCount: 1 });
  machine.ram.set(image);
  const tier1 = translate
    ? new RegionCache(machine.engine, inlineCompiler(machine.engine, THREAD_LIMITS), silentLog)
    : undefined;
  // Short slices where code is translated: that happens between them.
  const slice = translate ? 100 : 10_000;
  for (let left = 100_000_000; left > 0 && !machine.finished; left -= slice) {
    machine.hart.run(slice);
    tier1?.poll();
  }
  if (!machine.finished) throw new Error("the cases do not end");
  return { ram: machine.ram, regions: tier1?.installed ?? 0 };
}

export interface Trap {
  readonly cause: bigint;
  readonly epc: bigint;
  readonly tval: bigint;
}

/** What a case ended in. */
export class Outcome {
  private readonly view: DataView;

  constructor(ram: Uint8Array, n: number) {
    this.view = new DataView(ram.buffer, ram.byteOffset + CASES + n * PAGE, PAGE);
  }

  get traps(): Trap[] {
    const count = Number(this.view.getBigUint64(COUNT, true));
    const word = (at: number): bigint => this.view.getBigUint64(at, true);
    return Array.from({ length: count }, (_, i) => {
      const at = LOG + i * 24;
      return { cause: word(at), epc: word(at + 8), tval: word(at + 16) };
    });
  }

  /** Every part of the state that is compared, by name. */
  parts(): Map<string, bigint> {
    const word = (at: number): bigint => this.view.getBigUint64(at, true);
    const parts = new Map<string, bigint>();
    for (const [i, trap] of this.traps.entries())
      for (const [key, value] of Object.entries(trap)) parts.set(`trap ${i} ${key}`, value as bigint);
    for (let n = 1; n < 32; n++) parts.set(xNames[n]!, word(X_AFTER + n * 8));
    for (let n = 0; n < 32; n++) parts.set(fNames[n]!, word(F_AFTER + n * 8));
    parts.set("fcsr", word(FCSR_AFTER));
    // FS: how precisely a hart follows dirtiness is its own affair; SD follows FS.
    parts.set("mstatus", word(MSTATUS_AFTER) & ~((1n << 63n) | 0x6000n));
    for (let at = 0; at < WINDOW_BYTES; at += 8) parts.set(`window+${at.toString(16)}`, word(WINDOW + at));
    return parts;
  }
}

/** Code as text, for the report of a difference. */
function listing(code: Uint8Array, base: bigint): string {
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  const lines: string[] = [];
  for (let at = 0; at + 2 <= code.length; ) {
    const half = view.getUint16(at, true);
    const long = (half & 3) === 3 && at + 4 <= code.length;
    const word = long ? view.getUint32(at, true) : half;
    const pc = base + BigInt(at);
    lines.push(
      `  ${pc.toString(16)}: ${word.toString(16).padStart(long ? 8 : 4, "0")} ${disassemble(word, pc).replace("\t", " ")}`,
    );
    at += long ? 4 : 2;
  }
  return lines.join("\n");
}

export interface Comparison {
  /** Differences, each a text with the case, the values and the code; at most a few. */
  readonly differences: readonly string[];
  readonly ours: Uint8Array;
  readonly theirs: Uint8Array;
  /** How many traps there were in all, by cause: a test can see that it tested something. */
  readonly causes: ReadonlyMap<bigint, number>;
  /** How many regions tier 1 translated. */
  readonly regions: number;
}

export interface CompareOptions {
  /** Says more about a value that differs, an address or an epc. */
  readonly explain?: (value: bigint, c: Case, image: Uint8Array) => string;
  readonly prepare?: (ram: DataView) => void;
  /** How often each case is run, from the same registers (the window keeps what it has); the last time is compared. */
  readonly repeat?: number;
  /** Whether our harts translate what runs more than once (tier 1), instead of interpreting all of it. */
  readonly translate?: boolean;
  /** Says that a difference is meant: QEMU deviates from the specification there, or it leaves a choice. */
  readonly accept?:
    | ((
        part: string,
        ours: bigint | undefined,
        theirs: bigint | undefined,
        outcome: Outcome,
        theirOutcome: Outcome,
      ) => boolean)
    | undefined;
}

/** Runs the cases on both and compares. */
export function compareCases(cases: readonly Case[], options: CompareOptions = {}): Comparison {
  const image = buildImage(cases, options);
  const theirs = runOnQemu(image);
  const { ram: ours, regions } = runHere(image, options.translate ?? false);
  const differences: string[] = [];
  const causes = new Map<bigint, number>();
  for (const [n, c] of cases.entries()) {
    const mine = new Outcome(ours, n);
    const other = new Outcome(theirs, n);
    for (const { cause } of mine.traps) causes.set(cause, (causes.get(cause) ?? 0) + 1);
    if (differences.length >= 5) continue;
    const a = mine.parts();
    const b = other.parts();
    const lines: string[] = [];
    for (const part of new Set([...a.keys(), ...b.keys()])) {
      const [x, y] = [a.get(part), b.get(part)];
      if (x !== y && !options.accept?.(part, x, y, mine, other)) {
        const more =
          options.explain && part.startsWith("trap")
            ? [
                ...new Set(
                  mine.traps
                    .concat(other.traps)
                    .filter((_, i) => i === Number(part.split(" ")[1]))
                    .map((t) => t.tval),
                ),
              ]
                .map((v) => ` ${options.explain!(v, c, image)}`)
                .join("")
            : "";
        lines.push(`  ${part}: ${x?.toString(16)} instead of ${y?.toString(16)}${more}`);
      }
    }
    if (lines.length) {
      const start = [...c.x.entries()].map(([r, v]) => `${xNames[r]}=${v.toString(16)}`).join(" ");
      const float = [...c.f.entries()].map(([r, v]) => `${fNames[r]}=${v.toString(16)}`).join(" ");
      differences.push(
        `case ${n} ${c.name}\n${lines.slice(0, 12).join("\n")}\n  from ${start}\n  ${float}\n  fcsr=${c.csrs?.fcsr ?? 0n}\n${listing(c.code, BigInt(pageOf(n) + CODE))}`,
      );
    }
  }
  return { differences, ours, theirs, causes, regions };
}
