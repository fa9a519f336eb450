import { describe, expect, it } from "vitest";
import { TestGuest, toHex, udpMessage } from "./guest-for-tests.ts";
import { FakeHost } from "./host-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

async function start(...options: [string, string][]) {
  const host = new FakeHost();
  const net = await UserNet.open(parseUserNetOptions([["id", "net0"], ...options]), host);
  const guest = new TestGuest(net).announce();
  return { host, net, guest };
}

function reply(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text));
}

describe("UDP out", () => {
  it("goes through one host socket for each of the guest's ports, and answers come back", async () => {
    const { guest, host } = await start();
    guest.udp("192.0.2.7", 5000, 9, "one");
    guest.udp("192.0.2.8", 5000, 10, "two");
    guest.udp("192.0.2.7", 5001, 9, "three");
    expect(host.udp.map(({ sent }) => sent.map(({ text, address, port }) => `${text} ${address}:${port}`))).toEqual([
      ["one 192.0.2.7:9", "two 192.0.2.8:10"],
      ["three 192.0.2.7:9"],
    ]);
    host.udp[0]!.events.message(reply("answer"), "192.0.2.8", 10);
    const answer = guest.one();
    expect([answer.source, answer.from, answer.destination, answer.to, answer.text]).toEqual([
      "192.0.2.8",
      10,
      "10.0.2.15",
      5000,
      "answer",
    ]);
  });

  it("reaches the host's 127.0.0.1 at the router's address", async () => {
    const { guest, host } = await start();
    guest.udp("10.0.2.2", 5000, 9, "x");
    expect(host.udp[0]!.sent[0]).toMatchObject({ address: "127.0.0.1", port: 9 });
    host.udp[0]!.events.message(reply("answer"), "127.0.0.1", 9);
    expect(guest.one().source).toBe("10.0.2.2");
  });

  it("takes answers from any port of a host that was asked, and from nobody else", async () => {
    const { guest, host, net } = await start();
    guest.udp("192.0.2.7", 5000, 69, "x");
    host.udp[0]!.events.message(reply("from another port"), "192.0.2.7", 40000);
    expect(guest.one().from).toBe(40000);
    host.udp[0]!.events.message(reply("unasked"), "192.0.2.8", 69);
    host.udp[0]!.events.message(reply("unasked"), "2001:db8::1", 69);
    expect(guest.take()).toEqual([]);
    expect(net.counters.unsolicited).toBe(2);
  });

  it("remembers 256 hosts for a port", async () => {
    const { guest, host } = await start();
    for (let last = 0; last < 257; last++) guest.udp(`192.0.${2 + (last >> 8)}.${last & 255}`, 5000, 9, "x");
    host.udp[0]!.events.message(reply("forgotten"), "192.0.2.0", 9);
    expect(guest.take()).toEqual([]);
    host.udp[0]!.events.message(reply("known"), "192.0.2.1", 9);
    expect(guest.one().text).toBe("known");
  });

  it("carries datagrams without a checksum and without a payload", async () => {
    const { guest, host } = await start();
    guest.ip("192.0.2.7", 17, Uint8Array.of(0x13, 0x88, 0, 9, 0, 9, 0, 0, 0x41));
    guest.udp("192.0.2.7", 5000, 9, "");
    expect(host.udp[0]!.sent.map(({ text }) => text)).toEqual(["A", ""]);
    host.udp[0]!.events.message(reply(""), "192.0.2.7", 9);
    expect(guest.one().text).toBe("");
  });

  it("never sends the checksum 0, which would mean none", async () => {
    const { guest, host } = await start();
    guest.udp("192.0.2.7", 5000, 9, "x");
    // With these two bytes the sum is all ones, whose complement is 0.
    const zeros = udpMessage("192.0.2.7", "10.0.2.15", 9, 5000, Uint8Array.of(0, 0));
    host.udp[0]!.events.message(zeros.slice(6, 8), "192.0.2.7", 9);
    expect(toHex(guest.one().payload.subarray(6, 8))).toBe("ffff");
  });

  it("drops wrong lengths and port 0", async () => {
    const { guest, host, net } = await start();
    guest.ip("192.0.2.7", 17, Uint8Array.of(0x13, 0x88, 0, 9, 0, 10, 0, 0, 0x41));
    guest.ip("192.0.2.7", 17, Uint8Array.of(0x13, 0x88, 0, 9, 0, 7, 0, 0, 0x41));
    guest.udp("192.0.2.7", 5000, 0, "x");
    expect(host.udp).toEqual([]);
    expect(net.counters.malformed).toBe(3);
  });

  it("tells the guest what the host cannot reach", async () => {
    const { guest, host } = await start();
    guest.udp("192.0.2.7", 5000, 9, "x");
    for (const [failure, code] of [
      ["net-unreachable", 0],
      ["host-unreachable", 1],
      ["prohibited", 13],
    ] as const) {
      host.udp[0]!.failure = failure;
      guest.udp("192.0.2.7", 5000, 9, "x");
      await Promise.resolve();
      const error = guest.one();
      expect([error.kind, error.type, error.code, error.payload.length]).toEqual(["icmp", 3, code, 36]);
    }
  });

  it("forgets a port after four idle minutes, and not before", async () => {
    const { guest, host, net } = await start();
    guest.udp("192.0.2.7", 5000, 9, "x");
    host.timers.advance(200_000);
    guest.udp("192.0.2.7", 5001, 9, "x");
    host.udp[0]!.events.message(reply("still here"), "192.0.2.7", 9);
    host.timers.advance(239_999);
    expect(host.udp.map(({ closed }) => closed)).toEqual([false, false]);
    host.timers.advance(1);
    expect(host.udp.map(({ closed }) => closed)).toEqual([true, true]);
    expect(host.timers.pending).toBe(0);
    expect(net.describe()).toHaveLength(1);
  });

  it("has 256 ports; the one unused for longest goes for a new one", async () => {
    const { guest, host, net } = await start();
    for (let port = 1; port <= 256; port++) guest.udp("192.0.2.7", port, 9, "x");
    guest.udp("192.0.2.7", 1, 9, "again");
    guest.udp("192.0.2.7", 300, 9, "x");
    expect(host.udp.filter(({ closed }) => closed)).toEqual([host.udp[1]]);
    expect(net.counters.tableFull).toBe(1);
  });

  it("goes on with a new socket when the host has lost one", async () => {
    const { guest, host } = await start();
    guest.udp("192.0.2.7", 5000, 9, "x");
    host.udp[0]!.events.failed("other");
    guest.udp("192.0.2.7", 5000, 9, "y");
    expect(host.udp[1]!.sent[0]!.text).toBe("y");
  });
});

describe("UDP in through a forwarded port", () => {
  it("comes from the router's address for callers on the host, and answers go back to them", async () => {
    const { guest, host } = await start(["hostfwd", "udp::2223-:23"]);
    host.udp[0]!.events.message(reply("hello"), "127.0.0.1", 6000);
    host.udp[0]!.events.message(reply("hello"), "192.0.2.9", 6000);
    const [near, far] = guest.take();
    expect([near!.source, near!.from, near!.destination, near!.to, near!.text]).toEqual([
      "10.0.2.2",
      6000,
      "10.0.2.15",
      23,
      "hello",
    ]);
    expect(far!.source).toBe("192.0.2.9");
    guest.udp("10.0.2.2", 23, 6000, "near");
    guest.udp("192.0.2.9", 23, 6000, "far");
    expect(host.udp[0]!.sent.map(({ text, address }) => `${text} ${address}`)).toEqual([
      "near 127.0.0.1",
      "far 192.0.2.9",
    ]);
    expect(host.udp).toHaveLength(1);
  });

  it("hides callers whose addresses the virtual network has", async () => {
    const { guest, host } = await start(["hostfwd", "udp:0.0.0.0:2223-:23"]);
    host.udp[0]!.events.message(reply("hello"), "10.0.2.77", 6000);
    expect(guest.one().source).toBe("10.0.2.2");
    guest.udp("10.0.2.2", 23, 6000, "x");
    expect(host.udp[0]!.sent[0]).toMatchObject({ address: "10.0.2.77", port: 6000 });
  });

  it("asks for a guest that has not been heard of yet, and delivers when it answers", async () => {
    const host = new FakeHost();
    const net = await UserNet.open(
      parseUserNetOptions([
        ["id", "n"],
        ["hostfwd", "udp::2223-:23"],
      ]),
      host,
    );
    const guest = new TestGuest(net);
    host.udp[0]!.events.message(reply("one"), "127.0.0.1", 6000);
    host.udp[0]!.events.message(reply("two"), "127.0.0.1", 6000);
    const question = guest.one();
    // As QEMU 7.2 asks.
    expect(toHex(question.bytes.subarray(0, 42))).toBe(
      "ffffffffffff52550a0002020806000108000604000152550a0002020a0002020000000000000a00020f",
    );
    guest.raw("52550a000202 525400123456 0806 0001080006040002 525400123456 0a00020f 52550a000202 0a000202");
    expect(guest.take().map(({ text }) => text)).toEqual(["one", "two"]);
    host.udp[0]!.events.message(reply("three"), "127.0.0.1", 6000);
    expect(guest.one().text).toBe("three");
  });

  it("keeps at most 32 frames for a guest that is not there, five seconds each", async () => {
    const host = new FakeHost();
    const net = await UserNet.open(
      parseUserNetOptions([
        ["id", "n"],
        ["hostfwd", "udp::2223-:23"],
      ]),
      host,
    );
    const guest = new TestGuest(net);
    for (let index = 0; index < 40; index++) host.udp[0]!.events.message(reply(`${index}`), "127.0.0.1", 6000);
    expect(net.counters.queueFull).toBe(8);
    host.timers.advance(5001);
    host.udp[0]!.events.message(reply("late"), "127.0.0.1", 6000);
    guest.take();
    guest.arp("10.0.2.2");
    expect(
      guest
        .take()
        .filter(({ kind }) => kind === "udp")
        .map(({ text }) => text),
    ).toEqual(["late"]);
  });

  it("works under restrict=on, where nothing else goes out", async () => {
    const { guest, host, net } = await start(["hostfwd", "udp::2223-:23"], ["restrict", "on"]);
    host.udp[0]!.events.message(reply("hello"), "127.0.0.1", 6000);
    guest.take();
    guest.udp("10.0.2.2", 23, 6000, "answer");
    guest.udp("10.0.2.2", 23, 6001, "elsewhere");
    guest.udp("192.0.2.7", 5000, 9, "x");
    expect(host.udp[0]!.sent.map(({ text }) => text)).toEqual(["answer"]);
    expect(host.udp).toHaveLength(1);
    expect(net.counters.restricted).toBe(2);
    expect(guest.take()).toEqual([]);
  });

  it("remembers 256 callers", async () => {
    const { guest, host } = await start(["hostfwd", "udp::2223-:23"]);
    for (let port = 1; port <= 257; port++) host.udp[0]!.events.message(reply("x"), "127.0.0.1", port);
    guest.take();
    guest.udp("10.0.2.2", 23, 1, "forgotten");
    guest.udp("10.0.2.2", 23, 2, "known");
    expect(host.udp.map(({ sent }) => sent.map(({ text }) => text))).toEqual([["known"], ["forgotten"]]);
  });

  it("forgets callers after four idle minutes", async () => {
    const { guest, host } = await start(["hostfwd", "udp::2223-:23"]);
    host.udp[0]!.events.message(reply("hello"), "127.0.0.1", 6000);
    host.timers.advance(240_000);
    guest.udp("10.0.2.2", 23, 6000, "too late for the forwarded port");
    expect(host.udp[0]!.sent).toEqual([]);
    expect(host.udp[1]!.sent).toHaveLength(1);
  });
});
