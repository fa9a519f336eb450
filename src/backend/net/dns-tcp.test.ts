import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "./guest-for-tests.ts";
import type { FakeHost } from "./host-for-tests.ts";
import { bytes, Peer, type Started, start } from "./tcp-peer-for-tests.ts";

describe("names over TCP", () => {
  const query = fromHex("abcd 0100 0001 0000 0000 0000 076578616d706c65036f7267 00 0001 0001");
  const withLength = Uint8Array.from([0, query.length, ...query]);

  async function settle(host: FakeHost): Promise<void> {
    for (let turn = 0; turn < 10; turn++) {
      for (let step = 0; step < 20; step++) await Promise.resolve();
      host.timers.advance(0);
    }
  }

  async function open(started: Started): Promise<Peer> {
    const peer = new Peer(started.guest, "10.0.2.3", 5000, 53);
    peer.syn();
    await settle(started.host);
    peer.complete();
    return peer;
  }

  it("are answered with their length in front, also when the query comes in pieces", async () => {
    const started = await start();
    const { host } = started;
    host.names.set("example.org", ["192.0.2.7"]);
    const peer = await open(started);
    for (const byte of withLength) peer.send("A", { data: Uint8Array.of(byte) });
    await settle(host);
    const answer = peer.consume();
    expect(answer.length).toBe(2 + 45);
    expect(toHex(bytes(answer)).slice(0, 8)).toBe("002dabcd");
    expect(toHex(bytes(answer))).toMatch(/c0000207$/);
    expect(host.tcp).toEqual([]);
  });

  it("end in order: every query that came is answered before the FIN", async () => {
    const started = await start();
    const { host, guest } = started;
    host.names.set("example.org", ["192.0.2.7"]);
    const peer = await open(started);
    const many = Uint8Array.from(
      Array(10)
        .fill([...withLength])
        .flat(),
    );
    peer.send("FPA", { data: many });
    guest.take();
    await settle(host);
    const answers = peer.consume();
    expect(answers.length).toBe(10 * 47);
    await settle(host);
    expect(started.net.describe()).toHaveLength(1);
  });

  it("wait in the guest while it takes no answers", async () => {
    const started = await start();
    const { host } = started;
    host.names.set("example.org", ["192.0.2.7"]);
    const peer = await open(started);
    peer.window = 0;
    const many = Uint8Array.from(
      Array(30)
        .fill([...withLength])
        .flat(),
    );
    let window = Infinity;
    for (let index = 0; index < 1000; index++) {
      peer.send("PA", { data: many });
      await settle(host);
      window = started.guest.take().at(-1)!.window << 3;
      if (window < many.length) break;
    }
    expect(window).toBeLessThan(many.length);
  });

  it("drop a connection that sends no query", async () => {
    const started = await start();
    const peer = await open(started);
    peer.send("PA", { data: Uint8Array.of(0, 1, 0) });
    started.guest.take();
    await settle(started.host);
    expect(started.guest.one().flags).toBe("RA");
  });
});
