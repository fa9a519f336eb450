/**
 * Tier 0: the interpreter, generated from the instruction table. One function, `run`, dispatches over decoded
 * operations with one br_table; registers live in memory, so that anything may look at them between instructions.
 *
 * Position: `page` is the decoded page, `va` the virtual address that its first halfword has, `ip` the operation.
 * The pc follows from them: va + (ip - page) / 8. An operation is 16 bytes and stands for a halfword of code.
 *
 * Counting: `budget` is decremented before an instruction and given back where it does not retire, so that
 * instret = instretEnd - budget is exact whenever the host looks.
 */

import type { AmoInfo, LoadInfo } from "../isa/semantics.ts";
import { insns } from "../isa/table.ts";
import type { CompiledFunc, SignatureTable } from "../wasm/encoder.ts";
import {
  br,
  call,
  callStmt,
  type Expr,
  I32,
  I64,
  i32,
  i64,
  iff,
  label,
  local,
  ret,
  type Stmt,
  set,
} from "../wasm/ir.ts";
import { type Backend, type FuncIndex, FuncLowering } from "../wasm/lower.ts";
import { type AtomicContext, amo, loadReserved, storeConditional } from "./atomics.ts";
import {
  ATTENTION_LEAVE,
  CAUSE,
  CODE,
  CTX,
  EXIT,
  FIRST_INSN_HANDLER,
  HANDLER_BREAK,
  HANDLER_CROSS,
  HANDLER_DECODE,
  HANDLER_REGION,
  HANDLER_RELOOKUP,
  type MemoryLayout,
  OP,
  REGION_BUDGET,
  S,
  SIDE,
  TARGET_MARK,
  XTLB_ENTRIES,
} from "./layout.ts";
import { entryOf, tagHits } from "./mmu/entry.ts";
import { loadOf, signedLoadOf, storeOf } from "./mmu/sized.ts";
import { callRegion } from "./regions.ts";
import { interruptPossible } from "./traps.ts";

const signExtend = (size: number, v: Expr): Expr =>
  size === 4 ? i64.extend32_s(v) : size === 2 ? i64.extend16_s(v) : i64.extend8_s(v);

/** Builds `run(h) -> exit`. Tier 1 hears of an operation every `hotCount` (a power of two) jumps to it. */
export function interpreterFunction(
  m: MemoryLayout,
  funcs: FuncIndex,
  signatures: SignatureTable,
  hotCount: number,
): CompiledFunc {
  const h = local(I32, "h");
  const ip = local(I32, "ip");
  const page = local(I32, "page");
  const va = local(I64, "va");
  const budget = local(I32, "budget");
  const pcLocal = local(I64, "pc");
  const exitCode = local(I32, "exitCode");
  const entry = local(I32, "entry");
  const handler = local(I32, "handler");
  const cause = local(I64, "cause");
  const tval = local(I64, "tval");
  /** Whether the place that is looked up counts as jumped to. */
  const counted = local(I32, "counted");

  const exit = label("exit");
  const lookup = label("lookup");
  const next = label("next");
  const trapped = label("trapped");
  const faulted = label("faulted");
  const illegal = label("illegal");
  const attend = label("attend");

  const field16 = (offset: number): Expr => i32.load16_u(ip, offset);
  const register = (offset: number): Expr => i64.load(i32.add(h, field16(offset)), 0);
  const currentPc = i64.add(va, i64.extend_u(i32.shr_u(i32.sub(ip, page), 3)));
  const length = i32.load8_u(ip, OP.length);
  const immediate = i64.load32_s(ip, OP.imm);

  /** Continues with the operation at `ip`. */
  const goOn: Stmt[] = [set(handler, i32.load16_u(ip, OP.handler)), br(next)];
  /** Continues with the next operation. */
  const advance: Stmt[] = [set(ip, i32.add(ip, i32.shl(length, 3))), ...goOn];
  const leavePage = (target: Expr): Stmt[] => [set(pcLocal, target), br(lookup)];
  /** After the host ran: something may want attention before the next instruction. */
  const attendIfAsked: Stmt[] = [
    iff(S.attention.get(h), [set(pcLocal, i64.add(currentPc, i64.extend_u(length))), br(attend)]),
  ];
  /** Counts a jump to `ip`; every `hotCount`-th time tier 1 hears of it. */
  const countJump = (): Stmt[] => {
    const side = local(I32, "side");
    const count = local(I32, "count");
    return [
      set(side, i32.add(page, i32.shr_u(i32.sub(ip, page), 1))),
      set(count, i32.add(i32.load16_u(side, CODE.side + SIDE.count), 1)),
      i32.store16(side, count, CODE.side + SIDE.count),
      iff(i32.eqz(i32.and(count, hotCount - 1)), [S.pc.set(h, currentPc), callStmt("hot", h, page, ip)]),
    ];
  };
  const spill: Stmt[] = [S.pc.set(h, currentPc), S.budget.set(h, budget)];
  const checkFault: Stmt = br(faulted, S.fault.get(h));

  const atomic: AtomicContext = {
    h,
    tlb: S.tlb.get(h),
    pageFlags: m.pageFlags,
    missed: (ea, host, size, access) => [
      set(host, call(I32, "atomicAddress", h, ea, i32.const(size), i32.const(access))),
      br(faulted, i32.eqz(host)),
    ],
  };

  const effects: Record<string, (args: readonly Expr[], data: unknown) => readonly Stmt[]> = {
    rd: ([e]) => [i64.store(i32.add(h, field16(OP.rd)), e!)],
    frd: ([e]) => [i64.store(i32.add(h, field16(OP.rd)), e!), S.fsDirty.set(h, 1)],
    fp: (_a, data) => [
      br(illegal, S.fsOff.get(h)),
      ...((data as { rounding: boolean }).rounding
        ? [br(illegal, i32.and(i32.eq(i32.load8_u(ip, OP.rm), 7), i32.gt_u(S.frm.get(h), 4)))]
        : []),
    ],
    load([address], data) {
      const { size, signed, to } = data as LoadInfo;
      const ea = local(I64, "ea");
      const entry = local(I32, "entry");
      const at = i32.add(i32.wrap(ea), i32.load(entry, 8));
      return [
        set(ea, address!),
        set(entry, entryOf(S.tlb.get(h), ea)),
        iff(
          tagHits(entry, ea, size),
          [set(to, signed && size < 8 ? signedLoadOf(size, at) : loadOf(size, at))],
          [
            ...spill,
            set(to, call(I64, "loadSlow", h, ea, i32.const(size))),
            ...countDevice,
            checkFault,
            ...(signed && size < 8 ? [set(to, signExtend(size, to))] : []),
            ...attentionAfter,
          ],
        ),
      ];
    },
    store([address, value], data) {
      const { size } = data as { size: number };
      const ea = local(I64, "ea");
      const entry = local(I32, "entry");
      return [
        set(ea, address!),
        set(entry, entryOf(S.tlb.get(h), ea)),
        iff(
          tagHits(entry, ea, size, CTX.write),
          [storeOf(size, i32.add(i32.wrap(ea), i32.load(entry, CTX.write + 8)), value!)],
          [
            ...spill,
            callStmt("storeSlow", h, ea, value!, i32.const(size)),
            ...countDevice,
            checkFault,
            ...attendIfAsked,
          ],
        ),
      ];
    },
    amo: ([address], data) => amo(atomic, address!, data as AmoInfo),
    lr: ([address], data) => loadReserved(atomic, address!, data as LoadInfo),
    sc: ([address, value], data) => storeConditional(atomic, address!, value!, data as LoadInfo),
    branch([c]) {
      const distance = local(I32, "distance");
      return [
        iff(c!, [
          set(distance, i32.shl(i32.load(ip, OP.imm), 3)),
          set(ip, i32.add(ip, distance)),
          ...leaveIfOutside,
          // Loops are closed by a branch backwards.
          iff(i32.lt_s(distance, 0), countJump()),
          ...goOn,
        ]),
        ...advance,
      ];
    },
    "jump-imm": () => [
      set(ip, i32.add(ip, i32.shl(i32.load(ip, OP.imm), 3))),
      ...leaveIfOutside,
      ...countJump(),
      ...goOn,
    ],
    jump: ([target]) => {
      const side = local(I32, "side");
      const distance = local(I64, "distance");
      return [
        set(pcLocal, target!),
        // Returns are not counted: what comes next was on its way, and the count lies where the host's cache misses.
        set(counted, i32.ne(field16(OP.rd), S.xSink.offset)),
        // A call by pointer: tier 1 guesses that the next one goes the same way. Even distances, 29 bits and a mark.
        iff(counted, [
          set(distance, i64.sub(pcLocal, currentPc)),
          set(side, i32.add(page, i32.shr_u(i32.sub(ip, page), 1))),
          // Not where the slot of a region stands that begins with this very jump.
          iff(
            i32.and(
              i64.lt_u(i64.add(distance, 1 << 28), 1 << 29),
              i32.ge_u(i32.sub(i32.load(side, CODE.side + SIDE.table), 1), TARGET_MARK - 1),
            ),
            [
              i32.store(
                side,
                i32.or(TARGET_MARK, i32.and(i32.shr_s(i32.wrap(distance), 1), 0x3fffffff)),
                CODE.side + SIDE.table,
              ),
            ],
          ),
        ]),
        br(lookup),
      ];
    },
    trap: ([c, t]) => [set(cause, c!), set(tval, t!), br(trapped)],
    ecall: () => [set(cause, i64.add(CAUSE.ecallU, i64.extend_u(S.priv.get(h)))), set(tval, 0), br(trapped)],
    "fence.i": () => [],
    yield: () => [...spill, S.pc.set(h, i64.add(currentPc, 4)), iff(i32.const(1), [ret(EXIT.budget)])],
    wfi: () => [
      ...spill,
      br(illegal, call(I32, "privileged", h, i32.const(0))),
      S.pc.set(h, i64.add(currentPc, 4)),
      iff(interruptPossible(h), [set(pcLocal, i64.add(currentPc, 4)), br(attend)]),
      ret(EXIT.wfi),
    ],
    mret: () => [
      br(illegal, i32.ne(S.priv.get(h), 3)),
      callStmt("trapReturn", h, i32.const(3)),
      set(pcLocal, S.pc.get(h)),
      br(attend),
    ],
    sret: () => [
      br(illegal, call(I32, "privileged", h, i32.const(1))),
      callStmt("trapReturn", h, i32.const(1)),
      set(pcLocal, S.pc.get(h)),
      br(attend),
    ],
    "sfence.vma": ([address, asid]) => [
      br(illegal, call(I32, "privileged", h, i32.const(2))),
      callStmt("sfence", h, address!, asid!, i32.eqz(field16(OP.rs1)), i32.eqz(field16(OP.rs2))),
      // The page that runs may be one whose translation changed.
      ...leavePage(i64.add(currentPc, 4)),
    ],
    "sfence.inval": () => [br(illegal, i32.eqz(S.priv.get(h)))],
    csr: ([source], data) => csr(data, source!),
    "csr-imm": (_a, data) => csr(data, i64.load8_u(ip, OP.rs3)),
    "cbo.zero": ([address]) => [
      ...spill,
      br(illegal, i32.eqz(call(I32, "cboAllowed", h, i32.const(7)))),
      callStmt("cboZero", h, address!),
      checkFault,
      ...attendIfAsked,
    ],
    "cbo.clean": ([address]) => [
      br(illegal, i32.eqz(call(I32, "cboAllowed", h, i32.const(6)))),
      callStmt("cboCheck", h, address!),
      checkFault,
    ],
    "cbo.inval": ([address]) => [
      br(illegal, i32.eqz(call(I32, "cboAllowed", h, i32.const(4)))),
      callStmt("cboCheck", h, address!),
      checkFault,
    ],
  };
  const countDevice: Stmt[] = [iff(S.deviceSeen.get(h), [callStmt("countDevice", h, page, ip)])];
  /** After a slow load the destination is not written yet, so attention waits for the end of the instruction. */
  const attentionAfter: Stmt[] = [iff(S.attention.get(h), [S.budget.set(h, budget), set(budget, 0)])];
  /** ip was moved by a branch: it may have left the page. */
  const leaveIfOutside: Stmt[] = [
    iff(i32.ge_u(i32.sub(ip, page), 4096 * 8), leavePage(i64.add(va, i64.extend_s(i32.shr_s(i32.sub(ip, page), 3))))),
  ];
  const csr = (data: unknown, source: Expr): Stmt[] => {
    const status = local(I32, "status");
    return [
      ...spill,
      S.fa.set(h, source),
      set(
        status,
        call(
          I32,
          "csrAccess",
          h,
          i32.load(ip, OP.imm),
          i32.const((data as { operation: number }).operation),
          i32.load8_u(ip, OP.rm),
        ),
      ),
      br(illegal, i32.eq(status, 1)),
      i64.store(i32.add(h, field16(OP.rd)), S.result.get(h)),
      // 2: the change reaches translation, privilege or interrupts: look everything up again.
      iff(i32.eq(status, 2), [set(budget, S.budget.get(h)), set(pcLocal, i64.add(currentPc, 4)), br(attend)]),
    ];
  };

  const operands: Record<string, Expr> = {
    rs1: register(OP.rs1),
    rs2: register(OP.rs2),
    frs1: register(OP.rs1),
    frs2: register(OP.rs2),
    frs3: i64.load(i32.add(h, i32.shl(i32.load8_u(ip, OP.rs3), 3)), S.f.offset),
    imm: immediate,
    imm32: i32.load(ip, OP.imm),
    pc: currentPc,
    next: i64.add(currentPc, i64.extend_u(length)),
    hart: h,
    rm: { k: "select", t: I32, c: i32.eq(i32.load8_u(ip, OP.rm), 7), a: S.frm.get(h), b: i32.load8_u(ip, OP.rm) },
  };
  const backend: Backend = {
    operand: (o) => operands[o.name]!,
    effect: (s) => effects[s.name]!(s.args, s.data),
  };

  const f = new FuncLowering([h], funcs, signatures, backend);
  // These live across handlers: they must not be given a slot inside one's scope.
  for (const l of [ip, page, va, budget, pcLocal, exitCode, cause, tval, entry, handler, counted]) f.slot(l);
  const handlers = FIRST_INSN_HANDLER + insns.length + 1;
  const labels = Array.from({ length: handlers }, (_, n) => label(`op${n}`));

  // Entry.
  f.stmts([
    set(pcLocal, S.pc.get(h)),
    set(budget, S.budget.get(h)),
    set(counted, 1),
    // A device refused the access at the pc, which had its place in the slice: see Hart.run.
    iff(S.deviceRefused.get(h), [
      S.deviceRefused.set(h, 0),
      S.budget.set(h, i32.add(budget, 1)),
      callStmt("trapEnter", h, pcLocal, i64.sub(i64.extend_u(S.fault.get(h)), 1), S.faultTval.get(h)),
      set(pcLocal, S.pc.get(h)),
      S.instretEnd.set(h, i64.sub(S.instretEnd.get(h), 1)),
    ]),
  ]);
  f.begin(0x02, exit);
  f.begin(0x03, attend);
  // Interrupts are looked at here: at the start of a slice and whenever something may have changed.
  f.stmts([
    set(exitCode, i32.and(S.attention.get(h), ATTENTION_LEAVE)),
    br(exit, exitCode),
    S.attention.set(h, 0),
    iff(interruptPossible(h), [
      S.pc.set(h, pcLocal),
      S.budget.set(h, budget),
      iff(call(I32, "takeInterrupt", h, pcLocal), [set(pcLocal, S.pc.get(h))]),
    ]),
  ]);
  f.begin(0x03, lookup);
  f.begin(0x02, faulted);
  f.begin(0x02, trapped);
  f.begin(0x02, illegal);
  f.stmts([
    set(entry, entryOf(i32.add(S.tlbX.get(h), CTX.fetch), pcLocal, XTLB_ENTRIES)),
    set(va, i64.and(pcLocal, -4096)),
    iff(
      i64.eq(i64.load(entry), va),
      [set(page, i32.load(entry, 8))],
      [
        set(page, call(I32, "fetchPage", h, pcLocal)),
        iff(i32.eqz(page), [
          S.budget.set(h, budget),
          callStmt("trapEnter", h, pcLocal, i64.sub(i64.extend_u(S.fault.get(h)), 1), S.faultTval.get(h)),
          set(pcLocal, S.pc.get(h)),
          br(exit, i32.eqz(budget)),
          // A fetch that faults retires nothing; a handler that faults too must not hold the slice for ever.
          set(budget, i32.sub(budget, 1)),
          S.instretEnd.set(h, i64.sub(S.instretEnd.get(h), 1)),
          br(attend),
        ]),
        // Making a decoded page takes long enough to be asked to leave for it.
        br(attend, S.attention.get(h)),
      ],
    ),
    set(ip, i32.add(page, i32.shl(i32.and(i32.wrap(pcLocal), 4094), 3))),
  ]);
  f.scope([iff(counted, countJump()), set(counted, 1), set(handler, i32.load16_u(ip, OP.handler))]);
  f.begin(0x03, next);
  const stop = label("stop");
  f.begin(0x02, stop);
  f.stmts([br(stop, i32.eqz(budget)), set(budget, i32.sub(budget, 1))]);
  for (let n = handlers - 1; n >= 0; n--) f.begin(0x02, labels[n]!);
  f.stmt({ k: "br_table", index: handler, labels, otherwise: labels[handlers - 1]! });
  for (let n = 0; n < handlers; n++) {
    f.end();
    if (n === HANDLER_DECODE) f.scope([callStmt("decode", page, ip), set(budget, i32.add(budget, 1)), ...goOn]);
    else if (n === HANDLER_RELOOKUP) f.scope([set(budget, i32.add(budget, 1)), set(pcLocal, currentPc), br(lookup)]);
    else if (n === HANDLER_CROSS) {
      // An instruction that begins at the page's last halfword: decoded alone, for its second half may change.
      f.scope([
        set(budget, i32.add(budget, 1)),
        S.pc.set(h, currentPc),
        set(entry, call(I32, "fetchSingle", h)),
        iff(i32.eqz(entry), [set(budget, i32.sub(budget, 1)), br(faulted)]),
        iff(S.attention.get(h), [set(pcLocal, currentPc), br(attend)]),
        set(ip, i32.add(i32.sub(ip, page), entry)),
        set(page, entry),
        ...goOn,
      ]);
    } else if (n === HANDLER_REGION) {
      // Tier 1 has code that begins here. Near the end of a slice the operation itself runs, to stop where asked.
      const side = local(I32, "side");
      const itself: Stmt[] = [
        set(handler, i32.load16_u(side, CODE.side + SIDE.handler)),
        set(budget, i32.add(budget, 1)),
        br(next),
      ];
      f.scope([
        set(side, i32.add(page, i32.shr_u(i32.sub(ip, page), 1))),
        iff(i32.lt_u(budget, REGION_BUDGET), itself),
        S.pc.set(h, currentPc),
        S.budget.set(h, i32.add(budget, 1)),
        callRegion(i32.load(side, CODE.side + SIDE.table), h, i32.const(0)),
        // It left before its first instruction: that one is not for translated code now.
        iff(i32.eq(S.budget.get(h), i32.add(budget, 1)), itself),
        set(pcLocal, S.pc.get(h)),
        set(budget, S.budget.get(h)),
        br(attend),
      ]);
    } else if (n === HANDLER_BREAK) {
      const side = local(I32, "side");
      f.scope([
        set(budget, i32.add(budget, 1)),
        S.pc.set(h, currentPc),
        S.budget.set(h, budget),
        iff(call(I32, "breakpoint", h), [ret(EXIT.breakpoint)]),
        set(side, i32.add(page, i32.shr_u(i32.sub(ip, page), 1))),
        set(handler, i32.load16_u(side, CODE.side + SIDE.handler)),
        br(next),
      ]);
    } else if (n < FIRST_INSN_HANDLER) f.stmt({ k: "unreachable" });
    else if (n < handlers - 1) {
      const insn = insns[n - FIRST_INSN_HANDLER]!;
      f.scope([...insn.body, ...advance]);
    } else f.stmts([br(illegal)]);
  }
  f.end(); // stop: the budget is used up, or attention was asked for during a slow load
  f.stmts([set(pcLocal, currentPc), iff(S.attention.get(h), [set(budget, S.budget.get(h)), br(attend)]), br(exit)]);
  f.end(); // next
  f.end(); // illegal
  f.stmts([
    set(cause, CAUSE.illegal),
    S.pc.set(h, currentPc),
    set(tval, i64.extend_u(call(I32, "rawInstruction", h))),
    br(trapped),
  ]);
  f.end(); // trapped: cause and tval are known
  f.stmts([
    S.budget.set(h, i32.add(budget, 1)),
    S.fault.set(h, 0),
    callStmt("trapEnter", h, currentPc, cause, tval),
    set(pcLocal, S.pc.get(h)),
    // The instruction did not retire, yet it used up its place in the slice: a trap loop must end too.
    S.instretEnd.set(h, i64.sub(S.instretEnd.get(h), 1)),
    br(attend),
  ]);
  f.end(); // faulted: the slow path left cause and tval
  f.stmts([
    set(cause, i64.sub(i64.extend_u(S.fault.get(h)), 1)),
    set(tval, S.faultTval.get(h)),
    S.fault.set(h, 0),
    S.budget.set(h, i32.add(budget, 1)),
    callStmt("trapEnter", h, currentPc, cause, tval),
    set(pcLocal, S.pc.get(h)),
    S.instretEnd.set(h, i64.sub(S.instretEnd.get(h), 1)),
    br(attend),
  ]);
  f.end(); // lookup
  f.end(); // attend
  f.end(); // exit
  f.stmts([S.pc.set(h, pcLocal), S.budget.set(h, budget), ret(exitCode)]);
  return f.finish({ params: [I32], results: [I32] }, "run");
}
