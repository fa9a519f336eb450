import { describe, expect, it } from "vitest";
import { loadTree, saveTree } from "../../device/snapshot.ts";
import { MemoryRegion } from "../../memory/region.ts";
import { MMIO_BASE, RAM_BASE, RAM_SIZE, TestDriver, type TestQueue, VirtioBoard } from "./driver-for-tests.ts";
import { VirtioRng, virtioRngType } from "./virtio-rng.ts";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** A place in RAM that no test uses for anything else. */
const FREE = RAM_BASE + 0x8_0000;

const ROM_BASE = 0x2000_0000;

interface Setup {
  readonly board: VirtioBoard;
  readonly device: VirtioRng;
  readonly driver: TestDriver;
  readonly queue: TestQueue;
}

/** The entropy device is the simplest there is: it fills every buffer with 4. */
function setup(modern: boolean, { features = -1n, size = 16 } = {}): Setup {
  const board = new VirtioBoard(modern);
  board.root.addSubregion(BigInt(ROM_BASE), MemoryRegion.rom("rom", new Uint8Array(0x1000)));
  const device = board.plug(new VirtioRng(virtioRngType));
  const driver = new TestDriver(board, modern);
  driver.negotiate(features);
  const queue = driver.queue(0, size);
  driver.start();
  return { board, device, driver, queue };
}

const BOTH = [
  ["legacy", false],
  ["modern", true],
] as const;

describe.each(BOTH)("a queue of a well-behaved driver, %s", (_name, modern) => {
  it("fills buffers, direct and indirect", () => {
    const { board, queue } = setup(modern);
    expect(queue.request([100, 28])).toEqual({
      length: 128,
      buffers: [new Uint8Array(100).fill(4), new Uint8Array(28).fill(4)],
    });
    const table = FREE;
    queue.describe(0, { address: FREE + 0x100, length: 4, flags: NEXT | WRITE, next: 2 }, table);
    queue.describe(2, { address: FREE + 0x200, length: 4, flags: WRITE, next: 0 }, table);
    queue.describe(9, { address: table, length: 48, flags: INDIRECT, next: 0 });
    queue.offer(9);
    queue.kick();
    expect(queue.usedEntry(1)).toEqual({ head: 9, length: 8 });
    expect([...board.readBytes(FREE + 0x100, 5)]).toEqual([4, 4, 4, 4, 0]);
    expect([...board.readBytes(FREE + 0x200, 5)]).toEqual([4, 4, 4, 4, 0]);
    expect(board.log).toEqual([]);
  });

  it("takes an indirect table at the end of a chain, and one longer than the queue", () => {
    const { board, queue } = setup(modern, { size: 4 });
    const table = FREE;
    for (let i = 0; i < 20; i++) {
      const flags = WRITE | (i < 19 ? NEXT : 0);
      queue.describe(i, { address: FREE + 0x1000 + i, length: 1, flags, next: i + 1 }, table);
    }
    queue.describe(0, { address: FREE + 0x2000, length: 2, flags: NEXT | WRITE, next: 1 });
    queue.describe(1, { address: table, length: 320, flags: INDIRECT, next: 0 });
    queue.offer(0);
    queue.kick();
    expect(queue.usedEntry(0)).toEqual({ head: 0, length: 22 });
    expect(board.log).toEqual([]);
  });

  it("takes buffers that cross from one RAM region to the next", () => {
    const { board, queue } = setup(modern);
    const more = new Uint8Array(0x1000);
    board.root.addSubregion(BigInt(RAM_BASE + RAM_SIZE), MemoryRegion.ram("more", more));
    queue.describe(0, { address: RAM_BASE + RAM_SIZE - 8, length: 24, flags: WRITE, next: 0 });
    queue.offer(0);
    queue.kick();
    expect(queue.usedEntry(0)).toEqual({ head: 0, length: 24 });
    expect(board.ram.at(-1)).toBe(4);
    expect([...more.subarray(14, 18)]).toEqual([4, 4, 0, 0]);
  });

  it("follows changes of the memory map", () => {
    const { board, queue } = setup(modern);
    queue.request([16]);
    const shadow = board.ram.slice();
    const other = MemoryRegion.ram("other", shadow);
    board.root.addSubregion(BigInt(RAM_BASE), other, 1);
    queue.request([16]);
    expect(queue.usedIndex).toBe(2);
    expect(Buffer.compare(board.ram, shadow)).not.toBe(0);
    board.root.removeSubregion(other);
    expect(queue.usedIndex).toBe(1);
  });

  it("announces every byte it writes", () => {
    const { board, queue } = setup(modern);
    const { head } = queue.lay([100, 28]);
    queue.offer(head);
    const before = board.ram.slice();
    const announced = new Uint8Array(RAM_SIZE);
    board.memory.onRamWrite((_region, offset, length) => announced.fill(1, offset, offset + length));
    queue.kick();
    const silent = board.ram.findIndex((byte, i) => byte !== before[i] && announced[i] === 0);
    expect(silent).toBe(-1);
    expect(announced.includes(1)).toBe(true);
  });

  it("interrupts only when it is wanted, by flag", () => {
    const { board, queue, driver } = setup(modern, { features: ~(1n << 29n) });
    queue.setAvailableFlags(1);
    queue.request([8]);
    expect([board.irq, driver.reg(0x060)]).toEqual([false, 0]);
    queue.setAvailableFlags(0);
    queue.request([8]);
    expect([board.irq, driver.reg(0x060)]).toEqual([true, 1]);
    driver.acknowledge();
    queue.kick();
    expect(board.irq).toBe(false);
  });

  it("interrupts only when it is wanted, by index", () => {
    const { board, queue, driver } = setup(modern);
    queue.request([8]);
    expect(driver.acknowledge()).toBe(1);
    queue.setUsedEvent(3);
    queue.request([8]);
    queue.request([8]);
    expect(board.irq).toBe(false);
    queue.request([8]);
    expect(driver.acknowledge()).toBe(1);
    queue.request([8]);
    expect([queue.usedIndex, board.irq]).toEqual([5, true]);
    // The driver wants to hear of the next chain each time.
    expect(queue.availableEvent).toBe(5);
  });

  it("is the same after a snapshot", () => {
    const first = setup(modern);
    first.queue.request([8]);
    first.queue.request([8]);
    const state = structuredClone(saveTree(first.board.tree));
    const second = setup(modern);
    second.driver.setReg(0x070, 0);
    loadTree(second.board.tree, state);
    second.board.ram.set(first.board.ram);
    expect(saveTree(second.board.tree)).toEqual(state);
    expect(second.board.irq).toBe(true);
    const { head } = first.queue.lay([8]);
    second.queue.describe(head, { address: FREE, length: 8, flags: WRITE, next: 0 });
    second.board.write(second.queue.available + 4 + 2 * 2, 2, head);
    second.queue.setAvailableIndex(3);
    second.queue.kick();
    expect(second.queue.usedIndex).toBe(3);
    expect(second.board.readBytes(FREE, 8)).toEqual(new Uint8Array(8).fill(4));
  });
});

describe.each(BOTH)("a queue of a hostile driver, %s", (_name, modern) => {
  const attacks: [name: string, attack: (setup: Setup) => void, complaint: RegExp][] = [
    [
      "descriptors in a loop",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 1, flags: NEXT | WRITE, next: 1 });
        queue.describe(1, { address: FREE, length: 1, flags: NEXT | WRITE, next: 0 });
        queue.offer(0);
      },
      /queue 0: the descriptor chain from 0 on does not end/,
    ],
    [
      "a descriptor that is its own next",
      ({ queue }) => {
        queue.describe(3, { address: FREE, length: 1, flags: NEXT | WRITE, next: 3 });
        queue.offer(3);
      },
      /the descriptor chain from 3 on does not end/,
    ],
    [
      "a loop in an indirect table",
      ({ queue }) => {
        queue.describe(0, { address: FREE + 64, length: 1, flags: NEXT | WRITE, next: 0 }, FREE);
        queue.describe(0, { address: FREE, length: 64, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /does not end/,
    ],
    [
      "a next descriptor past the table",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 1, flags: NEXT | WRITE, next: 16 });
        queue.offer(0);
      },
      /descriptor 16 is past the end of a table of 16/,
    ],
    ["a head past the table", ({ queue }) => queue.offer(0xffff), /descriptor 65535 is past the end/],
    [
      "a next descriptor past an indirect table",
      ({ queue }) => {
        queue.describe(0, { address: FREE + 64, length: 1, flags: NEXT | WRITE, next: 2 }, FREE);
        queue.describe(0, { address: FREE, length: 32, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /descriptor 2 is past the end of a table of 2/,
    ],
    [
      "an indirect table of odd length",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 24, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /indirect table at 0x80080000 has 24 bytes/,
    ],
    [
      "an indirect table without a byte",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 0, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /indirect table at 0x80080000 has 0 bytes/,
    ],
    [
      "an indirect table in an indirect table",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 16, flags: INDIRECT, next: 0 }, FREE);
        queue.describe(0, { address: FREE, length: 16, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /of an indirect table is indirect itself/,
    ],
    [
      "an indirect descriptor with a next one",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 16, flags: INDIRECT | NEXT, next: 1 });
        queue.offer(0);
      },
      /is indirect and has a next one/,
    ],
    [
      "an indirect table outside RAM",
      ({ queue }) => {
        queue.describe(0, { address: MMIO_BASE, length: 0xffff_fff0, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /indirect table at 0x10008000, 4294967280 bytes, is not in RAM/,
    ],
    [
      "an indirect table that leaves RAM",
      ({ queue }) => {
        queue.describe(0, { address: RAM_BASE + RAM_SIZE - 16, length: 32, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /is not in RAM/,
    ],
    [
      "a chain of more buffers than any queue has",
      ({ queue }) => {
        for (let i = 0; i < 2000; i++) {
          queue.describe(i, { address: FREE, length: 1, flags: NEXT | WRITE, next: i + 1 }, RAM_BASE);
        }
        queue.describe(0, { address: RAM_BASE, length: 32000, flags: INDIRECT, next: 0 });
        queue.offer(0);
      },
      /a chain has more than 1024 buffers/,
    ],
    [
      "a buffer in the device's own registers",
      ({ queue }) => {
        queue.describe(0, { address: MMIO_BASE + 0x50, length: 4, flags: WRITE, next: 0 });
        queue.offer(0);
      },
      /a buffer at 0x10008050, 4 bytes, is not in writable RAM/,
    ],
    [
      "a writable buffer in ROM",
      ({ queue }) => {
        queue.describe(0, { address: ROM_BASE, length: 4, flags: WRITE, next: 0 });
        queue.offer(0);
      },
      /a buffer at 0x20000000, 4 bytes, is not in writable RAM/,
    ],
    [
      "a buffer where nothing is",
      ({ queue }) => {
        queue.describe(0, { address: 0, length: 4, flags: 0, next: 0 });
        queue.offer(0);
      },
      /a buffer at 0x0, 4 bytes, is not in RAM/,
    ],
    [
      "a buffer that leaves RAM",
      ({ queue }) => {
        queue.describe(0, { address: RAM_BASE + RAM_SIZE - 4, length: 0xffff_ffff, flags: WRITE, next: 0 });
        queue.offer(0);
      },
      /a buffer at 0x803ffffc, 4294967295 bytes, is not in writable RAM/,
    ],
    [
      "a buffer that wraps round the address space",
      ({ queue }) => {
        queue.describe(0, { address: -2n, length: 0xffff_ffff, flags: WRITE, next: 0 });
        queue.offer(0);
      },
      /is not in writable RAM/,
    ],
    [
      "an address whose low word is in RAM",
      ({ queue }) => {
        queue.describe(0, { address: (1n << 53n) + BigInt(RAM_BASE), length: 4, flags: WRITE, next: 0 });
        queue.offer(0);
      },
      /a buffer at 0x20000080000000, 4 bytes, is not in writable RAM/,
    ],
    [
      "a buffer without a byte",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 0, flags: WRITE, next: 0 });
        queue.offer(0);
      },
      /a buffer at 0x80080000 has no bytes/,
    ],
    [
      "a readable buffer after a writable one",
      ({ queue }) => {
        queue.describe(0, { address: FREE, length: 4, flags: NEXT | WRITE, next: 1 });
        queue.describe(1, { address: FREE, length: 4, flags: 0, next: 0 });
        queue.offer(0);
      },
      /a readable buffer at 0x80080000 follows a writable one/,
    ],
    [
      "an available index that jumps",
      ({ queue }) => queue.setAvailableIndex(17),
      /the driver made 17 chains available in a queue of 16/,
    ],
    [
      "an available index that goes back",
      ({ queue }) => {
        queue.request([4]);
        queue.setAvailableIndex(0);
      },
      /the driver made 65535 chains available in a queue of 16/,
    ],
  ];

  it.each(attacks)("%s: the device needs a reset, and nothing else happens", (_attack, attack, complaint) => {
    const { board, device, driver, queue } = setup(modern);
    const served = queue.usedIndex;
    attack({ board, device, driver, queue });
    driver.acknowledge();
    const usedBefore = queue.usedIndex;
    const before = board.ram.slice();
    queue.kick();
    expect(board.log).toEqual([expect.stringMatching(complaint)]);
    expect(board.log[0]).toMatch(/^virtio-rng-device: .*; the device needs a reset$/);
    expect(device.failed).toBe(true);
    expect(driver.status & 0x40).toBe(0x40);
    expect(driver.acknowledge()).toBe(2);
    expect(Buffer.compare(board.ram, before)).toBe(0);
    expect(usedBefore - served).toBeLessThanOrEqual(1);

    // It keeps still, and says nothing more, until it is reset.
    queue.kick();
    driver.setReg(0x070, driver.status | 0x80);
    expect(board.log).toHaveLength(1);
    expect(driver.status & 0x40).toBe(0x40);
    driver.negotiate();
    expect(driver.status & 0x40).toBe(0);
    const again = driver.queue(0, 16);
    driver.start();
    expect(again.request([4]).buffers[0]).toEqual(new Uint8Array(4).fill(4));
    expect(board.log).toHaveLength(1);
  });

  it("an indirect descriptor that was not negotiated", () => {
    const { board, queue, device } = setup(modern, { features: ~(1n << 28n) });
    queue.describe(0, { address: FREE + 64, length: 4, flags: WRITE, next: 0 }, FREE);
    queue.describe(0, { address: FREE, length: 16, flags: INDIRECT, next: 0 });
    queue.offer(0);
    queue.kick();
    expect(device.failed).toBe(true);
    expect(board.log).toEqual([expect.stringMatching(/is indirect, which was not negotiated/)]);
  });

  it("a head that is offered again and again while it is in flight does no harm", () => {
    const { board, queue } = setup(modern);
    const { head } = queue.lay([4]);
    for (let i = 0; i < 16; i++) queue.offer(head);
    queue.kick();
    expect(queue.usedIndex).toBe(16);
    expect(board.log).toEqual([]);
  });
});
