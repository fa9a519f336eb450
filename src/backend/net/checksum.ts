// The Internet checksum (RFC 1071), used by IPv4, ICMP, UDP and TCP.

/** Adds the big-endian 16-bit words of a range to `sum`; an odd last byte counts as the high half of a word. */
export function sumWords(view: DataView, offset: number, length: number, sum: number): number {
  const end = offset + length;
  let at = offset;
  // Eight words a turn: the loop itself would otherwise cost as much as the adding. 64 KiB stay below 2^32.
  for (const stop = end - 15; at < stop; at += 16) {
    sum +=
      view.getUint16(at) +
      view.getUint16(at + 2) +
      view.getUint16(at + 4) +
      view.getUint16(at + 6) +
      view.getUint16(at + 8) +
      view.getUint16(at + 10) +
      view.getUint16(at + 12) +
      view.getUint16(at + 14);
  }
  for (; at + 1 < end; at += 2) sum += view.getUint16(at);
  return at < end ? sum + (view.getUint8(at) << 8) : sum;
}

/** The sum of the pseudo-header that TCP and UDP checksums cover (RFC 9293 section 3.1, RFC 768). */
export function sumPseudoHeader(source: number, destination: number, protocol: number, length: number): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length;
}

/** The 16-bit checksum for a sum of words below 2^32: 0 for a range that contains its own, right checksum. */
export function foldChecksum(sum: number): number {
  const folded = (sum & 0xffff) + (sum >>> 16);
  return ~((folded & 0xffff) + (folded >>> 16)) & 0xffff;
}
