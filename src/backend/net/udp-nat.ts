// Address translation for UDP: one host socket for every address and port that the guest sends from (RFC 4787:
// endpoint-independent mapping, address-dependent filtering), and the forwarded ports the other way.

import { formatAddress, guestViewOf, LOOPBACK_ADDRESS, type Network, parseAddress } from "./address.ts";
import type { NetCounters } from "./counters.ts";
import type { HostListener, HostSockets, HostTimers, HostUdpSocket } from "./host.ts";
import { type Icmp, quoteOf, unreachableCode } from "./icmp.ts";
import type { Ipv4Packet, Ipv4Sender } from "./ipv4.ts";
import { LazyTimer } from "./lazy-timer.ts";
import { sendUdp, type UdpDatagram } from "./udp.ts";
import type { HostForward } from "./user-net-options.ts";

/** Host sockets for the guest's own datagrams; the one unused for longest goes for a new one. */
const BINDINGS = 256;
/** Peers that are remembered for one socket. */
const PEERS = 256;
/** A binding or a forwarded port's peer is forgotten after so long without traffic (ms). */
const IDLE_TIME = 240_000;

/** What translation needs of the network. */
export interface UdpNatSetting {
  readonly network: Network;
  readonly router: number;
  readonly restricted: boolean;
}

/** What translation works with. */
export interface UdpNatParts {
  readonly sockets: HostSockets;
  readonly timers: HostTimers;
  readonly sender: Ipv4Sender;
  readonly icmp: Icmp;
  readonly counters: NetCounters;
  /** Called at the end of whatever a host event began. */
  flush(): void;
}

interface Binding {
  readonly socket: HostUdpSocket;
  /** Host addresses that the guest has sent to, by the time of the last datagram. */
  readonly peers: Map<string, number>;
  lastUsed: number;
}

interface ForwardPeer {
  readonly address: string;
  readonly port: number;
  lastUsed: number;
}

interface Forwarding extends HostForward {
  readonly socket: HostUdpSocket;
  /** By `endpointKey` of the address and port that the guest sees. */
  readonly peers: Map<number, ForwardPeer>;
}

/** Carries datagrams between the guest and the host's network. */
export class UdpNat {
  readonly #parts: UdpNatParts;
  readonly #setting: UdpNatSetting;
  /** By the guest's endpoint; the one used last is the last one. */
  readonly #bindings = new Map<number, Binding>();
  readonly #forwards: Forwarding[] = [];
  readonly #expiry: LazyTimer;

  constructor(parts: UdpNatParts, setting: UdpNatSetting) {
    this.#parts = parts;
    this.#setting = setting;
    this.#expiry = new LazyTimer(parts.timers, () => this.#expire());
  }

  /** Sends a datagram of the guest's out. */
  send(datagram: UdpDatagram, packet: Ipv4Packet): void {
    const { counters } = this.#parts;
    if (this.#answerForward(datagram)) return;
    if (this.#setting.restricted) {
      counters.restricted++;
      return;
    }
    const binding = this.#bind(datagram.source, datagram.sourcePort);
    const host = this.#hostAddress(datagram.destination);
    const now = this.#parts.timers.now();
    binding.lastUsed = now;
    binding.peers.delete(host);
    if (binding.peers.size === PEERS) binding.peers.delete(binding.peers.keys().next().value!);
    binding.peers.set(host, now);
    const quote = quoteOf(packet);
    const { source } = datagram;
    binding.socket.send(datagram.payload, host, datagram.destinationPort, (failure) => {
      if (failure === "other") return;
      this.#parts.icmp.unreachableQuoting(quote, source, unreachableCode(failure));
      this.#parts.flush();
    });
  }

  /** Listens on a host port for the guest. Rejects with `HostError`. */
  async forward(forward: HostForward): Promise<HostListener> {
    let forwarding: Forwarding | undefined;
    const socket = await this.#parts.sockets.bindUdp(forward.hostAddress, forward.hostPort, {
      message: (bytes, address, port) => {
        if (forwarding !== undefined) this.#forwardIn(forwarding, bytes, address, port);
      },
      failed: () => {},
    });
    forwarding = { ...forward, socket, peers: new Map() };
    this.#forwards.push(forwarding);
    return socket;
  }

  /** Closes every socket. */
  close(): void {
    for (const { socket } of this.#bindings.values()) socket.close();
    for (const { socket } of this.#forwards) socket.close();
    this.#bindings.clear();
    this.#forwards.length = 0;
    this.#expiry.dispose();
  }

  /** `UDP 10.0.2.15:5353 (host port 40123)`, one line per binding. */
  describe(): string[] {
    return [...this.#bindings].map(([key, { socket }]) => {
      return `UDP ${formatAddress(Math.floor(key / 0x10000))}:${key % 0x10000} (host port ${socket.port})`;
    });
  }

  /** Sends a datagram back through a forwarded port if it answers one that came in there. */
  #answerForward(datagram: UdpDatagram): boolean {
    for (const { guestAddress, guestPort, peers, socket } of this.#forwards) {
      if (guestAddress !== datagram.source || guestPort !== datagram.sourcePort) continue;
      const key = endpointKey(datagram.destination, datagram.destinationPort);
      const peer = peers.get(key);
      if (peer === undefined) continue;
      const now = this.#parts.timers.now();
      if (now - peer.lastUsed >= IDLE_TIME) {
        peers.delete(key);
        continue;
      }
      peer.lastUsed = now;
      socket.send(datagram.payload, peer.address, peer.port);
      return true;
    }
    return false;
  }

  #forwardIn(forwarding: Forwarding, bytes: Uint8Array, address: string, port: number): void {
    const source = this.#guestView(address);
    if (source === undefined) {
      this.#parts.counters.unsupported++;
      return;
    }
    const key = endpointKey(source, port);
    forwarding.peers.delete(key);
    if (forwarding.peers.size === PEERS) forwarding.peers.delete(forwarding.peers.keys().next().value!);
    forwarding.peers.set(key, { address, port, lastUsed: this.#parts.timers.now() });
    this.#deliver(source, port, forwarding.guestAddress, forwarding.guestPort, bytes);
  }

  #bind(source: number, sourcePort: number): Binding {
    const key = endpointKey(source, sourcePort);
    const known = this.#bindings.get(key);
    if (known !== undefined) {
      this.#bindings.delete(key);
      this.#bindings.set(key, known);
      return known;
    }
    if (this.#bindings.size === BINDINGS) {
      this.#parts.counters.tableFull++;
      this.#unbind(this.#bindings.keys().next().value!);
    }
    const binding: Binding = {
      socket: this.#parts.sockets.openUdp(4, {
        message: (bytes, address, port) => this.#bindingIn(source, sourcePort, binding, bytes, address, port),
        failed: () => {
          if (this.#bindings.get(key) === binding) this.#unbind(key);
        },
      }),
      peers: new Map(),
      lastUsed: 0,
    };
    this.#bindings.set(key, binding);
    if (this.#bindings.size === 1) this.#expiry.set(this.#parts.timers.now() + IDLE_TIME);
    return binding;
  }

  #bindingIn(
    guest: number,
    guestPort: number,
    binding: Binding,
    bytes: Uint8Array,
    address: string,
    port: number,
  ): void {
    const source = this.#guestView(address);
    if (source === undefined || !binding.peers.has(address)) {
      this.#parts.counters.unsolicited++;
      return;
    }
    binding.lastUsed = this.#parts.timers.now();
    this.#deliver(source, port, guest, guestPort, bytes);
  }

  #deliver(source: number, sourcePort: number, guest: number, guestPort: number, payload: Uint8Array): void {
    const datagram = { source, sourcePort, destination: guest, destinationPort: guestPort, payload };
    if (!sendUdp(this.#parts.sender, datagram)) this.#parts.counters.malformed++;
    this.#parts.flush();
  }

  #unbind(key: number): void {
    this.#bindings.get(key)?.socket.close();
    this.#bindings.delete(key);
  }

  #expire(): void {
    const now = this.#parts.timers.now();
    let next = Infinity;
    for (const [key, { lastUsed }] of this.#bindings) {
      if (now - lastUsed >= IDLE_TIME) this.#unbind(key);
      else next = Math.min(next, lastUsed + IDLE_TIME);
    }
    this.#expiry.set(next);
  }

  /** The host address that a destination of the guest's stands for. */
  #hostAddress(destination: number): string {
    return formatAddress(destination === this.#setting.router ? LOOPBACK_ADDRESS : destination);
  }

  /** The address under which the guest sees a host address, undefined if it can have none. */
  #guestView(address: string): number | undefined {
    const parsed = parseAddress(address);
    return parsed === undefined ? undefined : guestViewOf(parsed, this.#setting);
  }
}

function endpointKey(address: number, port: number): number {
  return address * 0x10000 + port;
}
