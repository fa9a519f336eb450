// A host for tests: time by hand, sockets that only note what is done to them, names from a table.

import {
  type HostAddress,
  HostError,
  type HostFailure,
  type HostNameServer,
  type HostTcpEvents,
  type HostTcpSocket,
  type HostTimeout,
  type HostTimers,
  type HostUdpEvents,
  type HostUdpSocket,
  type IncomingTcp,
  type NetHost,
} from "./host.ts";

/** Time that passes by `advance` only. */
class ManualTimers implements HostTimers {
  #now = 0;
  #pending: { at: number; fire: () => void }[] = [];

  /** Timers that have been set and neither fired nor cancelled. */
  get pending(): number {
    return this.#pending.length;
  }

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, fire: () => void): HostTimeout {
    const entry = { at: this.#now + milliseconds, fire };
    this.#pending.push(entry);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== entry);
      },
    };
  }

  /** Lets time pass, firing what becomes due in order. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = this.#pending.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((other) => other !== due);
      this.#now = Math.max(this.#now, due.at);
      due.fire();
    }
    this.#now = end;
  }
}

/** A host's TCP connection: the test plays the peer through `events`. */
export class FakeTcpSocket implements HostTcpSocket {
  readonly address: string;
  readonly port: number;
  events: HostTcpEvents;
  /** All bytes written so far, in the pieces that came. */
  written: Uint8Array[] = [];
  /** Whether written bytes stay pending until `drain`. */
  isSlow = false;
  pending = 0;
  ended = false;
  paused = false;
  destroyed = false;
  released = false;

  constructor(address: string, port: number, events: HostTcpEvents) {
    this.address = address;
    this.port = port;
    this.events = events;
  }

  get text(): string {
    return Buffer.concat(this.written).toString("latin1");
  }

  get writtenLength(): number {
    return this.written.reduce((sum, { length }) => sum + length, 0);
  }

  write(bytes: Uint8Array): void {
    this.written.push(bytes.slice());
    if (this.isSlow) this.pending += bytes.length;
  }

  /** The kernel takes pending bytes. */
  drain(count: number = this.pending): void {
    this.pending -= count;
    this.events.drained();
  }

  end(): void {
    this.ended = true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  destroy(): void {
    this.destroyed = true;
  }

  release(): void {
    this.released = true;
  }
}

/** A host's UDP socket: the test plays the network through `events`. */
export class FakeUdpSocket implements HostUdpSocket {
  readonly events: HostUdpEvents;
  readonly port: number;
  sent: { text: string; bytes: Uint8Array; address: string; port: number }[] = [];
  closed = false;
  /** What the next datagrams fail with. */
  failure: HostFailure | undefined;

  constructor(events: HostUdpEvents, port: number) {
    this.events = events;
    this.port = port;
  }

  send(bytes: Uint8Array, address: string, port: number, failed?: (failure: HostFailure) => void): void {
    this.sent.push({ text: Buffer.from(bytes).toString("latin1"), bytes: bytes.slice(), address, port });
    const { failure } = this;
    if (failure !== undefined) queueMicrotask(() => failed?.(failure));
  }

  close(): void {
    this.closed = true;
  }
}

interface FakeListener {
  readonly address: string;
  readonly port: number;
  readonly incoming: (connection: IncomingTcp) => void;
  closed: boolean;
}

/** The whole host. */
export class FakeHost implements NetHost {
  readonly timers = new ManualTimers();
  tcp: FakeTcpSocket[] = [];
  udp: FakeUdpSocket[] = [];
  listeners: FakeListener[] = [];
  names = new Map<string, readonly string[]>();
  reverseNames = new Map<string, string>();
  nameServers: HostNameServer[] = [];
  /** Names that were looked up, in order. */
  lookups: string[] = [];
  /** What opening a port fails with. */
  listenFailure: HostFailure | undefined;
  #random = 0x12345678;

  readonly sockets = {
    connectTcp: (address: string, port: number, events: HostTcpEvents): HostTcpSocket => {
      const socket = new FakeTcpSocket(address, port, events);
      this.tcp.push(socket);
      return socket;
    },
    listenTcp: async (address: string, port: number, incoming: (connection: IncomingTcp) => void) => {
      if (this.listenFailure !== undefined) throw new HostError(this.listenFailure, "listen failed");
      const listener = { address, port: port === 0 ? 40000 : port, incoming, closed: false };
      this.listeners.push(listener);
      return {
        port: listener.port,
        close: () => {
          listener.closed = true;
        },
      };
    },
    openUdp: (_family: 4 | 6, events: HostUdpEvents): HostUdpSocket => {
      const socket = new FakeUdpSocket(events, 30000 + this.udp.length);
      this.udp.push(socket);
      return socket;
    },
    bindUdp: async (_address: string, port: number, events: HostUdpEvents): Promise<HostUdpSocket> => {
      if (this.listenFailure !== undefined) throw new HostError(this.listenFailure, "bind failed");
      const socket = new FakeUdpSocket(events, port);
      this.udp.push(socket);
      return socket;
    },
  };

  readonly resolver = {
    lookup: async (name: string): Promise<readonly HostAddress[]> => {
      this.lookups.push(name);
      const found = this.names.get(name) ?? [];
      if (found.includes("fail")) throw new Error("the host's resolver is away");
      return found.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    },
    reverse: async (address: string) => this.reverseNames.get(address),
    servers: () => this.nameServers,
  };

  /** The same numbers every time. */
  random(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index++) {
      this.#random = (Math.imul(this.#random, 1103515245) + 12345) >>> 0;
      bytes[index] = this.#random >>> 16;
    }
  }

  /** Somebody connects to a forwarded port. */
  connectIn(listener: FakeListener, address: string, port: number): FakeTcpSocket {
    const socket = new FakeTcpSocket(address, port, {
      connected: () => {},
      data: () => {},
      ended: () => {},
      drained: () => {},
      closed: () => {},
    });
    socket.paused = true;
    listener.incoming({
      socket,
      address,
      port,
      bind: (events) => {
        socket.events = events;
      },
    });
    return socket;
  }
}
