import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { bytes, RecordingFrontend, until } from "./chardev-for-tests.ts";
import { openSocketChardev, type SocketTarget } from "./socket-chardev.ts";
import type { StreamChardev } from "./stream-chardev.ts";

let folder: string;
let path: string;
const closers: (() => void)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plantain-socket-"));
  path = join(folder, "s");
});

afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
  rmSync(folder, { recursive: true });
});

const role = { server: false, wait: false, reconnect: 0 };
const unix = (changes: Partial<SocketTarget> = {}): SocketTarget =>
  ({ type: "unix", path, ...role, ...changes }) as SocketTarget;
const tcp = (port: number, changes: Partial<SocketTarget> = {}): SocketTarget =>
  ({ type: "tcp", host: "127.0.0.1", port, noDelay: true, ...role, ...changes }) as SocketTarget;

async function open(target: SocketTarget, notices: string[] = []): Promise<StreamChardev> {
  const chardev = await openSocketChardev("c", target, "-serial x", (line) => notices.push(line));
  closers.push(() => chardev.close());
  return chardev;
}

/** A peer and all that it has received. */
async function peer(where: { path: string } | { port: number }): Promise<Socket & { text: string }> {
  const socket = Object.assign(connect("path" in where ? where : { host: "127.0.0.1", ...where }), { text: "" });
  closers.push(() => socket.destroy());
  socket.on("data", (data: Buffer) => {
    socket.text += data.toString();
  });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

async function listening(): Promise<{ server: Server; port: number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { server, port: (server.address() as AddressInfo).port, sockets };
}

describe("a server", () => {
  test("talks to who connects; one at a time; the next one may come when the first has gone", async () => {
    const chardev = await open(unix({ server: true }));
    const frontend = new RecordingFrontend();
    chardev.attach(frontend);
    chardev.write(bytes("nobody hears this"));
    const first = await peer({ path });
    await until(() => chardev.connected);
    first.write("hello");
    await until(() => frontend.received === "hello");
    chardev.write(bytes("a"));
    chardev.write(bytes("bc"));
    await until(() => first.text === "abc");

    const second = await peer({ path });
    await once(second, "close");
    expect(second.text).toBe("");

    first.destroy();
    await until(() => !chardev.connected);
    const third = await peer({ path });
    await until(() => chardev.connected);
    chardev.write(bytes("again"));
    await until(() => third.text === "again");
    expect(frontend.events).toEqual(["opened", "closed", "opened"]);
  });

  test("waits for somebody, and says so", async () => {
    const notices: string[] = [];
    const opening = open(unix({ server: true, wait: true }), notices);
    await until(() => notices.length > 0);
    expect(notices).toEqual([`-serial x: waiting for somebody to connect to ${path}`]);
    await peer({ path });
    expect((await opening).connected).toBe(true);
  });

  test("keeps what comes before the guest is there, and what the guest has no room for", async () => {
    const chardev = await open(unix({ server: true }));
    const client = await peer({ path });
    client.write("early");
    const frontend = new RecordingFrontend(2);
    chardev.attach(frontend);
    await until(() => frontend.received === "ea");
    frontend.room = 10;
    chardev.acceptInput();
    expect(frontend.received).toBe("early");
  });

  test("is not filled by a peer that sends without end", async () => {
    const chardev = await open(unix({ server: true }));
    chardev.attach(new RecordingFrontend(0));
    const client = await peer({ path });
    let sent = 0;
    // Goes on until the kernel's buffers are full, which happens only if the chardev stops reading.
    while (client.write(Buffer.alloc(65536)) || client.writableLength < 1 << 20) {
      sent += 65536;
      expect(sent).toBeLessThan(64 << 20);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  test("is not held up by a peer that does not read", async () => {
    const chardev = await open(unix({ server: true }));
    const client = await peer({ path });
    client.pause();
    await until(() => chardev.connected);
    for (let i = 0; i < 4096; i++) chardev.write(new Uint8Array(4096));
    client.destroy();
    await until(() => !chardev.connected);
  });

  test("is drained when a slow peer has all, or has gone", async () => {
    const chardev = await open(unix({ server: true }));
    await chardev.drained();
    const slow = await peer({ path });
    await until(() => chardev.connected);
    slow.pause();
    // More than the system keeps for a peer.
    const much = new Uint8Array(1 << 20).fill(0x61);
    chardev.write(much);
    let isDrained = false;
    const drained = chardev.drained().then(() => {
      isDrained = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDrained).toBe(false);
    slow.resume();
    await drained;
    await until(() => slow.text.length === much.length);
    slow.pause();
    chardev.write(much);
    const gone = chardev.drained();
    slow.destroy();
    await gone;
  });

  test("removes its file at the end, and takes over one that nobody listens on", async () => {
    const chardev = await open(unix({ server: true }));
    expect(existsSync(path)).toBe(true);
    chardev.close();
    await until(() => !existsSync(path));
    // A socket file that a killed process left.
    const { spawnSync } = await import("node:child_process");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(path)).toBe(true);
    await open(unix({ server: true }));
    await peer({ path });
  });

  test("sends what waits before it closes", async () => {
    const chardev = await open(unix({ server: true }));
    const client = await peer({ path });
    await until(() => chardev.connected);
    chardev.write(bytes("last words"));
    chardev.close();
    await once(client, "close");
    expect(client.text).toBe("last words");
  });
});

describe("a client", () => {
  test("talks to the server", async () => {
    const { port, sockets } = await listening();
    const chardev = await open(tcp(port));
    const frontend = new RecordingFrontend();
    chardev.attach(frontend);
    await until(() => sockets.length === 1);
    sockets[0]!.write("hi");
    await until(() => frontend.received === "hi");
  });

  test("comes back with reconnect", async () => {
    const { port, sockets } = await listening();
    const chardev = await open(tcp(port, { reconnect: 0.01 }));
    await until(() => sockets.length === 1);
    sockets[0]!.destroy();
    await until(() => sockets.length === 2);
    await until(() => chardev.connected);
  });

  test("with reconnect a server may come later", async () => {
    const chardev = await open(unix({ reconnect: 0.01 }));
    expect(chardev.connected).toBe(false);
    const server = createServer().listen(path);
    closers.push(() => server.close());
    await until(() => chardev.connected);
  });
});

describe("mistakes are one line", () => {
  const refused = async (target: SocketTarget, message: string | RegExp) => {
    const opening = open(target);
    await expect(opening).rejects.toThrow(UserError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.not.toThrow(/\n/);
  };

  test("a port in use", async () => {
    const { port } = await listening();
    await refused(tcp(port, { server: true }), `-serial x: port ${port} of 127.0.0.1 is in use: expected another one`);
  });

  test("a socket in use", async () => {
    await open(unix({ server: true }));
    await refused(unix({ server: true }), `-serial x: somebody listens on ${path} already: expected another name`);
  });

  test("a file in the way stays", async () => {
    writeFileSync(path, "precious");
    await refused(unix({ server: true }), `-serial x: ${path} exists and is no socket: expected another name`);
    expect(existsSync(path)).toBe(true);
  });

  test("nobody there", async () => {
    const { server, port } = await listening();
    server.close();
    await once(server, "close");
    await refused(tcp(port), `-serial x: nobody listens on port ${port} of 127.0.0.1 (connection refused)`);
    await refused(unix(), `-serial x: ${path}: there is no such socket`);
  });

  test("no such folder, a path that is too long, an address of somebody else's", async () => {
    await refused(unix({ server: true, path: join(folder, "no", "s") }), "there is no such folder");
    await refused(unix({ path: `/${"x".repeat(120)}` }), "the path of a socket can have 107 bytes at most");
    await refused(tcp(0, { server: true, host: "192.0.2.1" }), "this host has no such address");
  });
});
