// Passes a name query on to the name servers that the host uses, byte for byte but for its id (RFC 1035 section 4.2;
// RFC 5452: a fresh port and id each time, and only a matching answer counts).

import { answers, type DnsQuery } from "./dns-message.ts";
import type { HostNameServer, HostTcpSocket, NetHost } from "./host.ts";

/** How the query came; it goes on in the same way. */
export type DnsTransport = "udp" | "tcp";

/** Servers that are tried, each so long (ms). */
const SERVERS = 3;
const PATIENCE = 3000;
const LONGEST_ANSWER = 65535;

/** The questions under way, so that they can be ended when the network closes. */
export class Questions {
  readonly #cancels = new Set<() => void>();
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  add(cancel: () => void): void {
    this.#cancels.add(cancel);
  }

  delete(cancel: () => void): void {
    this.#cancels.delete(cancel);
  }

  /** Ends all of them; no further one begins. */
  close(): void {
    this.#closed = true;
    for (const cancel of [...this.#cancels]) cancel();
  }
}

/** The first answer of the host's name servers, or undefined if none answers. */
export async function relayQuery(
  host: NetHost,
  query: DnsQuery,
  transport: DnsTransport,
  questions: Questions,
): Promise<Uint8Array | undefined> {
  const ask = transport === "udp" ? askUdp : askTcp;
  for (const server of host.resolver.servers().slice(0, SERVERS)) {
    if (questions.closed) break;
    const answer = await ask(host, query, server, questions);
    if (answer !== undefined) {
      answer.set(query.bytes.subarray(0, 2));
      return answer;
    }
  }
  return undefined;
}

function askUdp(
  host: NetHost,
  query: DnsQuery,
  server: HostNameServer,
  questions: Questions,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const { id, message } = withNewId(host, query);
    const finish = (answer: Uint8Array | undefined): void => {
      timeout.cancel();
      questions.delete(cancel);
      socket.close();
      resolve(answer);
    };
    const cancel = (): void => finish(undefined);
    questions.add(cancel);
    const timeout = host.timers.after(PATIENCE, cancel);
    const socket = host.sockets.openUdp(server.family, {
      message: (bytes, address, port) => {
        if (address !== server.address || port !== server.port || !answers(bytes, query, id)) return;
        finish(bytes.slice());
      },
      failed: cancel,
    });
    socket.send(message, server.address, server.port, cancel);
  });
}

function askTcp(
  host: NetHost,
  query: DnsQuery,
  server: HostNameServer,
  questions: Questions,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const { id, message } = withNewId(host, query);
    let received = new Uint8Array(0);
    const finish = (answer: Uint8Array | undefined): void => {
      timeout.cancel();
      questions.delete(cancel);
      socket.destroy();
      resolve(answer);
    };
    const cancel = (): void => finish(undefined);
    questions.add(cancel);
    const timeout = host.timers.after(PATIENCE, cancel);
    const socket: HostTcpSocket = host.sockets.connectTcp(server.address, server.port, {
      connected: () => {
        socket.write(Uint8Array.of(message.length >>> 8, message.length));
        socket.write(message);
      },
      data: (bytes) => {
        if (received.length + bytes.length > 2 + LONGEST_ANSWER) return cancel();
        received = joined(received, bytes);
        if (received.length < 2) return;
        const length = (received[0]! << 8) | received[1]!;
        if (received.length < 2 + length) return;
        const answer = received.slice(2, 2 + length);
        finish(answers(answer, query, id) ? answer : undefined);
      },
      ended: cancel,
      drained: () => {},
      closed: cancel,
    });
  });
}

function withNewId(host: NetHost, query: DnsQuery): { id: number; message: Uint8Array } {
  const message = query.bytes.slice();
  host.random(message.subarray(0, 2));
  return { id: (message[0]! << 8) | message[1]!, message };
}

/** Both arrays, one after the other. */
export function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
