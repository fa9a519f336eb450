// Character devices on TCP and Unix sockets: one peer at a time, who calls or is called.

import { once } from "node:events";
import { existsSync, lstatSync, unlinkSync } from "node:fs";
import { connect, createServer, type ListenOptions, type Server, type Socket, type TcpNetConnectOpts } from "node:net";
import { dirname } from "node:path";
import type { ChardevTarget } from "../machine/config.ts";
import { UserError } from "../util/user-error.ts";
import { StreamChardev } from "./stream-chardev.ts";

/** What a socket is told to do. */
export type SocketTarget = Extract<ChardevTarget, { type: "tcp" | "unix" }>;

/** What people are told while a machine waits for its peer. */
export type Notice = (line: string) => void;

/** Linux's limit for the path in a socket address, with its NUL. */
const MAX_SOCKET_PATH = 107;

/**
 * Opens a socket. Resolves when it listens, or with `wait` when somebody has connected, or when the peer has answered.
 * @throws UserError if the address cannot be had or nobody answers
 */
export async function openSocketChardev(
  id: string,
  target: SocketTarget,
  where: string,
  notice: Notice,
): Promise<StreamChardev> {
  if (target.type === "unix" && Buffer.byteLength(target.path) > MAX_SOCKET_PATH) {
    throw new UserError(`${where}: the path of a socket can have ${MAX_SOCKET_PATH} bytes at most`);
  }
  const chardev = new StreamChardev(id);
  await (target.server ? listen(chardev, target, where, notice) : call(chardev, target, where));
  return chardev;
}

async function listen(chardev: StreamChardev, target: SocketTarget, where: string, notice: Notice): Promise<void> {
  if (target.type === "unix") await removeStaleSocket(target.path, where);
  const server = createServer({ pauseOnConnect: true });
  let arrived: () => void = () => {};
  const firstPeer = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  server.on("connection", (socket) => {
    if (chardev.connected) {
      // One line, one peer: a second one is hung up on.
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    take(chardev, socket, target);
    arrived();
  });
  const options: ListenOptions =
    target.type === "unix" ? { path: target.path } : { host: target.host, port: target.port, exclusive: true };
  try {
    server.listen(options);
    await once(server, "listening");
  } catch (error) {
    throw new UserError(`${where}: ${listenProblem(error, target)}`, { cause: error });
  }
  chardev.onClose = () => server.close();
  if (target.type === "tcp" && target.port === 0) notice(`${where}: listening on ${nameOf(target, server)}`);
  if (!target.wait) return;
  notice(`${where}: waiting for somebody to connect to ${nameOf(target, server)}`);
  await firstPeer;
}

/** A socket file that nobody listens on any more is in the way of a new one. */
async function removeStaleSocket(path: string, where: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new UserError(`${where}: ${path} exists and is no socket: expected another name`);
  const probe = connect({ path });
  try {
    await once(probe, "connect");
  } catch {
    unlinkSync(path);
    return;
  } finally {
    probe.destroy();
  }
  throw new UserError(`${where}: somebody listens on ${path} already: expected another name`);
}

async function call(chardev: StreamChardev, target: SocketTarget, where: string): Promise<void> {
  let socket: Socket;
  try {
    socket = await reach(target);
  } catch (error) {
    if (target.reconnect === 0) throw new UserError(`${where}: ${callProblem(error, target)}`, { cause: error });
    retryLater(chardev, target);
    return;
  }
  chardev.onClosed = () => {
    if (target.reconnect > 0) retryLater(chardev, target);
  };
  take(chardev, socket, target);
}

function retryLater(chardev: StreamChardev, target: SocketTarget): void {
  const timer = setTimeout(async () => {
    try {
      const socket = await reach(target);
      chardev.onClosed = () => retryLater(chardev, target);
      take(chardev, socket, target);
    } catch {
      retryLater(chardev, target);
    }
  }, target.reconnect * 1000);
  chardev.onClose = () => clearTimeout(timer);
}

async function reach(target: SocketTarget): Promise<Socket> {
  const options: TcpNetConnectOpts | { path: string } =
    target.type === "unix" ? { path: target.path } : { host: target.host, port: target.port };
  const socket = connect(options);
  try {
    await once(socket, "connect");
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

function take(chardev: StreamChardev, socket: Socket, target: SocketTarget): void {
  if (target.type === "tcp") socket.setNoDelay(target.noDelay);
  chardev.connect({ input: socket, output: socket });
  socket.resume();
}

function nameOf(target: SocketTarget, server: Server): string {
  if (target.type === "unix") return target.path;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : target.port;
  return `${target.host}:${port}`;
}

function listenProblem(error: unknown, target: SocketTarget): string {
  const code = codeOf(error);
  const place = target.type === "unix" ? target.path : `port ${target.port} of ${target.host}`;
  if (code === "EADDRINUSE") return `${place} is in use: expected another one`;
  // For a socket file the system says the same of a folder that is not there.
  if (target.type === "unix" && !existsSync(dirname(target.path))) return `${place}: there is no such folder`;
  if (code === "EACCES") return `${place} is not ours to listen on (permission denied)`;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN" || code === "EADDRNOTAVAIL")
    return `${place}: this host has no such address`;
  return `cannot listen on ${place} (${code})`;
}

function callProblem(error: unknown, target: SocketTarget): string {
  const code = codeOf(error);
  const place = target.type === "unix" ? target.path : `port ${target.port} of ${target.host}`;
  if (code === "ECONNREFUSED") return `nobody listens on ${place} (connection refused)`;
  if (code === "ENOENT") return `${place}: there is no such socket`;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return `${place}: the name cannot be resolved`;
  return `cannot connect to ${place} (${code})`;
}

function codeOf(error: unknown): string {
  // Several addresses were tried: the first one's failure is as good as any.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error && "code" in first ? String(first.code) : String(error);
}
