import { beforeEach, describe, expect, test } from "vitest";
import type { Log } from "../util/log.ts";
import { AddressSpace } from "./address-space.ts";
import { BusError } from "./bus-error.ts";
import type { AccessSize, MemoryRegionOps } from "./io-callbacks.ts";
import { MemoryRegion } from "./region.ts";

const SYSTEM = 1n << 64n;
const RAM = 0x8000_0000;

let lines: string[];
let log: Log;
let system: MemoryRegion;
let memory: AddressSpace;

beforeEach(() => {
  lines = [];
  log = { enabled: (item) => item === "guest_errors", write: (_item, line) => lines.push(line) };
  system = MemoryRegion.container("system", SYSTEM);
  memory = new AddressSpace(system, "memory", log);
});

function map(address: number, region: MemoryRegion, priority = 0): MemoryRegion {
  system.addSubregion(BigInt(address), region, priority);
  return region;
}

function mapIo(address: number, size: number, ops: MemoryRegionOps, name = "device"): MemoryRegion {
  return map(address, MemoryRegion.io(name, size, ops));
}

/** A load's value, or "fault" with the address of the part that failed. */
function load(address: number, size: AccessSize): bigint | string {
  const low = memory.load(address, size);
  return memory.fault ? `fault at ${memory.faultAddress.toString(16)}` : (BigInt(memory.high) << 32n) | BigInt(low);
}

function store(address: number, size: AccessSize, value: bigint): string {
  memory.store(address, size, Number(value & 0xffff_ffffn), Number(value >> 32n));
  return memory.fault ? `fault at ${memory.faultAddress.toString(16)}` : "ok";
}

describe("the banana ROM of the article, as Linux sees it through devmem", () => {
  const BASE = 0x400_0000;
  beforeEach(() => {
    mapIo(BASE, 0x100, { read: (offset) => (offset === 0 ? 0xba00_0001 : 0xdead_beef) }, "banana_rom");
  });

  const rows: [offset: number, size: AccessSize, value: bigint | string][] = [
    [0x00, 4, 0xba00_0001n],
    [0x04, 4, 0xdead_beefn],
    [0xfc, 4, 0xdead_beefn],
    [0x00, 8, 0xdead_beef_ba00_0001n],
    [0x04, 8, 0xdead_beef_dead_beefn],
    [0x08, 8, 0xdead_beef_dead_beefn],
    [0xf8, 8, 0xdead_beef_dead_beefn],
    [0x00, 2, 0x0001n],
    [0x00, 1, 0x01n],
    [0x01, 1, 0xefn],
    [0x02, 2, 0xbeefn],
    [0x02, 4, 0xbeef_ba00n],
    [0x03, 4, 0xadbe_efban],
    [0x01, 2, 0xef00n],
    [0x01, 8, 0xefde_adbe_efba_0000n],
    [0x100, 4, "fault at 4000100"],
    [0xfe, 4, "fault at 4000100"],
  ];
  test.each(rows)("offset %i, %i bytes: %s", (offset, size, value) => {
    expect(load(BASE + offset, size)).toBe(value);
  });

  test("a write is ignored and logged; the machine lives on", () => {
    expect(store(BASE, 4, 1n)).toBe("ok");
    expect(lines).toEqual([
      "invalid write of 4 bytes at banana_rom+0x0 (0x4000000): the region cannot be written: the write is ignored",
    ]);
    expect(load(BASE, 4)).toBe(0xba00_0001n);
  });
});

describe("RAM and ROM", () => {
  let ram: MemoryRegion;
  beforeEach(() => {
    ram = map(RAM, MemoryRegion.ram("ram", new Uint8Array(0x100)));
  });

  test("take every size at every alignment, little endian", () => {
    for (const address of [RAM, RAM + 1, RAM + 0xf8]) {
      expect(store(address, 8, 0x8877_6655_4433_2211n)).toBe("ok");
      expect(load(address, 8)).toBe(0x8877_6655_4433_2211n);
      expect(load(address, 4)).toBe(0x4433_2211n);
      expect(load(address + 4, 4)).toBe(0x8877_6655n);
      expect(load(address + 1, 2)).toBe(0x3322n);
      expect(load(address + 7, 1)).toBe(0x88n);
    }
    expect(memory.high).toBe(0);
  });

  test("a store changes its bytes only", () => {
    ram.bytes!.fill(0xaa);
    store(RAM + 4, 2, 0xffff_ffff_ffff_1234n);
    expect([...ram.bytes!.subarray(2, 8)]).toEqual([0xaa, 0xaa, 0x34, 0x12, 0xaa, 0xaa]);
  });

  test("across the end, loads fault and bytes before it are stored", () => {
    expect(load(RAM + 0xfe, 4)).toBe("fault at 80000100");
    expect(store(RAM + 0xfe, 4, 0x4433_2211n)).toBe("fault at 80000100");
    expect(load(RAM + 0xfe, 2)).toBe(0x2211n);
    expect(load(RAM + 0xfc, 8)).toBe("fault at 80000100");
  });

  test("across two regions that touch, an access is in both", () => {
    const next = map(RAM + 0x100, MemoryRegion.ram("next", new Uint8Array(0x100)));
    expect(store(RAM + 0xfe, 4, 0x4433_2211n)).toBe("ok");
    expect([ram.bytes![0xff], next.bytes![0]]).toEqual([0x22, 0x33]);
    expect(load(RAM + 0xfe, 4)).toBe(0x4433_2211n);
  });

  test("ROM is read, and ignores writes with a guest error", () => {
    map(0x1000, MemoryRegion.rom("mrom", Uint8Array.of(1, 2, 3, 4)));
    expect(store(0x1000, 4, 0n)).toBe("ok");
    expect(load(0x1000, 4)).toBe(0x0403_0201n);
    expect(lines).toEqual([
      "invalid write of 4 bytes at mrom+0x0 (0x1000): the region is read-only: the write is ignored",
    ]);
  });
});

describe("what is not there", () => {
  test("faults, with a guest error", () => {
    expect(load(0x1234, 4)).toBe("fault at 1234");
    expect(store(0x1238, 1, 0n)).toBe("fault at 1238");
    expect(lines).toEqual([
      "invalid read of 4 bytes at 0x1234: nothing is mapped there",
      "invalid write of 1 byte at 0x1238: nothing is mapped there",
    ]);
  });

  test("is everything from 2^53 on", () => {
    mapIo(0, 0x1000, { read: () => 5 });
    map(2 ** 52, MemoryRegion.io("big", 1n << 60n, { read: () => 7 }));
    expect(load(2 ** 53 - 8, 4)).toBe(7n);
    expect(load(2 ** 53, 4)).toBe("fault at 20000000000000");
    expect(load(2 ** 64, 8)).toBe("fault at 10000000000000000");
    expect(load(2 ** 53 - 4, 8)).toMatch(/^fault/);
  });

  test("a good access clears the fault", () => {
    mapIo(0, 0x1000, { read: () => 5 });
    expect(load(0x5000, 8)).toBe("fault at 5000");
    expect(load(0, 4)).toBe(5n);
  });
});

describe("what the bus accepts", () => {
  test("a size that the region does not take faults, and is not brought to it", () => {
    let calls = 0;
    mapIo(0x1000, 0x1000, { read: () => ++calls, write: () => ++calls, valid: { min: 2, max: 4 } });
    expect(load(0x1000, 1)).toBe("fault at 1000");
    expect(load(0x1008, 8)).toBe("fault at 1008");
    expect(store(0x1000, 1, 1n)).toBe("fault at 1000");
    expect(calls).toBe(0);
    expect(lines[1]).toBe("invalid read of 8 bytes at device+0x8 (0x1008): the region takes 2 to 4 bytes at a time");
    expect(load(0x1000, 2)).toBe(1n);
  });

  test("in a page that it does not fill, a larger access is taken in pieces", () => {
    const calls: string[] = [];
    const ops: MemoryRegionOps = {
      read: (offset, size) => calls.push(`read ${offset}/${size}`),
      write: (offset, value, size) => calls.push(`write ${offset}/${size} ${value}`),
      valid: { min: 4, max: 4 },
    };
    mapIo(0x1000, 0x24, ops);
    expect(load(0x1008, 8)).toBe(0x2_0000_0001n);
    expect(store(0x1010, 8, 0x7_0000_0006n)).toBe("ok");
    expect(calls).toEqual(["read 8/4", "read 12/4", "write 16/4 6", "write 20/4 7"]);
    // Its end is in the way: nothing is called.
    expect(load(0x1020, 8)).toBe("fault at 1020");
    expect(load(0x1010, 2)).toBe("fault at 1010");
    expect(calls.length).toBe(4);
  });

  test("misaligned loads are two aligned ones, misaligned stores single bytes", () => {
    const calls: string[] = [];
    mapIo(0x1000, 0x1000, {
      read: (offset, size) => {
        calls.push(`read ${offset}/${size}`);
        return 0x0302_0100 + Math.imul(offset, 0x0101_0101);
      },
      write: (offset, value, size) => calls.push(`write ${offset}/${size} ${value.toString(16)}`),
    });
    expect(load(0x1005, 4)).toBe(0x0807_0605n);
    expect(load(0x100d, 8)).toBe(0x1413_1211_100f_0e0dn);
    expect(load(0x1003, 8)).toBe(0x0a09_0807_0605_0403n);
    expect(load(0x1004, 8)).toBe(0x0b0a_0908_0706_0504n);
    expect(calls.slice(0, 2)).toEqual(["read 4/4", "read 8/4"]);
    calls.length = 0;
    expect(store(0x1003, 8, 0x8877_6655_4433_2211n)).toBe("ok");
    expect(calls).toEqual(
      ["11", "22", "33", "44", "55", "66", "77", "88"].map((byte, i) => `write ${i + 3}/1 ${byte}`),
    );
  });

  test("a misaligned access to a region of words faults at its first part", () => {
    mapIo(0x1000, 0x1000, { read: () => 0x1234, valid: { min: 4, max: 4 } });
    expect(load(0x1006, 4)).toBe(0x1234_0000n);
    expect(store(0x1006, 4, 1n)).toBe("fault at 1006");
    expect(load(0x1004, 8)).toBe("fault at 1000");
  });

  test("a region that takes misaligned accesses gets them as they are", () => {
    const calls: string[] = [];
    mapIo(0x1000, 0x1000, {
      read: (offset, size) => calls.push(`read ${offset}/${size}`),
      write: (offset, value, size) => calls.push(`write ${offset}/${size} ${value}`),
      valid: { unaligned: true },
    });
    load(0x1003, 4);
    store(0x1005, 2, 9n);
    expect(calls).toEqual(["read 3/4", "write 5/2 9"]);
  });

  test("alignment counts from the region's start, wherever it is mapped", () => {
    mapIo(0x1002, 0x100, { read: (offset) => offset });
    expect(load(0x1004, 2)).toBe(2n);
    expect(load(0x1004, 4)).toBe("fault at 1004");
  });
});

describe("what the callbacks take", () => {
  test("one access is one call where sizes allow, two for 8 bytes", () => {
    const calls: string[] = [];
    mapIo(0x1000, 0x1000, {
      read: (offset, size) => calls.push(`read ${offset}/${size}`),
      write: (offset, value, size) => calls.push(`write ${offset}/${size} ${value.toString(16)}`),
    });
    for (const size of [1, 2, 4, 8] as const) load(0x1000, size);
    expect(calls).toEqual(["read 0/1", "read 0/2", "read 0/4", "read 0/4", "read 4/4"]);
    calls.length = 0;
    for (const size of [1, 2, 4, 8] as const) store(0x1000, size, 0x8877_6655_4433_2211n);
    expect(calls).toEqual([
      "write 0/1 11",
      "write 0/2 2211",
      "write 0/4 44332211",
      "write 0/4 44332211",
      "write 4/4 88776655",
    ]);
  });

  test("split, widened and big-endian accesses follow impl", () => {
    mapIo(0x1000, 0x1000, { read: (offset) => 0x11 * (offset + 1), impl: { max: 1 } });
    expect(load(0x1000, 4)).toBe(0x4433_2211n);
    mapIo(0x2000, 0x1000, { read: (offset) => 0x1100_0000 + offset, impl: { min: 4 }, endianness: "big" });
    expect(load(0x2004, 4)).toBe(0x0400_0011n);
    expect(load(0x2004, 1)).toBe(0x11n);
    mapIo(0x3000, 0x1000, { read64: () => 0x5145_4d55_2043_4647n, endianness: "big", impl: { min: 8, max: 8 } });
    expect(load(0x3000, 8)).toBe(0x4746_4320_554d_4551n);
    expect(load(0x3000, 4)).toBe(0x554d_4551n);
  });
});

describe("callbacks that fail", () => {
  test("BusError is a fault", () => {
    mapIo(0x1000, 0x1000, {
      read: (offset) => {
        throw new BusError(offset, "access");
      },
      write: (offset) => {
        throw new BusError(offset, "access");
      },
    });
    for (const size of [1, 2, 4, 8] as const) {
      expect(load(0x1008, size)).toBe("fault at 1008");
      expect(store(0x1008, size, 0n)).toBe("fault at 1008");
    }
    expect(() => memory.readBytes(0x1000, new Uint8Array(4))).toThrow(BusError);
  });

  test("any other exception goes through, and the region works afterwards", () => {
    let broken = true;
    const ops: MemoryRegionOps = {
      read: () => {
        if (broken) throw new TypeError("model bug");
        return 5;
      },
      write: () => {
        throw new TypeError("model bug");
      },
    };
    mapIo(0x1000, 0x1000, ops);
    for (const size of [4, 8] as const) {
      expect(() => memory.load(0x1000, size)).toThrow(new TypeError("model bug"));
      expect(() => memory.store(0x1000, size, 0, 0)).toThrow(new TypeError("model bug"));
    }
    broken = false;
    expect(load(0x1000, 4)).toBe(5n);
  });

  test("a region that is being accessed refuses a second access: no device calls itself by DMA", () => {
    const answers: unknown[] = [];
    mapIo(0x1000, 0x1000, {
      read: () => {
        answers.push(load(0x1000, 4), load(0x1000, 8), store(0x1000, 1, 0n));
        try {
          memory.writeBytes(0x1000, new Uint8Array(16));
        } catch (error) {
          answers.push(error);
        }
        return 7;
      },
      write: () => {},
    });
    expect(load(0x1000, 4)).toBe(7n);
    expect(answers).toEqual(["fault at 1000", "fault at 1000", "fault at 1000", expect.any(BusError)]);
    expect(lines[0]).toBe("invalid read of 4 bytes at device+0x0 (0x1000): the region is being accessed already");
    expect(load(0x1000, 4)).toBe(7n);
  });

  test("an access from within a callback does not disturb the outer one", () => {
    mapIo(0x1000, 0x1000, {
      read: () => {
        load(0x9000, 4);
        return 1;
      },
    });
    map(RAM, MemoryRegion.ram("ram", new Uint8Array(8).fill(0xff)));
    mapIo(0x2000, 0x1000, { read: () => (load(RAM, 8) === SYSTEM - 1n ? 0xff : 0) });
    expect(load(0x1000, 4)).toBe(1n);
    expect(load(0x1000, 8)).toBe(0x1_0000_0001n);
    expect(load(0x2000, 4)).toBe(0xffn);
  });
});

describe("bytes", () => {
  test("cross regions, and reach io in the largest aligned pieces that it takes", () => {
    const calls: string[] = [];
    const ram = map(0x1000, MemoryRegion.ram("ram", new Uint8Array(0x1000).fill(0x5a)));
    mapIo(0x2000, 0x1000, {
      read: (offset, size) => {
        calls.push(`read ${offset}/${size}`);
        return 0x0403_0201;
      },
      write: (offset, value, size) => calls.push(`write ${offset}/${size} ${value.toString(16)}`),
    });
    const bytes = new Uint8Array(9);
    memory.readBytes(0x1ffe, bytes);
    expect([...bytes]).toEqual([0x5a, 0x5a, 1, 2, 3, 4, 1, 2, 1]);
    expect(calls).toEqual(["read 0/4", "read 4/2", "read 6/1"]);
    calls.length = 0;
    memory.writeBytes(0x2001n, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
    expect(calls).toEqual(["write 1/1 1", "write 2/2 302", "write 4/4 7060504", "write 8/2 908"]);
    memory.writeBytes(0x1ffd, Uint8Array.of(7, 8, 9, 10));
    expect([...ram.bytes!.subarray(0xffc)]).toEqual([0x5a, 7, 8, 9]);
    expect(calls.at(-1)).toBe("write 0/1 a");
  });

  test("8-byte pieces go where the bus takes them", () => {
    const calls: bigint[] = [];
    mapIo(0x1000, 0x1000, {
      write64: (offset, value) => calls.push(BigInt(offset), value),
      read64: () => 0x0807_0605_0403_0201n,
      valid: { max: 8 },
    });
    memory.writeBytes(0x1008, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(calls).toEqual([8n, 0x0807_0605_0403_0201n]);
    const bytes = new Uint8Array(8);
    memory.readBytes(0x1008, bytes);
    expect([...bytes]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("stop at the first byte that is not there, with those before it done", () => {
    const ram = map(0x1000, MemoryRegion.ram("ram", new Uint8Array(4)));
    expect(() => memory.writeBytes(0x1002, Uint8Array.of(1, 2, 3, 4))).toThrow(
      expect.objectContaining({
        name: "BusError",
        kind: "decode",
        address: 0x1004,
        message: "nothing is mapped at 0x1004",
      }),
    );
    expect([...ram.bytes!]).toEqual([0, 0, 1, 2]);
    expect(() => memory.readBytes(0x1002, new Uint8Array(4))).toThrow(BusError);
    expect(lines).toContain("invalid write of 2 bytes at 0x1004: nothing is mapped there");
  });

  test("ROM is not written", () => {
    map(0x1000, MemoryRegion.rom("rom", new Uint8Array(4)));
    expect(() => memory.writeBytes(0x1000, new Uint8Array(1))).toThrow(expect.objectContaining({ kind: "access" }));
  });

  test.each([-1, -1n, 2 ** 53, 2n ** 64n - 1n, 2 ** 53 - 2])("no bytes at %s", (address) => {
    expect(() => memory.readBytes(address, new Uint8Array(4))).toThrow(BusError);
    expect(() => memory.writeBytes(address, new Uint8Array(4))).toThrow(BusError);
  });

  test("no bytes are no access", () => {
    memory.readBytes(0x1234, new Uint8Array(0));
    memory.writeBytes(0x1234, new Uint8Array(0));
  });
});

describe("direct views", () => {
  test("show RAM that is in one piece, and nothing else", () => {
    const ram = map(RAM, MemoryRegion.ram("ram", new Uint8Array(0x100)));
    map(0x1000, MemoryRegion.rom("rom", new Uint8Array(0x100)));
    const view = memory.ramAt(RAM + 0x10, 0x20)!;
    view[0] = 9;
    expect([ram.bytes![0x10], view.length]).toEqual([9, 0x20]);
    expect(memory.ramAt(RAM + 0xf0, 0x11)).toBeUndefined();
    expect(memory.ramAt(RAM + 0xf0, 0x10)).toHaveLength(0x10);
    expect(memory.ramAt(0x1000, 4)).toBeUndefined();
    expect(memory.ramAt(0x5000, 4)).toBeUndefined();
    expect(memory.ramAt(RAM, -4)).toBeUndefined();
    expect(memory.ramAt(Number.NaN, 4)).toBeUndefined();
  });

  test("every write to RAM is announced, by region and offset", () => {
    const target = MemoryRegion.ram("ram", new Uint8Array(0x2000));
    map(RAM, target);
    map(0x1000, MemoryRegion.alias("low", target, 0x800n, 0x100n));
    const writes: [string, number, number][] = [];
    memory.onRamWrite((region, offset, length) => writes.push([region.name, offset, length]));
    store(RAM + 8, 4, 1n);
    memory.writeBytes(RAM + 0x1000, new Uint8Array(100));
    memory.ramWritten(RAM + 0x20, 16);
    store(0x1010, 1, 1n);
    memory.ramWritten(0x9000, 16);
    expect(writes).toEqual([
      ["ram", 8, 4],
      ["ram", 0x1000, 100],
      ["ram", 0x20, 16],
      ["ram", 0x810, 1],
    ]);
  });
});

describe("changes of the map", () => {
  test("are seen by the next access and by listeners", () => {
    let changes = 0;
    memory.onChange(() => changes++);
    const device = mapIo(0x1000, 0x1000, { read: () => 1 });
    expect([load(0x1000, 4), changes]).toEqual([1n, 1]);
    const over = map(0x1000, MemoryRegion.io("over", 0x1000, { read: () => 2 }), 1);
    expect([load(0x1000, 4), changes]).toEqual([2n, 2]);
    over.enabled = false;
    expect([load(0x1000, 4), changes]).toEqual([1n, 3]);
    system.removeSubregion(device);
    expect([load(0x1000, 4), changes]).toEqual(["fault at 1000", 4]);
  });

  test("from within a callback hold from the next access on", () => {
    const device = mapIo(0x1000, 0x1000, {
      read: () => {
        system.removeSubregion(device);
        return 7;
      },
    });
    expect(load(0x1000, 4)).toBe(7n);
    expect(load(0x1000, 4)).toBe("fault at 1000");
  });

  test("give a new flat view; without one it is the same", () => {
    const view = memory.flatView;
    expect(memory.flatView).toBe(view);
    mapIo(0x1000, 0x10, {});
    expect(memory.flatView).not.toBe(view);
    expect(memory.flatView.ranges).toHaveLength(1);
  });

  test("of one machine are not another's", () => {
    const other = new AddressSpace(MemoryRegion.container("other", SYSTEM), "other");
    mapIo(0x1000, 0x1000, { read: () => 1 });
    expect(load(0x1000, 4)).toBe(1n);
    other.load(0x1000, 4);
    expect([other.fault, memory.fault]).toEqual([true, false]);
  });
});

test("with many regions, each access finds its own", () => {
  for (let i = 0; i < 100; i++) mapIo(i * 0x1000, 0x800, { read: () => i }, `device${i}`);
  for (let i = 0; i < 1000; i++) {
    const n = (i * 37) % 100;
    expect(load(n * 0x1000 + 0x7fc, 4)).toBe(BigInt(n));
    expect(load(n * 0x1000 + 0x800, 4)).toMatch(/^fault/);
  }
});
