// Virtual time: by the host's clock, or by counting instructions. docs/design/time.md.

import type { Sleeper } from "./pause.ts";

/** How a machine's time passes, and how far its harts may run before somebody looks again. */
export interface MachineTime {
  /** Virtual time in nanoseconds. */
  now(): number;
  /** Goes on from `ns`, as a snapshot had it. */
  set(ns: number): void;
  /** Instructions that may run, `harts` of them taking turns, before the event at `deadline` is due. */
  slice(deadline: number, harts: number): number;
  /** One hart's turn begins, is asked how far it is by `remaining`, and ends. */
  turn(budget: number, remaining: () => number): void;
  turnEnds(budget: number, remaining: number): void;
  /** A slice over all harts ended after `instructions`; it took `ns` of the host's time. */
  sliceEnds(instructions: number, ns: number): void;
  /** Nothing runs until `deadline`, or until somebody wakes the sleeper. */
  idle(deadline: number, sleeper: Sleeper): Promise<void>;
  /** Whether the turn that runs takes longer than it should, and may end early. */
  tooLong(): boolean;
  /** Whether an event earlier than planned must end the slice that runs. */
  readonly exact: boolean;
}

/** Host time between looks at the outside world: input is answered within this, and the look costs nothing against it. */
export const SLICE_NS = 2_000_000;
/**
 * Instructions of the first slice, before the speed of this host is known, and bounds for later ones. The guest may turn
 * from fast code to slow in any slice: the longest takes less than 100 ms where each instruction takes 200 ns.
 */
const FIRST_SLICE = 100_000;
const MIN_SLICE = 10_000;
const MAX_SLICE = 400_000;
/** The shortest time over which a speed is measured. */
const MEASURED_NS = 50_000;

/** Time by the host's clock. `monotonic` is in nanoseconds. */
export function realTime(monotonic: () => number): MachineTime {
  let origin = monotonic();
  const now = () => Math.floor(monotonic() - origin);
  /** Instructions per nanosecond, as seen lately; and what it is measured from, several slices if they are short. */
  let speed = 0;
  let instructions = 0;
  let time = 0;
  let started = 0;
  let allowed = SLICE_NS;
  return {
    now,
    set(ns) {
      origin = monotonic() - ns;
    },
    exact: false,
    slice(deadline, harts) {
      const wanted = speed === 0 ? FIRST_SLICE : speed * Math.min(SLICE_NS, deadline - now());
      allowed = SLICE_NS / harts;
      return Math.max(MIN_SLICE, Math.min(MAX_SLICE, Math.floor(wanted / harts)));
    },
    turn() {
      started = monotonic();
    },
    tooLong: () => monotonic() - started > allowed,
    turnEnds() {},
    sliceEnds(done, ns) {
      instructions += done;
      time += ns;
      if (time < MEASURED_NS) return;
      const measured = instructions / time;
      // Slower counts at once: the next slice must not be too long as well.
      speed = speed === 0 || measured < speed ? measured : speed * 0.8 + measured * 0.2;
      instructions = 0;
      time = 0;
    },
    idle: (deadline, sleeper) => sleeper.sleep(deadline - now()),
  };
}

/** Instructions of one hart's turn where several share the time. */
const QUANTUM = 10_000;
/** And where one has it for itself. */
const LONE_QUANTUM = 200_000;

/**
 * Time by instructions: each takes 2^shift nanoseconds, and idle time passes at once (`sleep` false) or as it would by
 * the host's clock. Every event comes at the same instruction in every run. `monotonic` only says when a turn takes long.
 */
export function instructionTime(shift: number, sleep: boolean, monotonic: () => number): MachineTime {
  const perInstruction = 2 ** shift;
  let passed = 0;
  let budget = 0;
  let remaining: (() => number) | undefined;
  let alone = true;
  let started = 0;
  const now = () => passed + (remaining === undefined ? 0 : (budget - remaining()) * perInstruction);
  return {
    now,
    set(ns) {
      passed = ns;
    },
    exact: true,
    slice(deadline, harts) {
      alone = harts === 1;
      const due = Math.max(1, Math.ceil((deadline - passed) / perInstruction / harts));
      return Math.min(harts === 1 ? LONE_QUANTUM : QUANTUM, due);
    },
    turn(given, left) {
      budget = given;
      remaining = left;
      started = monotonic();
    },
    turnEnds(given, left) {
      remaining = undefined;
      passed += (given - left) * perInstruction;
    },
    // One of several harts ends its turn where it must, or they would meet at other places in other runs.
    tooLong: () => alone && monotonic() - started > SLICE_NS,
    sliceEnds() {},
    async idle(deadline, sleeper) {
      if (deadline === Infinity) {
        await sleeper.sleep(Infinity);
        return;
      }
      if (sleep) await sleeper.sleep(deadline - passed);
      // Whoever woke us did so in the host's time; the guest's goes on from event to event.
      passed = Math.max(passed, deadline);
    },
  };
}

/** Numbers that look random and are the same in every run (xorshift32), for machines whose runs must repeat. */
export class RepeatableRandom {
  /** Not zero. What comes next depends on nothing else. */
  state = 1;

  fill(bytes: Uint8Array): void {
    let { state } = this;
    for (let i = 0; i < bytes.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      bytes[i] = state;
    }
    this.state = state;
  }
}
