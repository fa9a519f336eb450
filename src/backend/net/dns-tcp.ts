// The name server's TCP side (RFC 7766): looks to the TCP endpoint like a connection of the host's.

import type { DnsForwarder } from "./dns.ts";
import { joined } from "./dns-relay.ts";
import type { HostTcpEvents, HostTcpSocket, HostTimers } from "./host.ts";

/** Queries and unsent answers of one connection; more wait in the guest. */
const AT_ONCE = 4;

/** One guest's connection to the name server. Messages have their length (two bytes) in front. */
export class DnsTcpSocket implements HostTcpSocket {
  readonly #dns: DnsForwarder;
  readonly #timers: HostTimers;
  readonly #events: HostTcpEvents;
  #input: Uint8Array = new Uint8Array(0);
  readonly #output: Uint8Array[] = [];
  #asked = 0;
  #paused = false;
  #ending = false;
  #closed = false;
  #awake = false;

  constructor(dns: DnsForwarder, timers: HostTimers, events: HostTcpEvents) {
    this.#dns = dns;
    this.#timers = timers;
    this.#events = events;
    timers.after(0, () => {
      if (!this.#closed) events.connected();
    });
  }

  get pending(): number {
    return this.#input.length;
  }

  write(bytes: Uint8Array): void {
    this.#input = joined(this.#input, bytes);
    this.#wake();
  }

  end(): void {
    this.#ending = true;
    this.#wake();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timers.after(0, () => this.#events.closed("reset"));
  }

  release(): void {
    this.destroy();
  }

  /** Events come later, never from inside a call: everything is done from a timer. */
  #wake(): void {
    if (this.#awake || this.#closed) return;
    this.#awake = true;
    this.#timers.after(0, () => {
      this.#awake = false;
      this.#work();
    });
  }

  #work(): void {
    while (!this.#paused && !this.#closed && this.#output.length > 0) this.#events.data(this.#output.shift()!);
    const before = this.#input.length;
    while (!this.#closed && this.#asked + this.#output.length < AT_ONCE && this.#takeQuery()) this.#asked++;
    if (this.#input.length < before && !this.#closed) this.#events.drained();
    if (this.#closed || !this.#ending || this.#asked > 0 || this.#output.length > 0) return;
    // What is left of the input is no whole query, and no more will come.
    this.#closed = true;
    this.#events.ended();
    this.#events.closed();
  }

  #takeQuery(): boolean {
    const input = this.#input;
    if (input.length < 2) return false;
    const length = (input[0]! << 8) | input[1]!;
    if (input.length < 2 + length) return false;
    this.#input = input.slice(2 + length);
    const accepted = this.#dns.query(input.subarray(2, 2 + length), "tcp", (answer) => {
      this.#asked--;
      this.#output.push(joined(Uint8Array.of(answer.length >>> 8, answer.length), answer));
      this.#wake();
    });
    // Nothing will ever answer it: the connection is of no more use.
    if (!accepted) this.destroy();
    return accepted;
  }
}
