import { expect, test } from "vitest";
import { EventQueue } from "./clock.ts";
import { ManualClock } from "./manual-clock.ts";

test("timers fire in the order of their deadlines, those of one instant in the order they were armed", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const timer = (name: string) => clock.timer(name, () => fired.push(`${name}@${clock.now}`));
  timer("late").at(30);
  timer("first at 20").at(20);
  timer("second at 20").at(20);
  timer("early").after(10);
  clock.advance(25);
  expect(fired).toEqual(["early@10", "first at 20@20", "second at 20@20"]);
  expect(clock.now).toBe(25);
  clock.advance(5);
  expect(fired.at(-1)).toBe("late@30");
});

test("a timer fires once; arming it again moves it", () => {
  const clock = new ManualClock();
  let count = 0;
  const timer = clock.timer("once", () => count++);
  expect([timer.armed, timer.deadline]).toEqual([false, Infinity]);
  timer.at(10);
  timer.at(20);
  expect([timer.armed, timer.deadline]).toEqual([true, 20]);
  clock.advance(15);
  expect(count).toBe(0);
  clock.advance(100);
  expect([count, timer.armed]).toEqual([1, false]);
});

test("a cancelled timer does not fire, not even one that is due already", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const victim = clock.timer("victim", () => fired.push("victim"));
  clock
    .timer("canceller", () => {
      fired.push("canceller");
      victim.cancel();
    })
    .at(10);
  victim.at(10);
  clock.timer("bystander", () => fired.push("bystander")).at(10);
  clock.advance(10);
  expect(fired).toEqual(["canceller", "bystander"]);
  victim.cancel();
  expect(clock.nextDeadline).toBe(Infinity);
});

test("a timer for a time that has passed fires at the next look, and a fraction is rounded up", () => {
  const clock = new ManualClock(100);
  const timer = clock.timer("past", () => {});
  timer.at(5);
  expect(clock.nextDeadline).toBe(5);
  clock.advance(0);
  expect(timer.armed).toBe(false);
  timer.after(0.25);
  expect(timer.deadline).toBe(101);
});

test("at(Infinity) is idle; a time that is no number is refused by name", () => {
  const timer = new ManualClock().timer("uart/tx", () => {});
  timer.at(10);
  timer.at(Infinity);
  expect(timer.armed).toBe(false);
  expect(() => timer.at(Number.NaN)).toThrow("timer uart/tx: the time to fire is not a number");
});

test("a periodic timer keeps its period without drift", () => {
  const clock = new ManualClock();
  const times: number[] = [];
  const tick = clock.timer("tick", () => {
    times.push(clock.now);
    tick.after(7);
  });
  tick.after(7);
  clock.advance(30);
  expect(times).toEqual([7, 14, 21, 28]);
});

test("runDue ends although a timer is armed for now again and again", () => {
  let now = 0;
  const queue = new EventQueue(() => now);
  let count = 0;
  const again = queue.timer("again", () => {
    count++;
    again.at(now);
  });
  again.at(0);
  queue.runDue();
  expect(count).toBe(1);
  expect(queue.nextDeadline).toBe(0);
  queue.runDue();
  expect(count).toBe(2);
  now = 1;
});

test("ManualClock says so when timers let no time pass", () => {
  const clock = new ManualClock();
  const stuck = clock.timer("stuck", () => stuck.after(0));
  stuck.after(5);
  expect(() => clock.advance(10)).toThrow(/timers keep firing at 5 ns/);
});

test("onEarlier tells of a nearer deadline, and of no other", () => {
  const queue = new EventQueue(() => 0);
  let earlier = 0;
  queue.onEarlier = () => earlier++;
  const a = queue.timer("a", () => {});
  a.at(100);
  queue.timer("b", () => {}).at(200);
  expect(earlier).toBe(1);
  queue.timer("c", () => {}).at(50);
  expect(earlier).toBe(2);
  a.at(40);
  expect(earlier).toBe(3);
  a.at(45);
  expect([earlier, queue.nextDeadline]).toEqual([3, 45]);
});

test("a timer that throws is not armed any more and holds up nobody", () => {
  const clock = new ManualClock();
  let other = false;
  clock
    .timer("broken", () => {
      throw new Error("model bug");
    })
    .at(1);
  clock.timer("other", () => (other = true)).at(1);
  expect(() => clock.advance(1)).toThrow("model bug");
  clock.advance(1);
  expect(other).toBe(true);
});

test("many timers armed in random order fire sorted", () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  let seed = 1;
  for (let i = 0; i < 500; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    const time = seed % 1000;
    const timer = clock.timer(`t${i}`, () => fired.push(clock.now));
    timer.at(time);
    if (i % 5 === 0) timer.cancel();
  }
  clock.advance(1000);
  expect(fired.length).toBe(400);
  expect(fired).toEqual([...fired].sort((a, b) => a - b));
});
