import { describe, expect, it } from "vitest";
import {
  BROADCAST,
  DNS_MAC,
  fromHex,
  GUEST_MAC,
  icmpMessage,
  ip,
  ipFrame,
  ROUTER_MAC,
  TestGuest,
  toHex,
  udpMessage,
} from "./guest-for-tests.ts";
import { FakeHost } from "./host-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

async function start(...options: [string, string][]) {
  const host = new FakeHost();
  const net = await UserNet.open(parseUserNetOptions([["id", "net0"], ...options]), host);
  return { host, net, guest: new TestGuest(net) };
}

describe("ARP", () => {
  it("answers for the router and the name server with the bytes that QEMU 7.2 answers", async () => {
    const { guest } = await start();
    guest.arp("10.0.2.2");
    expect(toHex(guest.one().bytes)).toBe(
      "52540012345652550a0002020806000108000604000252550a0002020a0002025254001234560a00020f000000000000000000000000000000000000",
    );
    guest.arp("10.0.2.3");
    expect(toHex(guest.one().bytes.subarray(0, 42))).toBe(
      "52540012345652550a0002030806000108000604000252550a0002030a0002035254001234560a00020f",
    );
  });

  it("answers for nobody else, and not for the guest itself", async () => {
    const { guest } = await start();
    for (const target of ["10.0.2.4", "10.0.2.15", "10.0.2.255", "8.8.8.8"]) guest.arp(target);
    expect(guest.take()).toEqual([]);
  });

  it("answers a probe without an address, and learns nothing from it", async () => {
    const { guest, net } = await start();
    guest.arp("10.0.2.2", "0.0.0.0");
    expect(guest.one().kind).toBe("arp");
    expect(net.describe()).toEqual([]);
  });

  it("learns the guest's address, not the network's own and no group address", async () => {
    const { guest, net } = await start();
    guest.arp("10.0.2.2");
    guest.arp("10.0.2.2", "10.0.2.3");
    guest.arp("10.0.2.2", "192.168.1.1");
    guest.raw(
      `${BROADCAST}${GUEST_MAC}0806 0001080006040001 015e00000001${ip("10.0.2.77")} 000000000000${ip("10.0.2.2")}`,
    );
    expect(net.describe()).toEqual(["10.0.2.15 is at 52:54:00:12:34:56"]);
  });

  it("keeps at most 64 addresses", async () => {
    const { guest, net } = await start();
    for (let last = 20; last < 200; last++) guest.arp("10.0.2.2", `10.0.2.${last}`);
    expect(net.describe()).toHaveLength(64);
    expect(net.describe().at(-1)).toMatch(/^10\.0\.2\.199 /);
  });

  it("drops what is no ARP for IPv4 over Ethernet", async () => {
    const { guest, net } = await start();
    guest.raw(`${BROADCAST}${GUEST_MAC}0806 0001080006040001 ${GUEST_MAC}`);
    guest.raw(`${BROADCAST}${GUEST_MAC}0806 0006080006040001 ${GUEST_MAC}0a00020f 000000000000 0a000202`);
    guest.raw(`${BROADCAST}${GUEST_MAC}0806 0001080006040009 ${GUEST_MAC}0a00020f 000000000000 0a000202`);
    expect(guest.take()).toEqual([]);
    expect(net.counters.malformed).toBe(3);
  });
});

describe("Ethernet and IPv4", () => {
  it("drops frames to strangers, runts and other protocols, and counts them", async () => {
    const { guest, net } = await start();
    guest.announce();
    guest.ping("10.0.2.2", "abcd", { destinationMac: "525400999999" });
    guest.raw(`${ROUTER_MAC}${GUEST_MAC}`);
    guest.raw("");
    guest.raw(`${ROUTER_MAC}${GUEST_MAC}86dd60000000`);
    guest.raw(`${ROUTER_MAC}${GUEST_MAC}8100 0001 0800`);
    expect(guest.take()).toEqual([]);
    expect(net.counters).toMatchObject({ notForUs: 1, malformed: 2, unsupported: 2 });
  });

  it.each([
    ["cut within the header", (frame: Uint8Array) => frame.subarray(0, 30)],
    ["shorter than its length says", (frame: Uint8Array) => frame.subarray(0, frame.length - 1)],
    ["of version 6", (frame: Uint8Array) => frame.with(14, 0x65)],
    ["with a header length below 20", (frame: Uint8Array) => frame.with(14, 0x44)],
    ["with a header longer than the packet", (frame: Uint8Array) => frame.with(14, 0x4f)],
    ["with a total length below the header", (frame: Uint8Array) => frame.with(17, 10)],
  ])("drops a packet %s", async (_, spoil) => {
    const { guest, net } = await start();
    guest.announce();
    net.transmit(spoil(ipFrame("10.0.2.15", "10.0.2.2", 1, icmpMessage(8, 0, "abcd"))));
    expect(guest.take()).toEqual([]);
    expect(net.counters.malformed).toBe(1);
  });

  it("drops packets with wrong checksums: IP, ICMP, UDP", async () => {
    const { guest, net } = await start();
    guest.announce();
    const ping = ipFrame("10.0.2.15", "10.0.2.2", 1, icmpMessage(8, 0, "abcd"));
    net.transmit(ping.with(24, ping[24]! ^ 1));
    net.transmit(ping.with(42, ping[42]! ^ 1));
    const udp = ipFrame("10.0.2.15", "10.0.2.2", 17, udpMessage("10.0.2.15", "10.0.2.2", 5, 6, "x"));
    net.transmit(udp.with(42, udp[42]! ^ 1));
    expect(guest.take()).toEqual([]);
    expect(net.counters.badChecksum).toBe(3);
  });

  it("takes a frame that is longer than its packet, as padded ones are", async () => {
    const { guest, net } = await start();
    guest.announce();
    net.transmit(Uint8Array.from([...ipFrame("10.0.2.15", "10.0.2.2", 1, icmpMessage(8, 0, "abcd")), 9, 9, 9]));
    expect(guest.one().text).toBe("abcd");
  });

  it("takes frames in any kind of byte array, and changes none of them", async () => {
    const { guest, net } = await start();
    guest.announce();
    const frame = ipFrame("10.0.2.15", "10.0.2.2", 1, icmpMessage(8, 0, "abcd"));
    const memory = new SharedArrayBuffer(200);
    const shared = new Uint8Array(memory, 7, frame.length);
    // Within a larger buffer, at an odd place, and of a class whose slice() is a view.
    const buffer = Buffer.from(new ArrayBuffer(200), 13, frame.length);
    for (const kind of [shared, buffer]) {
      kind.set(frame);
      net.transmit(kind);
      expect(guest.one()).toMatchObject({ type: 0, text: "abcd" });
      expect(toHex(kind)).toBe(toHex(frame));
    }
    expect(
      Buffer.from(memory)
        .subarray(0, 7)
        .every((byte) => byte === 0),
    ).toBe(true);
  });

  it("drops packets from addresses outside of the network, from its own and from the broadcast address", async () => {
    const { guest, net } = await start();
    guest.announce();
    for (const source of ["192.168.1.5", "10.0.2.2", "10.0.2.3", "10.0.2.255", "127.0.0.1"]) {
      guest.ping("10.0.2.2", "x", { source });
    }
    expect(guest.take()).toEqual([]);
    expect(net.counters.notForUs).toBe(5);
  });

  it("keeps the guest from the host's loopback, and from groups and reserved addresses", async () => {
    const { guest, net, host } = await start();
    guest.announce();
    const forbidden = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.251", "240.0.0.1", "255.255.255.255"];
    for (const destination of [...forbidden, "10.0.2.255", "10.0.2.0"]) {
      guest.udp(destination, 5000, 5001, "x");
      guest.tcp(destination, { from: 5000, to: 80, seq: 1, flags: "S" });
      guest.ping(destination, "x");
    }
    expect(guest.take()).toEqual([]);
    expect(host.tcp).toEqual([]);
    expect(host.udp).toEqual([]);
    expect(net.counters.martian).toBe(27);
  });

  it("answers an unknown protocol with protocol unreachable, quoting the packet's beginning", async () => {
    const { guest } = await start();
    guest.announce();
    guest.ip("10.0.2.2", 132, fromHex("000102030405060708090a0b"));
    const error = guest.one();
    expect([error.kind, error.type, error.code, error.source]).toEqual(["icmp", 3, 2, "10.0.2.2"]);
    expect(toHex(error.payload.subarray(8))).toMatch(/^4500002000010000408.{5}0a00020f0a0002020001020304050607$/);
  });

  it("answers time exceeded where a packet would go out with its last hop", async () => {
    const { guest, host } = await start();
    guest.announce();
    guest.udp("192.0.2.7", 5000, 33434, "x", { ttl: 1 });
    const error = guest.one();
    expect([error.kind, error.type, error.code, error.source]).toEqual(["icmp", 11, 0, "10.0.2.2"]);
    expect(host.udp).toEqual([]);
  });

  it("does not read past a packet without payload when an error is due", async () => {
    const { guest, net } = await start();
    guest.announce();
    for (const protocol of [1, 6, 17, 99]) guest.ip("192.0.2.7", protocol, new Uint8Array(0), { ttl: 1 });
    guest.ip("10.0.2.2", 1, new Uint8Array(0));
    guest.ip("10.0.2.2", 6, new Uint8Array(0));
    guest.ip("10.0.2.2", 17, new Uint8Array(0));
    expect(net.counters.malformed).toBe(4);
  });

  it("tells that other addresses of the network are not there", async () => {
    const { guest } = await start();
    guest.announce();
    guest.tcp("10.0.2.99", { from: 5000, to: 80, seq: 1, flags: "S" });
    const error = guest.one();
    expect([error.kind, error.type, error.code]).toEqual(["icmp", 3, 1]);
  });
});

describe("fragments", () => {
  const data = Uint8Array.from({ length: 3000 }, (_, index) => index * 7);
  const whole = udpMessage("10.0.2.15", "10.0.2.2", 5000, 9, data);
  const MORE = 0x2000;

  function piece(guest: TestGuest, start: number, end: number, id = 7, payload = whole): void {
    const fragment = (start / 8) | (end < payload.length ? MORE : 0);
    guest.ip("10.0.2.2", 17, payload.subarray(start, end), { id, fragment });
  }

  it.each([
    ["in order", [0, 1, 2]],
    ["backwards", [2, 1, 0]],
    ["the middle last", [0, 2, 1]],
    ["with one sent twice", [0, 0, 2, 2, 1]],
  ])("are put together, %s", async (_, order) => {
    const { guest, host } = await start();
    guest.announce();
    const bounds = [0, 1480, 2400, whole.length];
    for (const index of order) piece(guest, bounds[index]!, bounds[index + 1]!);
    expect(host.udp[0]?.sent).toHaveLength(1);
    expect(host.udp[0]?.sent[0]?.bytes).toEqual(data);
  });

  it("that overlap spoil their datagram", async () => {
    const { guest, host, net } = await start();
    guest.announce();
    piece(guest, 0, 1480);
    piece(guest, 1472, 2400);
    piece(guest, 2400, whole.length);
    piece(guest, 1480, 2400);
    expect(host.udp).toEqual([]);
    expect(net.counters.fragments).toBe(3);
  });

  it("past the end of a datagram, uneven or empty ones are dropped", async () => {
    const { guest, host, net } = await start();
    guest.announce();
    guest.ip("10.0.2.2", 17, new Uint8Array(1000), { id: 1, fragment: 0x1fff });
    guest.ip("10.0.2.2", 17, new Uint8Array(13), { id: 1, fragment: MORE });
    guest.ip("10.0.2.2", 17, new Uint8Array(0), { id: 1, fragment: MORE });
    piece(guest, 2400, whole.length, 3);
    guest.ip("10.0.2.2", 17, new Uint8Array(1480), { id: 3, fragment: MORE | (2400 / 8) });
    expect(host.udp).toEqual([]);
    expect(net.counters.fragments).toBe(4);
  });

  it("behind the last one, or in too many pieces, spoil their datagram", async () => {
    const { guest, host, net } = await start();
    guest.announce();
    piece(guest, 2400, whole.length, 3);
    guest.ip("10.0.2.2", 17, new Uint8Array(8), { id: 3, fragment: MORE | (4000 / 8) });
    expect(net.counters.fragments).toBe(1);
    for (let index = 0; index < 64; index++) {
      guest.ip("10.0.2.2", 17, new Uint8Array(8), { id: 4, fragment: MORE | (index * 2) });
    }
    expect(net.counters.fragments).toBe(1);
    guest.ip("10.0.2.2", 17, new Uint8Array(8), { id: 4, fragment: MORE | 128 });
    expect(net.counters.fragments).toBe(2);
    expect(host.udp).toEqual([]);
  });

  it("of many datagrams take the place of the oldest ones, and expire", async () => {
    const { guest, host, net } = await start();
    guest.announce();
    for (let id = 0; id < 17; id++) piece(guest, 0, 1480, id);
    expect(net.counters.fragments).toBe(1);
    piece(guest, 1480, whole.length, 0);
    expect(host.udp).toEqual([]);
    piece(guest, 1480, whole.length, 16);
    expect(host.udp[0]?.sent).toHaveLength(1);
    host.timers.advance(30_000);
    piece(guest, 1480, whole.length, 10);
    expect(host.udp[0]?.sent).toHaveLength(1);
  });

  it("are made where a datagram for the guest is longer than the link's packets", async () => {
    const { guest, host } = await start();
    guest.announce();
    guest.udp("192.0.2.7", 5000, 9, "x");
    host.udp[0]!.events.message(data, "192.0.2.7", 9);
    const pieces = guest.take();
    expect(pieces.map(({ payload }) => payload.length)).toEqual([1480, 1480, 48]);
    expect(pieces.map(({ bytes }) => toHex(bytes.subarray(20, 22)))).toEqual(["2000", "20b9", "0172"]);
    const joined = Buffer.concat(pieces.map(({ payload }) => payload));
    expect(toHex(joined)).toBe(toHex(udpMessage("192.0.2.7", "10.0.2.15", 9, 5000, data)));
  });
});

describe("ICMP", () => {
  it("echoes for the router and the name server, whatever the length", async () => {
    const { guest } = await start();
    guest.announce();
    for (const [address, mac] of [
      ["10.0.2.2", ROUTER_MAC],
      ["10.0.2.3", DNS_MAC],
    ] as const) {
      guest.ping(address, "abcde", { destinationMac: mac, ttl: 1 });
      const reply = guest.one();
      expect([reply.kind, reply.type, reply.code, reply.text, reply.source]).toEqual(["icmp", 0, 0, "abcde", address]);
      expect(toHex(reply.payload.subarray(4, 8))).toBe("12340001");
      expect(reply.ttl).toBe(255);
    }
  });

  it("says that other hosts cannot be asked from here", async () => {
    const { guest } = await start();
    guest.announce();
    guest.ping("192.0.2.7", "abcd");
    const error = guest.one();
    expect([error.type, error.code, error.source]).toEqual([3, 13, "10.0.2.2"]);
  });

  it("answers no error with an error", async () => {
    const { guest, net } = await start();
    guest.announce();
    guest.ip("192.0.2.7", 1, icmpMessage(3, 1, "x".repeat(28)));
    guest.ip("192.0.2.7", 1, icmpMessage(3, 1, "x".repeat(28)), { ttl: 1 });
    guest.ip("10.0.2.99", 1, icmpMessage(3, 1, "x".repeat(28)));
    guest.ip("10.0.2.99", 17, new Uint8Array(16), { fragment: 3 });
    expect(guest.take()).toEqual([]);
    expect(net.counters.malformed).toBe(0);
  });
});

describe("a guest without receive buffers", () => {
  it("gets everything in order once it has some", async () => {
    const { guest, net } = await start();
    guest.announce();
    guest.accepts = false;
    for (let index = 0; index < 10; index++) guest.ping("10.0.2.2", `ping ${index}`);
    expect(guest.take()).toEqual([]);
    guest.accepts = true;
    net.resume();
    expect(guest.take().map(({ text }) => text)).toEqual(Array.from({ length: 10 }, (_, index) => `ping ${index}`));
  });

  it("loses what does not fit the queue, and nothing grows", async () => {
    const { guest, net } = await start();
    guest.announce();
    guest.accepts = false;
    for (let index = 0; index < 1000; index++) guest.ping("10.0.2.2", "x");
    expect(net.counters.queueFull).toBe(1000 - 256);
    guest.accepts = true;
    net.resume();
    expect(guest.take()).toHaveLength(256);
  });

  it("may transmit from inside receive without being entered again", async () => {
    const { guest, net } = await start();
    guest.announce();
    let depth = 0;
    let deepest = 0;
    let count = 0;
    guest.onFrame = () => {
      deepest = Math.max(deepest, ++depth);
      if (++count < 1000) guest.ping("10.0.2.2", "again");
      depth--;
      return true;
    };
    guest.ping("10.0.2.2", "first");
    expect([count, deepest]).toEqual([1000, 1]);
    expect(net.counters.queueFull).toBe(0);
  });
});

describe("the whole network", () => {
  it("moves with net=: addresses, ARP and DHCP follow", async () => {
    const { guest } = await start(["net", "192.168.76.0/24"]);
    guest.address = "192.168.76.15";
    guest.arp("192.168.76.2");
    expect(guest.one().sourceMac).toBe("5255c0a84c02");
    guest.ping("192.168.76.3", "x", { destinationMac: "5255c0a84c03" });
    expect(guest.one().source).toBe("192.168.76.3");
  });

  it("takes packets to a name server outside of the network", async () => {
    const { guest } = await start(["dns", "192.0.2.53"]);
    guest.announce();
    guest.ping("192.0.2.53", "x");
    expect(guest.one().source).toBe("192.0.2.53");
  });

  it("is silent once closed, and leaves nothing behind at the host", async () => {
    const { guest, net, host } = await start(["hostfwd", "tcp::2222-:22"], ["hostfwd", "udp::2223-:23"]);
    guest.announce();
    guest.udp("192.0.2.7", 5000, 9, "x");
    guest.tcp("192.0.2.7", { from: 5000, to: 80, seq: 1, flags: "S" });
    host.tcp[0]!.events.connected();
    guest.take();
    net.close();
    net.close();
    guest.ping("10.0.2.2", "x");
    guest.arp("10.0.2.2");
    expect(guest.take()).toEqual([]);
    expect(host.listeners.every(({ closed }) => closed)).toBe(true);
    expect(host.udp.every(({ closed }) => closed)).toBe(true);
    expect(host.tcp.every(({ released }) => released)).toBe(true);
    expect(host.timers.pending).toBe(0);
    expect(net.describe()).toEqual(["10.0.2.15 is at 52:54:00:12:34:56"]);
  });

  it("describes its state", async () => {
    const { guest, net, host } = await start(["hostfwd", "tcp::0-:22"]);
    guest.announce();
    guest.udp("192.0.2.7", 5000, 9, "x");
    guest.tcp("10.0.2.2", { from: 5001, to: 80, seq: 1, flags: "S" });
    host.tcp[0]!.events.connected();
    expect(net.describe()).toEqual([
      "hostfwd tcp::0-:22 (host port 40000)",
      "TCP 10.0.2.15:5001 -> 10.0.2.2:80 syn-received",
      "UDP 10.0.2.15:5000 (host port 30000)",
      "10.0.2.15 is at 52:54:00:12:34:56",
    ]);
  });
});
