import { describe, expect, it } from "vitest";
import { brief, bytes, connect, ISS, OPTIONS, pattern, start } from "./tcp-peer-for-tests.ts";

describe("bytes from the guest", () => {
  it("go to the host, acknowledged at PSH", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.send("PA", { data: "hello" });
    expect(socket.text).toBe("hello");
    expect(brief(started.guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
  });

  it("are acknowledged after 40 ms or four full segments without PSH", async () => {
    const started = await start();
    const { guest, host } = started;
    const { peer } = connect(started);
    peer.send("A", { data: "x" });
    host.timers.advance(39);
    expect(guest.take()).toEqual([]);
    host.timers.advance(1);
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    for (let index = 0; index < 3; index++) peer.send("A", { data: pattern(1460) });
    expect(guest.take()).toEqual([]);
    peer.send("A", { data: pattern(1460) });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    host.timers.advance(100);
    expect(guest.take()).toEqual([]);
  });

  it("are acknowledged along with bytes for the guest", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.send("A", { data: "x" });
    socket.events.data(bytes("answer"));
    expect(brief(started.guest.take(), peer)).toEqual(["PA seq+0 ack0 6"]);
    started.host.timers.advance(100);
    expect(started.guest.take()).toEqual([]);
  });

  it("come in order out of any order, and each byte once", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    const data = pattern(60);
    const at = (from: number, to: number): void => {
      peer.send("A", { seq: (ISS + 1 + from) >>> 0, data: data.subarray(from, to) });
    };
    at(20, 30);
    at(40, 50);
    at(15, 45);
    at(40, 60);
    at(20, 25);
    expect(socket.written).toEqual([]);
    // Each of them says at once what is missing.
    expect(guest.take().map(({ ack }) => ack)).toEqual(Array(5).fill((ISS + 1) >>> 0));
    at(0, 18);
    expect(Buffer.concat(socket.written)).toEqual(Buffer.from(data));
    expect(guest.one().ack).toBe((ISS + 61) >>> 0);
    at(0, 60);
    at(30, 60);
    expect(socket.writtenLength).toBe(60);
    expect(guest.take().map(({ ack }) => ack)).toEqual(Array(2).fill((ISS + 61) >>> 0));
  });

  it("overlap what came before with what is new", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.send("PA", { data: "abcdef" });
    peer.send("PA", { seq: (ISS + 4) >>> 0, data: "defghi" });
    expect(socket.text).toBe("abcdefghi");
  });

  it("find the window closing while the host is slow, and opening again", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    socket.isSlow = true;
    let window = Infinity;
    let sent = 0;
    while (window >= 1460) {
      peer.send("PA", { data: pattern(1460) });
      sent += 1460;
      window = guest.take().at(-1)!.window << 3;
      expect(sent).toBeLessThan(300_000);
    }
    expect(socket.pending).toBe(sent);
    expect(sent).toBeGreaterThan(250_000);
    // What is sent into the closed window is cut, and acknowledged so far.
    peer.send("PA", { seq: peer.seq, data: pattern(1460) });
    expect(guest.one().window).toBe(0);
    expect(socket.pending).toBe(256 * 1024);
    // A little room is not worth a segment.
    socket.drain(1000);
    expect(guest.take()).toEqual([]);
    socket.drain(socket.pending - 100_000);
    expect(guest.one().window << 3).toBeGreaterThan(160_000);
  });

  it("that are cut off by the window take the FIN after them along", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    socket.isSlow = true;
    while (socket.pending < 256 * 1024 - 1460) peer.send("PA", { data: pattern(1460) });
    guest.take();
    peer.send("FPA", { seq: peer.seq, data: pattern(1460) });
    expect(socket.pending).toBe(256 * 1024);
    expect(socket.ended).toBe(false);
    socket.drain();
    const left = 1460 - ((guest.take().at(-1)!.ack - peer.seq) >>> 0);
    expect(left).toBeGreaterThan(0);
    peer.send("FPA", { seq: (peer.seq + 1460 - left) >>> 0, data: pattern(left) });
    expect(socket.ended).toBe(true);
  });

  it("beyond the window are not kept", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    peer.send("A", { seq: (peer.seq + 300_000) >>> 0, data: "too far" });
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 0"]);
    expect(socket.written).toEqual([]);
  });

  it("in too many pieces are dropped, not kept", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    for (let index = 0; index < 1000; index++) {
      peer.send("A", { seq: (ISS + 2 + index * 2) >>> 0, data: "b" });
      started.guest.take();
    }
    for (let index = 0; index < 1000; index++) peer.send("A", { seq: (ISS + 1 + index * 2) >>> 0, data: "a" });
    expect(socket.text.length).toBeLessThanOrEqual(1 + 2 * 256);
    expect(socket.text).toMatch(/^(ab)+a?$/);
  });

  it("with urgent data are bytes like others", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.send("PAU", { data: "urgent" });
    expect(socket.text).toBe("urgent");
  });
});

describe("bytes for the guest", () => {
  it("are cut to its segment size, PSH on the last", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started, "02040200 01030307");
    socket.events.data(pattern(1100));
    expect(brief(guest.take(), peer)).toEqual(["A seq+0 ack0 512", "A seq+512 ack0 512", "PA seq+1024 ack0 76"]);
  });

  it.each([
    ["", 536],
    ["02040001", 64],
    ["0204ffff", 1460],
  ])("are cut by the segment size option %j to %d bytes", async (options, size) => {
    const started = await start();
    const { socket } = connect(started, options);
    socket.events.data(pattern(3000));
    expect(started.guest.take()[0]!.text).toHaveLength(size);
  });

  it("arrive whole and in order, from pieces of any size", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    let expected = "";
    let received = "";
    for (const length of [1, 2, 3000, 5, 2047, 2048, 2049, 70_000, 1, 20_000]) {
      const piece = pattern(length, expected.length);
      expected += Buffer.from(piece).toString("latin1");
      socket.events.data(piece);
      received += peer.consume();
      received += peer.consume();
      received += peer.consume();
    }
    expect(received.length).toBe(expected.length);
    expect(received === expected).toBe(true);
  });

  it("respect the guest's window, scaled as it offered", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    peer.window = 30;
    peer.send("A");
    socket.events.data(pattern(10_000));
    // 30 << 7 bytes: two full segments; the rest of the window is not worth one before half of the largest window.
    expect(guest.take().reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(30 << 7);
    peer.ack = (peer.ack + 2 * 1460) >>> 0;
    peer.window = 1000;
    peer.send("A");
    expect(guest.take().map(({ text }) => text.length)).toEqual([1460, 1460, 1460, 1460, 1240]);
  });

  it("wait at a closed window, which is probed with growing patience while the guest answers", async () => {
    const started = await start();
    const { guest, host } = started;
    const { peer, socket } = connect(started);
    peer.window = 0;
    peer.send("A");
    socket.events.data(bytes("waiting"));
    expect(guest.take()).toEqual([]);
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60]) {
      host.timers.advance(seconds * 1000 - 1);
      expect(guest.take()).toEqual([]);
      host.timers.advance(1);
      expect(guest.one()).toMatchObject({ text: "w", seq: peer.ack });
      peer.send("A");
    }
    peer.window = 100;
    peer.send("A");
    expect(guest.one()).toMatchObject({ text: "waiting", seq: peer.ack });
  });

  it("go on behind the probe's byte if the guest has kept it", async () => {
    const started = await start();
    const { guest, host } = started;
    const { peer, socket } = connect(started);
    peer.window = 0;
    peer.send("A");
    socket.events.data(bytes("waiting"));
    host.timers.advance(1000);
    expect(guest.one().text).toBe("w");
    peer.ack = (peer.ack + 1) >>> 0;
    peer.window = 100;
    peer.send("A");
    expect(guest.one()).toMatchObject({ text: "aiting", seq: peer.ack });
  });

  it("stop the host's socket at 256 KiB and let it go on at half of that", async () => {
    const started = await start();
    const { peer, socket } = connect(started);
    peer.window = 0;
    peer.send("A");
    for (let index = 0; index < 4; index++) socket.events.data(pattern(65_536));
    expect(socket.paused).toBe(true);
    peer.window = 65535;
    peer.send("A");
    while (socket.paused) peer.consume();
    expect(peer.ack).toBeGreaterThan(0);
  });

  it("are sent again when no acknowledgement comes, with growing patience, until the guest is given up", async () => {
    const started = await start();
    const { guest, host, net } = started;
    const { peer, socket } = connect(started);
    socket.events.data(bytes("lost"));
    expect(guest.one().text).toBe("lost");
    let waited = 0;
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60]) {
      host.timers.advance(seconds * 1000 - 1);
      expect(guest.take()).toEqual([]);
      host.timers.advance(1);
      expect(guest.one()).toMatchObject({ text: "lost", seq: peer.ack });
      waited += seconds;
    }
    host.timers.advance(60_000);
    expect(guest.one().flags).toBe("RA");
    expect(waited).toBeGreaterThan(400);
    expect(socket.destroyed).toBe(true);
    socket.events.closed("reset");
    expect(net.describe()).toHaveLength(1);
    expect(host.timers.pending).toBe(0);
  });

  it("are sent again at once after three duplicate acknowledgements, and only what is missing", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    socket.events.data(pattern(1460 * 10));
    const sent = guest.take();
    expect(sent).toHaveLength(10);
    // The first and the fifth are lost.
    for (let index = 0; index < 2; index++) peer.send("A");
    expect(guest.take()).toEqual([]);
    peer.send("A");
    expect(guest.one().seq).toBe(sent[0]!.seq);
    for (let index = 0; index < 5; index++) peer.send("A");
    expect(guest.take()).toEqual([]);
    // The retransmission fills the first hole: the next one is known without further duplicates.
    peer.ack = sent[4]!.seq;
    peer.send("A");
    expect(guest.one().seq).toBe(sent[4]!.seq);
    peer.ack = (peer.ack + 6 * 1460) >>> 0;
    peer.send("A");
    expect(guest.take()).toEqual([]);
    started.host.timers.advance(100_000);
    expect(guest.take()).toEqual([]);
  });

  it("are not sent again for window updates and data that look like duplicates", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    socket.events.data(pattern(1460));
    guest.take();
    for (let index = 0; index < 5; index++) {
      peer.window -= 1;
      peer.send("A");
      peer.send("A", { data: "x" });
    }
    expect(guest.take().filter(({ text }) => text !== "")).toEqual([]);
  });

  it("wait as long as the guest's answers take, and retransmissions teach nothing about that", async () => {
    const started = await start();
    const { guest, host } = started;
    const { peer, socket } = connect(started);
    const send = (): void => {
      socket.events.data(bytes("x"));
      expect(guest.one().text).toBe("x");
    };
    const acknowledge = (): void => {
      peer.ack = (peer.ack + 1) >>> 0;
      peer.send("A");
    };
    /** How long the next byte waits for its acknowledgement before it is sent again. */
    const patience = (): number => {
      send();
      let waited = 0;
      for (; guest.take().length === 0; waited += 10) host.timers.advance(10);
      return waited;
    };
    expect(patience()).toBe(1000);
    // At once: it is the answer to the first or the second sending, who knows.
    acknowledge();
    expect(patience()).toBe(1000);
    acknowledge();
    send();
    host.timers.advance(10);
    acknowledge();
    // 10 ms and four times half of that, but never below 300 ms.
    expect(patience()).toBe(300);
    acknowledge();
    for (let turn = 0; turn < 20; turn++) {
      send();
      host.timers.advance(200);
      acknowledge();
    }
    const slow = patience();
    expect(slow).toBeGreaterThan(200);
    expect(slow).toBeLessThan(600);
  });

  it("start slowly after a timeout", async () => {
    const started = await start();
    const { guest, host } = started;
    const { peer, socket } = connect(started);
    socket.events.data(pattern(1460 * 8));
    guest.take();
    host.timers.advance(1000);
    expect(guest.take().map(({ text }) => text.length)).toEqual([1460]);
    peer.ack = (peer.ack + 1460) >>> 0;
    peer.send("A");
    expect(guest.take().map(({ text }) => text.length)).toEqual([1460, 1460]);
  });

  it("do not time out while the guest takes no frames", async () => {
    const started = await start();
    const { guest, host, net } = started;
    const { peer, socket } = connect(started);
    guest.accepts = false;
    socket.events.data(bytes("patient"));
    host.timers.advance(3_600_000);
    guest.accepts = true;
    net.resume();
    expect(guest.one()).toMatchObject({ text: "patient", seq: peer.ack });
    peer.consume();
    expect(socket.destroyed).toBe(false);
  });

  it("leave room in the queue of frames for others, and connections take turns", async () => {
    const started = await start();
    const { guest, net } = started;
    const all = [5001, 5002, 5003, 5004, 5005].map((port) => connect(started, OPTIONS, port));
    guest.accepts = false;
    for (const { socket } of all) socket.events.data(pattern(256 * 1024));
    guest.arp("10.0.2.2");
    guest.ping("10.0.2.2", "urgent");
    guest.accepts = true;
    const ports: number[] = [];
    guest.onFrame = (frame) => {
      if (frame[23] === 6) ports.push(frame[36]! * 256 + frame[37]!);
      return false;
    };
    net.resume();
    expect(guest.take().flatMap(({ kind }) => (kind === "tcp" ? [] : [kind]))).toEqual(["arp", "icmp"]);
    expect(ports).toHaveLength(5 * Math.ceil((256 * 1024) / 1460));
    // The third got the little that the second had left: the others were served before its turn came again.
    expect(ports.indexOf(5004)).toBeLessThan(ports.lastIndexOf(5003));
    expect(ports.indexOf(5005)).toBeLessThan(ports.lastIndexOf(5003));
  });

  it("ignore acknowledgements of what was not sent, but say where we stand", async () => {
    const started = await start();
    const { guest } = started;
    const { peer, socket } = connect(started);
    socket.events.data(bytes("abc"));
    guest.take();
    peer.send("PA", { ack: (peer.ack + 4) >>> 0, data: "x", seq: peer.seq });
    expect(guest.one().text).toBe("");
    expect(socket.text).toBe("");
    peer.send("A", { ack: (peer.ack - 1) >>> 0 });
    expect(guest.take()).toEqual([]);
    peer.ack = (peer.ack + 3) >>> 0;
    peer.send("A");
    started.host.timers.advance(10_000);
    expect(guest.take()).toEqual([]);
  });
});
