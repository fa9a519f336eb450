// The virtio disk's work with the host's side: caches, errors, batches, disks that take their time, snapshots.

import { describe, expect, it } from "vitest";
import { type BlockBackend, BlockError } from "../../backend/block.ts";
import { MemoryStore } from "../../backend/block-memory.ts";
import { RawBlock } from "../../backend/block-raw.ts";
import { loadTree, saveTree } from "../../device/snapshot.ts";
import { RAM_BASE } from "../virtio/driver-for-tests.ts";
import { ask, FLUSH, filled, header, IN, OUT, SECTORS, setup } from "./blk-for-tests.ts";

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

  it("is not kept busy for ever by a request that makes the next one available", () => {
    // Each sector that is read lies over the header, in unused descriptors, and the available index behind them: it
    // brings the number of the next sector, and an index that is further on.
    const SIZE = 1024;
    const image = new Uint8Array(16384 * 512);
    const view = new DataView(image.buffer);
    for (let sector = 0; sector < 16384; sector++) {
      view.setUint32(512 * sector + 8, sector + 1, true);
      view.setUint16(512 * sector + 510, sector + 512, true);
    }
    const { board, device, driver } = setup(image);
    driver.negotiate();
    const queue = driver.queue(0, SIZE);
    driver.start();
    const at = queue.available + 4 - 512;
    board.writeBytes(at, header(IN, 0));
    queue.describe(0, { address: at, length: 16, flags: 1, next: 1 });
    queue.describe(1, { address: at, length: 512, flags: 3, next: 2 });
    queue.describe(2, { address: RAM_BASE, length: 1, flags: 2, next: 0 });
    queue.setAvailableIndex(1);
    queue.kick();
    const served = queue.usedIndex;
    expect(served).toBeGreaterThan(SIZE);
    expect(device.failed).toBe(false);
    board.clock.runDue();
    expect(queue.usedIndex).toBeGreaterThan(served);
    driver.setReg(0x070, 0);
    expect(board.clock.nextDeadline).toBe(Number.POSITIVE_INFINITY);
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

    it("does not touch the memory of a queue that was reset alone", async () => {
      const disk = new Slow();
      const { board, queue, driver } = setup(disk, { modern: true, properties: { "num-queues": 2 } });
      const other = driver.queue(1, 16);
      const [lost, kept] = [queue.lay([header(IN, 1), 512, 1]), queue.lay([header(IN, 2), 512, 1])];
      queue.offer(lost.head);
      queue.kick();
      for (const i of [0, 1, 2]) {
        const [address, length] = kept.writable[i - 1] ?? [kept.writable[0]![0] - 64 - 16, 16];
        other.describe(i, { address, length, flags: (i > 0 ? 2 : 0) | (i < 2 ? 1 : 0), next: i + 1 });
      }
      other.offer(0);
      other.kick();
      expect(disk.pending.map(({ call }) => call)).toEqual(["read 512", "read 1024"]);
      driver.setReg(0x030, 0);
      driver.setReg(0x0c0, 1);
      for (const { end } of disk.pending) end();
      await settle();
      expect(board.readBytes(lost.writable[0]![0], 512)).toEqual(filled(512, 0xee));
      expect(board.readBytes(lost.writable[1]![0], 1)).toEqual(filled(1, 0xee));
      expect(queue.usedIndex).toBe(0);
      expect(other.usedEntry(0)).toEqual({ head: 0, length: 513 });
      expect(board.readBytes(kept.writable[0]![0], 512)).toEqual(filled(512, 0x11));
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
