// A disk whose changes stay in memory: `snapshot=on` and `-snapshot`.

import { type BlockBackend, BlockError } from "./block.ts";

/** The granularity of copies: what file systems mostly write. */
const CLUSTER_SIZE = 4096;

/** All clusters that were filled with zeros are this one; it is replaced before it is written. */
const ZEROS = new Uint8Array(CLUSTER_SIZE);

/** The changes of an overlay at one moment, by cluster. */
export type OverlayState = ReadonlyMap<number, Uint8Array>;

/**
 * Copy-on-write over another disk, which is only read. Clusters are copied when they are first written, so memory grows
 * with what the guest writes, up to the size of the disk. What was written is forgotten when the disk is closed.
 */
export class OverlayBlock implements BlockBackend {
  readonly size: number;
  readonly readOnly: boolean;
  readonly synchronous: boolean;
  readonly #base: BlockBackend;
  #clusters = new Map<number, Uint8Array>();
  /** Clusters that a state has too: they are copied before they are written. */
  #shared = new Set<Uint8Array>();

  /** @param readOnly whether the guest may write at all */
  constructor(base: BlockBackend, readOnly = false) {
    this.#base = base;
    this.size = base.size;
    this.readOnly = readOnly;
    this.synchronous = base.synchronous;
  }

  /** Memory taken by changed clusters, in bytes. */
  get used(): number {
    let bytes = 0;
    for (const cluster of this.#clusters.values()) if (cluster !== ZEROS) bytes += cluster.length;
    return bytes;
  }

  read(offset: number, into: Uint8Array): void | Promise<void> {
    const waiting: Promise<void>[] = [];
    for (let done = 0; done < into.length; ) {
      const at = offset + done;
      const index = Math.floor(at / CLUSTER_SIZE);
      const cluster = this.#clusters.get(index);
      let end = (index + 1) * CLUSTER_SIZE;
      if (cluster !== undefined) {
        const from = at % CLUSTER_SIZE;
        const piece = cluster.subarray(from, Math.min(CLUSTER_SIZE, from + into.length - done));
        into.set(piece, done);
        done += piece.length;
        continue;
      }
      // As much as possible in one go.
      while (end < offset + into.length && !this.#clusters.has(end / CLUSTER_SIZE)) end += CLUSTER_SIZE;
      const piece = into.subarray(done, Math.min(into.length, end - offset));
      const promise = this.#base.read(at, piece);
      if (promise !== undefined) waiting.push(promise);
      done += piece.length;
    }
    if (waiting.length > 0) return Promise.all(waiting).then(() => {});
  }

  write(offset: number, bytes: Uint8Array): void | Promise<void> {
    return this.#change(offset, bytes.length, (done, length) => bytes.subarray(done, done + length));
  }

  writeZeroes(offset: number, length: number): void | Promise<void> {
    return this.#change(offset, length, (_done, length) => ZEROS.subarray(0, length));
  }

  /** What was written so far. */
  save(): OverlayState {
    this.#shared = new Set(this.#clusters.values());
    return new Map(this.#clusters);
  }

  /** Makes the disk what it was at `save`, of this overlay or another one over the same base. */
  load(state: OverlayState): void {
    this.#clusters = new Map(state);
    this.#shared = new Set(state.values());
  }

  /** Nothing to keep: what is in memory goes when the machine does. */
  flush(): void {}

  close(): void {
    this.#clusters.clear();
    this.#base.close();
  }

  /** Sets a range to what `source` gives for its pieces, none larger than a cluster. */
  #change(offset: number, length: number, source: (done: number, length: number) => Uint8Array): void | Promise<void> {
    if (this.readOnly) throw new BlockError("readonly", "the disk is read-only");
    const waiting: Promise<void>[] = [];
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const index = Math.floor(at / CLUSTER_SIZE);
      const from = at % CLUSTER_SIZE;
      const size = Math.min(CLUSTER_SIZE - from, length - done);
      const bytes = source(done, size);
      const whole = size === CLUSTER_SIZE;
      if (whole && bytes.buffer === ZEROS.buffer) this.#clusters.set(index, ZEROS);
      else {
        const put = (): void => this.#writable(index).set(bytes, from);
        const copied = whole || this.#clusters.has(index) ? undefined : this.#copy(index);
        if (copied === undefined) put();
        else waiting.push(copied.then(put));
      }
      done += size;
    }
    if (waiting.length > 0) return Promise.all(waiting).then(() => {});
  }

  /** Takes a cluster over from the base. */
  #copy(index: number): Promise<void> | undefined {
    const cluster = allocate();
    const start = index * CLUSTER_SIZE;
    const promise = this.#base.read(start, cluster.subarray(0, Math.min(CLUSTER_SIZE, this.size - start)));
    if (promise === undefined) {
      this.#clusters.set(index, cluster);
      return undefined;
    }
    return promise.then(() => {
      // Somebody else may have been quicker with a part of the same cluster, and must not be undone.
      if (!this.#clusters.has(index)) this.#clusters.set(index, cluster);
    });
  }

  #writable(index: number): Uint8Array {
    const cluster = this.#clusters.get(index);
    if (cluster !== undefined && cluster !== ZEROS && !this.#shared.has(cluster)) return cluster;
    const own = allocate();
    if (cluster !== undefined) own.set(cluster);
    this.#clusters.set(index, own);
    return own;
  }
}

function allocate(): Uint8Array {
  try {
    return new Uint8Array(CLUSTER_SIZE);
  } catch (error) {
    throw new BlockError("nospace", "there is no memory left for the changes to the disk", { cause: error });
  }
}
