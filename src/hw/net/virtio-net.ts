// virtio network device: VIRTIO 1.2, section 5.1. docs/devices/virtio-net.md tells what it answers.

import type { NetBackend, NetClient } from "../../backend/net.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import type { Timer } from "../../util/clock.ts";
import { UserError } from "../../util/user-error.ts";
import { VirtioDevice, virtioDeviceType } from "../virtio/virtio-device.ts";
import { MAX_QUEUE_SIZE, VirtioFeature } from "../virtio/virtio-spec.ts";
import type { Virtqueue } from "../virtio/virtqueue.ts";
import type { VirtqueueChain } from "../virtio/virtqueue-chain.ts";
import { completeChecksum } from "./complete-checksum.ts";
import { claimMac, releaseMac } from "./mac-address.ts";

import { type ControlTarget, controlCommand } from "./net-control.ts";
import { claimNetdev, releaseNetdev } from "./netdev.ts";
import { ReceiveFilter, type ReceiveFilterState } from "./receive-filter.ts";
import {
  NET_HEADER_SIZE,
  NET_LINK_UP,
  NET_LONG_HEADER_SIZE,
  NET_NEEDS_CSUM,
  NetConfig,
  NetFeature,
} from "./virtio-net-spec.ts";

/** An Ethernet header, and with it the largest payload that IP can fill. */
const MIN_FRAME = 14;
const MAX_FRAME = 14 + 65536;

/** Frames sent before the machine may look after other things. */
const BATCH_FRAMES = 256;

const CONTROL_QUEUE_SIZE = 64;

export const virtioNetType: TypeInfo = {
  name: "virtio-net-device",
  parent: virtioDeviceType,
  description: "network card (virtio)",
  properties: {
    netdev: { type: "netdev", description: "the id of the -netdev to plug the cable into" },
    mac: { type: "str", description: "Ethernet address; if none is given, 52:54:00:12:34:56 or the next free one" },
    csum: { type: "bool", default: true, description: "complete checksums of frames that the driver sends" },
    mrg_rxbuf: { type: "bool", default: true, description: "spread a received frame over several buffers" },
    status: { type: "bool", default: true, description: "tell the state of the link" },
    ctrl_vq: { type: "bool", default: true, description: "offer the control queue; the four below need it" },
    ctrl_rx: { type: "bool", default: true, description: "let the driver filter by address" },
    ctrl_rx_extra: { type: "bool", default: true, description: "let the driver filter by kind of address" },
    ctrl_vlan: { type: "bool", default: true, description: "let the driver filter by VLAN" },
    ctrl_mac_addr: { type: "bool", default: true, description: "let the driver change the address" },
    rx_queue_size: { type: "uint16", default: 256, description: "entries of the receive queue, a power of two" },
    tx_queue_size: { type: "uint16", default: 256, description: "entries of the transmit queue, a power of two" },
  },
  create: (type) => new VirtioNet(type),
};

interface NetState {
  readonly filter: ReceiveFilterState;
  readonly starved: boolean;
}

/** A network card on a virtio bus. */
export class VirtioNet extends VirtioDevice implements NetClient {
  override readonly virtioId = 1;
  readonly #filter = new ReceiveFilter();
  readonly #control: ControlTarget = {
    filter: this.#filter,
    has: (feature) => this.has(feature),
    macChanged: () => this.#showMac(),
  };
  /** The frame being sent, and the header of the one that is received. */
  readonly #frame = new Uint8Array(MAX_FRAME);
  readonly #header = new Uint8Array(NET_LONG_HEADER_SIZE);
  readonly #chains: VirtqueueChain[] = [];
  /** The address that the card has after a reset. */
  #mac: Uint8Array = new Uint8Array(6);
  #net: NetBackend | undefined;
  #timer!: Timer;
  #receiveQueue!: Virtqueue;
  #transmitQueue!: Virtqueue;
  #headerSize = NET_HEADER_SIZE;
  #mergeable = false;
  /** Whether the network holds a frame back because there was no buffer for it. */
  #starved = false;

  protected override onRealize(): void {
    super.onRealize();
    const receiveSize = this.#queueSize("rx_queue_size");
    const transmitSize = this.#queueSize("tx_queue_size");
    const mac = this.getString("mac");
    this.#timer = this.timer("transmit", () => this.#transmit());
    this.#receiveQueue = this.addQueue(receiveSize, () => this.#refilled());
    this.#transmitQueue = this.addQueue(transmitSize, () => this.#transmit());
    if (this.getBool("ctrl_vq")) this.addQueue(CONTROL_QUEUE_SIZE, (queue) => this.#command(queue));
    this.#offerFeatures();
    this.config = new DataView(new ArrayBuffer(NetConfig.size));
    this.#mac = claimMac(this.host, `${this.typeInfo.name}.mac`, mac);
    this.#filter.reset(this.#mac);
    this.#showMac();
    this.#plugIn(this.get("netdev") as NetBackend | undefined);
  }

  #plugIn(net: NetBackend | undefined): void {
    this.#net = net;
    this.config.setUint16(NetConfig.status, net === undefined ? 0 : NET_LINK_UP, true);
    if (net === undefined) return;
    try {
      claimNetdev(net, this.id === "" ? this.typeInfo.name : `${this.typeInfo.name} "${this.id}"`);
      net.attach(this);
    } catch (error) {
      releaseMac(this.host, this.#mac);
      throw error;
    }
  }

  protected override onUnrealize(): void {
    super.onUnrealize();
    releaseMac(this.host, this.#mac);
    if (this.#net !== undefined) releaseNetdev(this.#net);
    this.#net = undefined;
  }

  #offerFeatures(): void {
    const control = this.getBool("ctrl_vq");
    this.offer(NetFeature.CSUM, this.getBool("csum"));
    this.offer(NetFeature.MAC);
    this.offer(NetFeature.MRG_RXBUF, this.getBool("mrg_rxbuf"));
    this.offer(NetFeature.STATUS, this.getBool("status"));
    this.offer(NetFeature.CTRL_VQ, control);
    this.offer(NetFeature.CTRL_RX, control && this.getBool("ctrl_rx"));
    this.offer(NetFeature.CTRL_VLAN, control && this.getBool("ctrl_vlan"));
    this.offer(NetFeature.CTRL_RX_EXTRA, control && this.getBool("ctrl_rx_extra"));
    this.offer(NetFeature.CTRL_MAC_ADDR, control && this.getBool("ctrl_mac_addr"));
  }

  protected override onFeatures(): void {
    this.#mergeable = this.has(NetFeature.MRG_RXBUF);
    const long = this.#mergeable || this.has(VirtioFeature.VERSION_1);
    this.#headerSize = long ? NET_LONG_HEADER_SIZE : NET_HEADER_SIZE;
    if (this.has(NetFeature.CTRL_VLAN)) this.#filter.filterVlans();
  }

  protected override onVirtioReset(): void {
    this.#timer.cancel();
    this.#filter.reset(this.#mac);
    this.#showMac();
    this.#resume();
  }

  /** Drivers from before the control queue set the address here, byte by byte. */
  protected override onConfigWrite(offset: number, value: number): void {
    const writable = !this.has(VirtioFeature.VERSION_1) && !this.has(NetFeature.CTRL_MAC_ADDR);
    if (!writable || offset >= NetConfig.mac + 6) {
      super.onConfigWrite(offset, value);
      return;
    }
    this.#filter.mac[offset] = value;
    this.#showMac();
  }

  #showMac(): void {
    for (let i = 0; i < 6; i++) this.config.setUint8(NetConfig.mac + i, this.#filter.mac[i]!);
  }

  // --- from the network

  receive(frame: Uint8Array): boolean {
    // As on a real cable, what comes while nobody listens is lost.
    if (!this.realized || !this.driverReady || this.failed || !this.#receiveQueue.enabled) return true;
    if (frame.length < MIN_FRAME || frame.length > MAX_FRAME || !this.#filter.accepts(frame)) return true;
    const queue = this.#receiveQueue;
    const chains = this.#chains;
    const enough = this.#takeChains(queue, chains, this.#headerSize + frame.length);
    if (enough) this.#deliver(queue, chains, frame);
    else for (let chain = chains.pop(); chain !== undefined; chain = chains.pop()) queue.unpop(chain);
    chains.length = 0;
    return enough || !this.#starved;
  }

  /** Takes receive buffers for `size` bytes; if there are too few the card may be starved. */
  #takeChains(queue: Virtqueue, chains: VirtqueueChain[], size: number): boolean {
    for (let room = 0; room < size; ) {
      const chain = queue.pop();
      if (chain === undefined) {
        // A driver that has offered all it can and still has no room for the frame will never have it.
        if (this.failed || chains.length >= queue.size) return false;
        this.#starved = true;
        queue.setNotifications(true);
        return false;
      }
      chains.push(chain);
      room += chain.writableBytes;
      if (chains.length === 1 && room < this.#headerSize) {
        this.fail(`queue ${queue.index}: a receive buffer of ${room} bytes has no room for the header`);
        return false;
      }
      if (!this.#mergeable && room < size) {
        this.guestError(`a frame of ${size - this.#headerSize} bytes is dropped: the receive buffer has ${room} bytes`);
        return false;
      }
    }
    return true;
  }

  #deliver(queue: Virtqueue, chains: readonly VirtqueueChain[], frame: Uint8Array): void {
    const header = this.#header.subarray(0, this.#headerSize);
    header.fill(0);
    if (header.length === NET_LONG_HEADER_SIZE) {
      header[10] = chains.length & 0xff;
      header[11] = chains.length >> 8;
    }
    let done = 0;
    let offset = header.length;
    chains[0]!.write(0, header);
    for (const chain of chains) {
      const written = chain.write(offset, frame.subarray(done));
      queue.push(chain, offset + written);
      done += written;
      offset = 0;
    }
    queue.notify();
  }

  /** The driver has offered buffers. It need not say so again until they are used up. */
  #refilled(): void {
    this.#receiveQueue.setNotifications(false);
    this.#resume();
  }

  #resume(): void {
    if (!this.#starved) return;
    this.#starved = false;
    this.#net?.resume();
  }

  // --- to the network

  #transmit(): void {
    const queue = this.#transmitQueue;
    for (let frames = 0; ; frames++) {
      if (frames === BATCH_FRAMES) {
        this.#timer.after(0);
        break;
      }
      const chain = queue.pop();
      if (chain === undefined) break;
      if (chain.readableBytes < this.#headerSize) {
        this.fail(`queue ${queue.index}: a frame's header has ${chain.readableBytes} bytes, not ${this.#headerSize}`);
        return;
      }
      this.#send(chain);
      queue.push(chain, 0);
    }
    queue.notify();
  }

  #send(chain: VirtqueueChain): void {
    const length = chain.readableBytes - this.#headerSize;
    if (length < MIN_FRAME || length > MAX_FRAME) {
      this.guestError(`a frame of ${length} bytes is not sent: expected ${MIN_FRAME} to ${MAX_FRAME}`);
      return;
    }
    const flags = chain.readUint32(0);
    if ((flags & 0xff00) !== 0) {
      this.guestError("a frame is not sent: segmentation was not negotiated");
      return;
    }
    const frame = this.#frame.subarray(0, length);
    chain.read(this.#headerSize, frame);
    if ((flags & NET_NEEDS_CSUM) !== 0) {
      const checksum = chain.readUint32(6);
      if (!this.has(NetFeature.CSUM) || !completeChecksum(frame, checksum & 0xffff, checksum >>> 16)) {
        this.guestError("a frame is not sent: its checksum cannot be completed");
        return;
      }
    }
    this.#net?.transmit(frame);
  }

  // --- control

  #command(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (chain.readableBytes < 2 || chain.writableBytes < 1) {
        this.fail(`queue ${queue.index}: a control command has no header or no room for the answer`);
        return;
      }
      chain.write(0, Uint8Array.of(controlCommand(chain, this.#control)));
      queue.push(chain, 1);
    }
    queue.notify();
  }

  // --- snapshots

  protected override saveDevice(): NetState {
    return { filter: this.#filter.save(), starved: this.#starved };
  }

  protected override loadDevice(saved: unknown): void {
    const state = saved as NetState;
    this.#filter.load(state.filter);
    this.#starved = state.starved;
    this.#showMac();
    // A batch may have been interrupted; and the guest's memory need not be there yet.
    if (this.live) this.#timer.after(0);
  }

  #queueSize(name: string): number {
    const size = this.getNumber(name);
    if (size < 2 || size > MAX_QUEUE_SIZE || (size & (size - 1)) !== 0) {
      throw new UserError(`${this.typeInfo.name}.${name}: ${size} is no power of two from 2 to ${MAX_QUEUE_SIZE}`);
    }
    return size;
  }
}
