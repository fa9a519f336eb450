// User-mode networking over real sockets, on the loopback interface only.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { existsSync, readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import {
  BROADCAST,
  type Decoded,
  fromHex,
  GUEST_MAC,
  ip,
  ROUTER_MAC,
  TestGuest,
  toHex,
} from "../backend/net/guest-for-tests.ts";
import type { NetHost } from "../backend/net/host.ts";
import { GuestTcp } from "../backend/net/tcp-endpoint-for-tests.ts";
import { pattern } from "../backend/net/tcp-peer-for-tests.ts";
import { UserNet } from "../backend/net/user-net.ts";
import { parseUserNetOptions } from "../backend/net/user-net-options.ts";
import { UserError } from "../util/user-error.ts";
import { nodeNetHost } from "./host-sockets.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0).reverse()) undo();
});

async function open(rules: readonly string[] = [], host: NetHost = nodeNetHost()): Promise<UserNet> {
  const options = rules.map((rule): [string, string] => ["hostfwd", rule]);
  const net = await UserNet.open(parseUserNetOptions([["id", "n"], ...options]), host);
  cleanup.push(() => net.close());
  net.transmit(
    fromHex(`${BROADCAST}${GUEST_MAC}0806 0001080006040001 ${GUEST_MAC}${ip("10.0.2.15")} 000000000000 0a000202`),
  );
  return net;
}

/** A guest with one connection. */
function guestTcp(net: UserNet, to: number, remote = "10.0.2.2"): GuestTcp {
  return new GuestTcp(net, { remote, from: 5000, to, timers: nodeNetHost().timers });
}

/** Waits until it holds; the test's own time limit ends a wait in vain. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    cleanup.push(() => socket.destroy());
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function bindUdp(): Promise<UdpSocket> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  cleanup.push(() => socket.close());
  return socket;
}

function received(guest: GuestTcp): Buffer {
  return Buffer.concat(guest.received);
}

describe("TCP from the guest", () => {
  it("fetches a page from a web server on the host", async () => {
    const body = Buffer.from(pattern(2_000_000));
    const server = createHttpServer((request, response) => {
      response.setHeader("x-path", request.url ?? "");
      response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanup.push(() => server.close());
    const guest = guestTcp(await open(), (server.address() as AddressInfo).port);
    guest.open();
    guest.send(Buffer.from("GET /hello HTTP/1.1\r\nHost: 10.0.2.2\r\nConnection: close\r\n\r\n"));
    await until(() => guest.remoteEnded);
    const answer = received(guest);
    const end = answer.indexOf("\r\n\r\n");
    expect(answer.subarray(0, end).toString()).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*x-path: \/hello/i);
    expect(answer.subarray(end + 4).equals(body)).toBe(true);
    guest.close();
    await until(() => guest.delivered);
  });

  it("closes one half after the other: the answer comes after the guest's end", async () => {
    const port = await listen((socket) => {
      const pieces: Buffer[] = [];
      socket.on("data", (piece: Buffer) => pieces.push(piece));
      socket.on("end", () => socket.end(`got ${Buffer.concat(pieces).length}`));
    });
    const net = await open();
    const guest = guestTcp(net, port);
    guest.open();
    guest.send(pattern(1_000_000));
    guest.close();
    await until(() => guest.remoteEnded && guest.delivered);
    expect(received(guest).toString()).toBe("got 1000000");
    await until(() => net.describe().filter((line) => line.startsWith("TCP")).length === 0);
  });

  it("hears of a refused connection", async () => {
    const port = await listen(() => {});
    cleanup.pop()?.();
    await new Promise((resolve) => setTimeout(resolve, 10));
    const guest = guestTcp(await open(), port);
    guest.open();
    await until(() => guest.resetByRemote);
  });

  it("hears of a reset, and the host hears of the guest's", async () => {
    let failure = "";
    const port = await listen((socket) => {
      socket.on("data", (piece) => {
        if (piece.toString() === "reset me") socket.resetAndDestroy();
        else socket.write("here");
      });
      socket.on("error", (error: NodeJS.ErrnoException) => {
        failure = error.code ?? "";
      });
    });
    const net = await open();
    const guest = guestTcp(net, port);
    guest.open();
    guest.send(Buffer.from("reset me"));
    await until(() => guest.resetByRemote);
    const other = new TestGuest(net);
    let synAck: Decoded | undefined;
    const ends = { from: 5001, to: port };
    other.tcp("10.0.2.2", { ...ends, seq: 1, flags: "S" });
    await until(() => (synAck ??= other.take()[0]) !== undefined);
    other.tcp("10.0.2.2", { ...ends, seq: 2, ack: synAck!.seq + 1, flags: "PA", data: "x" });
    await until(() => other.take().some(({ text }) => text === "here"));
    other.tcp("10.0.2.2", { ...ends, seq: 3, ack: synAck!.seq + 5, flags: "RA" });
    await until(() => failure !== "");
    expect(failure).toBe("ECONNRESET");
  });

  it("is held up by a host that does not read, and goes on when it does", async () => {
    let reader: Socket | undefined;
    let length = 0;
    const port = await listen((socket) => {
      reader = socket.pause();
      socket.on("end", () => socket.end());
    });
    const guest = guestTcp(await open(), port);
    // More than the kernel's buffers hold.
    const total = 9_000_000;
    guest.open();
    guest.send(pattern(total));
    guest.close();
    await until(() => reader !== undefined);
    // Long enough for everything to arrive, if nothing held it up.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(guest.delivered).toBe(false);
    reader!.on("data", (piece: Buffer) => {
      length += piece.length;
    });
    reader!.resume();
    await until(() => guest.remoteEnded && guest.delivered);
    expect(length).toBe(total);
  });
});

describe("closing the network", () => {
  it("still delivers what the guest has sent, with an orderly end", async () => {
    let length = 0;
    let ended = false;
    let failed = false;
    const port = await listen((socket) => {
      socket.on("data", (piece: Buffer) => {
        length += piece.length;
      });
      socket.on("end", () => {
        ended = true;
      });
      socket.on("error", () => {
        failed = true;
      });
    });
    const net = await open();
    const guest = guestTcp(net, port);
    guest.open();
    guest.send(pattern(200_000));
    guest.close();
    await until(() => guest.delivered);
    net.close();
    await until(() => ended || failed);
    expect([length, ended, failed]).toEqual([200_000, true, false]);
  });
});

describe("forwarded ports", () => {
  it("lead callers on the host to the guest", async () => {
    const net = await open(["tcp::0-:22"]);
    const port = net.forwards[0]!.openPort;
    expect(port).toBeGreaterThan(0);
    const { timers } = nodeNetHost();
    const guest = new GuestTcp(net, { remote: "10.0.2.2", from: 22, timers, listens: true });
    const caller = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    cleanup.push(() => caller.destroy());
    const sent = pattern(300_000);
    guest.onData = () => {
      if (guest.remoteEnded) {
        guest.send(received(guest));
        guest.close();
      }
    };
    caller.end(sent);
    const pieces: Buffer[] = [];
    caller.on("data", (piece: Buffer) => pieces.push(piece));
    await new Promise<void>((resolve) => caller.once("end", () => resolve()));
    expect(Buffer.concat(pieces).equals(Buffer.from(sent))).toBe(true);
  });

  it("reset callers that the guest refuses", async () => {
    const net = await open(["tcp::0-:22"]);
    const guest = new TestGuest(net);
    const caller = connect({ host: "127.0.0.1", port: net.forwards[0]!.openPort });
    let failure = "";
    caller.on("error", (error: NodeJS.ErrnoException) => {
      failure = error.code ?? "";
    });
    let syn: Decoded | undefined;
    await until(() => (syn ??= guest.take()[0]) !== undefined);
    guest.tcp("10.0.2.2", { from: 22, to: syn!.from, seq: 0, ack: syn!.seq + 1, flags: "RA" });
    await until(() => failure !== "");
    expect(failure).toBe("ECONNRESET");
  });

  it("that are in use are told in one line", async () => {
    const port = await listen(() => {});
    await expect(open([`tcp::${port}-:22`])).rejects.toThrow(
      `-netdev user,hostfwd=tcp::${port}-:22: tcp port ${port} of 127.0.0.1 is in use, choose another host port`,
    );
    const socket = await bindUdp();
    const udpPort = socket.address().port;
    const attempt = open([`udp::${udpPort}-:22`]);
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(`udp port ${udpPort} of 127.0.0.1 is in use`);
  });

  it("on an address that the host does not have are told in one line", async () => {
    await expect(open(["tcp:192.0.2.1:0-:22"])).rejects.toThrow("the host does not have that address");
    await expect(open(["udp:192.0.2.1:0-:22"])).rejects.toThrow("the host does not have that address");
  });

  it("are free again after close", async () => {
    const net = await open(["tcp::0-:22"]);
    const port = net.forwards[0]!.openPort;
    net.close();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await open([`tcp::${port}-:22`])).forwards[0]!.openPort).toBe(port);
  });
});

describe("UDP", () => {
  it("reaches a server on the host and brings its answers back, of any length", async () => {
    const server = await bindUdp();
    server.on("message", (bytes, from) => server.send(bytes, from.port, from.address));
    const guest = new TestGuest(await open());
    const port = server.address().port;
    for (const length of [0, 1, 1000, 9000]) {
      const text = Buffer.from(pattern(length)).toString("latin1");
      // The guest's own fragments: the stack puts them together, and cuts the answer again.
      sendFragmented(guest, port, text, length);
      let echoed = 0;
      const frames: Decoded[] = [];
      await until(() => {
        const more = guest.take();
        frames.push(...more);
        for (const { payload } of more) echoed += payload.length;
        return echoed >= length + 8;
      });
      const whole = Buffer.concat(frames.map(({ payload }) => payload)).subarray(8);
      expect(whole.toString("latin1") === text).toBe(true);
      expect(frames[0]!.source).toBe("10.0.2.2");
    }
  });

  it("comes in through a forwarded port, and answers go back", async () => {
    const net = await open(["udp::0-:7"]);
    const guest = new TestGuest(net);
    const caller = await bindUdp();
    let answer = "";
    caller.on("message", (bytes) => {
      answer = bytes.toString();
    });
    caller.send("ping", net.forwards[0]!.openPort, "127.0.0.1");
    let call: Decoded | undefined;
    await until(() => (call ??= guest.take()[0]) !== undefined);
    expect([call!.text, call!.source, call!.from, call!.to]).toEqual(["ping", "10.0.2.2", caller.address().port, 7]);
    guest.udp("10.0.2.2", 7, call!.from, "pong");
    await until(() => answer !== "");
    expect(answer).toBe("pong");
  });
});

function sendFragmented(guest: TestGuest, port: number, text: string, id: number): void {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(5000, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8 + text.length, 4);
  const whole = Uint8Array.from(Buffer.concat([header, Buffer.from(text, "latin1")]));
  for (let at = 0; at < whole.length; at += 1480) {
    const more = at + 1480 < whole.length ? 0x2000 : 0;
    guest.ip("10.0.2.2", 17, whole.subarray(at, at + 1480), { id: id & 0xffff, fragment: more | (at / 8) });
  }
}

describe("names", () => {
  const hostsFile = "/etc/hosts";
  const entry = existsSync(hostsFile)
    ? readFileSync(hostsFile, "utf8")
        .split("\n")
        .map((line) => /^([0-9.]+)\s+([a-z0-9.-]*[a-z][a-z0-9.-]*)/.exec(line))
        .find((match) => match !== null && !/localhost$/.test(match[2]!))
    : undefined;

  it.skipIf(entry === undefined)("from /etc/hosts resolve (skipped without an entry there)", async () => {
    const found = await nodeNetHost().resolver.lookup(entry![2]!);
    expect(found).toContainEqual({ address: entry![1]!, family: 4 });
  });

  it("resolve in the guest: localhost, and its address back", async () => {
    const { resolver } = nodeNetHost();
    expect(await resolver.lookup("localhost")).toContainEqual({ address: "127.0.0.1", family: 4 });
    expect(await resolver.reverse("127.0.0.1")).toBeTypeOf("string");
    for (const server of resolver.servers()) expect(server.port).toBeGreaterThan(0);
  });

  it("of other types come from the host's name server, over UDP and TCP", async () => {
    const udp = await bindUdp();
    const { port } = udp.address();
    udp.on("message", (query, from) => udp.send(answerOf(query, "udp"), from.port, from.address));
    const tcp = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes) => {
        const answer = answerOf(bytes.subarray(2), "tcp");
        socket.write(Buffer.concat([Buffer.from([0, answer.length]), answer]));
      });
    });
    await new Promise<void>((resolve) => tcp.listen(port, "127.0.0.1", resolve));
    cleanup.push(() => tcp.close());
    const host = nodeNetHost();
    const servers = () => [{ address: "127.0.0.1", family: 4 as const, port }];
    const net = await open([], { ...host, resolver: { ...host.resolver, servers } });
    const query = fromHex("abcd 0100 0001 0000 0000 0000 076578616d706c65036f7267 00 0010 0001");
    const guest = new TestGuest(net);
    guest.udp("10.0.2.3", 5353, 53, query, { destinationMac: ROUTER_MAC });
    let reply: Decoded | undefined;
    await until(() => (reply ??= guest.take()[0]) !== undefined);
    expect(toHex(reply!.payload.subarray(8, 10))).toBe("abcd");
    expect(reply!.text).toMatch(/over udp$/);
    const client = guestTcp(net, 53, "10.0.2.3");
    client.open();
    client.send(Buffer.concat([Buffer.from([0, query.length]), query]));
    client.close();
    await until(() => client.remoteEnded);
    expect(received(client).toString("latin1")).toMatch(/over tcp$/);
  });
});

/** A TXT answer that says how the query came. */
function answerOf(query: Uint8Array, transport: string): Buffer {
  const text = `over ${transport}`;
  const answer = Buffer.concat([
    query,
    fromHex("c00c 0010 0001 00000005"),
    Buffer.from([0, text.length + 1, text.length]),
    Buffer.from(text),
  ]);
  answer.writeUInt16BE(0x8180, 2);
  answer.writeUInt16BE(1, 6);
  return answer;
}
