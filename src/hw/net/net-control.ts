// The control virtqueue of the virtio network device: VIRTIO 1.2, section 5.1.6.5.

import type { VirtqueueChain } from "../virtio/virtqueue-chain.ts";
import type { ReceiveFilter } from "./receive-filter.ts";
import { NetAck, NetControl, NetControlMac, NetControlRx, NetControlVlan, NetFeature } from "./virtio-net-spec.ts";

/** The most addresses that a table keeps; a longer one lets everything pass. */
const TABLE_SIZE = 64;

/** Where a command's data begins, after class and command. */
const DATA = 2;

/** What commands work on. */
export interface ControlTarget {
  readonly filter: ReceiveFilter;
  has(feature: number): boolean;
  /** The driver gave the card another address. */
  macChanged(): void;
}

/** Carries out the command in `chain`; returns its answer. */
export function controlCommand(chain: VirtqueueChain, target: ControlTarget): number {
  const header = new Uint8Array(DATA);
  chain.read(0, header);
  const command = header[1]!;
  switch (header[0]) {
    case NetControl.RX:
      return setReceiveMode(chain, target, command);
    case NetControl.MAC:
      if (command === NetControlMac.TABLE_SET) return setTables(chain, target);
      return command === NetControlMac.ADDR_SET ? setAddress(chain, target) : NetAck.ERR;
    case NetControl.VLAN: {
      if (!target.has(NetFeature.CTRL_VLAN) || command > NetControlVlan.DEL) return NetAck.ERR;
      const bytes = new Uint8Array(2);
      if (chain.read(DATA, bytes) < 2) return NetAck.ERR;
      const id = bytes[0]! | (bytes[1]! << 8);
      if (id > 4095) return NetAck.ERR;
      target.filter.setVlan(id, command === NetControlVlan.ADD);
      return NetAck.OK;
    }
    default:
      return NetAck.ERR;
  }
}

function setReceiveMode(chain: VirtqueueChain, { filter, has }: ControlTarget, command: number): number {
  const bytes = new Uint8Array(1);
  if (!has(NetFeature.CTRL_RX) || chain.read(DATA, bytes) < 1) return NetAck.ERR;
  const on = bytes[0] !== 0;
  if (command === NetControlRx.PROMISC) filter.promiscuous = on;
  else if (command === NetControlRx.ALLMULTI) filter.allMulticast = on;
  else if (!has(NetFeature.CTRL_RX_EXTRA)) return NetAck.ERR;
  else if (command === NetControlRx.ALLUNI) filter.allUnicast = on;
  else if (command === NetControlRx.NOMULTI) filter.noMulticast = on;
  else if (command === NetControlRx.NOUNI) filter.noUnicast = on;
  else if (command === NetControlRx.NOBCAST) filter.noBroadcast = on;
  else return NetAck.ERR;
  return NetAck.OK;
}

/** Two tables, unicast before multicast, each a 32-bit number of addresses and the addresses. */
function setTables(chain: VirtqueueChain, { filter, has }: ControlTarget): number {
  if (!has(NetFeature.CTRL_RX) || chain.readableBytes < DATA + 8) return NetAck.ERR;
  const unicastCount = chain.readUint32(DATA);
  const multicast = DATA + 4 + 6 * unicastCount;
  if (chain.readableBytes < multicast + 4) return NetAck.ERR;
  const multicastCount = chain.readUint32(multicast);
  if (chain.readableBytes < multicast + 4 + 6 * multicastCount) return NetAck.ERR;
  filter.setTables(addresses(chain, DATA + 4, unicastCount), addresses(chain, multicast + 4, multicastCount));
  return NetAck.OK;
}

function addresses(chain: VirtqueueChain, offset: number, count: number): Uint8Array | undefined {
  if (count > TABLE_SIZE) return undefined;
  const bytes = new Uint8Array(6 * count);
  chain.read(offset, bytes);
  return bytes;
}

function setAddress(chain: VirtqueueChain, target: ControlTarget): number {
  const mac = new Uint8Array(6);
  if (!target.has(NetFeature.CTRL_MAC_ADDR) || chain.read(DATA, mac) < 6) return NetAck.ERR;
  target.filter.mac = mac;
  target.macChanged();
  return NetAck.OK;
}
