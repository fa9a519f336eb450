import { describe, expect, it } from "vitest";
import type { NetBackend, NetClient } from "../../backend/net.ts";
import { loadTree, saveTree } from "../../device/snapshot.ts";
import type { PropertyValue } from "../../qom/property.ts";
import { UserError } from "../../util/user-error.ts";
import { MMIO_BASE, TestDriver, type TestQueue, VirtioBoard } from "../virtio/driver-for-tests.ts";
import { VirtioNet, virtioNetType } from "./virtio-net.ts";

const MRG_RXBUF = 1n << 15n;
const CSUM = 1n << 0n;
const CTRL_VLAN = 1n << 19n;
const CTRL_RX = 1n << 18n;
const CTRL_RX_EXTRA = 1n << 20n;
const CTRL_MAC_ADDR = 1n << 23n;

/** A network whose other end is the test. */
class TestNet implements NetBackend {
  readonly id = "net0";
  readonly sent: Uint8Array[] = [];
  resumes = 0;
  client: NetClient | undefined;
  attach(client: NetClient): void {
    this.client = client;
  }
  transmit(frame: Uint8Array): void {
    this.sent.push(frame.slice());
  }
  resume(): void {
    this.resumes++;
  }
  close(): void {}
}

function setup({ modern = false, features = -1n, properties = {} as Record<string, PropertyValue> } = {}) {
  const board = new VirtioBoard(modern);
  const net = new TestNet();
  const device = new VirtioNet(virtioNetType);
  device.set("netdev", net);
  for (const [name, value] of Object.entries(properties)) device.set(name, value);
  board.plug(device);
  const driver = new TestDriver(board, modern);
  driver.negotiate(features);
  const receive = driver.queue(0, 16);
  const transmit = driver.queue(1, 16);
  const control = driver.queue(2, 16);
  driver.start();
  return { board, net, device, driver, receive, transmit, control };
}

/** A frame to `destination` whose further bytes count up. */
function frame(destination: string, length = 60): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => i);
  bytes.set(destination.split(":").map((byte) => Number.parseInt(byte, 16)));
  return bytes;
}

const OWN = "52:54:00:12:34:56";
const BROADCAST = "ff:ff:ff:ff:ff:ff";

/** Offers a receive buffer of these sizes; returns its head and where it is. */
function offer(queue: TestQueue, ...sizes: number[]) {
  const chain = queue.lay(sizes);
  queue.offer(chain.head);
  queue.kick();
  return chain;
}

describe.each([
  ["legacy", false],
  ["modern", true],
])("virtio-net-device, %s", (_name, modern) => {
  it("sends frames without their header", () => {
    const { board, net, transmit } = setup({ modern });
    const sent = frame(BROADCAST, 1514);
    expect(transmit.request([new Uint8Array(12), sent])).toEqual({ length: 0, buffers: [] });
    const whole = Uint8Array.from([...new Uint8Array(12), ...frame(OWN)]);
    transmit.request([whole.subarray(0, 5), whole.subarray(5, 20), whole.subarray(20)]);
    expect(net.sent).toEqual([sent, frame(OWN)]);
    expect(board.irq).toBe(true);
    expect(board.log).toEqual([]);
  });

  it("receives frames with their header before them", () => {
    const { board, net, receive, driver } = setup({ modern });
    const { head, writable } = offer(receive, 12, 1514);
    expect(net.client!.receive(frame(OWN, 1514))).toBe(true);
    expect(receive.usedEntry(0)).toEqual({ head, length: 1526 });
    expect(board.readBytes(writable[0]![0], 12)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    expect(board.readBytes(writable[1]![0], 1514)).toEqual(frame(OWN, 1514));
    expect(driver.acknowledge()).toBe(1);
    expect(board.log).toEqual([]);
  });

  it("spreads a frame over buffers where it may", () => {
    const { board, net, receive } = setup({ modern });
    const chains = [offer(receive, 112), offer(receive, 60, 40), offer(receive, 1000), offer(receive, 1000)];
    net.client!.receive(frame(OWN, 500));
    expect(receive.usedIndex).toBe(3);
    expect([0, 1, 2].map((i) => receive.usedEntry(i))).toEqual([
      { head: chains[0]!.head, length: 112 },
      { head: chains[1]!.head, length: 100 },
      { head: chains[2]!.head, length: 300 },
    ]);
    const received = chains.slice(0, 3).flatMap(({ writable }) => writable.map((at) => [...board.readBytes(...at)]));
    expect(received[0]!.slice(10, 12)).toEqual([3, 0]);
    expect([...received[0]!.slice(12), ...received[1]!, ...received[2]!, ...received[3]!.slice(0, 300)]).toEqual([
      ...frame(OWN, 500),
    ]);
  });

  it("keeps the network waiting while there is no buffer", () => {
    const { board, net, receive } = setup({ modern });
    expect(net.client!.receive(frame(OWN))).toBe(false);
    expect(net.resumes).toBe(0);
    offer(receive, 40);
    expect(net.resumes).toBe(1);
    // Still too small, also together with what comes next.
    expect(net.client!.receive(frame(OWN))).toBe(false);
    expect(receive.usedIndex).toBe(0);
    offer(receive, 40);
    expect(net.resumes).toBe(2);
    expect(net.client!.receive(frame(OWN))).toBe(true);
    expect(receive.usedIndex).toBe(2);
    expect(board.log).toEqual([]);
  });

  it("asks for notifications of receive buffers only while it needs them", () => {
    const { net, receive } = setup({ modern });
    expect(net.client!.receive(frame(OWN))).toBe(false);
    expect(receive.availableEvent).toBe(0);
    offer(receive, 200);
    offer(receive, 200);
    net.client!.receive(frame(OWN));
    expect(receive.availableEvent).toBe(0);
    net.client!.receive(frame(OWN));
    expect(net.client!.receive(frame(OWN))).toBe(false);
    expect(receive.availableEvent).toBe(2);
  });
});

describe("virtio-net-device", () => {
  it("has the short header, and takes whole buffers only, where drivers are old", () => {
    const { board, net, receive, transmit } = setup({ features: ~MRG_RXBUF });
    transmit.request([new Uint8Array(10), frame(BROADCAST)]);
    expect(net.sent).toEqual([frame(BROADCAST)]);
    const small = offer(receive, 30);
    const { writable } = offer(receive, 70);
    expect(net.client!.receive(frame(OWN))).toBe(true);
    expect(board.log).toEqual(["virtio-net-device: a frame of 60 bytes is dropped: the receive buffer has 30 bytes"]);
    expect(receive.usedIndex).toBe(0);
    expect(net.client!.receive(frame(OWN, 20))).toBe(true);
    expect(receive.usedEntry(0)).toEqual({ head: small.head, length: 30 });
    net.client!.receive(frame(OWN));
    expect(board.readBytes(writable[0]![0] + 10, 60)).toEqual(frame(OWN));
  });

  it("describes itself in its configuration", () => {
    const { driver } = setup();
    const mac = Array.from({ length: 6 }, (_, i) => driver.config(i, 1));
    expect(mac).toEqual([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    expect(driver.config(6, 2)).toBe(1);
    expect(driver.config(8, 1)).toBe(0xff);
  });

  it("has its link down without a network, and loses what is sent", () => {
    const board = new VirtioBoard(false);
    board.plug(new VirtioNet(virtioNetType));
    const driver = new TestDriver(board, false);
    driver.negotiate();
    const transmit = driver.queue(1, 16);
    driver.start();
    expect(driver.config(6, 2)).toBe(0);
    expect(transmit.request([new Uint8Array(12), frame(BROADCAST)]).length).toBe(0);
  });

  it("loses what comes while no driver listens", () => {
    const { board, net, device, driver, receive } = setup();
    expect(net.client!.receive(frame(OWN))).toBe(false);
    driver.setReg(0x070, 0);
    // The network need not wait any longer.
    expect(net.resumes).toBe(1);
    expect(net.client!.receive(frame(OWN))).toBe(true);
    device.unrealize();
    expect(net.client!.receive(frame(OWN))).toBe(true);
    expect(receive.usedIndex).toBe(0);
    expect(board.log).toEqual([]);
  });

  it("loses what is no frame", () => {
    const { net, receive } = setup();
    offer(receive, 2000);
    expect(net.client!.receive(new Uint8Array(13))).toBe(true);
    expect(net.client!.receive(new Uint8Array(70_000))).toBe(true);
    expect(receive.usedIndex).toBe(0);
  });

  it("sends a long queue in batches", () => {
    const { board, net, driver } = setup({ properties: { tx_queue_size: 1024 } });
    driver.negotiate();
    const transmit = driver.queue(1, 1024);
    driver.start();
    const { head } = transmit.lay([new Uint8Array(12), frame(BROADCAST)]);
    for (let i = 0; i < 1000; i++) transmit.offer(head);
    transmit.kick();
    expect([net.sent.length, transmit.usedIndex]).toEqual([256, 256]);
    board.clock.advance(0);
    expect([net.sent.length, transmit.usedIndex]).toEqual([1000, 1000]);
  });

  it("goes on with a batch after a snapshot", () => {
    const first = setup();
    first.driver.negotiate();
    const transmit = first.driver.queue(1, 512);
    first.driver.start();
    const { head } = transmit.lay([new Uint8Array(12), frame(BROADCAST)]);
    for (let i = 0; i < 300; i++) transmit.offer(head);
    transmit.kick();
    first.net.client!.receive(frame(OWN));
    const state = structuredClone(saveTree(first.board.tree));
    const second = setup();
    loadTree(second.board.tree, state);
    second.board.ram.set(first.board.ram);
    expect(saveTree(second.board.tree)).toEqual(state);
    second.board.clock.advance(0);
    expect(second.net.sent).toHaveLength(44);
  });

  it("completes checksums", () => {
    const { board, net, transmit } = setup();
    // The example of RFC 1071, section 3: 0001 f203 f4f5 f6f7 sum up to ddf2.
    const sent = new Uint8Array(24);
    sent.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0], 14);
    const header = Uint8Array.of(1, 0, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0);
    transmit.request([header, sent]);
    expect([...net.sent[0]!.subarray(22)]).toEqual([0x22, 0x0d]);
    expect([...net.sent[0]!.subarray(0, 22)]).toEqual([...sent.subarray(0, 22)]);
    // An odd length, the start at an odd place, and a sum whose complement is zero.
    const odd = new Uint8Array(18);
    odd.set([0xff, 0xff], 13);
    transmit.request([Uint8Array.of(1, 0, 0, 0, 0, 0, 13, 0, 2, 0, 0, 0), odd]);
    expect([...net.sent[1]!.subarray(15, 17)]).toEqual([0xff, 0xff]);
    expect(board.log).toEqual([]);
  });

  it.each([
    ["a checksum outside the frame", -1n, [1, 0, 0, 0, 0, 0, 50, 0, 9, 0, 0, 0], /checksum cannot be completed/],
    ["a checksum far outside", -1n, [1, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0], /checksum cannot be completed/],
    ["a checksum that was not negotiated", ~CSUM, [1, 0, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0], /checksum cannot be/],
    ["segmentation", -1n, [1, 1, 0, 0, 0, 2, 14, 0, 8, 0, 0, 0], /segmentation was not negotiated/],
  ] as const)("does not send a frame that asks for %s", (_name, features, header, complaint) => {
    const { board, net, device, transmit } = setup({ features });
    expect(transmit.request([Uint8Array.from(header), frame(OWN)]).length).toBe(0);
    expect(net.sent).toEqual([]);
    expect(board.log).toEqual([expect.stringMatching(complaint)]);
    expect(device.failed).toBe(false);
  });

  it.each([
    ["too short", 13],
    ["empty", 0],
    ["too long", 66_000],
  ])("does not send a frame that is %s", (_name, length) => {
    const { board, net, transmit } = setup();
    transmit.request([new Uint8Array(12 + length)]);
    expect(net.sent).toEqual([]);
    expect(board.log).toEqual([expect.stringMatching(`a frame of ${length} bytes is not sent`)]);
  });

  it.each([
    ["a frame without a header", 1, [new Uint8Array(11)], /queue 1: a frame's header has 11 bytes, not 12/],
    ["a frame in a writable buffer", 1, [100], /queue 1: a frame's header has 0 bytes/],
    ["a control command without a header", 2, [new Uint8Array(1), 1], /queue 2: a control command has no header/],
    ["a control command without room", 2, [new Uint8Array(3)], /queue 2: a control command has no header or no room/],
  ])("needs a reset after %s", (_name, index, buffers, complaint) => {
    const { board, device, driver, transmit, control } = setup();
    const queue = index === 1 ? transmit : control;
    queue.offer(queue.lay(buffers).head);
    queue.kick();
    expect(device.failed).toBe(true);
    expect(driver.status & 0x40).toBe(0x40);
    expect(queue.usedIndex).toBe(0);
    expect(board.log).toEqual([expect.stringMatching(complaint)]);
  });

  it("needs a reset after receive buffers that are none", () => {
    const { board, net, device, receive } = setup();
    offer(receive, 11);
    expect(net.client!.receive(frame(OWN))).toBe(true);
    expect(device.failed).toBe(true);
    expect(board.log).toEqual([expect.stringMatching(/a receive buffer of 11 bytes has no room for the header/)]);
  });

  it("drops a frame that all buffers of a full queue cannot hold", () => {
    const { board, net, receive } = setup();
    for (let i = 0; i < 16; i++) offer(receive, 12);
    expect(net.client!.receive(frame(OWN, 1514))).toBe(true);
    expect(receive.usedIndex).toBe(0);
    expect(net.client!.receive(frame(OWN, 100))).toBe(true);
    expect(receive.usedIndex).toBe(10);
    expect(board.log).toEqual([]);
  });
});

describe("virtio-net-device's control queue", () => {
  type Command = [kind: number, command: number, ...data: number[]];

  function controlled(features = -1n) {
    const all = setup({ features });
    const command = (...bytes: Command): number => {
      // The way Linux sends it: header, data, answer.
      const buffers = [Uint8Array.from(bytes.slice(0, 2)), Uint8Array.from(bytes.slice(2)), 1];
      return all.control.request(bytes.length > 2 ? buffers : [buffers[0]!, 1]).buffers[0]![0]!;
    };
    const takes = (bytes: Uint8Array): boolean => {
      offer(all.receive, 2000);
      const before = all.receive.usedIndex;
      all.net.client!.receive(bytes);
      return all.receive.usedIndex !== before;
    };
    return { ...all, command, takes };
  }

  const OTHER = "52:54:00:aa:bb:cc";
  const GROUP = "01:00:5e:00:00:01";
  const GROUP2 = "33:33:00:00:00:01";

  function bytesOf(...addresses: string[]): number[] {
    return addresses.flatMap((address) => address.split(":").map((byte) => Number.parseInt(byte, 16)));
  }

  it("switches the receive modes", () => {
    const { command, takes } = controlled();
    const all = [OWN, OTHER, BROADCAST, GROUP];
    const taken = () => all.filter((address) => takes(frame(address)));
    expect(taken()).toEqual(all);
    expect(command(0, 0, 0)).toBe(0);
    expect(taken()).toEqual([OWN, BROADCAST]);
    expect(command(0, 1, 1)).toBe(0);
    expect(taken()).toEqual([OWN, BROADCAST, GROUP]);
    expect(command(0, 2, 1)).toBe(0);
    expect(taken()).toEqual(all);
    expect(command(0, 3, 1)).toBe(0);
    expect(taken()).toEqual([OWN, OTHER, BROADCAST]);
    expect(command(0, 4, 1)).toBe(0);
    expect(taken()).toEqual([BROADCAST]);
    expect(command(0, 5, 1)).toBe(0);
    expect(taken()).toEqual([]);
  });

  it("sets the tables of addresses", () => {
    const { command, takes } = controlled();
    const all = [OWN, OTHER, BROADCAST, GROUP, GROUP2];
    const taken = () => all.filter((address) => takes(frame(address)));
    command(0, 0, 0);
    expect(command(1, 0, 1, 0, 0, 0, ...bytesOf(OTHER), 1, 0, 0, 0, ...bytesOf(GROUP))).toBe(0);
    expect(taken()).toEqual([OWN, OTHER, BROADCAST, GROUP]);
    expect(command(1, 0, 0, 0, 0, 0, 1, 0, 0, 0, ...bytesOf(GROUP2))).toBe(0);
    expect(taken()).toEqual([OWN, BROADCAST, GROUP2]);
    const many = Array.from({ length: 65 }, () => bytesOf(GROUP)).flat();
    expect(command(1, 0, 0, 0, 0, 0, 65, 0, 0, 0, ...many)).toBe(0);
    expect(taken()).toEqual([OWN, BROADCAST, GROUP, GROUP2]);
    expect(command(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
    expect(taken()).toEqual([OWN, BROADCAST]);
  });

  it("changes the address", () => {
    const { command, takes, driver } = controlled();
    command(0, 0, 0);
    expect(command(1, 1, ...bytesOf(OTHER))).toBe(0);
    expect([OWN, OTHER].filter((address) => takes(frame(address)))).toEqual([OTHER]);
    expect(driver.config(5, 1)).toBe(0xcc);
    driver.setReg(0x070, 0);
    expect(driver.config(5, 1)).toBe(0x56);
  });

  it("filters VLANs", () => {
    const { command, takes } = controlled();
    const tagged = (id: number) => {
      const bytes = frame(BROADCAST);
      bytes.set([0x81, 0x00, 0xe0 | (id >> 8), id & 0xff], 12);
      return bytes;
    };
    const taken = () => [5, 4095].filter((id) => takes(tagged(id)));
    expect(taken()).toEqual([5, 4095]);
    command(0, 0, 0);
    expect(taken()).toEqual([]);
    expect(takes(frame(BROADCAST))).toBe(true);
    expect(command(2, 0, 5, 0)).toBe(0);
    expect(command(2, 0, 0xff, 0x0f)).toBe(0);
    expect(taken()).toEqual([5, 4095]);
    expect(command(2, 1, 5, 0)).toBe(0);
    expect(taken()).toEqual([4095]);
    expect(command(2, 0, 0, 0x10)).toBe(1);
  });

  it("refuses what it does not have and what is malformed", () => {
    const { command, board, device } = controlled();
    const malformed: Command[] = [
      [0, 0],
      [0, 6, 1],
      [1, 0, 1, 0, 0, 0],
      [1, 0, 255, 255, 255, 255, 0, 0, 0, 0],
      [1, 0, 0, 0, 0, 0, 255, 255, 255, 255],
      [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3],
      [1, 1, 1, 2, 3],
      [1, 2, 0],
      [2, 0, 1],
      [2, 2, 1, 0],
      [3, 0],
      [4, 0, 1, 0],
      [255, 255],
    ];
    expect(malformed.map((bytes) => command(...bytes))).toEqual(malformed.map(() => 1));
    expect(device.failed).toBe(false);
    expect(board.log).toEqual([]);
    const without = controlled(~(CTRL_RX | CTRL_RX_EXTRA | CTRL_VLAN | CTRL_MAC_ADDR));
    const commands: Command[] = [
      [0, 0, 0],
      [0, 2, 1],
      [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [1, 1, ...bytesOf(OTHER)],
      [2, 0, 5, 0],
    ];
    expect(commands.map((bytes) => without.command(...bytes))).toEqual([1, 1, 1, 1, 1]);
    expect(without.takes(frame(GROUP))).toBe(true);
  });

  it("keeps its filters in snapshots", () => {
    const first = controlled();
    first.command(0, 0, 0);
    first.command(1, 0, 1, 0, 0, 0, ...bytesOf(OTHER), 0, 0, 0, 0);
    first.command(2, 0, 7, 0);
    const state = structuredClone(saveTree(first.board.tree));
    const second = setup();
    loadTree(second.board.tree, state);
    expect(saveTree(second.board.tree)).toEqual(state);
  });
});

describe("virtio-net-device's address", () => {
  function macOf(board: VirtioBoard): string {
    return Array.from({ length: 6 }, (_, i) =>
      board
        .read(MMIO_BASE + 0x100 + i, 1)
        .toString(16)
        .padStart(2, "0"),
    ).join(":");
  }

  function plugged(board: VirtioBoard, mac = ""): VirtioNet {
    const device = new VirtioNet(virtioNetType);
    device.set("mac", mac);
    return board.plug(device);
  }

  it("is the one given", () => {
    const board = new VirtioBoard(false);
    plugged(board, "02:00:00:AB:cd:ef");
    expect(macOf(board)).toBe("02:00:00:ab:cd:ef");
  });

  it("is the next free one of the machine if none is given", () => {
    const board = new VirtioBoard(false);
    const first = plugged(board);
    expect(macOf(board)).toBe("52:54:00:12:34:56");
    const second = new VirtioBoard(false);
    Object.assign(second, { host: board.host });
    second.transport.plug(new VirtioNet(virtioNetType));
    second.transport.plugged!.realize(board.host);
    expect(macOf(second)).toBe("52:54:00:12:34:57");
    first.unparent();
    plugged(board);
    expect(macOf(board)).toBe("52:54:00:12:34:56");
    // Another machine has addresses of its own.
    const other = new VirtioBoard(false);
    plugged(other);
    expect(macOf(other)).toBe("52:54:00:12:34:56");
  });

  it("can be written by old drivers, until a reset", () => {
    const { board, driver, net, receive } = setup({ features: ~CTRL_MAC_ADDR });
    driver.setConfig(0, 4, 0x0400_5452);
    expect(driver.config(3, 1)).toBe(4);
    offer(receive, 100);
    expect(net.client!.receive(frame("52:54:00:04:34:56"))).toBe(true);
    driver.setConfig(6, 2, 0);
    expect(board.log).toEqual([
      expect.stringMatching(/configuration byte at offset 0x6 is read-only/),
      expect.stringMatching(/configuration byte at offset 0x7 is read-only/),
    ]);
    driver.setReg(0x070, 0);
    expect(driver.config(3, 1)).toBe(0x12);
    const modern = setup({ modern: true });
    modern.driver.setConfig(0, 1, 2);
    expect(modern.driver.config(0, 1)).toBe(0x52);
  });

  it.each([
    ["52:54:00:12:34", '"52:54:00:12:34" is no Ethernet address: expected one like 52:54:00:12:34:56'],
    ["hello", '"hello" is no Ethernet address: expected one like 52:54:00:12:34:56'],
    ["01:00:5e:00:00:01", "01:00:5e:00:00:01 is a group address: the first byte of a card's own is even"],
  ])("%s is a user's mistake", (mac, message) => {
    expect(() => plugged(new VirtioBoard(false), mac)).toThrow(new UserError(`virtio-net-device.mac: ${message}`));
  });

  it("is given back when the network has a card already", () => {
    const net = new TestNet();
    const board = new VirtioBoard(false);
    const first = new VirtioNet(virtioNetType);
    first.id = "one";
    first.set("netdev", net);
    board.plug(first);
    const second = new VirtioNet(virtioNetType);
    second.set("netdev", net);
    const other = new VirtioBoard(false);
    expect(() => other.plug(second)).toThrow(
      new UserError(
        'virtio-net-device: the netdev "net0" is in use by virtio-net-device "one" already: give each card a -netdev of its own',
      ),
    );
    first.unrealize();
    second.realize(other.host);
    expect(macOf(other)).toBe("52:54:00:12:34:56");
  });

  it.each([
    ["rx_queue_size", 100],
    ["tx_queue_size", 2048],
    ["rx_queue_size", 1],
  ])("%s=%d is a user's mistake", (name, value) => {
    expect(() => setup({ properties: { [name]: value } })).toThrow(
      new UserError(`virtio-net-device.${name}: ${value} is no power of two from 2 to 1024`),
    );
  });
});
