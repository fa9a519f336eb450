// Domain name messages (RFC 1035, EDNS of RFC 6891): reads a query, builds the answers that are made here.

export const TYPE_A = 1;
export const TYPE_PTR = 12;
export const TYPE_AAAA = 28;
const TYPE_OPT = 41;
const CLASS_INTERNET = 1;

export const RCODE_OK = 0;
const RCODE_FORMAT = 1;
export const RCODE_FAILURE = 2;
export const RCODE_NO_NAME = 3;
const RCODE_NOT_IMPLEMENTED = 4;

const HEADER = 12;
const LONGEST_NAME = 255;
/** A UDP answer's length without and at most with EDNS. */
const PLAIN_UDP = 512;
const LONGEST_UDP = 4096;
/** How long the guest may keep an answer that is made here (seconds). */
const TTL = 30;

/** A query with exactly one question. */
export interface DnsQuery {
  readonly bytes: Uint8Array;
  readonly id: number;
  /** The name without its final dot; bytes outside of printable ASCII as `\xx`. */
  readonly name: string;
  readonly type: number;
  readonly isInternet: boolean;
  /** Where the question ends. */
  readonly questionEnd: number;
  /** The longest answer that the asker takes over UDP. */
  readonly udpLimit: number;
  readonly hasEdns: boolean;
}

/** Reads a query. A number is the code to refuse it with; undefined: not even that can be answered. */
export function parseQuery(bytes: Uint8Array): DnsQuery | number | undefined {
  if (bytes.length < HEADER) return undefined;
  const view = viewOf(bytes);
  const flags = view.getUint16(2);
  // An answer is not answered.
  if ((flags & 0x8000) !== 0) return undefined;
  if ((flags & 0x7800) !== 0) return RCODE_NOT_IMPLEMENTED;
  if (view.getUint16(4) !== 1 || view.getUint16(6) !== 0) return RCODE_FORMAT;
  const name = readName(bytes, HEADER);
  if (name === undefined || name.end + 4 > bytes.length) return RCODE_FORMAT;
  const questionEnd = name.end + 4;
  // EDNS: the first additional record, of the root's name. Anything else there (signatures) is the name server's matter.
  const edns =
    view.getUint16(8) === 0 &&
    view.getUint16(10) > 0 &&
    bytes.length >= questionEnd + 11 &&
    bytes[questionEnd] === 0 &&
    view.getUint16(questionEnd + 1) === TYPE_OPT;
  const size = edns ? view.getUint16(questionEnd + 3) : PLAIN_UDP;
  return {
    bytes,
    id: view.getUint16(0),
    name: name.text,
    type: view.getUint16(name.end),
    isInternet: view.getUint16(name.end + 2) === CLASS_INTERNET,
    questionEnd,
    udpLimit: Math.min(Math.max(size, PLAIN_UDP), LONGEST_UDP),
    hasEdns: edns,
  };
}

/** Whether `answer` is an answer to `query`, sent with the id given. */
export function answers(answer: Uint8Array, query: DnsQuery, id: number): boolean {
  if (answer.length < query.questionEnd) return false;
  const view = viewOf(answer);
  if (view.getUint16(0) !== id || (view.getUint8(2) & 0x80) === 0 || view.getUint16(4) !== 1) return false;
  for (let at = HEADER; at < query.questionEnd; at++) {
    // Name servers may give the name back in other letter case.
    if (lower(answer[at]!) !== lower(query.bytes[at]!)) return false;
  }
  return true;
}

/** An error answer to a message that may not even have a question. */
export function refusal(message: Uint8Array, rcode: number): Uint8Array {
  const answer = message.slice(0, HEADER);
  const view = viewOf(answer);
  setFlags(view, view.getUint16(2), rcode, false);
  view.setUint32(4, 0);
  view.setUint32(8, 0);
  return answer;
}

/** An answer with the records' data given, all of the question's name and type. Over `limit` bytes it is truncated. */
export function buildAnswer(query: DnsQuery, rcode: number, records: readonly Uint8Array[], limit: number): Uint8Array {
  const edns = query.hasEdns ? 11 : 0;
  let length = query.questionEnd + edns;
  let count = 0;
  for (const record of records) {
    if (length + 12 + record.length > limit) break;
    length += 12 + record.length;
    count++;
  }
  const answer = new Uint8Array(length);
  const view = viewOf(answer);
  answer.set(query.bytes.subarray(0, query.questionEnd));
  setFlags(view, viewOf(query.bytes).getUint16(2), rcode, count < records.length);
  view.setUint16(6, count);
  view.setUint16(8, 0);
  view.setUint16(10, query.hasEdns ? 1 : 0);
  let at = query.questionEnd;
  for (const record of records.slice(0, count)) {
    // The name is a pointer to the question's.
    view.setUint16(at, 0xc000 | HEADER);
    view.setUint16(at + 2, query.type);
    view.setUint16(at + 4, CLASS_INTERNET);
    view.setUint32(at + 6, TTL);
    view.setUint16(at + 10, record.length);
    answer.set(record, at + 12);
    at += 12 + record.length;
  }
  if (query.hasEdns) {
    view.setUint16(at + 1, TYPE_OPT);
    view.setUint16(at + 3, LONGEST_UDP);
  }
  return answer;
}

/** A name as a PTR record holds it, undefined if it cannot be one. */
export function encodeName(name: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const label of name.split(".")) {
    const encoded = new TextEncoder().encode(label);
    if (encoded.length === 0 || encoded.length > 63) return undefined;
    bytes.push(encoded.length, ...encoded);
  }
  bytes.push(0);
  return bytes.length > LONGEST_NAME ? undefined : Uint8Array.from(bytes);
}

function setFlags(view: DataView, query: number, rcode: number, truncated: boolean): void {
  // QR, opcode and RD as asked, TC, RA.
  view.setUint16(2, 0x8080 | (query & 0x7900) | (truncated ? 0x0200 : 0) | rcode);
}

/** Reads a name without compression, which a question cannot have. */
function readName(bytes: Uint8Array, start: number): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63 || at + 1 + length > bytes.length) return undefined;
    if (at + 1 + length - start > LONGEST_NAME) return undefined;
    if (length === 0) return { text: labels.join("."), end: at + 1 };
    labels.push(Array.from(bytes.subarray(at + 1, at + 1 + length), printable).join(""));
    at += 1 + length;
  }
}

function printable(byte: number): string {
  const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;
  return isPlain ? String.fromCharCode(byte) : `\\${byte.toString(16).padStart(2, "0")}`;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
