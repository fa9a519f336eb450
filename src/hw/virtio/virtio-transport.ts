// What a virtio device needs of the bus it is plugged into: virtio-mmio here, PCI or another one later.

import type { VirtioDevice } from "./virtio-device.ts";

/**
 * A bus with room for one virtio device.
 *
 * A board plugs a device in, then realizes it; a device that is not realized is not seen by the guest. The transport
 * keeps what belongs to its registers (interrupt status, selectors), the device all else.
 */
export interface VirtioTransport {
  /** Whether it speaks only the interface from before VIRTIO 1.0. Fixed once a device is realized. */
  readonly legacy: boolean;
  /** The device in it, realized or not. */
  readonly plugged: VirtioDevice | undefined;
  /** @throws UserError if there is a device already */
  plug(device: VirtioDevice): void;
  /** Takes the device out; for the device itself, when it leaves. */
  unplug(): void;
  /** Sends the driver a used buffer notification. */
  queueInterrupt(queue: number): void;
  /** Sends the driver a configuration change notification. */
  configInterrupt(): void;
}
