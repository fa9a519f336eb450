// `cache=writethrough` and `cache=directsync`: what the guest writes is safe before it is told so.

import type { BlockBackend } from "../backend/block.ts";

/** A disk on which every write is followed by a flush. */
export function writeThrough(base: BlockBackend): BlockBackend {
  const flushed = (written: void | Promise<void>) =>
    written === undefined ? base.flush() : written.then(() => base.flush());
  const { writev, discard, writeZeroes } = base;
  return {
    size: base.size,
    readOnly: base.readOnly,
    synchronous: base.synchronous,
    read: (offset, into) => base.read(offset, into),
    ...(base.readv && { readv: (offset, into) => base.readv?.(offset, into) }),
    write: (offset, bytes) => flushed(base.write(offset, bytes)),
    ...(writev && { writev: (offset, bytes) => flushed(writev.call(base, offset, bytes)) }),
    ...(discard && { discard: (offset, length) => flushed(discard.call(base, offset, length)) }),
    ...(writeZeroes && { writeZeroes: (offset, length) => flushed(writeZeroes.call(base, offset, length)) }),
    flush: () => base.flush(),
    close: () => base.close(),
  };
}
