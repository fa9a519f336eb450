import { expect, it } from "vitest";
import { ByteQueue } from "./byte-queue.ts";
import { pattern } from "./tcp-peer-for-tests.ts";

it("a queue of bytes gives back any part of what was put in and not taken off", () => {
  const queue = new ByteQueue();
  let expected = Buffer.alloc(0);
  let seed = 1;
  const pick = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  let total = 0;
  for (let round = 0; round < 5000; round++) {
    const length = [0, 1, 10, 1000, 2047, 2048, 3000][pick(7)]!;
    // Pieces shorter than 2048 bytes are copied: their owner may change them afterwards.
    const piece = pattern(length, total);
    queue.push(piece);
    expected = Buffer.concat([expected, piece]);
    total += length;
    if (length < 2048) piece.fill(0xee);
    for (let copies = pick(4); copies > 0; copies--) {
      const offset = pick(expected.length + 1);
      const count = pick(expected.length - offset + 1);
      const into = new Uint8Array(count + 2);
      queue.copy(offset, count, into, 1);
      expect(expected.subarray(offset, offset + count).equals(into.subarray(1, count + 1))).toBe(true);
      expect([into[0], into.at(-1)]).toEqual([0, 0]);
    }
    // Grows to many pieces, and is emptied now and then.
    const off = pick(40) === 0 ? expected.length : pick(Math.min(expected.length, 1500) + 1);
    queue.consume(off);
    expected = expected.subarray(off);
    expect(queue.length).toBe(expected.length);
  }
});
