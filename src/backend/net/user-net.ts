// `-netdev user`: a router, a DHCP server and a name server in the process, and the host's sockets behind them
// (docs/design/user-net.md).

import { UserError } from "../../util/user-error.ts";
import type { NetBackend, NetClient } from "../net.ts";
import { ANY_ADDRESS, BROADCAST_ADDRESS, broadcastOf, inNetwork, isMartian, macOf } from "./address.ts";
import { Arp } from "./arp.ts";
import { type NetCounters, newCounters } from "./counters.ts";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from "./dhcp.ts";
import { DNS_PORT, DnsForwarder } from "./dns.ts";
import { HostError, type NetHost } from "./host.ts";
import { HOST_UNREACHABLE, Icmp, PORT_UNREACHABLE, PROTOCOL_UNREACHABLE } from "./icmp.ts";
import { Ipv4Packet, Ipv4Sender, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.ts";
import { Reassembly } from "./ipv4-reassembly.ts";
import { ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, Link } from "./link.ts";
import { Tcp } from "./tcp.ts";
import { parseUdp, sendUdp, type UdpDatagram } from "./udp.ts";
import { UdpNat } from "./udp-nat.ts";
import type { HostForward, UserNetConfig } from "./user-net-options.ts";

/** A port of the host's that is open for the guest. */
export interface OpenForward extends HostForward {
  /** The port itself where the rule says 0. */
  readonly openPort: number;
}

/**
 * A user-mode network.
 *
 * A client may transmit from inside `receive`, and may receive before `transmit` has returned; frames come in order, and
 * never while the network is in the middle of its own work.
 *
 * @example
 * const net = await UserNet.open(parseUserNetOptions([["id", "net0"], ["hostfwd", "tcp::2222-:22"]]), nodeNetHost());
 * net.attach(card);
 */
export class UserNet implements NetBackend {
  readonly id: string;
  /** What was dropped, and why. */
  readonly counters: NetCounters = newCounters();
  readonly #config: UserNetConfig;
  readonly #host: NetHost;
  readonly #link = new Link();
  readonly #arp: Arp;
  readonly #sender: Ipv4Sender;
  readonly #icmp: Icmp;
  readonly #dhcp: DhcpServer;
  readonly #dns: DnsForwarder;
  readonly #udp: UdpNat;
  readonly #tcp: Tcp;
  readonly #reassembly: Reassembly;
  readonly #packet = new Ipv4Packet();
  readonly #forwards: OpenForward[] = [];
  readonly #routerMac: Uint8Array;
  readonly #dnsMac: Uint8Array;
  #closed = false;

  /** Opens a network with its forwarded ports. Throws `UserError` when the host refuses one of them. */
  static async open(config: UserNetConfig, host: NetHost): Promise<UserNet> {
    const net = new UserNet(config, host);
    try {
      for (const forward of config.forwards) await net.#forward(forward);
    } catch (error) {
      net.close();
      throw error;
    }
    return net;
  }

  private constructor(config: UserNetConfig, host: NetHost) {
    this.id = config.id;
    this.#config = config;
    this.#host = host;
    const { network, router, dns, restricted } = config;
    const { sockets, timers } = host;
    const { counters } = this;
    const link = this.#link;
    const now = (): number => timers.now();
    const flush = (): void => link.drain();
    this.#routerMac = macOf(router);
    this.#dnsMac = macOf(dns);
    this.#arp = new Arp(link, { network, own: [router, dns] }, now);
    const sender = (this.#sender = new Ipv4Sender(link, this.#arp, router, counters, now));
    const icmp = (this.#icmp = new Icmp(sender, router, (address) => this.#isOwn(address)));
    this.#dhcp = new DhcpServer(config, now);
    const forwarder = (this.#dns = new DnsForwarder(host, { network, router }, counters));
    const setting = { network, router, dns, restricted };
    this.#udp = new UdpNat({ sockets, timers, sender, icmp, counters, flush }, setting);
    const random = (): number => this.#random();
    this.#tcp = new Tcp({ sockets, timers, link, sender, icmp, dns: forwarder, counters, random, flush }, setting);
    this.#reassembly = new Reassembly(counters, now);
  }

  /** The host's open ports. */
  get forwards(): readonly OpenForward[] {
    return this.#forwards;
  }

  attach(client: NetClient): void {
    this.#link.attach(client);
  }

  transmit(frame: Uint8Array): void {
    if (this.#closed) return;
    // Subclasses have their own ideas: slice() of Node's Buffer is a view, not a copy.
    const isPlain = frame.constructor === Uint8Array;
    this.#receive(isPlain ? frame : new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength));
    this.#link.drain();
  }

  resume(): void {
    this.#link.resume();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dns.close();
    this.#udp.close();
    this.#tcp.close();
    this.#link.close();
    this.#forwards.length = 0;
  }

  /** The network's state for people: connections, bindings, forwarded ports, ARP entries; a line each. */
  describe(): string[] {
    return [
      ...this.#forwards.map(({ rule, openPort }) => `hostfwd ${rule} (host port ${openPort})`),
      ...this.#tcp.describe(),
      ...this.#udp.describe(),
      ...this.#arp.describe(),
    ];
  }

  async #forward(forward: HostForward): Promise<void> {
    const { protocol, rule, hostAddress, hostPort } = forward;
    try {
      const listener = await (protocol === "tcp" ? this.#tcp.forward(forward) : this.#udp.forward(forward));
      this.#forwards.push({ ...forward, openPort: listener.port });
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      const port = `${protocol} port ${hostPort} of ${hostAddress}`;
      throw new UserError(`-netdev user,hostfwd=${rule}: ${forwardProblem(error, port)}`);
    }
  }

  #receive(frame: Uint8Array): void {
    const { counters } = this;
    if (frame.length < ETHERNET_HEADER) {
      counters.malformed++;
      return;
    }
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (!this.#isForUs(frame)) {
      counters.notForUs++;
      return;
    }
    switch (view.getUint16(12)) {
      case ETHERTYPE_ARP:
        if (!this.#arp.receive(frame, view, ETHERNET_HEADER)) counters.malformed++;
        return;
      case ETHERTYPE_IPV4: {
        const fault = this.#packet.parse(frame, view, ETHERNET_HEADER);
        if (fault !== undefined) counters[fault]++;
        else this.#receiveIpv4(frame, this.#packet);
        return;
      }
      default:
        counters.unsupported++;
    }
  }

  /** To the router, the name server, or a group. */
  #isForUs(frame: Uint8Array): boolean {
    return (frame[0]! & 1) !== 0 || beginsWith(frame, this.#routerMac) || beginsWith(frame, this.#dnsMac);
  }

  #receiveIpv4(frame: Uint8Array, packet: Ipv4Packet): void {
    const { counters } = this;
    const { network } = this.#config;
    const { source } = packet;
    // Without an address yet, a client can only talk to the DHCP server.
    if (source !== ANY_ADDRESS) {
      if (!inNetwork(network, source) || this.#isOwn(source) || source === broadcastOf(network)) {
        counters.notForUs++;
        return;
      }
      this.#arp.learn(source, frame, 6);
    }
    if (packet.isFragment && !this.#reassembly.add(packet)) return;
    if (packet.protocol === PROTOCOL_UDP) {
      const datagram = parseUdp(packet);
      if (typeof datagram === "string") counters[datagram]++;
      else if (datagram.destinationPort === DHCP_SERVER_PORT && this.#isDhcp(datagram)) this.#receiveDhcp(datagram);
      else if (this.#admit(packet)) this.#receiveUdp(datagram, packet);
      return;
    }
    if (!this.#admit(packet)) return;
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        this.#count(this.#tcp.receive(packet));
        return;
      case PROTOCOL_ICMP:
        this.#count(this.#icmp.receive(packet));
        return;
      default:
        counters.unsupported++;
        this.#icmp.unreachable(packet, PROTOCOL_UNREACHABLE);
    }
  }

  #count(fault: "malformed" | "badChecksum" | undefined): void {
    if (fault !== undefined) this.counters[fault]++;
  }

  /** Whether a packet may go where it wants to; if not, it is counted, and answered where that is due. */
  #admit(packet: Ipv4Packet): boolean {
    const { source, destination } = packet;
    const { network } = this.#config;
    const isMartianHere = isMartian(destination) || destination === broadcastOf(network);
    if (source === ANY_ADDRESS || isMartianHere || destination === network.address) {
      this.counters.martian++;
      return false;
    }
    if (this.#isOwn(destination)) return true;
    if (inNetwork(network, destination)) {
      this.#icmp.unreachable(packet, HOST_UNREACHABLE);
      return false;
    }
    if (packet.ttl <= 1) {
      this.#icmp.timeExceeded(packet);
      return false;
    }
    return true;
  }

  #isDhcp(datagram: UdpDatagram): boolean {
    return datagram.destination === BROADCAST_ADDRESS || datagram.destination === this.#config.router;
  }

  #receiveDhcp(datagram: UdpDatagram): void {
    const answer = this.#dhcp.receive(datagram);
    if (answer === "malformed") this.counters.malformed++;
    if (answer === undefined || answer === "malformed") return;
    const { destination, payload, bound } = answer;
    if (bound !== undefined) this.#arp.learn(bound.address, bound.mac, 0);
    sendUdp(this.#sender, {
      source: this.#config.router,
      sourcePort: DHCP_SERVER_PORT,
      destination,
      destinationPort: DHCP_CLIENT_PORT,
      payload,
    });
  }

  #receiveUdp(datagram: UdpDatagram, packet: Ipv4Packet): void {
    const { source, sourcePort, destination, destinationPort } = datagram;
    if (destination !== this.#config.dns) {
      if (destinationPort === 0) this.counters.malformed++;
      else this.#udp.send(datagram, packet);
      return;
    }
    if (this.#config.restricted) {
      this.counters.restricted++;
      return;
    }
    if (destinationPort !== DNS_PORT) {
      this.#icmp.unreachable(packet, PORT_UNREACHABLE);
      return;
    }
    this.#dns.query(datagram.payload, "udp", (payload) => {
      if (this.#closed) return;
      sendUdp(this.#sender, {
        source: destination,
        sourcePort: DNS_PORT,
        destination: source,
        destinationPort: sourcePort,
        payload,
      });
      this.#link.drain();
    });
  }

  #isOwn(address: number): boolean {
    return address === this.#config.router || address === this.#config.dns;
  }

  #random(): number {
    const bytes = new Uint8Array(4);
    this.#host.random(bytes);
    return new DataView(bytes.buffer).getUint32(0);
  }
}

function beginsWith(frame: Uint8Array, mac: Uint8Array): boolean {
  for (let index = 0; index < 6; index++) if (frame[index] !== mac[index]) return false;
  return true;
}

function forwardProblem(error: HostError, port: string): string {
  switch (error.failure) {
    case "in-use":
      return `${port} is in use, choose another host port`;
    case "prohibited":
      return `${port} may not be opened by this user, choose a host port from 1024 on`;
    case "not-available":
      return `${port} cannot be opened, the host does not have that address`;
    default:
      return `${port} cannot be opened: ${error.message}`;
  }
}
