// The same frames to QEMU 7.2's user-mode network and to ours: the same answers. Where ours differs on purpose
// (docs/design/user-net.md) or where a value is free (windows, initial sequence numbers, padding), it is left out.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { nodeNetHost } from "../../node/host-sockets.ts";
import type { NetBackend, NetClient } from "../net.ts";
import { type Decoded, fromHex, GUEST_MAC, TestGuest, toHex } from "./guest-for-tests.ts";
import { GuestTcp } from "./tcp-endpoint-for-tests.ts";
import { pattern } from "./tcp-peer-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

const EMULATOR = "qemu-system-riscv64";
const hasQemu = (spawnSync(EMULATOR, ["--version"], { encoding: "utf8" }).stdout ?? "").includes("version 7.2");

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0).reverse()) undo();
});

/** QEMU's user-mode network at the other end of a socket. Each frame has its length in front, in four bytes. */
class QemuNet implements NetBackend {
  readonly id = "qemu";
  readonly #socket: Socket;
  readonly #process: ChildProcess;
  #client: NetClient | undefined;
  #input: Buffer = Buffer.alloc(0);

  static async open(options: string): Promise<QemuNet> {
    const folder = mkdtempSync(join(tmpdir(), "qemu-net-"));
    const path = join(folder, "wire");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const child = spawn(
      EMULATOR,
      [
        ["-M", "none", "-display", "none", "-monitor", "none"],
        ["-netdev", `user,id=u,ipv6=off${options}`],
        ["-netdev", `stream,id=s,server=off,addr.type=unix,addr.path=${path}`],
        ["-netdev", "hubport,id=h1,hubid=0,netdev=u", "-netdev", "hubport,id=h2,hubid=0,netdev=s"],
      ].flat(),
      { stdio: "ignore" },
    );
    // Also after a test that has failed.
    cleanup.push(() => child.kill("SIGKILL"));
    const socket = await new Promise<Socket>((resolve) => server.once("connection", resolve));
    server.close();
    rmSync(folder, { recursive: true });
    return new QemuNet(socket, child);
  }

  private constructor(socket: Socket, child: ChildProcess) {
    this.#socket = socket;
    this.#process = child;
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
  }

  attach(client: NetClient): void {
    this.#client = client;
  }

  transmit(frame: Uint8Array): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    this.#socket.write(Buffer.concat([length, frame]));
  }

  resume(): void {}

  close(): void {
    this.#socket.destroy();
    this.#process.kill("SIGKILL");
  }

  /** Closes, and waits until the ports are free again. */
  async exit(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once("exit", resolve));
    this.close();
    await exited;
  }

  #take(bytes: Buffer): void {
    this.#input = Buffer.concat([this.#input, bytes]);
    while (this.#input.length >= 4 && this.#input.length >= 4 + this.#input.readUInt32BE()) {
      const end = 4 + this.#input.readUInt32BE();
      this.#client?.receive(Uint8Array.from(this.#input.subarray(4, end)));
      this.#input = this.#input.subarray(end);
    }
  }
}

function openOurs(options: string): Promise<NetBackend> {
  const pairs = `id=u${options}`.split(",").map((pair) => pair.split("=") as [string, string]);
  return UserNet.open(parseUserNetOptions(pairs), nodeNetHost());
}

/** What a script makes of one network; the same of both is what is wanted. */
async function onBoth<T>(options: string, script: (net: NetBackend) => Promise<T>): Promise<{ qemu: T; ours: T }> {
  // One after the other: they open the same host ports.
  const theirNet = await QemuNet.open(options);
  const qemu = await script(theirNet).finally(() => theirNet.exit());
  const ourNet = await openOurs(options);
  const ours = await script(ourNet).finally(() => ourNet.close());
  return { qemu, ours };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Takes frames until there are `count`. */
async function frames(guest: TestGuest, count: number): Promise<Decoded[]> {
  const taken: Decoded[] = [];
  await until(() => taken.push(...guest.take()) >= count);
  return taken;
}

/** The guest has told where it is. */
async function announced(net: NetBackend): Promise<TestGuest> {
  const guest = new TestGuest(net);
  guest.arp("10.0.2.2");
  await frames(guest, 1);
  return guest;
}

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const port = await listen(() => {});
  cleanup.pop()!();
  await new Promise((resolve) => setTimeout(resolve, 5));
  return port;
}

function ends({ source, from, destination, to }: Decoded): string {
  return `${source}:${from} > ${destination}:${to}`;
}

describe.skipIf(!hasQemu)(`beside QEMU's user-mode network (needs ${EMULATOR} 7.2)`, () => {
  it.each(["10.0.2.2", "10.0.2.3"])("ARP for %s", async (address) => {
    const { qemu, ours } = await onBoth("", async (net) => {
      const guest = new TestGuest(net);
      guest.arp(address);
      // QEMU's padding is longer.
      return (await frames(guest, 1)).map(({ bytes }) => toHex(bytes.subarray(0, 60)));
    });
    expect(ours).toEqual(qemu);
  });

  it("echo of the router and the name server, and the unanswered ARPs before it", async () => {
    const { qemu, ours } = await onBoth("", async (net) => {
      const guest = await announced(net);
      for (const address of ["10.0.2.4", "10.0.2.15", "10.0.2.255", "8.8.8.8"]) guest.arp(address);
      guest.ping("10.0.2.2", "abcd");
      guest.ping("10.0.2.3", "efg", { ttl: 1 });
      return (await frames(guest, 2)).map(({ bytes, ttl, payload, source, sourceMac }) => {
        return [toHex(bytes.subarray(0, 14)), ttl, source, sourceMac, toHex(payload)];
      });
    });
    expect(ours).toEqual(qemu);
  });

  it.each([
    ["", 1, "", ""],
    ["", 1, "3204 0a000214", ""],
    ["", 3, "3204 0a00020f 3604 0a000202", ""],
    ["", 3, "3204 0a000263", ""],
    ["", 3, "3204 c0a80263", ""],
    [",restrict=on,hostname=myguest,domainname=ex.org", 1, "", ""],
    [",net=10.7.0.0/16,dhcpstart=10.7.5.5", 1, "", ""],
  ])("DHCP%s: message %d with %j", async (options, type, further) => {
    const { qemu, ours } = await onBoth(options, async (net) => {
      const guest = new TestGuest(net);
      const message = fromHex(
        `01010600 11223344 00000000 00000000 00000000 00000000 00000000 ${GUEST_MAC}${"00".repeat(202)} 63825363 ` +
          `3501${toHex(Uint8Array.of(type))} ${further} ff`,
      );
      guest.udp("255.255.255.255", 68, 67, message, { source: "0.0.0.0", destinationMac: "ffffffffffff" });
      const reply = (await frames(guest, 1))[0]!;
      const bytes = reply.payload.subarray(8);
      const isNak = bytes[242] === 6;
      return {
        ends: ends(reply),
        mac: reply.destinationMac,
        // QEMU puts 255.255.255.255 into a NAK, and words it its own way without naming the server.
        addresses: isNak ? "" : toHex(bytes.subarray(12, 24)),
        client: toHex(bytes.subarray(28, 34)),
        options: isNak ? toHex(bytes.subarray(240, 243)) : toHex(bytes.subarray(236)).replace(/(00)*$/, ""),
      };
    });
    expect(ours).toEqual(qemu);
  });

  it("a SYN to a closed port, and segments of no connection", async () => {
    const port = await closedPort();
    const { qemu, ours } = await onBoth("", async (net) => {
      const guest = await announced(net);
      const answers: Decoded[] = [];
      guest.tcp("10.0.2.2", { from: 5000, to: port, seq: 1000, flags: "S" });
      answers.push(...(await frames(guest, 1)));
      guest.tcp("10.0.2.2", { from: 5001, to: port, seq: 1000, ack: 77, flags: "A", data: "x" });
      answers.push(...(await frames(guest, 1)));
      // QEMU also answers a RST, with another.
      return answers.map((answer) => [ends(answer), answer.flags, answer.seq, answer.ack, answer.text]);
    });
    expect(ours).toEqual(qemu);
  });

  it("a SYN under restrict=on", async () => {
    const port = await listen(() => {});
    const { qemu, ours } = await onBoth(",restrict=on", async (net) => {
      const guest = await announced(net);
      guest.tcp("10.0.2.2", { from: 5000, to: port, seq: 1000, flags: "S" });
      guest.udp("10.0.2.2", 5000, port, "dropped");
      guest.udp("10.0.2.3", 5000, 53, "dropped");
      guest.ping("10.0.2.2", "still answered");
      return (await frames(guest, 2)).map((answer) => [ends(answer), answer.flags, answer.ack, answer.text]);
    });
    expect(ours).toEqual(qemu);
  });

  it("a connection: the handshake, a request, the answer, both ends closed", async () => {
    const port = await listen((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes) => socket.end(`echo ${bytes}`));
    });
    const { qemu, ours } = await onBoth("", async (net) => {
      const guest = await announced(net);
      const to = { from: 5000, to: port };
      guest.tcp("10.0.2.2", { ...to, seq: 1000, flags: "S", options: "020405b4" });
      const [synAck] = await frames(guest, 1);
      const base = synAck!.seq + 1;
      guest.tcp("10.0.2.2", { ...to, seq: 1001, ack: base, flags: "A" });
      guest.tcp("10.0.2.2", { ...to, seq: 1001, ack: base, flags: "PA", data: "hello" });
      // Acknowledgements may come alone or with data, FIN with the data or after it: what counts is the sum.
      let text = "";
      let finished = false;
      let acked = 0;
      await until(() => {
        for (const frame of guest.take()) {
          text += frame.seq === base + text.length ? frame.text : "";
          finished ||= frame.flags.includes("F");
          acked = frame.ack;
        }
        return finished;
      });
      guest.tcp("10.0.2.2", { ...to, seq: 1006, ack: base + text.length + 1, flags: "FA" });
      await until(() => guest.take().some(({ ack }) => (acked = ack) === 1007));
      return [ends(synAck!), synAck!.flags, synAck!.ack, synAck!.options.slice(0, 8), text, acked];
    });
    expect(ours).toEqual(qemu);
  });

  it("a call through hostfwd", async () => {
    const port = await closedPort();
    const { qemu, ours } = await onBoth(`,hostfwd=tcp:127.0.0.1:${port}-:22`, async (net) => {
      const guest = await announced(net);
      const caller = connect({ host: "127.0.0.1", port });
      caller.on("error", () => {});
      const [syn] = await frames(guest, 1);
      const isCaller = syn!.from === (caller.address() as AddressInfo).port;
      caller.destroy();
      return [syn!.source, syn!.destination, syn!.to, syn!.flags, syn!.ack, syn!.options.slice(0, 8), isCaller];
    });
    expect(ours).toEqual(qemu);
  });

  it("a datagram to the host and back, and one through hostfwd", async () => {
    const server = createSocket("udp4");
    cleanup.push(() => server.close());
    await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
    server.on("message", (bytes, from) => server.send(`echo ${bytes}`, from.port, from.address));
    const port = server.address().port;
    const forwarded = await closedPort();
    const { qemu, ours } = await onBoth(`,hostfwd=udp:127.0.0.1:${forwarded}-:7`, async (net) => {
      const guest = await announced(net);
      guest.udp("10.0.2.2", 5000, port, "hello");
      const [echo] = await frames(guest, 1);
      server.send("knock", forwarded, "127.0.0.1");
      const [knock] = await frames(guest, 1);
      return [echo!, knock!].map((frame) => [ends(frame), frame.text, frame.ttl]);
    });
    expect(ours).toEqual(qemu);
  });

  it("a whole stream by the tests' own TCP", async () => {
    const port = await listen((socket) => {
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    const sent = pattern(400_000);
    const { qemu, ours } = await onBoth("", async (net) => {
      await announced(net);
      const guest = new GuestTcp(net, { remote: "10.0.2.2", from: 5000, to: port, timers: nodeNetHost().timers });
      guest.open();
      guest.send(sent);
      guest.close();
      await until(() => guest.remoteEnded && guest.delivered);
      return Buffer.concat(guest.received).equals(Buffer.from(sent));
    });
    expect([qemu, ours]).toEqual([true, true]);
  });
});
