// IPv4 addresses as unsigned 32-bit numbers, networks, and the Ethernet addresses of this network's own machines.

export const ANY_ADDRESS = 0;
export const BROADCAST_ADDRESS = 0xffffffff;
export const LOOPBACK_ADDRESS = 0x7f000001;

/** The number of a dotted quad, or undefined if the text is none (no octal, no shortened forms). */
export function parseAddress(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

/** The dotted quad of an address. */
export function formatAddress(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** An IPv4 network: its first address and its mask. */
export interface Network {
  readonly address: number;
  readonly mask: number;
}

/** Whether the address lies in the network. */
export function inNetwork(network: Network, address: number): boolean {
  return (address & network.mask) >>> 0 === network.address;
}

/** The network's broadcast address. */
export function broadcastOf(network: Network): number {
  return (network.address | ~network.mask) >>> 0;
}

/** `10.0.2.0/24` */
export function formatNetwork(network: Network): string {
  return `${formatAddress(network.address)}/${Math.clz32(~network.mask)}`;
}

/** Whether the address is one that no packet may be sent to outside: 0/8, 127/8, multicast, reserved, broadcast. */
export function isMartian(address: number): boolean {
  const first = address >>> 24;
  return first === 0 || first === 127 || first >= 224;
}

/** 52:55 and the address: the Ethernet address of one of this network's own machines. */
export function macOf(address: number): Uint8Array {
  return Uint8Array.of(0x52, 0x55, address >>> 24, address >>> 16, address >>> 8, address);
}

/**
 * The address under which the guest sees a host's: the host itself, and hosts whose addresses the virtual network hides,
 * look like the router.
 */
export function guestViewOf(address: number, setting: { network: Network; router: number }): number {
  return address >>> 24 === 127 || inNetwork(setting.network, address) ? setting.router : address;
}
