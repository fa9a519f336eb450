/**
 * The I/O TLB: from a virtual address to a device's register without a page walk, PMP or a search of the address map.
 *
 * An entry stands for the part of one device in one page (IO in layout.ts), and one comparison answers everything: is
 * the address in it, does the access end in it, is it aligned, does the device take this size in one call. All else is
 * `loadSlow`'s and `storeSlow`'s.
 */
import {
  call,
  callStmt,
  type Expr,
  F64,
  type Func,
  f64,
  fn,
  I32,
  I64,
  i32,
  i64,
  iff,
  type Local,
  local,
  ret,
  type Stmt,
  set,
} from "../../wasm/ir.ts";
import { ACCESS_READ, ACCESS_WRITE, CAUSE, CTX, DEVICE_COUNT, DEVICE_MARK, IO, IO_ENTRIES, OP, S } from "../layout.ts";
import { noteSuperpage } from "./contexts.ts";
import { pageOf } from "./entry.ts";
import { raise } from "./faults.ts";

/**
 * Devices lie at round addresses, so that the low bits of a page's number say little: its upper ones are mixed in. Found
 * by a search for one that gives each page of the virt board's devices a place of its own.
 */
const HASH = 0x9e378b91 | 0;

/** The place of the entry for an address: in context `c`, in the table at `table` (CTX.ioRead, CTX.ioWrite). */
export const ioEntryOf = (c: Expr, address: Expr, table: Expr | number): Expr =>
  i32.add(
    i32.add(c, table),
    i32.and(i32.shr_u(i32.mul(i32.wrap(i64.shr_u(address, 12)), HASH), 21), (IO_ENTRIES - 1) << 5),
  );

/** Whether the device of the entry takes an access of `1 << log` bytes at `address` in one call. */
const takes = (entry: Expr, address: Expr, log: Expr | number, places: Expr): Expr =>
  i64.lt_u(
    // Low bits of a misaligned address end up high.
    i64.rotr(i64.sub(address, i64.load(entry, IO.start)), typeof log === "number" ? log : i64.extend_u(log)),
    places,
  );

/** The same for a size of 1, 2 or 4 that is known now. */
export const ioHits = (entry: Expr, address: Expr, size: number): Expr =>
  takes(entry, address, size >> 1, i64.load32_u(entry, IO.places + (size >> 1) * 4));

/** The offset of a register in its device's region. */
const ioOffset = (entry: Expr, address: Expr): Expr =>
  i32.add(i32.wrap(i64.sub(address, i64.load(entry, IO.start))), i32.load(entry, IO.offset));

/** The callbacks in the table: (offset, size) gives the value in the low bits, (offset, value, size) nothing. */
export const DEVICE_READ = { params: [I32, I32], results: [I32] } as const;
export const DEVICE_WRITE = { params: [I32, F64, I32], results: [] } as const;
/** Accesses of a hart of which one is reported as work of the host: most take no time to speak of. */
const REPORTED = 64;

/**
 * Asks the device of an entry. S.pc and S.budget tell where the hart is. Where the callback throws, `cleanup` runs and
 * the host gets the error (DeviceAccess.threw).
 */
const ask = (h: Expr, entry: Expr, address: Expr, cause: number, access: Stmt, cleanup: readonly Stmt[]): Stmt[] => {
  const calls = local(I32, "calls");
  return [
    set(calls, i32.add(S.deviceCalls.get(h), 1)),
    S.deviceCalls.set(h, calls),
    iff(i32.eqz(i32.and(calls, REPORTED - 1)), [callStmt("hostWorks")]),
    S.device.set(h, i32.load(entry, IO.device)),
    { k: "cleanup", body: [access], cleanup: [...cleanup, ...raise(h, cause, address)] },
    S.device.set(h, 0),
  ];
};

/** Reads a register through an entry: `to` becomes the value, of which the upper bits mean nothing. */
export const readDevice = (
  h: Expr,
  entry: Expr,
  address: Expr,
  size: Expr,
  to: Local,
  cleanup: readonly Stmt[] = [],
): Stmt[] => {
  const args = [ioOffset(entry, address), size];
  const value: Expr = { k: "calli", t: I32, sig: DEVICE_READ, index: i32.load(entry, IO.device), args };
  return ask(h, entry, address, CAUSE.loadAccess, set(to, value), cleanup);
};

/** Writes a register through an entry; no bits of `value` above `size`. */
export const writeDevice = (
  h: Expr,
  entry: Expr,
  address: Expr,
  value: Expr,
  size: Expr,
  cleanup: readonly Stmt[] = [],
): Stmt[] => {
  // Doubles are how an unsigned word crosses to the host.
  const args = [ioOffset(entry, address), f64.convert_i32_u(value), size];
  const call: Stmt = { k: "calli", sig: DEVICE_WRITE, index: i32.load(entry, IO.device), args };
  return ask(h, entry, address, CAUSE.storeAccess, call, cleanup);
};

export const ioFunctions: readonly Func[] = [
  /** The entry for an access, or 0 where it is not for the I/O TLB. */
  fn("ioFind", { c: I32, table: I32, va: I64, size: I32 }, [I32], ({ c, table, va, size }) => {
    const entry = local(I32, "entry");
    const log = local(I32, "log");
    return [
      iff(i32.eq(size, 8), [ret(0)]),
      set(entry, ioEntryOf(c, va, table)),
      set(log, i32.shr_u(size, 1)),
      iff(takes(entry, va, log, i64.load32_u(i32.add(entry, i32.shl(log, 2)), IO.places)), [ret(entry)]),
      ret(0),
    ];
  }),

  /** Makes the entry for a device's page, if PMP says the same for all of it. */
  fn("ioFill", { h: I32, c: I32, table: I32, va: I64, pa: I64 }, [], ({ h, c, table, va, pa }) => {
    const entry = local(I32, "entry");
    const access = local(I32, "access");
    const before = local(I32, "before");
    return [
      set(entry, ioEntryOf(c, va, table)),
      // It is there: the device does not take this access in one call.
      iff(i64.lt_u(i64.sub(va, i64.load(entry, IO.start)), i64.load32_u(entry, IO.bytes)), [ret()]),
      iff(i64.ge_u(pa, 1n << 53n), [ret()]),
      set(access, i32.const(ACCESS_READ)),
      iff(i32.eq(table, CTX.ioWrite), [set(access, ACCESS_WRITE)]),
      iff(i32.eqz(call(I32, "pmpAllows", h, pageOf(pa), i32.const(4096), access, i32.and(i32.load(c, CTX.key), 3))), [
        ret(),
      ]),
      set(before, call(I32, "deviceAt", entry, f64.convert_i64_u(pa), access)),
      iff(i32.lt_s(before, 0), [ret()]),
      i64.store(entry, i64.sub(va, i64.extend_u(before)), IO.start),
      i32.store(c, 1, CTX.ioFills),
      ...noteSuperpage(h, c, va),
    ];
  }),

  /** A load through an entry: the value, zero extended. */
  fn("loadDevice", { h: I32, entry: I32, va: I64, size: I32 }, [I64], ({ h, entry, va, size }) => {
    const v = local(I32, "v");
    return [
      S.deviceSeen.set(h, 1),
      ...readDevice(h, entry, va, size, v),
      iff(i32.eq(size, 1), [set(v, i32.and(v, 0xff))]),
      iff(i32.eq(size, 2), [set(v, i32.and(v, 0xffff))]),
      ret(i64.extend_u(v), I64),
    ];
  }),

  fn("storeDevice", { h: I32, entry: I32, va: I64, v: I64, size: I32 }, [], ({ h, entry, va, v, size }) => {
    const low = local(I32, "low");
    return [
      S.deviceSeen.set(h, 1),
      set(low, i32.wrap(v)),
      iff(i32.eq(size, 1), [set(low, i32.and(low, 0xff))]),
      iff(i32.eq(size, 2), [set(low, i32.and(low, 0xffff))]),
      ...writeDevice(h, entry, va, low, size),
    ];
  }),

  /** Counts an access to a device by the operation at `ip`; every DEVICE_COUNT-th time tier 1 hears of it. */
  fn("countDevice", { h: I32, page: I32, ip: I32 }, [], ({ h, page, ip }) => {
    const old = local(I32, "old");
    const count = local(I32, "count");
    return [
      S.deviceSeen.set(h, 0),
      set(old, i32.load8_u(ip, OP.device)),
      set(count, i32.and(i32.add(old, 1), DEVICE_COUNT - 1)),
      i32.store8(ip, i32.or(i32.and(old, DEVICE_MARK), count), OP.device),
      iff(i32.eqz(count), [callStmt("deviceHot", page, ip)]),
    ];
  }),
];
