// Networks: the host's side of a network card. User-mode networking and taps implement it, network cards use it.
// Frames are Ethernet's, from the destination address to the end of the payload, without the check sequence.

/** The guest's side: a network card. */
export interface NetClient {
  /** Takes a frame. False: there is no room; the network keeps it and gives it again after `resume`. */
  receive(frame: Uint8Array): boolean;
}

/** The host's side of a network cable. */
export interface NetBackend {
  readonly id: string;
  /** Plugs in the guest's side; a network has one at most. */
  attach(client: NetClient): void;
  /** Sends a frame. The caller may reuse `frame` afterwards. */
  transmit(frame: Uint8Array): void;
  /** Says that the client has room again. */
  resume(): void;
  close(): void;
}
