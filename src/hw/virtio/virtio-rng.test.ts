import { describe, expect, it } from "vitest";
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
