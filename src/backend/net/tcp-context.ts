// What a TCP connection has around it: its states, and the stack that it belongs to.

import type { HostFailure, HostTimers } from "./host.ts";
import type { Ipv4Sender } from "./ipv4.ts";
import type { Link } from "./link.ts";
import type { TcpConnection } from "./tcp-connection.ts";

/** The states of RFC 9293 section 3.3.2 without LISTEN, and the wait for the host before. */
export type TcpState =
  | "connecting"
  | "syn-sent"
  | "syn-received"
  | "established"
  | "fin-wait-1"
  | "fin-wait-2"
  | "close-wait"
  | "closing"
  | "last-ack"
  | "time-wait"
  | "closed";

/** What the connections share. */
export interface TcpContext {
  readonly timers: HostTimers;
  readonly link: Link;
  readonly sender: Ipv4Sender;
  /** Bytes that the connections hold for the guest and for the host together. */
  buffered: number;
  /** How many of them one connection may hold each way now. */
  readonly bufferLimit: number;
  /** The connection wants to hear `pump` when the queue of frames has room. */
  starved(connection: TcpConnection): void;
  /** The host did not get through. */
  refused(connection: TcpConnection, failure: HostFailure): void;
  /** The endpoints are free again. */
  finished(connection: TcpConnection): void;
  /** The host's socket is gone too. */
  released(connection: TcpConnection): void;
  /** To be called at the end of whatever a timer or a host event began. */
  flush(): void;
}
