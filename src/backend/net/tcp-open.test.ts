import { describe, expect, it } from "vitest";
import { TestGuest, tcpMessage, toHex } from "./guest-for-tests.ts";
import { FakeHost } from "./host-for-tests.ts";
import { brief, bytes, ISS, OPTIONS, Peer, REMOTE, start } from "./tcp-peer-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

describe("the guest opens a connection", () => {
  it("and hears nothing before the host has got through", async () => {
    const { host, guest } = await start();
    const peer = new Peer(guest);
    peer.syn();
    guest.tcp(REMOTE, { from: 5000, to: 80, seq: ISS, flags: "S", options: OPTIONS });
    expect(guest.take()).toEqual([]);
    expect(host.tcp.map(({ address, port }) => `${address}:${port}`)).toEqual(["192.0.2.7:80"]);
    host.tcp[0]!.events.connected();
    const synAck = peer.complete();
    expect([synAck.source, synAck.from, synAck.to, synAck.options]).toEqual([REMOTE, 80, 5000, "020405b401030303"]);
    expect(synAck.window).toBe(65535);
  });

  it("without window scaling, if it does not offer any", async () => {
    const { host, guest } = await start();
    const peer = new Peer(guest);
    peer.syn("020405b4");
    host.tcp[0]!.events.connected();
    expect(peer.complete().options).toBe("020405b4");
    peer.send("PA", { data: "x" });
    expect(guest.one().window).toBe(65535);
  });

  it("to the router's address and reaches the host's 127.0.0.1", async () => {
    const { host, guest } = await start();
    new Peer(guest, "10.0.2.2").syn();
    expect(host.tcp[0]!.address).toBe("127.0.0.1");
  });

  it("to port 0, which nobody can have: RST", async () => {
    const { host, guest } = await start();
    new Peer(guest, REMOTE, 5000, 0).syn();
    expect(guest.one().flags).toBe("RA");
    expect(host.tcp).toEqual([]);
  });

  it("that is refused: RST", async () => {
    const { host, guest, net } = await start();
    const peer = new Peer(guest);
    peer.syn();
    host.tcp[0]!.events.closed("refused");
    const reset = guest.one();
    expect([reset.flags, reset.seq, reset.ack]).toEqual(["RA", 0, peer.seq]);
    expect(net.describe()).toHaveLength(1);
    expect(host.timers.pending).toBe(0);
  });

  it.each([
    ["net-unreachable", 0],
    ["host-unreachable", 1],
    ["timed-out", 1],
    ["prohibited", 13],
  ] as const)("that ends in %s: ICMP, which quotes the SYN", async (failure, code) => {
    const { host, guest } = await start();
    new Peer(guest).syn();
    host.tcp[0]!.events.closed(failure);
    const error = guest.one();
    expect([error.kind, error.type, error.code]).toEqual(["icmp", 3, code]);
    expect(toHex(error.payload.subarray(28))).toBe("13880050fffffff0");
  });

  it("and gives up before the host has got through", async () => {
    const { host, guest } = await start();
    const peer = new Peer(guest);
    peer.syn();
    peer.send("R");
    expect(host.tcp[0]!.destroyed).toBe(true);
    host.tcp[0]!.events.closed("reset");
    host.tcp[0]!.events.connected();
    expect(guest.take()).toEqual([]);
  });

  it("and loses our answer: it is sent again, six times at growing intervals", async () => {
    const { host, guest, net } = await start();
    const peer = new Peer(guest);
    peer.syn();
    host.tcp[0]!.events.connected();
    expect(guest.one().flags).toBe("SA");
    for (const seconds of [1, 2, 4, 8, 16]) {
      host.timers.advance(seconds * 1000 - 1);
      expect(guest.take()).toEqual([]);
      host.timers.advance(1);
      expect(guest.one().flags).toBe("SA");
    }
    host.timers.advance(32_000);
    expect(guest.take()).toEqual([]);
    expect(host.tcp[0]!.destroyed).toBe(true);
    host.tcp[0]!.events.closed("reset");
    expect(net.describe()).toHaveLength(1);
  });

  it("again with another sequence number while the first attempt is under way: the new one counts", async () => {
    const { host, guest } = await start();
    new Peer(guest).syn();
    const again = new Peer(guest);
    again.seq = 1000;
    again.syn();
    expect(host.tcp.map(({ destroyed }) => destroyed)).toEqual([true, false]);
    host.tcp[0]!.events.closed("reset");
    host.tcp[1]!.events.connected();
    again.complete();
  });

  it("and acknowledges something else: RST", async () => {
    const { host, guest } = await start();
    const peer = new Peer(guest);
    peer.syn();
    host.tcp[0]!.events.connected();
    const synAck = guest.one();
    peer.send("A", { ack: (synAck.seq + 77) >>> 0 });
    const reset = guest.one();
    expect([reset.flags, reset.seq]).toEqual(["R", (synAck.seq + 77) >>> 0]);
  });

  it("and sends data and FIN at once with the handshake's last segment", async () => {
    const { host, guest } = await start();
    const peer = new Peer(guest);
    peer.syn();
    host.tcp[0]!.events.connected();
    peer.ack = (guest.one().seq + 1) >>> 0;
    peer.send("FPA", { data: "GET" });
    expect(host.tcp[0]!.text).toBe("GET");
    expect(host.tcp[0]!.ended).toBe(true);
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
  });
});

describe("segments that belong to no connection", () => {
  it("are answered with RST, RST itself is not", async () => {
    const { guest } = await start();
    const ends = { from: 5000, to: 80 };
    guest.tcp(REMOTE, { ...ends, seq: 100, ack: 777, flags: "A", data: "x" });
    expect(guest.one()).toMatchObject({ flags: "R", seq: 777, ack: 0 });
    guest.tcp(REMOTE, { ...ends, seq: 100, flags: "F", data: "abc" });
    expect(guest.one()).toMatchObject({ flags: "RA", seq: 0, ack: 104 });
    guest.tcp(REMOTE, { ...ends, seq: 100, ack: 777, flags: "SA" });
    expect(guest.one()).toMatchObject({ flags: "R", seq: 777 });
    guest.tcp(REMOTE, { ...ends, seq: 100, flags: "R" });
    guest.tcp(REMOTE, { ...ends, seq: 100, ack: 777, flags: "RA" });
    expect(guest.take()).toEqual([]);
  });

  it.each([
    ["cut within the header", (segment: Uint8Array) => segment.subarray(0, 19), "malformed"],
    ["with a header length below 20", (segment: Uint8Array) => segment.with(12, 0x40), "malformed"],
    ["with a header longer than the segment", (segment: Uint8Array) => segment.with(12, 0xf0), "malformed"],
    ["with a wrong checksum", (segment: Uint8Array) => segment.with(17, segment[17]! ^ 1), "badChecksum"],
  ] as const)("are dropped %s", async (_, spoil, counter) => {
    const { guest, net, host } = await start();
    guest.ip(REMOTE, 6, spoil(tcpMessage("10.0.2.15", REMOTE, { from: 1, to: 2, seq: 3, flags: "S" })));
    expect(guest.take()).toEqual([]);
    expect(host.tcp).toEqual([]);
    expect(net.counters[counter]).toBe(1);
  });

  it.each(["02", "0204ff00", "02000000", "03030f01", "0305ffff", "01010101", "00ffffff", "fe04aaaa"])(
    "are read with the odd options %s",
    async (options) => {
      const { guest, host } = await start();
      guest.tcp(REMOTE, { from: 5000, to: 80, seq: 1, flags: "S", options: options.padEnd(8, "0") });
      expect(host.tcp).toHaveLength(1);
      host.tcp[0]!.events.connected();
      expect(guest.one().flags).toBe("SA");
    },
  );
});

describe("a connection to a forwarded port", () => {
  it("calls the guest, from the router's address and the caller's port", async () => {
    const { guest, host } = await start(["hostfwd", "tcp::2222-:22"]);
    expect(host.listeners[0]).toMatchObject({ address: "127.0.0.1", port: 2222 });
    const socket = host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    const syn = guest.one();
    expect(syn).toMatchObject({ source: "10.0.2.2", from: 6000, destination: "10.0.2.15", to: 22, flags: "S", ack: 0 });
    expect([syn.options, syn.window]).toEqual(["020405b401030303", 65535]);
    expect(socket.paused).toBe(true);
    const peer = new Peer(guest, "10.0.2.2", 22, 6000);
    peer.ack = (syn.seq + 1) >>> 0;
    peer.send("SA", { options: OPTIONS });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    expect(socket.paused).toBe(false);
    socket.events.data(bytes("hello"));
    expect(peer.consume()).toBe("hello");
    peer.send("PA", { data: "welcome" });
    expect(socket.text).toBe("welcome");
    expect(guest.one().window << 3).toBeGreaterThan(200_000);
  });

  it("of a guest that scales no windows", async () => {
    const { guest, host } = await start(["hostfwd", "tcp::2222-:22"]);
    host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    const peer = new Peer(guest, "10.0.2.2", 22, 6000);
    peer.ack = (guest.one().seq + 1) >>> 0;
    peer.send("SA");
    expect(guest.one().window).toBe(65535);
  });

  it("that the guest refuses is reset", async () => {
    const { guest, host, net } = await start(["hostfwd", "tcp::2222-:22"]);
    const socket = host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    const syn = guest.one();
    const peer = new Peer(guest, "10.0.2.2", 22, 6000);
    peer.send("RA", { seq: 0, ack: syn.seq });
    expect(socket.destroyed).toBe(false);
    peer.send("RA", { seq: 0, ack: (syn.seq + 1) >>> 0 });
    expect(socket.destroyed).toBe(true);
    socket.events.closed("reset");
    expect(net.describe()).toHaveLength(2);
  });

  it("that the guest answers wrongly gets a RST, and stays", async () => {
    const { guest, host } = await start(["hostfwd", "tcp::2222-:22"]);
    const socket = host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    const syn = guest.one();
    const peer = new Peer(guest, "10.0.2.2", 22, 6000);
    peer.send("SA", { seq: 1, ack: (syn.seq + 9) >>> 0 });
    expect(guest.one()).toMatchObject({ flags: "R", seq: (syn.seq + 9) >>> 0 });
    peer.send("S", { seq: 1, ack: 0 });
    peer.send("A", { seq: 1, ack: (syn.seq + 1) >>> 0 });
    expect(guest.take()).toEqual([]);
    expect(socket.destroyed).toBe(false);
  });

  it("waits for a guest that is still booting, about a minute", async () => {
    const host = new FakeHost();
    const net = await UserNet.open(
      parseUserNetOptions([
        ["id", "n"],
        ["hostfwd", "tcp::2222-:22"],
      ]),
      host,
    );
    const guest = new TestGuest(net);
    const socket = host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    host.timers.advance(20_000);
    expect(new Set(guest.take().map(({ kind }) => kind))).toEqual(new Set(["arp"]));
    guest.arp("10.0.2.2");
    host.timers.advance(12_000);
    expect(guest.take().map(({ flags }) => flags)).toContain("S");
    host.timers.advance(40_000);
    expect(socket.destroyed).toBe(true);
  });

  it("of a caller elsewhere shows its address, and same ends get another port", async () => {
    const { guest, host } = await start(["hostfwd", "tcp:0.0.0.0:2222-10.0.2.20:22"]);
    guest.arp("10.0.2.2", "10.0.2.20");
    guest.take();
    host.connectIn(host.listeners[0]!, "192.0.2.9", 6000);
    host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    host.connectIn(host.listeners[0]!, "127.0.0.2", 6000);
    const calls = guest.take().map(({ source, from, destination }) => `${source}:${from} ${destination}`);
    expect(calls).toEqual(["192.0.2.9:6000 10.0.2.20", "10.0.2.2:6000 10.0.2.20", "10.0.2.2:49152 10.0.2.20"]);
  });

  it("works under restrict=on, where the guest itself opens none", async () => {
    const { guest, host, net } = await start(["hostfwd", "tcp::2222-:22"], ["restrict", "on"]);
    new Peer(guest).syn();
    expect(guest.one().flags).toBe("RA");
    expect(host.tcp).toEqual([]);
    expect(net.counters.restricted).toBe(1);
    const socket = host.connectIn(host.listeners[0]!, "127.0.0.1", 6000);
    const peer = new Peer(guest, "10.0.2.2", 22, 6000);
    peer.ack = (guest.one().seq + 1) >>> 0;
    peer.send("SA", { options: OPTIONS });
    peer.send("PA", { data: "welcome" });
    expect(socket.text).toBe("welcome");
  });
});
