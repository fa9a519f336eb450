// The checksum that a driver leaves to the network card: VIRTIO 1.2, section 5.1.6.2; the sum is RFC 1071's.

/**
 * Sums `frame` from `start` to its end and puts the Internet checksum at `start + offset`, where the driver has left the
 * sum of the pseudo header.
 * @returns false if the checksum's place is not in the frame
 */
export function completeChecksum(frame: Uint8Array, start: number, offset: number): boolean {
  const place = start + offset;
  if (place + 2 > frame.length) return false;
  let sum = 0;
  // 2^15 words of 16 bits each, at most, do not overflow 32 bits.
  for (let at = start; at < frame.length; at += 2) sum += (frame[at]! << 8) | (frame[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  // Zero would mean "no checksum" to UDP; all ones is the same number and means it to nobody.
  const checksum = ~sum & 0xffff || 0xffff;
  frame[place] = checksum >> 8;
  frame[place + 1] = checksum & 0xff;
  return true;
}
