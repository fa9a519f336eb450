// Numbers of the virtio network device: VIRTIO 1.2, section 5.1.

/** Feature bits (5.1.3). */
export const NetFeature = {
  CSUM: 0,
  MAC: 5,
  MRG_RXBUF: 15,
  STATUS: 16,
  CTRL_VQ: 17,
  CTRL_RX: 18,
  CTRL_VLAN: 19,
  CTRL_RX_EXTRA: 20,
  CTRL_MAC_ADDR: 23,
} as const;

/** Offsets in the configuration space (5.1.4). */
export const NetConfig = { mac: 0, status: 6, size: 8 } as const;

/** In the configuration's status. */
export const NET_LINK_UP = 1;

/** The header before each frame (5.1.6): its length without and with `num_buffers`. */
export const NET_HEADER_SIZE = 10;
export const NET_LONG_HEADER_SIZE = 12;

/** In the header's flags: the device completes a checksum. */
export const NET_NEEDS_CSUM = 1;

/** Classes of control commands and their commands (5.1.6.5). */
export const NetControl = {
  RX: 0,
  MAC: 1,
  VLAN: 2,
} as const;
export const NetControlRx = { PROMISC: 0, ALLMULTI: 1, ALLUNI: 2, NOMULTI: 3, NOUNI: 4, NOBCAST: 5 } as const;
export const NetControlMac = { TABLE_SET: 0, ADDR_SET: 1 } as const;
export const NetControlVlan = { ADD: 0, DEL: 1 } as const;

/** Answers to a control command. */
export const NetAck = { OK: 0, ERR: 1 } as const;
