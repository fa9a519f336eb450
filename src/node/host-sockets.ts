// The host's sockets, names and time for user-mode networking, by Node's net, dgram and dns modules.

import { randomFillSync } from "node:crypto";
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { promises as dnsPromises, getServers } from "node:dns";
import { createServer, isIPv6, connect as netConnect, type Server, type Socket } from "node:net";
import {
  type HostAddress,
  HostError,
  type HostFailure,
  type HostListener,
  type HostNameServer,
  type HostResolver,
  type HostSockets,
  type HostTcpEvents,
  type HostTcpSocket,
  type HostTimers,
  type HostUdpEvents,
  type HostUdpSocket,
  type IncomingTcp,
  type NetHost,
} from "../backend/net/host.ts";

/** Small writes are gathered into one: the guest's segments come in bursts, and each write is a system call. */
const GATHER = 32 * 1024;
/** Datagrams of one socket that the kernel has not taken yet; more are dropped. */
const DATAGRAMS_UNDER_WAY = 128;
const DNS_PORT = 53;

/** The host that this process runs on. */
export function nodeNetHost(): NetHost {
  return {
    sockets: nodeSockets,
    resolver: nodeResolver,
    timers: nodeTimers,
    random: (bytes) => randomFillSync(bytes),
  };
}

const nodeSockets: HostSockets = {
  connectTcp(address, port, events) {
    // Half-open: either side may close its half and go on receiving, as TCP has it.
    const socket = netConnect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const wrapped = new NodeTcpSocket(socket, events);
    wrapped.listen();
    return wrapped;
  },

  listenTcp(address, port, incoming) {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
        accept(socket, incoming);
      });
      server.once("error", (error) => reject(hostError(error)));
      server.listen({ host: address, port, exclusive: true }, () => {
        server.removeAllListeners("error");
        // Running out of file descriptors concerns the connection that came, not the ones that stand.
        server.on("error", () => {});
        resolve(listenerOf(server));
      });
    });
  },

  openUdp(family, events) {
    return new NodeUdpSocket(createSocket(family === 4 ? "udp4" : "udp6"), events);
  },

  bindUdp(address, port, events) {
    return new Promise((resolve, reject) => {
      const socket = createSocket("udp4");
      socket.once("error", (error) => {
        socket.close();
        reject(hostError(error));
      });
      socket.bind({ address, port, exclusive: true }, () => {
        socket.removeAllListeners("error");
        resolve(new NodeUdpSocket(socket, events));
      });
    });
  },
};

const nodeResolver: HostResolver = {
  async lookup(name) {
    try {
      const found = await dnsPromises.lookup(name, { all: true, order: "verbatim" });
      return found.map(({ address, family }): HostAddress => ({ address, family: family === 6 ? 6 : 4 }));
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  },

  async reverse(address) {
    try {
      const { hostname } = await dnsPromises.lookupService(address, 0);
      // Some systems give the address itself back when it has no name.
      return hostname === address ? undefined : hostname;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  },

  servers() {
    return getServers().flatMap(nameServerOf);
  },
};

const nodeTimers: HostTimers = {
  now: () => performance.now(),
  after(milliseconds, fire) {
    // setTimeout fires at once for what does not fit 31 bits; no network's timer is anywhere near that.
    const timeout = setTimeout(fire, Math.min(Math.ceil(milliseconds), 0x7fffffff));
    // A timer of the network's is no reason for the process to stay.
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
};

class NodeTcpSocket implements HostTcpSocket {
  pending = 0;
  readonly #socket: Socket;
  #events: HostTcpEvents;
  /** Written bytes that the kernel has not been given yet: from `#from` to `#to` of the block. */
  #block: Uint8Array = new Uint8Array(0);
  #from = 0;
  #to = 0;
  #flushPlanned = false;
  #ending = false;
  #failure: HostFailure | undefined;

  constructor(socket: Socket, events: HostTcpEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("connect", () => this.#events.connected());
    socket.on("end", () => this.#events.ended());
    socket.on("error", (error) => {
      this.#failure = failureOf(error);
    });
    socket.on("close", () => this.#events.closed(this.#failure));
  }

  /** Changes the receiver of the events. A paused socket stays paused. */
  bind(events: HostTcpEvents): void {
    this.#events = events;
    this.listen();
  }

  /** Begins to read. */
  listen(): void {
    this.#socket.on("data", (bytes: Buffer) => this.#events.data(bytes));
  }

  write(bytes: Uint8Array): void {
    this.pending += bytes.length;
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#to === this.#block.length) {
        this.#flush();
        this.#block = new Uint8Array(GATHER);
        this.#from = this.#to = 0;
      }
      const length = Math.min(rest.length, GATHER - this.#to);
      this.#block.set(rest.subarray(0, length), this.#to);
      this.#to += length;
      rest = rest.subarray(length);
    }
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#flush();
    this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    if (this.#socket.destroyed) return;
    this.#failure ??= "reset";
    // Before the connection stands there is nothing to reset.
    if (this.#socket.connecting) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  release(): void {
    if (this.#socket.destroyed) return;
    if (this.#socket.connecting) {
      this.#socket.destroy();
      return;
    }
    this.#flush();
    // A peer that does not read is no reason for the process to stay.
    this.#socket.unref();
    this.#socket.destroySoon();
  }

  #flush(): void {
    const length = this.#to - this.#from;
    if (length === 0 || this.#socket.destroyed) return;
    // The rest of the block serves the next writes; the part given away is not touched again.
    const written = this.#block.subarray(this.#from, this.#to);
    this.#from = this.#to;
    this.#socket.write(written, () => {
      this.pending -= length;
      if (!this.#socket.destroyed) this.#events.drained();
    });
  }
}

class NodeUdpSocket implements HostUdpSocket {
  readonly #socket: UdpSocket;
  #underWay = 0;
  #closed = false;

  constructor(socket: UdpSocket, events: HostUdpEvents) {
    this.#socket = socket;
    socket.on("message", (bytes: Buffer, from: RemoteInfo) => {
      if (!this.#closed) events.message(bytes, from.address, from.port);
    });
    socket.on("error", (error) => {
      if (this.#closed) return;
      this.close();
      events.failed(failureOf(error));
    });
  }

  get port(): number {
    try {
      return this.#socket.address().port;
    } catch {
      // Not bound yet, or closed.
      return 0;
    }
  }

  send(bytes: Uint8Array, address: string, port: number, failed?: (failure: HostFailure) => void): void {
    if (this.#closed || this.#underWay === DATAGRAMS_UNDER_WAY) return;
    this.#underWay++;
    this.#socket.send(bytes.slice(), port, address, (error) => {
      this.#underWay--;
      if (error !== null && !this.#closed) failed?.(failureOf(error));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}

function accept(socket: Socket, incoming: (connection: IncomingTcp) => void): void {
  const { remoteAddress, remotePort } = socket;
  // The caller may have gone already.
  if (remoteAddress === undefined || remotePort === undefined) {
    socket.on("error", () => {});
    socket.destroy();
    return;
  }
  const wrapped = new NodeTcpSocket(socket, noEvents);
  incoming({
    socket: wrapped,
    address: remoteAddress.replace(/^::ffff:/, ""),
    port: remotePort,
    bind: (events) => wrapped.bind(events),
  });
}

const noEvents: HostTcpEvents = {
  connected: () => {},
  data: () => {},
  ended: () => {},
  drained: () => {},
  closed: () => {},
};

function listenerOf(server: Server): HostListener {
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, close: () => server.close() };
}

/** `1.2.3.4`, `1.2.3.4:5353`, `::1` or `[::1]:5353`. */
function nameServerOf(text: string): HostNameServer[] {
  const bracketed = /^\[(.+)\]:(\d+)$/.exec(text);
  if (bracketed !== null) return [{ address: bracketed[1]!, family: 6, port: Number(bracketed[2]) }];
  if (isIPv6(text)) return [{ address: text, family: 6, port: DNS_PORT }];
  const [address = "", port] = text.split(":");
  return [{ address, family: 4, port: port === undefined ? DNS_PORT : Number(port) }];
}

function isNotFound(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOTFOUND" || code === "ENODATA" || code === "EAI_NODATA" || code === "EAI_NONAME";
}

function hostError(error: Error): HostError {
  return new HostError(failureOf(error), error.message);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function failureOf(error: unknown): HostFailure {
  switch (codeOf(error)) {
    case "ECONNREFUSED":
      return "refused";
    case "ECONNRESET":
    case "EPIPE":
    case "ECONNABORTED":
      return "reset";
    case "ENETUNREACH":
    case "ENETDOWN":
      return "net-unreachable";
    case "EHOSTUNREACH":
    case "EHOSTDOWN":
      return "host-unreachable";
    case "ETIMEDOUT":
      return "timed-out";
    case "EACCES":
    case "EPERM":
      return "prohibited";
    case "EMSGSIZE":
      return "too-big";
    case "EADDRINUSE":
      return "in-use";
    case "EADDRNOTAVAIL":
      return "not-available";
    default:
      return "other";
  }
}
