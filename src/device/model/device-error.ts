// What goes wrong in a device file: when it is read (the author's mistake, one line) and when it runs (a stack too).

import { UserError } from "../../util/user-error.ts";
import { lineOf } from "./source-line.ts";

/** A mistake in a device's definition: one line with device, register and field, and the author's line. */
export class DefinitionError extends UserError {}

/**
 * A device model that failed while it ran: its callback threw, or gave something that cannot be.
 *
 * The message is one line with the device, the callback and the author's line; the stack is that of the cause.
 * @example if (error instanceof DeviceError) console.error(error.device, error.cause);
 */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
  /** The type of the device. */
  readonly device: string;

  /**
   * @param doing the callback, as its author wrote it: `on.write("CTRL.START")`
   * @param hint what to do about it
   */
  constructor(device: string, doing: string, cause: unknown, hint = "") {
    const reason = cause instanceof Error ? cause.message : `threw ${String(cause)}`;
    const where = doing === "" ? device : `${device}: ${doing}`;
    super(`${where}: ${reason.split("\n")[0]}${hint}${lineOf(cause)}`, { cause });
    this.device = device;
    const stack = cause instanceof Error ? cause.stack : undefined;
    if (stack !== undefined) this.stack = `${this.name}: ${this.message}\n${stack}`;
  }
}
