// Block devices: the host's side of a disk. Files and images implement it, disk controllers use it.

/** Why the host could not do what a disk was asked for. */
export type BlockErrorCode = "io" | "nospace" | "readonly";

/** The host's failure to read or write a disk; the guest gets an I/O error. */
export class BlockError extends Error {
  override readonly name = "BlockError";
  readonly code: BlockErrorCode;

  constructor(code: BlockErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * A disk's bytes. Offsets and lengths are in bytes and inside the disk: who asks checks what the guest wants.
 * Each operation is done when it returns or when its promise resolves; it throws or rejects with BlockError.
 */
export interface BlockBackend {
  /** In bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether no operation returns a promise: then buffers may be guest memory, which nobody else changes meanwhile. */
  readonly synchronous: boolean;
  read(offset: number, into: Uint8Array): void | Promise<void>;
  write(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** Reads into several buffers, one after the other. */
  readv?(offset: number, into: readonly Uint8Array[]): void | Promise<void>;
  /** Writes from several buffers, one after the other. */
  writev?(offset: number, bytes: readonly Uint8Array[]): void | Promise<void>;
  /** Makes everything written so far survive a crash of the host. */
  flush(): void | Promise<void>;
  /** Gives the space back; what is read there afterwards is undefined. */
  discard?(offset: number, length: number): void | Promise<void>;
  /** Makes the range read as zeros, which may give the space back too. */
  writeZeroes?(offset: number, length: number): void | Promise<void>;
  close(): void;
}
