// Address resolution (RFC 826): answers for the machines of the virtual network, and learns the guest's addresses.

import { formatAddress, inNetwork, macOf, type Network } from "./address.ts";
import { BROADCAST_MAC, ETHERNET_HEADER, ETHERTYPE_ARP, type Link } from "./link.ts";

const PACKET = 28;
const REQUEST = 1;
const REPLY = 2;
/** Addresses that a guest can have at a time; the longest known one goes. */
const ENTRIES = 64;
/** A question is not asked again for this long (ms). */
const ASK_AGAIN = 500;

/** What ARP needs to know of the network. */
export interface ArpSetting {
  readonly network: Network;
  /** The addresses that are ours, the router's first. */
  readonly own: readonly number[];
}

/** The ARP table and its protocol. */
export class Arp {
  /** Called when the Ethernet address of an IPv4 address becomes known. */
  onLearned: (address: number) => void = () => {};
  readonly #link: Link;
  readonly #setting: ArpSetting;
  readonly #now: () => number;
  readonly #table = new Map<number, Uint8Array>();
  #askedFor = 0;
  #askedAt = -Infinity;

  constructor(link: Link, setting: ArpSetting, now: () => number) {
    this.#link = link;
    this.#setting = setting;
    this.#now = now;
  }

  /** Takes an ARP packet; `offset` is where it begins in the frame. False if it is malformed. */
  receive(frame: Uint8Array, view: DataView, offset: number): boolean {
    if (frame.length - offset < PACKET) return false;
    // Ethernet, IPv4, address lengths 6 and 4.
    if (view.getUint32(offset) !== 0x00010800 || view.getUint16(offset + 4) !== 0x0604) return false;
    const operation = view.getUint16(offset + 6);
    if (operation !== REQUEST && operation !== REPLY) return false;
    const sender = view.getUint32(offset + 14);
    const target = view.getUint32(offset + 24);
    this.learn(sender, frame, offset + 8);
    // Whoever asks for an address that it claims itself would be told that the address is taken: it is.
    if (operation === REQUEST && this.#setting.own.includes(target)) {
      this.#send(
        REPLY,
        target,
        frame.subarray(offset + 8, offset + 14),
        sender,
        frame.subarray(offset + 8, offset + 14),
      );
    }
    return true;
  }

  /** Notes that an address of the network is at the Ethernet address found in `bytes` at `offset`. */
  learn(address: number, bytes: Uint8Array, offset: number): void {
    const known = this.#table.get(address);
    if (known !== undefined && sameMac(known, bytes, offset)) return;
    const { network, own } = this.#setting;
    if (!inNetwork(network, address) || own.includes(address) || address === network.address) return;
    // A group address has no single machine behind it.
    if ((bytes[offset]! & 1) !== 0) return;
    this.#table.delete(address);
    if (this.#table.size === ENTRIES) this.#table.delete(this.#table.keys().next().value!);
    this.#table.set(address, bytes.slice(offset, offset + 6));
    this.onLearned(address);
  }

  /** The Ethernet address of an address of the network, undefined while unknown. */
  lookup(address: number): Uint8Array | undefined {
    return this.#table.get(address);
  }

  /** Asks the guest for the Ethernet address of an address, at most twice a second. */
  ask(address: number): void {
    const now = this.#now();
    if (address === this.#askedFor && now - this.#askedAt < ASK_AGAIN) return;
    this.#askedFor = address;
    this.#askedAt = now;
    this.#send(REQUEST, this.#setting.own[0]!, new Uint8Array(6), address, BROADCAST_MAC);
  }

  /** `10.0.2.15 is at 52:54:00:12:34:56`, one line per entry. */
  describe(): string[] {
    return [...this.#table].map(([address, mac]) => {
      const text = Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
      return `${formatAddress(address)} is at ${text}`;
    });
  }

  #send(operation: number, sender: number, targetMac: Uint8Array, target: number, destination: Uint8Array): void {
    const slot = this.#link.acquire();
    if (slot === undefined) return;
    const { bytes, view } = slot;
    const offset = ETHERNET_HEADER;
    const own = macOf(sender);
    view.setUint32(offset, 0x00010800);
    view.setUint16(offset + 4, 0x0604);
    view.setUint16(offset + 6, operation);
    bytes.set(own, offset + 8);
    view.setUint32(offset + 14, sender);
    bytes.set(targetMac, offset + 18);
    view.setUint32(offset + 24, target);
    this.#link.commit(slot, destination, own, ETHERTYPE_ARP, offset + PACKET);
  }
}

function sameMac(mac: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let index = 0; index < 6; index++) if (mac[index] !== bytes[offset + index]) return false;
  return true;
}
