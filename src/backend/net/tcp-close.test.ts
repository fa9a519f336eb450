import { describe, expect, it } from "vitest";
import { icmpMessage } from "./guest-for-tests.ts";
import type { FakeTcpSocket } from "./host-for-tests.ts";
import { brief, bytes, connect, ISS, OPTIONS, Peer, REMOTE, start } from "./tcp-peer-for-tests.ts";

describe("the end", () => {
  it("begun by the guest: the host may go on sending", async () => {
    const started = await start();
    const { guest, net } = started;
    const { peer, socket } = connect(started);
    peer.send("FPA", { data: "last words" });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    expect([socket.text, socket.ended]).toEqual(["last words", true]);
    socket.events.data(bytes("answer"));
    expect(peer.consume()).toBe("answer");
    socket.events.ended();
    expect(brief(guest.take(), peer)).toEqual(["FA seq+0 ack0 0"]);
    peer.ack = (peer.ack + 1) >>> 0;
    peer.send("A");
    socket.events.closed();
    expect(guest.take()).toEqual([]);
    expect(net.describe()).toHaveLength(1);
    expect(started.host.timers.pending).toBe(0);
  });

  it("begun by the host: the guest may go on sending, and TIME-WAIT follows", async () => {
    const started = await start();
    const { guest, net, host } = started;
    const { peer, socket } = connect(started);
    socket.events.data(bytes("last words"));
    socket.events.ended();
    expect(peer.consume()).toBe("last words");
    peer.send("PA", { data: "answer" });
    expect(socket.text).toBe("answer");
    guest.take();
    peer.send("FA");
    expect(socket.ended).toBe(true);
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    socket.events.closed();
    expect(net.describe()[0]).toMatch(/time-wait$/);
    // A lost last acknowledgement is given again, and the time begins anew.
    host.timers.advance(5000);
    peer.send("FA", { seq: (peer.seq - 1) >>> 0 });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    host.timers.advance(9999);
    expect(net.describe()).toHaveLength(2);
    host.timers.advance(1);
    expect(net.describe()).toHaveLength(1);
    expect(host.timers.pending).toBe(0);
  });

  it("in order stays in order, whatever becomes of the host's socket then", async () => {
    const started = await start();
    const { guest, net } = started;
    const { peer, socket } = connect(started);
    socket.events.ended();
    peer.consume();
    peer.send("FA");
    guest.take();
    socket.events.closed("reset");
    expect(guest.take()).toEqual([]);
    expect(net.describe()[0]).toMatch(/time-wait$/);
  });

  it("begun by both at once", async () => {
    const started = await start();
    const { guest, net } = started;
    const { peer, socket } = connect(started);
    socket.events.ended();
    expect(guest.one().flags).toBe("FA");
    peer.send("FA");
    expect(net.describe()[0]).toMatch(/closing$/);
    peer.ack = (peer.ack + 1) >>> 0;
    peer.send("A");
    expect(net.describe()[0]).toMatch(/time-wait$/);
    expect(socket.ended).toBe(true);
  });

  it("of the host's bytes before the guest has taken all: FIN comes after them", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    peer.window = 0;
    peer.send("A");
    socket.events.data(bytes("held back"));
    socket.events.ended();
    expect(guest.take()).toEqual([]);
    peer.window = 100;
    peer.send("A");
    expect(guest.one()).toMatchObject({ text: "held back", flags: "FPA" });
  });

  it("of the host's side entirely while bytes for the guest wait", async () => {
    const started = await start();
    const { guest, net } = started;
    const { peer, socket } = connect(started);
    peer.window = 0;
    peer.send("FA");
    guest.take();
    socket.events.data(bytes("held back"));
    socket.events.ended();
    socket.events.closed();
    peer.window = 100;
    peer.send("A");
    expect(peer.consume()).toBe("held back");
    expect(net.describe()).toHaveLength(1);
  });

  it("with a FIN that came before its turn, and bytes that lie behind it", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    const at = (offset: number): number => (ISS + 1 + offset) >>> 0;
    peer.send("A", { seq: at(5), data: "fgXXXX" });
    peer.send("FA", { seq: at(4), data: "efg" });
    peer.send("A", { seq: at(7), data: "behind" });
    expect(socket.ended).toBe(false);
    peer.send("A", { seq: at(0), data: "abcdefgYYYY" });
    expect([socket.text, socket.ended]).toEqual(["abcdefg", true]);
    expect(guest.take().at(-1)!.ack).toBe(at(8));
    peer.send("PA", { seq: at(8), data: "more" });
    expect(socket.text).toBe("abcdefg");
  });

  it("by the guest's RST, if its number is exact", async () => {
    const started = await start();
    const { guest, net } = started;
    const { peer, socket } = connect(started);
    peer.send("R", { seq: (peer.seq + 1) >>> 0 });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    peer.send("R", { seq: (peer.seq - 1) >>> 0 });
    expect(guest.take()).toEqual([]);
    expect(socket.destroyed).toBe(false);
    peer.send("R");
    expect(socket.destroyed).toBe(true);
    expect(guest.take()).toEqual([]);
    expect(net.describe()).toHaveLength(2);
    socket.events.closed("reset");
    expect(net.describe()).toHaveLength(1);
    peer.send("A");
    expect(guest.one().flags).toBe("R");
  });

  it("by the host's reset", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    socket.events.closed("reset");
    expect(brief(started.guest.take(), peer)).toEqual(["RA seq+0 ack0 0"]);
    expect(started.net.describe()).toHaveLength(1);
  });

  it("while the host still has bytes of the guest's to get rid of: a minute is given for that", async () => {
    const started = await start();
    const { host, net, guest } = started;
    const { peer, socket } = connect(started);
    socket.isSlow = true;
    peer.send("FPA", { data: "slow" });
    socket.events.ended();
    peer.ack = (peer.ack + 1) >>> 0;
    peer.send("A");
    guest.take();
    expect(net.describe()[0]).toMatch(/closed$/);
    host.timers.advance(59_999);
    expect(socket.destroyed).toBe(false);
    host.timers.advance(1);
    expect(socket.destroyed).toBe(true);
    socket.events.closed("reset");
    expect(net.describe()).toHaveLength(1);
  });

  it("leaves the port to a new connection", async () => {
    const started = await start();
    const { guest, host, net } = started;
    const { peer, socket } = connect(started);
    socket.events.ended();
    peer.consume();
    peer.send("FA");
    guest.take();
    socket.events.closed();
    expect(net.describe()[0]).toMatch(/time-wait$/);
    // An old SYN does not revive it.
    guest.tcp(REMOTE, { from: 5000, to: 80, seq: ISS - 1000, flags: "S" });
    expect(guest.one().flags).toBe("A");
    peer.seq = (peer.seq + 1000) >>> 0;
    peer.syn();
    expect(host.tcp).toHaveLength(2);
    host.tcp[1]!.events.connected();
    peer.complete();
  });
});

describe("odd segments in a connection", () => {
  it("SYN is challenged, not obeyed", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    peer.send("S", { seq: (peer.seq + 10) >>> 0, ack: 0 });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    peer.send("SA", { seq: peer.seq });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    expect(socket.destroyed).toBe(false);
  });

  it("without ACK are dropped", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.send("P", { data: "x" });
    expect(socket.text).toBe("");
    expect(started.guest.take()).toEqual([]);
  });

  it("a guest's keepalive is answered", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.send("A", { seq: (peer.seq - 1) >>> 0 });
    peer.send("A", { seq: (peer.seq - 1) >>> 0, data: "x" });
    expect(brief(started.guest.take(), peer)).toEqual(["A seq+0 ack0 0", "A seq+0 ack0 0"]);
    expect(socket.text).toBe("");
  });

  it("ICMP errors do nothing to a connection", async () => {
    const started = await start();
    const { socket, peer } = connect(started);
    started.guest.ip(REMOTE, 1, icmpMessage(3, 1, "x".repeat(28)));
    peer.send("PA", { data: "alive" });
    expect(socket.text).toBe("alive");
  });
});

describe("an idle connection", () => {
  it("is probed after two hours, and kept while the guest answers", async () => {
    const started = await start();
    const { guest, host } = started;
    const { peer, socket } = connect(started);
    host.timers.advance(7_200_000 - 1);
    expect(guest.take()).toEqual([]);
    host.timers.advance(1);
    expect(brief(guest.take(), peer)).toEqual(["A seq+-1 ack0 0"]);
    peer.send("A");
    host.timers.advance(7_100_000);
    expect(guest.take()).toEqual([]);
    expect(socket.destroyed).toBe(false);
  });

  it("is dropped when nine probes stay unanswered", async () => {
    const started = await start();
    const { guest, host } = started;
    const { socket } = connect(started);
    host.timers.advance(7_200_000 + 8 * 75_000);
    expect(guest.take()).toHaveLength(9);
    host.timers.advance(75_000);
    expect(guest.one().flags).toBe("RA");
    expect(socket.destroyed).toBe(true);
  });
});

describe("the bounds", () => {
  it("hold 512 connections; one that only waits out its time goes for a new one, else it is refused", async () => {
    const started = await start();
    const { guest, host, net } = started;
    const { peer, socket } = connect(started, OPTIONS, 1);
    for (let port = 2; port <= 512; port++) new Peer(guest, REMOTE, port).syn();
    new Peer(guest, REMOTE, 1000).syn();
    expect(guest.one().flags).toBe("RA");
    expect(host.tcp).toHaveLength(512);
    expect(net.counters.tableFull).toBe(1);
    socket.events.ended();
    peer.consume();
    peer.send("FA");
    guest.take();
    socket.events.closed();
    new Peer(guest, REMOTE, 1000).syn();
    expect(host.tcp).toHaveLength(513);
    // Calls from outside are turned away, too.
    expect(net.describe()).toHaveLength(513);
  });

  it("turn away callers of a forwarded port when full", async () => {
    const { guest, host } = await start(["hostfwd", "tcp::2222-:22"]);
    for (let port = 1; port <= 512; port++) new Peer(guest, REMOTE, port).syn();
    expect(host.connectIn(host.listeners[0]!, "127.0.0.1", 6000).destroyed).toBe(true);
    expect(guest.take()).toEqual([]);
  });

  it("let each connection hold less when all together hold much", async () => {
    const started = await start();
    const { guest } = started;
    const sockets: FakeTcpSocket[] = [];
    for (let port = 1; port <= 300; port++) {
      const { peer, socket } = connect(started, OPTIONS, port);
      peer.window = 0;
      peer.send("A");
      for (let index = 0; index < 4 && !socket.paused; index++) socket.events.data(new Uint8Array(65_536));
      expect(socket.paused).toBe(true);
      sockets.push(socket);
      guest.take();
    }
    // 64 MiB are 256 times 256 KiB; from then on one piece was enough.
    const { peer, socket } = connect(started, OPTIONS, 400);
    peer.send("PA", { data: "x" });
    expect(guest.one().window << 3).toBeLessThanOrEqual(256 * 1024);
    peer.window = 0;
    peer.send("A");
    socket.events.data(new Uint8Array(33_000));
    expect(socket.paused).toBe(true);
  });
});
