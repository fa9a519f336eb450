// Character devices: the host's side of a serial line. Terminals, pipes and sockets implement it, UARTs use it.

/** The guest's side: a UART, a console. */
export interface ChardevFrontend {
  /** How many bytes it can take now. */
  canReceive(): number;
  /** Takes bytes from the host, never more than `canReceive` said. */
  receive(bytes: Uint8Array): void;
  event?(event: ChardevEvent): void;
}

/** break: the line was held; opened, closed: somebody came to or left the other end. */
export type ChardevEvent = "break" | "opened" | "closed";

/** The host's side of a serial line. */
export interface Chardev {
  readonly id: string;
  /** Connects the guest's side; a chardev has one at most. */
  attach(frontend: ChardevFrontend): void;
  /** Sends bytes to the host. The caller may reuse `bytes` afterwards. */
  write(bytes: Uint8Array): void;
  /** Says that the frontend has room again after it could not take all. */
  acceptInput(): void;
  close(): void;
}
