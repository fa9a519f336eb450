import { describe, expect, it } from "vitest";
import { resetTree } from "../../device/reset.ts";
import { saveTree } from "../../device/snapshot.ts";
import { cells, cells64, FdtNode } from "../../fdt/fdt-node.ts";
import { UserError } from "../../util/user-error.ts";
import { MMIO_BASE, RAM_BASE, RAM_SIZE, TestDriver, VirtioBoard } from "./driver-for-tests.ts";
import { VirtioDevice, virtioDeviceType } from "./virtio-device.ts";
import { VirtioRng, virtioRngType } from "./virtio-rng.ts";

const Reg = {
  DeviceFeatures: 0x010,
  DeviceFeaturesSel: 0x014,
  DriverFeatures: 0x020,
  DriverFeaturesSel: 0x024,
  GuestPageSize: 0x028,
  QueueSel: 0x030,
  QueueNumMax: 0x034,
  QueueNum: 0x038,
  QueueAlign: 0x03c,
  QueuePFN: 0x040,
  QueueReady: 0x044,
  QueueNotify: 0x050,
  InterruptStatus: 0x060,
  InterruptACK: 0x064,
  Status: 0x070,
  QueueDescLow: 0x080,
  QueueDescHigh: 0x084,
  QueueDriverLow: 0x090,
  QueueDeviceLow: 0x0a0,
  SHMLenLow: 0x0b0,
  QueueReset: 0x0c0,
  ConfigGeneration: 0x0fc,
} as const;

/** A device with a configuration space of six bytes, of which the first can be written. */
class Configured extends VirtioDevice {
  override readonly virtioId = 42;
  notified: number[] = [];
  protected override onRealize(): void {
    super.onRealize();
    for (let i = 0; i < 2; i++) this.addQueue(8, (queue) => this.notified.push(queue.index));
    this.offer(3);
    this.offer(33);
    this.config = new DataView(Uint8Array.of(1, 2, 3, 4, 5, 6).buffer);
  }
  protected override onConfigWrite(offset: number, value: number): void {
    if (offset > 0) super.onConfigWrite(offset, value);
    else this.config.setUint8(0, value);
  }
  change(): void {
    this.config.setUint8(5, this.config.getUint8(5) + 1);
    this.configChanged();
  }
}

function setup(modern: boolean) {
  const board = new VirtioBoard(modern);
  const device = board.plug(new Configured({ name: "configured", parent: virtioDeviceType }));
  return { board, device, driver: new TestDriver(board, modern) };
}

/** What a guest finds in the registers from `first` on. */
function registers(driver: TestDriver, ...offsets: number[]): number[] {
  return offsets.map((offset) => driver.reg(offset));
}

const BOTH = [
  ["legacy", false],
  ["modern", true],
] as const;

describe.each(BOTH)("virtio-mmio, %s", (_name, modern) => {
  it("without a device has three registers", () => {
    const board = new VirtioBoard(modern);
    const driver = new TestDriver(board, modern);
    expect(registers(driver, 0, 4, 8, 12, 0x10, 0x34, 0x70, 0x100)).toEqual([
      0x74726976,
      modern ? 2 : 1,
      0,
      0x554d4551,
      0,
      0,
      0,
      0,
    ]);
    driver.setReg(Reg.Status, 1);
    driver.setReg(Reg.QueueNotify, 0);
    driver.setConfig(0, 4, 1);
    expect(board.log).toEqual([]);
  });

  it("does not show a device that is not realized", () => {
    const board = new VirtioBoard(modern);
    board.transport.plug(new VirtioRng(virtioRngType));
    expect(new TestDriver(board, modern).reg(8)).toBe(0);
  });

  it("shows the device", () => {
    const { driver, device } = setup(modern);
    expect(registers(driver, 0, 4, 8, 12)).toEqual([0x74726976, modern ? 2 : 1, 42, 0x554d4551]);
    expect(driver.features).toBe(device.offeredFeatures);
    const expected = modern ? [3, 28, 29, 32, 33, 40] : [3, 27, 28, 29];
    for (const bit of expected) expect([bit, (device.offeredFeatures >> BigInt(bit)) & 1n]).toEqual([bit, 1n]);
    driver.setReg(Reg.DeviceFeaturesSel, 2);
    expect(driver.reg(Reg.DeviceFeatures)).toBe(0);
    expect(driver.reg(Reg.SHMLenLow)).toBe(0xffff_ffff);
    for (const [queue, max] of [
      [0, 1024],
      [1, 1024],
      [2, 0],
      [0xffff_ffff, 0],
    ] as const) {
      driver.setReg(Reg.QueueSel, queue);
      expect(driver.reg(Reg.QueueNumMax)).toBe(max);
    }
  });

  it("tells of changes of the configuration", () => {
    const { board, device, driver } = setup(modern);
    device.change();
    expect(board.irq).toBe(false);
    driver.negotiate();
    driver.start();
    device.change();
    expect([board.irq, driver.reg(Reg.InterruptStatus)]).toEqual([true, 2]);
    driver.setReg(Reg.InterruptACK, 1);
    expect(board.irq).toBe(true);
    driver.setReg(Reg.InterruptACK, 2);
    expect([board.irq, driver.reg(Reg.InterruptStatus)]).toEqual([false, 0]);
    if (modern) expect(driver.reg(Reg.ConfigGeneration)).toBe(2);
  });

  it("gives the configuration in every size, and nothing outside of it", () => {
    const { board, driver } = setup(modern);
    expect([driver.config(0, 4), driver.config(4, 2), driver.config(3, 1)]).toEqual([0x04030201, 0x0605, 4]);
    driver.setConfig(0, 1, 0x77);
    expect(driver.config(0, 2)).toBe(0x0277);
    expect(board.log).toEqual([]);
    expect([driver.config(4, 4), driver.config(6, 1), driver.config(0xfc, 4)]).toEqual([
      0xffff_ffff, 0xff, 0xffff_ffff,
    ]);
    driver.setConfig(4, 4, 0);
    driver.setConfig(0xfc, 4, 0);
    driver.setConfig(1, 1, 0);
    expect(driver.config(0, 4)).toBe(0x04030277);
    expect(board.log).toEqual([
      expect.stringMatching(/configured: read of 4 bytes past the configuration space, at offset 0x4/),
      expect.stringMatching(/read of 1 bytes past/),
      expect.stringMatching(/read of 4 bytes past/),
      expect.stringMatching(/write of 4 bytes past the configuration space, at 0x4/),
      expect.stringMatching(/write of 4 bytes past/),
      expect.stringMatching(/the configuration byte at offset 0x1 is read-only/),
    ]);
  });

  it("logs accesses that it does not have", () => {
    const { board, driver } = setup(modern);
    expect(board.read(MMIO_BASE, 1)).toBe(0);
    expect(board.read(MMIO_BASE + 0x70, 2)).toBe(0);
    board.write(MMIO_BASE + 0x70, 1, 1);
    driver.reg(Reg.QueueNotify);
    driver.setReg(Reg.QueueNumMax, 1);
    driver.reg(0x01c);
    const other = modern ? Reg.QueuePFN : Reg.QueueReady;
    driver.reg(other);
    driver.setReg(other, 1);
    expect(driver.status).toBe(0);
    const version = modern ? 2 : 1;
    const name = modern ? "0x40 (QueuePFN)" : "0x44 (QueueReady)";
    expect(board.log).toEqual([
      "virtio-mmio: invalid read of 1 bytes at 0x0 (MagicValue): registers take 4 bytes at a time",
      "virtio-mmio: invalid read of 2 bytes at 0x70 (Status): registers take 4 bytes at a time",
      "virtio-mmio: invalid write of 1 bytes at 0x70 (Status): registers take 4 bytes at a time",
      "virtio-mmio: invalid read of 4 bytes at 0x50 (QueueNotify): it cannot be read",
      "virtio-mmio: invalid write of 4 bytes at 0x34 (QueueNumMax): it cannot be written",
      "virtio-mmio: invalid read of 4 bytes at 0x1c (no register): it cannot be read",
      `virtio-mmio: invalid read of 4 bytes at ${name}: not in version ${version} of the interface`,
      `virtio-mmio: invalid write of 4 bytes at ${name}: not in version ${version} of the interface`,
    ]);
  });

  it("notifies the queue that the driver names, and no other", () => {
    const { board, device, driver } = setup(modern);
    driver.negotiate();
    driver.queue(1, 8);
    driver.start();
    driver.setReg(Reg.QueueNotify, 1);
    driver.setReg(Reg.QueueNotify, 0);
    expect(device.notified).toEqual([1]);
    driver.setReg(Reg.QueueNotify, 2);
    driver.setReg(Reg.QueueNotify, 0xffff_ffff);
    expect(device.notified).toEqual([1]);
    expect(board.log).toEqual([
      "configured: notification of queue 2: there are 2",
      "configured: notification of queue 4294967295: there are 2",
    ]);
    expect(device.failed).toBe(false);
  });

  it.each([
    [0, /queue 0: a size of 0 is no power of two from 1 to 1024/],
    [3, /queue 0: a size of 3 is no power of two/],
    [1000, /queue 0: a size of 1000 is no power of two/],
    [2048, /queue 0: a size of 2048 is no power of two/],
    [0x8000_0000, /queue 0: a size of 2147483648 is no power of two/],
    [0xffff_ffff, /queue 0: a size of 4294967295 is no power of two/],
  ])("refuses a queue of %d entries", (size, complaint) => {
    const { board, device, driver } = setup(modern);
    driver.negotiate();
    driver.setReg(Reg.QueueNum, size);
    expect(driver.status & 0x40).toBe(0x40);
    expect(device.failed).toBe(true);
    expect(board.log).toEqual([expect.stringMatching(complaint)]);
  });

  it("refuses to change the size of a queue in use", () => {
    const { board, driver } = setup(modern);
    driver.negotiate();
    driver.queue(0, 8);
    driver.setReg(Reg.QueueNum, 16);
    expect(board.log).toEqual([expect.stringMatching(/queue 0: its size was set to 16 while it is in use/)]);
    expect(driver.status & 0x40).toBe(0x40);
  });

  it("ignores the registers of a queue that is not there", () => {
    const { board, driver, device } = setup(modern);
    driver.negotiate();
    driver.setReg(Reg.QueueSel, 7);
    driver.setReg(Reg.QueueNum, 16);
    driver.setReg(modern ? Reg.QueueReady : Reg.QueuePFN, 1);
    expect(driver.reg(modern ? Reg.QueueReady : Reg.QueuePFN)).toBe(0);
    expect(board.log).toEqual([
      "virtio-mmio: QueueNum: there is no queue 7",
      `virtio-mmio: ${modern ? "QueueReady" : "QueuePFN"}: there is no queue 7`,
    ]);
    expect(device.failed).toBe(false);
  });

  it("refuses rings that are not in RAM", () => {
    const { board, driver } = setup(modern);
    driver.negotiate();
    driver.setReg(Reg.QueueNum, 1024);
    if (modern) {
      driver.setReg(Reg.QueueDescLow, RAM_BASE + RAM_SIZE - 16);
      driver.setReg(Reg.QueueDriverLow, RAM_BASE);
      driver.setReg(Reg.QueueDeviceLow, RAM_BASE + 0x1000);
      driver.setReg(Reg.QueueReady, 1);
    } else driver.setReg(Reg.QueuePFN, (RAM_BASE + RAM_SIZE) / 4096 - 1);
    expect(board.log).toEqual([expect.stringMatching(/queue 0: its rings of 1024 entries at .* are not in RAM/)]);
    expect(driver.status & 0x40).toBe(0x40);
    expect(driver.reg(modern ? Reg.QueueReady : Reg.QueueNum)).toBe(0);
  });

  it("comes back to its beginning by a write of 0 to the status, and by the machine's reset", () => {
    const { board, device, driver } = setup(modern);
    const restart = () => {
      driver.negotiate();
      driver.queue(0, 8);
      driver.start();
      device.change();
      expect(board.irq).toBe(true);
    };
    restart();
    driver.setReg(Reg.Status, 0);
    expect([board.irq, driver.status, driver.reg(Reg.InterruptStatus), device.features]).toEqual([false, 0, 0, 0n]);
    driver.setReg(Reg.QueueSel, 0);
    expect(device.queues[0]!.enabled).toBe(false);
    restart();
    resetTree(board.tree);
    expect([board.irq, driver.status, driver.reg(Reg.InterruptStatus), device.features]).toEqual([false, 0, 0, 0n]);
    expect(device.queues[0]!.enabled).toBe(false);
    const { generation: _, ...fresh } = setup(modern).device.save() as Record<string, unknown>;
    expect(device.save()).toMatchObject(fresh);
    expect(board.transport.save()).toEqual(setup(modern).board.transport.save());
  });
});

describe("virtio-mmio, legacy", () => {
  it("lays queues out in pages, the used ring aligned", () => {
    const { device, driver } = setup(false);
    driver.negotiate();
    driver.setReg(Reg.QueueNum, 256);
    driver.setReg(Reg.QueueAlign, 4096);
    driver.setReg(Reg.QueuePFN, RAM_BASE / 4096 + 1);
    expect(driver.reg(Reg.QueuePFN)).toBe(RAM_BASE / 4096 + 1);
    const [queue] = device.queues;
    expect([queue!.descriptors, queue!.available, queue!.used]).toEqual([
      RAM_BASE + 0x1000,
      RAM_BASE + 0x2000,
      RAM_BASE + 0x3000,
    ]);
    driver.setReg(Reg.QueuePFN, 0);
    expect([queue!.enabled, driver.reg(Reg.QueuePFN)]).toEqual([false, 0]);
    // The room for used_event counts: with an alignment of 4 it moves the used ring.
    driver.setReg(Reg.QueueNum, 2);
    driver.setReg(Reg.QueueAlign, 4);
    driver.setReg(Reg.QueuePFN, RAM_BASE / 4096);
    expect([queue!.available, queue!.used]).toEqual([RAM_BASE + 32, RAM_BASE + 44]);
  });

  it("has pages of the guest's size, which outlive a reset", () => {
    const { device, driver, board } = setup(false);
    driver.setReg(Reg.GuestPageSize, 65536);
    driver.setReg(Reg.Status, 0);
    driver.setReg(Reg.QueueNum, 8);
    driver.setReg(Reg.QueuePFN, RAM_BASE / 65536 + 1);
    expect(device.queues[0]!.descriptors).toBe(RAM_BASE + 65536);
    driver.setReg(Reg.GuestPageSize, 1000);
    expect(board.log).toEqual(["virtio-mmio: GuestPageSize: 1000 is no power of two"]);
  });

  it("needs the page size first, and an alignment that is one", () => {
    const { driver, board } = setup(false);
    driver.setReg(Reg.QueuePFN, 0x80000);
    expect(board.log.pop()).toMatch(/QueuePFN: GuestPageSize has not been written; the device needs a reset/);
    driver.setReg(Reg.Status, 0);
    driver.setReg(Reg.QueueAlign, 3);
    expect(board.log.pop()).toMatch(/QueueAlign: 3 is no power of two; the device needs a reset/);
  });

  it("survives addresses beyond all memory", () => {
    const { driver, board } = setup(false);
    driver.setReg(Reg.GuestPageSize, 0x8000_0000);
    driver.setReg(Reg.QueuePFN, 0xffff_ffff);
    expect(board.log).toEqual([expect.stringMatching(/are not in RAM/)]);
  });

  it("takes features at once, and only those that it offers", () => {
    const { driver, board, device } = setup(false);
    driver.setReg(Reg.DriverFeaturesSel, 1);
    driver.setReg(Reg.DriverFeatures, 0);
    expect(board.log).toEqual([]);
    driver.setReg(Reg.DriverFeatures, 1);
    expect(board.log.pop()).toMatch(/DriverFeatures: the legacy interface has no features above 31/);
    driver.setReg(Reg.DriverFeaturesSel, 0);
    driver.setReg(Reg.DriverFeatures, 0x0000_000c);
    expect(device.features).toBe(8n);
    expect(board.log.pop()).toMatch(/the driver accepts features that were not offered: 0x4/);
    driver.setReg(Reg.Status, 7);
    driver.setReg(Reg.DriverFeatures, 0);
    expect(device.features).toBe(8n);
    expect(board.log.pop()).toMatch(/features were written after DRIVER_OK/);
  });

  it("serves drivers that begin before DRIVER_OK", () => {
    const { driver, device } = setup(false);
    driver.negotiate();
    driver.queue(0, 8).kick();
    expect(device.notified).toEqual([0]);
  });
});

describe("virtio-mmio, modern", () => {
  it("takes the addresses of a queue when it gets ready", () => {
    const { board, device, driver } = setup(true);
    driver.negotiate();
    driver.setReg(Reg.QueueNum, 4);
    driver.setReg(Reg.QueueDescLow, RAM_BASE);
    driver.setReg(Reg.QueueDriverLow, RAM_BASE + 0x1002);
    driver.setReg(Reg.QueueDeviceLow, RAM_BASE + 0x2004);
    expect(driver.reg(Reg.QueueReady)).toBe(0);
    driver.setReg(Reg.QueueReady, 1);
    expect(driver.reg(Reg.QueueReady)).toBe(1);
    const [queue] = device.queues;
    expect([queue!.size, queue!.descriptors, queue!.available, queue!.used]).toEqual([
      4,
      RAM_BASE,
      RAM_BASE + 0x1002,
      RAM_BASE + 0x2004,
    ]);
    driver.setReg(Reg.QueueReady, 0);
    expect([queue!.enabled, driver.reg(Reg.QueueReady)]).toEqual([false, 0]);
    driver.setReg(Reg.QueueDescLow, RAM_BASE);
    driver.setReg(Reg.QueueDescHigh, 1);
    driver.setReg(Reg.QueueDriverLow, RAM_BASE + 0x1000);
    driver.setReg(Reg.QueueDeviceLow, RAM_BASE + 0x2000);
    driver.setReg(Reg.QueueReady, 1);
    expect(board.log).toEqual([expect.stringMatching(/its rings of 8 entries at 0x180000000, .* are not in RAM/)]);
  });

  it.each([
    [Reg.QueueDescLow, 8],
    [Reg.QueueDriverLow, 1],
    [Reg.QueueDeviceLow, 2],
  ])("refuses a ring whose address at 0x%s is off by %d", (register, by) => {
    const { board, driver } = setup(true);
    driver.negotiate();
    driver.setReg(Reg.QueueDescLow, RAM_BASE);
    driver.setReg(Reg.QueueDriverLow, RAM_BASE + 0x1000);
    driver.setReg(Reg.QueueDeviceLow, RAM_BASE + 0x2000);
    const address = board.transport.save() as { setups: [number, { addresses: number[] }][] };
    driver.setReg(register, address.setups[0]![1].addresses[(register - 0x80) / 8]! + by);
    driver.setReg(Reg.QueueReady, 1);
    expect(board.log).toEqual([expect.stringMatching(/are not aligned; the device needs a reset/)]);
    expect(driver.reg(Reg.QueueReady)).toBe(0);
  });

  it("resets one queue", () => {
    const { board, device, driver } = setup(true);
    driver.negotiate();
    driver.queue(0, 8);
    driver.queue(1, 8);
    driver.start();
    driver.setReg(Reg.QueueSel, 0);
    driver.setReg(Reg.QueueReset, 1);
    expect([driver.reg(Reg.QueueReset), driver.reg(Reg.QueueReady)]).toEqual([0, 0]);
    expect(device.queues.map((queue) => queue.enabled)).toEqual([false, true]);
    driver.negotiate(~(1n << 40n));
    driver.queue(0, 8);
    driver.setReg(Reg.QueueReset, 1);
    expect(device.queues[0]!.enabled).toBe(true);
    expect(board.log).toEqual(["virtio-mmio: QueueReset: VIRTIO_F_RING_RESET was not negotiated"]);
  });

  it("agrees to features or clears FEATURES_OK", () => {
    const { board, device, driver } = setup(true);
    driver.negotiate(~(1n << 32n));
    expect([driver.status, device.features]).toEqual([3, 0n]);
    expect(board.log.pop()).toMatch(/FEATURES_OK is refused: VIRTIO_F_VERSION_1 was not accepted/);
    driver.setReg(Reg.Status, 0);
    driver.setReg(Reg.DriverFeaturesSel, 1);
    driver.setReg(Reg.DriverFeatures, 5);
    driver.setReg(Reg.Status, 0x0b);
    expect([driver.status, device.features]).toEqual([3, 0n]);
    expect(board.log.pop()).toMatch(/FEATURES_OK is refused: features 0x400000000 were not offered/);
    driver.setReg(Reg.DriverFeatures, 3);
    driver.setReg(Reg.DriverFeaturesSel, 0);
    driver.setReg(Reg.DriverFeatures, 8);
    driver.setReg(Reg.Status, 0x0b);
    expect([driver.status, device.features]).toEqual([0x0b, 0x3_0000_0008n]);
    driver.setReg(Reg.DriverFeatures, 0);
    expect(device.features).toBe(0x3_0000_0008n);
    driver.setReg(Reg.DriverFeaturesSel, 2);
    driver.setReg(Reg.DriverFeatures, 0);
    expect(board.log).toEqual([]);
    driver.setReg(Reg.DriverFeatures, 1);
    expect(board.log.pop()).toMatch(/DriverFeatures: there are no features in word 2/);
  });

  it("does nothing before DRIVER_OK", () => {
    const { board, device, driver } = setup(true);
    driver.negotiate();
    driver.queue(0, 8).kick();
    expect(device.notified).toEqual([]);
    expect(board.log).toEqual(["configured: notification of queue 0 before DRIVER_OK"]);
  });

  it("says when a driver forgets FEATURES_OK", () => {
    const { board, driver } = setup(true);
    driver.setReg(Reg.Status, 7);
    expect(board.log).toEqual(["configured: DRIVER_OK without FEATURES_OK"]);
  });
});

describe("a transport and its device", () => {
  it("belong together one to one", () => {
    const board = new VirtioBoard(true);
    board.plug(new VirtioRng(virtioRngType));
    expect(() => board.transport.plug(new VirtioRng(virtioRngType))).toThrow(
      new UserError("virtio-rng-device cannot be plugged into /transport: virtio-rng-device is in it"),
    );
  });

  it("part when the device leaves", () => {
    const board = new VirtioBoard(true);
    const device = board.plug(new VirtioRng(virtioRngType));
    const driver = new TestDriver(board, true);
    driver.negotiate();
    driver.queue(0, 8);
    driver.start();
    device.unparent();
    expect(driver.reg(8)).toBe(0);
    expect(board.transport.plugged).toBeUndefined();
    const next = board.plug(new VirtioRng(virtioRngType));
    expect([driver.reg(8), driver.status, next.queues.length]).toEqual([4, 0, 1]);
  });

  it("need each other", () => {
    const board = new VirtioBoard(true);
    expect(() => new VirtioRng(virtioRngType).realize(board.host)).toThrow(
      new UserError("virtio-rng-device has no bus: plug it into a virtio transport, virtio-mmio for instance"),
    );
  });

  it("leave features out that properties switch off", () => {
    const board = new VirtioBoard(true);
    const device = new VirtioRng(virtioRngType);
    device.set("event_idx", "off");
    device.set("indirect_desc", "off");
    device.set("queue_reset", "off");
    board.plug(device);
    expect(new TestDriver(board, true).features).toBe(1n << 32n);
  });

  it("have a node in the device tree", () => {
    const { board } = setup(false);
    const soc = new FdtNode("soc");
    board.transport.describe({
      root: soc,
      soc,
      phandle: () => 0,
      interruptParent: 3,
      base: 0x1000_8000n,
      size: 0x1000n,
      irqs: [8],
    });
    const node = soc.find("virtio_mmio@10008000");
    expect([...node!.properties]).toEqual([
      ["interrupts", cells(8)],
      ["interrupt-parent", cells(3)],
      ["reg", cells64(0x1000_8000, 0x1000)],
      ["compatible", new TextEncoder().encode("virtio,mmio\0")],
    ]);
  });

  it("refuse the state of another device", () => {
    const { board, device } = setup(true);
    const state = saveTree(board.tree);
    const rng = new VirtioBoard(true).plug(new VirtioRng(virtioRngType));
    expect(() => rng.load(state["/device"])).toThrow("its state has 2 queues, expected 1");
    expect(() => device.load({ version: 7 })).toThrow("its state has version 7, expected 1");
    expect(() => board.transport.load(undefined)).toThrow(UserError);
  });
});
