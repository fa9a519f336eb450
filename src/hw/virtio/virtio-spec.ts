// Numbers of "Virtual I/O Device (VIRTIO) Version 1.2" that devices and transports share.

/** Bits of the device status (section 2.1). */
export const VirtioStatus = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  FEATURES_OK: 0x08,
  DEVICE_NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const;

/** Feature bits that do not belong to one kind of device (section 6), as bit numbers. */
export const VirtioFeature = {
  /** Legacy only: the driver lays its buffers out as it likes. */
  ANY_LAYOUT: 27,
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  RING_RESET: 40,
} as const;

/** Flags of a descriptor (section 2.7.5). */
export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** The most entries a queue has, and the most segments a chain has, here as in QEMU. */
export const MAX_QUEUE_SIZE = 1024;
