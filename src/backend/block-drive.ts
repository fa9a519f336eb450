// A disk under the name that the user gave it: what `-drive id=hd0` makes and `drive=hd0` refers to.

import { UserError } from "../util/user-error.ts";
import type { BlockBackend } from "./block.ts";

/** A disk that one device can use. */
export class Drive {
  readonly id: string;
  readonly #backend: BlockBackend;
  #user: string | undefined;

  constructor(id: string, backend: BlockBackend) {
    this.id = id;
    this.#backend = backend;
  }

  /**
   * Gives the disk to a device.
   * @param user the device, as the user knows it
   * @throws UserError if another one has it
   */
  attach(user: string): BlockBackend {
    if (this.#user !== undefined) {
      throw new UserError(
        `${user}: the drive "${this.id}" is in use by ${this.#user} already: give each device a -drive of its own`,
      );
    }
    this.#user = user;
    return this.#backend;
  }

  /** Takes the disk back from its device. */
  detach(): void {
    this.#user = undefined;
  }

  close(): void {
    this.#backend.close();
  }
}
