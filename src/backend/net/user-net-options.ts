// The options of `-netdev user`, with QEMU's names, defaults and rules.

import { didYouMean } from "../../util/nearest.ts";
import { UserError } from "../../util/user-error.ts";
import {
  broadcastOf,
  formatAddress,
  formatNetwork,
  inNetwork,
  isMartian,
  type Network,
  parseAddress,
} from "./address.ts";

/** A port of the host's that leads to the guest. */
export interface HostForward {
  readonly protocol: "tcp" | "udp";
  readonly hostAddress: string;
  /** 0: any free port. */
  readonly hostPort: number;
  readonly guestAddress: number;
  readonly guestPort: number;
  /** The rule as the user wrote it, for messages. */
  readonly rule: string;
}

/** A user-mode network, all options resolved. Addresses are unsigned 32-bit numbers. */
export interface UserNetConfig {
  readonly id: string;
  readonly network: Network;
  /** The router: 10.0.2.2. */
  readonly router: number;
  /** The name server: 10.0.2.3. */
  readonly dns: number;
  /** The first address for DHCP: 10.0.2.15. */
  readonly firstLease: number;
  readonly restricted: boolean;
  readonly hostname: string | undefined;
  readonly domainName: string | undefined;
  readonly searchDomains: readonly string[];
  readonly forwards: readonly HostForward[];
}

const REPEATABLE = ["dnssearch", "hostfwd"];
const SINGLE = ["id", "ipv4", "ipv6", "net", "host", "dns", "dhcpstart", "hostname", "domainname", "restrict"];
const NOT_HERE: Readonly<Record<string, string>> = {
  tftp: "there is no TFTP server; fetch files over TCP from a server on the host at the router's address",
  "tftp-server-name": "there is no TFTP server",
  bootfile: "there is no network boot",
  smb: "there is no SMB server; run one on the host and reach it at the router's address",
  smbserver: "there is no SMB server",
  guestfwd: "run a server on the host and reach it at the router's address",
  "ipv6-net": "there is no IPv6",
  "ipv6-host": "there is no IPv6",
  "ipv6-dns": "there is no IPv6",
};

/** The low bits of the default addresses, as in 10.0.2.2, 10.0.2.3 and 10.0.2.15. */
const ROUTER_BITS = 0x0202;
const DNS_BITS = 0x0203;
const LEASE_BITS = 0x020f;

/**
 * Reads the options that follow `-netdev user,` as pairs of name and value, in order, some repeatable.
 * Throws `UserError` for what does not hold.
 *
 * @example parseUserNetOptions([["id", "net0"], ["hostfwd", "tcp::2222-:22"]])
 */
export function parseUserNetOptions(options: Iterable<readonly [name: string, value: string]>): UserNetConfig {
  const values = new Map<string, string>();
  const searchDomains: string[] = [];
  const rules: string[] = [];
  for (const [name, value] of options) {
    if (name === "hostfwd") rules.push(value);
    else if (name === "dnssearch") searchDomains.push(domain(name, value));
    else if (SINGLE.includes(name)) {
      if (values.has(name)) throw new UserError(`${at(name, value)}: ${name} is given twice, expected once`);
      values.set(name, value);
    } else refuseName(name, value);
  }
  const id = values.get("id");
  if (id === undefined) throw new UserError("-netdev user: expected an id, as in -netdev user,id=net0");
  if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(id)) {
    throw new UserError(`${at("id", id)}: expected a letter, then letters, digits, "-", "." or "_"`);
  }
  if (!flag(values, "ipv4", true)) {
    throw new UserError(`${at("ipv4", "off")}: without IPv4 nothing is left, there is no IPv6; expected ipv4=on`);
  }
  if (flag(values, "ipv6", false)) throw new UserError(`${at("ipv6", "on")}: there is no IPv6 yet, expected ipv6=off`);
  const hostname = values.get("hostname");
  const domainName = values.get("domainname");
  const addresses = parseAddresses(values);
  return {
    id,
    ...addresses,
    restricted: flag(values, "restrict", false),
    hostname: hostname === undefined ? undefined : text("hostname", hostname),
    domainName: domainName === undefined ? undefined : domain("domainname", domainName),
    searchDomains,
    forwards: rules.map((rule) => parseForward(rule, addresses.network, addresses.firstLease)),
  };
}

function at(name: string, value: string): string {
  return `-netdev user,${name}=${value}`;
}

function refuseName(name: string, value: string): never {
  const reason = NOT_HERE[name];
  if (reason !== undefined && Object.hasOwn(NOT_HERE, name)) {
    throw new UserError(`${at(name, value)}: ${name} is not supported here: ${reason}`);
  }
  const known = [...SINGLE, ...REPEATABLE];
  throw new UserError(
    `${at(name, value)}: unknown option "${name}"${didYouMean(name, known)}, expected one of ${known.join(", ")}`,
  );
}

function flag(values: ReadonlyMap<string, string>, name: string, otherwise: boolean): boolean {
  const value = values.get(name);
  if (value === undefined) return otherwise;
  if (value === "on" || value === "yes" || value === "true" || value === "y") return true;
  if (value === "off" || value === "no" || value === "false" || value === "n") return false;
  throw new UserError(`${at(name, value)}: expected on or off`);
}

/** A text that fits one DHCP option. */
function text(name: string, value: string): string {
  if (/^[\x21-\x7e]{1,255}$/.test(value)) return value;
  throw new UserError(`${at(name, value)}: expected 1 to 255 printable ASCII characters`);
}

function domain(name: string, value: string): string {
  const labels = value.split(".");
  if (value.length <= 253 && labels.every((label) => /^[A-Za-z0-9_-]{1,63}$/.test(label))) return value;
  throw new UserError(`${at(name, value)}: expected a domain such as example.org`);
}

function parseAddresses(values: ReadonlyMap<string, string>): {
  network: Network;
  router: number;
  dns: number;
  firstLease: number;
} {
  const network = parseNetwork(values.get("net") ?? "10.0.2.0/24");
  const router = addressIn(values, "host", network, ROUTER_BITS);
  // QEMU allows a name server outside of the network: packets to it are caught on their way out.
  const dnsText = values.get("dns");
  const dns = dnsText === undefined ? defaultAddress(network, DNS_BITS) : anyAddress("dns", dnsText);
  const firstLease = addressIn(values, "dhcpstart", network, LEASE_BITS);
  const named = [
    ["host", router],
    ["dns", dns],
    ["dhcpstart", firstLease],
  ] as const;
  for (const [name, address] of named) {
    if (address !== network.address && address !== broadcastOf(network)) continue;
    throw new UserError(
      `-netdev user: ${name}=${formatAddress(address)} is the network or broadcast address of ${formatNetwork(network)}; ` +
        `name another with ${name}= or a larger net=`,
    );
  }
  for (const [index, [name, address]] of named.entries()) {
    const other = named.slice(0, index).find((earlier) => earlier[1] === address);
    if (other === undefined) continue;
    throw new UserError(
      `-netdev user: ${name} and ${other[0]} are both ${formatAddress(address)}, expected different addresses; ` +
        `name one with ${name}=`,
    );
  }
  return { network, router, dns, firstLease };
}

function addressIn(values: ReadonlyMap<string, string>, name: string, network: Network, bits: number): number {
  const value = values.get(name);
  if (value === undefined) return defaultAddress(network, bits);
  const address = anyAddress(name, value);
  if (inNetwork(network, address)) return address;
  throw new UserError(`${at(name, value)}: the address is outside of the network ${formatNetwork(network)}`);
}

function defaultAddress(network: Network, bits: number): number {
  return (network.address | (bits & ~network.mask)) >>> 0;
}

function anyAddress(name: string, value: string): number {
  const address = parseAddress(value);
  if (address === undefined) throw new UserError(`${at(name, value)}: expected an IPv4 address such as 10.0.2.2`);
  return address;
}

/** `ADDRESS[/BITS or /MASK]`; without a mask the address's class decides, as in QEMU. */
function parseNetwork(value: string): Network {
  const [addressText = "", maskText, ...rest] = value.split("/");
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0) {
    throw new UserError(`${at("net", value)}: expected ADDRESS/BITS such as 10.0.2.0/24`);
  }
  const mask = maskText === undefined ? classMask(address) : parseMask(maskText);
  if (mask === undefined) {
    throw new UserError(`${at("net", value)}: expected a mask of 4 to 32 bits, such as /24 or /255.255.255.0`);
  }
  if (isMartian(address)) {
    throw new UserError(
      `${at("net", value)}: no host can have an address there, expected a network such as 10.0.2.0/24`,
    );
  }
  return { address: (address & mask) >>> 0, mask };
}

function parseMask(value: string): number | undefined {
  const dotted = parseAddress(value);
  const bits = dotted === undefined ? (/^[0-9]{1,2}$/.test(value) ? Number(value) : -1) : Math.clz32(~dotted);
  if (bits < 4 || bits > 32) return undefined;
  const mask = (0xffffffff << (32 - bits)) >>> 0;
  const whole = bits === 32 ? 0xffffffff : mask;
  return dotted === undefined || dotted === whole ? whole : undefined;
}

function classMask(address: number): number | undefined {
  if (address >>> 31 === 0) return 0xff000000;
  if (address >>> 20 === 0xac1) return 0xfff00000;
  if (address >>> 16 === 0xc0a8) return 0xffff0000;
  if (address >>> 30 === 2) return 0xffff0000;
  return address >>> 29 === 6 ? 0xffffff00 : undefined;
}

/** `[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport` */
function parseForward(rule: string, network: Network, firstLease: number): HostForward {
  const fail = (what: string): never => {
    throw new UserError(
      `${at("hostfwd", rule)}: ${what}, expected [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport`,
    );
  };
  const match = /^([^:]*):([^:]*):([^:-]*)-([^:]*):([^:]*)$/.exec(rule);
  if (match === null) return fail("malformed rule");
  const [, protocol, hostText = "", hostPortText = "", guestText = "", guestPortText = ""] = match;
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "") return fail(`unknown protocol "${protocol}"`);
  const hostAddress = hostText === "" ? "127.0.0.1" : hostText;
  if (parseAddress(hostAddress) === undefined) return fail(`"${hostText}" is no IPv4 address of the host's`);
  const hostPort = port(hostPortText);
  if (hostPort === undefined) return fail(`"${hostPortText}" is no host port from 0 (any free one) to 65535`);
  const guestAddress = guestText === "" ? firstLease : parseAddress(guestText);
  if (guestAddress === undefined) return fail(`"${guestText}" is no IPv4 address of the guest's`);
  if (!inNetwork(network, guestAddress)) {
    return fail(`the guest address ${guestText} is outside of the network ${formatNetwork(network)}`);
  }
  const guestPort = port(guestPortText);
  if (guestPort === undefined || guestPort === 0) return fail(`"${guestPortText}" is no guest port from 1 to 65535`);
  return { protocol: protocol === "udp" ? "udp" : "tcp", hostAddress, hostPort, guestAddress, guestPort, rule };
}

function port(value: string): number | undefined {
  return /^[0-9]{1,5}$/.test(value) && Number(value) <= 65535 ? Number(value) : undefined;
}
