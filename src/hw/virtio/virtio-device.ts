// What all virtio devices have in common: status, features, queues, configuration space (VIRTIO 1.2, chapter 2).

import { Device, deviceType } from "../../device/device.ts";
import { checkState } from "../../device/snapshot.ts";
import type { TypeInfo } from "../../qom/type-info.ts";
import { UserError } from "../../util/user-error.ts";
import { GuestRam } from "./guest-ram.ts";
import { VirtioFeature, VirtioStatus } from "./virtio-spec.ts";
import type { VirtioTransport } from "./virtio-transport.ts";
import { Virtqueue, type VirtqueueOwner, type VirtqueueState } from "./virtqueue.ts";

/** The type of all virtio devices. */
export const virtioDeviceType: TypeInfo = {
  name: "virtio-device",
  parent: deviceType,
  abstract: true,
  properties: {
    indirect_desc: { type: "bool", default: true, description: "offer indirect descriptors" },
    event_idx: { type: "bool", default: true, description: "offer notification suppression by index" },
    queue_reset: {
      type: "bool",
      default: true,
      description: "offer the reset of single queues (not to legacy drivers)",
    },
  },
};

interface VirtioState {
  readonly version: 1;
  readonly status: number;
  readonly features: bigint;
  readonly failed: boolean;
  readonly generation: number;
  readonly queues: readonly VirtqueueState[];
  /** What the kind of device adds. */
  readonly device: unknown;
}

/**
 * A virtio device without its bus. A subclass adds queues and offers features in `onRealize`, writes its configuration
 * into `config`, and handles the buffers that drivers put into the queues.
 */
export abstract class VirtioDevice extends Device implements VirtqueueOwner {
  /** The number of this kind of device (VIRTIO 1.2, chapter 5). */
  abstract readonly virtioId: number;
  readonly queues: Virtqueue[] = [];
  /** The configuration space as the driver reads it: little endian, its size is the space's. */
  protected config = new DataView(new ArrayBuffer(0));
  /** Negotiated features that the queues ask for. */
  eventIdx = false;
  indirect = false;

  #transport: VirtioTransport | undefined;
  #ram: GuestRam | undefined;
  #offered = 0n;
  #features = 0n;
  #status = 0;
  #failed = false;
  #generation = 0;

  // --- for subclasses

  /** The guest's memory; from `onRealize` on. */
  get ram(): GuestRam {
    return this.#ram!;
  }

  /** Adds the next queue. For `onRealize`. */
  protected addQueue(size: number, handle: (queue: Virtqueue) => void): Virtqueue {
    const queue = new Virtqueue(this, this.queues.length, size, handle);
    this.queues.push(queue);
    return queue;
  }

  /** Offers a feature, by its bit number. For `onRealize`. */
  protected offer(feature: number, wanted = true): void {
    if (wanted) this.#offered |= 1n << BigInt(feature);
  }

  /** Whether the driver accepted a feature. Not for hot paths: remember the answer in `onFeatures`. */
  protected has(feature: number): boolean {
    return ((this.#features >> BigInt(feature)) & 1n) === 1n;
  }

  /** Tells the driver that the configuration space has changed. */
  protected configChanged(): void {
    this.#generation = (this.#generation + 1) & 0xff;
    if (this.driverReady) this.#transport?.configInterrupt();
  }

  /** Whether buffers may be taken. Legacy drivers were allowed to begin before DRIVER_OK. */
  protected get live(): boolean {
    return this.legacy || this.driverReady;
  }

  /** The driver chose its features, or a reset took them back. */
  protected onFeatures(): void {}

  /** The driver is ready: DRIVER_OK was set. */
  protected onDriverReady(): void {}

  /** Queues and features are back at their start: forget all requests. */
  protected onVirtioReset(): void {}

  /** One queue is back at its start: forget the requests that came from it. */
  protected onQueueReset(_queue: Virtqueue): void {}

  /** The driver wrote a configuration byte to `config`'s space; nothing is writable unless a subclass says so. */
  protected onConfigWrite(offset: number, _value: number): void {
    this.guestError(`the configuration byte at offset 0x${offset.toString(16)} is read-only`);
  }

  /** What the subclass adds to the state for a snapshot. */
  protected saveDevice(): unknown {
    return undefined;
  }

  /** Takes back what `saveDevice` gave. The guest's memory may not be restored yet. */
  protected loadDevice(_state: unknown): void {}

  // --- for transports

  /** Says which transport the device sits in. */
  attachTransport(transport: VirtioTransport): void {
    this.#transport = transport;
  }

  /** The features that the driver can choose from. */
  get offeredFeatures(): bigint {
    return this.#offered;
  }

  get features(): bigint {
    return this.#features;
  }

  get status(): number {
    return this.#status;
  }

  /** Changes whenever the configuration space does by itself. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether DRIVER_OK is set. */
  get driverReady(): boolean {
    return (this.#status & VirtioStatus.DRIVER_OK) !== 0;
  }

  /** A legacy driver's choice of features, which takes effect at once. */
  acceptLegacyFeatures(features: number): void {
    if (this.driverReady) {
      this.guestError("features were written after DRIVER_OK");
      return;
    }
    const wanted = BigInt(features);
    const unknown = wanted & ~this.#offered;
    if (unknown !== 0n) this.guestError(`the driver accepts features that were not offered: ${hex(unknown)}`);
    this.#setFeatures(wanted & this.#offered);
  }

  /**
   * Sets the status to a value other than 0. With FEATURES_OK, `features` are the driver's choice; if they are not
   * possible the bit does not stick, which is how the driver learns it.
   */
  setStatus(value: number, features: bigint): void {
    const rising = value & ~this.#status;
    let status = (value & 0xff) | (this.#status & VirtioStatus.DEVICE_NEEDS_RESET);
    if (!this.legacy && (rising & VirtioStatus.FEATURES_OK) !== 0) {
      const refusal = this.#refusal(features);
      if (refusal === undefined) this.#setFeatures(features);
      else {
        this.guestError(`FEATURES_OK is refused: ${refusal}`);
        status &= ~VirtioStatus.FEATURES_OK;
      }
    }
    this.#status = status;
    if ((rising & VirtioStatus.DRIVER_OK) === 0) return;
    if (!this.legacy && (status & VirtioStatus.FEATURES_OK) === 0) this.guestError("DRIVER_OK without FEATURES_OK");
    this.onDriverReady();
  }

  /** The driver says that queue `index` has new buffers. */
  notify(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined) {
      this.guestError(`notification of queue ${index}: there are ${this.queues.length}`);
      return;
    }
    if (!this.live) {
      this.guestError(`notification of queue ${index} before DRIVER_OK`);
      return;
    }
    if (queue.enabled && !this.#failed) queue.handle(queue);
  }

  /** Reads `size` bytes of the configuration space; outside of it all ones. */
  readConfig(offset: number, size: number): number {
    if (offset + size > this.config.byteLength) {
      this.guestError(`read of ${size} bytes past the configuration space, at offset 0x${offset.toString(16)}`);
      return 0xffff_ffff;
    }
    if (size === 1) return this.config.getUint8(offset);
    return size === 2 ? this.config.getUint16(offset, true) : this.config.getUint32(offset, true);
  }

  /** Writes `size` bytes of the configuration space, as far as they can be written. */
  writeConfig(offset: number, value: number, size: number): void {
    if (offset + size > this.config.byteLength) {
      this.guestError(`write of ${size} bytes past the configuration space, at 0x${offset.toString(16)}`);
      return;
    }
    for (let i = 0; i < size; i++) this.onConfigWrite(offset + i, (value >>> (8 * i)) & 0xff);
  }

  /** Brings the device back to where a driver finds it: what a write of 0 to the status does. */
  virtioReset(): void {
    this.#status = 0;
    this.#failed = false;
    for (const queue of this.queues) queue.reset();
    this.#setFeatures(0n);
    this.onVirtioReset();
  }

  /** Turns one queue off and forgets its requests. */
  resetQueue(queue: Virtqueue): void {
    queue.reset();
    this.onQueueReset(queue);
  }

  // --- for queues

  get failed(): boolean {
    return this.#failed;
  }

  /**
   * The driver broke the rules in a way that leaves nothing to go on with: one line in the log, DEVICE_NEEDS_RESET, and
   * silence until the reset.
   */
  fail(message: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.guestError(`${message}; the device needs a reset`);
    this.#status |= VirtioStatus.DEVICE_NEEDS_RESET;
    this.configChanged();
  }

  interrupt(queue: Virtqueue): void {
    this.#transport?.queueInterrupt(queue.index);
  }

  // --- Device

  protected override onRealize(): void {
    if (this.#transport === undefined) {
      throw new UserError(
        `${this.typeInfo.name} has no bus: plug it into a virtio transport, virtio-mmio for instance`,
      );
    }
    this.#ram = new GuestRam(this.host.memory);
    this.queues.length = 0;
    this.#offered = 0n;
    this.offer(VirtioFeature.INDIRECT_DESC, this.getBool("indirect_desc"));
    this.offer(VirtioFeature.EVENT_IDX, this.getBool("event_idx"));
    if (this.legacy) this.offer(VirtioFeature.ANY_LAYOUT);
    else {
      this.offer(VirtioFeature.VERSION_1);
      this.offer(VirtioFeature.RING_RESET, this.getBool("queue_reset"));
    }
  }

  protected override onUnrealize(): void {
    this.virtioReset();
    this.#transport?.unplug();
    this.#transport = undefined;
  }

  override resetEnter(): void {
    this.virtioReset();
  }

  override save(): unknown {
    const state: VirtioState = {
      version: 1,
      status: this.#status,
      features: this.#features,
      failed: this.#failed,
      generation: this.#generation,
      queues: this.queues.map((queue) => queue.save()),
      device: this.saveDevice(),
    };
    return state;
  }

  override load(saved: unknown): void {
    const state = checkState<VirtioState>(saved, 1);
    if (state.queues.length !== this.queues.length) {
      throw new UserError(`its state has ${state.queues.length} queues, expected ${this.queues.length}`);
    }
    this.virtioReset();
    this.#status = state.status;
    this.#failed = state.failed;
    this.#generation = state.generation;
    this.#setFeatures(state.features);
    for (const [i, queue] of this.queues.entries()) queue.load(state.queues[i]!);
    this.loadDevice(state.device);
  }

  // --- inside

  /** Whether the transport speaks the legacy interface. */
  protected get legacy(): boolean {
    return this.#transport?.legacy ?? false;
  }

  #setFeatures(features: bigint): void {
    this.#features = features;
    this.eventIdx = this.has(VirtioFeature.EVENT_IDX);
    this.indirect = this.has(VirtioFeature.INDIRECT_DESC);
    for (const queue of this.queues) queue.featuresChanged();
    this.onFeatures();
  }

  /** Why a modern driver's choice is not possible, undefined if it is. */
  #refusal(features: bigint): string | undefined {
    const unknown = features & ~this.#offered;
    if (unknown !== 0n) return `features ${hex(unknown)} were not offered`;
    if ((features >> BigInt(VirtioFeature.VERSION_1)) % 2n === 0n) return "VIRTIO_F_VERSION_1 was not accepted";
    return undefined;
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
