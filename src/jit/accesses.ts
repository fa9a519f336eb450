/**
 * Memory in translated code: loads, stores and atomics look in the TLB inline, several off one register at once; what was
 * seen to reach devices asks them from where it is. Everything else is left to the interpreter. docs/design/jit.md.
 */
import type { AmoInfo, LoadInfo } from "../isa/semantics.ts";
import { type AtomicContext, amo, loadReserved, storeConditional } from "../riscv/atomics.ts";
import { CTX, type MemoryLayout, S } from "../riscv/layout.ts";
import { entryOf, tagHits } from "../riscv/mmu/entry.ts";
import { ioEntryOf, ioHits, readDevice, writeDevice } from "../riscv/mmu/io.ts";
import { loadOf, signedLoadOf, storeOf } from "../riscv/mmu/sized.ts";
import { type Expr, I32, I64, i32, i64, iff, type Local, local, type Stmt, set } from "../wasm/ir.ts";
import type { FuncLowering } from "../wasm/lower.ts";
import { type AccessGroup, groupAccesses } from "./groups.ts";
import type { Place } from "./place.ts";
import type { RegionInsn } from "./region.ts";
import type { Rounds } from "./rounds.ts";

export class Accesses {
  private readonly place: Place;
  private readonly layout: MemoryLayout;
  private readonly f: FuncLowering;
  private groups: ReadonlyMap<RegionInsn, AccessGroup> = new Map();
  private streamOf: Rounds["streamOf"] | undefined;

  constructor(place: Place, layout: MemoryLayout, f: FuncLowering) {
    this.place = place;
    this.layout = layout;
    this.f = f;
  }

  /** Begins a block; `rounds` has the accesses that cannot miss. */
  begin(insns: readonly RegionInsn[], rounds: Rounds | undefined): void {
    this.streamOf = rounds?.streamOf;
    this.groups = groupAccesses(rounds ? insns.filter((insn) => !rounds.streamOf.has(insn)) : insns);
    // They outlive the instruction that sets them.
    for (const group of this.groups.values()) this.f.slot(group.host);
  }

  load(address: Expr, info: LoadInfo): Stmt[] {
    const { size, signed, to } = info;
    if (this.place.insn.device) return this.loadDevice(address, info);
    return this.access(address, size, CTX.read, (host, offset) =>
      set(to, signed && size < 8 ? signedLoadOf(size, host, offset) : loadOf(size, host, offset)),
    );
  }

  store(address: Expr, value: Expr, size: number): Stmt[] {
    if (this.place.insn.device) return this.storeDevice(address, value, size);
    return this.access(address, size, CTX.write, (host, offset) => storeOf(size, host, value, offset));
  }

  /**
   * An access to memory where the TLB knows the place. Everything else (a miss, a device, a page end in the middle, a
   * fault) is the interpreter's: a call here would make V8 keep the loop's registers on the stack.
   */
  access(address: Expr, size: number, table: number, fast: (host: Expr, offset: number) => Stmt): Stmt[] {
    const { imm, rs1 } = this.place.insn;
    const at = (base: Expr): Stmt => (imm >= 0 ? fast(base, imm) : fast(i32.add(base, imm), 0));
    const stream = this.streamOf?.get(this.place.insn);
    if (stream) return [at(i32.add(i32.wrap(this.place.x.get(rs1)), stream.distance))];
    const group = this.groups.get(this.place.insn);
    const ea = local(I64, "ea");
    const alone: Stmt[] = [set(ea, address), ...this.accessRam(ea, size, table, (host) => fast(host, 0))];
    if (group === undefined) return alone;
    const out: Stmt[] = [];
    if (group.first === this.place.insn) {
      // One look-up for the whole range: `host` becomes the base register's place, or 0 for "each for itself".
      const low = local(I64, "low");
      const entry = local(I32, "entry");
      out.push(
        set(low, i64.add(this.place.x.get(rs1), group.low)),
        set(entry, entryOf(this.place.tlb, low)),
        set(group.host, 0),
        iff(tagHits(entry, low, group.high - group.low, table), [
          set(group.host, i32.add(i32.wrap(this.place.x.get(rs1)), i32.load(entry, table + 8))),
        ]),
      );
    }
    out.push(iff(group.host, [at(group.host)], alone));
    return out;
  }

  /** The look-up of one access in the TLB. */
  private accessRam(ea: Local, size: number, table: number, fast: (host: Expr) => Stmt): Stmt[] {
    const entry = local(I32, "entry");
    return [
      set(entry, entryOf(this.place.tlb, ea)),
      iff(i32.eqz(tagHits(entry, ea, size, table)), this.place.leaveBefore()),
      fast(i32.add(i32.wrap(ea), i32.load(entry, table + 8))),
    ];
  }

  /**
   * An access of an instruction that was seen to reach devices: through the I/O TLB, and the device is asked from here.
   * V8 keeps registers on the stack around the call, which is why other accesses have none.
   *
   * @param ask the device
   * @param cleanup where it throws
   * @param result what else the instruction does, where it leaves the region because somebody wants attention
   * @param otherwise for RAM
   */
  private device(
    address: Expr,
    table: number,
    size: number,
    ask: (entry: Expr, ea: Expr, cleanup: readonly Stmt[]) => readonly Stmt[],
    result: readonly Stmt[],
    otherwise: (ea: Local) => readonly Stmt[],
  ): Stmt[] {
    const ea = local(I64, "ea");
    const entry = local(I32, "entry");
    return [
      set(ea, address),
      set(entry, ioEntryOf(this.place.tlb, ea, table)),
      iff(
        ioHits(entry, ea, size),
        [
          ...this.place.spillPc(),
          ...ask(entry, ea, this.place.spill()),
          iff(S.attention.get(this.place.h), this.place.leaveAfter(result)),
        ],
        otherwise(ea),
      ),
    ];
  }

  private loadDevice(address: Expr, { size, signed, to }: LoadInfo): Stmt[] {
    const v = local(I32, "v");
    const extended =
      size === 4
        ? (signed ? i64.extend_s : i64.extend_u)(v)
        : signed
          ? i64.extend_s((size === 2 ? i32.extend16_s : i32.extend8_s)(v))
          : i64.extend_u(i32.and(v, size === 2 ? 0xffff : 0xff));
    return this.device(
      address,
      CTX.ioRead,
      size,
      (entry, ea, cleanup) => [...readDevice(this.place.h, entry, ea, i32.const(size), v, cleanup), set(to, extended)],
      this.place.x.setHome(this.place.insn.rd, to),
      (ea) =>
        this.accessRam(ea, size, CTX.read, (host) => set(to, signed ? signedLoadOf(size, host) : loadOf(size, host))),
    );
  }

  private storeDevice(address: Expr, value: Expr, size: number): Stmt[] {
    const low = size === 4 ? i32.wrap(value) : i32.and(i32.wrap(value), size === 2 ? 0xffff : 0xff);
    return this.device(
      address,
      CTX.ioWrite,
      size,
      (entry, ea, cleanup) => writeDevice(this.place.h, entry, ea, low, i32.const(size), cleanup),
      [],
      (ea) => this.accessRam(ea, size, CTX.write, (host) => storeOf(size, host, value)),
    );
  }

  amo(address: Expr, info: AmoInfo): Stmt[] {
    return amo(this.atomic(), address, info);
  }

  loadReserved(address: Expr, info: LoadInfo): Stmt[] {
    return loadReserved(this.atomic(), address, info);
  }

  storeConditional(address: Expr, value: Expr, info: LoadInfo): Stmt[] {
    return storeConditional(this.atomic(), address, value, info);
  }

  private atomic(): AtomicContext {
    const { h, tlb } = this.place;
    return { h, tlb, pageFlags: this.layout.pageFlags, missed: () => this.place.leaveBefore() };
  }
}
