// Why packets were dropped. A fixed set of counters: hostile traffic makes them grow, not the memory.

/** Packets dropped, by reason. */
export interface NetCounters {
  /** Frames and packets whose lengths, header fields or checksums are wrong. */
  malformed: number;
  badChecksum: number;
  /** EtherTypes and IP protocols that this network does not carry (IPv6, VLAN tags, SCTP...). */
  unsupported: number;
  /** Sent to an Ethernet address of nobody here, or from an IPv4 address outside of the network. */
  notForUs: number;
  /** To destinations that are never reached: loopback, multicast, broadcast, reserved. */
  martian: number;
  /** Kept from going out by `restrict=on`. */
  restricted: number;
  /** Fragments that overlap, do not fit, or whose rest did not come. */
  fragments: number;
  /** For the guest, while its receive queue was full or its Ethernet address unknown. */
  queueFull: number;
  /** Beyond the bounds of a table (connections, bindings, name queries). */
  tableFull: number;
  /** From hosts that the guest has not sent anything to. */
  unsolicited: number;
}

/** All zero. */
export function newCounters(): NetCounters {
  return {
    malformed: 0,
    badChecksum: 0,
    unsupported: 0,
    notForUs: 0,
    martian: 0,
    restricted: 0,
    fragments: 0,
    queueFull: 0,
    tableFull: 0,
    unsolicited: 0,
  };
}
