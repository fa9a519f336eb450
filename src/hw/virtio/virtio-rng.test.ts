import { describe, expect, it } from "vitest";
import { UserError } from "../../util/user-error.ts";
import { TestDriver, VirtioBoard } from "./driver-for-tests.ts";
import { VirtioRng, virtioRngType } from "./virtio-rng.ts";

describe("virtio-rng-device", () => {
  function setup() {
    const board = new VirtioBoard(true);
    board.plug(new VirtioRng(virtioRngType));
    const driver = new TestDriver(board, true);
    driver.negotiate();
    const queue = driver.queue(0, 16);
    driver.start();
    return { board, driver, queue };
  }

  it("is what it says", () => {
    const { driver } = setup();
    expect(driver.reg(0x008)).toBe(4);
    expect(driver.config(0, 1)).toBe(0xff);
  });

  it("asks the host for as many bytes as it gives", () => {
    const { board, queue } = setup();
    const asked: number[] = [];
    board.host.random = (bytes) => {
      asked.push(bytes.length);
      bytes.fill(0xa5);
    };
    expect(queue.request([3, 5])).toEqual({
      length: 8,
      buffers: [new Uint8Array(3).fill(0xa5), new Uint8Array(5).fill(0xa5)],
    });
    expect(asked).toEqual([8]);
  });

  it("asks another source if it is given one", () => {
    const board = new VirtioBoard(false);
    const device = new VirtioRng(virtioRngType);
    device.set("rng", { fill: (bytes: Uint8Array) => bytes.fill(0x99) });
    board.plug(device);
    const driver = new TestDriver(board, false);
    driver.negotiate();
    const queue = driver.queue(0, 16);
    expect(queue.request([2]).buffers[0]).toEqual(Uint8Array.of(0x99, 0x99));
    const wrong = new VirtioRng(virtioRngType);
    wrong.set("rng", {});
    expect(() => new VirtioBoard(false).plug(wrong)).toThrow(
      new UserError(
        "virtio-rng-device.rng: this is no source of random numbers: expected the id of an -object rng-...",
      ),
    );
  });

  it("gives at most 4096 bytes for a request", () => {
    const { queue } = setup();
    const { length, buffers } = queue.request([10_000]);
    expect(length).toBe(4096);
    expect([buffers[0]![4095], buffers[0]![4096]]).toEqual([4, 0xee]);
  });

  it("returns a request without room, and says so", () => {
    const { board, queue } = setup();
    expect(queue.request([new Uint8Array(8)]).length).toBe(0);
    expect(board.log).toEqual(["virtio-rng-device: a request has no buffer to be filled"]);
  });
});
