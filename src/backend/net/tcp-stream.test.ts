// Whole streams through TCP, over links that lose, repeat and reorder frames.

import { describe, expect, it } from "vitest";
import { BROADCAST, fromHex, GUEST_MAC, ip } from "./guest-for-tests.ts";
import { FakeHost, type FakeTcpSocket } from "./host-for-tests.ts";
import { type Disturbance, GuestTcp } from "./tcp-endpoint-for-tests.ts";
import { pattern } from "./tcp-peer-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

/** The same random numbers every time (a linear congruential generator). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Loses, repeats and delays frames. */
function unruly(seed: number, rate: number): Disturbance {
  const random = randomOf(seed);
  let held: { frame: Uint8Array; pass: (frame: Uint8Array) => void } | undefined;
  return (frame, pass) => {
    const luck = random();
    if (luck < rate) return;
    if (luck < 2 * rate) pass(frame);
    if (luck < 3 * rate && held === undefined) {
      held = { frame, pass };
      return;
    }
    pass(frame);
    const late = held;
    held = undefined;
    if (late !== undefined) late.pass(late.frame);
  };
}

async function start(seed = 0, rate = 0) {
  const host = new FakeHost();
  const net = await UserNet.open(
    parseUserNetOptions([
      ["id", "n"],
      ["hostfwd", "tcp::2222-:22"],
    ]),
    host,
  );
  net.transmit(
    fromHex(`${BROADCAST}${GUEST_MAC}0806 0001080006040001 ${GUEST_MAC}${ip("10.0.2.15")} 000000000000 0a000202`),
  );
  const disturb = rate === 0 ? undefined : unruly(seed, rate);
  const options = { remote: "10.0.2.2", from: 5000, to: 80, timers: host.timers, ...(disturb && { disturb }) };
  return { host, net, guest: new GuestTcp(net, options), disturb };
}

type Started = Awaited<ReturnType<typeof start>>;

/** Time passes until it holds. */
function until({ host }: Started, holds: () => boolean): void {
  for (let turn = 0; turn < 20_000 && !holds(); turn++) host.timers.advance(50);
  expect(holds()).toBe(true);
}

/** The host's peer sends its bytes as fast as the socket is read. */
function feed(socket: FakeTcpSocket, data: Uint8Array): () => void {
  let at = 0;
  return () => {
    while (!socket.paused && at < data.length) {
      const end = Math.min(at + 50_000, data.length);
      const piece = data.slice(at, end);
      at = end;
      socket.events.data(piece);
      if (at === data.length) socket.events.ended();
    }
  };
}

describe("a stream", () => {
  const data = pattern(1_000_000);

  it.each([
    [0, 0],
    [1, 0.01],
    [2, 0.05],
    [3, 0.1],
    [4, 0.2],
    [5, 0.05],
    [6, 0.05],
    [7, 0.1],
  ])("both ways at once arrives whole (seed %d, disturbed %d)", async (seed, rate) => {
    const started = await start(seed, rate);
    const { host, guest, net } = started;
    const length = rate > 0.05 ? 150_000 : data.length;
    const expected = Buffer.from(data.subarray(0, length));
    guest.open();
    until(started, () => host.tcp.length === 1);
    const socket = host.tcp[0]!;
    socket.events.connected();
    const pump = feed(socket, data.subarray(0, length));
    guest.send(expected);
    guest.close();
    until(started, () => {
      pump();
      return guest.remoteEnded && guest.delivered && socket.ended;
    });
    expect(Buffer.concat(guest.received).equals(expected)).toBe(true);
    expect(Buffer.concat(socket.written).equals(expected)).toBe(true);
    socket.events.closed();
    until(started, () => net.describe().length === 2);
    expect(guest.resetByRemote).toBe(false);
    expect(net.counters.malformed + net.counters.badChecksum).toBe(0);
  });

  it("into a host that takes its bytes in sips arrives whole", async () => {
    const started = await start();
    const { host, guest } = started;
    guest.open();
    const socket = host.tcp[0]!;
    socket.isSlow = true;
    socket.events.connected();
    guest.send(data);
    guest.close();
    const random = randomOf(9);
    let most = 0;
    until(started, () => {
      most = Math.max(most, socket.pending);
      if (socket.pending > 0) socket.drain(Math.ceil(socket.pending * random()));
      return guest.delivered;
    });
    expect(Buffer.concat(socket.written).equals(Buffer.from(data))).toBe(true);
    expect(most).toBeLessThanOrEqual(256 * 1024);
  });

  it("through a forwarded port, over a bad link, arrives whole", async () => {
    const started = await start();
    const { host, net } = started;
    const socket = host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    const guest = new GuestTcp(net, {
      remote: "10.0.2.2",
      from: 22,
      timers: host.timers,
      listens: true,
      disturb: unruly(11, 0.05),
    });
    const pump = feed(socket, data.subarray(0, 200_000));
    guest.send(data.subarray(0, 200_000));
    guest.close();
    until(started, () => {
      pump();
      return guest.remoteEnded && guest.delivered;
    });
    const expected = Buffer.from(data.subarray(0, 200_000));
    expect(Buffer.concat(guest.received).equals(expected)).toBe(true);
    expect(Buffer.concat(socket.written).equals(expected)).toBe(true);
  });
});

describe("hostile frames", () => {
  it("do not break anything, and the network still works afterwards", async () => {
    const { host, net, guest } = await start();
    const good: Uint8Array[] = [];
    const transmit = net.transmit.bind(net);
    net.transmit = (frame) => {
      good.push(frame.slice());
      transmit(frame);
    };
    guest.open();
    host.tcp[0]!.events.connected();
    guest.send(pattern(5000));
    const query = "abcd 0100 0001 0000 0000 0000 076578616d706c65036f7267 00 0001 0001";
    for (const hex of [
      `${BROADCAST}${GUEST_MAC}0806 0001080006040001 ${GUEST_MAC}0a00020f 000000000000 0a000202`,
      `52550a000203${GUEST_MAC}0800 45000039 00010000 40110000 0a00020f 0a000203 14e90035 00250000 ${query}`,
      `52550a000202${GUEST_MAC}0800 4500001c 00012000 40010000 0a00020f 0a000202 0800f7ff00000000`,
      `${BROADCAST}${GUEST_MAC}0800 45000124 00010000 40110000 00000000 ffffffff 00440043 01100000` +
        `01010600 11223344 ${"00".repeat(20)}${GUEST_MAC}${"00".repeat(202)} 63825363 350101 3204 0a00020f ff`,
    ]) {
      good.push(fromHex(hex));
    }
    const random = randomOf(77);
    const pick = (below: number): number => Math.floor(random() * below);
    for (let round = 0; round < 30_000; round++) {
      let frame = good[pick(good.length)]!.slice();
      for (let change = pick(4); change > 0; change--) frame[pick(frame.length)] = pick(256);
      if (pick(4) === 0) frame = frame.slice(0, pick(frame.length + 1));
      // Most reach the layer that they are about: the IP header's checksum is made right, TCP's and UDP's left out.
      if (pick(3) > 0 && frame.length >= 34) repairHeader(frame);
      transmit(frame);
      if (round % 100 === 0) {
        host.timers.advance(500);
        await Promise.resolve();
      }
    }
    expect(net.counters.malformed).toBeGreaterThan(1000);
    expect(net.describe().length).toBeLessThan(2000);
    const after = new GuestTcp(net, { remote: "10.0.2.2", from: 7777, to: 80, timers: host.timers });
    transmit(fromHex(`${BROADCAST}${GUEST_MAC}0806 0001080006040001 ${GUEST_MAC}0a00020f 000000000000 0a000202`));
    after.open();
    const socket = host.tcp.at(-1)!;
    socket.events.connected();
    after.send(Buffer.from("still alive"));
    expect(socket.text).toBe("still alive");
    net.close();
    expect(host.timers.pending).toBeLessThanOrEqual(3);
  });
});

function repairHeader(frame: Uint8Array): void {
  frame[24] = frame[25] = 0;
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += frame[at]! * 256 + frame[at + 1]!;
  const folded = (sum & 0xffff) + (sum >> 16);
  const checksum = 0xffff - ((folded & 0xffff) + (folded >> 16));
  frame[24] = checksum >> 8;
  frame[25] = checksum;
  if (frame[23] === 17 && frame.length >= 42) frame[40] = frame[41] = 0;
}
