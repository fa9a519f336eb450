import { describe, expect, it } from "vitest";
import { type BlockBackend, BlockError } from "./block.ts";
import { Drive } from "./block-drive.ts";
import { MemoryStore } from "./block-memory.ts";
import { OverlayBlock } from "./block-overlay.ts";
import { type ByteStore, RawBlock } from "./block-raw.ts";

/** Bytes that differ from their neighbours, near and far. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff);
}

function readAll(disk: BlockBackend): Uint8Array {
  const bytes = new Uint8Array(disk.size).fill(0xcc);
  disk.read(0, bytes);
  return bytes;
}

/** Numbers that are the same in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("RawBlock", () => {
  it("reads and writes the image", () => {
    const bytes = pattern(2048);
    const disk = new RawBlock(new MemoryStore(bytes));
    expect([disk.size, disk.readOnly]).toEqual([2048, false]);
    const [a, b] = [new Uint8Array(3), new Uint8Array(4)];
    disk.readv(510, [a, b]);
    expect([...a, ...b]).toEqual([...pattern(2048).subarray(510, 517)]);
    disk.writev(1000, [Uint8Array.of(1, 2), Uint8Array.of(3)]);
    disk.write(2047, Uint8Array.of(9));
    const expected = pattern(2048);
    expected.set([1, 2, 3], 1000);
    expected[2047] = 9;
    expect(bytes).toEqual(expected);
  });

  it("ends with a whole sector, of which the image's rest is zeros", () => {
    const disk = new RawBlock(new MemoryStore(new Uint8Array(1000).fill(1)));
    expect(disk.size).toBe(1024);
    const all = [new Uint8Array(999).fill(7), new Uint8Array(5).fill(7), new Uint8Array(20).fill(7)];
    disk.readv(0, all);
    expect(all.flatMap((view) => [...view])).toEqual([...new Uint8Array(1000).fill(1), ...new Uint8Array(24)]);
    disk.write(512, new Uint8Array(512).fill(5));
    expect([...readAll(disk).subarray(990)]).toEqual([...new Uint8Array(10).fill(5), ...new Uint8Array(24)]);
  });

  it("never leaves the disk", () => {
    const disk = new RawBlock(new MemoryStore(new Uint8Array(1024)));
    expect(() => disk.write(1000, new Uint8Array(25))).toThrow(RangeError);
    expect(() => disk.read(-1, new Uint8Array(1))).toThrow(RangeError);
    expect(() => disk.readv(1023, [new Uint8Array(1), new Uint8Array(1)])).toThrow(RangeError);
  });

  it("refuses to write what is read-only", () => {
    const bytes = pattern(512);
    const disk = new RawBlock(new MemoryStore(bytes, true));
    expect(() => disk.write(0, new Uint8Array(1))).toThrow(new BlockError("readonly", "the disk is read-only"));
    expect(bytes).toEqual(pattern(512));
  });

  it("syncs what was written, once", () => {
    let syncs = 0;
    let error: Error | undefined;
    const store: ByteStore = {
      size: 512,
      readOnly: false,
      read: () => 0,
      write: () => {},
      sync: () => {
        syncs++;
        if (error !== undefined) throw error;
      },
      close: () => {},
    };
    const disk = new RawBlock(store);
    disk.flush();
    expect(syncs).toBe(0);
    disk.write(0, new Uint8Array(1));
    error = new BlockError("io", "broken");
    expect(() => disk.flush()).toThrow("broken");
    error = undefined;
    disk.flush();
    disk.flush();
    expect(syncs).toBe(2);
  });
});

describe("OverlayBlock", () => {
  const SIZE = 10 * 4096 + 512;

  it("shows its base until it is written, and never writes that", () => {
    const image = pattern(SIZE);
    const disk = new OverlayBlock(new RawBlock(new MemoryStore(image, true)));
    expect([disk.size, disk.readOnly, disk.synchronous]).toEqual([SIZE, false, true]);
    expect(readAll(disk)).toEqual(image);
    disk.write(4095, Uint8Array.of(1, 2, 3));
    disk.write(SIZE - 1, Uint8Array.of(4));
    const expected = pattern(SIZE);
    expected.set([1, 2, 3], 4095);
    expected[SIZE - 1] = 4;
    expect(readAll(disk)).toEqual(expected);
    expect(image).toEqual(pattern(SIZE));
    expect(disk.used).toBe(3 * 4096);
  });

  it("holds zeros without taking memory for them", () => {
    const disk = new OverlayBlock(new RawBlock(new MemoryStore(pattern(SIZE))));
    disk.writeZeroes(4096, 3 * 4096);
    expect(disk.used).toBe(0);
    disk.writeZeroes(100, 50);
    disk.write(4096 + 10, Uint8Array.of(1));
    expect(disk.used).toBe(2 * 4096);
    const expected = pattern(SIZE)
      .fill(0, 4096, 4 * 4096)
      .fill(0, 100, 150);
    expected[4096 + 10] = 1;
    expect(readAll(disk)).toEqual(expected);
    // The zeros of one cluster are not those of the next.
    disk.writeZeroes(0, SIZE);
    disk.write(0, Uint8Array.of(1));
    expect(readAll(disk).subarray(1)).toEqual(new Uint8Array(SIZE - 1));
  });

  it("can be read-only itself", () => {
    const disk = new OverlayBlock(new RawBlock(new MemoryStore(pattern(512))), true);
    expect(() => disk.write(0, Uint8Array.of(1))).toThrow(BlockError);
    expect(() => disk.writeZeroes(0, 1)).toThrow(BlockError);
  });

  it("is a disk like any other, whatever is done in whatever order", async () => {
    const base = new RawBlock(new MemoryStore(pattern(SIZE), true));
    const slowBase: BlockBackend = {
      size: SIZE,
      readOnly: true,
      synchronous: false,
      read: async (offset, into) => {
        await undefined;
        base.read(offset, into);
      },
      write: () => {
        throw new Error("the base was written");
      },
      flush: () => {},
      close: () => {},
    };
    for (const disk of [new OverlayBlock(base), new OverlayBlock(slowBase)]) {
      const expected = pattern(SIZE);
      const below = random(42);
      for (let i = 0; i < 500; i++) {
        const offset = below(SIZE);
        const length = below(Math.min(SIZE - offset, 3 * 4096)) + 1;
        const action = below(3);
        if (action === 0) {
          const bytes = new Uint8Array(length).fill(i);
          expected.set(bytes, offset);
          await disk.write(offset, bytes);
        } else if (action === 1) {
          expected.fill(0, offset, offset + length);
          await disk.writeZeroes(offset, length);
        } else {
          const bytes = new Uint8Array(length);
          await disk.read(offset, bytes);
          expect(Buffer.compare(bytes, expected.subarray(offset, offset + length))).toBe(0);
        }
      }
      const all = new Uint8Array(SIZE);
      await disk.read(0, all);
      expect(Buffer.compare(all, expected)).toBe(0);
    }
  });

  it("keeps both of two writes to one cluster that its base is slow for", async () => {
    const slow: BlockBackend = {
      size: 4096,
      readOnly: true,
      synchronous: false,
      read: async (_offset, into) => {
        await undefined;
        into.fill(7);
      },
      write: () => {},
      flush: () => {},
      close: () => {},
    };
    const disk = new OverlayBlock(slow);
    await Promise.all([disk.write(0, Uint8Array.of(1)), disk.write(4095, Uint8Array.of(2))]);
    const bytes = new Uint8Array(4096);
    await disk.read(0, bytes);
    expect([bytes[0], bytes[1], bytes[4095]]).toEqual([1, 7, 2]);
  });
});

describe("Drive", () => {
  it("closes its disk", () => {
    let closed = 0;
    const store = new MemoryStore(new Uint8Array(512));
    store.close = () => void closed++;
    new Drive("hd0", new OverlayBlock(new RawBlock(store))).close();
    expect(closed).toBe(1);
  });
});
