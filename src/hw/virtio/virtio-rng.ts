// virtio entropy device: VIRTIO 1.2, section 5.4.

import type { TypeInfo } from "../../qom/type-info.ts";
import { UserError } from "../../util/user-error.ts";
import { VirtioDevice, virtioDeviceType } from "./virtio-device.ts";
import type { Virtqueue } from "./virtqueue.ts";

const QUEUE_SIZE = 8;

/** The most bytes one request gets; the specification lets a device give less than was asked for. */
const REQUEST_LIMIT = 4096;

export const virtioRngType: TypeInfo = {
  name: "virtio-rng-device",
  parent: virtioDeviceType,
  description: "random numbers from the host (virtio)",
  properties: {
    rng: {
      type: "link",
      description: "the id of the -object that gives the random numbers; the host's own unless given",
    },
  },
  create: (type) => new VirtioRng(type),
};

/** What `rng` refers to. */
interface RandomSource {
  /** Fills `bytes` with random numbers. */
  fill(bytes: Uint8Array): void;
}

/** Gives the driver random bytes for whatever buffers it offers. */
export class VirtioRng extends VirtioDevice {
  override readonly virtioId = 4;
  readonly #bytes = new Uint8Array(REQUEST_LIMIT);
  #source: RandomSource | undefined;

  protected override onRealize(): void {
    super.onRealize();
    const source = this.get("rng") as Partial<RandomSource> | undefined;
    if (source !== undefined && typeof source.fill !== "function") {
      throw new UserError(
        `${this.typeInfo.name}.rng: this is no source of random numbers: expected the id of an -object rng-...`,
      );
    }
    this.#source = source as RandomSource | undefined;
    this.addQueue(QUEUE_SIZE, (queue) => this.#fill(queue));
  }

  #fill(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (chain.writableBytes === 0) this.guestError("a request has no buffer to be filled");
      const bytes = this.#bytes.subarray(0, Math.min(chain.writableBytes, REQUEST_LIMIT));
      if (this.#source === undefined) this.host.random(bytes);
      else this.#source.fill(bytes);
      chain.write(0, bytes);
      queue.push(chain, bytes.length);
    }
    queue.notify();
  }
}
