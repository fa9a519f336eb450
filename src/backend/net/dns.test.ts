import { describe, expect, it } from "vitest";
import { DNS_MAC, fromHex, TestGuest, toHex } from "./guest-for-tests.ts";
import { FakeHost } from "./host-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

const A = 1;
const MX = 15;
const PTR = 12;
const AAAA = 28;

async function start(...options: [string, string][]) {
  const host = new FakeHost();
  const net = await UserNet.open(parseUserNetOptions([["id", "net0"], ...options]), host);
  const guest = new TestGuest(net).announce();
  return { host, net, guest };
}

function nameHex(name: string): string {
  const labels = name === "" ? [] : name.split(".");
  return [...labels.map((label) => toHex(Buffer.from([label.length, ...Buffer.from(label)]))), "00"].join("");
}

function hex16(value: number): string {
  return value.toString(16).padStart(4, "0");
}

/** A query with id 0xabcd and RD; `edns` is the answer size that it announces. */
function query(name: string, type: number, edns?: number): Uint8Array {
  const opt = edns === undefined ? "" : `00 0029 ${hex16(edns)} 00000000 0000`;
  return fromHex(`abcd 0100 0001 0000 0000 000${edns === undefined ? 0 : 1} ${nameHex(name)}${hex16(type)}0001 ${opt}`);
}

/** Promises have run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

async function ask(guest: TestGuest, message: Uint8Array): Promise<string> {
  guest.udp("10.0.2.3", 5353, 53, message, { destinationMac: DNS_MAC });
  await settle();
  const reply = guest.one();
  expect([reply.kind, reply.source, reply.from, reply.to]).toEqual(["udp", "10.0.2.3", 53, 5353]);
  return toHex(reply.payload.subarray(8));
}

/** Rcode, and the data of the answers. */
function summary(reply: string): { rcode: number; truncated: boolean; records: string[]; edns: boolean } {
  const bytes = fromHex(reply);
  let at = 12;
  while (bytes[at] !== 0) at += 1 + bytes[at]!;
  at += 5;
  const records: string[] = [];
  for (let index = 0; index < bytes[7]!; index++) {
    expect(toHex(bytes.subarray(at, at + 2))).toBe("c00c");
    const length = bytes[at + 10]! * 256 + bytes[at + 11]!;
    records.push(toHex(bytes.subarray(at + 12, at + 12 + length)));
    at += 12 + length;
  }
  return { rcode: bytes[3]! & 15, truncated: (bytes[2]! & 2) !== 0, records, edns: bytes[11] === 1 };
}

describe("the name server", () => {
  it("answers from the host's resolver, byte by byte", async () => {
    const { guest, host } = await start();
    host.names.set("example.org", ["192.0.2.7", "2001:db8::7"]);
    expect(await ask(guest, query("example.org", A))).toBe(
      "abcd81800001000100000000" + "076578616d706c65036f72670000010001" + "c00c000100010000001e0004c0000207",
    );
    expect(await ask(guest, query("example.org", AAAA))).toBe(
      "abcd81800001000100000000" +
        "076578616d706c65036f726700001c0001" +
        "c00c001c00010000001e001020010db8000000000000000000000007",
    );
  });

  it("looks a name up once for A and AAAA together, in lower case, and again after ten seconds", async () => {
    const { guest, host } = await start();
    host.names.set("example.org", ["192.0.2.7"]);
    expect(summary(await ask(guest, query("EXAMPLE.org", A))).records).toEqual(["c0000207"]);
    // The name exists, so "no data", not "no such name".
    expect(summary(await ask(guest, query("example.org", AAAA)))).toMatchObject({ rcode: 0, records: [] });
    expect(host.lookups).toEqual(["example.org"]);
    host.timers.advance(10_000);
    await ask(guest, query("example.org", A));
    expect(host.lookups).toHaveLength(2);
  });

  it("remembers 64 names", async () => {
    const { guest, host } = await start();
    for (let index = 0; index < 65; index++) host.names.set(`name${index}`, ["192.0.2.7"]);
    for (let index = 0; index < 65; index++) await ask(guest, query(`name${index}`, A));
    await ask(guest, query("name1", A));
    expect(host.lookups).toHaveLength(65);
    await ask(guest, query("name0", A));
    expect(host.lookups).toHaveLength(66);
  });

  it("gives the host's own name an address that leads there, and leaves localhost alone", async () => {
    const { guest, host } = await start();
    host.names.set("mymachine", ["127.0.1.1", "::1"]);
    host.names.set("alias", ["127.0.0.1"]);
    host.names.set("listed.dnsbl", ["127.0.0.2"]);
    host.names.set("localhost", ["127.0.0.1", "::1"]);
    expect(summary(await ask(guest, query("mymachine", A))).records).toEqual(["0a000202"]);
    expect(summary(await ask(guest, query("mymachine", AAAA))).records).toEqual([]);
    expect(summary(await ask(guest, query("alias", A))).records).toEqual(["0a000202"]);
    expect(summary(await ask(guest, query("listed.dnsbl", A))).records).toEqual(["7f000002"]);
    expect(summary(await ask(guest, query("localhost", A))).records).toEqual(["7f000001"]);
    expect(summary(await ask(guest, query("localhost", AAAA))).records).toEqual([`${"00".repeat(15)}01`]);
  });

  it.each([
    ["::", "00000000000000000000000000000000"],
    ["1::", "00010000000000000000000000000000"],
    ["2001:db8:1:2:3:4:5:6", "20010db8000100020003000400050006"],
    ["::ffff:192.0.2.7", "00000000000000000000ffffc0000207"],
    ["64:ff9b::192.0.2.7", "0064ff9b0000000000000000c0000207"],
  ])("writes %s as an AAAA record", async (address, expected) => {
    const { guest, host } = await start();
    host.names.set("six", [address]);
    expect(summary(await ask(guest, query("six", AAAA))).records).toEqual([expected]);
  });

  it("leaves out what is no address elsewhere", async () => {
    const { guest, host } = await start();
    host.names.set("six", ["fe80::1%eth0", "1:2", "::1::2", "1:2:3:4:5:6:7:8:9", "2001:db8::1"]);
    expect(summary(await ask(guest, query("six", AAAA))).records).toHaveLength(1);
  });

  it("says so where a name does not exist, and where the resolver fails", async () => {
    const { guest, host } = await start();
    expect(summary(await ask(guest, query("nowhere", A)))).toMatchObject({ rcode: 3, records: [] });
    host.names.set("trouble", ["fail"]);
    expect(summary(await ask(guest, query("trouble", A))).rcode).toBe(2);
    // Failures are not remembered.
    host.names.set("trouble", ["192.0.2.9"]);
    expect(summary(await ask(guest, query("trouble", A))).rcode).toBe(0);
  });

  it("never hands the host's resolver something that it would read as an address", async () => {
    const { guest, host } = await start();
    for (const name of ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "a.0x1", "a b", "a/b", ""]) {
      expect(summary(await ask(guest, query(name, A))).rcode).toBe(2);
    }
    expect(host.lookups).toEqual([]);
  });

  it("gives names to addresses, and none to those of the virtual network", async () => {
    const { guest, host } = await start();
    host.reverseNames.set("192.0.2.7", "example.org");
    host.reverseNames.set("10.0.2.2", "leak.example.org");
    host.reverseNames.set("2001:0db8:0000:0000:0000:0000:0000:0001", "six.example.org");
    expect(summary(await ask(guest, query("7.2.0.192.in-addr.arpa", PTR))).records).toEqual([nameHex("example.org")]);
    const nibbles = `1.${"0.".repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`;
    expect(summary(await ask(guest, query(nibbles, PTR))).records).toEqual([nameHex("six.example.org")]);
    expect(summary(await ask(guest, query("2.2.0.10.in-addr.arpa", PTR))).rcode).toBe(3);
    expect(summary(await ask(guest, query("9.9.9.9.in-addr.arpa", PTR))).rcode).toBe(3);
    expect(summary(await ask(guest, query("1.2.3.in-addr.arpa", PTR))).rcode).toBe(3);
  });

  it("answers EDNS with EDNS, and truncates what the asker does not take", async () => {
    const { guest, host } = await start();
    host.names.set(
      "many",
      Array.from({ length: 60 }, (_, index) => `192.0.2.${index}`),
    );
    const plain = await ask(guest, query("many", A));
    expect(plain.length / 2).toBeLessThanOrEqual(512);
    expect(summary(plain)).toMatchObject({ truncated: true, edns: false });
    const large = summary(await ask(guest, query("many", A, 1232)));
    expect(large).toMatchObject({ truncated: false, edns: true });
    expect(large.records).toHaveLength(60);
    // An announced size below 512 counts as 512.
    expect(summary(await ask(guest, query("many", A, 10))).records.length).toBeGreaterThan(20);
  });

  it("refuses what is no single plain query", async () => {
    const { guest, net } = await start();
    const good = query("a", A);
    expect(await ask(guest, good.with(2, 0x29))).toBe("abcda9840000000000000000");
    expect(await ask(guest, good.with(5, 2))).toBe("abcd81810000000000000000");
    expect(await ask(guest, good.with(12, 0xc0))).toMatch(/^abcd8181/);
    expect(await ask(guest, good.subarray(0, good.length - 1))).toMatch(/^abcd8181/);
    expect(await ask(guest, good.with(12, 63))).toMatch(/^abcd8181/);
    expect(await ask(guest, query(Array(200).fill("x").join("."), A))).toMatch(/^abcd8181/);
    const pointer = Uint8Array.from([...good.subarray(0, 12), 0xc0, ...Array(192).fill(0x61), 0, 0, 1, 0, 1]);
    expect(await ask(guest, pointer)).toMatch(/^abcd8181/);
    for (const nothing of [good.subarray(0, 11), good.with(2, 0x81)]) {
      guest.udp("10.0.2.3", 5353, 53, nothing);
      await settle();
      expect(guest.take()).toEqual([]);
    }
    expect(net.counters.malformed).toBe(2);
  });

  it("answers on port 53 only", async () => {
    const { guest } = await start();
    guest.udp("10.0.2.3", 5353, 54, query("a", A));
    const error = guest.one();
    expect([error.kind, error.type, error.code]).toEqual(["icmp", 3, 3]);
    guest.tcp("10.0.2.3", { from: 5353, to: 54, seq: 1, flags: "S" });
    expect(guest.one().flags).toBe("RA");
  });

  it("bounds the queries under way and the lookups at once", async () => {
    const { guest, host, net } = await start();
    let running = 0;
    let most = 0;
    const release: (() => void)[] = [];
    host.resolver.lookup = async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => release.push(resolve));
      running--;
      return [{ address: "192.0.2.1", family: 4 }];
    };
    for (let index = 0; index < 100; index++) guest.udp("10.0.2.3", 5353, 53, query(`name${index}`, A));
    await settle();
    expect(net.counters.tableFull).toBe(36);
    while (release.length > 0) {
      release.shift()!();
      await settle();
    }
    expect(most).toBe(2);
    expect(guest.take()).toHaveLength(64);
  });
});

describe("relaying to the host's name servers", () => {
  const answerTail = "8180 0001 0001 0000 0000";

  async function startWithServers(count = 1) {
    const parts = await start();
    for (let index = 0; index < count; index++) {
      parts.host.nameServers.push({ address: `192.0.2.${53 + index}`, family: 4, port: 53 });
    }
    return parts;
  }

  it("passes other types on unchanged but for the id, and the answer back", async () => {
    const { guest, host } = await startWithServers();
    guest.udp("10.0.2.3", 5353, 53, query("example.org", MX, 1232));
    await settle();
    const socket = host.udp[0]!;
    const sent = socket.sent[0]!;
    expect([sent.address, sent.port]).toEqual(["192.0.2.53", 53]);
    expect(toHex(sent.bytes.subarray(2))).toBe(toHex(query("example.org", MX, 1232).subarray(2)));
    expect(toHex(sent.bytes.subarray(0, 2))).not.toBe("abcd");
    const id = toHex(sent.bytes.subarray(0, 2));
    const body = `${answerTail} ${nameHex("Example.org")}000f0001 c00c000f0001000000050004000a0000`;
    socket.events.message(fromHex(`${id} ${body}`), "192.0.2.53", 53);
    await settle();
    expect(toHex(guest.one().payload.subarray(8))).toBe(toHex(fromHex(`abcd ${body}`)));
    expect(socket.closed).toBe(true);
  });

  it("believes no answer from elsewhere, with another id or to another question", async () => {
    const { guest, host } = await startWithServers();
    guest.udp("10.0.2.3", 5353, 53, query("example.org", MX));
    await settle();
    const socket = host.udp[0]!;
    const id = toHex(socket.sent[0]!.bytes.subarray(0, 2));
    const good = fromHex(`${id} ${answerTail} ${nameHex("example.org")}000f0001`);
    socket.events.message(good, "192.0.2.66", 53);
    socket.events.message(good, "192.0.2.53", 54);
    socket.events.message(good.with(1, good[1]! ^ 1), "192.0.2.53", 53);
    socket.events.message(good.with(2, 0x01), "192.0.2.53", 53);
    socket.events.message(good.with(14, 0x7a), "192.0.2.53", 53);
    socket.events.message(good.subarray(0, 20), "192.0.2.53", 53);
    await settle();
    expect(guest.take()).toEqual([]);
    socket.events.message(good, "192.0.2.53", 53);
    await settle();
    expect(guest.take()).toHaveLength(1);
  });

  it("asks the next server after three seconds or a failure, three at most, and then gives up", async () => {
    const { guest, host } = await startWithServers(4);
    guest.udp("10.0.2.3", 5353, 53, query("example.org", MX));
    await settle();
    host.timers.advance(3000);
    await settle();
    host.udp[1]!.events.failed("other");
    await settle();
    host.timers.advance(3000);
    await settle();
    expect(host.udp.map(({ sent }) => sent[0]!.address)).toEqual(["192.0.2.53", "192.0.2.54", "192.0.2.55"]);
    expect(host.udp.every(({ closed }) => closed)).toBe(true);
    expect(summary(toHex(guest.one().payload.subarray(8))).rcode).toBe(2);
    expect(host.timers.pending).toBe(0);
  });

  it("asks them what is wrong with a name that the host does not find", async () => {
    const { guest, host } = await startWithServers();
    guest.udp("10.0.2.3", 5353, 53, query("onlymail.example.org", A));
    await settle();
    const id = toHex(host.udp[0]!.sent[0]!.bytes.subarray(0, 2));
    host.udp[0]!.events.message(
      fromHex(`${id} 8180 0001 0000 0000 0000 ${nameHex("onlymail.example.org")}00010001`),
      "192.0.2.53",
      53,
    );
    await settle();
    expect(summary(toHex(guest.one().payload.subarray(8))).rcode).toBe(0);
  });

  it("ends what is under way when the network closes", async () => {
    const { guest, host, net } = await startWithServers(3);
    guest.udp("10.0.2.3", 5353, 53, query("example.org", MX));
    await settle();
    net.close();
    await settle();
    expect(host.udp.every(({ closed }) => closed)).toBe(true);
    expect(host.timers.pending).toBe(0);
    expect(guest.take()).toEqual([]);
  });
});

describe("restrict=on", () => {
  it("leaves queries unanswered, and asks nobody", async () => {
    const { guest, host, net } = await start(["restrict", "on"]);
    host.nameServers.push({ address: "192.0.2.53", family: 4, port: 53 });
    guest.udp("10.0.2.3", 5353, 53, query("example.org", A));
    guest.tcp("10.0.2.3", { from: 5353, to: 53, seq: 1, flags: "S" });
    await settle();
    expect(guest.one().flags).toBe("RA");
    expect([host.lookups, host.udp, host.tcp]).toEqual([[], [], []]);
    expect(net.counters.restricted).toBe(2);
  });
});
