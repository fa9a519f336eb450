import { describe, expect, it } from "vitest";
import { BROADCAST, fromHex, GUEST_MAC, ip, TestGuest, toHex } from "./guest-for-tests.ts";
import { FakeHost } from "./host-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const DECLINE = 4;
const ACK = 5;
const NAK = 6;
const RELEASE = 7;
const INFORM = 8;

async function start(...options: [string, string][]) {
  const host = new FakeHost();
  const net = await UserNet.open(parseUserNetOptions([["id", "net0"], ...options]), host);
  return { host, net, guest: new TestGuest(net) };
}

interface Message {
  type?: number;
  /** Further options, in hexadecimal. */
  options?: string;
  mac?: string;
  ciaddr?: string;
  flags?: string;
  destination?: string;
}

function requested(address: string): string {
  return `3204${ip(address)}`;
}

function send(guest: TestGuest, message: Message): void {
  const { type, options = "", mac = GUEST_MAC, ciaddr = "0.0.0.0", flags = "0000" } = message;
  const bytes = fromHex(
    `01010600 11223344 0000${flags} ${ip(ciaddr)} 00000000 00000000 00000000 ${mac}${"00".repeat(10 + 192)} 63825363 ` +
      `${type === undefined ? "" : `3501${toHex(Uint8Array.of(type))}`} ${options} ff`,
  );
  const source = ciaddr;
  guest.udp(message.destination ?? "255.255.255.255", 68, 67, bytes, { source, destinationMac: BROADCAST });
}

/** The answer: its type, addresses and options. */
function answer(guest: TestGuest) {
  const frame = guest.one();
  const message = frame.payload.subarray(8);
  const options: Record<number, string> = {};
  let at = 240;
  while (message[at] !== 255) {
    const [code, length] = [message[at]!, message[at + 1]!];
    options[code] = (options[code] ?? "") + toHex(message.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return {
    frame,
    length: message.length,
    header: toHex(message.subarray(0, 12)),
    type: Number.parseInt(options[53]!, 16),
    ciaddr: message.subarray(12, 16).join("."),
    yiaddr: message.subarray(16, 20).join("."),
    mac: toHex(message.subarray(28, 34)),
    cookie: toHex(message.subarray(236, 240)),
    options,
    order: toHex(message.subarray(236, at + 1)),
  };
}

describe("the DHCP server", () => {
  it("offers 10.0.2.15 with the options and the order that QEMU 7.2 has", async () => {
    const { guest } = await start();
    send(guest, { type: DISCOVER, options: "0c0474657374 3704 0103060f" });
    const offer = answer(guest);
    expect(offer.order).toBe("6382536335010236040a0002020104ffffff0003040a00020206040a000203330400015180ff");
    expect(offer.header).toBe("020106001122334400000000");
    expect([offer.yiaddr, offer.mac, offer.length]).toEqual(["10.0.2.15", GUEST_MAC, 300]);
    const { frame } = offer;
    expect([frame.destinationMac, frame.source, frame.destination]).toEqual([BROADCAST, "10.0.2.2", "255.255.255.255"]);
    expect([frame.from, frame.to]).toEqual([67, 68]);
  });

  it("acknowledges what it offered, and then knows where the guest is", async () => {
    const { guest, net } = await start();
    send(guest, { type: DISCOVER });
    answer(guest);
    send(guest, { type: REQUEST, options: `${requested("10.0.2.15")} 3604${ip("10.0.2.2")}` });
    const ack = answer(guest);
    expect(ack.order).toBe("6382536335010536040a0002020104ffffff0003040a00020206040a000203330400015180ff");
    expect(ack.yiaddr).toBe("10.0.2.15");
    expect(net.describe()).toEqual(["10.0.2.15 is at 52:54:00:12:34:56"]);
  });

  it("renews to the address itself", async () => {
    const { guest } = await start();
    send(guest, { type: REQUEST, options: requested("10.0.2.15") });
    answer(guest);
    send(guest, { type: REQUEST, ciaddr: "10.0.2.15", destination: "10.0.2.2" });
    const ack = answer(guest);
    expect([ack.type, ack.yiaddr, ack.ciaddr]).toEqual([ACK, "10.0.2.15", "10.0.2.15"]);
    expect([ack.frame.destination, ack.frame.destinationMac]).toEqual(["10.0.2.15", GUEST_MAC]);
  });

  it.each(["10.0.2.99", "192.168.2.99", "10.0.2.2", "10.0.2.255"])("refuses %s with a NAK", async (address) => {
    const { guest } = await start();
    send(guest, { type: REQUEST, options: requested(address) });
    const nak = answer(guest);
    expect([nak.type, nak.yiaddr, nak.frame.destination]).toEqual([NAK, "0.0.0.0", "255.255.255.255"]);
    expect(Object.keys(nak.options)).toEqual(["53", "54", "56"]);
    expect(nak.options[54]).toBe("0a000202");
  });

  it("refuses another client's address, until it is released or its time has run out", async () => {
    const { guest, host } = await start();
    const other = "525400000002";
    send(guest, { type: REQUEST, options: requested("10.0.2.15") });
    answer(guest);
    send(guest, { type: REQUEST, options: requested("10.0.2.15"), mac: other });
    expect(answer(guest).type).toBe(NAK);
    send(guest, { type: RELEASE, ciaddr: "10.0.2.15", destination: "10.0.2.2" });
    expect(guest.take()).toEqual([]);
    send(guest, { type: REQUEST, options: requested("10.0.2.15"), mac: other });
    expect(answer(guest).type).toBe(ACK);
    host.timers.advance(86_400_000);
    send(guest, { type: REQUEST, options: requested("10.0.2.15") });
    expect(answer(guest).type).toBe(ACK);
  });

  it("gives each client its own address, the one it asks for if that is free, and the same one again", async () => {
    const { guest } = await start();
    const offers = ["525400000001", "525400000002", "525400000001"].map((mac) => {
      send(guest, { type: DISCOVER, mac });
      return answer(guest).yiaddr;
    });
    expect(offers).toEqual(["10.0.2.15", "10.0.2.16", "10.0.2.15"]);
    send(guest, { type: DISCOVER, mac: "525400000003", options: requested("10.0.2.20") });
    expect(answer(guest).yiaddr).toBe("10.0.2.20");
    send(guest, { type: DISCOVER, mac: "525400000004", options: requested("10.0.2.20") });
    expect(answer(guest).yiaddr).toBe("10.0.2.17");
  });

  it("has 16 addresses, and holds an offer for a minute only", async () => {
    const { guest, host } = await start();
    for (let index = 0; index < 16; index++) {
      send(guest, { type: DISCOVER, mac: `5254000001${(16 + index).toString(16)}` });
      expect(answer(guest).yiaddr).toBe(`10.0.2.${15 + index}`);
    }
    send(guest, { type: DISCOVER });
    expect(guest.take()).toEqual([]);
    host.timers.advance(60_000);
    send(guest, { type: DISCOVER });
    expect(answer(guest).yiaddr).toBe("10.0.2.15");
  });

  it("never hands out the broadcast address, the network's own or what lies past them", async () => {
    const { guest } = await start(["dhcpstart", "10.0.2.253"]);
    const offers: string[] = [];
    for (let index = 0; index < 6; index++) {
      send(guest, { type: DISCOVER, mac: `52540000010${index}` });
      offers.push(...guest.take().map(({ payload }) => payload.subarray(24, 28).join(".")));
    }
    expect(offers).toEqual(["10.0.2.253", "10.0.2.254"]);
  });

  it("does not offer an address that a client found taken, for ten minutes", async () => {
    const { guest, host } = await start();
    send(guest, { type: REQUEST, options: requested("10.0.2.15") });
    answer(guest);
    send(guest, { type: DECLINE, options: requested("10.0.2.15") });
    expect(guest.take()).toEqual([]);
    send(guest, { type: DISCOVER });
    expect(answer(guest).yiaddr).toBe("10.0.2.16");
    send(guest, { type: RELEASE });
    host.timers.advance(600_000);
    send(guest, { type: DISCOVER });
    expect(answer(guest).yiaddr).toBe("10.0.2.15");
  });

  it("informs a guest that has configured itself: everything but a lease", async () => {
    const { guest } = await start();
    send(guest, { type: INFORM, ciaddr: "10.0.2.77", destination: "10.0.2.2" });
    const ack = answer(guest);
    expect([ack.type, ack.yiaddr, ack.frame.destination]).toEqual([ACK, "0.0.0.0", "10.0.2.77"]);
    expect(Object.keys(ack.options)).toEqual(["1", "3", "6", "53", "54"]);
  });

  it("leaves a REQUEST for another server alone", async () => {
    const { guest } = await start();
    send(guest, { type: REQUEST, options: `${requested("10.0.2.15")} 3604${ip("10.0.2.9")}` });
    expect(guest.take()).toEqual([]);
  });

  it("tells the host name, domain and search list, and under restrict=on no way out, as QEMU 7.2", async () => {
    const { guest } = await start(
      ["restrict", "on"],
      ["hostname", "myguest"],
      ["domainname", "ex.org"],
      ["dnssearch", "a.ex.org"],
      ["dnssearch", "ex.org"],
    );
    send(guest, { type: DISCOVER });
    const { order } = answer(guest);
    // QEMU compresses the search list (RFC 3397), we spell it out.
    expect(order).toBe(
      "6382536335010236040a0002020104ffffff003304000151800c076d7967756573740f0665782e6f7267" +
        "77120161026578036f72670002657803" +
        "6f726700ff",
    );
  });

  it("splits a search list that is longer than one option", async () => {
    const label = "x".repeat(60);
    const { guest } = await start(...Array.from({ length: 6 }, (): [string, string] => ["dnssearch", label]));
    send(guest, { type: DISCOVER });
    expect(answer(guest).options[119]).toBe(`3c${toHex(Buffer.from(label))}00`.repeat(6));
  });

  it.each([
    ["cut short", (bytes: Uint8Array) => bytes.subarray(0, 239)],
    ["without the cookie", (bytes: Uint8Array) => bytes.with(236, 0)],
    ["that is a reply", (bytes: Uint8Array) => bytes.with(0, 2)],
    ["of another kind of hardware", (bytes: Uint8Array) => bytes.with(1, 6)],
    ["with a longer hardware address", (bytes: Uint8Array) => bytes.with(2, 16)],
    ["that was relayed", (bytes: Uint8Array) => bytes.with(24, 10)],
    ["with an option past its end", (bytes: Uint8Array) => bytes.with(241, 200)],
    ["with an option cut after its code", (bytes: Uint8Array) => bytes.subarray(0, 241)],
  ])("drops a message %s", async (_, spoil) => {
    const { guest, net } = await start();
    const good = fromHex(
      `01010600 11223344 00000000 00000000 00000000 00000000 00000000 ${GUEST_MAC}${"00".repeat(202)} 63825363 350101 ff`,
    );
    guest.udp("255.255.255.255", 68, 67, good, { source: "0.0.0.0" });
    expect(answer(guest).type).toBe(OFFER);
    guest.udp("255.255.255.255", 68, 67, spoil(good), { source: "0.0.0.0" });
    expect(guest.take()).toEqual([]);
    expect(net.counters.malformed).toBe(1);
  });

  it("ignores messages without or of an unknown type", async () => {
    const { guest } = await start();
    send(guest, {});
    send(guest, { type: 99 });
    send(guest, { type: OFFER });
    expect(guest.take()).toEqual([]);
  });
});
