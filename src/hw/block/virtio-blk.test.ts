import { describe, expect, it } from "vitest";
import { type BlockBackend, BlockError } from "../../backend/block.ts";
import { Drive } from "../../backend/block-drive.ts";
import { MemoryStore } from "../../backend/block-memory.ts";
import { RawBlock } from "../../backend/block-raw.ts";
import { loadTree, saveTree } from "../../device/snapshot.ts";
import type { PropertyValue } from "../../qom/property.ts";
import { UserError } from "../../util/user-error.ts";
import { type Buffer, RAM_BASE, TestDriver, type TestQueue, VirtioBoard } from "../virtio/driver-for-tests.ts";
import { VirtioBlk, virtioBlkType } from "./virtio-blk.ts";

const SECTORS = 64;

/** A disk whose sectors are filled with their numbers. */
function numbered(): Uint8Array {
  return Uint8Array.from({ length: SECTORS * 512 }, (_, i) => i >> 9);
}

function header(type: number, sector: number | bigint = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt.asUintN(64, BigInt(sector)), true);
  return new Uint8Array(view.buffer);
}

function range(sector: number | bigint, sectors: number, flags = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt.asUintN(64, BigInt(sector)), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return new Uint8Array(view.buffer);
}

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

interface Setup {
  readonly board: VirtioBoard;
  readonly device: VirtioBlk;
  readonly driver: TestDriver;
  readonly queue: TestQueue;
}

/** A disk with a driver that has negotiated everything. */
function setup(
  disk: BlockBackend | Uint8Array,
  { modern = false, features = -1n, properties = {} as Record<string, PropertyValue> } = {},
): Setup {
  const board = new VirtioBoard(modern);
  const device = new VirtioBlk(virtioBlkType);
  const backend = disk instanceof Uint8Array ? new RawBlock(new MemoryStore(disk)) : disk;
  device.set("drive", new Drive("hd0", backend));
  for (const [name, value] of Object.entries(properties)) device.set(name, value);
  board.plug(device);
  const driver = new TestDriver(board, modern);
  driver.negotiate(features);
  const queue = driver.queue(0, 16);
  driver.start();
  return { board, device, driver, queue };
}

/** Sends a request; returns the status byte and the bytes before it. */
function ask(queue: TestQueue, buffers: readonly Buffer[]): { status: number; length: number; data: Uint8Array } {
  const { length, buffers: answers } = queue.request(buffers);
  const bytes = Uint8Array.from(answers.flatMap((answer) => [...answer]));
  return { status: bytes.at(-1)!, length, data: bytes.subarray(0, -1) };
}

const IN = 0;
const OUT = 1;
const FLUSH = 4;
const GET_ID = 8;
const DISCARD = 11;
const WRITE_ZEROES = 13;

describe.each([
  ["legacy", false],
  ["modern", true],
])("virtio-blk-device, %s", (_name, modern) => {
  it("reads and writes sectors", () => {
    const disk = numbered();
    const { board, queue, driver } = setup(disk, { modern });
    expect(ask(queue, [header(IN, 3), 1024, 1])).toEqual({
      status: 0,
      length: 1025,
      data: Uint8Array.from([...filled(512, 3), ...filled(512, 4)]),
    });
    expect(board.irq).toBe(true);
    expect(driver.acknowledge()).toBe(1);
    expect(board.irq).toBe(false);
    expect(ask(queue, [header(OUT, 5), filled(512, 0x77), 1])).toMatchObject({ status: 0, length: 1 });
    expect(disk.subarray(4 * 512, 7 * 512)).toEqual(
      Uint8Array.from([...filled(512, 4), ...filled(512, 0x77), ...filled(512, 6)]),
    );
    expect(board.log).toEqual([]);
  });

  it("takes buffers in any layout", () => {
    const disk = numbered();
    const { queue } = setup(disk, { modern });
    const bytes = header(IN, 9);
    expect(ask(queue, [bytes.subarray(0, 1), bytes.subarray(1, 9), bytes.subarray(9), 1, 510, 1, 1])).toMatchObject({
      status: 0,
      length: 513,
      data: filled(512, 9),
    });
    expect(ask(queue, [header(IN, 9), 513])).toMatchObject({ status: 0, data: filled(512, 9) });
    const write = Uint8Array.from([...header(OUT, 10), ...filled(512, 0x33)]);
    expect(ask(queue, [write, 1])).toMatchObject({ status: 0 });
    expect(disk.subarray(10 * 512, 11 * 512)).toEqual(filled(512, 0x33));
  });

  it("serves many requests of one notification, in order, with one interrupt", () => {
    const { board, queue } = setup(numbered(), { modern });
    const requests = [1, 2, 3].map((sector) => queue.lay([header(IN, sector), 512, 1]));
    for (const { head } of requests) queue.offer(head);
    queue.kick();
    expect(queue.usedIndex).toBe(3);
    for (const [i, { head, writable }] of requests.entries()) {
      expect(queue.usedEntry(i)).toEqual({ head, length: 513 });
      expect(board.readBytes(writable[0]![0], 512)).toEqual(filled(512, i + 1));
    }
    expect(board.interrupts).toBe(1);
  });

  it("goes round the rings more often than 16 bits count", () => {
    const { board, queue, driver } = setup(numbered(), { modern });
    const { head } = queue.lay([header(IN, 1), 512, 1]);
    for (let i = 0; i < 70_000; i++) {
      // The same descriptors again: only the rings move.
      queue.offer(head);
      queue.kick();
      driver.acknowledge();
    }
    expect(board.interrupts).toBe(70_000);
    expect(queue.usedIndex).toBe(70_000 - 65_536);
    expect(board.log).toEqual([]);
  });
});

describe("virtio-blk-device", () => {
  it("answers what it cannot do with a status, as QEMU does", () => {
    const disk = numbered();
    const { board, queue } = setup(disk);
    const status = (...buffers: Buffer[]): number => ask(queue, buffers).status;
    expect({
      readPastEnd: status(header(IN, SECTORS), 512, 1),
      readAcrossEnd: status(header(IN, SECTORS - 1), 1024, 1),
      readAtHugeSector: status(header(IN, -1), 512, 1),
      readAtWrappingSector: status(header(IN, 1n << 55n), 512, 1),
      readOddLength: status(header(IN, 3), 511, 1),
      readNothing: status(header(IN, 3), 1),
      readNothingPastEnd: status(header(IN, SECTORS + 1), 1),
      readNothingAtEnd: status(header(IN, SECTORS), 1),
      readWithBarrier: status(header(0x8000_0000, 3), 512, 1),
      writeOddLength: status(header(OUT, 3), filled(500, 1), 1),
      writeAcrossEnd: status(header(OUT, SECTORS - 1), filled(1024, 1), 1),
      writeNothing: status(header(OUT, 3), 1),
      flush: status(header(FLUSH), 1),
      flushLegacy: status(header(5), 1),
      flushAtSector: status(header(FLUSH, 99), 1),
      scsi: status(header(2), 512, 1),
      lifetime: status(header(10), 40, 1),
      unknown: status(header(99), 512, 1),
      secureErase: status(header(14), range(0, 1), 1),
    }).toEqual({
      readPastEnd: 1,
      readAcrossEnd: 1,
      readAtHugeSector: 1,
      readAtWrappingSector: 1,
      readOddLength: 1,
      readNothing: 0,
      readNothingPastEnd: 1,
      readNothingAtEnd: 0,
      readWithBarrier: 0,
      writeOddLength: 1,
      writeAcrossEnd: 1,
      writeNothing: 0,
      flush: 0,
      flushLegacy: 0,
      flushAtSector: 0,
      scsi: 2,
      lifetime: 2,
      unknown: 2,
      secureErase: 2,
    });
    expect(disk).toEqual(numbered());
    expect(board.log).toEqual([]);
  });

  it("leaves the buffers of a refused read alone and still counts them", () => {
    const { queue } = setup(numbered());
    expect(ask(queue, [header(IN, SECTORS), 512, 1])).toEqual({ status: 1, length: 513, data: filled(512, 0xee) });
  });

  it("tells its serial number", () => {
    const { queue } = setup(numbered(), { properties: { serial: "abc" } });
    const text = new TextEncoder().encode("abc");
    expect(ask(queue, [header(GET_ID), 20, 1]).data).toEqual(Uint8Array.from([...text, ...filled(17, 0)]));
    expect(ask(queue, [header(GET_ID), 2, 1]).data).toEqual(text.subarray(0, 2));
    const long = setup(numbered(), { properties: { serial: "0123456789abcdefghijXYZ" } });
    expect(new TextDecoder().decode(ask(long.queue, [header(GET_ID), 20, 1]).data)).toBe("0123456789abcdefghij");
    expect(ask(long.queue, [header(GET_ID), 24, 1]).data.subarray(20)).toEqual(filled(4, 0xee));
  });

  it("zeroes and discards ranges", () => {
    const disk = numbered();
    const { queue } = setup(disk);
    const status = (...buffers: Buffer[]): number => ask(queue, buffers).status;
    expect(status(header(WRITE_ZEROES), range(8, 8), 1)).toBe(0);
    expect(status(header(WRITE_ZEROES), range(20, 1, 1), 1)).toBe(0);
    const expected = numbered()
      .fill(0, 8 * 512, 16 * 512)
      .fill(0, 20 * 512, 21 * 512);
    expect(disk).toEqual(expected);
    expect({
      discard: status(header(DISCARD), range(0, 8), 1),
      discardNothing: status(header(DISCARD), range(0, 0), 1),
      discardWithUnmap: status(header(DISCARD), range(0, 8, 1), 1),
      discardAcrossEnd: status(header(DISCARD), range(60, 8), 1),
      discardTwo: status(header(DISCARD), range(0, 8), range(16, 8), 1),
      discardTooMany: status(header(DISCARD), range(0, 0x40_0000), 1),
      discardHalf: status(header(DISCARD), range(0, 8).subarray(0, 8), 1),
      zeroBadFlag: status(header(WRITE_ZEROES), range(0, 8, 2), 1),
      zeroHuge: status(header(WRITE_ZEROES), range(-1, 8), 1),
    }).toEqual({
      discard: 0,
      discardNothing: 0,
      discardWithUnmap: 2,
      discardAcrossEnd: 1,
      discardTwo: 2,
      discardTooMany: 1,
      discardHalf: 1,
      zeroBadFlag: 2,
      zeroHuge: 1,
    });
    expect(disk).toEqual(expected);
    const without = setup(numbered(), { properties: { discard: false, "write-zeroes": false } });
    expect(without.driver.features & ((1n << 13n) | (1n << 14n))).toBe(0n);
    expect(ask(without.queue, [header(WRITE_ZEROES), range(0, 8), 1]).status).toBe(2);
  });

  it("does not let a read-only disk be changed", () => {
    const disk = numbered();
    const { driver, queue } = setup(new RawBlock(new MemoryStore(disk, true)));
    expect((driver.features >> 5n) & 1n).toBe(1n);
    expect(ask(queue, [header(OUT, 3), filled(512, 0x55), 1]).status).toBe(1);
    expect(ask(queue, [header(WRITE_ZEROES), range(0, 8), 1]).status).toBe(1);
    expect(ask(queue, [header(DISCARD), range(0, 8), 1]).status).toBe(1);
    expect(ask(queue, [header(IN, 3), 512, 1])).toMatchObject({ status: 0, data: filled(512, 3) });
    expect(ask(queue, [header(FLUSH), 1]).status).toBe(0);
    expect(disk).toEqual(numbered());
  });

  it("describes the disk in its configuration", () => {
    const { driver } = setup(new RawBlock(new MemoryStore(new Uint8Array(60 << 20))), {
      properties: {
        logical_block_size: 4096,
        physical_block_size: 65536,
        min_io_size: 8192,
        opt_io_size: 1 << 20,
        "queue-size": 128,
      },
    });
    expect([driver.config(0, 4), driver.config(4, 4)]).toEqual([122880, 0]);
    expect(driver.config(12, 4)).toBe(126);
    expect([driver.config(16, 2), driver.config(18, 1), driver.config(19, 1)]).toEqual([121, 16, 63]);
    expect(driver.config(20, 4)).toBe(4096);
    expect([driver.config(24, 1), driver.config(26, 2), driver.config(28, 4)]).toEqual([4, 2, 256]);
    expect([driver.config(32, 1), driver.config(34, 2)]).toEqual([1, 1]);
  });

  it("checks requests against its block size", () => {
    const { queue } = setup(numbered(), { properties: { logical_block_size: 4096 } });
    expect(ask(queue, [header(IN, 8), 4096, 1]).status).toBe(0);
    expect(ask(queue, [header(IN, 8), 512, 1]).status).toBe(1);
    expect(ask(queue, [header(IN, 3), 4096, 1]).status).toBe(1);
  });

  it("has more than one queue when asked to", () => {
    const { board, driver } = setup(numbered(), { properties: { "num-queues": 3 } });
    expect((driver.features >> 12n) & 1n).toBe(1n);
    expect(driver.config(34, 2)).toBe(3);
    const queue = driver.queue(2, 16);
    expect(ask(queue, [header(IN, 7), 512, 1])).toMatchObject({ status: 0, data: filled(512, 7) });
    expect(board.log).toEqual([]);
  });
});

describe("virtio-blk-device and its disk", () => {
  /** A disk that keeps a list of what was done to it. */
  class Journal implements BlockBackend {
    readonly size = SECTORS * 512;
    readonly readOnly = false;
    readonly synchronous: boolean = true;
    readonly calls: string[] = [];
    error: Error | undefined;
    read(offset: number, into: Uint8Array): void | Promise<void> {
      this.#call(`read ${offset} ${into.length}`);
      into.fill(0x11);
    }
    write(offset: number, bytes: Uint8Array): void | Promise<void> {
      this.#call(`write ${offset} ${bytes.length}`);
    }
    flush(): void | Promise<void> {
      this.#call("flush");
    }
    close(): void {}
    #call(call: string): void {
      this.calls.push(call);
      if (this.error !== undefined) throw this.error;
    }
  }

  const FEATURE_FLUSH = 1n << 9n;
  const FEATURE_CONFIG_WCE = 1n << 11n;

  it("flushes when the driver says so", () => {
    const disk = new Journal();
    const { queue } = setup(disk);
    ask(queue, [header(OUT, 0), filled(512, 1), 1]);
    expect(disk.calls).toEqual(["write 0 512"]);
    ask(queue, [header(FLUSH), 1]);
    expect(disk.calls).toEqual(["write 0 512", "flush"]);
  });

  it("flushes every write of a driver that cannot", () => {
    const disk = new Journal();
    const { queue } = setup(disk, { features: ~(FEATURE_FLUSH | FEATURE_CONFIG_WCE) });
    ask(queue, [header(OUT, 0), filled(512, 1), 1]);
    ask(queue, [header(IN, 0), 512, 1]);
    expect(disk.calls).toEqual(["write 0 512", "flush", "read 0 512"]);
  });

  it("flushes every write while the driver has switched the cache off", () => {
    const disk = new Journal();
    const { queue, driver, board } = setup(disk);
    driver.setConfig(32, 1, 0);
    expect(driver.config(32, 1)).toBe(0);
    ask(queue, [header(OUT, 0), filled(512, 1), 1]);
    driver.setConfig(32, 1, 1);
    ask(queue, [header(OUT, 0), filled(512, 1), 1]);
    expect(disk.calls).toEqual(["write 0 512", "flush", "write 0 512"]);
    expect(board.log).toEqual([]);
    driver.negotiate();
    expect(driver.config(32, 1)).toBe(1);
  });

  it("gives the guest an I/O error when the host cannot, and says why", () => {
    const disk = new Journal();
    const { board, queue } = setup(disk);
    disk.error = new BlockError("nospace", "disk.img: no space left on device");
    expect(ask(queue, [header(OUT, 0), filled(512, 1), 1]).status).toBe(1);
    expect(ask(queue, [header(IN, 0), 512, 1]).status).toBe(1);
    expect(ask(queue, [header(FLUSH), 1]).status).toBe(1);
    expect(board.log[0]).toBe("virtio-blk-device: the guest gets an I/O error: disk.img: no space left on device");
    disk.error = undefined;
    expect(ask(queue, [header(OUT, 0), filled(512, 1), 1]).status).toBe(0);
  });

  it("lets errors of a model through", () => {
    const disk = new Journal();
    const { queue } = setup(disk);
    disk.error = new TypeError("a bug");
    expect(() => ask(queue, [header(IN, 0), 512, 1])).toThrow("a bug");
  });

  it("moves large requests in slices and batches, letting time pass between batches", () => {
    const disk = new RawBlock(new MemoryStore(new Uint8Array(16 << 20).map((_, i) => i >> 16)));
    const { board, queue, driver } = setup(disk);
    // Ten segments on the same megabyte of memory: more than a batch.
    const size = 1 << 20;
    const at = RAM_BASE + (3 << 20);
    const { head } = queue.lay([header(IN, 0), 1]);
    queue.describe(head, { address: RAM_BASE + 0x20_0000, length: 16, flags: 1, next: 2 });
    for (let i = 0; i < 10; i++)
      queue.describe(2 + i, { address: at, length: size, flags: 3, next: i < 9 ? 3 + i : 1 });
    queue.offer(head);
    queue.kick();
    expect(queue.usedIndex).toBe(0);
    expect(board.clock.nextDeadline).toBeLessThanOrEqual(board.clock.now);
    for (let i = 0; i < 5 && queue.usedIndex === 0; i++) board.clock.runDue();
    expect(queue.usedEntry(0)).toEqual({ head, length: 10 * size + 1 });
    expect(board.ram[(3 << 20) + size - 1]).toBe(10 * 16 - 1);
    expect(driver.acknowledge()).toBe(1);
    expect(board.log).toEqual([]);
  });

  it("ends batches of requests without bytes too", () => {
    const { board, driver, queue } = setup(new Journal());
    // Sixteen flushes in one notification count as more than a batch.
    queue.lay([header(FLUSH), 1]);
    for (let i = 0; i < 16; i++) queue.offer(0);
    queue.kick();
    expect(queue.usedIndex).toBeLessThan(16);
    board.clock.advance(0);
    expect(queue.usedIndex).toBe(16);
    expect(driver.status).toBe(7);
  });

  it("resumes a batch after a snapshot, in the other machine too", () => {
    const disk = new Journal();
    const first = setup(disk);
    const { head, writable } = first.queue.lay([header(FLUSH), 1]);
    for (let i = 0; i < 16; i++) first.queue.offer(head);
    first.queue.kick();
    const done = first.queue.usedIndex;
    expect(done).toBeLessThan(16);
    const state = structuredClone(saveTree(first.board.tree));
    const other = new Journal();
    const second = setup(other);
    second.driver.setReg(0x070, 0);
    loadTree(second.board.tree, state);
    second.board.ram.set(first.board.ram);
    expect(saveTree(second.board.tree)).toEqual(state);
    second.board.clock.advance(0);
    expect(second.queue.usedIndex).toBe(16);
    expect(second.board.readBytes(writable[0]![0], 1)[0]).toBe(0);
    expect(second.board.irq).toBe(true);
    // The first machine goes on as if nothing had been.
    first.board.clock.advance(0);
    expect(first.queue.usedIndex).toBe(16);
  });

  describe("that takes its time", () => {
    /** A disk whose operations end when the test says so. */
    class Slow extends Journal {
      override readonly synchronous = false;
      readonly pending: { readonly call: string; end(error?: Error): void }[] = [];
      override read(offset: number, into: Uint8Array): Promise<void> {
        return this.#later(`read ${offset}`, () => into.fill(0x11));
      }
      override write(offset: number, bytes: Uint8Array): Promise<void> {
        return this.#later(`write ${offset} ${bytes[0]}`, () => {});
      }
      override flush(): Promise<void> {
        return this.#later("flush", () => {});
      }
      #later(call: string, act: () => void): Promise<void> {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        this.pending.push({
          call,
          end: (error) => {
            if (error !== undefined) return reject(error);
            act();
            this.calls.push(call);
            resolve();
          },
        });
        return promise;
      }
    }

    async function settle(): Promise<void> {
      for (let i = 0; i < 20; i++) await undefined;
    }

    it("answers requests in the order in which they end", async () => {
      const disk = new Slow();
      const { board, queue, driver } = setup(disk);
      const a = queue.lay([header(IN, 1), 512, 1]);
      const b = queue.lay([header(OUT, 2), filled(512, 9), 1]);
      for (const { head } of [a, b]) queue.offer(head);
      queue.kick();
      expect(queue.usedIndex).toBe(0);
      expect(disk.pending.map(({ call }) => call)).toEqual(["read 512", "write 1024 9"]);
      disk.pending[1]!.end();
      await settle();
      expect(queue.usedIndex).toBe(1);
      expect(queue.usedEntry(0)).toEqual({ head: b.head, length: 1 });
      expect(driver.acknowledge()).toBe(1);
      disk.pending[0]!.end();
      await settle();
      expect(queue.usedEntry(1)).toEqual({ head: a.head, length: 513 });
      expect(board.readBytes(a.writable[0]![0], 512)).toEqual(filled(512, 0x11));
      expect(board.irq).toBe(true);
    });

    it("turns rejections into I/O errors", async () => {
      const disk = new Slow();
      const { board, queue } = setup(disk);
      const { head, writable } = queue.lay([header(IN, 1), 512, 1]);
      queue.offer(head);
      queue.kick();
      disk.pending[0]!.end(new BlockError("io", "broken"));
      await settle();
      expect(board.readBytes(writable[1]![0], 1)[0]).toBe(1);
      expect(board.readBytes(writable[0]![0], 512)).toEqual(filled(512, 0xee));
    });

    it("does not touch memory after a reset, and begins anew when the disk is quiet", async () => {
      const disk = new Slow();
      const { board, queue, driver } = setup(disk);
      const { head, writable } = queue.lay([header(IN, 1), 512, 1]);
      queue.offer(head);
      queue.kick();
      driver.negotiate();
      const again = driver.queue(0, 16);
      driver.start();
      const next = again.lay([header(OUT, 3), filled(512, 7), 1]);
      again.offer(next.head);
      again.kick();
      expect(disk.pending).toHaveLength(1);
      disk.pending[0]!.end();
      await settle();
      expect(board.readBytes(writable[0]![0] + 16, 16)).not.toContain(0x11);
      expect(queue.usedIndex).toBe(0);
      expect(disk.pending.map(({ call }) => call)).toEqual(["read 512", "write 1536 7"]);
      disk.pending[1]!.end();
      await settle();
      expect(again.usedIndex).toBe(1);
    });

    it("takes requests of a snapshot again", async () => {
      const disk = new Slow();
      const first = setup(disk);
      const { head, writable } = first.queue.lay([header(IN, 1), 512, 1]);
      first.queue.offer(head);
      first.queue.kick();
      const state = structuredClone(saveTree(first.board.tree));
      const other = new Slow();
      const second = setup(other);
      loadTree(second.board.tree, state);
      second.board.ram.set(first.board.ram);
      second.board.clock.advance(0);
      expect(other.pending.map(({ call }) => call)).toEqual(["read 512"]);
      other.pending[0]!.end();
      await settle();
      expect(second.queue.usedIndex).toBe(1);
      expect(second.board.readBytes(writable[0]![0], 512)).toEqual(filled(512, 0x11));
    });

    it("flushes after each write where it has to", async () => {
      const disk = new Slow();
      const { queue } = setup(disk, { features: ~(FEATURE_FLUSH | FEATURE_CONFIG_WCE) });
      const { head } = queue.lay([header(OUT, 1), filled(512, 3), 1]);
      queue.offer(head);
      queue.kick();
      disk.pending[0]!.end();
      await settle();
      expect(queue.usedIndex).toBe(0);
      expect(disk.pending[1]!.call).toBe("flush");
      disk.pending[1]!.end();
      await settle();
      expect(queue.usedIndex).toBe(1);
    });
  });
});

describe("virtio-blk-device's properties", () => {
  function realize(properties: Record<string, PropertyValue>): () => void {
    return () => {
      const board = new VirtioBoard(false);
      const device = new VirtioBlk(virtioBlkType);
      device.set("drive", new Drive("hd0", new RawBlock(new MemoryStore(numbered()))));
      for (const [name, value] of Object.entries(properties)) device.set(name, value);
      board.plug(device);
    };
  }

  it.each([
    [{ "queue-size": 100 }, "virtio-blk-device.queue-size: 100 is no power of two from 4 to 1024"],
    [{ "queue-size": 2048 }, "virtio-blk-device.queue-size: 2048 is no power of two from 4 to 1024"],
    [{ "num-queues": 0 }, "virtio-blk-device.num-queues: 0 is not between 1 and 1024"],
    [{ logical_block_size: 1000 }, "virtio-blk-device.logical_block_size: 1000 is no power of two from 512 to 2097152"],
    [{ opt_io_size: 1000 }, "virtio-blk-device.opt_io_size: 1000 is no multiple of 512 up to 2199023255040"],
    [{ drive: undefined }, "virtio-blk-device: no disk given: say drive=ID with the id of a -drive"],
  ])("%o is a user's mistake", (properties, message) => {
    expect(realize(properties)).toThrow(new UserError(message));
  });

  it("takes a drive that no other device has", () => {
    const drive = new Drive("hd0", new RawBlock(new MemoryStore(numbered())));
    const board = new VirtioBoard(false);
    const first = new VirtioBlk(virtioBlkType);
    first.set("drive", drive);
    first.id = "first";
    board.plug(first);
    const second = new VirtioBlk(virtioBlkType);
    second.set("drive", drive);
    const other = new VirtioBoard(false);
    expect(() => other.plug(second)).toThrow(
      new UserError(
        'virtio-blk-device: the drive "hd0" is in use by virtio-blk-device "first" already: give each device a -drive of its own',
      ),
    );
    first.unrealize();
    second.realize(other.host);
    expect(second.realized).toBe(true);
  });
});
