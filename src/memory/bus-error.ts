// The failure of a memory access.

/**
 * An access that nothing answered or that was refused. The guest sees an access fault; DMA gets it as an exception.
 * A device's callback may throw it to refuse an access.
 */
export class BusError extends Error {
  override readonly name = "BusError";
  /** The address of the access on its bus. */
  readonly address: number | bigint;
  /** decode: nothing is mapped there; access: what is there does not take this access. */
  readonly kind: "decode" | "access";

  constructor(address: number | bigint, kind: "decode" | "access", message?: string) {
    super(message ?? `${kind === "decode" ? "nothing is mapped" : "access refused"} at 0x${address.toString(16)}`);
    this.address = address;
    this.kind = kind;
  }
}
