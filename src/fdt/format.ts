// Constants of the flattened device tree format. Devicetree Specification v0.4, 5.2 and 5.4.1.

export const FDT_MAGIC = 0xd00d_feed;
export const FDT_VERSION = 17;
export const FDT_LAST_COMPATIBLE_VERSION = 16;

/** Size of the version 17 header in bytes. */
export const HEADER_SIZE = 40;

/** Byte offsets of the header's fields, each a big-endian 32-bit word. */
export const Header = {
  magic: 0,
  totalSize: 4,
  structOffset: 8,
  stringsOffset: 12,
  reservationsOffset: 16,
  version: 20,
  lastCompatibleVersion: 24,
  bootHart: 28,
  stringsSize: 32,
  structSize: 36,
} as const;

/** Tokens of the structure block. */
export const Token = { beginNode: 1, endNode: 2, property: 3, nop: 4, end: 9 } as const;
