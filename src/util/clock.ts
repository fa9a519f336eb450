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
 * Timers in the order of their deadlines, over a source of virtual time.
 *
 * The machine runs its guest until `nextDeadline` and then calls `runDue`.
 */
export class EventQueue implements Clock {
  /** Called when the next deadline moves nearer, so that a sleeping or running machine can plan anew. */
  onEarlier: () => void = () => {};
  readonly #now: () => number;
  /** The armed timers, the next one last: it is the cheap end to take from. */
  readonly #armed: QueuedTimer[] = [];
  #armings = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  /** The earliest deadline, Infinity when nothing is armed. */
  get nextDeadline(): number {
    return this.#armed.at(-1)?.deadline ?? Infinity;
  }

  timer(name: string, fire: () => void): Timer {
    return new QueuedTimer(this, name, fire);
  }

  /**
   * Fires the timers whose time has come, earliest first, and those of one instant in the order they were armed.
   * A timer armed meanwhile waits for the next call even if it is due, so a period of zero cannot hang the machine.
   */
  runDue(): void {
    const now = this.#now();
    const lastArming = this.#armings;
    for (let timer = this.#due(now, lastArming); timer !== undefined; timer = this.#due(now, lastArming)) {
      this.remove(timer);
      timer.fire();
    }
  }

  #due(now: number, lastArming: number): QueuedTimer | undefined {
    for (let index = this.#armed.length - 1; index >= 0; index--) {
      const timer = this.#armed[index]!;
      if (timer.deadline > now) return undefined;
      if (timer.arming <= lastArming) return timer;
    }
    return undefined;
  }

  /** Puts `timer` in its place. Only for this file's timers. */
  insert(timer: QueuedTimer, deadline: number): void {
    this.remove(timer);
    const before = this.nextDeadline;
    timer.deadline = deadline;
    timer.arming = ++this.#armings;
    // Few timers are armed at a time, and most are re-armed near the front.
    let index = this.#armed.length;
    while (index > 0 && this.#armed[index - 1]!.deadline <= deadline) index--;
    this.#armed.splice(index, 0, timer);
    if (deadline < before) this.onEarlier();
  }

  /** Takes `timer` out. Only for this file's timers. */
  remove(timer: QueuedTimer): void {
    if (timer.deadline === Infinity) return;
    timer.deadline = Infinity;
    this.#armed.splice(this.#armed.lastIndexOf(timer), 1);
  }
}

class QueuedTimer implements Timer {
  readonly name: string;
  readonly fire: () => void;
  deadline = Infinity;
  /** The running number of the arming, which orders timers of one instant. */
  arming = 0;
  readonly #queue: EventQueue;

  constructor(queue: EventQueue, name: string, fire: () => void) {
    this.#queue = queue;
    this.name = name;
    this.fire = fire;
  }

  get armed(): boolean {
    return this.deadline !== Infinity;
  }

  at(ns: number): void {
    if (Number.isNaN(ns)) throw new RangeError(`timer ${this.name}: the time to fire is not a number`);
    // Rounded up: a timer never fires before its time.
    if (ns === Infinity) this.cancel();
    else this.#queue.insert(this, Math.ceil(ns));
  }

  after(ns: number): void {
    this.at(this.#queue.now + ns);
  }

  cancel(): void {
    this.#queue.remove(this);
  }
}
