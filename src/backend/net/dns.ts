// The name server of the virtual network: names resolve in the guest as they do on the host (docs/design/user-net.md).
// Addresses come from the host's resolver, everything else from the name servers that the host uses.

import { formatAddress, inNetwork, type Network, parseAddress } from "./address.ts";
import type { NetCounters } from "./counters.ts";
import {
  buildAnswer,
  type DnsQuery,
  encodeName,
  parseQuery,
  RCODE_FAILURE,
  RCODE_NO_NAME,
  RCODE_OK,
  refusal,
  TYPE_A,
  TYPE_AAAA,
  TYPE_PTR,
} from "./dns-message.ts";
import { type DnsTransport, Questions, relayQuery } from "./dns-relay.ts";
import type { HostAddress, NetHost } from "./host.ts";

export const DNS_PORT = 53;

/** Queries under way; more are dropped, and the guest asks again. */
const QUERIES = 64;
/** Lookups at once: they occupy threads that the whole process shares. */
const LOOKUPS = 2;
/** Names whose addresses are remembered, and how long (ms): guests ask for A and AAAA at once. */
const REMEMBERED = 64;
const REMEMBERED_TIME = 10_000;
const LONGEST_TCP = 65535;
/** The addresses that hosts files give to the host's own name. */
const OWN_NAME_ADDRESSES: readonly string[] = ["127.0.0.1", "127.0.1.1"];

/** What the name server needs to know of the network. */
export interface DnsSetting {
  readonly network: Network;
  readonly router: number;
}

interface Remembered {
  readonly addresses: Promise<readonly HostAddress[]>;
  readonly since: number;
}

/** Answers the guest's queries. */
export class DnsForwarder {
  readonly #host: NetHost;
  readonly #setting: DnsSetting;
  readonly #counters: NetCounters;
  readonly #remembered = new Map<string, Remembered>();
  readonly #waiting: (() => void)[] = [];
  readonly #questions = new Questions();
  #lookups = 0;
  #queries = 0;

  constructor(host: NetHost, setting: DnsSetting, counters: NetCounters) {
    this.#host = host;
    this.#setting = setting;
    this.#counters = counters;
  }

  /**
   * Answers one message (a copy is kept). `reply` is called once, not before `query` returns.
   * False: there will be no answer, the message is no query or there are too many under way.
   */
  query(message: Uint8Array, transport: DnsTransport, reply: (answer: Uint8Array) => void): boolean {
    if (this.#queries === QUERIES) {
      this.#counters.tableFull++;
      return false;
    }
    const query = parseQuery(message.slice());
    if (query === undefined) {
      this.#counters.malformed++;
      return false;
    }
    this.#queries++;
    const answer =
      typeof query === "number"
        ? Promise.resolve(refusal(message.slice(), query))
        : this.#answer(query, transport).catch(() => buildAnswer(query, RCODE_FAILURE, [], LONGEST_TCP));
    void answer.then((bytes) => {
      this.#queries--;
      reply(bytes);
    });
    return true;
  }

  /** Gives up what is under way: its sockets are closed, its answers are failures. */
  close(): void {
    this.#questions.close();
  }

  async #answer(query: DnsQuery, transport: DnsTransport): Promise<Uint8Array> {
    const limit = transport === "tcp" ? LONGEST_TCP : query.udpLimit;
    if (query.isInternet && (query.type === TYPE_A || query.type === TYPE_AAAA) && isHostName(query.name)) {
      const found = await this.#addresses(query.name.toLowerCase());
      const records = query.type === TYPE_A ? this.#ipv4Records(query.name, found) : ipv6Records(query.name, found);
      if (found.length > 0) return buildAnswer(query, RCODE_OK, records, limit);
    } else if (query.isInternet && query.type === TYPE_PTR) {
      const address = reverseAddress(query.name);
      if (address !== undefined) {
        const numeric = parseAddress(address);
        const isOurs = numeric !== undefined && inNetwork(this.#setting.network, numeric);
        if (isOurs) return buildAnswer(query, RCODE_NO_NAME, [], limit);
        const name = await this.#limited(() => this.#host.resolver.reverse(address));
        const record = name === undefined ? undefined : encodeName(name);
        if (record !== undefined) return buildAnswer(query, RCODE_OK, [record], limit);
      }
    } else if (this.#host.resolver.servers().length === 0) {
      return buildAnswer(query, RCODE_FAILURE, [], limit);
    }
    const relayed = await relayQuery(this.#host, query, transport, this.#questions);
    return relayed ?? buildAnswer(query, this.#giveUp(query), [], limit);
  }

  /** Without a name server that could say better, what the host's resolver did not find does not exist. */
  #giveUp(query: DnsQuery): number {
    const wasLookedUp = query.type === TYPE_A || query.type === TYPE_AAAA || query.type === TYPE_PTR;
    return wasLookedUp ? RCODE_NO_NAME : RCODE_FAILURE;
  }

  #addresses(name: string): Promise<readonly HostAddress[]> {
    const now = this.#host.timers.now();
    const known = this.#remembered.get(name);
    if (known !== undefined && now - known.since < REMEMBERED_TIME) return known.addresses;
    this.#remembered.delete(name);
    if (this.#remembered.size === REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value!);
    const addresses = this.#limited(() => this.#host.resolver.lookup(name));
    this.#remembered.set(name, { addresses, since: now });
    // A failure is not worth remembering: the next query may find the host's network back.
    addresses.catch(() => {
      if (this.#remembered.get(name)?.addresses === addresses) this.#remembered.delete(name);
    });
    return addresses;
  }

  /** Runs a lookup when its turn has come. The queue is bounded by the number of queries. */
  async #limited<T>(lookup: () => Promise<T>): Promise<T> {
    if (this.#lookups === LOOKUPS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#lookups++;
    try {
      return await lookup();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#lookups--;
      else next();
    }
  }

  #ipv4Records(name: string, found: readonly HostAddress[]): Uint8Array[] {
    const records: Uint8Array[] = [];
    const isLocalhost = isLocal(name);
    for (const { address, family } of found) {
      const own = !isLocalhost && OWN_NAME_ADDRESSES.includes(address);
      const numeric = family === 4 ? parseAddress(own ? formatAddress(this.#setting.router) : address) : undefined;
      if (numeric !== undefined) {
        records.push(Uint8Array.of(numeric >>> 24, numeric >>> 16, numeric >>> 8, numeric));
      }
    }
    return records;
  }
}

function ipv6Records(name: string, found: readonly HostAddress[]): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (const { address, family } of found) {
    if (family !== 6 || (address === "::1" && !isLocal(name))) continue;
    const record = encodeIpv6(address);
    if (record !== undefined) records.push(record);
  }
  return records;
}

function isLocal(name: string): boolean {
  return /(^|\.)localhost$/i.test(name);
}

/** Whether the host's resolver may be asked: only names, never something that it would read as an address. */
function isHostName(name: string): boolean {
  return /^[a-z0-9_.-]+$/i.test(name) && !/(^|\.)(0x[0-9a-f]*|[0-9]+)$/i.test(name);
}

/** The address that a name under in-addr.arpa or ip6.arpa stands for. */
function reverseAddress(name: string): string | undefined {
  const ipv4 = /^([0-9.]+)\.in-addr\.arpa$/i.exec(name)?.[1]?.split(".").reverse().join(".");
  if (ipv4 !== undefined) return parseAddress(ipv4) === undefined ? undefined : ipv4;
  const nibbles = /^((?:[0-9a-f]\.){32})ip6\.arpa$/i.exec(name)?.[1]?.split(".").reverse().join("");
  return nibbles?.replace(/(....)(?!$)/g, "$1:");
}

/** The sixteen bytes of an IPv6 address as the host writes it; a zone (`%eth0`) makes it useless elsewhere. */
function encodeIpv6(text: string): Uint8Array | undefined {
  const dotted = /^(.*:)([0-9.]+)$/.exec(text);
  const tail = dotted?.[2] === undefined ? undefined : parseAddress(dotted[2]);
  const pure = tail === undefined ? text : `${dotted![1]}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
  const halves = pure.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], rest = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - rest.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...rest];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Uint8Array.from(groups.flatMap((group) => [Number.parseInt(group, 16) >>> 8, Number.parseInt(group, 16)]));
}
