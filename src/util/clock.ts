// Virtual time and the timers on it. Devices know no other time (docs/design/time.md).

/** Virtual time: whole nanoseconds since the machine started, exact for 104 days (2^53 ns). */
export interface Clock {
  readonly now: number;
  /** A new timer, idle until armed. The name shows in errors and in the monitor. */
  timer(name: string, fire: () => void): Timer;
}

/** A one-shot timer: armed once, it fires once. Arming it again moves it. */
export interface Timer {
  readonly name: string;
  /** Arms the timer for an absolute time; a time that has passed fires as soon as the machine looks. */
  at(ns: number): void;
  /** Arms the timer for `ns` from now. */
  after(ns: number): void;
  cancel(): void;
  readonly armed: boolean;
  /** The time at which it fires, Infinity when idle. */
  readonly deadline: number;
}

/**
 * A clock with timers, over a source of virtual time.
 *
 * The machine runs its guest until `nextDeadline` and then calls `runDue`.
 */
export class EventQueue implements Clock {
  /** Called when the next deadline moves nearer, so that a sleeping or running machine can plan anew. */
  onEarlier: () => void = () => {};
  readonly #now: () => number;
  readonly #armed = new ArmedTimers(() => this.onEarlier());

  constructor(now: () => number) {
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  /** The earliest deadline, Infinity when nothing is armed. */
  get nextDeadline(): number {
    return this.#armed.nextDeadline;
  }

  timer(name: string, fire: () => void): Timer {
    return new QueuedTimer(name, fire, this.#now, this.#armed);
  }

  /**
   * Fires the timers whose time has come, earliest first, and those of one instant in the order they were armed.
   * A timer armed meanwhile waits for the next call even if it is due, so a period of zero cannot hang the machine.
   */
  runDue(): void {
    const now = this.#now();
    const last = this.#armed.lastArming;
    for (let timer = this.#armed.due(now, last); timer !== undefined; timer = this.#armed.due(now, last)) {
      timer.cancel();
      timer.fire();
    }
  }
}

/** The armed timers of a queue, in the order they will fire. */
class ArmedTimers {
  /** How often a timer was armed so far: the running number of the last time. */
  lastArming = 0;
  readonly #onEarlier: () => void;
  /** The next one last: it is the cheap end to take from. */
  readonly #timers: QueuedTimer[] = [];

  constructor(onEarlier: () => void) {
    this.#onEarlier = onEarlier;
  }

  get nextDeadline(): number {
    return this.#timers.at(-1)?.deadline ?? Infinity;
  }

  /** The next timer to fire at `now`, of those armed up to the arming `last`. */
  due(now: number, last: number): QueuedTimer | undefined {
    for (let index = this.#timers.length - 1; index >= 0; index--) {
      const timer = this.#timers[index]!;
      if (timer.deadline > now) return undefined;
      if (timer.arming <= last) return timer;
    }
    return undefined;
  }

  insert(timer: QueuedTimer, deadline: number): void {
    const before = this.nextDeadline;
    this.remove(timer);
    timer.deadline = deadline;
    timer.arming = ++this.lastArming;
    // Few timers are armed at a time, and most are armed again near the front.
    let index = this.#timers.length;
    while (index > 0 && this.#timers[index - 1]!.deadline <= deadline) index--;
    this.#timers.splice(index, 0, timer);
    if (deadline < before) this.#onEarlier();
  }

  remove(timer: QueuedTimer): void {
    if (timer.deadline === Infinity) return;
    timer.deadline = Infinity;
    this.#timers.splice(this.#timers.lastIndexOf(timer), 1);
  }
}

class QueuedTimer implements Timer {
  readonly name: string;
  readonly fire: () => void;
  deadline = Infinity;
  /** The running number of its arming, which orders timers of one instant. */
  arming = 0;
  readonly #now: () => number;
  readonly #armed: ArmedTimers;

  constructor(name: string, fire: () => void, now: () => number, armed: ArmedTimers) {
    this.name = name;
    this.fire = fire;
    this.#now = now;
    this.#armed = armed;
  }

  get armed(): boolean {
    return this.deadline !== Infinity;
  }

  at(ns: number): void {
    if (Number.isNaN(ns)) throw new RangeError(`timer ${this.name}: the time to fire is not a number`);
    // Rounded up: a timer never fires before its time.
    if (ns === Infinity) this.cancel();
    else this.#armed.insert(this, Math.ceil(ns));
  }

  after(ns: number): void {
    this.at(this.#now() + ns);
  }

  cancel(): void {
    this.#armed.remove(this);
  }
}
