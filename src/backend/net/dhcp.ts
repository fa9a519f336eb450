// The DHCP server (RFC 2131, options of RFC 2132, search list of RFC 3397).

import { ANY_ADDRESS, BROADCAST_ADDRESS, broadcastOf, inNetwork, type Network } from "./address.ts";
import type { UdpDatagram } from "./udp.ts";

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const DECLINE = 4;
const ACK = 5;
const NAK = 6;
const RELEASE = 7;
const INFORM = 8;

const OPTION_MASK = 1;
const OPTION_ROUTER = 3;
const OPTION_DNS = 6;
const OPTION_HOST_NAME = 12;
const OPTION_DOMAIN_NAME = 15;
const OPTION_REQUESTED_ADDRESS = 50;
const OPTION_LEASE_TIME = 51;
const OPTION_MESSAGE_TYPE = 53;
const OPTION_SERVER = 54;
const OPTION_MESSAGE = 56;
const OPTION_SEARCH_LIST = 119;
const OPTION_END = 255;

/** The fixed part of a message up to the options, magic cookie included. */
const FIXED = 240;
const MAGIC = 0x63825363;
/** Clients may expect what BOOTP guaranteed (RFC 1542 section 2.1). */
const SHORTEST = 300;
const LEASE_SECONDS = 86400;
/** Addresses from the first one on. */
const LEASES = 16;
/** How long an offered address waits for its client (ms). */
const OFFER_TIME = 60_000;
/** An address that a client found taken is not offered for this long (ms). */
const DECLINED_TIME = 600_000;

/** What the server hands out. */
export interface DhcpSetting {
  readonly network: Network;
  readonly router: number;
  readonly dns: number;
  readonly firstLease: number;
  /** No router and no name server are told: there is no way out. */
  readonly restricted: boolean;
  readonly hostname?: string | undefined;
  readonly domainName?: string | undefined;
  readonly searchDomains: readonly string[];
}

/** An answer: where to send it, and which client it binds to an address. */
export interface DhcpAnswer {
  readonly destination: number;
  readonly payload: Uint8Array;
  /** Set when the client has the address from now on. */
  readonly bound?: { readonly address: number; readonly mac: Uint8Array };
}

interface Lease {
  /** The client's Ethernet address in hexadecimal; undefined for an address that was declined. */
  client: string | undefined;
  until: number;
}

interface Request {
  readonly view: DataView;
  readonly type: number;
  readonly client: string;
  readonly mac: Uint8Array;
  readonly clientAddress: number;
  readonly requested: number | undefined;
  readonly server: number | undefined;
}

/** The leases and the protocol. */
export class DhcpServer {
  readonly #setting: DhcpSetting;
  readonly #now: () => number;
  readonly #leases = new Map<number, Lease>();

  constructor(setting: DhcpSetting, now: () => number) {
    this.#setting = setting;
    this.#now = now;
  }

  /** Takes a client's message: an answer, nothing to say, or malformed. */
  receive(datagram: UdpDatagram): DhcpAnswer | "malformed" | undefined {
    const request = parse(datagram.payload);
    if (request === undefined) return "malformed";
    // Meant for another server: what we had offered is free again.
    if (request.server !== undefined && request.server !== this.#setting.router) {
      this.#free(request.client);
      return undefined;
    }
    switch (request.type) {
      case DISCOVER:
        return this.#offer(request);
      case REQUEST:
        return this.#request(request);
      case INFORM:
        return this.#inform(request);
      case RELEASE:
        this.#free(request.client);
        return undefined;
      case DECLINE:
        this.#decline(request);
        return undefined;
      default:
        return undefined;
    }
  }

  #offer(request: Request): DhcpAnswer | undefined {
    const address = this.#choose(request);
    if (address === undefined) return undefined;
    // Held for a while, so that two clients that ask at once are not offered the same address.
    if (this.#leases.get(address)?.client !== request.client) this.#lease(address, request.client, OFFER_TIME);
    return { destination: BROADCAST_ADDRESS, payload: this.#reply(request, OFFER, address) };
  }

  #request(request: Request): DhcpAnswer {
    const wanted = request.requested ?? request.clientAddress;
    if (!this.#available(wanted, request.client)) {
      return { destination: BROADCAST_ADDRESS, payload: this.#reply(request, NAK, ANY_ADDRESS) };
    }
    this.#free(request.client);
    this.#lease(wanted, request.client, LEASE_SECONDS * 1000);
    return {
      // A client that renews already listens at its address; every other one hears a broadcast.
      destination: request.clientAddress === wanted ? wanted : BROADCAST_ADDRESS,
      payload: this.#reply(request, ACK, wanted),
      bound: { address: wanted, mac: request.mac },
    };
  }

  #inform(request: Request): DhcpAnswer | undefined {
    if (!inNetwork(this.#setting.network, request.clientAddress)) return undefined;
    return { destination: request.clientAddress, payload: this.#reply(request, ACK, ANY_ADDRESS) };
  }

  #decline(request: Request): void {
    const address = request.requested;
    if (address === undefined || this.#leases.get(address)?.client !== request.client) return;
    this.#leases.set(address, { client: undefined, until: this.#now() + DECLINED_TIME });
  }

  /** The address for a client: its own, the one it asks for, or the first free one. */
  #choose(request: Request): number | undefined {
    for (const [address, { client }] of this.#leases) if (client === request.client) return address;
    if (request.requested !== undefined && this.#available(request.requested, request.client)) return request.requested;
    for (let index = 0; index < LEASES; index++) {
      const address = this.#setting.firstLease + index;
      if (this.#available(address, request.client)) return address;
    }
    return undefined;
  }

  #available(address: number, client: string): boolean {
    const { network, router, dns, firstLease } = this.#setting;
    if (address < firstLease || address >= firstLease + LEASES) return false;
    if (!inNetwork(network, address) || address === broadcastOf(network) || address === network.address) return false;
    if (address === router || address === dns) return false;
    const lease = this.#leases.get(address);
    return lease === undefined || lease.client === client || this.#now() >= lease.until;
  }

  #lease(address: number, client: string, milliseconds: number): void {
    this.#leases.set(address, { client, until: this.#now() + milliseconds });
  }

  #free(client: string): void {
    for (const [address, lease] of this.#leases) if (lease.client === client) this.#leases.delete(address);
  }

  #reply(request: Request, type: number, address: number): Uint8Array {
    const options = new Options();
    const { router } = this.#setting;
    options.add(OPTION_MESSAGE_TYPE, [type]);
    options.addAddress(OPTION_SERVER, router);
    if (type === NAK) options.addText(OPTION_MESSAGE, "address not available");
    else this.#describeNetwork(options, request.type !== INFORM);
    const bytes = new Uint8Array(Math.max(SHORTEST, FIXED + options.bytes.length + 1));
    const view = new DataView(bytes.buffer);
    // BOOTREPLY, Ethernet, 6-byte addresses; the transaction, flags and client's addresses are the request's.
    view.setUint32(0, 0x02010600);
    view.setUint32(4, request.view.getUint32(4));
    view.setUint16(10, request.view.getUint16(10));
    view.setUint32(12, type === NAK ? ANY_ADDRESS : request.clientAddress);
    view.setUint32(16, address);
    view.setUint32(20, type === NAK ? ANY_ADDRESS : router);
    bytes.set(request.mac, 28);
    view.setUint32(236, MAGIC);
    bytes.set(options.bytes, FIXED);
    bytes[FIXED + options.bytes.length] = OPTION_END;
    return bytes;
  }

  #describeNetwork(options: Options, lease: boolean): void {
    const { network, router, dns, restricted, hostname, domainName, searchDomains } = this.#setting;
    options.addAddress(OPTION_MASK, network.mask);
    if (!restricted) {
      options.addAddress(OPTION_ROUTER, router);
      options.addAddress(OPTION_DNS, dns);
    }
    if (lease) options.addAddress(OPTION_LEASE_TIME, LEASE_SECONDS);
    if (hostname !== undefined) options.addText(OPTION_HOST_NAME, hostname);
    if (domainName !== undefined) options.addText(OPTION_DOMAIN_NAME, domainName);
    if (searchDomains.length > 0) options.add(OPTION_SEARCH_LIST, searchDomains.flatMap(domainLabels));
  }
}

class Options {
  readonly bytes: number[] = [];

  /** Values longer than 255 bytes are split into several options of one code (RFC 3396). */
  add(code: number, value: readonly number[]): void {
    for (let at = 0; at < value.length; at += 255) {
      const part = value.slice(at, at + 255);
      this.bytes.push(code, part.length, ...part);
    }
  }

  addAddress(code: number, value: number): void {
    this.add(code, [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
  }

  addText(code: number, text: string): void {
    this.add(code, [...new TextEncoder().encode(text)]);
  }
}

/** A domain as a sequence of labels, each with its length in front, and the root's empty one. */
function domainLabels(domain: string): number[] {
  return [...domain.split(".").flatMap((label) => [label.length, ...new TextEncoder().encode(label)]), 0];
}

function parse(bytes: Uint8Array): Request | undefined {
  if (bytes.length < FIXED) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // BOOTREQUEST, Ethernet, 6-byte addresses, not relayed (giaddr).
  if (view.getUint16(0) !== 0x0101 || view.getUint8(2) !== 6) return undefined;
  if (view.getUint32(24) !== 0 || view.getUint32(236) !== MAGIC) return undefined;
  let type = 0;
  let requested: number | undefined;
  let server: number | undefined;
  for (let at = FIXED; at < bytes.length; ) {
    const code = bytes[at]!;
    if (code === OPTION_END) break;
    if (code === 0) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    if (length === undefined || at + 2 + length > bytes.length) return undefined;
    if (code === OPTION_MESSAGE_TYPE && length === 1) type = bytes[at + 2]!;
    if (code === OPTION_REQUESTED_ADDRESS && length === 4) requested = view.getUint32(at + 2);
    if (code === OPTION_SERVER && length === 4) server = view.getUint32(at + 2);
    at += 2 + length;
  }
  const mac = bytes.slice(28, 34);
  const client = Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { view, type, client, mac, clientAddress: view.getUint32(12), requested, server };
}
