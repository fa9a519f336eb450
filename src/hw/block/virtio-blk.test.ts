import { describe, expect, it } from "vitest";
import { Drive } from "../../backend/block-drive.ts";
import { MemoryStore } from "../../backend/block-memory.ts";
import { RawBlock } from "../../backend/block-raw.ts";
import type { PropertyValue } from "../../qom/property.ts";
import { UserError } from "../../util/user-error.ts";
import { type Buffer, VirtioBoard } from "../virtio/driver-for-tests.ts";
import {
  ask,
  DISCARD,
  FLUSH,
  filled,
  GET_ID,
  header,
  IN,
  numbered,
  OUT,
  range,
  SECTORS,
  setup,
  WRITE_ZEROES,
} from "./blk-for-tests.ts";
import { VirtioBlk, virtioBlkType } from "./virtio-blk.ts";

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
