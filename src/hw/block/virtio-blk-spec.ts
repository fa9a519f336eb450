// Numbers of the virtio block device: VIRTIO 1.2, section 5.2.

/** Feature bits (5.2.3). */
export const BlkFeature = {
  SEG_MAX: 2,
  GEOMETRY: 4,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const;

/** Offsets in the configuration space (5.2.4). */
export const BlkConfig = {
  capacity: 0,
  seg_max: 12,
  cylinders: 16,
  heads: 18,
  sectors: 19,
  blk_size: 20,
  physical_block_exp: 24,
  min_io_size: 26,
  opt_io_size: 28,
  writeback: 32,
  num_queues: 34,
  max_discard_sectors: 36,
  max_discard_seg: 40,
  discard_sector_alignment: 44,
  max_write_zeroes_sectors: 48,
  max_write_zeroes_seg: 52,
  write_zeroes_may_unmap: 56,
  size: 60,
} as const;

/** Types of requests (5.2.6). */
export const BlkRequestType = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  /** Legacy: another name for FLUSH. */
  FLUSH_OUT: 5,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
  /** Legacy: a flag that asks for the order of requests to be kept, which it always is. */
  BARRIER: 0x8000_0000,
} as const;

/** Answers to a request (5.2.6). */
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

/** The length of a request's header: type, reserved word, sector. */
export const BLK_HEADER_SIZE = 16;

/** The length of what GET_ID returns. */
export const BLK_ID_SIZE = 20;

/** The length of a DISCARD or WRITE_ZEROES segment: sector, number of sectors, flags. */
export const BLK_RANGE_SIZE = 16;

/** In a WRITE_ZEROES segment's flags: the device may give the space back. */
export const BLK_RANGE_UNMAP = 1;
