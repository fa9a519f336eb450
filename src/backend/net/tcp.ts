// TCP between the guest and the host's network: which segment belongs to which connection, what becomes of new ones,
// and the bounds that all of them share.

import { formatAddress, guestViewOf, LOOPBACK_ADDRESS, type Network, parseAddress } from "./address.ts";
import type { NetCounters } from "./counters.ts";
import { DNS_PORT, type DnsForwarder } from "./dns.ts";
import { DnsTcpSocket } from "./dns-tcp.ts";
import type {
  HostFailure,
  HostListener,
  HostSockets,
  HostTcpEvents,
  HostTcpSocket,
  HostTimers,
  IncomingTcp,
} from "./host.ts";
import { type Icmp, quoteOf, unreachableCode } from "./icmp.ts";
import type { Ipv4Packet, Ipv4Sender } from "./ipv4.ts";
import type { Link } from "./link.ts";
import { TcpConnection } from "./tcp-connection.ts";
import type { TcpContext } from "./tcp-context.ts";
import { ACK, FIN, RST, SYN, sendSegment, type TcpEndpoints, TcpSegment } from "./tcp-segment.ts";
import type { HostForward } from "./user-net-options.ts";

/** Connections, those whose host socket still lingers included. */
const CONNECTIONS = 512;
/** What one connection may hold each way, and what it may while all together are above the limit. */
const BUFFER = 256 * 1024;
const SCARCE_BUFFER = 32 * 1024;
const BUFFERS_TOGETHER = 64 * 1024 * 1024;
const FIRST_EPHEMERAL_PORT = 49152;

/** What TCP needs of the network. */
export interface TcpSetting {
  readonly network: Network;
  readonly router: number;
  readonly dns: number;
  readonly restricted: boolean;
}

/** What TCP works with. */
export interface TcpParts {
  readonly sockets: HostSockets;
  readonly timers: HostTimers;
  readonly link: Link;
  readonly sender: Ipv4Sender;
  readonly icmp: Icmp;
  readonly dns: DnsForwarder;
  readonly counters: NetCounters;
  /** A random unsigned 32-bit number. */
  random(): number;
  flush(): void;
}

/** All connections. */
export class Tcp implements TcpContext {
  readonly timers: HostTimers;
  readonly link: Link;
  readonly sender: Ipv4Sender;
  buffered = 0;
  readonly #parts: TcpParts;
  readonly #setting: TcpSetting;
  readonly #segment = new TcpSegment();
  /** By the guest's endpoint, then the remote one. */
  readonly #byEndpoints = new Map<number, Map<number, TcpConnection>>();
  readonly #connections = new Set<TcpConnection>();
  readonly #listeners: HostListener[] = [];
  #starved = new Set<TcpConnection>();

  constructor(parts: TcpParts, setting: TcpSetting) {
    this.timers = parts.timers;
    this.link = parts.link;
    this.sender = parts.sender;
    this.#parts = parts;
    this.#setting = setting;
    parts.link.onRoom = () => this.#pump();
  }

  get bufferLimit(): number {
    return this.buffered > BUFFERS_TOGETHER ? SCARCE_BUFFER : BUFFER;
  }

  /** Takes a packet of the guest's; the counter of what is wrong if it is dropped. */
  receive(packet: Ipv4Packet): "malformed" | "badChecksum" | undefined {
    const segment = this.#segment;
    const fault = segment.parse(packet);
    if (fault !== undefined) return fault;
    const known = this.#find(packet.source, segment.sourcePort, packet.destination, segment.destinationPort);
    const isNew = (segment.flags & (SYN | ACK | RST | FIN)) === SYN;
    if (known !== undefined && !(isNew && known.yieldsTo(segment))) known.receive(segment);
    else {
      known?.abort();
      if (isNew) this.#open(packet, segment);
      else this.#refuse(segment);
    }
    return undefined;
  }

  /** Listens on a host port for the guest. Rejects with `HostError`. */
  async forward(forward: HostForward): Promise<HostListener> {
    const listener = await this.#parts.sockets.listenTcp(forward.hostAddress, forward.hostPort, (incoming) => {
      this.#accept(forward, incoming);
    });
    this.#listeners.push(listener);
    return listener;
  }

  /** Lets go of every connection, without a word to the guest. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#connections) connection.dispose();
    this.#listeners.length = 0;
    this.#connections.clear();
    this.#byEndpoints.clear();
    this.#starved.clear();
  }

  /** `TCP 10.0.2.15:40000 -> 10.0.2.2:80 established`, one line per connection. */
  describe(): string[] {
    return [...this.#connections].map((connection) => {
      const guest = `${formatAddress(connection.guestAddress)}:${connection.guestPort}`;
      return `TCP ${guest} -> ${formatAddress(connection.remoteAddress)}:${connection.remotePort} ${connection.state}`;
    });
  }

  starved(connection: TcpConnection): void {
    this.#starved.add(connection);
  }

  refused(connection: TcpConnection, failure: HostFailure): void {
    const { quote } = connection;
    switch (failure) {
      case "net-unreachable":
      case "host-unreachable":
      case "timed-out":
      case "prohibited":
        if (quote !== undefined) {
          this.#parts.icmp.unreachableQuoting(quote, connection.guestAddress, unreachableCode(failure));
        }
        return;
      default:
        this.#sendReset(connection, 0, connection.afterSyn);
    }
  }

  finished(connection: TcpConnection): void {
    const { guestAddress, guestPort, remoteAddress, remotePort } = connection;
    const guestKey = endpointKey(guestAddress, guestPort);
    const remotes = this.#byEndpoints.get(guestKey);
    remotes?.delete(endpointKey(remoteAddress, remotePort));
    if (remotes?.size === 0) this.#byEndpoints.delete(guestKey);
    this.#starved.delete(connection);
  }

  released(connection: TcpConnection): void {
    this.#connections.delete(connection);
  }

  flush(): void {
    this.#parts.flush();
  }

  /** The guest opens a connection. */
  #open(packet: Ipv4Packet, segment: TcpSegment): void {
    const { router, dns, restricted } = this.#setting;
    const { sockets, counters } = this.#parts;
    const isDns = segment.destination === dns;
    if (restricted) {
      counters.restricted++;
      this.#refuse(segment);
      return;
    }
    // Only names are served there.
    if ((isDns && segment.destinationPort !== DNS_PORT) || segment.destinationPort === 0 || !this.#makeRoom()) {
      this.#refuse(segment);
      return;
    }
    const ends = endsOf(segment);
    const connection = this.#add(ends);
    connection.quote = quoteOf(packet);
    const host = formatAddress(segment.destination === router ? LOOPBACK_ADDRESS : segment.destination);
    connection.openFromGuest(segment, (events: HostTcpEvents): HostTcpSocket => {
      if (isDns) return new DnsTcpSocket(this.#parts.dns, this.timers, events);
      return sockets.connectTcp(host, ends.remotePort, events);
    });
  }

  /** A connection to a forwarded port comes in. */
  #accept(forward: HostForward, incoming: IncomingTcp): void {
    const address = parseAddress(incoming.address);
    const { guestAddress, guestPort } = forward;
    const remoteAddress = address === undefined ? this.#setting.router : guestViewOf(address, this.#setting);
    const remotePort = this.#freePort(guestAddress, guestPort, remoteAddress, incoming.port);
    if (remotePort === undefined || !this.#makeRoom()) {
      incoming.bind(ignoredEvents);
      incoming.socket.destroy();
      return;
    }
    this.#add({ guestAddress, guestPort, remoteAddress, remotePort }).openFromHost(incoming);
    this.flush();
  }

  #add(ends: TcpEndpoints): TcpConnection {
    const connection = new TcpConnection(this, ends, this.#parts.random() | 0);
    const guestKey = endpointKey(ends.guestAddress, ends.guestPort);
    let remotes = this.#byEndpoints.get(guestKey);
    if (remotes === undefined) this.#byEndpoints.set(guestKey, (remotes = new Map()));
    remotes.set(endpointKey(ends.remoteAddress, ends.remotePort), connection);
    this.#connections.add(connection);
    return connection;
  }

  #find(guestAddress: number, guestPort: number, remoteAddress: number, remotePort: number): TcpConnection | undefined {
    const remotes = this.#byEndpoints.get(endpointKey(guestAddress, guestPort));
    return remotes?.get(endpointKey(remoteAddress, remotePort));
  }

  /** Whether one more connection fits; one that only waits out its time goes for it. */
  #makeRoom(): boolean {
    if (this.#connections.size < CONNECTIONS) return true;
    for (const connection of this.#connections) {
      if (connection.state !== "time-wait") continue;
      connection.abort();
      // Its host socket may still linger: then the room is not there yet.
      if (this.#connections.size < CONNECTIONS) return true;
    }
    this.#parts.counters.tableFull++;
    return false;
  }

  /** The caller's own port if the guest does not know it from another connection yet, else one that it does not. */
  #freePort(guestAddress: number, guestPort: number, remoteAddress: number, wanted: number): number | undefined {
    if (this.#find(guestAddress, guestPort, remoteAddress, wanted) === undefined) return wanted;
    for (let port = FIRST_EPHEMERAL_PORT; port <= FIRST_EPHEMERAL_PORT + CONNECTIONS; port++) {
      if (this.#find(guestAddress, guestPort, remoteAddress, port) === undefined) return port;
    }
    return undefined;
  }

  /** Answers a segment that belongs to nothing (RFC 9293 section 3.10.7.1). */
  #refuse(segment: TcpSegment): void {
    if ((segment.flags & RST) !== 0) return;
    if ((segment.flags & ACK) !== 0) this.#sendReset(endsOf(segment), segment.ack, undefined);
    else this.#sendReset(endsOf(segment), 0, (segment.seq + segment.sequenceLength) | 0);
  }

  #sendReset(ends: TcpEndpoints, seq: number, ack: number | undefined): void {
    sendSegment(this.sender, ends, {
      seq,
      ack: ack ?? 0,
      flags: ack === undefined ? RST : RST | ACK,
      window: 0,
      queue: undefined,
      offset: 0,
      length: 0,
      mss: 0,
      shift: -1,
    });
  }

  #pump(): void {
    if (this.#starved.size === 0) return;
    const starved = this.#starved;
    this.#starved = new Set();
    const unserved: TcpConnection[] = [];
    for (const connection of starved) {
      if (this.link.bulkRoom > 0) connection.pump();
      else unserved.push(connection);
    }
    // Who got nothing this time is first the next time.
    this.#starved = new Set([...unserved, ...this.#starved]);
  }
}

const ignoredEvents: HostTcpEvents = {
  connected: () => {},
  data: () => {},
  ended: () => {},
  drained: () => {},
  closed: () => {},
};

function endsOf(segment: TcpSegment): TcpEndpoints {
  return {
    guestAddress: segment.source,
    guestPort: segment.sourcePort,
    remoteAddress: segment.destination,
    remotePort: segment.destinationPort,
  };
}

function endpointKey(address: number, port: number): number {
  return address * 0x10000 + port;
}
