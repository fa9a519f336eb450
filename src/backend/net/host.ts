// What the user-mode network asks of the host: sockets, name resolution and timers. src/node/host-sockets.ts gives them.

/** Why the host could not do something, in terms that the stack can pass on to the guest. */
export type HostFailure =
  | "refused"
  | "reset"
  | "net-unreachable"
  | "host-unreachable"
  | "timed-out"
  | "prohibited"
  | "too-big"
  | "in-use"
  | "not-available"
  | "other";

/** An error of the host's. The message is the host's own and is for people. */
export class HostError extends Error {
  override readonly name = "HostError";
  readonly failure: HostFailure;

  constructor(failure: HostFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** What a TCP socket of the host's tells. Never called from inside a call of the stack's to the socket. */
export interface HostTcpEvents {
  /** The connection stands. Only for sockets from `connectTcp`, first of all events but `closed`. */
  connected(): void;
  /** Bytes from the peer; the receiver may keep them. None come while paused. */
  data(bytes: Uint8Array): void;
  /** The peer has closed its half. */
  ended(): void;
  /** `pending` has gone down. */
  drained(): void;
  /** The last event, once: undefined when both halves were closed in order. */
  closed(failure?: HostFailure): void;
}

/** One TCP connection of the host's. Halves close separately; closing what is closed does nothing. */
export interface HostTcpSocket {
  /** Bytes written that the host's kernel has not taken yet. */
  readonly pending: number;
  /** Writes a copy of the bytes. */
  write(bytes: Uint8Array): void;
  /** Closes our half once everything pending has gone out. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Drops the connection at once; the peer sees a reset. `closed` still follows. */
  destroy(): void;
  /** Closes both halves once everything pending has gone out, and keeps nobody waiting for that. */
  release(): void;
}

/** A connection that came in on a listener: paused until its first `resume()`. */
export interface IncomingTcp {
  readonly socket: HostTcpSocket;
  /** The peer, as a dotted quad. */
  readonly address: string;
  readonly port: number;
  /** Has to be called before the listener's callback returns. */
  bind(events: HostTcpEvents): void;
}

/** A listening socket: TCP or bound UDP. */
export interface HostListener {
  readonly port: number;
  close(): void;
}

/** What a UDP socket of the host's tells. */
export interface HostUdpEvents {
  /** A datagram; the receiver may keep the bytes. */
  message(bytes: Uint8Array, address: string, port: number): void;
  /** The socket is of no more use. */
  failed(failure: HostFailure): void;
}

/** A UDP socket of the host's. Closing it twice does nothing. */
export interface HostUdpSocket {
  /** The local port, 0 until bound. */
  readonly port: number;
  /** Sends a copy of the bytes; `failed` is called if the host knows that they cannot go out. */
  send(bytes: Uint8Array, address: string, port: number, failed?: (failure: HostFailure) => void): void;
  close(): void;
}

/** The host's sockets. Addresses are IP literals; names never get this far. */
export interface HostSockets {
  connectTcp(address: string, port: number, events: HostTcpEvents): HostTcpSocket;
  /** Port 0 takes any free one. Rejects with `HostError`. */
  listenTcp(address: string, port: number, incoming: (connection: IncomingTcp) => void): Promise<HostListener>;
  /** A socket on a port of the host's choice, usable at once. */
  openUdp(family: 4 | 6, events: HostUdpEvents): HostUdpSocket;
  /** A socket on a given address and port (0: any). Rejects with `HostError`. */
  bindUdp(address: string, port: number, events: HostUdpEvents): Promise<HostUdpSocket>;
}

/** What a name resolves to: IP literals. */
export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Where to ask a name server of the host's. */
export interface HostNameServer extends HostAddress {
  readonly port: number;
}

/** The host's name resolution. */
export interface HostResolver {
  /** The addresses of a name, none if it has none. Rejects when the host cannot tell now. */
  lookup(name: string): Promise<readonly HostAddress[]>;
  /** The name of an address (an IP literal), undefined if it has none. Rejects when the host cannot tell now. */
  reverse(address: string): Promise<string | undefined>;
  /** The name servers that the host uses, possibly none. */
  servers(): readonly HostNameServer[];
}

/** A running timer. */
export interface HostTimeout {
  cancel(): void;
}

/** Time for retransmission and the like: the host's, or any other that only goes forward. */
export interface HostTimers {
  /** Milliseconds since any fixed moment. */
  now(): number;
  after(milliseconds: number, fire: () => void): HostTimeout;
}

/** All that a user-mode network needs. */
export interface NetHost {
  readonly sockets: HostSockets;
  readonly resolver: HostResolver;
  readonly timers: HostTimers;
  /** Fills the array with unpredictable bytes (sequence numbers, query ids). */
  random(bytes: Uint8Array): void;
}
