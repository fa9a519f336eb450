import { describe, expect, test } from "vitest";
import { MemoryRegion } from "../memory/region.ts";
import { containerType } from "../qom/object.ts";
import type { TypeInfo } from "../qom/type-info.ts";
import { createObject } from "../qom/type-registry.ts";
import type { Timer } from "../util/clock.ts";
import { UserError } from "../util/user-error.ts";
import { Device, deviceType, SysBusDevice, sysBusDeviceType } from "./device.ts";
import { testHost } from "./host-for-tests.ts";

/** A device with a register that counts, an interrupt that follows it, and a timer. */
class Counter extends SysBusDevice {
  count = 0;
  tick: Timer | undefined;
  readonly setIrq = this.initIrq();

  constructor(type: TypeInfo) {
    super(type);
    this.initMmio(
      MemoryRegion.io("counter", 8, {
        read: () => this.count,
        write: (_offset, value) => this.#set(value),
      }),
    );
  }

  #set(value: number): void {
    if (value > this.getNumber("limit")) {
      this.guestError(`${value} is above the limit`);
      return;
    }
    this.count = value;
    this.setIrq(value > 0);
  }

  protected override onRealize(): void {
    if (this.getNumber("limit") === 0) throw new UserError("counter.limit: 0 is not a limit: give 1 or more");
    this.tick = this.timer("tick", () => this.count++);
    this.initMmio(MemoryRegion.ram("counter.buffer", this.host.allocateRam(this.getNumber("limit"))));
    this.initIrq("late");
  }
}

const counterType: TypeInfo<Counter> = {
  name: "counter",
  parent: sysBusDeviceType,
  properties: { limit: { type: "uint32", default: 100 } },
  create: (type) => new Counter(type),
};

describe("realize", () => {
  test("connects the device to its machine", () => {
    const host = testHost();
    const counter = createObject(counterType);
    expect(counter.realized).toBe(false);
    expect(() => counter.host).toThrow("counter has no machine before it is realized");
    counter.realize(host);
    expect([counter.realized, counter.host]).toEqual([true, host]);
    expect(counter.mmio.map((region) => region.name)).toEqual(["counter", "counter.buffer"]);
    expect([...counter.children.keys()]).toEqual(["counter[0]", "counter.buffer[0]"]);
  });

  test("twice is a mistake", () => {
    const counter = createObject(containerType).addChild("dev0", createObject(counterType));
    counter.realize(testHost());
    expect(() => counter.realize(testHost())).toThrow(new UserError("/dev0 (counter) is realized already"));
    expect(counter.realized).toBe(true);
  });

  test("fixes the properties until unrealize", () => {
    const counter = createObject(containerType).addChild("dev0", createObject(counterType));
    counter.realize(testHost());
    expect(() => counter.set("limit", 5)).toThrow(
      new UserError("counter.limit cannot be set any more: /dev0 is realized"),
    );
    counter.unrealize();
    counter.set("limit", 5);
    expect(counter.getNumber("limit")).toBe(5);
  });

  test("that fails leaves the device as it was, with nothing realized below it", () => {
    class Board extends Device {
      readonly good = this.addChild("good", createObject(counterType));
      readonly bad = this.addChild("bad", createObject(counterType, { limit: 0 }));
      protected override onRealize(): void {
        this.good.realize(this.host);
        this.bad.realize(this.host);
      }
    }
    const board = new Board({ name: "board", parent: deviceType });
    const host = testHost();
    expect(() => board.realize(host)).toThrow(new UserError("counter.limit: 0 is not a limit: give 1 or more"));
    expect([board.realized, board.good.realized, board.bad.realized]).toEqual([false, false, false]);
    board.bad.set("limit", 1);
    board.realize(host);
    expect([board.realized, board.good.realized, board.bad.realized]).toEqual([true, true, true]);
    board.unrealize();
    expect([board.realized, board.good.realized, board.bad.realized]).toEqual([false, false, false]);
  });
});

describe("unrealize", () => {
  test("cancels timers, takes regions off the map, and leaves what the constructor made", () => {
    const host = testHost();
    const counter = createObject(counterType);
    counter.realize(host);
    host.system.addSubregion(0x1000n, counter.mmio[0]!);
    host.system.addSubregion(0x2000n, counter.mmio[1]!);
    counter.tick!.after(10);
    counter.unrealize();
    host.clock.advance(20);
    expect(counter.count).toBe(0);
    expect(host.memory.flatView.ranges).toEqual([]);
    expect(counter.mmio.map((region) => region.name)).toEqual(["counter"]);
    expect(counter.irqNames).toEqual(["irq0"]);
    expect([...counter.children.keys()]).toEqual(["counter[0]"]);
    counter.unrealize();
  });

  test("and realize again is like new", () => {
    const counter = createObject(counterType);
    for (let i = 0; i < 2; i++) {
      counter.realize(testHost());
      expect([counter.mmio.length, counter.irqNames]).toEqual([2, ["irq0", "late"]]);
      counter.unrealize();
    }
  });

  test("comes before the device leaves the tree", () => {
    const host = testHost();
    const root = createObject(containerType);
    const counter = root.addChild("dev0", createObject(counterType));
    counter.realize(host);
    host.system.addSubregion(0x1000n, counter.mmio[0]!);
    root.unparent();
    expect([counter.realized, counter.parent, host.memory.flatView.ranges.length]).toEqual([false, undefined, 0]);
  });
});

describe("a system-bus device", () => {
  test("is reached through its region, and drives its line", () => {
    const host = testHost();
    const counter = createObject(counterType, { limit: 7 });
    counter.realize(host);
    host.system.addSubregion(0x1000n, counter.mmio[0]!);
    const levels: boolean[] = [];
    host.memory.store(0x1000, 4, 1, 0);
    counter.connectIrq(0, (level) => levels.push(level));
    host.memory.store(0x1000, 4, 5, 0);
    host.memory.store(0x1000, 4, 0, 0);
    expect(levels).toEqual([true, false]);
    host.memory.store(0x1000, 4, 8, 0);
    expect(host.guestErrors).toEqual(["counter: 8 is above the limit"]);
  });

  test("names the interrupt it does not have", () => {
    expect(() => createObject(counterType).connectIrq(1, () => {})).toThrow("counter has no interrupt 1: it has 1");
  });
});

test("timers are named after the device", () => {
  const counter = createObject(containerType).addChild("dev0", createObject(counterType));
  counter.realize(testHost());
  expect(counter.tick!.name).toBe("/dev0/tick");
  const loose = createObject(counterType);
  loose.realize(testHost());
  expect(loose.tick!.name).toBe("counter/tick");
});
