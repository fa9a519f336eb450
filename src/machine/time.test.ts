// How far harts may run before somebody looks again.

import { describe, expect, test } from "vitest";
import { instructionTime, realTime, SLICE_NS } from "./time.ts";

/** A host whose guest runs at a speed in instructions per nanosecond; `slices` gives the lengths of the next ones, in ns. */
function host() {
  let clock = 0;
  const time = realTime(() => clock);
  const slices = (speed: number, count: number): number[] =>
    Array.from({ length: count }, () => {
      const budget = time.slice(Infinity, 1);
      time.turn(budget, () => 0);
      clock += budget / speed;
      time.turnEnds(budget, 0);
      time.sliceEnds(budget, budget / speed);
      return budget / speed;
    });
  return { time, slices, pass: (ns: number) => (clock += ns) };
}

describe("slices by the host's clock", () => {
  test("are as long as they should be, at any speed", () => {
    for (const speed of [0.01, 0.05, 0.2]) {
      const last = host().slices(speed, 40).at(-1)!;
      expect(last).toBeGreaterThan(SLICE_NS * 0.4);
      expect(last).toBeLessThan(SLICE_NS * 1.5);
    }
  });

  test("follow at once when a guest becomes slow", () => {
    const { slices } = host();
    slices(3, 100);
    const [first, second] = slices(0.01, 2);
    // The first could not know; what it costs is bounded.
    expect(first!).toBeLessThanOrEqual(400_000 / 0.01);
    expect(second!).toBeLessThan(SLICE_NS * 1.1);
  });

  test("and become long again when it is fast again, though the short ones say little each", () => {
    const { time, slices } = host();
    slices(0.001, 20);
    slices(2, 400);
    expect(time.slice(Infinity, 1)).toBe(400_000);
  });

  test("may end early when they take too long", () => {
    const { time, pass } = host();
    time.turn(1000, () => 0);
    expect(time.tooLong()).toBe(false);
    pass(SLICE_NS * 1.01);
    expect(time.tooLong()).toBe(true);
    // Harts share a slice.
    time.slice(Infinity, 4);
    time.turn(1000, () => 0);
    pass(SLICE_NS * 0.26);
    expect(time.tooLong()).toBe(true);
  });
});

describe("time by instructions", () => {
  test("a hart that is alone may end its turn early: no event comes elsewhere for it; one of several may not", () => {
    let clock = 0;
    const time = instructionTime(1, false, () => clock);
    const turn = (harts: number, left: number): { budget: number; tooLong: boolean } => {
      const budget = time.slice(1000, harts);
      time.turn(budget, () => left);
      clock += SLICE_NS * 2;
      const tooLong = time.tooLong();
      time.turnEnds(budget, left);
      return { budget, tooLong };
    };
    expect(turn(1, 480)).toEqual({ budget: 500, tooLong: true });
    expect(time.now()).toBe(40);
    // What is left until the event, to the instruction.
    expect(turn(1, 0)).toEqual({ budget: 480, tooLong: true });
    expect(time.now()).toBe(1000);
    expect(turn(2, 0).tooLong).toBe(false);
  });
});
