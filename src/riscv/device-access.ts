/**
 * The host's side of the I/O TLB (mmu/io.ts): fills entries from the address map, and puts the callbacks of devices
 * where generated code calls them with nothing in between.
 */
import type { AddressSpace } from "../memory/address-space.ts";
import { BusError } from "../memory/bus-error.ts";
import type { FlatRange } from "../memory/flat-view.ts";
import type { IoCallbacks } from "../memory/io-callbacks.ts";
import { encodeModule, SignatureTable } from "../wasm/encoder.ts";
import { F64, I32 } from "../wasm/ir.ts";
import type { Hart } from "./hart.ts";
import { ACCESS_WRITE, IO, S } from "./layout.ts";
import { DEVICE_READ, DEVICE_WRITE } from "./mmu/io.ts";

/** What generated code calls, with whether there is a result: `deviceAt(entry, pa, access)`, `hostWorks()`. */
export const DEVICE_IMPORTS: readonly [string, readonly (typeof I32 | typeof F64)[], boolean][] = [
  ["deviceAt", [I32, F64, I32], true],
  ["hostWorks", [], false],
];

const PAGE = 4096;
/** Offsets cross to the host as 32-bit numbers that are not negative. */
const MAX_OFFSET = 2 ** 31;

/** What it needs of the engine. */
interface Surroundings {
  readonly space: AddressSpace;
  readonly memory: SharedArrayBuffer | ArrayBuffer;
  readonly table: WebAssembly.Table;
  /** Whether a hart is in the callback in a slot of the table. */
  running(slot: number): boolean;
  /** Says now and then that the host works. */
  slow(): void;
  /** Empties the TLBs of all harts. */
  flush(): void;
}

/** Where a device's callbacks are in the table; 0 for one that was not needed yet. */
interface Slots {
  read: number;
  write: number;
}

export class DeviceAccess {
  readonly #around: Surroundings;
  readonly #i32: Int32Array;
  /** Devices that left the map stay: there are few. */
  readonly #slots = new Map<IoCallbacks, Slots>();

  constructor(around: Surroundings) {
    this.#around = around;
    this.#i32 = new Int32Array(around.memory);
  }

  /** For generated code, by name. */
  readonly functions = {
    deviceAt: (entry: number, pa: number, access: number): number => this.#deviceAt(entry, pa, access === ACCESS_WRITE),
    hostWorks: (): void => this.#around.slow(),
  };

  /**
   * Generated code threw. A device's refusal of an access is a trap, for which the hart is to be run again; anything
   * else is thrown on, a bug of a device's model above all.
   */
  threw(hart: Hart, error: unknown): void {
    const asked = hart.get32(S.device) !== 0;
    hart.set32(S.device, 0);
    if (!asked || !(error instanceof BusError)) {
      hart.set32(S.fault, 0);
      throw error;
    }
    hart.set32(S.deviceRefused, 1);
  }

  /**
   * Fills an entry (all but its start) for the part of a device in the page of `pa`. Returns how far `pa` is in that
   * part, or -1 where no device is that an entry could stand for; another one's entry stays then.
   */
  #deviceAt(entry: number, pa: number, write: boolean): number {
    const at = entry >> 2;
    const i32 = this.#i32;
    const range = this.#rangeAt(pa);
    const io = range?.region.io;
    if (range === undefined || io === undefined) return -1;
    const page = pa - (pa % PAGE);
    const first = Math.max(range.start, page);
    const bytes = Math.min(range.end, page + PAGE) - first;
    const offset = range.offset + first - range.start;
    if (offset + bytes > MAX_OFFSET) return -1;
    const sizes = write ? io.directWrites : io.directReads;
    for (const size of [1, 2, 4]) {
      const direct = (sizes & size) !== 0 && first % size === 0 && offset % size === 0;
      i32[at + IO.places / 4 + (size >> 1)] = direct ? Math.floor(bytes / size) : 0;
    }
    i32[at + IO.bytes / 4] = bytes;
    i32[at + IO.device / 4] = sizes === 0 ? 0 : this.#slotOf(io, write);
    i32[at + IO.offset / 4] = offset;
    return pa - first;
  }

  #slotOf(io: IoCallbacks, write: boolean): number {
    let slots = this.#slots.get(io);
    if (slots === undefined) {
      const mine: Slots = { read: 0, write: 0 };
      slots = mine;
      this.#slots.set(io, mine);
      const { running, flush } = this.#around;
      io.entered = () => (mine.read !== 0 && running(mine.read)) || (mine.write !== 0 && running(mine.write));
      // Entries hold what a device takes in one call.
      io.onDirectChange = flush;
    }
    if (write) {
      if (slots.write === 0) slots.write = this.#install(io.ops.write!, DEVICE_WRITE);
      return slots.write;
    }
    if (slots.read === 0) slots.read = this.#install(io.ops.read!, DEVICE_READ);
    return slots.read;
  }

  /** Puts a function of the host into the table. Only functions of a module may be there: one passes it on. */
  #install(callback: (...args: never[]) => unknown, sig: typeof DEVICE_READ | typeof DEVICE_WRITE): number {
    const bytes = encodeModule(
      [{ kind: "func", module: "env", name: "callback", sig, exported: true }],
      new SignatureTable(),
      [],
    );
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { callback } });
    const { table } = this.#around;
    const slot = table.grow(1);
    table.set(slot, exports.callback);
    return slot;
  }

  #rangeAt(pa: number): FlatRange | undefined {
    const { ranges } = this.#around.space.flatView;
    let low = 0;
    let high = ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const range = ranges[middle]!;
      if (pa >= range.end) low = middle + 1;
      else if (pa >= range.start) return range;
      else high = middle - 1;
    }
    return undefined;
  }
}
